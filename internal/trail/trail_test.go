package trail_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cambio/internal/audit"
	"cambio/internal/store"
	"cambio/internal/store/storetest"
	"cambio/internal/trail"
)

// world is a database with a trail, and a clock that a test moves.
type world struct {
	*testing.T
	cfg store.Config
	db  *store.DB
	now time.Time
	trail.Config
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, cfg: storetest.Empty(t), now: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)}
	w.cfg.Clock = func() time.Time { return w.now }
	w.open()
	t.Cleanup(func() { w.db.Close() })
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	w.Config = trail.Config{DB: w.db, Key: key, Clock: w.cfg.Clock, Log: slog.New(slog.DiscardHandler), CheckpointEvery: time.Minute}
	return w
}

func (w *world) open() {
	w.Helper()
	var err error
	if w.db, err = store.Open(w.cfg); err != nil {
		w.Fatal(err)
	}
	w.Config.DB = w.db
}

// reopen begins another chain.
func (w *world) reopen() {
	w.Helper()
	if err := w.db.Close(); err != nil {
		w.Fatal(err)
	}
	w.open()
}

func (w *world) record(n int) {
	w.Helper()
	for i := range n {
		d := audit.Decision{At: w.now, TenantID: "t", ClientID: fmt.Sprint("c", i), Code: 700213, Subject: "s\x00é"}
		if err := w.db.RecordDecision(context.Background(), &d, nil); err != nil {
			w.Fatal(err)
		}
	}
}

func (w *world) checkpoint() audit.SignedCheckpoint {
	w.Helper()
	c, err := trail.Checkpoint(w.Context(), w.Config)
	if err != nil {
		w.Fatal(err)
	}
	return c
}

func (w *world) verify(kept *audit.SignedCheckpoint) trail.Report {
	w.Helper()
	r, err := trail.Verify(w.Context(), w.db, w.Key.Public().(ed25519.PublicKey), kept, nil)
	if err != nil {
		w.Fatal(err)
	}
	return r
}

// sql changes the database behind the store's back.
func (w *world) sql(statement string) {
	w.Helper()
	driver, name := "sqlite", w.cfg.Path
	if w.cfg.DSN != "" {
		driver, name = "pgx", w.cfg.DSN
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		w.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		w.Fatal(err)
	}
}

func TestVerify(t *testing.T) {
	w := newWorld(t)
	w.record(5)
	first := w.checkpoint()
	if again := w.checkpoint(); again.ID != first.ID {
		t.Error("a checkpoint was signed although nothing was new")
	}
	w.reopen()
	w.record(4)
	second := w.checkpoint()
	w.record(2)
	r := w.verify(&first)
	if len(r.Findings) > 0 || r.Rows != 11 || r.Unattested != 2 || r.Checkpoint != second.ID {
		t.Errorf("an intact trail: %+v", r)
	}
	for name, statement := range map[string]string{
		"edit":   "UPDATE audit SET code = 0 WHERE id = (SELECT min(id) + 1 FROM audit)",
		"delete": "DELETE FROM audit WHERE id = (SELECT min(id) + 2 FROM audit)",
	} {
		w.sql("CREATE TABLE kept AS SELECT * FROM audit")
		w.sql(statement)
		if r := w.verify(nil); len(r.Findings) != 1 || r.Findings[0].Chain != 1 {
			t.Errorf("%s: %+v", name, r.Findings)
		}
		w.sql("DELETE FROM audit; INSERT INTO audit SELECT * FROM kept; DROP TABLE kept")
	}
	w.sql("DELETE FROM audit WHERE id > (SELECT max(id) - 4 FROM audit)")
	if r := w.verify(nil); len(r.Findings) != 1 || !strings.Contains(r.Findings[0].String(), "end is missing") {
		t.Errorf("truncated: %+v", r.Findings)
	}
	w.sql("DELETE FROM audit_checkpoints WHERE id > 1")
	if r := w.verify(&second); len(r.Findings) != 1 || !strings.Contains(r.Findings[0].Text, "earlier state") {
		t.Errorf("truncated with its checkpoint: %+v", r.Findings)
	}
	if _, err := trail.Checkpoint(t.Context(), w.Config); err != nil {
		t.Errorf("checkpoint: %v", err)
	}
}

func TestRetentionByTime(t *testing.T) {
	w := newWorld(t)
	w.Retain = 24 * time.Hour
	w.record(700)
	w.now = w.now.Add(20 * time.Hour)
	w.record(10)
	w.reopen()
	w.record(10)
	w.now = w.now.Add(10 * time.Hour)
	w.keep()
	r := w.verify(nil)
	if len(r.Findings) > 0 || r.Rows != 21 || r.Retired != 0 { // and the record that says so
		t.Errorf("%+v", r)
	}
	records, err := w.db.AuditRecords(t.Context(), 0, 1000)
	if err != nil || len(records) != 21 || !strings.Contains(string(records[20].Detail), `"action":"audit.retain","target":"700 records"`) {
		t.Errorf("%d records, %v, the last is %s", len(records), err, records[len(records)-1].Detail)
	}
	w.now = w.now.Add(100 * time.Hour)
	w.keep()
	w.record(3)
	w.keep()
	if r := w.verify(nil); len(r.Findings) > 0 || r.Rows != 4 {
		t.Errorf("everything was old: %+v", r)
	}
}

func TestRetentionByNumber(t *testing.T) {
	w := newWorld(t)
	w.MaxRecords = 100
	w.record(70)
	w.reopen()
	w.record(80)
	w.keep()
	if r := w.verify(nil); len(r.Findings) > 0 || r.Rows != 101 {
		t.Errorf("%+v", r)
	}
}

// keep lets a keeper do once what is due.
func (w *world) keep() *trail.Keeper {
	w.Helper()
	k := trail.New(w.Config)
	w.now = w.now.Add(2 * time.Minute)
	if err := k.Once(w.Context()); err != nil {
		w.Fatal(err)
	}
	return k
}

func TestExport(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	var sent int
	down := true
	collector := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if down {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		sent += bytes.Count(body, []byte(`"timeUnixNano"`))
		if r.Header.Get("Content-Type") != "application/json" || !bytes.Contains(body, []byte(`"resourceLogs"`)) {
			t.Errorf("%v %s", r.Header, body)
		}
	}))
	t.Cleanup(collector.Close)
	w.Exports = []trail.Export{trail.ToFile(file), trail.ToOTLP(collector.URL, collector.Client())}
	w.Retain = time.Hour
	w.record(600)
	w.reopen()
	w.record(5)
	k := trail.New(w.Config)
	if err := k.Once(t.Context()); err == nil || !k.Stats().ExportError {
		t.Error("a collector that is down is no error")
	}
	w.now = w.now.Add(10 * time.Hour)
	_ = k.Once(t.Context())
	if r := w.verify(nil); r.Rows != 605 || !k.Stats().Held {
		t.Errorf("records were removed that were not delivered: %+v", r)
	}
	down = false
	if err := k.Once(t.Context()); err != nil || sent != 605 {
		t.Errorf("%d records were sent, %v", sent, err)
	}
	raw, err := os.ReadFile(file)
	if err != nil || bytes.Count(raw, []byte("\n")) != 605 {
		t.Errorf("%d lines, %v", bytes.Count(raw, []byte("\n")), err)
	}
	checkLines(t, w, raw)
}

// checkLines verifies the exported lines, intact and tampered with.
func checkLines(t *testing.T, w *world, raw []byte) {
	t.Helper()
	public := w.Key.Public().(ed25519.PublicKey)
	r, err := trail.VerifyLines(t.Context(), bytes.NewReader(raw), public, nil)
	if err != nil || len(r.Findings) > 0 || r.Rows != 605 {
		t.Errorf("%+v, %v", r, err)
	}
	lines := bytes.SplitAfter(raw, []byte("\n"))
	for name, changed := range map[string][]byte{
		"edit":   bytes.Replace(raw, []byte(`"clientId":"c7"`), []byte(`"clientId":"c8"`), 1),
		"delete": bytes.Join(append(append([][]byte{}, lines[:20]...), lines[21:]...), nil),
		"swap":   bytes.Join(append(append([][]byte{}, lines[:20]...), append([][]byte{lines[21], lines[20]}, lines[22:]...)...), nil),
	} {
		if r, err := trail.VerifyLines(t.Context(), bytes.NewReader(changed), public, nil); err != nil || len(r.Findings) == 0 {
			t.Errorf("%s was not found: %v", name, err)
		}
	}
}

// TestOneKeeper: two processes do not both keep the trail.
func TestOneKeeper(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.cfg.Replica = "another"
	another, err := store.Open(w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer another.Close()
	for i, step := range []struct {
		db    *store.DB
		later time.Duration
		mine  bool
	}{{w.db, 0, true}, {another, time.Second, false}, {w.db, time.Second, true}, {another, time.Second, false}, {another, time.Minute, true}, {w.db, time.Second, false}} {
		w.now = w.now.Add(step.later)
		if mine, err := step.db.Duty(ctx, "audit", 30*time.Second); err != nil || mine != step.mine {
			t.Errorf("step %d: %v, %v", i, mine, err)
		}
	}
}
