package oidc

import (
	"context"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"cambio/internal/jose"
)

// Each thing that can be wrong with an issuer is found at its step, with what
// to do.
func TestCheck(t *testing.T) {
	body := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	for name, c := range map[string]struct {
		change       func(*fakeIssuer, *Config)
		step, advice string // of the step that failed; empty: none
	}{
		"well":         {func(*fakeIssuer, *Config) {}, "", ""},
		"private":      {func(_ *fakeIssuer, cfg *Config) { cfg.AllowedPrefixes = nil }, "url", "permitted"},
		"no TLS trust": {func(_ *fakeIssuer, cfg *Config) { cfg.ExtraRootsPEM = nil }, "discovery answer", "certificate authority"},
		"not found":    {func(f *fakeIssuer, _ *Config) { f.onDiscovery = status(404) }, "discovery answer", "There is no document"},
		"forbidden":    {func(f *fakeIssuer, _ *Config) { f.onDiscovery = status(403) }, "discovery answer", "without signing in"},
		"redirect":     {func(f *fakeIssuer, _ *Config) { f.onDiscovery = status(302) }, "discovery answer", "not followed"},
		"HTML":         {func(f *fakeIssuer, _ *Config) { f.onDiscovery = body("<html>") }, "discovery document", "HTML"},
		"other issuer": {func(f *fakeIssuer, _ *Config) {
			f.onDiscovery = body(`{"issuer":"https://x.example","jwks_uri":"https://x.example/k"}`)
		}, "discovery document", "slash at the end"},
		"no jwks_uri":   {func(f *fakeIssuer, _ *Config) { f.onDiscovery = body(`{"issuer":"` + f.issuer + `"}`) }, "discovery document", "jwks_uri must be"},
		"no key set":    {func(f *fakeIssuer, _ *Config) { f.onKeys = body(`[]`) }, "keys", "JWK set"},
		"no usable key": {func(f *fakeIssuer, _ *Config) { f.onKeys = body(`{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`) }, "keys", "not used"},
	} {
		f := newFakeIssuer(t, testJWK(t, "k1"))
		cfg := checkable(f)
		f.mu.Lock()
		c.change(f, &cfg)
		f.mu.Unlock()
		report, err := Check(t.Context(), cfg, f.issuer)
		if err != nil {
			t.Fatal(err)
		}
		last := report.Steps[len(report.Steps)-1]
		switch {
		case c.step == "" && (!report.OK() || len(report.Keys) != 1 || report.CertificateExpires.IsZero()):
			t.Errorf("%s: %+v", name, report)
		case c.step != "" && (report.OK() || last.Name != c.step || !strings.Contains(last.Advice, c.advice)):
			t.Errorf("%s: %+v", name, last)
		}
	}
}

// Keys that are there twice, or beyond the bound, are told of.
func TestCheckOfKeys(t *testing.T) {
	f := newFakeIssuer(t, testJWK(t, "k1"), testJWK(t, "k1"), testJWK(t, "k2"))
	cfg := checkable(f)
	cfg.MaxKeys = 2
	report, err := Check(t.Context(), cfg, f.issuer)
	if err != nil || !report.OK() || len(report.Keys) != 2 || len(report.Ignored) != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	var notes []string
	for _, s := range report.Steps {
		notes = append(notes, s.Note)
	}
	if all := strings.Join(notes, "\n"); !strings.Contains(all, `several keys have the kid "k1"`) || !strings.Contains(all, "at least 1") {
		t.Error(all)
	}
	set := func(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }
	one, two := testJWK(t, "k1"), testJWK(t, "k2")
	published, err := jose.ParseKeySet([]byte(set(one, two)), 10)
	if err != nil {
		t.Fatal(err)
	}
	report = &Report{Keys: published.Keys}
	for pinned, differs := range map[string]bool{set(one, two): false, set(two, one): false, set(one): true, set(one, two, testJWK(t, "k3")): true, "{}": true, set(): true} {
		if report.Differs(pinned) != differs {
			t.Errorf("%.60s… differs: %t", pinned, !differs)
		}
	}
}

// A name that does not exist, and one that leads to an address that is not
// permitted, are told apart.
func TestCheckOfNames(t *testing.T) {
	for want, lookup := range map[string]lookupFunc{
		"discovery name": func(context.Context, string, string) ([]netip.Addr, error) {
			return nil, &net.DNSError{IsNotFound: true}
		},
		"discovery address": func(context.Context, string, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("10.0.0.1")}, nil
		},
	} {
		report, err := Check(t.Context(), Config{LookupNetIP: lookup}, "https://issuer.example")
		if last := report.Steps[len(report.Steps)-1]; err != nil || last.OK || last.Name != want || last.Advice == "" {
			t.Errorf("%s: %+v, %v", want, last, err)
		}
	}
}

func checkable(f *fakeIssuer) Config {
	return Config{ExtraRootsPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw}),
		AllowedPrefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
}

func testJWK(t *testing.T, keyID string) string {
	text, _ := jwk(t, keyID)
	return text
}
