package oidc

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func endless(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, `{"x":"`)
	for chunk := bytes.Repeat([]byte("a"), 64<<10); ; {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// drip sends one byte and then nothing until the client gives up.
func drip(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, "{")
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

func gzipBomb(t *testing.T) http.HandlerFunc {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for range 64 {
		if _, err := z.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	_ = z.Close()
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(b.Bytes())
	}
}

func headerFlood(line string, n int) http.HandlerFunc {
	return raw(func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
		for range n {
			if _, err := io.WriteString(c, line); err != nil {
				return
			}
		}
		_, _ = io.WriteString(c, "Content-Length: 2\r\n\r\n{}")
	})
}

func redirectTo(url string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", url)
		w.WriteHeader(http.StatusFound)
	}
}

// leaks are fragments that would tell a caller about our inside.
var leaks = []string{".go:", "panic", "dial tcp", "connection refused", "no such host", "i/o timeout", "x509:", "tls:",
	"lookup ", "context deadline", "json: ", "unexpected EOF", "EOF", "127.0.0.", "169.254.", "http://", "https://"}

func checkFailure(t *testing.T, f *fakeIssuer, reason Reason) {
	t.Helper()
	k, _ := newKeySets(t, Config{HTTP: HTTPSettings{Timeout: 400 * time.Millisecond}}, f)
	began := time.Now()
	fail := wantReason(t, k, f.issuer, reason)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("took %v", took)
	}
	for _, leak := range leaks {
		if strings.Contains(fail.Error(), leak) {
			t.Errorf("text %q holds %q", fail, leak)
		}
	}
	if f.others.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

func TestHostileAnswers(t *testing.T) {
	elsewhere := newFakeIssuer(t)
	cases := map[string]struct {
		handler http.HandlerFunc
		reason  Reason
	}{
		"endless":           {endless, ReasonTooLarge},
		"declared large":    {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "99999999") }, ReasonTooLarge},
		"slow":              {drip, ReasonTimeout},
		"silent":            {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, ReasonTimeout},
		"gzip bomb":         {gzipBomb(t), ReasonEncoding},
		"large headers":     {headerFlood("X-Pad: "+strings.Repeat("a", 8000)+"\r\n", 3000), ReasonHTTP},
		"many 1xx":          {raw(func(c net.Conn) { fill(c, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 20000) }), ReasonHTTP},
		"truncated":         {headerFlood("Content-Length: 5000\r\n\r\n{", 1), ReasonUnreachable},
		"closed":            {drop, ReasonUnreachable},
		"garbage":           {raw(func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-x\r\n") }), ReasonHTTP},
		"redirect":          {redirectTo(elsewhere.issuer + "/keys"), ReasonRedirect},
		"redirect, own":     {redirectTo("/moved"), ReasonRedirect},
		"redirect, nowhere": {redirectTo(""), ReasonRedirect},
		"redirect, file":    {redirectTo("file:///etc/passwd"), ReasonRedirect},
		"created":           {text(201, "{}"), ReasonStatus},
		"no content":        {text(204, ""), ReasonStatus},
		"partial":           {text(206, "{}"), ReasonStatus},
		"not modified":      {text(304, ""), ReasonRedirect},
		"upgrade": {raw(func(c net.Conn) {
			fill(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", 1)
		}), ReasonStatus},
	}
	for name, c := range cases {
		t.Run("discovery "+name, func(t *testing.T) {
			f := newFakeIssuer(t)
			f.handle(c.handler, nil)
			checkFailure(t, f, c.reason)
		})
		t.Run("keys "+name, func(t *testing.T) {
			f := newFakeIssuer(t)
			f.handle(nil, c.handler)
			checkFailure(t, f, c.reason)
		})
	}
	if elsewhere.connections.Load() != 0 {
		t.Error("the target of a redirect was contacted")
	}
}

func fill(c net.Conn, s string, n int) {
	for range n {
		if _, err := io.WriteString(c, s); err != nil {
			return
		}
	}
}

func TestContentEncodings(t *testing.T) {
	for _, coding := range []string{"gzip", "gzip, gzip", "br", "zstd", "deflate", "x"} {
		f := newFakeIssuer(t)
		f.handle(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", coding)
			_, _ = io.WriteString(w, f.discovery())
		}, nil)
		checkFailure(t, f, ReasonEncoding)
	}
}

func TestHostileDocuments(t *testing.T) {
	cases := map[string]struct {
		document string // $I is the issuer
		reason   Reason
	}{
		"other issuer":    {`{"issuer":"https://other.example","jwks_uri":"$I/keys"}`, ReasonIssuerMismatch},
		"slash":           {`{"issuer":"$I/","jwks_uri":"$I/keys"}`, ReasonIssuerMismatch},
		"array":           {`{"issuer":["$I"],"jwks_uri":"$I/keys"}`, ReasonIssuerMismatch},
		"number":          {`{"issuer":1,"jwks_uri":"$I/keys"}`, ReasonIssuerMismatch},
		"no issuer":       {`{"jwks_uri":"$I/keys"}`, ReasonIssuerMismatch},
		"folded name":     {`{"Issuer":"$I","jwks_uri":"$I/keys"}`, ReasonIssuerMismatch},
		"twice":           {`{"issuer":"$I","jwks_uri":"$I/keys","issuer":"https://other.example"}`, ReasonJSON},
		"twice inside":    {`{"issuer":"$I","jwks_uri":"$I/keys","x":{"a":1,"a":2}}`, ReasonJSON},
		"truncated":       {`{"issuer":"$I","jwks_uri":`, ReasonJSON},
		"empty":           {``, ReasonJSON},
		"a list":          {`[]`, ReasonJSON},
		"followed":        {`{"issuer":"$I","jwks_uri":"$I/keys"} x`, ReasonJSON},
		"deep":            {`{"issuer":"$I","x":` + strings.Repeat("[", 100000), ReasonJSON},
		"no jwks_uri":     {`{"issuer":"$I"}`, ReasonJWKSURI},
		"null":            {`{"issuer":"$I","jwks_uri":null}`, ReasonJWKSURI},
		"jwks_uri number": {`{"issuer":"$I","jwks_uri":1}`, ReasonJWKSURI},
		"jwks_uri empty":  {`{"issuer":"$I","jwks_uri":""}`, ReasonJWKSURI},
		"long":            {`{"issuer":"$I","jwks_uri":"$I/` + strings.Repeat("a", 3000) + `"}`, ReasonJWKSURI},
		"metadata":        {`{"issuer":"$I","jwks_uri":"https://169.254.169.254/x"}`, ReasonAddress},
		"loopback":        {`{"issuer":"$I","jwks_uri":"https://127.0.0.2/x"}`, ReasonAddress},
		"localhost":       {`{"issuer":"$I","jwks_uri":"https://localhost/x"}`, ReasonAddress},
	}
	for _, uri := range []string{"/keys", "keys", "//127.0.0.1/keys", "?keys", ".", "file:///etc/passwd", "data:application/json,{}",
		"gopher://127.0.0.1/_x", "ftp://127.0.0.1/keys", "unix:///var/run/x", "javascript:1", "http://issuer.example/keys",
		"https://u:p@issuer.example/keys", "https://issuer.example/keys#x", "https://", "https:issuer.example", "https://127.1/keys"} {
		cases[uri] = struct {
			document string
			reason   Reason
		}{`{"issuer":"$I","jwks_uri":"` + uri + `"}`, ReasonJWKSURI}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFakeIssuer(t)
			f.handle(text(200, strings.ReplaceAll(c.document, "$I", f.issuer)), nil)
			checkFailure(t, f, c.reason)
			f.wantFetches(t, 1, 0)
		})
	}
}

func TestContentTypeIsNotLookedAt(t *testing.T) {
	one, _ := jwk(t, "k1")
	f := newFakeIssuer(t, one)
	f.handle(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, f.discovery())
	}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jwk-set+json")
		_, _ = io.WriteString(w, f.keySet())
	})
	k, _ := newKeySets(t, Config{}, f)
	wantKey(t, k, f.issuer, "k1")
}

func TestRequestsCarryNothing(t *testing.T) {
	var proxied atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { proxied.Add(1) }))
	defer proxy.Close()
	for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	one, _ := jwk(t, "k1")
	f := newFakeIssuer(t, one)
	f.handle(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", "trap=1; Path=/")
		_, _ = io.WriteString(w, f.discovery())
	}, nil)
	// By name: the environment's proxy is never meant for 127.0.0.1.
	f.issuer = fmt.Sprintf("https://example.com:%d/tenant", f.addrPort().Port())
	k, _ := newKeySets(t, Config{LookupNetIP: func(context.Context, string, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}}, f)
	wantKey(t, k, f.issuer, "k1")
	wantUnknown(t, k, f.issuer, "k2")
	if len(f.headers) != 3 || f.connections.Load() != 3 || proxied.Load() != 0 {
		t.Errorf("%d requests on %d connections, %d through a proxy", len(f.headers), f.connections.Load(), proxied.Load())
	}
	for _, h := range f.headers {
		h.Del("Connection")
		if len(h) != 2 || h.Get("User-Agent") != "cambio" || h.Get("Accept-Encoding") != "identity" {
			t.Errorf("headers %v", h)
		}
	}
}

// One issuer that hangs costs its own callers the time limit and others nothing.
func TestHangingIssuerIsAlone(t *testing.T) {
	one, _ := jwk(t, "k1")
	good, hangs := newFakeIssuer(t, one), newFakeIssuer(t, one)
	hangs.handle(drip, nil)
	k, _ := newKeySets(t, Config{HTTP: HTTPSettings{Timeout: time.Second}}, good, hangs)
	waiting := make(chan error)
	for range 200 {
		go func() {
			_, err := k.Lookup(t.Context(), hangs.issuer, header("k1"))
			waiting <- err
		}()
	}
	began := time.Now()
	for i := range 100 {
		wantKey(t, k, good.issuer, "k1")
		_, _ = k.Lookup(t.Context(), good.issuer, header(fmt.Sprint(i)))
	}
	if took := time.Since(began); took > 500*time.Millisecond {
		t.Errorf("100 requests beside a hanging issuer took %v", took)
	}
	for range 200 {
		var fail *FetchError
		if err := <-waiting; !errors.As(err, &fail) || fail.Reason != ReasonTimeout || !fail.Temporary {
			t.Errorf("hanging issuer: %v", err)
		}
	}
	if n := hangs.discoveries.Load(); n != 1 {
		t.Errorf("%d fetches from the hanging issuer", n)
	}
	began = time.Now()
	wantReason(t, k, hangs.issuer, ReasonTimeout)
	if took := time.Since(began); took > 20*time.Millisecond {
		t.Errorf("remembered failure took %v", took)
	}
}

func TestConcurrentRefreshesAreBounded(t *testing.T) {
	f := newFakeIssuer(t)
	f.handle(drip, nil)
	k, _ := newKeySets(t, Config{HTTP: HTTPSettings{Timeout: 300 * time.Millisecond, MaxConcurrent: 1}}, f)
	result := make(chan error)
	go func() {
		_, err := k.Lookup(t.Context(), f.issuer, header("k1"))
		result <- err
	}()
	for f.discoveries.Load() == 0 {
		runtime.Gosched()
	}
	wantReason(t, k, "https://127.0.0.1:1/other", ReasonBusy)
	<-result
	settle(k)
	wantReason(t, k, "https://127.0.0.1:1/other", ReasonAddress)
}

// Large documents are read a few at a time; small ones never wait for them.
func TestLargeBodiesAreBounded(t *testing.T) {
	one, _ := jwk(t, "k1")
	large, small := newFakeIssuer(t, one), newFakeIssuer(t, one)
	padding := strings.Repeat(" ", 900_000)
	large.handle(nil, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, large.keySet()+padding) })
	k, _ := newKeySets(t, Config{HTTP: HTTPSettings{Timeout: 500 * time.Millisecond}}, large, small)
	slots := k.standard.client.large
	for range cap(slots) {
		slots <- struct{}{}
	}
	wantKey(t, k, small.issuer, "k1")
	wantReason(t, k, large.issuer, ReasonTimeout)
	for range cap(slots) {
		<-slots
	}
	k, _ = newKeySets(t, Config{}, large)
	wantKey(t, k, large.issuer, "k1")
	if len(k.standard.client.large) != 0 {
		t.Error("a slot was not given back")
	}
}

// A document of exactly the bound is taken, one byte more is not.
func TestBodyBound(t *testing.T) {
	one, _ := jwk(t, "k1")
	for _, declared := range []bool{true, false} {
		for _, extra := range []int{0, 1} {
			f := newFakeIssuer(t, one)
			body := f.keySet()
			body += strings.Repeat(" ", 1<<20-len(body)+extra)
			f.handle(nil, func(w http.ResponseWriter, _ *http.Request) {
				if declared {
					w.Header().Set("Content-Length", fmt.Sprint(len(body)))
				}
				_, _ = io.WriteString(w, body)
			})
			k, _ := newKeySets(t, Config{}, f)
			if extra == 0 {
				wantKey(t, k, f.issuer, "k1")
			} else {
				wantReason(t, k, f.issuer, ReasonTooLarge)
			}
		}
	}
}

// certificate makes a self-signed server certificate for 127.0.0.1.
func certificate(t *testing.T, until time.Time, host string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "issuer"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IPAddresses: []net.IP{net.ParseIP(host)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestTLSIsVerified(t *testing.T) {
	tomorrow := time.Now().Add(24 * time.Hour)
	good := certificate(t, tomorrow, "127.0.0.1")
	cases := map[string]struct {
		certificate tls.Certificate
		trusted     bool
		version     uint16
		ok          bool
	}{
		"good":       {good, true, tls.VersionTLS13, true},
		"TLS 1.2":    {good, true, tls.VersionTLS12, true},
		"TLS 1.1":    {good, true, tls.VersionTLS11, false},
		"unknown CA": {good, false, tls.VersionTLS13, false},
		"expired":    {certificate(t, time.Now().Add(-time.Hour), "127.0.0.1"), true, tls.VersionTLS13, false},
		"other host": {certificate(t, tomorrow, "127.0.0.2"), true, tls.VersionTLS13, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			one, _ := jwk(t, "k1")
			f := newFakeIssuer(t, one)
			server := httptest.NewUnstartedServer(f)
			server.Config.ErrorLog = f.Config.ErrorLog
			server.TLS = &tls.Config{Certificates: []tls.Certificate{c.certificate}, MinVersion: tls.VersionTLS10, MaxVersion: c.version}
			server.StartTLS()
			defer server.Close()
			f.issuer = server.URL + "/tenant"
			policy := IssuerPolicy{Issuer: f.issuer, AllowPrefixes: prefixes("127.0.0.1/32")}
			if c.trusted {
				policy.RootsPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.certificate.Certificate[0]})
			}
			k, _ := newKeySets(t, Config{Issuers: []IssuerPolicy{policy}})
			if c.ok {
				wantKey(t, k, f.issuer, "k1")
				return
			}
			if fail := wantReason(t, k, f.issuer, ReasonTLS); fail.Temporary {
				t.Error("want permanent")
			}
		})
	}
}

func TestHTTPOnlyWhereAllowed(t *testing.T) {
	one, _ := jwk(t, "k1")
	f := newFakeIssuer(t, one)
	plain := httptest.NewServer(f)
	defer plain.Close()
	f.issuer = plain.URL + "/tenant"
	policy := IssuerPolicy{Issuer: f.issuer, AllowPrefixes: prefixes("127.0.0.1/32"), AllowHTTP: true}
	k, _ := newKeySets(t, Config{Issuers: []IssuerPolicy{policy}})
	wantKey(t, k, f.issuer, "k1")
	other, _ := newKeySets(t, Config{AllowedPrefixes: prefixes("127.0.0.1/32")})
	wantReason(t, other, f.issuer, ReasonIssuerURL)
}

func TestResolvedAddressesAreChecked(t *testing.T) {
	one, _ := jwk(t, "k1")
	f := newFakeIssuer(t, one)
	port := f.addrPort().Port()
	names := map[string][]netip.Addr{
		"private.example": {netip.MustParseAddr("127.0.0.1")},
		"mixed.example":   {netip.MustParseAddr("93.184.216.34"), netip.MustParseAddr("::1")},
		"mapped.example":  {netip.MustParseAddr("::ffff:127.0.0.1")},
		"nat64.example":   {netip.MustParseAddr("64:ff9b::7f00:1")},
		"empty.example":   {},
	}
	lookup := func(_ context.Context, _, host string) ([]netip.Addr, error) {
		if ips, ok := names[host]; ok {
			return ips, nil
		}
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	k, _ := newKeySets(t, Config{LookupNetIP: lookup})
	for host := range names {
		want := ReasonAddress
		if host == "empty.example" {
			want = ReasonUnreachable
		}
		wantReason(t, k, fmt.Sprintf("https://%s:%d/tenant", host, port), want)
	}
	if fail := wantReason(t, k, "https://absent.example", ReasonUnreachable); !fail.Temporary {
		t.Error("an unresolved name may resolve later")
	}
	if f.connections.Load() != 0 {
		t.Errorf("%d connections to an address that is not permitted", f.connections.Load())
	}
	// The exact address and port opens the way, by name too; the port beside
	// it stays shut.
	open, _ := newKeySets(t, Config{LookupNetIP: lookup}, f)
	f.issuer = fmt.Sprintf("https://private.example:%d/tenant", port)
	if fail := wantReason(t, open, f.issuer, ReasonTLS); f.connections.Load() != 1 {
		t.Errorf("%v, %d connections", fail, f.connections.Load())
	}
	wantReason(t, open, fmt.Sprintf("https://private.example:%d/tenant", port-1), ReasonAddress)
}

// Control refuses also what dial would have let through.
func TestControlHasTheLastWord(t *testing.T) {
	d := &dialer{}
	for address, ok := range map[string]bool{"93.184.216.34:443": true, "[2606:2800::1]:443": true, "127.0.0.1:443": false,
		"[::1]:443": false, "[fe80::1%eth0]:443": false, "169.254.169.254:80": false, "x": false} {
		if err := d.control(t.Context(), "tcp", address, nil); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// A name whose first address does not answer is reached by the second.
func TestNextAddressIsTried(t *testing.T) {
	one, _ := jwk(t, "k1")
	f := newFakeIssuer(t, one)
	d := &dialer{
		timeout: 2 * time.Second,
		allowed: Addresses{Prefixes: prefixes("127.0.0.0/8")},
		lookup: func(context.Context, string, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.77"), netip.MustParseAddr("127.0.0.1")}, nil
		},
	}
	conn, err := d.dial(t.Context(), "tcp", fmt.Sprintf("two.example:%d", f.addrPort().Port()))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}
