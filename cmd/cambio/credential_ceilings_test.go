package main

import (
	"net/http"
	"strings"
	"testing"
)

// What the flags say counts as soon as the command returned, and each flag
// leaves the other ceilings as they are.
func TestCeilingsByFlags(t *testing.T) {
	p := rehearse(t, githubIssuer)
	token := p.token(t, platformTokens["github-acme-shop-prod"])
	p.run(t, "credential", "create", "--app", p.app, "--from-token", p.file(t, token), "--name", "prod", "--yes")
	update := func(args ...string) string {
		return p.run(t, append([]string{"credential", "update", "prod", "--app", p.app, "-o", "json"}, args...)...)
	}
	for _, c := range []struct {
		args []string
		want string // of the refusal; empty: a token
	}{
		{[]string{"--max-lifetime", "5m"}, ""},
		{[]string{"--source", "192.0.2.0/24"}, "AADSTS53003"},
		{[]string{"--source", "192.0.2.0/24", "--source", "127.0.0.1"}, ""},
		{[]string{"--disable"}, "AADSTS7002391"},
		{[]string{"--enable", "--report-only"}, "AADSTS7002395"},
		{[]string{"--report-only=false", "--not-after", "2020-01-01T00:00:00Z"}, "AADSTS7002392"},
		{[]string{"--not-after", "", "--resources", p.app}, "AADSTS7002393"},
		{[]string{"--resources", "", "--source", ""}, ""},
	} {
		shown := update(c.args...)
		if !strings.Contains(strings.ReplaceAll(shown, " ", ""), `"maxLifetime":300`) {
			t.Errorf("%q: the lifetime was lost: %s", c.args, shown)
		}
		status, refusal := p.exchange(t, p.app, token)
		if c.want == "" && status != http.StatusOK || !strings.Contains(refusal, c.want) || c.want != "" && status == http.StatusOK {
			t.Errorf("%q: %d %s; want %q", c.args, status, refusal, c.want)
		}
	}
	if shown := update("--max-lifetime", "0"); strings.Contains(shown, "ceilings") {
		t.Errorf("ceilings that bound nothing are shown: %s", shown)
	}
}

// The definition of an identity's credential is a PUT: it keeps ceilings.
func TestCeilingsOfIdentities(t *testing.T) {
	p := rehearse(t)
	p.run(t, "identity", "create", "shop", "-g", "team", "--location", "local")
	p.run(t, "credential", "create", "--identity", "shop", "--name", "cluster", "--issuer", githubIssuer, "--subject", "a")
	p.run(t, "credential", "update", "cluster", "--identity", "shop", "--disable")
	for _, args := range [][]string{
		{"credential", "create", "--identity", "shop", "--name", "cluster", "--issuer", githubIssuer, "--subject", "b", "--replace"},
		{"credential", "update", "cluster", "--identity", "shop", "--subject", "c"},
	} {
		p.run(t, args...)
		if shown := p.run(t, "credential", "show", "cluster", "--identity", "shop", "-o", "json"); !strings.Contains(strings.ReplaceAll(shown, " ", ""), `"disabled":true`) {
			t.Errorf("%q lifted the ceilings: %s", args, shown)
		}
	}
	p.run(t, "credential", "update", "cluster", "--identity", "shop", "--enable")
	if shown := p.run(t, "credential", "show", "cluster", "--identity", "shop", "-o", "json"); strings.Contains(shown, "ceilings") {
		t.Errorf("they were not lifted: %s", shown)
	}
}

func TestMistakesInCeilings(t *testing.T) {
	p := rehearse(t, githubIssuer)
	p.run(t, "credential", "create", "--app", p.app, "--name", "prod", "--issuer", githubIssuer, "--subject", "a")
	for want, args := range map[string][]string{
		"exclude each other": {"--disable", "--enable"},
		"takes a time":       {"--not-after", "tomorrow"},
		"whole seconds":      {"--max-lifetime", "1500ms"},
		"60 to 86400":        {"--max-lifetime", "1s"},
		"appId":              {"--resources", "orders"},
		"neither a network":  {"--source", "here"},
	} {
		if _, _, err := p.try(append([]string{"credential", "update", "prod", "--app", p.app}, args...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", args, err, want)
		}
	}
}
