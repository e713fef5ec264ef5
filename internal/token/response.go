package token

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"cambio/internal/oauth"
)

// begin starts the event of a request.
func (e *Endpoint) begin(r *http.Request, door Door) *exchange {
	x := &exchange{door: door, started: e.cfg.Clock(), traceID: newGUID()}
	x.source = e.cfg.Source(r)
	if x.correlationID = CorrelationID(r); x.correlationID == "" {
		x.correlationID = newGUID()
	}
	return x
}

// correlated reports whether the request named its correlation id outside the
// body.
func (x *exchange) correlated(r *http.Request) bool { return CorrelationID(r) != "" }

// CorrelationID is the client-request-id of the header or else of the query,
// or "": only a GUID is taken, so that nothing else can be reflected.
func CorrelationID(r *http.Request) string {
	if id := canonicalGUID(r.Header.Get("client-request-id")); id != "" {
		return id
	}
	if !strings.Contains(r.URL.RawQuery, oauth.ParamClientRequestID) {
		return ""
	}
	query, _ := url.ParseQuery(r.URL.RawQuery)
	return canonicalGUID(query.Get(oauth.ParamClientRequestID))
}

// newGUID is a random GUID (RFC 9562, version 4).
func newGUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	var s [36]byte
	hex.Encode(s[:8], b[:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:], b[10:])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}

// Header values that never change; handlers only read them.
var (
	jsonType  = []string{"application/json; charset=utf-8"}
	noStore   = []string{"no-store, no-cache"}
	noCache   = []string{"no-cache"}
	noSniff   = []string{"nosniff"}
	transport = []string{"max-age=31536000"}
)

// writeHead sets what every answer of the endpoint carries (RFC 6749 §5.1).
func writeHead(h http.Header, x *exchange) {
	h["Content-Type"] = jsonType
	h["Cache-Control"] = noStore
	h["Pragma"] = noCache
	h["X-Content-Type-Options"] = noSniff
	h["Strict-Transport-Security"] = transport
	h["X-Ms-Request-Id"] = []string{x.traceID}
}

// writeToken answers with the access token: numbers in v2, strings and four
// more members in v1. expires_on is left out of v2, where it would override
// expires_in in clients.
func writeToken(w http.ResponseWriter, x *exchange) {
	writeHead(w.Header(), x)
	t := &x.token
	from := t.issuedAt
	if t.shared { // it is older than this request
		from = x.started
	}
	seconds := int64(t.expiry.Sub(from) / time.Second)
	o := object{dst: append(make([]byte, 0, len(t.compact)+320), '{')}
	o.str("token_type", "Bearer")
	if x.door.Strings {
		o.str("expires_in", strconv.FormatInt(seconds, 10))
		o.str("ext_expires_in", strconv.FormatInt(seconds, 10))
		o.str("expires_on", strconv.FormatInt(t.expiry.Unix(), 10))
		o.str("not_before", strconv.FormatInt(t.issuedAt.Unix(), 10))
		o.str("resource", x.request.resource)
	} else {
		o.num("expires_in", seconds)
		o.num("ext_expires_in", seconds)
	}
	o.name("access_token")
	o.dst = append(append(append(o.dst, '"'), t.compact...), '"', '}')
	_, _ = w.Write(o.dst) // the client may be gone; the decision is recorded
}

// echo sends the correlation id back to a client that asked for it.
func (x *exchange) echo(w http.ResponseWriter, r *http.Request) {
	if strings.EqualFold(r.Header.Get("return-client-request-id"), "true") {
		w.Header().Set("client-request-id", x.correlationID)
	}
}

// writeRefusal answers with Entra's error object.
func (e *Endpoint) writeRefusal(w http.ResponseWriter, x *exchange, refusal *oauth.Error) {
	WriteError(w, refusal, ErrorContext{BaseURL: e.cfg.BaseURL, TraceID: x.traceID, CorrelationID: x.correlationID, Now: e.cfg.Clock()})
}

// ErrorContext is what an error object says of its request.
type ErrorContext struct {
	BaseURL, TraceID, CorrelationID string
	Now                             time.Time
}

// NewErrorContext describes a request outside the token endpoint.
func NewErrorContext(baseURL string, r *http.Request, now time.Time) ErrorContext {
	c := ErrorContext{BaseURL: baseURL, TraceID: newGUID(), CorrelationID: CorrelationID(r), Now: now}
	if c.CorrelationID == "" {
		c.CorrelationID = newGUID()
	}
	return c
}

// WriteError writes Entra's error object. A 400 carries Retry-After: 0, which
// keeps MSAL for Python and az from caching it for a minute.
func WriteError(w http.ResponseWriter, refusal *oauth.Error, c ErrorContext) {
	h := w.Header()
	writeHead(h, &exchange{traceID: c.TraceID})
	switch {
	case refusal.RetryAfter > 0:
		h.Set("Retry-After", strconv.FormatInt(int64((refusal.RetryAfter+time.Second-1)/time.Second), 10))
	case refusal.Status == http.StatusBadRequest:
		h.Set("Retry-After", "0")
	}
	if refusal.Code == oauth.PostOnly {
		h.Set("Allow", http.MethodPost)
	}
	now := c.Now.UTC().Format("2006-01-02 15:04:05Z")
	code := strconv.Itoa(int(refusal.Code))
	o := object{dst: append(make([]byte, 0, 1024), '{')}
	o.str("error", refusal.OAuth)
	o.str("error_description", "AADSTS"+code+": "+refusal.Description+
		" Trace ID: "+c.TraceID+" Correlation ID: "+c.CorrelationID+" Timestamp: "+now)
	o.name("error_codes")
	o.dst = append(append(append(o.dst, '['), code...), ']')
	o.str("timestamp", now)
	o.str("trace_id", c.TraceID)
	o.str("correlation_id", c.CorrelationID)
	if refusal.URI {
		o.str("error_uri", c.BaseURL+"/error?code="+code)
	}
	w.WriteHeader(refusal.Status)
	_, _ = w.Write(append(o.dst, '}')) // the client may be gone
}
