package trail_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"cambio/internal/audit"
	"cambio/internal/store"
	"cambio/internal/trail"
)

// blob writes bytes as the database's SQL has them.
func (w *world) blob(b []byte) string {
	if w.cfg.DSN != "" {
		return fmt.Sprintf(`'\x%x'`, b)
	}
	return fmt.Sprintf(`X'%x'`, b)
}

// rewrite changes the records of the nth chain, from its n-th on, up to the last-th,
// with all their hashes, as somebody does who knows how they are made. anchor
// is what the first record of the chain continues.
func (w *world) rewrite(nth int, n, last int64, anchor audit.Hash) {
	w.Helper()
	chain := w.chain(nth).ID
	records, err := w.db.AuditRecords(w.Context(), audit.RowID(chain, 0), 10_000)
	if err != nil {
		w.Fatal(err)
	}
	hash := anchor
	for i := range records {
		row := records[i].Row()
		c, at := audit.Chain(row.ID)
		if c != chain || at > last {
			break
		}
		if at == n {
			row.Detail = bytes.Replace(row.Detail, []byte(`"refused"`), []byte(`"allowed"`), 1)
		}
		if hash, _ = row.Link(hash, nil); at >= n {
			w.sql(fmt.Sprintf("UPDATE audit SET detail = '%s', hash = %s WHERE id = %d", row.Detail, w.blob(hash[:]), row.ID))
		}
	}
}

// chain is what the database says of the n-th chain that has records. There
// may be others: a server has several sessions with PostgreSQL.
func (w *world) chain(n int) audit.ChainState {
	w.Helper()
	chains, err := w.db.AuditChains(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	for _, c := range chains {
		if c.LastID >= audit.RowID(c.ID, 1) {
			if n--; n == 0 {
				return c
			}
		}
	}
	w.Fatal("there are not so many chains")
	return audit.ChainState{}
}

// row is the id of a record of the n-th chain.
func (w *world) row(n int, i int64) int64 { return audit.RowID(w.chain(n).ID, i) }

func (w *world) idOf(n int) string { return fmt.Sprint(w.chain(n).ID) }

func (w *world) hashAt(id int64) []byte {
	w.Helper()
	records, err := w.db.AuditRecords(w.Context(), id-1, 1)
	if err != nil || len(records) != 1 || records[0].ID != id {
		w.Fatalf("no record %d: %v", id, err)
	}
	return records[0].Hash
}

// forgeries are what somebody does who can write to the database, but has no
// key. Chains 1 and 2 are attested with ten records each; the third, of which
// five records are attested, has five more.
var forgeries = map[string]func(w *world){
	"rewritten chain":  func(w *world) { w.rewrite(1, 3, 10, w.chain(1).Anchor) },
	"rewritten record": func(w *world) { w.rewrite(1, 10, 10, w.chain(1).Anchor) },
	"rewritten chain with its anchor": func(w *world) {
		var anchor audit.Hash
		w.sql("UPDATE audit_chains SET seed = " + w.blob(anchor[:]) + ", anchor = " + w.blob(anchor[:]) + " WHERE id = " + w.idOf(1))
		w.rewrite(1, 1, 10, anchor)
	},
	"rewritten chain that goes on": func(w *world) { w.rewrite(3, 2, 10, w.chain(3).Anchor) },
	"another anchor": func(w *world) {
		w.sql("UPDATE audit_chains SET anchor = " + w.blob(make([]byte, 32)) + " WHERE id = " + w.idOf(2))
	},
	"another beginning": func(w *world) {
		w.sql(fmt.Sprintf("UPDATE audit_chains SET first_id = %d, anchor = %s WHERE id = %s", w.row(1, 4), w.blob(w.hashAt(w.row(1, 3))), w.idOf(1)))
		w.sql(fmt.Sprintf("DELETE FROM audit WHERE id < %d", w.row(1, 4)))
	},
	"end of a chain": func(w *world) { w.sql(fmt.Sprintf("DELETE FROM audit WHERE id = %d", w.row(2, 10))) },
	"end of a chain and another beginning": func(w *world) {
		chain, next := w.idOf(2), w.row(2, 11)
		w.sql(fmt.Sprintf("DELETE FROM audit WHERE id > %d AND id < %d", w.row(2, 0), next))
		w.sql(fmt.Sprintf("UPDATE audit_chains SET first_id = %d WHERE id = %s", next, chain))
	},
	"whole chain": func(w *world) {
		chain := w.idOf(1)
		w.sql(fmt.Sprintf("DELETE FROM audit WHERE id < %d", w.row(2, 0)))
		w.sql("DELETE FROM audit_chains WHERE id = " + chain)
	},
	"chain with its place": func(w *world) { w.sql("DELETE FROM audit_chains WHERE id = " + w.idOf(2)) },
	"last attested record": func(w *world) { w.sql(fmt.Sprintf("DELETE FROM audit WHERE id = %d", w.row(3, 5))) },
	"hash at the end": func(w *world) {
		w.sql(fmt.Sprintf("UPDATE audit SET hash = %s WHERE id = %d", w.blob(w.hashAt(w.row(1, 9))), w.row(1, 10)))
	},
	"newer record":               func(w *world) { w.sql(fmt.Sprintf("UPDATE audit SET code = 0 WHERE id = %d", w.row(3, 7))) },
	"newer record deleted":       func(w *world) { w.sql(fmt.Sprintf("DELETE FROM audit WHERE id = %d", w.row(3, 7))) },
	"newer record with its hash": func(w *world) { w.rewrite(3, 7, 7, w.chain(3).Anchor) },
	"checkpoint":                 func(w *world) { w.sql("UPDATE audit_checkpoints SET body = '{}' WHERE id = 1") },
	"checkpoint deleted":         func(w *world) { w.sql("DELETE FROM audit_checkpoints WHERE id = 1") },
}

// forged is a trail that a forgery can be made of.
func forged(t *testing.T, forge func(*world)) *world {
	t.Helper()
	w := newWorld(t)
	w.record(10)
	w.checkpoint()
	w.reopen()
	w.record(10)
	w.checkpoint()
	w.reopen()
	w.record(5)
	w.checkpoint()
	w.record(5)
	w.reopen() // so that the forger knows all that the server does
	if r := w.verify(nil); len(r.Findings) > 0 {
		t.Fatal(r.Findings)
	}
	forge(w)
	return w
}

func (w *world) checkpoints() int {
	w.Helper()
	all, err := w.db.AuditCheckpoints(w.Context(), false)
	if err != nil {
		w.Fatal(err)
	}
	return len(all)
}

// TestNoForgeryIsSigned: after any forgery nothing is attested to any more, and
// it is found for good, however long the trail is kept after it.
func TestNoForgeryIsSigned(t *testing.T) {
	for name, forge := range forgeries {
		t.Run(name, func(t *testing.T) {
			w := forged(t, forge)
			before := w.checkpoints()
			k := trail.New(w.Config)
			for range 3 {
				if r := w.verify(nil); len(r.Findings) == 0 {
					t.Fatal("it was not found")
				}
				w.record(3)
				w.now = w.now.Add(2 * time.Minute)
				var tampered *trail.TamperedError
				if err := k.Once(t.Context()); !errors.As(err, &tampered) || !k.Stats().Tampered {
					t.Fatalf("%v", err)
				}
			}
			if n := w.checkpoints(); n != before {
				t.Errorf("%d checkpoints were signed", n-before)
			}
			w.beginAnew(k)
		})
	}
}

// beginAnew begins the trail anew, once the operator has decided so.
func (w *world) beginAnew(k *trail.Keeper) {
	w.Helper()
	w.now = w.now.Add(time.Minute)
	g, err := trail.BeginAnew(w.Context(), w.Config)
	if err != nil || g.Records < 20 || g.Checkpoints == 0 {
		w.Fatalf("%d records, %d checkpoints, %v", g.Records, g.Checkpoints, err)
	}
	w.record(4)
	w.now = w.now.Add(2 * time.Minute)
	if err := k.Once(w.Context()); err != nil || k.Stats().Tampered {
		w.Fatal(err)
	}
	r := w.verify(&g.Checkpoint)
	if len(r.Findings) > 0 || r.Rows != 5 || r.Unattested != 0 || r.GivenUp < 20 || len(r.Anew) != 1 || r.Anew[0].Checkpoint != g.Checkpoint.ID {
		w.Errorf("begun anew: %+v", r)
	}
	records, err := w.db.AuditRecords(w.Context(), 0, 1000)
	if err != nil || !strings.Contains(string(bytes.Join(details(records), nil)), fmt.Sprintf(`"action":"audit.anew","target":"checkpoint %d"`, g.Checkpoint.ID)) {
		w.Errorf("no record says that the trail was begun anew: %v", err)
	}
}

func details(records []store.AuditRecord) (list [][]byte) {
	for i := range records {
		list = append(list, records[i].Detail)
	}
	return list
}

// TestForgeryAfterBeginningAnew: what is given up is given up, and nothing else.
func TestForgeryAfterBeginningAnew(t *testing.T) {
	w := forged(t, forgeries["rewritten chain"])
	k := trail.New(w.Config)
	w.beginAnew(k)
	w.Retain = 30 * 24 * time.Hour
	w.now = w.now.Add(31 * 24 * time.Hour)
	w.record(6)
	w.keep()
	if r := w.verify(nil); len(r.Findings) > 0 || r.GivenUp != 0 || r.Rows != 7 || len(r.Anew) != 1 {
		t.Errorf("what was given up was not let go, or forgotten: %+v", r)
	}
	w.reopen()
	last := 0 // chain that the records are in
	for n := 1; last == 0; n++ {
		if c := w.chain(n); c.LastID-c.FirstID >= 5 {
			last = n
		}
	}
	_, first := audit.Chain(w.chain(last).FirstID)
	w.rewrite(last, first+1, 1000, w.chain(last).Anchor)
	if err := trail.New(w.Config).Once(t.Context()); err == nil {
		t.Error("a forgery was signed")
	}
	if r := w.verify(nil); len(r.Findings) == 0 {
		t.Error("a forgery was not found")
	}
}

// TestRetentionOfForgedRecords: what is cut off was compared before, so that a
// forgery at the beginning of a chain does not disappear with it.
func TestRetentionOfForgedRecords(t *testing.T) {
	w := newWorld(t)
	w.Retain = 24 * time.Hour
	w.record(20)
	w.now = w.now.Add(20 * time.Hour)
	w.record(20)
	w.checkpoint()
	w.reopen()
	w.rewrite(1, 2, 20, w.chain(1).Anchor) // record 21 does not continue these
	w.now = w.now.Add(10 * time.Hour)
	k := trail.New(w.Config)
	for range 2 {
		var tampered *trail.TamperedError
		if err := k.Once(t.Context()); !errors.As(err, &tampered) || !k.Stats().Tampered {
			t.Fatalf("%v", err)
		}
		w.now = w.now.Add(2 * time.Minute)
	}
	if r := w.verify(nil); len(r.Findings) != 1 || r.Findings[0].ID != w.row(1, 21) || r.Rows != 40 {
		t.Errorf("%+v", r)
	}
}

// TestForgottenCheckpoints: a server that has seen a checkpoint does not let it
// be replaced, whatever else fits.
func TestForgottenCheckpoints(t *testing.T) {
	w := newWorld(t)
	w.record(5)
	k := w.keep()
	w.reopen()
	w.sql("DELETE FROM audit_checkpoints")
	w.rewrite(1, 2, 5, w.chain(1).Anchor)
	w.now = w.now.Add(2 * time.Minute)
	var tampered *trail.TamperedError
	w.record(1)
	if err := k.OnceOn(t.Context(), w.db); !errors.As(err, &tampered) || w.checkpoints() != 0 {
		t.Errorf("%v", err)
	}
}

// TestLargeStep: a checkpoint covers more records than are read at once, and
// is as good as one for each.
func TestLargeStep(t *testing.T) {
	w := newWorld(t)
	w.recordMany(700)
	w.checkpoint()
	w.reopen()
	w.recordMany(1301)
	last := w.checkpoint()
	c, err := last.Open(w.Key.Public().(ed25519.PublicKey))
	if err != nil || len(c.Chains) != 1 || c.Chains[0] != w.chain(2) {
		t.Errorf("%+v, %v", c, err)
	}
	if r := w.verify(&last); len(r.Findings) > 0 || r.Unattested != 0 || r.Rows != 2001 {
		t.Errorf("%+v", r)
	}
}

// TestCheckpointByParts: more records than one checkpoint goes over are
// attested to by several.
func TestCheckpointByParts(t *testing.T) {
	w := newWorld(t)
	w.record(30)
	w.reopen()
	w.record(25)
	for n, want := range []struct {
		more       bool
		unattested int64
	}{{true, 35}, {true, 15}, {false, 0}} {
		more, err := trail.AttestSome(t.Context(), w.Config, 20)
		if r := w.verify(nil); err != nil || more != want.more || r.Unattested != want.unattested || len(r.Findings) > 0 {
			t.Errorf("step %d: %v, %v, %+v", n, more, err, r)
		}
	}
}

// TestExportByRounds: a round of an export ends, so that a checkpoint gets its
// turn, and the next one goes on.
func TestExportByRounds(t *testing.T) {
	w := newWorld(t)
	var sent int64
	w.Exports = []trail.Export{{Name: "somewhere", Deliver: func(_ context.Context, records []store.AuditRecord) error {
		sent += int64(len(records))
		return nil
	}}}
	const all = 12_000
	for range all / 100 {
		w.recordMany(100)
	}
	k := w.keep()
	if st := k.Stats(); sent != 10_000 || st.Behind != all-sent || st.Exported != sent || st.Checkpoint.IsZero() {
		t.Errorf("%d were sent, %+v", sent, st)
	}
	if err := k.Once(t.Context()); err != nil || sent != all || k.Stats().Behind != 0 {
		t.Errorf("%d were sent, %+v, %v", sent, k.Stats(), err)
	}
}

// recordMany records at once, which is quicker.
func (w *world) recordMany(n int) {
	w.Helper()
	failed := make(chan error, n)
	for range n {
		go func() { failed <- w.db.RecordDecision(w.Context(), &audit.Decision{At: w.now, TenantID: "t"}, nil) }()
	}
	for range n {
		if err := <-failed; err != nil {
			w.Fatal(err)
		}
	}
}

// TestNoFalseAlarm: several keepers at once, records that come meanwhile, and
// records that are let go, are no tampering.
func TestNoFalseAlarm(t *testing.T) {
	w := newWorld(t)
	w.MaxRecords = 50
	w.CheckpointEvery = time.Nanosecond
	w.Clock = time.Now
	ctx, stop := context.WithCancel(t.Context())
	var keepers sync.WaitGroup
	for range 3 {
		k := trail.New(w.Config)
		keepers.Go(func() {
			for ctx.Err() == nil {
				err := k.Once(context.WithoutCancel(ctx))
				if tampered := (*trail.TamperedError)(nil); errors.As(err, &tampered) || k.Stats().Tampered {
					t.Errorf("%v", err)
					return
				}
			}
		})
	}
	for range 40 {
		w.recordMany(25)
	}
	if r := w.verify(nil); len(r.Findings) > 0 {
		t.Errorf("while records are let go: %v", r.Findings)
	}
	stop()
	keepers.Wait()
	if r := w.verify(nil); len(r.Findings) > 0 || r.Rows > 1000 || r.Rows < 50 {
		t.Errorf("%d records, %v", r.Rows, r.Findings)
	}
}
