package graph

import (
	"strings"
	"testing"

	"cambio/internal/audit"
	"cambio/internal/directory"
)

// TestAuditRows: each accepted write leaves one row that says who did what to
// which object; a refused one changes nothing and leaves none.
func TestAuditRows(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	app, _ := f.application(`{"displayName":"shop"}`)
	path := "/v1.0/applications/" + app + "/federatedIdentityCredentials"
	id := f.do("POST", path, credentialBody("gh-main", "s")).want(201, "").string("id")
	f.do("POST", path, credentialBody("gh-main", "s")).want(409, CodeSameKeyValue)
	f.do("PATCH", path+"/gh-main", `{"subject":"t"}`).want(204, "")
	f.do("DELETE", path+"/gh-main", "").want(204, "")
	f.do("DELETE", path+"/gh-main", "").want(404, CodeNotFound)
	records, err := f.db.AuditRecords(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{actionCreateApplication, actionCreateCredential, actionUpdateCredential, actionDeleteCredential}
	records = records[1:] // the first made the tenants
	if len(records) != len(want) {
		t.Fatalf("%d rows, want %d", len(records), len(want))
	}
	for i, r := range records {
		detail := string(r.Detail)
		for _, part := range []string{`"` + want[i] + `"`, `"graph"`, `"client-id"`, f.caller.PrincipalID, app} {
			if !strings.Contains(detail, part) {
				t.Errorf("row %d: %s lacks %s", i, detail, part)
			}
		}
		if i > 0 && !strings.Contains(detail, id) || r.Kind != audit.KindChange || r.TenantID != tenantID {
			t.Errorf("row %d: %s", i, detail)
		}
	}
}
