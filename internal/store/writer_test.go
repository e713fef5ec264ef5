package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"cambio/internal/audit"
	"cambio/internal/directory"
)

// hold keeps the writer busy until the returned function is called.
func hold(t *testing.T, db *DB) (release func()) {
	t.Helper()
	running, gate, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		done <- db.Write(context.Background(), Change{Action: "hold"}, func(*Tx) error {
			close(running)
			<-gate
			return nil
		})
	}()
	<-running
	return func() {
		close(gate)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// await waits until n jobs are queued.
func await(db *DB, n int) {
	for len(db.decisions) < n {
		runtime.Gosched()
	}
}

func setMeta(key string) func(*Tx) error {
	return func(tx *Tx) error { return tx.SetMeta(key, "v") }
}

// What queues up during a commit shares the next one, and one write that
// fails takes no other with it.
func TestBatch(t *testing.T) {
	db, _, _ := seeded(t, Config{Linger: -1})
	release := hold(t, db)
	before := db.Stats()
	const writes, decisions = 9, 80
	failure := errors.New("no")
	results := make(chan error)
	for i := range writes {
		go func() {
			err := db.Write(context.Background(), Change{Action: "batch"}, func(tx *Tx) error {
				if err := tx.SetMeta(fmt.Sprint("k", i), "v"); err != nil || i%3 != 0 {
					return err
				}
				return failure
			})
			if i%3 == 0 && err == failure {
				err = nil
			}
			results <- err
		}()
	}
	for range decisions {
		go func() { results <- db.RecordDecision(context.Background(), &audit.Decision{Allowed: true}, nil) }()
	}
	await(db, writes+decisions)
	release()
	for range writes + decisions {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	after := db.Stats()
	if commits := after.Commits - before.Commits; commits != 2 { // that of hold and one more
		t.Errorf("%d commits", commits)
	}
	for i := range writes {
		_, err := db.Meta(t.Context(), fmt.Sprint("k", i))
		if (err == ErrNotFound) != (i%3 == 0) {
			t.Errorf("write %d: %v", i, err)
		}
	}
	records, err := db.AuditRecords(t.Context(), 0, 1000)
	changes := 0
	for _, record := range records {
		if strings.Contains(string(record.Detail), `"action":"batch"`) {
			changes++
		}
	}
	if err != nil || changes != 6 || len(records) != 2+6+decisions {
		t.Errorf("%d records, %d of changes, %v", len(records), changes, err)
	}
}

func TestCancelledBeforeItRan(t *testing.T) {
	db, _, _ := seeded(t, Config{})
	release := hold(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan error)
	go func() { results <- db.Write(ctx, Change{}, setMeta("cancelled")) }()
	go func() { results <- db.RecordDecision(ctx, &audit.Decision{Code: 4711}, nil) }()
	await(db, 2)
	cancel()
	for range 2 {
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	release()
	if err := db.Write(t.Context(), Change{}, setMeta("later")); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Meta(t.Context(), "cancelled"); err != ErrNotFound {
		t.Errorf("the write ran: %v", err)
	}
	records, _ := db.AuditRecords(t.Context(), 0, 100)
	for _, record := range records {
		if record.Code == 4711 {
			t.Error("the decision was recorded")
		}
	}
}

func TestCancelledWhileItRan(t *testing.T) {
	db, _, _ := seeded(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	err := db.Write(ctx, Change{}, func(tx *Tx) error {
		cancel()
		if _, err := tx.Tenants(ctx); err != nil {
			t.Errorf("reading in the write: %v", err)
		}
		return tx.SetMeta("ran", "v")
	})
	if err != nil {
		t.Errorf("a write that ran was answered %v", err)
	}
	if _, err := db.Meta(t.Context(), "ran"); err != nil {
		t.Error(err)
	}
}

func TestQueueIsBounded(t *testing.T) {
	db, _, _ := seeded(t, Config{Queue: 2})
	release := hold(t, db)
	results := make(chan error, 2)
	for range 2 {
		go func() { results <- db.RecordDecision(context.Background(), &audit.Decision{}, nil) }()
	}
	await(db, 2)
	if err := db.RecordDecision(t.Context(), &audit.Decision{}, nil); err != ErrBusy {
		t.Errorf("a decision for a full queue: %v", err)
	}
	if err := db.Write(t.Context(), Change{}, setMeta("k")); err != ErrBusy {
		t.Errorf("a write for a full queue: %v", err)
	}
	release()
	for range 2 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

func TestCloseKeepsWhatWasAccepted(t *testing.T) {
	db, _, _ := seeded(t, Config{})
	path := db.cfg.Path
	release := hold(t, db)
	result := make(chan error)
	go func() { result <- db.Write(context.Background(), Change{}, setMeta("accepted")) }()
	await(db, 1)
	closed := make(chan error)
	go func() { closed <- db.Close() }()
	<-db.stop
	if err := db.Write(t.Context(), Change{}, setMeta("late")); err != ErrClosed {
		t.Errorf("a write after Close: %v", err)
	}
	release()
	if err := errors.Join(<-result, <-closed, db.Close()); err != nil {
		t.Error(err)
	}
	again, err := Open(Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if _, err := again.Meta(t.Context(), "accepted"); err != nil {
		t.Error(err)
	}
}

// A full disk fails every write of the batch, and nothing else: when there is
// space again, so are writes.
func TestFullDatabase(t *testing.T) {
	db, a, _ := seeded(t, Config{Logger: slog.New(slog.DiscardHandler)})
	records := db.Records(RecordsConfig{})
	if _, err := records.Client(t.Context(), a.TenantID, a.AppID); err != nil {
		t.Fatal(err)
	}
	big := strings.Repeat("x", 1<<20)
	grow := func(tx *Tx) error { return tx.SetMeta("big", big) }
	limit := func(pages int) func(*Tx) error {
		return func(tx *Tx) error { _, err := tx.exec(fmt.Sprint("PRAGMA max_page_count = ", pages)); return err }
	}
	if err := db.Write(t.Context(), Change{}, limit(1)); err != nil { // what there is, and no page more
		t.Fatal(err)
	}
	release := hold(t, db)
	results := make(chan error)
	go func() { results <- db.Write(context.Background(), Change{}, setMeta("neighbour")) }()
	await(db, 1)
	go func() { results <- db.RecordDecision(context.Background(), &audit.Decision{Code: 4711}, nil) }()
	await(db, 2)
	go func() { results <- db.Write(context.Background(), Change{}, grow) }()
	await(db, 3)
	release()
	for range 3 {
		if err := <-results; !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "full") {
			t.Errorf("a write into a full database: %v", err)
		}
	}
	if _, err := db.Meta(t.Context(), "neighbour"); err != ErrNotFound {
		t.Errorf("a write that was answered with an error is there: %v", err)
	}
	if _, err := records.Client(t.Context(), a.TenantID, a.AppID); err != nil {
		t.Errorf("reading is disturbed: %v", err)
	}
	// The new connection does not have the limit: there is space again.
	if err := db.Write(t.Context(), Change{}, grow); err != nil {
		t.Errorf("after there was space again: %v", err)
	}
	trail, err := db.AuditRecords(t.Context(), 0, 100)
	for _, record := range trail {
		if record.Code == 4711 {
			t.Error("a decision that was answered with an error is in the trail")
		}
	}
	if err != nil {
		t.Error(err)
	}
}

// A refused write must not publish what it touched.
func TestRefusedWriteDropsNothing(t *testing.T) {
	db, a, c := seeded(t, Config{})
	records := db.Records(RecordsConfig{})
	before, err := records.Client(t.Context(), a.TenantID, a.AppID)
	if err != nil {
		t.Fatal(err)
	}
	again := c
	again.ID = ""
	err = db.Write(t.Context(), Change{}, func(tx *Tx) error {
		if err := tx.DeleteAssignment(a.TenantID, "absent"); !IsNotFound(err) {
			t.Error(err)
		}
		return tx.CreateCredential(&again)
	})
	var refusal *directory.Error
	if !errors.As(err, &refusal) || refusal.Kind != directory.NameTaken {
		t.Fatal(err)
	}
	if after, err := records.Client(t.Context(), a.TenantID, a.AppID); err != nil || after != before || before.Stale() {
		t.Errorf("the record was dropped: %v", err)
	}
}
