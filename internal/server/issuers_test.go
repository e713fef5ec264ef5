package server

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cambio/internal/directory"
	"cambio/internal/jose"
	"cambio/internal/oidc"
	"cambio/internal/store"
	"cambio/internal/store/storetest"

	"github.com/go-json-experiment/json"
)

// provider is an issuer that nobody can reach: its keys are pinned or pushed.
type provider struct {
	issuer, kid string
	private     ed25519.PrivateKey
}

func newProvider(t *testing.T, issuer, kid string) *provider {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &provider{issuer, kid, private}
}

func keySetOf(t *testing.T, providers ...*provider) string {
	t.Helper()
	var list []string
	for _, p := range providers {
		jwk, err := jose.PublicJWK(p.private.Public(), p.kid, jose.EdDSA)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, string(jwk))
	}
	return `{"keys":[` + strings.Join(list, ",") + `]}`
}

func (p *provider) assertion(now time.Time, id int64) string {
	b64 := base64.RawURLEncoding.EncodeToString
	claims := fmt.Sprintf(`{"iss":%q,"sub":"workload","aud":"api://AzureADTokenExchange","iat":%d,"exp":%d,"jti":"%d"}`, p.issuer, now.Unix(), now.Add(time.Hour).Unix(), id)
	input := b64([]byte(`{"alg":"EdDSA","kid":"`+p.kid+`"}`)) + "." + b64([]byte(claims))
	return input + "." + b64(ed25519.Sign(p.private, []byte(input)))
}

// trusts gives the administrator a credential of an issuer or of a set.
func (r *rig) trusts(t *testing.T, issuer string) {
	t.Helper()
	r.write(t, func(tx *store.Tx) error {
		return tx.CreateCredential(&directory.FederatedIdentityCredential{TenantID: r.admin.TenantID, ParentID: r.admin.AdminObjectID,
			Name: "credential", Issuer: issuer, Subject: "workload", Audiences: []string{"api://AzureADTokenExchange"}})
	})
}

// exchange returns the AADSTS number of the answer, 0 for a token.
func (r *rig) exchange(t testing.TB, assertion string) int {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {r.admin.AdminClientID}, "scope": {base + "/.default"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {assertion}}
	req := httptest.NewRequest(http.MethodPost, "/"+r.admin.TenantID+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	recorder := httptest.NewRecorder()
	r.Handler().ServeHTTP(recorder, req)
	var answer struct {
		Codes []int `json:"error_codes"`
	}
	if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
		t.Errorf("%s: %v", recorder.Body, err)
	}
	if recorder.Code == http.StatusOK {
		return 0
	}
	return append(answer.Codes, -1)[0]
}

// manage sends a management request that must be answered with the status.
func (r *rig) manage(t *testing.T, want int, method, path, body string) map[string]any {
	t.Helper()
	got := r.call(method, "/trust/v1/"+path, r.token(t), body)
	if got.Code != want {
		t.Fatalf("%s %s: status %d, want %d: %s", method, path, got.Code, want, got.Body)
	}
	var answer map[string]any
	if got.Body.Len() > 0 {
		if err := json.Unmarshal(got.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
	}
	return answer
}

// A pinned key is used until it is taken away, however often the same
// assertion was verified with it before, and not a moment longer.
func TestPinnedKeys(t *testing.T) {
	r := newRig(t)
	a := newProvider(t, "https://unreachable.example", "a")
	b := newProvider(t, a.issuer, "b")
	r.trusts(t, a.issuer)
	made := r.manage(t, 201, "POST", "issuers", `{"issuer":"`+a.issuer+`","mode":"pin","keySet":`+keySetOf(t, a)+`}`)
	path := "issuers/" + made["id"].(string)
	old := a.assertion(r.now, 1)
	for range 3 {
		if code := r.exchange(t, old); code != 0 {
			t.Fatalf("pinned: AADSTS%d", code)
		}
	}
	if code := r.exchange(t, b.assertion(r.now, 1)); code != 7000272 {
		t.Errorf("a key that is not pinned: AADSTS%d", code)
	}
	r.manage(t, 200, "PATCH", path, `{"keySet":`+keySetOf(t, b)+`}`)
	if code := r.exchange(t, old); code != 7000272 {
		t.Errorf("a key that was taken away: AADSTS%d", code)
	}
	if code := r.exchange(t, b.assertion(r.now, 2)); code != 0 {
		t.Errorf("the new key: AADSTS%d", code)
	}
	r.manage(t, 200, "PATCH", path, `{"algorithms":["RS256"]}`)
	if code := r.exchange(t, b.assertion(r.now, 3)); code != 5002738 {
		t.Errorf("an algorithm that is not accepted: AADSTS%d", code)
	}
	r.manage(t, 200, "PATCH", path, `{"algorithms":[],"approveKeys":true}`)
	if code := r.exchange(t, b.assertion(r.now, 4)); code != 7000272 {
		t.Errorf("a key that waits for approval: AADSTS%d", code)
	}
	thumbprint, err := jose.Thumbprint(b.private.Public())
	if err != nil {
		t.Fatal(err)
	}
	r.manage(t, 200, "PATCH", path, `{"approvedKeys":["`+thumbprint+`"]}`)
	if code := r.exchange(t, b.assertion(r.now, 5)); code != 0 {
		t.Errorf("an approved key: AADSTS%d", code)
	}
	r.manage(t, 204, "DELETE", path, "")
	r.manage(t, 404, "GET", path, "")
	if code := r.exchange(t, b.assertion(r.now, 6)); code != 50166 {
		t.Errorf("no longer managed, so discovered: AADSTS%d", code)
	}
}

// What cannot be used is refused with what to do.
func TestIssuersThatCannotBeManaged(t *testing.T) {
	r := newRig(t)
	for name, c := range map[string]struct{ body, want string }{
		"no keys":       {`{"issuer":"https://a.example","mode":"pin"}`, "keySet is required"},
		"no set":        {`{"issuer":"https://a.example","mode":"pin","keySet":{"keys":1}}`, "not a JWK set"},
		"weak":          {`{"issuer":"https://a.example","mode":"pin","keySet":{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}}`, "no usable signature key"},
		"symmetric":     {`{"issuer":"https://a.example","mode":"pin","keySet":{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}}`, "no usable signature key"},
		"mode":          {`{"issuer":"https://a.example","mode":"trust"}`, "mode must be"},
		"http":          {`{"issuer":"http://a.example"}`, "https"},
		"ourselves":     {`{"issuer":"` + base + `/x"}`, "this server itself"},
		"private":       {`{"issuer":"https://a.example","allowAddresses":["10.0.0.0/8"]}`, "issuers.tenant_addresses"},
		"algorithm":     {`{"issuer":"https://a.example","algorithms":["HS256"]}`, "HS256"},
		"certificate":   {`{"issuer":"https://a.example","caCertificates":"x"}`, "PEM"},
		"nobody pushes": {`{"issuer":"https://a.example","mode":"push"}`, "pushedBy is required"},
		"misspelt":      {`{"issuer":"https://a.example","keyset":{}}`, "unknown"},
		"proxy":         {`{"issuer":"https://a.example","proxy":"corporate"}`, "issuers.proxies"},
		"thumbprint":    {`{"issuer":"https://a.example","approvedKeys":["x"]}`, "thumbprint"},
	} {
		got := r.call("POST", "/trust/v1/issuers", r.token(t), c.body)
		if got.Code != 400 || !strings.Contains(got.Body.String(), c.want) {
			t.Errorf("%s: %d %s", name, got.Code, got.Body)
		}
	}
}

// A rebuilt cluster is one edit of a set: under load no exchange fails while
// both are members, and none of the old one succeeds after it was removed.
func TestIssuerSetRotates(t *testing.T) {
	r := newRig(t)
	before, after := newProvider(t, "https://cluster-1.example", "a"), newProvider(t, "https://cluster-2.example", "b")
	r.trusts(t, directory.IssuerSetReference("clusters"))
	for _, p := range []*provider{before, after} {
		r.manage(t, 201, "POST", "issuers", `{"issuer":"`+p.issuer+`","mode":"pin","keySet":`+keySetOf(t, p)+`}`)
	}
	if code := r.exchange(t, before.assertion(r.now, 0)); code != 700211 {
		t.Fatalf("without the set: AADSTS%d", code)
	}
	member := func(p *provider) string { return `{"issuer":"` + p.issuer + `"}` }
	r.manage(t, 201, "PUT", "issuerSets/clusters", `{"members":[`+member(before)+`]}`)

	var current atomic.Pointer[provider]
	var ids, done atomic.Int64
	current.Store(before)
	stop := make(chan struct{})
	var clients sync.WaitGroup
	var underWay sync.RWMutex // shared by exchanges
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				underWay.RLock()
				p := current.Load()
				if code := r.exchange(t, p.assertion(r.now, ids.Add(1))); code != 0 {
					t.Errorf("%s: AADSTS%d", p.issuer, code)
				}
				done.Add(1)
				underWay.RUnlock()
			}
		})
	}
	const rounds = 20
	for range rounds {
		r.manage(t, 200, "PUT", "issuerSets/clusters", `{"members":[`+member(before)+`,`+member(after)+`]}`)
		current.Store(after)
		// Those that began with the old one end before it is removed.
		underWay.Lock()
		_ = current.Load()
		underWay.Unlock()
		r.manage(t, 200, "PUT", "issuerSets/clusters", `{"members":[`+member(after)+`]}`)
		for range 5 {
			if code := r.exchange(t, before.assertion(r.now, ids.Add(1))); code != 700211 {
				t.Errorf("a removed member: AADSTS%d", code)
			}
		}
		before, after = after, before
	}
	close(stop)
	clients.Wait()
	t.Logf("%d exchanges over %d rotations", done.Load(), rounds)

	window := fmt.Sprintf(`{"issuer":%q,"notBefore":%q,"notAfter":%q}`, before.issuer, r.now.Add(time.Minute).Format(time.RFC3339), r.now.Add(time.Hour).Format(time.RFC3339))
	r.manage(t, 200, "PUT", "issuerSets/clusters", `{"members":[`+window+`]}`)
	start := r.now
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{0, 700211}, {2 * time.Minute, 0}, {61 * time.Minute, 700211}} {
		r.set(start.Add(c.after))
		if code := r.exchange(t, before.assertion(r.now, ids.Add(1))); code != c.want {
			t.Errorf("after %v: AADSTS%d, want %d", c.after, code, c.want)
		}
	}
	r.set(start)
	r.manage(t, 204, "DELETE", "issuerSets/clusters", "")
	if code := r.exchange(t, before.assertion(r.now, ids.Add(1))); code != 700211 {
		t.Errorf("a deleted set: AADSTS%d", code)
	}
}

// An application beside an issuer pushes its keys, those of that issuer and no
// other; they count until they are too old.
func TestPushedKeys(t *testing.T) {
	w := newWorld(t)
	p := newProvider(t, w.issuer.Issuer, "a")
	w.trusts(t, p.issuer)
	push := func(column, issuer, says, keys string) int {
		return w.call("POST", "/trust/v1/issuerKeys", w.tokens[column], fmt.Sprintf(`{"issuer":%q,"discovery":{"issuer":%q},"keySet":%s}`, issuer, says, keys)).Code
	}
	if code := w.exchange(t, p.assertion(w.now, 1)); code != 50166 {
		t.Errorf("before the first push: AADSTS%d", code)
	}
	for name, c := range map[string]struct {
		column, issuer, says, keys string
		want                       int
	}{
		"an administrator":    {"admin", p.issuer, p.issuer, keySetOf(t, p), 403},
		"without the role":    {"workload", p.issuer, p.issuer, keySetOf(t, p), 403},
		"another issuer":      {"pusher", "https://other.example", "https://other.example", keySetOf(t, p), 403},
		"another's document":  {"pusher", p.issuer, p.issuer + "/", keySetOf(t, p), 400},
		"no keys":             {"pusher", p.issuer, p.issuer, `{"keys":[]}`, 400},
		"the one that may":    {"pusher", p.issuer, p.issuer, keySetOf(t, p), 200},
		"the same once more?": {"pusher", p.issuer, p.issuer, keySetOf(t, p), 200},
	} {
		if got := push(c.column, c.issuer, c.says, c.keys); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	if code := w.exchange(t, p.assertion(w.now, 2)); code != 0 {
		t.Errorf("pushed: AADSTS%d", code)
	}
	next := newProvider(t, p.issuer, "b")
	if got := push("pusher", p.issuer, p.issuer, keySetOf(t, next)); got != 200 {
		t.Fatalf("another key: %d", got)
	}
	if code := w.exchange(t, p.assertion(w.now, 2)); code != 7000272 {
		t.Errorf("a key that is no longer pushed: AADSTS%d", code)
	}
	w.checkHistory(t, next, p)
	w.set(w.now.Add(25 * time.Hour))
	if code := w.exchange(t, next.assertion(w.now, 3)); code != 50166 {
		t.Errorf("pushed too long ago: AADSTS%d", code)
	}
}

// checkHistory wants the current key and the one before it, with alarms in the
// audit trail and in the metric.
func (w *world) checkHistory(t *testing.T, now, before *provider) {
	t.Helper()
	got := w.manage(t, 200, "GET", "issuers/"+w.issuer.ID+"/keys", "")
	current := map[string]any{}
	for _, k := range got["value"].([]any) {
		current[k.(map[string]any)["keyId"].(string)] = k.(map[string]any)["current"]
	}
	if len(current) != 2 || current[now.kid] != true || current[before.kid] != false {
		t.Errorf("history: %v", got)
	}
	if health := got["health"].(map[string]any); health["keyCount"] != 1.0 || health["error"] != "" {
		t.Errorf("health: %v", health)
	}
	records, err := w.db.AuditRecords(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	actions := map[string]int{}
	for _, r := range records {
		for _, action := range []string{store.ActionIssuerKeyAdded, store.ActionIssuerKeyRemoved} {
			if strings.Contains(fmt.Sprintf("%s", r.Detail), `"`+action+`"`) {
				actions[action]++
			}
		}
	}
	if actions[store.ActionIssuerKeyAdded] != 2 || actions[store.ActionIssuerKeyRemoved] != 1 {
		t.Errorf("audit trail: %v", actions)
	}
}

// What was fetched of a managed issuer is in its history, with an alarm for
// each change and none without; what is not managed has none.
func TestHistoryOfDiscoveredKeys(t *testing.T) {
	r := newRig(t)
	issuer := &directory.Issuer{TenantID: r.admin.TenantID, Issuer: "https://idp.example", IssuerSettings: directory.IssuerSettings{Mode: directory.IssuerDiscover}}
	r.write(t, func(tx *store.Tx) error { return tx.CreateIssuer(issuer) })
	see := func(issuer string, providers ...*provider) {
		set, err := jose.ParseKeySet([]byte(keySetOf(t, providers...)), 10)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.sawIssuerKeys(t.Context(), oidc.FetchEvent{Issuer: issuer, Under: issuer, Found: set.Keys}); err != nil {
			t.Fatal(err)
		}
	}
	a, b := newProvider(t, issuer.Issuer, "a"), newProvider(t, issuer.Issuer, "b")
	see("https://nobody.example", a)
	see(issuer.Issuer, a)
	commits := r.db.Stats().Commits
	see(issuer.Issuer, a)
	if r.db.Stats().Commits != commits {
		t.Error("the same keys were written again")
	}
	see(issuer.Issuer, a, b)
	see(issuer.Issuer, b)
	keys, err := r.db.IssuerKeys(t.Context(), issuer.ID)
	if err != nil || len(keys) != 2 {
		t.Fatalf("%+v, %v", keys, err)
	}
	for _, k := range keys {
		if k.Current != (k.KeyID == "b") || k.FirstSeen.IsZero() || k.Algorithm != "EdDSA" {
			t.Errorf("%+v", k)
		}
	}
}

// What one server changed of an issuer or of a set counts in the next exchange
// on another one, that learns of changes by nothing but its own decisions.
func TestManagedIssuersOnTwoServers(t *testing.T) {
	cfg := storetest.Empty(t)
	if cfg.DSN == "" {
		t.Skip("one database of SQLite has one server; go run ./test/postgres/with go test ./internal/server")
	}
	cfg.PollInterval = time.Hour
	r := newRigOn(t, cfg)
	other := r.beside(t, cfg)
	a, b := newProvider(t, "https://cluster-1.example", "a"), newProvider(t, "https://cluster-1.example", "b")
	c := newProvider(t, "https://cluster-2.example", "c")
	r.trusts(t, directory.IssuerSetReference("clusters"))
	r.manage(t, 201, "POST", "issuers", `{"issuer":"`+c.issuer+`","mode":"pin","keySet":`+keySetOf(t, c)+`}`)
	path := "issuers/" + r.manage(t, 201, "POST", "issuers", `{"issuer":"`+a.issuer+`","mode":"pin","keySet":`+keySetOf(t, a)+`}`)["id"].(string)
	r.manage(t, 201, "PUT", "issuerSets/clusters", `{"members":[{"issuer":"`+a.issuer+`"}]}`)
	old, stranger := a.assertion(r.now, 1), c.assertion(r.now, 1)
	want := func(round int, what string, assertion string, want int) {
		if code := other.exchange(t, assertion); code != want {
			t.Errorf("round %d: %s: AADSTS%d, want %d", round, what, code, want)
		}
	}
	const rounds = 30
	for round := range rounds {
		want(round, "the same assertion", old, 0)
		r.manage(t, 200, "PATCH", path, `{"keySet":`+keySetOf(t, b)+`}`)
		want(round, "a key that was taken away", old, 7000272)
		want(round, "the new key", b.assertion(r.now, int64(round)), 0)
		want(round, "no member", stranger, 700211)
		r.manage(t, 200, "PUT", "issuerSets/clusters", `{"members":[{"issuer":"`+c.issuer+`"}]}`)
		want(round, "a new member", stranger, 0)
		want(round, "a removed member", b.assertion(r.now, int64(round)), 700211)
		r.manage(t, 200, "PUT", "issuerSets/clusters", `{"members":[{"issuer":"`+a.issuer+`"}]}`)
		r.manage(t, 200, "PATCH", path, `{"keySet":`+keySetOf(t, a)+`}`)
	}
}

// An issuer in a private network is reached by the tenant that permits it, as
// far as the operator lets it, until it does not any more.
func TestIssuerInPrivateNetwork(t *testing.T) {
	p := newProvider(t, "", "a")
	idp := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/keys") {
			fmt.Fprint(w, keySetOf(t, p))
			return
		}
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, p.issuer, p.issuer+"/keys")
	}))
	defer idp.Close()
	address := netip.MustParseAddrPort(idp.Listener.Addr().String())
	p.issuer = fmt.Sprintf("https://example.com:%d", address.Port()) // the certificate of httptest is for it
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	r := newRigOn(t, store.Config{Path: filepath.Join(t.TempDir(), "cambio.db")}, func(o *Options) {
		o.TenantAddresses = []netip.Prefix{loopback}
		o.Issuers.LookupNetIP = func(context.Context, string, string) ([]netip.Addr, error) { return []netip.Addr{address.Addr()}, nil }
	})
	r.trusts(t, p.issuer)
	want := func(what string, code int) {
		t.Helper()
		if got := r.exchange(t, p.assertion(r.now, 1)); got != code {
			t.Errorf("%s: AADSTS%d, want %d", what, got, code)
		}
	}
	want("not managed", 50166)
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: idp.Certificate().Raw}))
	body, err := json.Marshal(map[string]any{"issuer": p.issuer, "allowAddresses": []string{"127.0.0.1/32"}, "caCertificates": ca})
	if err != nil {
		t.Fatal(err)
	}
	path := "issuers/" + r.manage(t, 201, "POST", "issuers", string(body))["id"].(string)
	want("permitted", 0)
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) { // the history follows the fetch
		keys := r.manage(t, 200, "GET", path+"/keys", "")
		if health := keys["health"].(map[string]any); health["keyCount"] != 1.0 || health["fetchedDateTime"] == nil {
			t.Fatalf("health: %v", health)
		}
		if len(keys["value"].([]any)) == 1 {
			break
		}
		if time.Since(start) > 10*time.Second {
			t.Fatalf("no history: %v", keys)
		}
	}
	r.manage(t, 200, "PATCH", path, `{"caCertificates":""}`)
	want("its certificate authority is not trusted any more", 50166)
	r.manage(t, 200, "PATCH", path, `{"allowAddresses":[]}`)
	want("not permitted any more", 50166)
	if health := r.manage(t, 200, "GET", path+"/keys", "")["health"].(map[string]any); health["reason"] != "address_not_allowed" || health["error"] == "" {
		t.Errorf("health: %v", health)
	}
}
