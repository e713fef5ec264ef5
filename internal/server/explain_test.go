package server

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"cambio/internal/directory"
	"cambio/internal/explain"
	"cambio/internal/management"
	"cambio/internal/store"
)

// refuse has an assertion refused, and returns the correlation id.
func (r *rig) refuse(t *testing.T, clientID, assertion string) string {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {clientID}, "scope": {base + "/.default"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {assertion}}
	req := httptest.NewRequest(http.MethodPost, "/"+r.admin.TenantID+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	recorder := httptest.NewRecorder()
	r.Handler().ServeHTTP(recorder, req)
	var answer struct {
		ID string `json:"correlation_id"`
	}
	if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil || recorder.Code == http.StatusOK {
		t.Fatalf("status %d: %s (%v)", recorder.Code, recorder.Body, err)
	}
	for _, told := range []string{"NM", "credential\"", "class"} {
		if strings.Contains(recorder.Body.String(), told) {
			t.Errorf("the caller is told %q: %s", told, recorder.Body)
		}
	}
	return answer.ID
}

// explained returns the explanations of the decisions with an id.
func (r *rig) explained(t *testing.T, bearer, id string) []explain.Explanation {
	t.Helper()
	got := r.call("GET", "/audit/v1/explanations?id="+id, bearer, "")
	var answer struct {
		Explanations []explain.Explanation `json:"explanations"`
	}
	if err := json.Unmarshal(got.Body.Bytes(), &answer, json.RejectUnknownMembers(true)); err != nil || got.Code != 200 {
		t.Fatalf("status %d: %s (%v)", got.Code, got.Body, err)
	}
	return answer.Explanations
}

// TestExplanations: a refusal and an issued token are explained to an
// administrator, by correlation id, as they were decided.
func TestExplanations(t *testing.T) {
	r := newRig(t)
	a := newProvider(t, "https://unreachable.example", "a")
	r.trusts(t, a.issuer)
	r.manage(t, 201, "POST", "issuers", `{"issuer":"`+a.issuer+`","mode":"pin","keySet":`+keySetOf(t, a)+`}`)
	if code := r.exchange(t, a.assertion(r.now, 1)); code != 0 {
		t.Fatalf("refused with %d", code)
	}
	slash := newProvider(t, a.issuer+"/", "a")
	id := r.refuse(t, r.admin.AdminClientID, slash.assertion(r.now, 2))
	admin := r.token(t)
	found := r.explained(t, admin, id)
	if len(found) != 1 {
		t.Fatalf("%d explanations", len(found))
	}
	e := found[0]
	if e.Allowed || e.Code != 700211 || e.Class != "NM2" || e.Field != explain.FieldIssuer || e.Fix == nil || e.Summary == "" || e.Decision.CorrelationID != id ||
		e.Issuer.Presented != slash.issuer || len(e.Candidates) == 0 || e.Candidates[0].Name != "credential" || e.Candidates[0].Fields[0].Expected != a.issuer || e.Signature != explain.SignatureNotChecked {
		t.Errorf("%+v", e)
	}
	if text := e.Text(); !strings.Contains(text, "REFUSED  AADSTS700211  NM2") || !strings.Contains(text, "^") {
		t.Error(text)
	}
	if byTrace := r.explained(t, admin, e.Decision.TraceID); len(byTrace) != 1 || byTrace[0].Decision.Record != e.Decision.Record {
		t.Errorf("by the trace id: %+v", byTrace)
	}
	for _, nobody := range []string{r.admin.TenantID, "00000000-0000-4000-8000-000000000000"} {
		if found := r.explained(t, admin, nobody); len(found) != 0 {
			t.Errorf("by %s: %+v", nobody, found)
		}
	}
	for _, query := range []string{"", "?id=x", "?id=" + id + "&id=" + id, "?id=" + id + "&before=0", "?id=" + id + "&other=1"} {
		if got := r.call("GET", "/audit/v1/explanations"+query, admin, ""); got.Code != 400 {
			t.Errorf("%s: status %d", query, got.Code)
		}
	}
	allowed := r.lastDecision(t)
	if !allowed.Allowed || allowed.Issuer.Keys != directory.IssuerPin || allowed.Times.Expires.IsZero() || allowed.Candidates[0].Name != "credential" || !strings.Contains(allowed.Text(), "ALLOWED") {
		t.Errorf("%+v", allowed)
	}
}

// lastDecision explains the last token that was issued.
func (r *rig) lastDecision(t *testing.T) explain.Explanation {
	t.Helper()
	page, err := r.db.AuditPage(t.Context(), store.AuditFilter{TenantID: r.admin.TenantID, Outcome: "allowed"}, 0, 1)
	if err != nil || len(page.Records) != 1 {
		t.Fatalf("%d records, %v", len(page.Records), err)
	}
	var detail struct {
		CorrelationID string `json:"correlationId"`
	}
	if err := json.Unmarshal(page.Records[0].Detail, &detail); err != nil {
		t.Fatal(err)
	}
	return r.explained(t, r.token(t), detail.CorrelationID)[0]
}

// TestExplainToken: what would be decided about a token is found out without
// an issuer that can be reached, and without issuing anything.
func TestExplainToken(t *testing.T) {
	r := newRig(t)
	a := newProvider(t, "https://unreachable.example", "a")
	r.trusts(t, a.issuer)
	ask := func(clientID, assertion, rest string, status int) (e explain.Explanation) {
		t.Helper()
		got := r.call("POST", "/audit/v1/explain", r.token(t), `{"clientId":"`+clientID+`","token":"`+assertion+`"`+rest+`}`)
		if got.Code != status {
			t.Fatalf("status %d: %s", got.Code, got.Body)
		}
		if status == 200 {
			if err := json.Unmarshal(got.Body.Bytes(), &e, json.RejectUnknownMembers(true)); err != nil {
				t.Fatal(err)
			}
		}
		return e
	}
	if e := ask(r.admin.AdminClientID, a.assertion(r.now, 1), "", 200); e.Code != 50166 && e.Class != "NM19" || e.Candidates[0].Fields[1].Verdict != explain.Equal || e.Issuer.Fetch == nil || e.Issuer.Fetch.URL == "" {
		t.Errorf("%+v", e)
	}
	r.manage(t, 201, "POST", "issuers", `{"issuer":"`+a.issuer+`","mode":"pin","keySet":`+keySetOf(t, a)+`}`)
	if e := ask(r.admin.AdminClientID, a.assertion(r.now, 2), `,"resource":"`+base+`"`, 200); !e.Allowed || e.Key.State != explain.KeyPublished && e.Key.State != "" {
		t.Errorf("%+v", e)
	}
	if e := ask(r.admin.AdminClientID, a.assertion(r.now, 3), `,"resource":"api://nothing"`, 200); e.Code != 500011 || e.Field != "resource" {
		t.Errorf("%+v", e)
	}
	if e := ask(r.admin.AdminClientID, "nonsense", "", 200); e.Code != 50027 {
		t.Errorf("%+v", e)
	}
	if e := ask("00000000-0000-4000-8000-000000000000", a.assertion(r.now, 4), "", 200); e.Code != 700016 {
		t.Errorf("%+v", e)
	}
	ask("x", a.assertion(r.now, 4), "", 400)
	ask(r.admin.AdminClientID, a.assertion(r.now, 4), `,"more":1`, 400)
	ask(r.admin.AdminClientID, "", "", 400)
}

// TestExplanationsAreForOwners: whoever owns neither the application nor the
// right to see all of them learns nothing, not even that there is something.
func TestExplanationsAreForOwners(t *testing.T) {
	r := newRig(t)
	a := newProvider(t, "https://unreachable.example", "a")
	r.trusts(t, a.issuer) // the administrator is whom the other application's caller meant
	var app directory.Application
	r.write(t, func(tx *store.Tx) error {
		app = directory.Application{TenantID: r.admin.TenantID, DisplayName: "shop", SignInAudience: "AzureADMyOrg"}
		if err := tx.CreateApplication(&app); err != nil {
			return err
		}
		sp := directory.ServicePrincipal{TenantID: r.admin.TenantID, AppID: app.AppID, DisplayName: "shop", Kind: directory.KindApplication, AccountEnabled: true}
		if err := tx.CreateServicePrincipal(&sp); err != nil {
			return err
		}
		return tx.CreateCredential(&directory.FederatedIdentityCredential{TenantID: r.admin.TenantID, ParentID: app.ID, Name: "own", Issuer: "https://other.example", Subject: "x", Audiences: []string{"a"}})
	})
	id := r.refuse(t, app.AppID, a.assertion(r.now, 1))
	admin := r.token(t)
	e := r.explained(t, admin, id)
	if len(e) != 1 || e[0].Class != "NM11" || e[0].Elsewhere == nil || e[0].Elsewhere.ClientID != r.admin.AdminClientID || e[0].Elsewhere.Credential != "credential" {
		t.Fatalf("%+v", e)
	}
	// The same caller, without the rights over everything.
	for _, role := range management.Roles() {
		if role.Value != string(management.ApplicationReadWriteOwnedBy) {
			r.withdraw(t, management.Permission(role.Value))
		}
	}
	if e := r.explained(t, admin, id); len(e) != 0 {
		t.Errorf("no owner is told %+v", e)
	}
	body := `{"clientId":"` + app.AppID + `","token":"` + a.assertion(r.now, 2) + `"}`
	if got := r.call("POST", "/audit/v1/explain", admin, body); got.Code != 403 {
		t.Errorf("no owner: status %d: %s", got.Code, got.Body)
	}
	r.write(t, func(tx *store.Tx) error {
		caller, err := tx.ServicePrincipal(t.Context(), r.admin.TenantID, store.Ref{AppID: r.admin.AdminClientID})
		if err != nil {
			return err
		}
		return tx.AddOwner(r.admin.TenantID, app.ID, caller.ID)
	})
	if e := r.explained(t, admin, id); len(e) != 1 || e[0].Client.ID != app.AppID {
		t.Errorf("an owner is told %+v", e)
	}
	if got := r.call("POST", "/audit/v1/explain", admin, body); got.Code != 200 {
		t.Errorf("an owner: status %d: %s", got.Code, got.Body)
	}
}
