// Package metrics names every metric of the server, in this one file.
//
// Labels come from closed sets: refusal codes, algorithms, outcomes of
// fetches. Nothing that a caller sent ever becomes a label.
package metrics

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"cambio/internal/oauth"
)

// Metrics is one registry with the server's metrics. It is safe for
// concurrent use.
type Metrics struct {
	registry  *prometheus.Registry
	exchanges map[oauth.Code]prometheus.Counter // resolved once: the token path must not hash labels
	seconds   prometheus.Histogram
	fetches   *prometheus.CounterVec
	requests  *prometheus.CounterVec
}

// New makes the registry.
func New() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), exchanges: map[oauth.Code]prometheus.Counter{}}
	exchanges := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cambio_token_requests_total",
		Help: "Answers of the token endpoint by AADSTS code; code 0 is an issued token."}, []string{"code", "error"})
	m.exchanges[0] = exchanges.WithLabelValues("0", "")
	for _, row := range oauth.Catalogue() {
		m.exchanges[row.Code] = exchanges.WithLabelValues(strconv.Itoa(int(row.Code)), row.Error)
	}
	m.seconds = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "cambio_token_request_seconds",
		Help:    "Time from the first byte of a token request's body to its answer, audit record included.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}})
	m.fetches = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cambio_issuer_fetches_total",
		Help: "Fetches of discovery documents and key sets of external issuers."}, []string{"document", "outcome"})
	m.requests = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cambio_management_requests_total",
		Help: "Answers of the management APIs by status class."}, []string{"status"})
	m.registry.MustRegister(exchanges, m.seconds, m.fetches, m.requests, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Exchange counts one answer of the token endpoint.
func (m *Metrics) Exchange(code oauth.Code, took time.Duration) {
	if c := m.exchanges[code]; c != nil {
		c.Inc()
	}
	m.seconds.Observe(took.Seconds())
}

// Fetch counts one outbound fetch. Outcome is "ok" or a reason from package
// oidc's closed list.
func (m *Metrics) Fetch(document, outcome string) { m.fetches.WithLabelValues(document, outcome).Inc() }

// Management counts one answer of a management API.
func (m *Metrics) Management(status int) {
	m.requests.WithLabelValues(strconv.Itoa(status/100) + "xx").Inc()
}

// Counter registers a count that somebody else keeps, read at each scrape.
func (m *Metrics) Counter(name, help string, read func() float64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, read))
}

// Handler serves the metrics in Prometheus' text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
