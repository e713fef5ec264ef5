package server

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"cambio/internal/limit"
	"cambio/internal/metrics"
	"cambio/internal/oauth"
	"cambio/internal/token"
)

func TestWhichRequestsAreLogged(t *testing.T) {
	issued := token.Outcome{Status: 200, TraceID: "issued"}
	refused := token.Outcome{Status: 401, Code: oauth.SignatureInvalid, Reason: "why", TraceID: "refused"}
	flood := token.Outcome{Status: 429, Code: oauth.TooManyRequests, Limited: limit.Kinds[1], Unrecorded: true, TraceID: "flood"}
	for policy, want := range map[RequestLog]string{LogAll: "issued refused", LogRefused: "refused", LogNone: ""} {
		var b bytes.Buffer
		s := &Server{opt: Options{Log: slog.New(slog.NewJSONHandler(&b, nil)), LogRequests: policy}, metrics: metrics.New()}
		for _, o := range []token.Outcome{issued, refused, flood} {
			s.observeExchange(t.Context(), o)
		}
		var got []string
		for _, id := range []string{"issued", "refused", "flood"} {
			if strings.Contains(b.String(), `"trace_id":"`+id+`"`) {
				got = append(got, id)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("policy %d logs %q, want %q", policy, got, want)
		}
	}
}

// What a line costs that goes nowhere, and one that goes to a file.
func BenchmarkObserveExchange(b *testing.B) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	const id = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
	o := token.Outcome{Status: 200, TenantID: id, ClientID: id, Credential: id, TraceID: id, CorrelationID: id, Source: "192.0.2.1", Duration: 700 * time.Microsecond}
	for name, c := range map[string]struct {
		policy RequestLog
		w      io.Writer
	}{"refused": {LogRefused, null}, "all, discarded": {LogAll, io.Discard}, "all, to a device": {LogAll, null}} {
		b.Run(name, func(b *testing.B) {
			s := &Server{opt: Options{Log: slog.New(slog.NewJSONHandler(c.w, nil)), LogRequests: c.policy}, metrics: metrics.New()}
			b.ReportAllocs()
			for b.Loop() {
				s.observeExchange(b.Context(), o)
			}
		})
	}
}
