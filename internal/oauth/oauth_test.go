package oauth

import (
	"strings"
	"testing"
)

func TestCatalogueRowsAreComplete(t *testing.T) {
	seen := map[Code]bool{}
	for _, r := range Catalogue() {
		if seen[r.Code] {
			t.Errorf("AADSTS%d has two rows", r.Code)
		}
		seen[r.Code] = true
		if r.Error == "" || r.Status < 400 || r.Text == "" || r.Cause == "" || r.Remedy == "" {
			t.Errorf("AADSTS%d: the row is incomplete: %+v", r.Code, r)
		}
		if r.Error == InvalidClient && r.Status != 401 {
			t.Errorf("AADSTS%d: invalid_client is answered with 401 (RFC 6749 §5.2), not %d", r.Code, r.Status)
		}
	}
}

func TestRefuseFillsEveryPlace(t *testing.T) {
	for _, r := range Catalogue() {
		values := make([]string, strings.Count(r.Text, "%s"))
		for i := range values {
			values[i] = "presented"
		}
		if e := Refuse(r.Code, values...); strings.Contains(e.Description, "%!") || strings.Count(e.Description, "presented") < len(values) {
			t.Errorf("AADSTS%d: %s", r.Code, e.Description)
		}
	}
}

func TestLookupPanicsWithoutRow(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a code without a row must not pass silently")
		}
	}()
	Lookup(1)
}

func TestShow(t *testing.T) {
	for presented, want := range map[string]string{
		"repo:acme/shop:ref:refs/heads/main": "repo:acme/shop:ref:refs/heads/main",
		"a\r\nX-Injected: 1":                 "a··X-Injected: 1",
		"<script>":                           "·script·",
		"o'brien":                            "o·brien",
		"\u202eevil":                         "·evil",
		"bad\xff":                            "bad·",
		"münchen":                            "münchen",
		strings.Repeat("é", 301):             strings.Repeat("é", 300) + "…",
	} {
		if got := Show(presented); got != want {
			t.Errorf("Show(%q) = %q, want %q", presented, got, want)
		}
	}
}

func TestShowIssuerRepeatsPlainURLsOnly(t *testing.T) {
	for presented, want := range map[string]string{
		"https://oidc.example/k8s/":           "https://oidc.example/k8s/",
		"https://oidc.example@127.0.0.2:9":    Hidden,
		"https://oidc.example?x=1":            Hidden,
		"https://" + strings.Repeat("a", 700): Hidden,
	} {
		if got := ShowIssuer(presented); got != want {
			t.Errorf("ShowIssuer(%q) = %q, want %q", presented, got, want)
		}
	}
}
