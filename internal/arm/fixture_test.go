package arm

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"cambio/internal/directory"
	"cambio/internal/management"
	"cambio/internal/management/managementtest"
	"cambio/internal/store"
	"cambio/internal/store/storetest"

	"github.com/go-json-experiment/json"
)

const (
	testBase      = "https://sts.example.net:8443"
	tenantID      = "7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77"
	otherTenantID = "11111111-4d7a-4c55-9a3e-2f1d0c9b8a77"
	version       = "?api-version=2024-11-30"
	subscription  = "/subscriptions/" + tenantID
	group         = subscription + "/resourceGroups/rg1"
	identities    = group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
)

// fixture is the API over a real store, called as an administrator unless a
// test says otherwise.
type fixture struct {
	t      testing.TB
	db     *store.DB
	router managementtest.Router
	tenant string
	caller management.Caller
}

func newFixture(t testing.TB, level directory.Compat) *fixture {
	db, err := store.Open(storetest.Empty(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	f := &fixture{t: t, db: db, tenant: tenantID, caller: management.NewCaller("e58b6a40-1d2c-4e7f-9b3a-6c8d0f2e4a55", "", management.AllRoles())}
	err = db.Write(t.Context(), store.Change{}, func(tx *store.Tx) error {
		return errors.Join(
			tx.CreateTenant(&directory.Tenant{ID: tenantID, DisplayName: "Contoso", Domains: []string{"contoso.example"}, Compat: level, Default: true}),
			tx.CreateTenant(&directory.Tenant{ID: otherTenantID, DisplayName: "Fabrikam", Compat: level}))
	})
	if err != nil {
		t.Fatal(err)
	}
	allow := func(string) error { return nil }
	f.router = managementtest.Router{Routes: Routes(New(Config{DB: db, BaseURL: testBase + "/", CheckIssuer: allow})), FoldCase: true, Call: f.call}
	return f
}

func (f *fixture) call(r *http.Request) management.Call {
	tenant, err := f.db.Tenant(r.Context(), f.tenant)
	if err != nil {
		f.t.Fatal(err)
	}
	return management.Call{Tenant: tenant, Caller: f.caller, RequestID: "request", CorrelationID: "correlation"}
}

// answer is a decoded response.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	text   string
	body   map[string]any
}

func (f *fixture) do(method, path, body string, headers ...string) answer {
	f.t.Helper()
	r := httptest.NewRequest(method, testBase+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	f.router.ServeHTTP(w, r)
	a := answer{t: f.t, status: w.Code, header: w.Header(), text: w.Body.String()}
	if strings.HasPrefix(a.text, "{") {
		if err := json.Unmarshal(w.Body.Bytes(), &a.body); err != nil {
			f.t.Fatalf("%s %s: %v in %s", method, path, err, a.text)
		}
	}
	return a
}

// want checks the status and, of an error, the code in body and header.
func (a answer) want(status int, code string) answer {
	a.t.Helper()
	e, _ := a.body["error"].(map[string]any)
	got, _ := e["code"].(string)
	if a.status != status || got != code || a.header.Get("x-ms-error-code") != code {
		a.t.Fatalf("got %d %q (header %q), want %d %q\n%s", a.status, got, a.header.Get("x-ms-error-code"), status, code, a.text)
	}
	return a
}

func (a answer) string(name string) string {
	s, _ := a.body[name].(string)
	return s
}

func (a answer) property(name string) any {
	p, _ := a.body["properties"].(map[string]any)
	return p[name]
}

func (a answer) values() []map[string]any {
	list, ok := a.body["value"].([]any)
	if !ok {
		a.t.Fatalf("no list in %s", a.text)
	}
	objects := make([]map[string]any, len(list))
	for i := range list {
		objects[i] = list[i].(map[string]any)
	}
	return objects
}

func (f *fixture) identity(name string) {
	f.t.Helper()
	f.do("PUT", group+version, `{"location":"local"}`)
	f.do("PUT", identities+"/"+name+version, `{"location":"local"}`).want(201, "")
}

func credentialOfSubject(subject string) string {
	return `{"properties":{"audiences":["api://AzureADTokenExchange"],"issuer":"https://oidc.example/k8s/","subject":"` + subject + `"}}`
}
