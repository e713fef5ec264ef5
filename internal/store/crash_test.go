package store_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"cambio/internal/audit"
	"cambio/internal/store"

	"github.com/go-json-experiment/json"
)

// The crash test kills a process that writes with SIGKILL, again and again,
// and compares what it acknowledged with what is there afterwards.
const (
	crashCyclesEnv = "CAMBIO_CRASH_CYCLES" // how many cycles, default 5
	crashChildEnv  = "CAMBIO_CRASH_CHILD"  // path of the database: be the child
	crashWriters   = 8
	crashAtLeast   = 200 // acknowledged writes of a cycle
	crashFreshFile = 25  // cycles with one file
)

// What the child reports, one line each: an event and an identifier.
const (
	eventParent   = "parent"   // application whose credentials are written in this cycle
	eventCreated  = "created"  // acknowledged creation of a credential
	eventDeleting = "deleting" // a deletion that may or may not become true
	eventDeleted  = "deleted"  // acknowledged deletion
	eventRecorded = "recorded" // acknowledged decision record
)

// TestCrashChild is the process that gets killed.
func TestCrashChild(t *testing.T) {
	path := os.Getenv(crashChildEnv)
	if path == "" {
		t.Skip("only run by TestCrash")
	}
	report := os.NewFile(3, "report")
	db, err := store.Open(store.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, db)
	fmt.Fprintln(report, eventParent, w.app.ID)
	var group sync.WaitGroup
	for i := range crashWriters {
		group.Go(func() { crashWriter(w, report, i) })
	}
	group.Wait()
}

// crashWriter creates and deletes credentials and records decisions until the
// process is killed. One line is one write to the pipe, so that a line is
// there whole or not at all.
func crashWriter(w *world, report io.Writer, writer int) {
	ctx := context.Background()
	for n := 0; ; n++ {
		c := w.credential(fmt.Sprintf("writer-%d-%d", writer, n))
		err := w.db.Write(ctx, store.Change{Action: "create"}, func(tx *store.Tx) error {
			if err := tx.CreateCredential(c); err != nil {
				return err
			}
			tx.SetTarget(c.ID)
			return nil
		})
		if err != nil {
			panic(err)
		}
		fmt.Fprintln(report, eventCreated, c.ID)
		if err := w.db.RecordDecision(ctx, &audit.Decision{Allowed: true, TokenID: c.ID, ClientID: w.app.AppID}, nil); err != nil {
			panic(err)
		}
		fmt.Fprintln(report, eventRecorded, c.ID)
		if n%4 != 3 {
			continue
		}
		fmt.Fprintln(report, eventDeleting, c.ID)
		if err := w.delete(ctx, c.ID); err != nil {
			panic(err)
		}
		fmt.Fprintln(report, eventDeleted, c.ID)
	}
}

// acknowledged is what a child reported before it died.
type acknowledged struct {
	parent string
	by     map[string]map[string]bool // event → identifiers
	writes int
}

func (a *acknowledged) add(line string) {
	event, id, _ := strings.Cut(line, " ")
	if event == eventParent {
		a.parent = id
		return
	}
	if a.by[event] == nil {
		a.by[event] = make(map[string]bool)
	}
	a.by[event][id] = true
	if event != eventDeleting {
		a.writes++
	}
}

// crash runs a child until it has acknowledged enough and kills it.
func crash(t *testing.T, path string, atLeast int) acknowledged {
	t.Helper()
	reader, report, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0], "-test.run=^TestCrashChild$", "-test.timeout=5m")
	child.Env = append(os.Environ(), crashChildEnv+"="+path)
	child.ExtraFiles = []*os.File{report}
	var output strings.Builder
	child.Stdout, child.Stderr = &output, &output
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	report.Close()
	a := acknowledged{by: make(map[string]map[string]bool)}
	killed := false
	lines := bufio.NewScanner(reader)
	for lines.Scan() { // to the end: what was acknowledged before the kill counts
		a.add(lines.Text())
		if a.writes >= atLeast && !killed {
			killed = true
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	err = child.Wait()
	if !killed {
		t.Fatalf("the child ended by itself: %v\n%s", err, output.String())
	}
	return a
}

// lost opens the database after a crash and counts what is missing, or there
// without having been asked for.
func lost(t *testing.T, path string, a acknowledged) (losses int) {
	t.Helper()
	integrity(t, path)
	db, err := store.Open(store.Config{Path: path, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	present := credentialsOf(t, db, a.parent)
	trail := auditTrail(t, db)
	complain := func(format string, args ...any) { losses++; t.Errorf(format, args...) }
	for id := range a.by[eventCreated] {
		if !present[id] && !a.by[eventDeleting][id] {
			complain("the creation of %s was acknowledged and is lost", id)
		}
		if trail["create "+id] != 1 {
			complain("the creation of %s has %d audit records", id, trail["create "+id])
		}
	}
	for id := range a.by[eventDeleted] {
		if present[id] || trail["delete "+id] != 1 {
			complain("the deletion of %s was acknowledged and is lost (%d audit records)", id, trail["delete "+id])
		}
	}
	for id := range a.by[eventRecorded] {
		if trail["exchange "+id] != 1 {
			complain("the decision %s was acknowledged and has %d audit records", id, trail["exchange "+id])
		}
	}
	for id := range present { // acknowledged or not: whole
		if trail["create "+id] != 1 || trail["delete "+id] != 0 {
			complain("the credential %s is there without its audit record", id)
		}
	}
	return losses
}

func integrity(t *testing.T, path string) {
	t.Helper()
	raw, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	var result string
	if err := raw.QueryRow("PRAGMA integrity_check").Scan(&result); err != nil || result != "ok" {
		t.Fatalf("integrity_check after the crash: %q, %v", result, err)
	}
}

func credentialsOf(t *testing.T, db *store.DB, parent string) map[string]bool {
	t.Helper()
	tenants, err := db.Tenants(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tenantID := ""
	for _, tenant := range tenants {
		if _, err := db.Application(t.Context(), tenant.ID, store.Ref{ID: parent}); err == nil {
			tenantID = tenant.ID
		}
	}
	present := make(map[string]bool)
	for q := (store.ListQuery{Top: store.MaxPage}); ; {
		page, more, err := db.Credentials(t.Context(), tenantID, parent, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page {
			present[c.ID] = true
			q.After = c.ID
		}
		if !more {
			return present
		}
	}
}

// auditTrail counts the records by what they say happened to which id.
func auditTrail(t *testing.T, db *store.DB) map[string]int {
	t.Helper()
	counts := make(map[string]int)
	for after := int64(0); ; {
		records, err := db.AuditRecords(t.Context(), after, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		if len(records) == 0 {
			return counts
		}
		for _, record := range records {
			after = record.ID
			var detail struct{ Action, Target, TokenID string }
			if err := json.Unmarshal(record.Detail, &detail, json.MatchCaseInsensitiveNames(true)); err != nil {
				t.Fatalf("audit record %d is not JSON: %v", record.ID, err)
			}
			if record.Kind == audit.KindExchange {
				counts["exchange "+detail.TokenID]++
			} else {
				counts[detail.Action+" "+detail.Target]++
			}
		}
	}
}

func TestCrash(t *testing.T) {
	cycles := 5
	if text := os.Getenv(crashCyclesEnv); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("%s=%q is not a number of cycles", crashCyclesEnv, text)
		}
		cycles = n
	}
	writes, losses, path := 0, 0, ""
	for cycle := range cycles {
		if cycle%crashFreshFile == 0 {
			path = filepath.Join(t.TempDir(), "state", "cambio.db")
		}
		a := crash(t, path, crashAtLeast+rand.IntN(2*crashAtLeast))
		losses += lost(t, path, a)
		writes += a.writes
	}
	t.Logf("%d cycles, %d acknowledged writes, %d losses", cycles, writes, losses)
}
