package workload

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// answers is a server that answers with these statuses, one after the other,
// and a client that notes its pauses instead of waiting.
func answers(t *testing.T, retryAfter string, statuses ...int) (*http.Client, string, *[]time.Duration, *int) {
	t.Helper()
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); string(body) != "body" {
			t.Errorf("attempt %d has the body %q", asked+1, body)
		}
		status := statuses[min(asked, len(statuses)-1)]
		asked++
		if status == 0 { // the connection breaks
			panic(http.ErrAbortHandler)
		}
		if status >= 400 && retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	var pauses []time.Duration
	client := newHTTPClient(nil)
	client.Transport.(*retrying).pause = func(_ context.Context, d time.Duration) error {
		pauses = append(pauses, d)
		return nil
	}
	return client, s.URL, &pauses, &asked
}

func TestRequestsAreRepeated(t *testing.T) {
	for _, c := range []struct {
		name       string
		statuses   []int
		retryAfter string
		status     int // 0: fails
		asked      int
		least      time.Duration // of the first pause
	}{
		{"good", []int{200}, "", 200, 1, 0},
		{"refused", []int{401}, "", 401, 1, 0},
		{"busy", []int{503, 429, 500, 200}, "", 200, 4, firstPause / 2},
		{"broken", []int{0, 200}, "", 200, 2, firstPause / 2},
		{"for ever busy", []int{503}, "", 503, 4, firstPause / 2},
		{"for ever broken", []int{0}, "", 0, 4, firstPause / 2},
		{"told when", []int{429, 200}, "7", 200, 2, 7 * time.Second},
		{"told too late", []int{429, 200}, "86400", 200, 2, longestPause},
		{"not implemented", []int{501}, "", 501, 1, 0},
	} {
		client, address, pauses, asked := answers(t, c.retryAfter, c.statuses...)
		resp, err := client.Post(address, "text/plain", strings.NewReader("body"))
		status := 0
		if err == nil {
			status = resp.StatusCode
			resp.Body.Close()
		}
		// The transport itself repeats a request on a connection that it kept.
		if status != c.status || *asked < c.asked {
			t.Errorf("%s: status %d (%v) after %d requests, want %d after %d", c.name, status, err, *asked, c.status, c.asked)
		}
		for i, p := range *pauses {
			if p < c.least<<i && c.retryAfter == "" || p < c.least || p > max(c.least, firstPause<<i)+firstPause {
				t.Errorf("%s: pause %d is %s", c.name, i+1, p)
			}
		}
		if len(*pauses) != c.asked-1 {
			t.Errorf("%s: %d pauses", c.name, len(*pauses))
		}
	}
}

func TestPausesDiffer(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 20 {
		seen[backoff(1)] = true
	}
	if len(seen) < 10 {
		t.Errorf("only %d different pauses", len(seen))
	}
}

func TestMistakesAreNotRepeated(t *testing.T) {
	for _, err := range []error{&tls.CertificateVerificationError{}, &net.DNSError{IsNotFound: true}, context.Canceled} {
		if worthRepeating(nil, err) {
			t.Errorf("%v is repeated", err)
		}
	}
	if !worthRepeating(nil, errors.New("connection reset")) {
		t.Error("a broken connection is not repeated")
	}
}

func TestProxies(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://proxy.example:3128")
	for host, proxied := range map[string]bool{"metadata.google.internal": false, "169.254.169.254": false, "actions.example": true} {
		got, err := proxies()(&http.Request{URL: &url.URL{Scheme: "http", Host: host}})
		if err != nil || (got != nil) != proxied {
			t.Errorf("%s: proxy %v (%v)", host, got, err)
		}
	}
}

func TestCertificateAuthorities(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{file: "holds no certificate", file + "x": "cannot be read"} {
		var settings *SettingsError
		if _, err := NewHTTPClient(name); !errors.As(err, &settings) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTokenFilesAreChecked(t *testing.T) {
	for text, want := range map[string]string{"": "is empty", " \n": "is empty", "a b": "more than one word", "a\x00b": "more than one word", strings.Repeat("x", maxToken+1): "longer than 64 KiB"} {
		if _, err := oneToken([]byte(text), "it"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.10q: %v, want %q", text, err, want)
		}
	}
}
