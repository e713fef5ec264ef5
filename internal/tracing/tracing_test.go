package tracing

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
)

// untraced is what a request does when nothing is traced.
func untraced(r *http.Request) {
	var none *Tracer
	r, span := none.Request(r)
	span.Route(r, "/{tenant}")
	ctx, child := Start(r.Context(), "child")
	child.Set("key", "value")
	child.Number("key", 1)
	child.Fail("reason")
	child.End()
	_ = Carry(context.Background(), ctx)
	span.End()
}

func TestNothingIsAllocatedWithoutTracing(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	if n := testing.AllocsPerRun(100, func() { untraced(r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkUntraced(b *testing.B) {
	r := httptest.NewRequest("GET", "/", nil)
	ctx := r.Context()
	for range 4 { // as deep as a request's over TLS
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(context.WithValue(ctx, b, b))
		defer cancel()
	}
	r = r.WithContext(ctx)
	for b.Loop() {
		untraced(r)
	}
}
