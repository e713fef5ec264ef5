package federation

import (
	"fmt"
	"strings"
	"testing"

	"cambio/internal/directory"
	"cambio/internal/jose"
	"cambio/internal/oauth"
)

// flexible is a credential with an expression.
func flexible(t testing.TB, name, expression string) directory.Credential {
	t.Helper()
	e, err := directory.ParseExpression(expression)
	if err != nil {
		t.Fatal(err)
	}
	return directory.Credential{ID: name, Name: name, Issuer: issuer, Expression: e, Audiences: []string{audience}}
}

func TestExpressionsDecide(t *testing.T) {
	p := newProvider(t)
	c := client(flexible(t, "branch", "claims['sub'] matches 'repo:acme/*:ref:refs/heads/main' and claims['job_workflow_ref'] eq 'acme/ci/deploy.yml@v1'"),
		flexible(t, "typed", "claims['number'] matches '*1*' and claims['sub'] eq 'typed'"))
	workflow := quote("acme/ci/deploy.yml@v1")
	for name, tt := range map[string]struct {
		over map[string]string
		want oauth.Code
	}{
		"both terms":               {map[string]string{"job_workflow_ref": workflow}, 0},
		"one term":                 {map[string]string{"job_workflow_ref": quote("acme/ci/deploy.yml@v2")}, oauth.SubjectMismatch},
		"claim absent":             {nil, oauth.SubjectMismatch},
		"claim in another case":    {map[string]string{"Job_workflow_ref": workflow}, oauth.SubjectMismatch},
		"value in another case":    {map[string]string{"job_workflow_ref": quote("Acme/ci/deploy.yml@v1")}, oauth.SubjectMismatch},
		"claim is a list":          {map[string]string{"job_workflow_ref": "[" + workflow + "]"}, oauth.SubjectMismatch},
		"claim is null":            {map[string]string{"job_workflow_ref": "null"}, oauth.SubjectMismatch},
		"claim escaped":            {map[string]string{"job_workflow_ref": `"\u0061cme/ci/deploy.yml@v1"`}, 0},
		"claim is a number":        {map[string]string{"sub": quote("typed"), "number": "11"}, oauth.SubjectMismatch},
		"claim is true":            {map[string]string{"sub": quote("typed"), "number": "true"}, oauth.SubjectMismatch},
		"claim is text":            {map[string]string{"sub": quote("typed"), "number": quote("11")}, 0},
		"another audience":         {map[string]string{"job_workflow_ref": workflow, "aud": quote("api://other")}, oauth.AudienceMismatch},
		"audience in another case": {map[string]string{"job_workflow_ref": workflow, "aud": quote("API://AzureADTokenExchange")}, oauth.CaseMismatch},
		"issuer in another case":   {map[string]string{"job_workflow_ref": workflow, "iss": quote("https://IDP.example/Path")}, oauth.CaseMismatch},
		"another issuer":           {map[string]string{"job_workflow_ref": workflow, "iss": quote("https://other.example")}, oauth.IssuerMismatch},
		"no sub":                   {map[string]string{"job_workflow_ref": workflow, "sub": ""}, oauth.MissingClaim},
		"empty sub":                {map[string]string{"job_workflow_ref": workflow, "sub": `""`}, oauth.MissingClaim},
	} {
		keys := &fakeKeys{keys: []*jose.PublicKey{p.public}}
		if got := verify(verifier(keys), c, p.token(tt.over), directory.Relaxed); got != tt.want {
			t.Errorf("%s: AADSTS%d, want AADSTS%d", name, got, tt.want)
		}
		if fetched := keys.lookups != 0; fetched != (tt.want == 0) {
			t.Errorf("%s: the issuer's keys were asked for: %v", name, fetched)
		}
	}
}

// TestExactCredentialsComeFirst: which credential is used, and so stands in
// the audit trail, does not depend on the order in which they were made.
func TestExactCredentialsComeFirst(t *testing.T) {
	first, second := flexible(t, "a", "claims['sub'] matches 'repo:*'"), flexible(t, "b", "claims['sub'] matches 'repo:acme/*'")
	elsewhere := credential()
	elsewhere.Audiences = []string{"api://other"}
	a := &Assertion{Issuer: issuer, Subject: subject, Audiences: []string{audience}}
	for want, c := range map[string]*directory.ClientRecord{"c1": client(second, credential(), first), "a": client(second, first, elsewhere), "b": client(second, elsewhere)} {
		if found, refusal := Match(c, a); refusal != nil || found.ID != want {
			t.Errorf("found %v, %v; want %s", found, refusal, want)
		}
	}
	// What matched but for the audience is found among both kinds.
	a.Audiences = []string{"API://AzureADTokenExchange"}
	c := client(elsewhere, first)
	if _, refusal := Match(c, a); refusal == nil || refusal.Code != oauth.CaseMismatch {
		t.Errorf("got %v, want AADSTS%d", refusal, oauth.CaseMismatch)
	}
	if got := c.Match(issuer, subject); len(got) != 1 || got[0].ID != "c1" {
		t.Errorf("a refusal changed the record: %v", got)
	}
}

// BenchmarkMatch compares what a refusal costs: with a subject, with the most
// expressions that a client may have, and with as many made to be slow, which
// somebody must have been allowed to register.
func BenchmarkMatch(b *testing.B) {
	slow := []string{}
	for _, claim := range []string{"a", "b", "c"} {
		slow = append(slow, "claims['"+claim+"'] matches '*"+strings.Repeat("?", 300)+strings.Repeat("a", 210)+"b*'")
	}
	text := quote(strings.Repeat("a", 1000) + "b")
	p := newProvider(b)
	a, refusal := Parse(p.token(map[string]string{"sub": quote("other"), "a": text, "b": text, "c": text}))
	if refusal != nil {
		b.Fatal(refusal)
	}
	clients := map[string]*directory.ClientRecord{"subject": client(credential())}
	for name, expression := range map[string]string{"expressions": "claims['sub'] matches 'repo:acme/*:ref:refs/heads/main'", "slow expressions": strings.Join(slow, " and ") + " and claims['sub'] eq 'x'"} {
		var all []directory.Credential
		for i := range directory.MaxFlexibleCredentials {
			all = append(all, flexible(b, fmt.Sprint("c", i), expression))
		}
		clients[name] = client(all...)
	}
	for name, c := range clients {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, refusal := Match(c, a); refusal == nil || refusal.Code != oauth.SubjectMismatch {
					b.Fatal(refusal)
				}
			}
		})
	}
}
