package crash

import (
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
	"sync/atomic"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"cambio/conformance/devserver"
	"cambio/internal/store"
)

// requests is how many requests are answered before records are counted: few
// in the usual test run, CAMBIO_REQUESTS when it is asked for.
func requests(t *testing.T) int64 {
	text := os.Getenv("CAMBIO_REQUESTS")
	if text == "" {
		return 4000
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 100 {
		t.Fatalf("CAMBIO_REQUESTS=%q is no count of at least 100", text)
	}
	return n
}

const kills = 10

// TestOneRecordEach: of requests of every kind, answered by a server that is
// killed ten times, each has exactly one record, and no record is there twice.
func TestOneRecordEach(t *testing.T) {
	ctx := context.Background()
	binary, err := devserver.Build(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := &counter{state: t.TempDir(), answered: map[string]int{}}
	total := requests(t)
	for kill := range kills {
		c.loadUntil(ctx, t, binary, total*int64(kill+1)/kills)
	}
	c.compare(t)
}

// counter is what was answered: by trace id or correlation id, with the number
// of answers that issued a token.
type counter struct {
	state    string
	count    atomic.Int64
	mu       sync.Mutex
	answered map[string]int // 1: a token was issued
	tokens   int
}

func (c *counter) add(id string, issued bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered[id] = 0
	if issued {
		c.answered[id] = 1
		c.tokens++
	}
	c.count.Add(1)
}

// loadUntil runs the server, sends requests until so many were answered, and
// kills it in the middle of others.
func (c *counter) loadUntil(ctx context.Context, t *testing.T, binary string, until int64) {
	t.Helper()
	server, err := devserver.Start(ctx, devserver.Config{Binary: binary, StateDir: c.state})
	if err != nil {
		t.Fatal(err)
	}
	client, err := server.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	assertion, err := mint(client, server.IDP.MintURL)
	if err != nil {
		t.Fatal(err)
	}
	var workers sync.WaitGroup
	for n := range 16 {
		workers.Go(func() {
			for i := n; ; i++ {
				if err := c.send(client, server.Info, assertion, i); err != nil {
					return // the server is gone
				}
				if c.count.Load() >= until {
					server.Kill() // the others are in the middle of theirs
				}
			}
		})
	}
	workers.Wait()
}

// send sends the i-th kind of request.
func (c *counter) send(client *http.Client, info devserver.Info, assertion string, i int) error {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {info.ClientID}, "scope": {info.Scope}, "client_assertion": {assertion},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}
	switch i % 8 {
	case 1:
		form.Set("scope", "api://nobody/.default")
	case 2:
		form.Set("client_id", uuid.NewString())
	case 3:
		form.Set("client_assertion", assertion[:len(assertion)-4]+"AAAA")
	case 4:
		form.Set("client_assertion", "nonsense")
	case 5:
		form = url.Values{"grant_type": {"password"}}
	case 6:
		return c.manage(client, info)
	}
	resp, err := client.PostForm(info.BaseURL+"/"+info.TenantID+"/oauth2/v2.0/token", form)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	c.add(resp.Header.Get("x-ms-request-id"), resp.StatusCode == http.StatusOK)
	return nil
}

func (c *counter) manage(client *http.Client, info devserver.Info) error {
	id := uuid.NewString()
	body := fmt.Sprintf(`{"displayName":"count %s"}`, id)
	req, err := http.NewRequest(http.MethodPost, info.BaseURL+"/v1.0/applications", strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+info.AdminToken)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("client-request-id", id)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode == http.StatusCreated {
		c.add(id, false)
	}
	return nil
}

func (c *counter) compare(t *testing.T) {
	t.Helper()
	db, err := store.Open(store.Config{Path: filepath.Join(c.state, "cambio.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	records, issued := map[string]int{}, map[string]bool{}
	for after := int64(0); ; {
		page, err := db.AuditRecords(t.Context(), after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, r := range page {
			after = r.ID
			var detail struct{ TraceID, CorrelationID, Outcome, Action string }
			if err := json.Unmarshal(r.Detail, &detail, json.MatchCaseInsensitiveNames(true)); err != nil {
				t.Fatalf("%s: %v", r.Detail, err)
			}
			id := detail.TraceID
			if detail.Action == "application.create" {
				id = detail.CorrelationID
			}
			records[id]++
			issued[id] = detail.Outcome == "allowed"
		}
	}
	for id, token := range c.answered {
		if records[id] != 1 || token == 1 && !issued[id] {
			t.Errorf("the answered request %s has %d records (issued: %v, recorded as issued: %v)", id, records[id], token == 1, issued[id])
		}
	}
	for id, n := range records {
		if id != "" && n != 1 {
			t.Errorf("%s is recorded %d times", id, n)
		}
	}
	t.Logf("%d answered requests, %d of them with a token, over %d kills: one record each; %d records in all", len(c.answered), c.tokens, kills, len(records))
}
