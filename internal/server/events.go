package server

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"cambio/internal/oauth"
	"cambio/internal/token"
	"cambio/internal/tracing"
)

// RequestLog says which requests are logged. Each that is has one line, and
// none of what is in it is a secret: no token, no assertion, no header, no
// body, and of a path only the pattern.
type RequestLog int

// Which requests are logged.
const (
	LogRefused RequestLog = iota // those answered with a status of 400 and above
	LogAll
	LogNone
)

func (l RequestLog) includes(status int) bool {
	return l == LogAll || l == LogRefused && status >= http.StatusBadRequest
}

// observeExchange counts, traces and logs a request to the token endpoint.
func (s *Server) observeExchange(ctx context.Context, o token.Outcome) {
	s.metrics.Exchange(o.Code, o.Limited, o.Duration)
	for _, rule := range o.ReportOnly {
		s.metrics.PolicyReport(rule)
	}
	traceExchange(tracing.Of(ctx), &o)
	// Of a flood that is not examined only what is recorded is logged.
	if o.Unrecorded || !s.opt.LogRequests.includes(o.Status) || !s.opt.Log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	message := "token issued"
	if o.Code != 0 {
		message = "token refused"
	}
	attrs := append(make([]slog.Attr, 0, 14),
		slog.Int("status", o.Status), slog.Int("code", int(o.Code)), slog.String("tenant", o.TenantID), slog.String("client", oauth.Show(o.ClientID)),
		slog.String("credential", o.Credential), slog.String("source", o.Source), slog.String("trace_id", o.TraceID),
		slog.String("correlation_id", o.CorrelationID), milliseconds(o.Duration))
	if o.Code != 0 {
		attrs = append(attrs, slog.String("reason", o.Reason))
	}
	if o.Skipped > 0 {
		attrs = append(attrs, slog.Int64("skipped", o.Skipped))
	}
	s.opt.Log.LogAttrs(ctx, slog.LevelInfo, message, attrs...)
}

// traceExchange says of a request's span what came of it.
func traceExchange(span tracing.Span, o *token.Outcome) {
	span.Set("cambio.tenant_id", o.TenantID)
	if o.KnownClient {
		span.Set("cambio.client_id", o.ClientID)
	}
	span.Set("cambio.credential_id", o.Credential)
	span.Set("cambio.trace_id", o.TraceID)
	if o.Code != 0 {
		span.Set("cambio.code", "AADSTS"+strconv.Itoa(int(o.Code)))
	}
}

// request is what is logged of a request to anything but the token endpoint.
type request struct {
	message, pattern       string
	status                 int
	traceID, correlationID string
	tenant, client         string // of a caller that is known
	began                  time.Time
}

func (s *Server) logRequest(r *http.Request, q request) {
	tracing.Of(r.Context()).Set("cambio.trace_id", q.traceID)
	if q.status == 0 || !s.opt.LogRequests.includes(q.status) {
		return // nobody was answered: the caller has gone, or the failure was logged
	}
	s.opt.Log.LogAttrs(r.Context(), slog.LevelInfo, q.message, slog.String("method", tracing.Method(r)), slog.String("route", q.pattern),
		slog.Int("status", q.status), slog.String("tenant", q.tenant), slog.String("client", q.client), slog.String("source", s.source(r)),
		slog.String("trace_id", q.traceID), slog.String("correlation_id", q.correlationID), milliseconds(time.Since(q.began)))
}

func milliseconds(d time.Duration) slog.Attr {
	return slog.Float64("took_ms", float64(d.Microseconds())/1000)
}

// statusWriter remembers the status of an answer; 0 is none yet.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}
