package crash

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"cambio/conformance/devserver"
	"cambio/internal/store"
)

// cycles is how many times the server is killed: few in the usual test run,
// CAMBIO_CRASH_CYCLES when it is asked for.
func cycles(t *testing.T) int {
	text := os.Getenv("CAMBIO_CRASH_CYCLES")
	if text == "" {
		return 5
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("CAMBIO_CRASH_CYCLES=%q is no count", text)
	}
	return n
}

// acknowledged is what the server had answered when it was killed.
type acknowledged struct {
	mu          sync.Mutex
	credentials []string // names of created credentials
	traces      []string // x-ms-request-id of answered exchanges, allowed and refused
}

func (a *acknowledged) add(list *[]string, id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	*list = append(*list, id)
}

func TestCrashLosesNothing(t *testing.T) {
	ctx := context.Background()
	binary, err := devserver.Build(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	parent := ""    // the application that gets the credentials
	var after int64 // last audit record that was looked at
	var writes, exchanges int
	total := cycles(t)
	for cycle := range total {
		a := &acknowledged{}
		tenant := loadAndKill(ctx, t, binary, state, &parent, cycle, a)
		after = inspect(ctx, t, state, tenant, parent, after, a)
		writes, exchanges = writes+len(a.credentials), exchanges+len(a.traces)
		if t.Failed() {
			t.Fatalf("cycle %d", cycle)
		}
		if (cycle+1)%20 == 0 {
			t.Logf("%d cycles: %d acknowledged writes, %d answered exchanges, nothing lost", cycle+1, writes, exchanges)
		}
	}
	t.Logf("%d cycles: %d acknowledged writes, %d answered exchanges, nothing lost", total, writes, exchanges)
	if writes < 10*total || exchanges < 10*total {
		t.Errorf("too little was acknowledged to mean anything: %d writes, %d exchanges", writes, exchanges)
	}
}

// loadAndKill runs the server, loads it from eight workers, and kills it while
// they go on. Credentials are created on an application of their own, made in
// the first cycle, so that exchanges do not wait for its ever larger record.
func loadAndKill(ctx context.Context, t *testing.T, binary, state string, parent *string, cycle int, a *acknowledged) (tenant string) {
	t.Helper()
	server, err := devserver.Start(ctx, devserver.Config{Binary: binary, StateDir: state})
	if err != nil {
		t.Fatal(err)
	}
	client, err := server.Client()
	if err != nil {
		t.Fatal(err)
	}
	assertion, err := mint(client, server.IDP.MintURL)
	if err != nil {
		t.Fatal(err)
	}
	w := &worker{info: server.Info, client: client, assertion: assertion, acknowledged: a}
	if *parent == "" {
		if *parent, err = w.createApplication(); err != nil {
			t.Fatal(err)
		}
	}
	w.parent = *parent
	var workers sync.WaitGroup
	for n := range 8 {
		workers.Go(func() {
			for i := 0; ; i++ {
				var err error
				if n%2 == 0 {
					err = w.create(fmt.Sprintf("c%d-%d-%d", cycle, n, i))
				} else {
					err = w.exchange(n%4 == 1)
				}
				if err != nil {
					return // the server is gone
				}
			}
		})
	}
	// The moment of death varies, so that every step of a commit gets its turn.
	time.Sleep(250*time.Millisecond + time.Duration(cycle*37%200)*time.Millisecond)
	server.Kill()
	workers.Wait()
	client.CloseIdleConnections()
	return server.TenantID
}

type worker struct {
	info      devserver.Info
	client    *http.Client
	assertion string
	parent    string // object id of the application that gets credentials
	*acknowledged
}

func (w *worker) createApplication() (string, error) {
	resp, err := w.manage("/v1.0/applications", map[string]any{"displayName": "crash"})
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var app struct {
		ID string `json:"id"`
	}
	err = json.UnmarshalRead(resp.Body, &app)
	return app.ID, err
}

// manage posts to the management API.
func (w *worker) manage(path string, v any) (*http.Response, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodPost, w.info.BaseURL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+w.info.AdminToken)
	req.Header.Set("Content-Type", "application/json")
	return w.client.Do(req)
}

// create makes a federated identity credential.
func (w *worker) create(name string) error {
	resp, err := w.manage("/v1.0/applications/"+w.parent+"/federatedIdentityCredentials",
		map[string]any{"name": name, "issuer": "https://idp.example", "subject": name, "audiences": []string{"api://AzureADTokenExchange"}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode == http.StatusCreated {
		w.add(&w.credentials, name)
	}
	return nil
}

// exchange asks for a token, with the right audience or with one that is
// refused: both answers have a record.
func (w *worker) exchange(allowed bool) error {
	scope := w.info.Scope
	if !allowed {
		scope = "api://nobody/.default"
	}
	resp, err := w.client.PostForm(w.info.BaseURL+"/"+w.info.TenantID+"/oauth2/v2.0/token", url.Values{"grant_type": {"client_credentials"},
		"client_id": {w.info.ClientID}, "scope": {scope}, "client_assertion": {w.assertion},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusBadRequest {
		w.add(&w.traces, resp.Header.Get("x-ms-request-id"))
	}
	return nil
}

func mint(client *http.Client, mintURL string) (string, error) {
	resp, err := client.Post(mintURL, "application/json", strings.NewReader(`{"claims":{}}`))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var answer struct {
		Token string `json:"token"`
	}
	err = json.UnmarshalRead(resp.Body, &answer)
	return answer.Token, err
}

// inspect opens what is left, which checks it for damage, and looks for
// everything that was acknowledged.
func inspect(ctx context.Context, t *testing.T, state, tenant, parent string, after int64, a *acknowledged) int64 {
	t.Helper()
	db, err := store.Open(store.Config{Path: filepath.Join(state, "cambio.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, name := range a.credentials {
		if _, err := db.Credential(ctx, tenant, parent, name); err != nil {
			t.Errorf("the acknowledged credential %s is lost: %v", name, err)
		}
	}
	recorded := map[string]bool{}
	for {
		records, err := db.AuditRecords(ctx, after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(records) == 0 {
			break
		}
		for _, r := range records {
			after = r.ID
			var detail struct {
				TraceID string `json:"traceId"`
			}
			if err := json.Unmarshal(r.Detail, &detail); err != nil {
				t.Fatalf("%s: %v", r.Detail, err)
			}
			recorded[detail.TraceID] = true
		}
	}
	for _, trace := range a.traces {
		if !recorded[trace] {
			t.Errorf("the answered exchange %s has no record", trace)
		}
	}
	return after
}
