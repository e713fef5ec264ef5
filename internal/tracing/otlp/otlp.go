// Package otlp sends the spans of package tracing to an OpenTelemetry
// collector, by OTLP/HTTP.
//
// Only the command imports it: nothing that decides depends on the SDK.
// Sending is in the background and bounded; when the collector is slow or
// away, spans are dropped and requests notice nothing.
package otlp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"

	"cambio/internal/tracing"
)

// Config is where spans go, and how many.
type Config struct {
	Endpoint    string  // URL, as in https://otel.example:4318/v1/traces
	RootsPEM    []byte  // authorities beside the system's; may be nil
	SampleRatio float64 // share of the requests that are traced
	Version     string  // of the program
	Log         *slog.Logger
}

// Open starts sending. Close sends what is left.
func Open(ctx context.Context, cfg Config) (t *tracing.Tracer, closing func(context.Context) error, err error) {
	roots, err := x509.SystemCertPool()
	if err != nil || roots == nil {
		roots = x509.NewCertPool()
	}
	if cfg.RootsPEM != nil && !roots.AppendCertsFromPEM(cfg.RootsPEM) {
		return nil, nil, errors.New("tracing.ca_file holds no certificate")
	}
	options := []otlptracehttp.Option{otlptracehttp.WithEndpointURL(cfg.Endpoint)}
	if strings.HasPrefix(cfg.Endpoint, "https:") {
		options = append(options, otlptracehttp.WithTLSClientConfig(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}))
	}
	exporter, err := otlptracehttp.New(ctx, options...)
	if err != nil {
		return nil, nil, err
	}
	// The SDK reports failures to the process, not to who made the exporter.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { cfg.Log.Warn("spans could not be sent", "error", err) }))
	p := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithSampler(sampler(cfg.SampleRatio)),
		trace.WithResource(resource.NewSchemaless(attribute.String("service.name", "cambio"), attribute.String("service.version", cfg.Version))))
	return tracing.New(p), p.Shutdown, nil
}

// sampler takes a share of the traces by their id. A caller that says that its
// trace is not sampled is believed; one that says that it is could make every
// request cost more, and is not.
func sampler(ratio float64) trace.Sampler {
	share := trace.TraceIDRatioBased(ratio)
	return trace.ParentBased(share, trace.WithRemoteParentSampled(share))
}
