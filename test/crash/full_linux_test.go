package crash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"cambio/conformance/devserver"
	"cambio/test/httpclient"
	"cambio/test/postgres"
	"cambio/test/realparts"
	"cambio/test/replicas"
)

// smallDisk mounts a file system of so many bytes, or skips the test.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cambio-small-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=755", size)); err != nil {
		t.Skipf("mounting a small file system is not permitted here, so that a full disk is not tested: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all the space that is left, and returns what gives it back.
func fill(t *testing.T, dir string) (empty func()) {
	t.Helper()
	ballast := filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	for size := 1 << 20; size > 0 && err == nil; {
		if _, err = f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			err, size = nil, size/2
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(ballast); err != nil {
			t.Error(err)
		}
	}
}

// TestFullDisk: while the disk of the database is full no exchange is answered
// with a token that is not in the trail; callers, health and log say what is
// the matter; and once there is room the same server goes on.
func TestFullDisk(t *testing.T) {
	binary, err := devserver.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Run("SQLite", func(t *testing.T) {
		disk := smallDisk(t, 16<<20)
		f := newFullDisk(t, binary, filepath.Join(disk, "state", "cambio.db"))
		f.run(disk, "database or disk is full", func() {
			if out, err := f.Command(t.Context(), 0, "audit"); err != nil || !strings.Contains(string(out), `"outcome":"allowed"`) {
				t.Errorf("`cambio audit` on a full disk: %v", err)
			}
			if _, err := f.Command(t.Context(), 0, "backup", "--to", filepath.Join(t.TempDir(), "backup.db")); err != nil {
				t.Errorf("`cambio backup` of a full disk to another one: %v", err)
			}
		}, func() {})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		realparts.Needs(t, realparts.PostgreSQL)
		disk := smallDisk(t, 256<<20)
		t.Setenv("TMPDIR", disk)
		db, err := postgres.Start(t.Context(), "max_wal_size=64MB", "min_wal_size=32MB", "wal_keep_size=0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(db.Close)
		f := newFullDisk(t, binary, db.DSN())
		f.run(disk, "No space left on device", func() {}, func() {
			_ = db.Start(context.Background()) // unless it goes on by itself: then there is one already
		})
	})
}

// fullDisk is a server whose database is on a small disk.
type fullDisk struct {
	*testing.T
	*replicas.Cluster
	operations string
	client     httpclient.Application
	allowed    map[string]bool // traces of answers with a token
	refusals   int
}

func newFullDisk(t *testing.T, binary, database string) *fullDisk {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fullDisk{T: t, operations: l.Addr().String(), allowed: map[string]bool{}}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := os.MkdirTemp("/tmp", "cambio-full-") // not on the small disk
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(files) })
	f.Cluster, err = replicas.Start(t.Context(), replicas.Options{Binary: binary, Dir: files, DSNs: []string{database}, Operations: f.operations, Polling: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	server := f.Replicas[0]
	resource, err := server.Register(t.Context(), httpclient.Registration{Name: "orders", IdentifierURI: "api://orders", Roles: []string{"Do"}})
	if err == nil {
		f.client, err = server.Register(t.Context(), httpclient.Registration{Name: "client"})
	}
	if err == nil {
		_, err = server.Trust(t.Context(), f.client, "trust", f.Issuer.Issuer(), "workload")
	}
	if err == nil {
		err = server.Grant(t.Context(), f.client, resource, "Do")
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// run fills the disk, looks at what the server says, and makes room again.
func (f *fullDisk) run(disk, logged string, whileFull, afterwards func()) {
	for range 20 {
		if status := f.exchange(); status != http.StatusOK {
			f.Fatalf("status %d before the disk is full", status)
		}
	}
	empty := fill(f.T, disk)
	issued := 0
	for deadline := time.Now().Add(60 * time.Second); f.refusals < 20; {
		if f.exchange() == http.StatusOK {
			issued++
		}
		if time.Now().After(deadline) {
			f.Fatalf("%d exchanges, %d of them refused; the disk does not become full", issued, f.refusals)
		}
	}
	f.Logf("%d exchanges until the disk was full", issued)
	f.looksFull()
	whileFull()
	if !strings.Contains(f.Log(0), logged) {
		f.Errorf("the log does not say %q", logged)
	}
	empty()
	afterwards()
	began := time.Now()
	for f.get("/readyz", nil) != http.StatusOK {
		if time.Since(began) > 30*time.Second {
			f.Fatalf("not ready: %s", f.Log(0))
		}
		time.Sleep(50 * time.Millisecond)
	}
	f.Logf("ready again after %v", time.Since(began).Round(time.Millisecond))
	for range 20 {
		if status := f.exchange(); status != http.StatusOK {
			f.Fatalf("status %d after there was room again", status)
		}
	}
	f.compare()
}

// looksFull looks at everything but exchanges. A small write may still find
// room where a large one does not, but not for long.
func (f *fullDisk) looksFull() {
	f.Helper()
	var figures string
	if f.get("/metrics", &figures); !strings.Contains(figures, "\ncambio_store_failing 1\n") {
		f.Error("no metric says that the database takes no writes")
	}
	ready, tries := http.StatusOK, 0
	for ; ready == http.StatusOK && tries < 100; tries++ {
		f.exchange()
		ready = f.get("/readyz", nil)
	}
	if ready != http.StatusServiceUnavailable {
		f.Errorf("/readyz: %d", ready)
	}
	var err error
	for err == nil && tries < 200 {
		tries++
		err = f.Replicas[0].Do(f.Context(), "POST", "/v1.0/applications", map[string]any{"displayName": "one more"}, nil)
	}
	var refusal *httpclient.Refusal
	if !errors.As(err, &refusal) || refusal.Status != http.StatusServiceUnavailable || !strings.Contains(refusal.Body, `"serviceNotAvailable"`) {
		f.Errorf("a management write: %v", err)
	}
	f.Logf("%d small writes found room before", tries-2)
	if status := f.get("/healthz", nil); status != http.StatusOK {
		f.Errorf("/healthz: %d; the process need not be replaced", status)
	}
	if err := f.Replicas[0].Do(f.Context(), "GET", "/v1.0/applications", nil, nil); err != nil {
		f.Errorf("a management read: %v", err)
	}
}

func (f *fullDisk) get(path string, body *string) int {
	resp, err := http.Get("http://" + f.operations + path)
	if err != nil {
		f.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		f.Fatal(err)
	}
	if body != nil {
		*body = string(raw)
	}
	return resp.StatusCode
}

// exchange asks for a token, and checks that a refusal has Entra's shape.
func (f *fullDisk) exchange() int {
	f.Helper()
	server := f.Replicas[0]
	assertion, err := f.Assertion("workload")
	if err != nil {
		f.Fatal(err)
	}
	resp, err := server.HTTP.PostForm(server.BaseURL+"/"+f.TenantID+"/oauth2/v2.0/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {f.client.AppID},
		"scope": {"api://orders/.default"}, "client_assertion": {assertion}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}})
	if err != nil {
		f.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		AccessToken string `json:"access_token"`
		Error       string `json:"error"`
		Description string `json:"error_description"`
		Codes       []int  `json:"error_codes"`
		TraceID     string `json:"trace_id"`
	}
	if err := json.UnmarshalRead(resp.Body, &answer); err != nil {
		f.Fatal(err)
	}
	if resp.StatusCode == http.StatusOK {
		f.allowed[resp.Header.Get("x-ms-request-id")] = true
		return resp.StatusCode
	}
	f.refusals++
	if resp.StatusCode != http.StatusServiceUnavailable || answer.Error != "temporarily_unavailable" || len(answer.Codes) != 1 || answer.Codes[0] != 90033 || answer.AccessToken != "" ||
		!strings.HasPrefix(answer.Description, "AADSTS90033: ") || answer.TraceID != resp.Header.Get("x-ms-request-id") || resp.Header.Get("Retry-After") == "" {
		f.Fatalf("%d %v %+v", resp.StatusCode, resp.Header, answer)
	}
	return resp.StatusCode
}

// compare looks for a record of each token that was issued, and verifies the
// trail.
func (f *fullDisk) compare() {
	f.Helper()
	out, err := f.Command(f.Context(), 0, "audit")
	if err != nil {
		f.Fatal(err)
	}
	recorded := map[string]int{}
	for line := range strings.Lines(string(out)) {
		var record struct {
			Detail struct {
				TraceID string `json:"traceId"`
				Outcome string `json:"outcome"`
			} `json:"detail"`
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			f.Fatalf("%v in %s", err, line)
		}
		if record.Detail.Outcome == "allowed" {
			recorded[record.Detail.TraceID]++
		}
	}
	for trace := range f.allowed {
		if recorded[trace] != 1 {
			f.Errorf("the token of request %s has %d records", trace, recorded[trace])
		}
	}
	if out, err := f.Command(f.Context(), 0, "audit", "verify"); err != nil {
		f.Errorf("%v\n%s", err, out)
	}
}
