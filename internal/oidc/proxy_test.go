package oidc

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"sync/atomic"
	"testing"
)

// An issuer with a proxy is reached through it and by nothing else: its name
// is not resolved here. One without goes its own way.
func TestIssuerBehindProxy(t *testing.T) {
	f := newFakeIssuer(t, testJWK(t, "k1"))
	f.issuer = "https://example.com/tenant" // the certificate of httptest is for it
	var asked atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != "example.com:443" || r.Header.Get("Authorization")+r.Header.Get("Proxy-Authorization") != "" {
			t.Errorf("the proxy was asked for %s %s, %v", r.Method, r.Host, r.Header)
		}
		asked.Add(1)
		relay(t, w, f.addrPort())
	}))
	defer proxy.Close()
	address, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	k, err := New(Config{ExtraRootsPEM: f.roots(), LookupNetIP: func(context.Context, string, string) ([]netip.Addr, error) {
		return nil, &net.DNSError{IsNotFound: true}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	through := Terms{Name: f.issuer + " through", Policy: func() IssuerPolicy { return IssuerPolicy{Issuer: f.issuer, Proxy: address} }}
	for range 2 {
		if keys, err := k.LookupUnder(t.Context(), f.issuer, through, header("k1")); err != nil || len(keys) != 1 {
			t.Fatalf("%v, %v", keys, err)
		}
	}
	if asked.Load() != 2 {
		t.Errorf("%d connections through the proxy, want one for each document", asked.Load())
	}
	if status, ok := k.StatusUnder(f.issuer, through); !ok || len(status.Keys) != 1 {
		t.Errorf("%+v", status)
	}
	var fail *FetchError
	if _, err := k.Lookup(t.Context(), f.issuer, header("k1")); !errors.As(err, &fail) || fail.Reason != ReasonUnreachable {
		t.Errorf("without the proxy: %v", err)
	}
}

// relay is what a proxy does after CONNECT (RFC 9110 section 9.3.6).
func relay(t *testing.T, w http.ResponseWriter, to netip.AddrPort) {
	upstream, err := net.Dial("tcp", to.String())
	if err != nil {
		t.Error(err)
		return
	}
	defer upstream.Close()
	w.WriteHeader(http.StatusOK)
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	defer client.Close()
	go func() { _, _ = io.Copy(upstream, buffered) }() // ends with the connection
	_, _ = io.Copy(client, upstream)
}

// What a tenant adds to an issuer holds for that tenant alone: neither what it
// may dial nor whom it trusts is another's.
func TestTermsAreApart(t *testing.T) {
	f := newFakeIssuer(t, testJWK(t, "k1"), testJWK(t, "k2"))
	k, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	terms := func(name string, policy IssuerPolicy) Terms {
		return Terms{Name: f.issuer + " " + name, Policy: func() IssuerPolicy { return policy }}
	}
	local := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	all := terms("all", IssuerPolicy{RootsPEM: f.roots(), AllowPrefixes: local})
	if keys, err := k.LookupUnder(t.Context(), f.issuer, all, header("k2")); err != nil || len(keys) != 1 {
		t.Fatalf("%v, %v", keys, err)
	}
	capped := terms("capped", IssuerPolicy{RootsPEM: f.roots(), AllowPrefixes: local, MaxKeys: 1})
	if _, err := k.LookupUnder(t.Context(), f.issuer, capped, header("k2")); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("a key beyond the cap: %v", err)
	}
	for want, other := range map[Reason]Terms{
		ReasonTLS:     terms("addresses only", IssuerPolicy{AllowPrefixes: local}),
		ReasonAddress: {},
	} {
		var fail *FetchError
		if _, err := k.LookupUnder(t.Context(), f.issuer, other, header("k1")); !errors.As(err, &fail) || fail.Reason != want {
			t.Errorf("%s: %v", want, err)
		}
	}
}
