package trustapi

import (
	"strings"
	"testing"
)

const wide = `
version: 1
applications:
- uniqueName: shop
  displayName: Shop
  servicePrincipal: {}
  federatedIdentityCredentials:
  - {name: wide, issuer: "https://token.actions.githubusercontent.com", claimsMatchingExpression: {value: "claims['sub'] matches 'repo:acme*'"}, audiences: ["api://AzureADTokenExchange"]OVERRIDES}
  - {name: pulls, issuer: "https://token.actions.githubusercontent.com", subject: "repo:acme/shop:pull_request", audiences: ["api://AzureADTokenExchange"]}
`

// TestLint: a plan and an application are refused with what a rule blocks,
// unless the document gives a reason, which stands in the audit trail.
func TestLint(t *testing.T) {
	f := newFixture(t)
	refused := strings.Replace(wide, "OVERRIDES", "", 1)
	for name, send := range map[string]func() *answer{"plan": func() *answer { return f.plan(refused) }, "apply": func() *answer { return f.apply(refused) }} {
		if got := send(); got.status != 400 || !strings.Contains(got.text, "lint rule L2") || !strings.Contains(got.text, "federatedIdentityCredentials[0]") {
			t.Errorf("%s: %d %s", name, got.status, got.text)
		}
	}
	reason := strings.Replace(wide, "OVERRIDES", ", lintOverrides: {L2: all of acme is ours}", 1)
	f.apply(reason).want("create application shop", "create servicePrincipal shop", "create federatedIdentityCredential shop/wide", "create federatedIdentityCredential shop/pulls")
	f.apply(refused).want() // it is so already
	trail := ""
	for _, r := range f.audit() {
		trail += string(r.Detail) + "\n"
	}
	if strings.Count(trail, "lint.override L2: all of acme is ours") != 1 {
		t.Errorf("the trail has not one record of the reason:\n%s", trail)
	}

	// Pull requests are refused together with the role that they would use.
	roles := `
version: 1
applications:
- uniqueName: orders
  displayName: Orders
  servicePrincipal: {}
  appRoles: [{value: Orders.Write, displayName: write, description: write}]
- uniqueName: pulls
  displayName: Pulls
  servicePrincipal: {}
  federatedIdentityCredentials:
  - {name: pulls, issuer: "https://token.actions.githubusercontent.com", subject: "repo:acme/orders:pull_request", audiences: ["api://AzureADTokenExchange"]}
  appRoleAssignments: [{resource: orders, role: Orders.Write}]
`
	if got := f.plan(roles); got.status != 400 || !strings.Contains(got.text, "lint rule L5") {
		t.Errorf("%d %s", got.status, got.text)
	}
}
