package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// post creates an object as the administrator and returns what was answered.
func (i *installation) post(t *testing.T, bearer, path, body string) map[string]any {
	t.Helper()
	answer, err := i.tryPost(bearer, path, body)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func (i *installation) tryPost(bearer, path, body string) (map[string]any, error) {
	req, err := http.NewRequest(http.MethodPost, i.base+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	req.Header.Set("Content-Type", "application/json")
	resp, err := i.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer map[string]any
	if err := json.UnmarshalRead(resp.Body, &answer); err != nil || resp.StatusCode != http.StatusCreated {
		return nil, fmt.Errorf("POST %s: status %d: %v (%v)", path, resp.StatusCode, answer, err)
	}
	return answer, nil
}

// credentials lists the names of an application's credentials.
func (i *installation) credentials(t *testing.T, bearer, object string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for next := i.base + "/v1.0/applications/" + object + "/federatedIdentityCredentials"; next != ""; {
		req, err := http.NewRequest(http.MethodGet, next, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+bearer)
		resp, err := i.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var page struct {
			Value []struct{ Name string }
			Next  string `json:"@odata.nextLink"`
		}
		err = json.UnmarshalRead(resp.Body, &page, json.MatchCaseInsensitiveNames(true))
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("status %d, %v", resp.StatusCode, err)
		}
		for _, v := range page.Value {
			names[v.Name] = true
		}
		next = page.Next
	}
	return names
}

// pressure is a server under load: three writers and one workload that
// exchanges its token, until stop.
type pressure struct {
	mu           sync.Mutex
	acknowledged map[string]bool // names of credentials, guarded by mu
	ended        atomic.Bool
	workers      sync.WaitGroup
}

func (i *installation) load(t *testing.T, tenant, admin, bearer, object string) *pressure {
	t.Helper()
	p := &pressure{acknowledged: map[string]bool{}}
	for n := range 3 {
		p.workers.Go(func() {
			for k := 0; !p.ended.Load(); k++ {
				name := fmt.Sprintf("c-%d-%d", n, k)
				body := fmt.Sprintf(`{"name":%q,"issuer":%q,"subject":%q,"audiences":["api://AzureADTokenExchange"]}`, name, i.provider.Issuer(), name)
				if _, err := i.tryPost(bearer, "/v1.0/applications/"+object+"/federatedIdentityCredentials", body); err != nil {
					t.Error(err)
					return
				}
				p.mu.Lock()
				p.acknowledged[name] = true
				p.mu.Unlock()
			}
		})
	}
	p.workers.Go(func() {
		for !p.ended.Load() {
			if status, answer := i.token(t, tenant, admin, "ops"); status != http.StatusOK {
				t.Errorf("an exchange during the backup: %d %v", status, answer)
				return
			}
		}
	})
	return p
}

// reaches waits until so many writes were acknowledged and returns them.
func (p *pressure) reaches(t *testing.T, n int) map[string]bool {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		p.mu.Lock()
		now := maps.Clone(p.acknowledged)
		p.mu.Unlock()
		if len(now) >= n {
			return now
		}
		if t.Failed() || time.Now().After(deadline) {
			t.Fatalf("only %d of %d writes", len(now), n)
		}
	}
}

func (p *pressure) stop() {
	p.ended.Store(true)
	p.workers.Wait()
}

// A backup that is taken while the server writes and exchanges holds all that
// was acknowledged before it, and a server on the restored database issues
// tokens that its published keys verify.
func TestBackupAndRestoreOfAServer(t *testing.T) {
	i := install(t)
	ctx := context.Background()
	out, err := run(ctx, "bootstrap", "--config", i.config, "--name", "Example", "--domain", "example.net", "--issuer", i.provider.Issuer(), "--subject", "ops")
	if err != nil {
		t.Fatal(err, out)
	}
	tenant, admin := field(t, out, `Tenant +`+guid), field(t, out, `Administrator +`+guid)
	stop := i.serving(t)
	_, answer := i.token(t, tenant, admin, "ops")
	bearer := answer["access_token"].(string)
	object := i.post(t, bearer, "/v1.0/applications", `{"displayName":"shop"}`)["id"].(string)
	keysBefore := i.published(t, tenant)
	load := i.load(t, tenant, admin, bearer, object)
	var before map[string]bool
	for attempt := range 3 {
		before = load.reaches(t, 10*(attempt+1))
		out, err = run(ctx, "backup", "--config", i.config, "--to", i.path("backup.db"), "--force")
		if err != nil || !strings.Contains(out, i.path("kek")+") is not in it") {
			t.Fatalf("backup: %v\n%s", err, out)
		}
	}
	if _, err := run(ctx, "restore", "--config", i.config, "--from", i.path("backup.db")); err == nil || !strings.Contains(err.Error(), "stop it first") {
		t.Errorf("restoring beside the running server: %v", err)
	}
	load.stop()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	// Something that the restoration undoes.
	if out, err := run(ctx, "bootstrap", "--config", i.config, "--name", "Later", "--domain", "later.example"); err != nil {
		t.Fatal(err, out)
	}
	i.restore(t)
	stop = i.serving(t)
	defer func() { _ = stop() }()
	status, answer := i.token(t, "example.net", admin, "ops")
	if status != http.StatusOK {
		t.Fatalf("after the restoration: %d %v", status, answer)
	}
	// The management API verifies the token with the published keys.
	i.manage(t, answer["access_token"].(string))
	if i.published(t, tenant) != keysBefore {
		t.Error("the published keys are not those of before")
	}
	if status, _ := i.token(t, "later.example", admin, "ops"); status == http.StatusOK {
		t.Error("a tenant that was made after the backup is there")
	}
	restored := i.credentials(t, answer["access_token"].(string), object)
	missing, unknown := without(before, restored), without(restored, load.acknowledged)
	if len(missing) > 0 || len(unknown) > 0 {
		t.Errorf("acknowledged before the backup and not there: %v; there and never acknowledged: %v", missing, unknown)
	}
	t.Logf("%d credentials restored, %d acknowledged before the last backup began, %d in the end", len(restored), len(before), len(load.acknowledged))
}

// without lists what is in a and not in b.
func without(a, b map[string]bool) (out []string) {
	for name := range a {
		if !b[name] {
			out = append(out, name)
		}
	}
	return out
}

// restore restores the backup and looks at what it says and records.
func (i *installation) restore(t *testing.T) {
	t.Helper()
	out, err := run(context.Background(), "restore", "--config", i.config, "--from", i.path("backup.db"))
	if err != nil {
		t.Fatal(err)
	}
	aside := field(t, out, `kept as (\S+);`)
	if info, err := os.Stat(aside); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	trail, err := run(context.Background(), "audit", "--config", i.config)
	if err != nil || strings.Count(trail, `"action":"database.restore"`) != 1 {
		t.Errorf("the restoration is not in the audit trail once (%v)", err)
	}
}

func TestMistakesOfBackupAndRestore(t *testing.T) {
	i := install(t)
	ctx := context.Background()
	if _, err := run(ctx, "backup", "--config", i.config, "--to", i.path("b")); err == nil || !strings.Contains(err.Error(), "no database") {
		t.Errorf("without a database: %v", err)
	}
	if out, err := run(ctx, "bootstrap", "--config", i.config, "--name", "Example"); err != nil {
		t.Fatal(err, out)
	}
	if out, err := run(ctx, "backup", "--config", i.config, "--to", i.path("b")); err != nil {
		t.Fatal(err, out)
	}
	database := readFile(t, i.path("state/cambio.db"))
	kek := readFile(t, i.path("kek"))
	other := i.write(t, "other.yaml", strings.Replace(readFile(t, i.config), i.path("kek"), i.path("other-kek"), 1))
	missing := i.write(t, "missing.yaml", strings.Replace(readFile(t, i.config), i.path("kek"), i.path("none"), 1))
	i.write(t, "other-kek", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n")
	for _, c := range []struct {
		args  []string
		want  string
		usage bool
	}{
		{[]string{"backup", "--to", "x"}, "--config FILE is required", true},
		{[]string{"backup", "--config", i.config}, "--to is required", true},
		{[]string{"backup", "--config", i.config, "--to", i.path("b")}, "--force", false},
		{[]string{"backup", "--config", i.config, "--to", i.path("state/cambio.db"), "--force"}, "database itself", false},
		{[]string{"restore", "--config", i.config}, "--from is required", true},
		{[]string{"restore", "--config", i.config, "--from", i.path("none")}, "cannot read the backup", false},
		{[]string{"restore", "--config", i.config, "--from", i.config}, "not a database", false},
		{[]string{"restore", "--config", other, "--from", i.path("b")}, "other-kek) does not read the signing keys", false},
		{[]string{"restore", "--config", missing, "--from", i.path("b")}, "is missing", false},
	} {
		out, err := run(ctx, c.args...)
		var usage usageError
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.As(err, &usage) != c.usage {
			t.Errorf("cambio %s: %v; want %q\n%s", strings.Join(c.args, " "), err, c.want, out)
		}
	}
	if readFile(t, i.path("state/cambio.db")) != database || readFile(t, i.path("kek")) != kek {
		t.Error("a refused command changed the database or the key")
	}
	if left, err := os.ReadDir(i.path("state")); err != nil || len(left) > 3 { // the database, its checksum and its lock
		t.Errorf("left over: %v, %v", left, err)
	}
	if out, err := run(ctx, "restore", "--config", other, "--from", i.path("b"), "--skip-key-check"); err != nil {
		t.Errorf("with --skip-key-check: %v\n%s", err, out)
	}
}
