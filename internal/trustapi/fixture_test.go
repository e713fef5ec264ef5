package trustapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cambio/internal/bootstrap"
	"cambio/internal/directory"
	"cambio/internal/management"
	"cambio/internal/management/managementtest"
	"cambio/internal/store"
	"cambio/internal/store/storetest"
	"cambio/internal/trust"

	"github.com/go-json-experiment/json"
)

// fixture is the API over a real store with a tenant as `cambio bootstrap`
// makes it, called as its first administrator unless a test says otherwise.
type fixture struct {
	t      testing.TB
	db     *store.DB
	made   bootstrap.Result
	caller management.Caller
	router managementtest.Router
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	db, err := store.Open(storetest.Empty(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	f := &fixture{t: t, db: db}
	if f.made, err = bootstrap.Create(t.Context(), db, bootstrap.Tenant{DisplayName: "Contoso", Compat: directory.Relaxed}, time.Now()); err != nil {
		t.Fatal(err)
	}
	sp, err := db.ServicePrincipal(t.Context(), f.made.TenantID, store.Ref{AppID: f.made.AdminClientID})
	if err != nil {
		t.Fatal(err)
	}
	f.caller = management.NewCaller(sp.ID, sp.AppID, management.AllRoles())
	f.router = managementtest.Router{Call: f.call, Routes: Routes(New(Config{DB: db, CheckIssuer: httpsOnly, ManagementAppID: f.managementAppID}))}
	return f
}

func httpsOnly(issuer string) error {
	if !strings.HasPrefix(issuer, "https://") {
		return errors.New("the URL must begin with https://")
	}
	return nil
}

func (f *fixture) managementAppID(tenantID string) string {
	id, err := f.db.Meta(context.Background(), bootstrap.ManagementKey(tenantID))
	if err != nil {
		f.t.Error(err)
	}
	return id
}

func (f *fixture) call(r *http.Request) management.Call {
	tenant, err := f.db.Tenant(r.Context(), f.made.TenantID)
	if err != nil {
		f.t.Error(err)
	}
	return management.Call{Tenant: tenant, Caller: f.caller, RequestID: "request", CorrelationID: "correlation"}
}

// answer is a response with what it says.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	text   string
	planJSON
	Error struct {
		Code, Message string
		Details       []detailJSON
	} `json:"error"`
}

func (f *fixture) send(method, path, body string, headers ...string) *answer {
	f.t.Helper()
	r := httptest.NewRequest(method, "https://sts.example.net"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	f.router.ServeHTTP(w, r)
	a := &answer{t: f.t, status: w.Code, header: w.Header(), text: w.Body.String()}
	if path != "/trust/v1/configuration" && w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), a); err != nil {
			f.t.Fatalf("%s: %v in %.2000s", path, err, a.text)
		}
	}
	return a
}

// document reads YAML and gives the JSON that a request holds.
func document(t testing.TB, text string) string {
	t.Helper()
	d, err := trust.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%.2000s", err, text)
	}
	return string(d.JSON())
}

func (f *fixture) apply(text string, headers ...string) *answer {
	f.t.Helper()
	return f.send("POST", "/trust/v1/apply", `{"document":`+document(f.t, text)+`}`, headers...)
}

func (f *fixture) prune(text string) *answer {
	f.t.Helper()
	return f.send("POST", "/trust/v1/apply", `{"prune":true,"document":`+document(f.t, text)+`}`)
}

func (f *fixture) plan(text string) *answer {
	f.t.Helper()
	return f.send("POST", "/trust/v1/plan", `{"document":`+document(f.t, text)+`}`)
}

func (f *fixture) export() string {
	f.t.Helper()
	a := f.send("GET", "/trust/v1/configuration", "")
	if a.status != 200 {
		f.t.Fatalf("export: %d %s", a.status, a.text)
	}
	return a.text
}

// want checks that the answer lists exactly these changes.
func (a *answer) want(changes ...string) *answer {
	a.t.Helper()
	if a.status != 200 {
		a.t.Fatalf("status %d: %s", a.status, a.text)
	}
	var got []string
	for _, c := range a.Changes {
		got = append(got, c.Action+" "+c.Kind+" "+c.Name)
	}
	if strings.Join(got, "\n") != strings.Join(changes, "\n") {
		a.t.Fatalf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(changes, "\n  "))
	}
	return a
}

// refused checks the status and that the answer has a text.
func (a *answer) refused(status int, text string) {
	a.t.Helper()
	if a.status != status || !strings.Contains(a.text, text) {
		a.t.Fatalf("got %d %s\nwant %d with %q", a.status, a.text, status, text)
	}
}

var everything = store.ListQuery{Top: store.MaxPage}

// position is what the change feed and the audit trail have.
func (f *fixture) position() string {
	f.t.Helper()
	seq, err := f.db.FeedPosition(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return fmt.Sprint(seq, " ", len(f.audit()))
}

func (f *fixture) audit() []store.AuditRecord {
	f.t.Helper()
	var list []store.AuditRecord
	for after := int64(0); ; after = list[len(list)-1].ID {
		page, err := f.db.AuditRecords(f.t.Context(), after, 1000)
		if err != nil {
			f.t.Fatal(err)
		}
		if len(page) == 0 {
			return list
		}
		list = append(list, page...)
	}
}
