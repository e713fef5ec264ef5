package development

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"cambio/internal/tracing/otlp"
)

// buffer is what a log was written to.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// receiver is a collector of spans.
type receiver struct {
	mu    sync.Mutex
	spans []*spans.Span
}

func (c *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	var request collector.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(raw, &request) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range request.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
}

// observed is an instance of which everything is seen that an operator sees.
type observed struct {
	*Instance
	t        *testing.T
	client   *http.Client
	log      buffer
	received receiver
	flush    func(context.Context) error
	sent     []string // correlation ids
}

func newObserved(t *testing.T) *observed {
	o := &observed{t: t}
	log := slog.New(slog.NewJSONHandler(&o.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	server := httptest.NewServer(&o.received)
	t.Cleanup(server.Close)
	tracer, flush, err := otlp.Open(t.Context(), otlp.Config{Endpoint: server.URL + "/v1/traces", SampleRatio: 1, Version: "test", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	o.flush = flush
	o.Instance, o.client, _ = start(t, Config{Log: log, tracer: tracer})
	return o
}

// parent is a trace that a caller is part of already.
const parentTrace, parentSpan = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

// send sends a request with a correlation id of its own.
func (o *observed) send(method, target, contentType, body string, header map[string]string) (int, string) {
	o.t.Helper()
	r, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	id := fmt.Sprintf("00000000-0000-4000-8000-%012d", len(o.sent))
	o.sent = append(o.sent, id)
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("client-request-id", id)
	r.Header.Set("traceparent", "00-"+parentTrace+"-"+parentSpan+"-01")
	for name, value := range header {
		r.Header.Set(name, value)
	}
	resp, err := o.client.Do(r)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

func (o *observed) exchange(form url.Values, header map[string]string) (int, string) {
	return o.send("POST", o.tokenURL()+"?note=canary-query", "application/x-www-form-urlencoded", form.Encode(), header)
}

// seen is everything that an operator sees: log, spans, metrics and the audit
// trail.
func (o *observed) seen() map[string]string {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := o.flush(ctx); err != nil {
		o.t.Fatal(err)
	}
	metrics := httptest.NewRecorder()
	o.server.OperationsHandler().ServeHTTP(metrics, httptest.NewRequest("GET", "/metrics", nil))
	records, err := o.db.AuditRecords(ctx, 0, 1000)
	if err != nil {
		o.t.Fatal(err)
	}
	trail, traced := "", ""
	for _, r := range records {
		trail += string(r.Detail) + "\n"
	}
	for _, s := range o.received.spans {
		traced += s.String() + "\n"
	}
	return map[string]string{"the log": o.log.String(), "the traces": traced, "the metrics": metrics.Body.String(), "the audit trail": trail}
}

// TestNoSecretIsSeen sends secrets wherever a caller can, and looks for them
// wherever an operator can.
func TestNoSecretIsSeen(t *testing.T) {
	o := newObserved(t)
	admin, err := o.AdminToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	form := exchangeForm(t, o.Instance, o.Info.Scope)
	status, body := o.exchange(form, map[string]string{"Cookie": "session=canary-cookie"})
	var issued struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(body), &issued); err != nil || status != 200 || issued.AccessToken == "" {
		t.Fatalf("%d %s, %v", status, body, err)
	}
	secrets := []string{form.Get("client_assertion"), admin, issued.AccessToken, "canary-"}
	for _, token := range secrets[:3] {
		secrets = append(secrets, strings.SplitAfter(token, ".")[2]) // the signature
	}

	for name, value := range map[string]string{"client_assertion": "canary-assertion", "client_secret": "canary-secret", "password": "canary-password", "canary-parameter": "x"} {
		changed := url.Values{}
		for k, v := range form {
			changed[k] = v
		}
		changed.Set(name, value)
		o.exchange(changed, map[string]string{"Authorization": "Basic canary-basic"})
	}
	forged := url.Values{}
	for k, v := range form {
		forged[k] = v
	}
	forged.Set("client_assertion", form.Get("client_assertion")[:len(form.Get("client_assertion"))-8]+"AAAAAAAA")
	if status, _ := o.exchange(forged, nil); status == 200 {
		t.Fatal("a forged assertion was taken")
	}
	graph := o.Info.BaseURL + "/v1.0/applications"
	bearer := map[string]string{"Authorization": "Bearer " + admin}
	o.send("GET", graph, "", "", map[string]string{"Authorization": "Bearer canary-bearer"})
	o.send("GET", graph+"?$filter=displayName%20eq%20'canary-filter'", "", "", bearer)
	o.send("POST", graph, "application/json", `{"displayName":"shop","passwordCredentials":[{"secretText":"canary-member"}]}`, bearer)
	o.send("POST", graph, "application/json", `{"displayName":"canary-broken`, bearer)
	o.send("PUT", o.Info.BaseURL+"/trust/v1/canary-path", "application/json", `{"canary-body":1}`, bearer)
	o.send("GET", o.Info.BaseURL+"/canary/path", "", "", nil)
	o.send("BREW", o.tokenURL(), "", "", nil)

	seen := o.seen()
	for where, text := range seen {
		if text == "" {
			t.Errorf("%s is empty", where)
		}
		for _, secret := range secrets {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s has %.20s…: …%s…", where, secret, text[max(0, i-200):min(len(text), i+60)])
			}
		}
	}
	for _, id := range o.sent {
		if n := strings.Count(seen["the log"], `"correlation_id":"`+id+`"`); n != 1 {
			t.Errorf("request %s has %d lines in the log", id, n)
		}
	}
}

// TestTrace: the spans of an exchange that finds nothing in memory.
func TestTrace(t *testing.T) {
	o := newObserved(t)
	if status, body := o.exchange(exchangeForm(t, o.Instance, o.Info.Scope), nil); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	o.seen()
	ids := map[string]string{}
	names := map[string]string{parentSpan: "the caller"}
	var ours []*spans.Span
	for _, s := range o.received.spans {
		if hex.EncodeToString(s.TraceId) == parentTrace {
			ours = append(ours, s)
			names[hex.EncodeToString(s.SpanId)] = s.Name
		}
	}
	for _, s := range ours {
		ids[s.Name] = names[hex.EncodeToString(s.ParentSpanId)]
	}
	const request = "POST /{tenant}/oauth2/v2.0/token"
	for name, parent := range map[string]string{request: "the caller", "read record": request, "verify assertion": request, "issuer keys": "verify assertion",
		"fetch discovery": "issuer keys", "fetch jwks": "issuer keys", "sign token": request, "record decision": request} {
		if ids[name] != parent {
			t.Errorf("%q is below %q, want %q", name, ids[name], parent)
		}
	}
	i := slices.IndexFunc(ours, func(s *spans.Span) bool { return s.Name == request })
	if i < 0 {
		t.FailNow()
	}
	for _, want := range []string{`"cambio.client_id"`, `"cambio.tenant_id"`, `"cambio.credential_id"`, `"http.route"`, `"http.response.status_code"`} {
		if !strings.Contains(strings.ReplaceAll(ours[i].String(), "  ", " "), want) {
			t.Errorf("the span of the request lacks %s: %s", want, ours[i])
		}
	}
}
