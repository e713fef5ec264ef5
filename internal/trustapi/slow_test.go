package trustapi

import (
	"io"
	"net/http/httptest"
	"strings"
	"testing"
)

// Senders who are slow keep nobody else waiting.
func TestSlowSendersHoldNoTurn(t *testing.T) {
	f := newFixture(t)
	answered := make(chan int)
	var slow []*io.PipeWriter
	for range maxArriving - 1 {
		body, sender := io.Pipe()
		slow = append(slow, sender)
		r := httptest.NewRequest("POST", "https://sts.example.net/trust/v1/plan", body)
		r.Header.Set("Content-Type", "application/json")
		go func() {
			w := httptest.NewRecorder()
			f.router.ServeHTTP(w, r)
			answered <- w.Code
		}()
		if _, err := sender.Write([]byte("{")); err != nil { // returns when it is being read
			t.Fatal(err)
		}
	}
	if a := f.plan("version: 1"); a.status != 200 {
		t.Errorf("a quick one beside them: %d %s", a.status, a.text)
	}
	for _, sender := range slow {
		if _, err := io.Copy(sender, strings.NewReader(`"document":{"version":1}}`)); err != nil {
			t.Error(err)
		}
		_ = sender.Close()
	}
	for range slow {
		if status := <-answered; status != 200 {
			t.Errorf("a slow one: %d", status)
		}
	}
}
