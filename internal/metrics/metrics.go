// Package metrics names every metric of the server, in one catalogue.
//
// Labels come from closed sets: refusal codes, algorithms, outcomes of
// fetches. Nothing that a caller sent ever becomes a label.
package metrics

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"cambio/internal/limit"
	"cambio/internal/oauth"
)

// Metrics is one registry with the server's metrics. It is safe for
// concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	// Resolved once: the token path must not hash labels.
	exchanges         map[oauth.Code]prometheus.Counter
	limited           map[string]prometheus.Counter
	policyReports     map[string]prometheus.Counter
	exchangeSeconds   prometheus.Histogram
	fetches           *prometheus.CounterVec
	fetchSeconds      prometheus.Histogram
	keyChanges        *prometheus.CounterVec
	management        *prometheus.CounterVec
	managementSeconds prometheus.Histogram
}

// buckets are bounds of histograms, in seconds.
var buckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// New makes the registry.
func New() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), exchanges: map[oauth.Code]prometheus.Counter{}, limited: map[string]prometheus.Counter{}, policyReports: map[string]prometheus.Counter{}}
	reports := m.counters(PolicyReports)
	for _, policy := range []string{"allowedIssuers", "requiredClaims"} {
		m.policyReports[policy] = reports.WithLabelValues(policy)
	}
	exchanges, limited := m.counters(TokenRequests), m.counters(TokenLimited)
	m.exchanges[0] = exchanges.WithLabelValues("0", "")
	for _, row := range oauth.Catalogue() {
		m.exchanges[row.Code] = exchanges.WithLabelValues(strconv.Itoa(int(row.Code)), row.Error)
	}
	for _, kind := range limit.Kinds {
		m.limited[kind] = limited.WithLabelValues(kind)
	}
	m.exchangeSeconds, m.fetchSeconds, m.managementSeconds = m.histogram(TokenSeconds), m.histogram(IssuerFetchSeconds), m.histogram(ManagementSeconds)
	m.fetches, m.management, m.keyChanges = m.counters(IssuerFetches), m.counters(Management), m.counters(IssuerKeyChanges)
	m.IssuerKeys(0, 0)
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *Metrics) counters(name string) *prometheus.CounterVec {
	d := definition(name)
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: d.Name, Help: d.Help}, d.Labels)
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) histogram(name string) prometheus.Histogram {
	d := definition(name)
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: d.Name, Help: d.Help, Buckets: buckets})
	m.registry.MustRegister(h)
	return h
}

// Exchange counts one answer of the token endpoint. Limited says which
// allowance had run out, so that the request was not examined; else it is
// empty.
func (m *Metrics) Exchange(code oauth.Code, limited string, took time.Duration) {
	if c := m.exchanges[code]; c != nil {
		c.Inc()
	}
	if limited == "" {
		m.exchangeSeconds.Observe(took.Seconds())
	} else if c := m.limited[limited]; c != nil {
		c.Inc()
	}
}

// PolicyReport counts a rule of a tenant's policy that would have refused, by
// its name in the audit trail such as federationPolicy.requiredClaims[0].
func (m *Metrics) PolicyReport(rule string) {
	policy, _, _ := strings.Cut(strings.TrimPrefix(rule, "federationPolicy."), "[")
	if c := m.policyReports[policy]; c != nil {
		c.Inc()
	}
}

// IssuerKeys counts keys that a managed issuer began and ceased to publish.
func (m *Metrics) IssuerKeys(added, removed int) {
	m.keyChanges.WithLabelValues("added").Add(float64(added))
	m.keyChanges.WithLabelValues("removed").Add(float64(removed))
}

// Fetch counts one outbound fetch. Outcome is "ok" or a reason from package
// oidc's closed list.
func (m *Metrics) Fetch(document, outcome string, took time.Duration) {
	m.fetches.WithLabelValues(document, outcome).Inc()
	m.fetchSeconds.Observe(took.Seconds())
}

// Management counts one answer of a management API.
func (m *Metrics) Management(api string, status int, took time.Duration) {
	m.management.WithLabelValues(api, strconv.Itoa(status/100)+"xx").Inc()
	m.managementSeconds.Observe(took.Seconds())
}

// Func registers a figure that somebody else keeps, read at each scrape, under
// a name of the catalogue with the values of its labels.
func (m *Metrics) Func(name string, read func() float64, labels ...string) {
	d := definition(name)
	if len(labels) != len(d.Labels) {
		panic("metrics: " + name + " has other labels")
	}
	values := prometheus.Labels{}
	for i, label := range d.Labels {
		values[label] = labels[i]
	}
	if d.Type == counter {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: d.Name, Help: d.Help, ConstLabels: values}, read))
		return
	}
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: d.Name, Help: d.Help, ConstLabels: values}, read))
}

// Time is a moment as a figure: seconds since 1970, 0 for none.
func Time(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

// Bool is 1 for true.
func Bool(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Handler serves the metrics in Prometheus' text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
