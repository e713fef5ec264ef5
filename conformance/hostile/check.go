package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// T is handed to a case.
type T struct {
	e        *Env
	id       string
	app      App
	res      Result
	issuers  []*Issuer
	canaries []*Canary
	undo     []func()
	maxDisc  int64
	maxJWKS  int64
	skipped  bool
	ctlBad   bool
}

type stop struct{}

func (e *Env) runCase(c Case, app App) (res Result) {
	t := &T{e: e, id: c.ID, app: app, maxDisc: 2, maxJWKS: 3}
	t.res = Result{ID: c.ID, Exact: true}
	start := time.Now()
	func() {
		defer func() {
			if p := recover(); p != nil {
				if _, ok := p.(stop); !ok {
					t.fail("driver", "panic: %v", p)
				}
			}
		}()
		c.Fn(t)
	}()
	for i := len(t.undo) - 1; i >= 0; i-- {
		t.undo[i]()
	}
	t.alive()
	for _, is := range t.issuers {
		d, j := is.nDisc.Load(), is.nJWKS.Load()
		t.res.Discovery += d
		t.res.JWKS += j
		t.ok("outbound-discovery", d <= t.maxDisc, "%d discovery fetches, at most %d allowed", d, t.maxDisc)
		t.ok("outbound-jwks", j <= t.maxJWKS, "%d JWKS fetches, at most %d allowed", j, t.maxJWKS)
	}
	for _, cn := range t.canaries {
		h := cn.hits.Load()
		t.res.Canary += h
		t.ok("canary", h == 0, "%d connections to an address outside the allow-list", h)
		cn.Close()
	}
	t.res.DurationMS = time.Since(start).Milliseconds()
	switch {
	case t.skipped:
		t.res.Result = "skip"
	case t.ctlBad:
		t.res.Result = "control-failed"
	case len(t.res.Checks) > 0:
		t.res.Result = "fail"
	case e.o.Strict && !t.res.Exact:
		t.res.Result = "fail"
		t.res.Checks = append(t.res.Checks, Check{"exact", "status or error code is not the first choice"})
	default:
		t.res.Result = "pass"
	}
	return t.res
}

func (t *T) fail(name, f string, a ...any) {
	if len(t.res.Checks) < 12 {
		t.res.Checks = append(t.res.Checks, Check{name, fmt.Sprintf(f, a...)})
	}
}

func (t *T) ok(name string, cond bool, f string, a ...any) {
	if !cond {
		t.fail(name, f, a...)
	}
}

func (t *T) note(f string, a ...any) { t.res.Notes = append(t.res.Notes, fmt.Sprintf(f, a...)) }

func (t *T) skip(why string) {
	t.skipped = true
	t.note("%s", why)
	panic(stop{})
}

// limits sets the outbound budget per issuer of this case.
func (t *T) limits(disc, jwks int64) { t.maxDisc, t.maxJWKS = disc, jwks }

// iss makes an issuer with key A as kid k1.
func (t *T) iss() *Issuer { return t.issKeys(pubJWK(&t.e.keys.A.PublicKey, "k1")) }

func (t *T) issKeys(k ...JWK) *Issuer {
	is := t.e.issuer.newIssuer(t.id, k...)
	t.issuers = append(t.issuers, is)
	return is
}

func (t *T) canary() *Canary {
	c, err := newCanary(t.e.o.CanaryHost)
	if err != nil {
		t.skip("no canary: " + err.Error())
	}
	t.canaries = append(t.canaries, c)
	return c
}

func nonce() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// tryFICOn registers a credential; refused is true when the server said no.
func (t *T) tryFICOn(a App, iss, sub, aud string) (id string, refused bool) {
	id, err := t.e.reg.AddFIC(context.Background(), a, FIC{"h-" + nonce(), iss, sub, aud})
	var r *RefusedError
	if errors.As(err, &r) {
		t.note("credential refused with %d", r.Status)
		return "", true
	}
	if err != nil {
		t.fail("registrar", "%v", err)
		panic(stop{})
	}
	t.undo = append(t.undo, func() { _ = t.e.reg.DeleteFIC(context.Background(), a, id) })
	return id, false
}

func (t *T) tryFIC(iss, sub, aud string) (string, bool) { return t.tryFICOn(t.app, iss, sub, aud) }

// trust registers a credential that must be accepted.
func (t *T) trust(iss, sub, aud string) string {
	id, refused := t.tryFIC(iss, sub, aud)
	if refused {
		t.fail("registrar", "credential for %s %s refused", iss, sub)
		panic(stop{})
	}
	return id
}

// Std is the usual scene: one issuer, one credential.
type Std struct {
	t        *T
	is       *Issuer
	sub, aud string
	fic      string
	n        int
}

func (t *T) std() *Std {
	s := &Std{t: t, is: t.iss(), sub: "repo:acme/" + strings.ToLower(t.id) + ":ref:refs/heads/main", aud: t.e.o.Audience}
	s.fic = t.trust(s.is.URL, s.sub, s.aud)
	return s
}

// on is std with a given issuer.
func (t *T) on(is *Issuer) *Std {
	s := &Std{t: t, is: is, sub: "repo:acme/" + strings.ToLower(t.id) + ":ref:refs/heads/main", aud: t.e.o.Audience}
	s.fic = t.trust(is.URL, s.sub, s.aud)
	return s
}

func (s *Std) claims() map[string]any {
	s.n++
	now := time.Now().Unix()
	return map[string]any{"iss": s.is.URL, "sub": s.sub, "aud": s.aud, "iat": now, "nbf": now - 5, "exp": now + 600, "jti": nonce()}
}

const stdHdr = `{"alg":"RS256","typ":"JWT","kid":"k1"}`

func (s *Std) good() string { return tok(stdHdr, js(s.claims()), "RS256", s.t.e.keys.A) }

// with signs claims after a change; a nil value deletes a claim.
func (s *Std) with(kv ...any) string {
	c := s.claims()
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i+1] == nil {
			delete(c, kv[i].(string))
		} else {
			c[kv[i].(string)] = kv[i+1]
		}
	}
	return tok(stdHdr, js(c), "RS256", s.t.e.keys.A)
}

// members renders the claims as raw JSON members, leaving some out.
func (s *Std) members(without ...string) string {
	c := s.claims()
	var out []string
	for _, k := range []string{"iss", "sub", "aud", "iat", "nbf", "exp", "jti"} {
		if !has(without, k) {
			out = append(out, js(k)+":"+js(c[k]))
		}
	}
	return strings.Join(out, ",")
}

// raw signs a literal payload.
func (s *Std) raw(payload string) string { return tok(stdHdr, payload, "RS256", s.t.e.keys.A) }

// dup signs {pre, normal members without some, post}.
func (s *Std) dup(pre, post string, without ...string) string {
	p := "{" + pre
	if pre != "" {
		p += ","
	}
	p += s.members(without...)
	if post != "" {
		p += "," + post
	}
	return s.raw(p + "}")
}

// hdr signs good claims under a literal header with the issuer's key.
func (s *Std) hdr(header string) string { return tok(header, js(s.claims()), "RS256", s.t.e.keys.A) }

// by signs good claims under a literal header with any key.
func (s *Std) by(header, alg string, key any) string { return tok(header, js(s.claims()), alg, key) }

// Resp is an answer of the token endpoint.
type Resp struct {
	Status int
	Header http.Header
	Body   []byte
	JSON   map[string]any
	Took   time.Duration
	Err    error
}

// Code is the OAuth error code.
func (r *Resp) Code() string { s, _ := r.JSON["error"].(string); return s }

// Token is the access token, if any.
func (r *Resp) Token() string { s, _ := r.JSON["access_token"].(string); return s }

func (t *T) tokenURL() string {
	return strings.TrimRight(t.e.o.Base, "/") + strings.ReplaceAll(t.e.o.TokenPath, "{tenant}", t.e.o.Tenant)
}

func (t *T) form(assertion string) url.Values {
	return url.Values{
		"grant_type": {"client_credentials"}, "client_id": {t.app.ClientID}, "scope": {t.e.o.Scope},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {assertion},
	}
}

func (t *T) send(req *http.Request) *Resp {
	start := time.Now()
	resp, err := t.e.http.Do(req)
	r := &Resp{Err: err}
	if err == nil {
		defer resp.Body.Close()
		r.Status, r.Header = resp.StatusCode, resp.Header
		r.Body, r.Err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		_ = json.Unmarshal(r.Body, &r.JSON)
	}
	r.Took = time.Since(start)
	if len(t.res.Answers) < 16 {
		if r.Err != nil {
			t.res.Answers = append(t.res.Answers, "transport: "+r.Err.Error())
		} else {
			t.res.Answers = append(t.res.Answers, fmt.Sprintf("%d %s", r.Status, r.Code()))
		}
	}
	return r
}

// req builds a POST to the token endpoint.
func (t *T) req(ctype, body string) *http.Request {
	req, err := http.NewRequest("POST", t.tokenURL(), strings.NewReader(body))
	if err != nil {
		t.fail("driver", "%v", err)
		panic(stop{})
	}
	if ctype != "" {
		req.Header.Set("Content-Type", ctype)
	}
	return req
}

const formType = "application/x-www-form-urlencoded"

func (t *T) post(v url.Values) *Resp           { return t.send(t.req(formType, v.Encode())) }
func (t *T) postBody(ctype, body string) *Resp { return t.send(t.req(ctype, body)) }
func (t *T) assert(jwt string) *Resp           { return t.post(t.form(jwt)) }

// control proves that the scene works, so that a later refusal means something.
func (s *Std) control() *Resp {
	r := s.t.assert(s.good())
	if r.Status != 200 || r.Token() == "" {
		s.t.ctlBad = true
		s.t.fail("control", "a good assertion got %d %s %.160s", r.Status, r.Code(), r.Body)
		panic(stop{})
	}
	return r
}

type class struct {
	http, also   []int
	code, alsoCo []string
}

var classes = map[string]class{
	"IC": {[]int{401}, []int{400}, []string{"invalid_client"}, []string{"invalid_request", "invalid_grant"}},
	"IR": {[]int{400}, []int{401, 413, 414, 415, 431}, []string{"invalid_request"}, []string{"invalid_client", "invalid_scope"}},
	"UC": {[]int{400}, []int{401}, []string{"unauthorized_client"}, []string{"invalid_client", "invalid_request"}},
	"UG": {[]int{400}, nil, []string{"unsupported_grant_type"}, []string{"unauthorized_client", "invalid_request"}},
	"IS": {[]int{400}, []int{401}, []string{"invalid_scope"}, []string{"invalid_target", "invalid_resource", "invalid_request"}},
	// ID: the issuer's document is bad; a refusal or "try later" will do.
	"ID": {[]int{401}, []int{400, 503}, []string{"invalid_client"}, []string{"invalid_request", "temporarily_unavailable", "server_error"}},
	"UN": {[]int{503}, []int{400, 401}, []string{"temporarily_unavailable"}, []string{"invalid_client", "invalid_request", "server_error"}},
}

func hasInt(l []int, n int) bool {
	for _, x := range l {
		if x == n {
			return true
		}
	}
	return false
}

// reject checks that an answer is a clean refusal of the given class.
func (t *T) reject(label string, r *Resp, cl string, limit time.Duration) {
	if cl == "IC" && (strings.HasPrefix(t.id, "DSC-") || strings.HasPrefix(t.id, "JWK-") || strings.HasPrefix(t.id, "NET-")) {
		cl = "ID"
	}
	c := classes[cl]
	if r.Err != nil {
		t.fail(label, "no answer: %v", r.Err)
		return
	}
	if r.Token() != "" || r.Status/100 == 2 {
		t.fail(label, "ACCEPTED: status %d, token issued: %v", r.Status, r.Token() != "")
		return
	}
	t.ok(label, hasInt(c.http, r.Status) || hasInt(c.also, r.Status), "status %d, want %v or %v; body %.120s", r.Status, c.http, c.also, r.Body)
	if r.Status != 413 && r.Status != 414 && r.Status != 415 && r.Status != 431 {
		t.ok(label, has(c.code, r.Code()) || has(c.alsoCo, r.Code()), "error %q (status %d), want %v or %v", r.Code(), r.Status, c.code, c.alsoCo)
		t.ok(label, strings.HasPrefix(r.Header.Get("Content-Type"), "application/json"), "Content-Type %q", r.Header.Get("Content-Type"))
	}
	if !hasInt(c.http, r.Status) || !has(c.code, r.Code()) {
		t.res.Exact = false
	}
	t.clean(label, r)
	t.ok(label, r.Took <= limit, "answered after %v, limit %v", r.Took.Round(time.Millisecond), limit)
}

// policy accepts either outcome, as long as it is clean.
func (t *T) policy(label string, r *Resp) {
	if r.Err != nil {
		t.fail(label, "no answer: %v", r.Err)
		return
	}
	t.ok(label, r.Status < 500 || r.Status == 503 && r.Code() == "temporarily_unavailable", "status %d", r.Status)
	t.ok(label, r.Status == 200 || r.Token() == "", "token with status %d", r.Status)
	t.note("%s: %d %s", label, r.Status, r.Code())
	t.clean(label, r)
}

func (t *T) accept(label string, r *Resp) {
	if r.Err != nil {
		t.fail(label, "no answer: %v", r.Err)
		return
	}
	t.ok(label, r.Status == 200 && r.Token() != "", "status %d error %q body %.160s", r.Status, r.Code(), r.Body)
	t.clean(label, r)
}

var leaks = []string{"goroutine ", ".go:", "panic", "runtime error", "sqlite", "SQLSTATE", "pq:", "dial tcp", "connection refused", "no such host", "i/o timeout", "x509:", "tls:", "lookup ", "/home/", "/usr/", "context deadline", "json: ", "go-jose", "unexpected EOF", "127.0.0.2", "169.254.", "root:x:"}

// clean checks what every answer of the token endpoint must have.
func (t *T) clean(label string, r *Resp) {
	t.ok(label, len(r.Body) <= 16<<10, "answer of %d bytes", len(r.Body))
	if r.Status == 200 || r.Code() != "" {
		t.ok(label, strings.Contains(r.Header.Get("Cache-Control"), "no-store"), "Cache-Control %q", r.Header.Get("Cache-Control"))
	}
	t.ok(label, r.Header.Get("X-Injected") == "" && r.Header.Get("Set-Cookie") == "", "unexpected header in answer")
	if r.Status == 200 {
		return
	}
	low := string(r.Body)
	for _, l := range leaks {
		t.ok(label, !strings.Contains(low, l), "answer contains %q: %.200s", l, r.Body)
	}
}

func (t *T) alive() {
	u := strings.TrimRight(t.e.o.Base, "/") + "/" + t.e.o.Tenant + "/v2.0/.well-known/openid-configuration"
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", u, nil)
	if err != nil {
		return
	}
	resp, err := t.e.http.Do(req)
	if err != nil {
		t.fail("alive", "server does not answer after the case: %v", err)
		return
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	resp.Body.Close()
	t.ok("alive", resp.StatusCode < 500, "discovery answers %d after the case", resp.StatusCode)
}

// payload decodes the middle part of a JWT.
func payload(jwt string) map[string]any {
	p := strings.Split(jwt, ".")
	m := map[string]any{}
	if len(p) == 3 {
		if b, err := base64.RawURLEncoding.DecodeString(p[1]); err == nil {
			d := json.NewDecoder(bytes.NewReader(b))
			d.UseNumber()
			_ = d.Decode(&m)
		}
	}
	return m
}

func rssOf(pid int) int { return procField(pid, "VmRSS:") }
func hwmOf(pid int) int { return procField(pid, "VmHWM:") }

func procField(pid int, name string) int {
	if pid <= 0 {
		return 0
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	for _, l := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(l, name) {
			f := strings.Fields(l)
			if len(f) >= 2 {
				n, _ := strconv.Atoi(f[1])
				return n
			}
		}
	}
	return 0
}

func bigE(n int64) *big.Int { return big.NewInt(n) }
