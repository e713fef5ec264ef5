package auditapi_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"cambio/internal/audit"
	"cambio/internal/auditapi"
	"cambio/internal/directory"
	"cambio/internal/management"
	"cambio/internal/management/managementtest"
	"cambio/internal/store"
	"cambio/internal/store/storetest"
)

const (
	ours, theirs = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
	base         = "https://sts.example.net"
)

func id(n int) string { return fmt.Sprintf("33333333-3333-4333-8333-%012d", n) }

// fixture is a trail of 30 exchanges and 3 changes, a third of which is ours,
// a third another tenant's, and a third nobody's.
type fixture struct {
	*testing.T
	router managementtest.Router
	roles  []string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	db, err := store.Open(storetest.Empty(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	tenants := []string{ours, theirs, ""}
	for i := range 33 {
		var err error
		if i < 30 {
			d := audit.Decision{TenantID: tenants[i%3], ClientID: id(i % 2), CorrelationID: id(i), Allowed: i%4 == 0, Subject: `"correlationId":"` + id(7777) + `"`}
			if !d.Allowed {
				d.Code = 700213
			}
			err = db.RecordDecision(t.Context(), &d, nil)
		} else {
			err = db.Write(t.Context(), store.Change{TenantID: tenants[i%3], Action: "application.create", CorrelationID: id(i)}, func(*store.Tx) error { return nil })
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	f := &fixture{T: t, roles: []string{string(management.AuditLogReadAll)}}
	f.router = managementtest.Router{Routes: auditapi.Routes(auditapi.Config{DB: db, BaseURL: base}), Call: func(*http.Request) management.Call {
		return management.Call{Tenant: directory.Tenant{ID: ours}, Caller: management.NewCaller("p", "a", f.roles), RequestID: "request", CorrelationID: "correlation"}
	}}
	return f
}

type answer struct {
	Records []struct {
		ID         int64
		At         string
		Kind, Hash string
		Detail     struct {
			TenantID      string `json:"tenantId"`
			CorrelationID string `json:"correlationId"`
			ClientID      string `json:"clientId"`
			Outcome       string
		}
	}
	NextLink string `json:"nextLink"`
	Error    struct{ Code, Message string }
}

func (f *fixture) get(path string, status int) (a answer) {
	f.Helper()
	w := httptest.NewRecorder()
	f.router.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	if w.Code != status {
		f.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	if w.Body.Len() == 0 {
		return a
	}
	if err := json.Unmarshal(w.Body.Bytes(), &a, json.MatchCaseInsensitiveNames(true), jsontext.AllowDuplicateNames(false)); err != nil {
		f.Fatalf("%s: %v in %s", path, err, w.Body)
	}
	if w.Header().Get("request-id") != "request" || w.Header().Get("Cache-Control") != "no-store" {
		f.Errorf("%s: %v", path, w.Header())
	}
	return a
}

// all follows next links.
func (f *fixture) all(path string) (all answer) {
	f.Helper()
	for pages := 0; path != ""; pages++ {
		a := f.get(path, 200)
		if a.NextLink != "" && !strings.HasPrefix(a.NextLink, base+"/audit/v1/records?") || pages > 40 {
			f.Fatalf("page %d: %q", pages, a.NextLink)
		}
		all.Records = append(all.Records, a.Records...)
		path = strings.TrimPrefix(a.NextLink, base)
	}
	return all
}

func TestFilters(t *testing.T) {
	f := newFixture(t)
	for query, want := range map[string]int{
		"": 11, "limit=1": 11, "limit=500": 11, "limit=3": 11, "kind=exchange": 10, "kind=change": 1, "kind=change&limit=1": 1,
		"outcome=allowed": 3, "outcome=refused": 7, "outcome=refused&limit=2": 7, "outcome=allowed&kind=change": 0,
		"clientId=" + id(0): 5, "clientId=" + id(1) + "&outcome=allowed": 0,
		"correlationId=" + id(3): 1, "correlationId=" + id(30): 1, "correlationId=" + id(7777): 0, // that one is in a subject
		"correlationId=" + id(4): 0, "correlationId=" + id(5): 0, // another tenant's, and nobody's
	} {
		a := f.all("/audit/v1/records?" + query)
		if len(a.Records) != want {
			t.Errorf("%s: %d records, not %d", query, len(a.Records), want)
		}
		last := int64(0)
		for _, r := range a.Records {
			if r.Detail.TenantID != ours || r.ID <= last && r.Kind == audit.KindExchange || len(r.Hash) != 64 || !strings.HasSuffix(r.At, "Z") {
				t.Errorf("%s: %+v", query, r)
			}
			last = r.ID
		}
	}
	everything := f.all("/audit/v1/records")
	rest := f.all(fmt.Sprintf("/audit/v1/records?after=%d", everything.Records[6].ID))
	if len(rest.Records) != 4 || rest.Records[0].ID != everything.Records[7].ID {
		t.Errorf("%d records after the seventh", len(rest.Records))
	}
}

func TestMistakes(t *testing.T) {
	f := newFixture(t)
	for query, want := range map[string]string{
		"after=-1": "after must be", "after=x": "after must be", "limit=0": "limit must be a number from 1 to 500", "limit=501": "limit must be",
		"kind=": "kind must be exchange or change", "outcome=both": "outcome must be allowed or refused", "clientId=abc": "clientId must be a GUID",
		"correlationId=%25": "correlationId must be a GUID", "tenantId=" + theirs: "not known", "limit=1&limit=2": "more than once", "a=%zz": "cannot be read",
	} {
		if a := f.get("/audit/v1/records?"+query, 400); a.Error.Code != "Request_BadRequest" || !strings.Contains(a.Error.Message, want) {
			t.Errorf("%s: %+v", query, a.Error)
		}
	}
	f.roles = []string{string(management.ApplicationReadWriteAll)}
	f.get("/audit/v1/records", 403)
}

// TestRareRecords: what is far apart is found by following next links, a page
// at a time that costs no more than another.
func TestRareRecords(t *testing.T) {
	db, err := store.Open(storetest.Empty(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	failed := make(chan error, 1000)
	const many = store.AuditExamined + 2000
	for i := 0; i < many; i += cap(failed) {
		for range cap(failed) {
			go func() {
				failed <- db.RecordDecision(context.Background(), &audit.Decision{TenantID: theirs, Code: 1}, nil)
			}()
		}
		for range cap(failed) {
			if err := <-failed; err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := db.RecordDecision(t.Context(), &audit.Decision{TenantID: ours, Code: 1}, nil); err != nil {
		t.Fatal(err)
	}
	f := &fixture{T: t}
	f.router = managementtest.Router{Routes: auditapi.Routes(auditapi.Config{DB: db, BaseURL: base}), Call: func(*http.Request) management.Call {
		return management.Call{Tenant: directory.Tenant{ID: ours}, Caller: management.NewCaller("p", "a", []string{string(management.AuditLogReadAll)}), RequestID: "request"}
	}}
	first := f.get("/audit/v1/records?outcome=refused&limit=5", 200)
	if len(first.Records) != 0 || !strings.Contains(first.NextLink, "limit=5") || !strings.Contains(first.NextLink, "outcome=refused") {
		t.Errorf("%+v", first)
	}
	if second := f.get(strings.TrimPrefix(first.NextLink, base), 200); len(second.Records) != 1 || second.NextLink != "" {
		t.Errorf("%+v", second)
	}
}

// TestOnePageAtATime: who asks while another page is read waits for it, and is
// told to come again when it does not get its turn.
func TestOnePageAtATime(t *testing.T) {
	f := newFixture(t)
	var done sync.WaitGroup
	for range 50 {
		done.Go(func() {
			w := httptest.NewRecorder()
			f.router.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/audit/v1/records", nil))
			if w.Code != http.StatusOK {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	done.Wait()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	f.router.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/audit/v1/records", nil).WithContext(ended))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}
