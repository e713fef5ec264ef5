package otlp

import (
	"context"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"cambio/internal/tracing"
)

// collect is a collector over TLS that counts spans, and the authority that
// its certificate chains to.
func collect(t testing.TB) (endpoint string, rootsPEM []byte, count *atomic.Int64) {
	count = &atomic.Int64{}
	s := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		var request collector.ExportTraceServiceRequest
		if err := proto.Unmarshal(raw, &request); err != nil {
			t.Error(err)
		}
		for _, resource := range request.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				count.Add(int64(len(scope.Spans)))
			}
		}
	}))
	t.Cleanup(s.Close)
	return s.URL + "/v1/traces", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), count
}

// Who is traced: the sampled share, whatever a caller says, but for callers
// who say that their trace is not sampled.
func TestSampling(t *testing.T) {
	const lowest, highest = "00000000000000000000000000000001", "ffffffffffffffffffffffffffffffff"
	for name, c := range map[string]struct {
		ratio       float64
		traceparent string
		want        int64
	}{
		"no trace":                {1, "", 2},
		"sampled by the caller":   {1, "00-" + lowest + "-00000000000000aa-01", 2},
		"unsampled by the caller": {1, "00-" + lowest + "-00000000000000aa-00", 0},
		"outside of the share":    {0.5, "00-" + highest + "-00000000000000aa-01", 0},
		"no traceparent at all":   {1, "canary", 2},
	} {
		endpoint, roots, count := collect(t)
		tracer, closing, err := Open(t.Context(), Config{Endpoint: endpoint, RootsPEM: roots, SampleRatio: c.ratio, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("traceparent", c.traceparent)
		r, span := tracer.Request(r)
		_, child := tracing.Start(r.Context(), "child")
		child.End()
		span.End()
		if err := closing(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := count.Load(); got != c.want {
			t.Errorf("%s: %d spans, want %d", name, got, c.want)
		}
	}
}

// told is a log of which only matters that there was something.
type told struct{ atomic.Bool }

func (w *told) Write(p []byte) (int, error) {
	w.Store(true)
	return len(p), nil
}

// A collector that is away costs nothing but the spans, and the log says so.
func TestCollectorAway(t *testing.T) {
	s := httptest.NewServer(nil)
	s.Close()
	var log told
	tracer, closing, err := Open(t.Context(), Config{Endpoint: s.URL + "/v1/traces", SampleRatio: 1, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for range 5000 { // more than are kept: none of them waits
		_, span := tracer.Request(httptest.NewRequest("GET", "/", nil))
		span.End()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := closing(ctx); err == nil && !log.Load() {
		t.Error("nobody was told")
	}
}

func TestOpenRefusesWhatIsNoCertificate(t *testing.T) {
	if _, _, err := Open(t.Context(), Config{Endpoint: "https://otel.example/v1/traces", RootsPEM: []byte("none"), SampleRatio: 1}); err == nil {
		t.Error("it was taken")
	}
}

func BenchmarkRequest(b *testing.B) {
	for name, ratio := range map[string]float64{"sampled": 1, "unsampled": 1e-12} {
		b.Run(name, func(b *testing.B) {
			endpoint, roots, _ := collect(b)
			tracer, closing, err := Open(b.Context(), Config{Endpoint: endpoint, RootsPEM: roots, SampleRatio: ratio, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			defer closing(context.Background())
			r := httptest.NewRequest("POST", "/", nil)
			b.ReportAllocs()
			for b.Loop() {
				r, span := tracer.Request(r)
				for range 3 {
					_, child := tracing.Start(r.Context(), "child")
					child.End()
				}
				span.End()
			}
		})
	}
}
