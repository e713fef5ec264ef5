package graph

import (
	"strings"
	"testing"

	"cambio/internal/directory"
	"cambio/internal/lint"
)

const everybody = "claims['sub'] matches 'repo:acme*'"

// TestLint: what a rule blocks is refused with the way past it; a reason lets
// it through and stands in the audit trail.
func TestLint(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	app, _ := f.application(`{"displayName":"shop"}`)
	path := "/beta/applications/" + app + "/federatedIdentityCredentials"
	refused := f.do("POST", path, flexibleBody("wide", everybody)).want(400, CodeBadRequest)
	for _, part := range []string{"lint rule L2", "repo:acme/shop:*", "Cambio-Lint-Override: L2=REASON"} {
		if !strings.Contains(refused.message(), part) {
			t.Errorf("the refusal lacks %q: %s", part, refused.message())
		}
	}
	f.do("POST", path, flexibleBody("wide", everybody), lint.OverrideHeader, "L1=for another rule").want(400, CodeBadRequest)
	f.do("POST", path, flexibleBody("wide", everybody), lint.OverrideHeader, "L2").want(400, CodeBadRequest)
	f.do("POST", path, flexibleBody("wide", everybody), lint.OverrideHeader, "L99=no rule").want(400, CodeBadRequest)
	f.do("POST", path, flexibleBody("wide", everybody), lint.OverrideHeader, "L5=x; L2=all of acme is ours").want(201, "")

	// What it trusts is not asked again for other changes.
	f.do("PATCH", path+"/wide", `{"description":"d"}`).want(204, "")
	f.do("PATCH", path+"/wide", `{"claimsMatchingExpression":{"value":"claims['sub'] matches 'repo:*'","languageVersion":1}}`).want(400, CodeBadRequest)
	f.do("PATCH", path+"/wide", `{"claimsMatchingExpression":{"value":"claims['sub'] matches 'repo:acme/shop:*'","languageVersion":1}}`).want(204, "")

	records, err := f.db.AuditRecords(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, r := range records {
		if detail := string(r.Detail); strings.Contains(detail, "lint.override") {
			found++
			if !strings.Contains(detail, "lint.override L2: all of acme is ours") || !strings.Contains(detail, app) {
				t.Errorf("audit record %s", detail)
			}
		}
	}
	if found != 1 {
		t.Errorf("%d records of overrides, want 1", found)
	}
}

// TestLintOfPolicy: a tenant grades rules, or reports only; pull requests
// matter by the roles that the client holds.
func TestLintOfPolicy(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	app, _ := f.application(`{"displayName":"shop"}`)
	path := "/beta/applications/" + app + "/federatedIdentityCredentials"
	organization := "/v1.0/organization/" + tenantID
	set := func(policy string) {
		f.do("PATCH", organization, `{"federationPolicy":{"lint":`+policy+`}}`).want(204, "")
	}

	f.do("POST", path, credentialBody("pulls", "repo:acme/shop:pull_request")).want(201, "") // it holds no role
	set(`{"levels":{"L2":"warn"}}`)
	f.do("POST", path, flexibleBody("graded", everybody)).want(201, "")
	set(`{"levels":{"L7":"block"}}`)
	f.do("POST", path, credentialBody("environment", "repo:acme/shop:environment:prod")).want(400, CodeBadRequest)
	set(`{"mode":"report-only"}`)
	f.do("POST", path, flexibleBody("reported", "claims['sub'] matches 'repo:*'")).want(201, "")
	for _, wrong := range []string{`{"levels":{"L99":"warn"}}`, `{"levels":{"L2":"error"}}`, `{"mode":"sometimes"}`} {
		f.do("PATCH", organization, `{"federationPolicy":{"lint":`+wrong+`}}`).want(400, CodeBadRequest)
	}
}

// TestLintOfStrictTenants: they take what Entra takes, until their policy says
// otherwise.
func TestLintOfStrictTenants(t *testing.T) {
	f := newFixture(t, directory.Strict)
	app, _ := f.application(`{"displayName":"shop"}`)
	path := "/beta/applications/" + app + "/federatedIdentityCredentials"
	f.do("POST", path, credentialBody("one", "environment:prod")).want(201, "")
	f.do("PATCH", "/v1.0/organization/"+tenantID, `{"federationPolicy":{"lint":{"mode":"enforce"}}}`).want(204, "")
	f.do("POST", path, credentialBody("two", "environment:staging")).want(400, CodeBadRequest)
}
