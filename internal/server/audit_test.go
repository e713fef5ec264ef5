package server

import (
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"cambio/internal/bootstrap"
	"cambio/internal/directory"
)

// TestAuditOverTheWholeServer: an administrator sees what was done in its own
// tenant, by whichever interface, and nothing of another's.
func TestAuditOverTheWholeServer(t *testing.T) {
	r := newRig(t)
	other, err := bootstrap.Create(t.Context(), r.db, bootstrap.Tenant{DisplayName: "Other", Compat: directory.Relaxed}, r.now)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := r.ManagementToken(t.Context(), other.TenantID, other.AdminClientID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	token := r.token(t)
	if got := r.call("POST", "/v1.0/applications", token, `{"displayName":"audited"}`); got.Code != 201 {
		t.Fatalf("status %d: %s", got.Code, got.Body)
	}
	read := func(bearer, path string, status int) string {
		t.Helper()
		got := r.call("GET", path, bearer, "")
		if got.Code != status {
			t.Errorf("%s: status %d: %s", path, got.Code, got.Body)
		}
		if !jsontext.Value(got.Body.Bytes()).IsValid() {
			t.Errorf("%s: %s", path, got.Body)
		}
		return got.Body.String()
	}
	const created = `"action":"application.create"`
	if text := read(token, "/audit/v1/records?kind=change", 200); !strings.Contains(text, created) || !strings.Contains(text, r.admin.TenantID) || strings.Contains(text, other.TenantID) {
		t.Error(text)
	}
	if text := read(stranger, "/audit/v1/records", 200); strings.Contains(text, created) || strings.Contains(text, r.admin.TenantID) || !strings.Contains(text, other.TenantID) {
		t.Error(text)
	}
	if text := read(token, "/audit/v1/records?limit=many", 400); !strings.Contains(text, "Request_BadRequest") {
		t.Error(text)
	}
	read(token, "/audit/v1/nothing", 404)
	read("", "/audit/v1/records", 401)
}
