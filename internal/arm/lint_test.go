package arm

import (
	"strings"
	"testing"

	"cambio/internal/directory"
	"cambio/internal/lint"
)

// TestLint: what a rule blocks is refused, unless the request gives a reason,
// which stands in the audit trail.
func TestLint(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	f.identity("id1")
	path := identities + "/id1/federatedIdentityCredentials/wide" + "?api-version=2025-01-31-preview"
	body := strings.Replace(credentialOfExpression("claims['sub'] matches 'repo:acme*'"), "https://oidc.example/k8s/", "https://token.actions.githubusercontent.com", 1)
	if refused := f.do("PUT", path, body).want(400, CodeBadRequest); !strings.Contains(refused.text, "lint rule L2") {
		t.Errorf("%s", refused.text)
	}
	f.do("PUT", path, body, lint.OverrideHeader, "L2=all of acme is ours").want(201, "")
	f.do("PUT", path, body).want(200, "") // it is so already
	records, err := f.db.AuditRecords(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	trail := ""
	for _, r := range records {
		trail += string(r.Detail) + "\n"
	}
	if strings.Count(trail, "lint.override L2: all of acme is ours") != 1 {
		t.Errorf("the trail has not one record of the reason:\n%s", trail)
	}
}
