// Package tracing is where the server meets OpenTelemetry: the span of a
// request, and the spans of what it waits for.
//
// It knows OpenTelemetry's API alone; package otlp, which only the command
// imports, sends spans. A span is started where the context holds one that is
// recorded, and else costs a look into the context and nothing more. What a
// caller sent becomes an attribute only after it was found in the directory.
package tracing

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

const scope = "cambio"

// Tracer starts the spans of requests; nil is none.
type Tracer struct{ tracer trace.Tracer }

// New makes a Tracer over a provider.
func New(p trace.TracerProvider) *Tracer { return &Tracer{p.Tracer(scope)} }

// Request starts the span of a request, as a child of the one that its
// traceparent names (W3C Trace Context). The request that it returns carries
// the span.
func (t *Tracer) Request(r *http.Request) (*http.Request, Span) {
	if t == nil {
		return r, Span{}
	}
	method := Method(r)
	ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, span := t.tracer.Start(ctx, method, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attribute.String("http.request.method", method)))
	if !span.IsRecording() {
		return r, Span{}
	}
	return r.WithContext(ctx), Span{span}
}

// Method is a request's method for logs and spans: one of HTTP's own, or
// _OTHER.
func Method(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return r.Method
	}
	return "_OTHER"
}

// Span is a span under way. The zero value is none, and does nothing.
type Span struct{ span trace.Span }

// Of is the span of a context, if it is recorded.
func Of(ctx context.Context) Span {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		return Span{span}
	}
	return Span{}
}

// Start starts a span below that of the context, if there is one.
func Start(ctx context.Context, name string) (context.Context, Span) {
	parent := Of(ctx)
	if parent.span == nil {
		return ctx, Span{}
	}
	ctx, span := parent.span.TracerProvider().Tracer(scope).Start(ctx, name)
	return ctx, Span{span}
}

// Carry puts the span of one context into another, for work that outlives it.
func Carry(into, from context.Context) context.Context {
	if s := Of(from); s.span != nil {
		return trace.ContextWithSpan(into, s.span)
	}
	return into
}

// Route names a request by the pattern that it matched.
func (s Span) Route(r *http.Request, pattern string) {
	if s.span != nil {
		s.span.SetName(Method(r) + " " + pattern)
		s.Set("http.route", pattern)
	}
}

// Set sets an attribute, unless its value is empty.
func (s Span) Set(key, value string) {
	if s.span != nil && value != "" {
		s.span.SetAttributes(attribute.String(key, value))
	}
}

// Number sets an attribute that is a number.
func (s Span) Number(key string, value int) {
	if s.span != nil {
		s.span.SetAttributes(attribute.Int(key, value))
	}
}

// Fail says that what the span is of failed, and why in a word.
func (s Span) Fail(reason string) {
	if s.span != nil {
		s.span.SetStatus(codes.Error, reason)
	}
}

// End ends the span.
func (s Span) End() {
	if s.span != nil {
		s.span.End()
	}
}
