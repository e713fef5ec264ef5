package development

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"cambio/internal/jose"
	"cambio/internal/keys"
	"cambio/internal/oauth"
	"cambio/internal/strictjson"
)

// start runs an instance in dir, until the test ends or stop is called.
func start(t *testing.T, cfg Config) (i *Instance, client *http.Client, stop func()) {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	cfg.Listen = "127.0.0.1:0"
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	i, err := Start(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	stop = func() {
		once.Do(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if err := i.Close(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	ca, err := os.ReadFile(i.Info.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 128}
	t.Cleanup(transport.CloseIdleConnections)
	return i, &http.Client{Transport: transport, Timeout: 30 * time.Second}, stop
}

// answer is a body that was decoded.
type answer map[string]any

func post(t testing.TB, client *http.Client, target string, form url.Values) (int, answer) {
	resp, err := client.PostForm(target, form)
	if err != nil {
		t.Error(err)
		return 0, nil
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil {
		t.Errorf("%s: %v", raw, err)
	}
	return resp.StatusCode, a
}

func exchangeForm(t testing.TB, i *Instance, scope string) url.Values {
	assertion, err := i.Provider.Mint(nil, nil)
	if err != nil {
		t.Error(err)
	}
	return url.Values{"grant_type": {"client_credentials"}, "client_id": {i.Info.ClientID}, "scope": {scope},
		"client_assertion_type": {oauth.AssertionTypeJWT}, "client_assertion": {assertion}}
}

func (i *Instance) tokenURL() string {
	return i.Info.BaseURL + "/" + i.Info.TenantID + "/oauth2/v2.0/token"
}

// exchange must succeed.
func exchange(t testing.TB, i *Instance, client *http.Client) string {
	status, a := post(t, client, i.tokenURL(), exchangeForm(t, i, i.Info.Scope))
	token, _ := a["access_token"].(string)
	if status != 200 || token == "" {
		t.Errorf("status %d: %v", status, a)
	}
	return token
}

// settle waits until the store has looked for writes of other processes a few
// times: it then also finds those of the start, and reads the keys once more.
func (i *Instance) settle(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for polls := i.db.Stats().Polls; i.db.Stats().Polls < polls+3; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the store does not look for writes of other processes")
		}
	}
}

// The budget of a warm exchange: no SQL read, no outbound request, and one
// shared commit for those that finish together.
func TestWarmExchangeReadsNothing(t *testing.T) {
	i, client, _ := start(t, Config{})
	exchange(t, i, client)
	i.settle(t)
	fetches := i.Provider.fetches.Load()
	before := i.db.Stats()
	for range 20 {
		exchange(t, i, client)
	}
	after := i.db.Stats()
	if n := after.SQLReads - before.SQLReads; n != 0 {
		t.Errorf("%d SQL reads in 20 warm exchanges; the budget is 0", n)
	}
	if n := i.Provider.fetches.Load() - fetches; n != 0 {
		t.Errorf("%d outbound requests in 20 warm exchanges; the budget is 0", n)
	}
	if n := after.Jobs - before.Jobs; n != 20 {
		t.Errorf("%d audit records for 20 exchanges", n)
	}
}

func TestConcurrentExchangesShareCommits(t *testing.T) {
	i, client, _ := start(t, Config{})
	exchange(t, i, client)
	const workers, each = 32, 8
	before := i.db.Stats()
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				exchange(t, i, client)
			}
		})
	}
	wg.Wait()
	after := i.db.Stats()
	jobs, commits := after.Jobs-before.Jobs, after.Commits-before.Commits
	t.Logf("%d exchanges in %d commits", jobs, commits)
	if jobs != workers*each {
		t.Errorf("%d audit records for %d exchanges", jobs, workers*each)
	}
	if commits > jobs*3/4 {
		t.Errorf("%d commits for %d concurrent exchanges: they are not shared", commits, jobs)
	}
}

func TestStateSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	first, client, stop := start(t, Config{Dir: dir})
	token := exchange(t, first, client)
	info := first.Info
	stop()
	second, client, _ := start(t, Config{Dir: dir})
	if second.Info.TenantID != info.TenantID || second.Info.ClientID != info.ClientID || second.Info.ResourceAppID != info.ResourceAppID {
		t.Errorf("ids changed over the restart: %+v, %+v", info, second.Info)
	}
	exchange(t, second, client) // though the provider's port is another now
	if !published(t, client, second, token) {
		t.Error("a token from before the restart does not verify any more")
	}
}

// published reports whether a token verifies with the key set as published.
func published(t testing.TB, client *http.Client, i *Instance, token string) bool {
	raw := keySet(t, client, i)
	set, err := jose.ParseKeySet(raw, 100)
	if err != nil {
		t.Error(err)
		return false
	}
	jws, err := jose.ParseCompact(token)
	if err != nil {
		t.Error(err)
		return false
	}
	candidates, _ := set.Candidates(jws.Header)
	for _, k := range candidates {
		if jws.Verify(k) == nil {
			return true
		}
	}
	return false
}

// keySet fetches the key set, again while the server has no set that is young
// enough: on a busy machine its own clockwork may be late.
func keySet(t testing.TB, client *http.Client, i *Instance) []byte {
	for {
		resp, err := client.Get(i.Info.BaseURL + "/" + i.Info.TenantID + "/discovery/v2.0/keys")
		if err != nil {
			t.Error(err)
			return nil
		}
		raw, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		switch {
		case err == nil && resp.StatusCode == http.StatusOK:
			return raw
		case resp.StatusCode != http.StatusServiceUnavailable || t.Context().Err() != nil:
			t.Errorf("the key set: %s %s, %v", resp.Status, raw, err)
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Keys roll over dozens of times while tokens are issued; a verifier that
// holds a key set for as long as it may never meets a key that it does not
// know.
func TestRolloverUnderLoadFailsNoVerification(t *testing.T) {
	policy := keys.Policy{RotateEvery: 240 * time.Millisecond, PublishAhead: 120 * time.Millisecond, RetireAfter: 2 * time.Second}
	i, client, _ := start(t, Config{keys: policy})
	kids := map[string]bool{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	begin := time.Now()
	enough := func() bool { // five keys, and five seconds, unless that takes a minute
		mu.Lock()
		defer mu.Unlock()
		took := time.Since(begin)
		return took > time.Minute || took > 5*time.Second && len(kids) >= 5
	}
	for range 4 {
		wg.Go(func() {
			for !enough() {
				token := exchange(t, i, client)
				if !published(t, client, i, token) {
					t.Error("a fresh token does not verify with the published keys")
				}
				jws, err := jose.ParseCompact(token)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				kids[jws.Header.KeyID] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%d signing keys in %.0f s", len(kids), time.Since(begin).Seconds())
	if len(kids) < 5 {
		t.Errorf("only %d keys signed; rollover did not happen", len(kids))
	}
}

// Every managed route refuses callers without a token, with a broken one, and
// without the route's role, before its handler runs.
func TestEveryManagedRouteIsGuarded(t *testing.T) {
	i, client, _ := start(t, Config{})
	_, weak := post(t, client, i.tokenURL(), exchangeForm(t, i, i.Info.Scope)) // for another audience
	wrongAudience, _ := weak["access_token"].(string)
	guarded := 0
	for _, route := range i.server.Table() {
		if route.Permission == "" {
			continue
		}
		guarded++
		for name, bearer := range map[string]string{"no token": "", "a broken token": "x.y.z", "a token for another resource": wrongAudience,
			"an altered token": i.Info.AdminToken[:len(i.Info.AdminToken)-8] + "AAAAAAAA"} {
			path := strings.NewReplacer("({", "(", "})", ")", "{", "", "}", "").Replace(route.Pattern)
			req, err := http.NewRequest(route.Method, i.Info.BaseURL+path, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			if bearer != "" {
				req.Header.Set("Authorization", "Bearer "+bearer)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s %s with %s: status %d, want 401", route.Method, route.Pattern, name, resp.StatusCode)
			}
			if _, err := strictjson.ParseObject(body, strictjson.Document); err != nil && route.Method != http.MethodHead {
				t.Errorf("%s %s with %s: the body is no JSON object: %s", route.Method, route.Pattern, name, body)
			}
		}
	}
	if guarded < 30 {
		t.Errorf("only %d guarded routes found", guarded)
	}
}

// The provider's one RSA key signs with every algorithm of RSA, as real
// providers' do: Cognito signs with RS512.
func TestProviderSignsWithEveryAlgorithm(t *testing.T) {
	i, client, _ := start(t, Config{})
	for _, alg := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"} {
		form := exchangeForm(t, i, i.Info.Scope)
		assertion, err := i.Provider.Mint(nil, map[string]any{"alg": alg})
		if err != nil {
			t.Fatal(err)
		}
		form.Set("client_assertion", assertion)
		if status, a := post(t, client, i.tokenURL(), form); status != 200 {
			t.Errorf("%s: status %d: %v", alg, status, a["error_description"])
		}
	}
}
