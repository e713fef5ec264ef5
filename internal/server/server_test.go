package server

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"cambio/internal/bootstrap"
	"cambio/internal/directory"
	"cambio/internal/keys"
	"cambio/internal/management"
	"cambio/internal/store"
)

const base = "https://sts.example.net"

// rig is a server over a real store, with a clock that the test sets.
type rig struct {
	*Server
	db    *store.DB
	now   time.Time                 // changed by set
	clock atomic.Pointer[time.Time] // of the server, whose background reads it
	admin bootstrap.Result
	kek   *keys.EncryptionKey
}

func newRig(t *testing.T) *rig {
	t.Helper()
	return newRigOn(t, store.Config{Path: filepath.Join(t.TempDir(), "state", "cambio.db")})
}

// newRigOn makes a tenant in an empty database, and a server.
func newRigOn(t *testing.T, cfg store.Config, change ...func(*Options)) *rig {
	t.Helper()
	r := &rig{db: openDatabase(t, cfg)}
	r.set(time.Now())
	var err error
	if r.admin, err = bootstrap.Create(t.Context(), r.db, bootstrap.Tenant{DisplayName: "Example", Domains: []string{"example.net"}, Compat: directory.Relaxed}, r.now); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "kek")
	if _, err := keys.CreateEncryptionKeyFile(file); err != nil {
		t.Fatal(err)
	}
	if r.kek, err = keys.LoadEncryptionKey(file); err != nil {
		t.Fatal(err)
	}
	r.serve(t, change...)
	return r
}

// beside makes another server on the same database, with a connection of its
// own.
func (r *rig) beside(t *testing.T, cfg store.Config) *rig {
	t.Helper()
	other := &rig{db: openDatabase(t, cfg), admin: r.admin, kek: r.kek}
	other.set(r.now)
	other.serve(t)
	return other
}

func openDatabase(t *testing.T, cfg store.Config) *store.DB {
	t.Helper()
	db, err := store.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func (r *rig) serve(t *testing.T, change ...func(*Options)) {
	t.Helper()
	opt := Options{BaseURL: base, DB: r.db, KEK: r.kek, Clock: func() time.Time { return *r.clock.Load() }, Log: slog.New(slog.DiscardHandler),
		Keys:        keys.Policy{RotateEvery: 90 * 24 * time.Hour, PublishAhead: 48 * time.Hour, RetireAfter: 25 * time.Hour},
		LifetimeMin: time.Hour, LifetimeMax: time.Hour}
	for _, fn := range change {
		fn(&opt)
	}
	var err error
	if r.Server, err = New(t.Context(), opt); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
}

func (r *rig) set(now time.Time) {
	r.now = now
	r.clock.Store(&now)
}

// call sends a request to the handler.
func (r *rig) call(method, path, bearer, body string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	recorder := httptest.NewRecorder()
	r.Handler().ServeHTTP(recorder, req)
	return recorder
}

func (r *rig) token(t *testing.T) string {
	t.Helper()
	token, err := r.ManagementToken(context.Background(), r.admin.TenantID, r.admin.AdminClientID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// A management token ends with its time, its holder, and its roles.
func TestManagementTokenEnds(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		end  func(*testing.T, *rig)
		want int
	}{
		"never":   {func(*testing.T, *rig) {}, 200},
		"expired": {func(_ *testing.T, r *rig) { r.set(r.now.Add(time.Hour)) }, 401},
		"holder disabled": {func(t *testing.T, r *rig) {
			r.write(t, func(tx *store.Tx) error {
				sp, err := tx.ServicePrincipal(ctx, r.admin.TenantID, store.Ref{AppID: r.admin.AdminClientID})
				if err != nil {
					return err
				}
				sp.AccountEnabled = false
				return tx.UpdateServicePrincipal(&sp)
			})
		}, 401},
		"holder deleted": {func(t *testing.T, r *rig) {
			r.write(t, func(tx *store.Tx) error { return tx.DeleteApplication(r.admin.TenantID, r.admin.AdminObjectID) })
		}, 401},
		"roles taken away": {func(t *testing.T, r *rig) {
			r.write(t, func(tx *store.Tx) error {
				sp, err := tx.ServicePrincipal(ctx, r.admin.TenantID, store.Ref{AppID: r.admin.AdminClientID})
				if err != nil {
					return err
				}
				list, _, err := tx.AssignmentsOf(ctx, r.admin.TenantID, sp.ID, store.ListQuery{Top: 100})
				for i := range list {
					if err == nil {
						err = tx.DeleteAssignment(r.admin.TenantID, list[i].ID)
					}
				}
				return err
			})
		}, 403},
		"signing key removed": {func(t *testing.T, r *rig) {
			for _, k := range r.ring.Keys() {
				if k.Algorithm == "RS256" {
					if err := r.ring.Remove(ctx, k.KeyID); err != nil {
						t.Fatal(err)
					}
				}
			}
		}, 401},
	} {
		r := newRig(t)
		token := r.token(t)
		c.end(t, r)
		if got := r.call("GET", "/v1.0/applications", token, ""); got.Code != c.want {
			t.Errorf("%s: status %d, want %d: %s", name, got.Code, c.want, got.Body)
		}
	}
}

// A server that does not reach the database lets nobody keep its key set beyond
// the moment when a key that it does not know may sign, and then has none.
func TestKeySetOfAServerThatIsCutOff(t *testing.T) {
	r := newRig(t)
	ahead := r.opt.Keys.PublishAhead
	r.Close() // nothing reads the keys any more
	read := r.now
	for _, c := range []struct {
		after time.Duration
		want  string
	}{
		{0, "public, max-age=3600"},
		{ahead - time.Hour, "public, max-age=3600"},
		{ahead - time.Minute, "public, max-age=60"},
		{ahead, ""},
		{1000 * ahead, ""},
	} {
		r.set(read.Add(c.after))
		got := r.call("GET", "/common/discovery/v2.0/keys", "", "")
		if c.want == "" {
			if got.Code != http.StatusServiceUnavailable || got.Header().Get("Retry-After") == "" || strings.Contains(got.Body.String(), "kty") {
				t.Errorf("after %v: status %d, %v: %s", c.after, got.Code, got.Header(), got.Body)
			}
		} else if got.Code != http.StatusOK || got.Header().Get("Cache-Control") != c.want {
			t.Errorf("after %v: status %d, Cache-Control %q, want %q", c.after, got.Code, got.Header().Get("Cache-Control"), c.want)
		}
	}
	if err := r.ring.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.call("GET", "/common/discovery/v2.0/keys", "", ""); got.Code != http.StatusOK {
		t.Errorf("after they were read again: status %d", got.Code)
	}
}

// Nobody without a token makes the database write.
func TestGuessedBootstrapTokensWriteNothing(t *testing.T) {
	r := newRig(t)
	before := r.db.Stats()
	for range 3 {
		if got := r.call("GET", "/v1.0/applications", bootstrap.TokenPrefix+"guess", ""); got.Code != http.StatusUnauthorized {
			t.Errorf("status %d: %s", got.Code, got.Body)
		}
	}
	if after := r.db.Stats(); after.Commits != before.Commits {
		t.Errorf("%d transactions for guessed tokens", after.Commits-before.Commits)
	}
	if got := r.call("GET", "/v1.0/applications", r.admin.BootstrapToken, ""); got.Code != http.StatusOK {
		t.Errorf("the true token: status %d: %s", got.Code, got.Body)
	}
	if got := r.call("GET", "/v1.0/applications", r.admin.BootstrapToken, ""); got.Code != http.StatusUnauthorized {
		t.Errorf("again: status %d: %s", got.Code, got.Body)
	}
}

func (r *rig) write(t *testing.T, fn func(*store.Tx) error) {
	t.Helper()
	if err := r.db.Write(context.Background(), store.Change{TenantID: r.admin.TenantID, Action: "test"}, fn); err != nil {
		t.Fatal(err)
	}
}

// A caller whose rights end while its body arrives writes nothing.
func TestRightsEndWhileTheBodyArrives(t *testing.T) {
	r := newRig(t)
	token := r.token(t)
	body := &endingBody{Reader: strings.NewReader(`{"displayName":"late"}`), end: func() {
		r.write(t, func(tx *store.Tx) error {
			sp, err := tx.ServicePrincipal(context.Background(), r.admin.TenantID, store.Ref{AppID: r.admin.AdminClientID})
			if err != nil {
				return err
			}
			sp.AccountEnabled = false
			return tx.UpdateServicePrincipal(&sp)
		})
	}}
	req := httptest.NewRequest("POST", "/v1.0/applications", body)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	recorder := httptest.NewRecorder()
	r.Handler().ServeHTTP(recorder, req)
	if recorder.Code != http.StatusUnauthorized || recorder.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("status %d, challenge %q: %s", recorder.Code, recorder.Header().Get("WWW-Authenticate"), recorder.Body)
	}
}

// A caller that loses Application.ReadWrite.All while its body arrives, and
// keeps the permission to change what it owns, writes as an owner or not at all.
func TestPermissionEndsWhileTheBodyArrives(t *testing.T) {
	r := newRig(t)
	token := r.token(t)
	made := r.call("POST", "/v1.0/applications", token, `{"displayName":"before"}`)
	var app struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(made.Body.Bytes(), &app); err != nil {
		t.Fatal(err)
	}
	body := &endingBody{Reader: strings.NewReader(`{"displayName":"late"}`), end: func() { r.withdraw(t, management.ApplicationReadWriteAll) }}
	req := httptest.NewRequest("PATCH", "/v1.0/applications/"+app.ID, body)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	recorder := httptest.NewRecorder()
	r.Handler().ServeHTTP(recorder, req)
	if recorder.Code != http.StatusForbidden {
		t.Errorf("status %d: %s", recorder.Code, recorder.Body)
	}
	if got := r.call("GET", "/v1.0/applications/"+app.ID, token, ""); !strings.Contains(got.Body.String(), `"before"`) {
		t.Errorf("after the refusal: %d %s", got.Code, got.Body)
	}
}

// withdraw takes one role of the management resource from the administrator.
func (r *rig) withdraw(t *testing.T, role management.Permission) {
	t.Helper()
	ctx := context.Background()
	r.write(t, func(tx *store.Tx) error {
		sp, err := tx.ServicePrincipal(ctx, r.admin.TenantID, store.Ref{AppID: r.admin.AdminClientID})
		if err != nil {
			return err
		}
		for _, known := range management.Roles() {
			if known.Value != string(role) {
				continue
			}
			list, _, err := tx.AssignmentsOf(ctx, r.admin.TenantID, sp.ID, store.ListQuery{Field: "appRoleId", Op: "eq", Value: known.ID})
			if err != nil || len(list) != 1 {
				t.Errorf("assignments of %s: %v, %v", role, list, err)
				return err
			}
			return tx.DeleteAssignment(r.admin.TenantID, list[0].ID)
		}
		return nil
	})
}

// endingBody does something when it is first read.
type endingBody struct {
	io.Reader
	end func()
}

func (b *endingBody) Read(p []byte) (int, error) {
	if b.end != nil {
		b.end()
		b.end = nil
	}
	return b.Reader.Read(p)
}

// A token of one tenant does nothing in another, though both are signed with
// the same key.
func TestTenantsAreApart(t *testing.T) {
	r := newRig(t)
	other, err := bootstrap.Create(context.Background(), r.db, bootstrap.Tenant{DisplayName: "Other", Compat: directory.Relaxed}, r.now)
	if err != nil {
		t.Fatal(err)
	}
	token, err := r.ManagementToken(context.Background(), other.TenantID, other.AdminClientID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.call("GET", "/v1.0/applications/"+r.admin.AdminObjectID, token, ""); got.Code != 404 {
		t.Errorf("another tenant's application: status %d: %s", got.Code, got.Body)
	}
	if got := r.call("GET", "/v1.0/applications/"+other.AdminObjectID, token, ""); got.Code != 200 {
		t.Errorf("its own application: status %d: %s", got.Code, got.Body)
	}
}

// Errors have the shape of the API that they belong to.
func TestErrorShapes(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct{ method, path, member, want string }{
		{"GET", "/v1.0/nothing", "error", "Request_ResourceNotFound"},
		{"GET", "/v1.0/applications", "error", "InvalidAuthenticationToken"},
		{"PUT", "/v1.0/applications", "error", "Request_BadRequest"},
		{"GET", "/subscriptions", "error", "AuthenticationFailed"},
		{"GET", "/subscriptions/x/nothing/y", "error", "InvalidResourceType"},
	} {
		got := r.call(c.method, c.path, "", "")
		var answer struct {
			Error struct {
				Code string `json:"code"`
			} `json:"error"`
		}
		if err := json.Unmarshal(got.Body.Bytes(), &answer); err != nil || answer.Error.Code != c.want {
			t.Errorf("%s %s: %v %q, want %q", c.method, c.path, err, answer.Error.Code, c.want)
		}
	}
	if got := r.call("GET", "/nowhere/at/all", "", ""); got.Code != 404 || !strings.Contains(got.Body.String(), `"error":"invalid_request"`) {
		t.Errorf("status %d: %s", got.Code, got.Body)
	}
}

// A panic costs its own request only, and tells the caller nothing.
func TestPanicIsContained(t *testing.T) {
	r := newRig(t)
	r.router = newRouter([]route{{method: "GET", pattern: "/boom", open: func(http.ResponseWriter, *http.Request, map[string]string) { panic("secret detail") }}})
	got := r.call("GET", "/boom", "", "")
	if got.Code != http.StatusServiceUnavailable || strings.Contains(got.Body.String(), "secret") {
		t.Errorf("status %d: %s", got.Code, got.Body)
	}
}

func TestReadiness(t *testing.T) {
	r := newRig(t)
	status := func(path string) int {
		recorder := httptest.NewRecorder()
		r.OperationsHandler().ServeHTTP(recorder, httptest.NewRequest("GET", path, nil))
		_, _ = io.Copy(io.Discard, recorder.Body)
		return recorder.Code
	}
	if status("/readyz") != 200 || status("/healthz") != 200 || status("/metrics") != 200 {
		t.Error("a healthy server is not ready")
	}
	if err := r.db.Close(); err != nil {
		t.Fatal(err)
	}
	if status("/readyz") != 503 || status("/healthz") != 200 {
		t.Error("without a database the server lives, but is not ready")
	}
}
