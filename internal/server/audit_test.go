package server

import (
	"net/http/httptest"
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

// Without checkpoints there is no time of the last one, which an alert would
// take for one that is missing.
func TestCheckpointsThatAreNotWanted(t *testing.T) {
	for _, wanted := range []bool{true, false} {
		r := newRig(t)
		r.MeasureAudit(wanted, func() AuditFigures { return AuditFigures{Behind: 17, Tampered: true} })
		recorder := httptest.NewRecorder()
		r.OperationsHandler().ServeHTTP(recorder, httptest.NewRequest("GET", "/metrics", nil))
		text := recorder.Body.String()
		if got := strings.Contains(text, "\ncambio_audit_checkpoint_timestamp_seconds 0\n"); got != wanted {
			t.Errorf("checkpoints %v: the time of the last one is there: %v", wanted, got)
		}
		for _, figure := range []string{"\ncambio_audit_export_behind_records 17\n", "\ncambio_audit_tampered 1\n"} {
			if !strings.Contains(text, figure) {
				t.Errorf("there is no %q", figure)
			}
		}
	}
}
