package server

import (
	"strings"
	"testing"

	"cambio/internal/directory"
	"cambio/internal/store"
)

// A tenant's name stands where trust does in a path, but has a dot, or is a
// GUID, or adfs: the routes of one are never the other's.
func TestNoTenantIsCalledTrust(t *testing.T) {
	r := newRig(t)
	token := r.token(t)
	for path, want := range map[string]int{"/trust/v1/configuration": 200, "/trust/v1/schema": 200, "/trust/oauth2/v2.0/token": 404,
		"/trust/v2.0/.well-known/openid-configuration": 404, "/TRUST/v1/configuration": 404, "/trust/v1/nothing": 404} {
		if got := r.call("GET", path, token, ""); got.Code != want {
			t.Errorf("%s: status %d, want %d: %.300s", path, got.Code, want, got.Body)
		}
	}
	named := directory.Tenant{ID: r.admin.TenantID, DisplayName: "Example", Compat: directory.Relaxed, Domains: []string{"trust"}}
	if err := directory.ValidateTenant(&named); err == nil {
		t.Error("a tenant may be called trust")
	}
}

// What a document grants holds at once, and the holder of the roles that it
// takes together is a role away from being refused.
func TestTrustOverTheWholeServer(t *testing.T) {
	r := newRig(t)
	token := r.token(t)
	document := `{"document":{"version":1,"applications":[{"uniqueName":"orders","displayName":"Orders","identifierUris":["api://orders"],` +
		`"appRoles":[{"value":"Orders.Read","displayName":"Read"}]},{"uniqueName":"shop","displayName":"Shop","appRoleAssignments":` +
		`[{"resource":"orders","role":"Orders.Read"},{"resource":"00000003-0000-0000-c000-000000000000","role":"Application.Read.All"}]}]}}`
	if got := r.call("POST", "/trust/v1/apply", token, document); got.Code != 200 {
		t.Fatalf("status %d: %s", got.Code, got.Body)
	}
	shop, err := r.db.Application(t.Context(), r.admin.TenantID, store.Ref{UniqueName: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	client, err := r.directory.Client(t.Context(), r.admin.TenantID, shop.AppID)
	if err != nil {
		t.Fatal(err)
	}
	granted := 0
	for _, roles := range client.Grants {
		granted += len(roles)
	}
	if granted != 2 {
		t.Errorf("the client holds %v", client.Grants)
	}
	for body, want := range map[string]string{
		`{"document":{"version":1,"applications":[{"uniqueName":"own","displayName":"Own","federatedIdentityCredentials":[{"name":"own","issuer":"` + base + `/` + r.admin.TenantID + `/v2.0","subject":"s","audiences":["a"]}]}]}}`: "this server itself",
		`{"document":{"version":1,"applications":[{"uniqueName":"x","displayName":"` + strings.Repeat("x", 300) + `"}]}}`:                                                                                                            "at most 256",
	} {
		if got := r.call("POST", "/trust/v1/apply", token, body); got.Code != 400 || !strings.Contains(got.Body.String(), want) {
			t.Errorf("status %d: %s; want %q", got.Code, got.Body, want)
		}
	}
}
