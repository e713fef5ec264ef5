package graph

import (
	"bytes"
	"context"
	"errors"
	"io"
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
	testBase      = "https://sts.example.net"
	tenantID      = "7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77"
	otherTenantID = "11111111-4d7a-4c55-9a3e-2f1d0c9b8a77"
	githubIssuer  = "https://token.actions.githubusercontent.com"
)

// fixture is the API over a real store, called as an administrator unless a
// test says otherwise.
type fixture struct {
	t      testing.TB
	db     *store.DB
	router managementtest.Router
	tenant string
	caller management.Caller

	managementAppID string
	stillAllowed    func(context.Context) error
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
	f.router = managementtest.Router{Routes: Routes(New(Config{DB: db, BaseURL: testBase + "/", CheckIssuer: httpsOnly, PageKey: []byte("key"),
		ManagementAppID: func(string) string { return f.managementAppID }})), Call: f.call}
	return f
}

func httpsOnly(issuer string) error {
	if !strings.HasPrefix(issuer, "https://") {
		return errors.New("the URL must begin with https://")
	}
	return nil
}

func (f *fixture) call(r *http.Request) management.Call {
	tenant, err := f.db.Tenant(r.Context(), f.tenant)
	if err != nil {
		f.t.Fatal(err)
	}
	return management.Call{Tenant: tenant, Caller: f.caller, RequestID: "6d0f3b1a-2c4e-4f5a-8b7c-9d0e1f2a3b4c", CorrelationID: "client-id", StillAllowed: f.stillAllowed}
}

// answer is a decoded response.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	text   string
	body   map[string]any
}

func (f *fixture) request(method, path, body string, headers ...string) *http.Request {
	var reader io.Reader = http.NoBody
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, testBase+strings.ReplaceAll(path, " ", "%20"), reader)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func (f *fixture) do(method, path, body string, headers ...string) answer {
	return f.send(f.request(method, path, body, headers...))
}

func (f *fixture) send(r *http.Request) answer {
	f.t.Helper()
	w := httptest.NewRecorder()
	f.router.ServeHTTP(w, r)
	a := answer{t: f.t, status: w.Code, header: w.Header(), text: w.Body.String()}
	if bytes.HasPrefix(w.Body.Bytes(), []byte("{")) {
		if err := json.Unmarshal(w.Body.Bytes(), &a.body); err != nil {
			f.t.Fatalf("%s %s: %v in %s", r.Method, r.URL, err, a.text)
		}
	}
	return a
}

// want checks the status and, of an error, the code.
func (a answer) want(status int, code string) answer {
	a.t.Helper()
	if a.status != status || code != a.code() {
		a.t.Fatalf("got %d %q, want %d %q\n%s", a.status, a.code(), status, code, a.text)
	}
	return a
}

func (a answer) code() string {
	e, _ := a.body["error"].(map[string]any)
	code, _ := e["code"].(string)
	return code
}

func (a answer) message() string {
	e, _ := a.body["error"].(map[string]any)
	message, _ := e["message"].(string)
	return message
}

func (a answer) string(name string) string {
	s, _ := a.body[name].(string)
	return s
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

// application makes an application and returns its object id and appId.
func (f *fixture) application(body string) (id, appID string) {
	f.t.Helper()
	a := f.do("POST", "/v1.0/applications", body).want(201, "")
	return a.string("id"), a.string("appId")
}

// servicePrincipal makes one and returns its object id.
func (f *fixture) servicePrincipal(appID string) string {
	f.t.Helper()
	return f.do("POST", "/v1.0/servicePrincipals", `{"appId":"`+appID+`","accountEnabled":true}`).want(201, "").string("id")
}

func credentialBody(name, subject string) string {
	return `{"name":"` + name + `","issuer":"` + githubIssuer + `","subject":"` + subject + `","audiences":["api://AzureADTokenExchange"]}`
}
