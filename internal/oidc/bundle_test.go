package oidc

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cambio/test/spiffe"
)

// trustDomain is a bundle endpoint: the keys' place of a fake issuer.
func trustDomain(t *testing.T, edit func(bundle string) string) (f *fakeIssuer, terms Terms, fetches *atomic.Int64) {
	t.Helper()
	a, err := spiffe.New("example.org")
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := a.Bundle()
	if err != nil {
		t.Fatal(err)
	}
	f = newFakeIssuer(t)
	f.handle(nil, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, edit(string(bundle))) })
	return f, Terms{Name: td + " 1", Bundle: f.issuer + "/keys", Policy: func() IssuerPolicy { return IssuerPolicy{Issuer: td} }}, &f.keyFetches
}

const td = "spiffe://example.org"

func asIs(bundle string) string { return bundle }

func TestBundleHasKeysAndAuthorities(t *testing.T) {
	f, terms, fetches := trustDomain(t, asIs)
	k, clock := newKeySets(t, Config{}, f)
	if keys, err := k.LookupUnder(t.Context(), td, terms, header("authority-1")); err != nil || len(keys) != 1 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	if roots, err := k.Authorities(t.Context(), td, terms); err != nil || len(roots) != 1 {
		t.Errorf("%d authorities, %v", len(roots), err)
	}
	f.wantFetches(t, 0, 1) // and never a discovery document
	// The trust domain wants to be asked every five minutes.
	clock.Advance(8 * time.Minute)
	if _, err := k.Authorities(t.Context(), td, terms); err != nil {
		t.Error(err)
	}
	if n := fetches.Load(); n != 2 {
		t.Errorf("%d fetches after the hint's time", n)
	}
}

func TestBundleRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(string) string
		want Reason
	}{
		"no JSON":       {func(string) string { return "<html>" }, ReasonBundle},
		"no bundle":     {func(string) string { return `{"issuer":"x"}` }, ReasonBundle},
		"nothing in it": {func(string) string { return `{"keys":[]}` }, ReasonNoKeys},
		"a JWK set": {func(b string) string {
			return strings.NewReplacer(`"jwt-svid"`, `"sig"`, `"x509-svid"`, `"enc"`).Replace(b)
		}, ReasonNoKeys},
	} {
		t.Run(name, func(t *testing.T) {
			f, terms, _ := trustDomain(t, c.edit)
			k, _ := newKeySets(t, Config{}, f)
			_, err := k.LookupUnder(t.Context(), td, terms, header("authority-1"))
			var fail *FetchError
			if !errors.As(err, &fail) || fail.Reason != c.want || fail.Document != Bundle {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

// A bundle of JWT keys alone has no authority for certificates.
func TestBundleWithoutAuthorities(t *testing.T) {
	f, terms, _ := trustDomain(t, func(b string) string { return strings.Replace(b, `"x509-svid"`, `"other"`, 1) })
	k, _ := newKeySets(t, Config{}, f)
	var fail *FetchError
	if _, err := k.Authorities(t.Context(), td, terms); !errors.As(err, &fail) || fail.Reason != ReasonNoKeys {
		t.Errorf("%v", err)
	}
	if _, err := k.LookupUnder(t.Context(), td, terms, header("authority-1")); err != nil {
		t.Error(err)
	}
}

// A certificate of a new authority is worth a fetch, within the budget.
func TestRenewAuthorities(t *testing.T) {
	var more atomic.Bool
	other, err := spiffe.New("example.org")
	if err != nil {
		t.Fatal(err)
	}
	rotated, err := other.Bundle()
	if err != nil {
		t.Fatal(err)
	}
	f, terms, fetches := trustDomain(t, func(b string) string {
		if more.Load() {
			return string(rotated)
		}
		return b
	})
	k, clock := newKeySets(t, Config{}, f)
	before, err := k.Authorities(t.Context(), td, terms)
	if err != nil {
		t.Fatal(err)
	}
	more.Store(true)
	after := k.RenewAuthorities(t.Context(), td, terms)
	if len(after) != 1 || after[0].Equal(before[0]) {
		t.Errorf("%d authorities, or the old one", len(after))
	}
	for range 10 { // as many as an attacker likes
		k.RenewAuthorities(t.Context(), td, terms)
	}
	if n := fetches.Load(); n > 3 {
		t.Errorf("%d fetches", n)
	}
	clock.Advance(time.Minute)
	f.handle(nil, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	if got := k.RenewAuthorities(t.Context(), td, terms); got != nil {
		t.Errorf("%d authorities of a bundle that could not be had", len(got))
	}
	if got, err := k.Authorities(t.Context(), td, terms); err != nil || !got[0].Equal(after[0]) {
		t.Errorf("those at hand: %v", err)
	}
}

// Nothing is sent to a place that is not permitted, whoever registered it.
func TestBundleEndpointIsChecked(t *testing.T) {
	f, terms, fetches := trustDomain(t, asIs)
	k, _ := newKeySets(t, Config{}, f)
	for _, url := range []string{"http://spire.example.org/bundle", "https://169.254.169.254/bundle", "https://metadata.google.internal/bundle"} {
		terms.Bundle, terms.Name = url, td+" "+url
		var fail *FetchError
		if _, err := k.Authorities(t.Context(), td, terms); !errors.As(err, &fail) {
			t.Errorf("%s: %v", url, err)
		}
	}
	// A trust domain without an endpoint has nothing to discover.
	var fail *FetchError
	if _, err := k.Lookup(t.Context(), td, header("authority-1")); !errors.As(err, &fail) || fail.Reason != ReasonIssuerURL {
		t.Errorf("not managed: %v", err)
	}
	if fetches.Load() != 0 {
		t.Error("something was fetched")
	}
}

func TestCheckBundle(t *testing.T) {
	for name, c := range map[string]struct {
		edit         func(string) string
		endpoint     string // empty: the real one
		step, advice string
	}{
		"well":             {asIs, "", "", ""},
		"a key set":        {func(string) string { return `{"keys":[{"kty":"RSA","use":"sig","kid":"k1"}]}` }, "", "bundle", "OIDC discovery provider"},
		"HTML":             {func(string) string { return "<html>" }, "", "bundle", "SPIFFE bundle"},
		"plain http":       {asIs, "http://spire.example.org", "url", "https"},
		"nobody there":     {asIs, "https://127.0.0.1:1/bundle", "bundle answer", "Nothing listens"},
		"X.509-SVIDs only": {func(b string) string { return strings.Replace(b, `"jwt-svid"`, `"other"`, 1) }, "", "", ""},
	} {
		f, terms, _ := trustDomain(t, c.edit)
		endpoint := terms.Bundle
		if c.endpoint != "" {
			endpoint = c.endpoint
		}
		report, err := CheckBundle(t.Context(), checkable(f), td, endpoint)
		if err != nil {
			t.Fatal(err)
		}
		last := report.Steps[len(report.Steps)-1]
		switch {
		case c.step == "" && !report.OK():
			t.Errorf("%s: %+v", name, last)
		case c.step != "" && (report.OK() || last.Name != c.step || !strings.Contains(last.Advice, c.advice)):
			t.Errorf("%s: %+v", name, last)
		}
	}
}
