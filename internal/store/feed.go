package store

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cambio/internal/directory"
)

// touch is one row of the change feed.
type touch struct {
	key directory.Key
	seq int64
}

// feed tells those who keep something derived from the database what changed.
type feed struct {
	// Every change up to here was published, in this epoch. It is advanced
	// only after that: who reads it, and then finds a record that is not
	// stale, knows that none of those changes concerns the record.
	applied atomic.Int64
	// Counts how often everything was forgotten: what was read in an earlier
	// epoch may be of a history that the database no longer has.
	epoch atomic.Int64
	// Counts the changes of signing keys; like applied, but for that.
	keysVersion atomic.Int64

	mu        sync.Mutex // guards what follows, and the advance of applied within its epoch
	records   []*Records
	keysHeard []chan struct{} // of those who want to know of signing keys; capacity 1
}

func (f *feed) listen(changed chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keysHeard = append(f.keysHeard, changed)
}

func (f *feed) attach(r *Records) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.records = append(f.records, r)
}

// publish drops the records that the changes made obsolete and tells those who
// want to know of signing keys. It waits for nobody: every decision and every
// revocation waits for it. Publishing a change twice does no harm: a record
// that includes it stays.
func (f *feed) publish(touched []touch) {
	if len(touched) == 0 {
		return
	}
	f.mu.Lock()
	records, heard := f.records, f.keysHeard // only ever appended to
	f.mu.Unlock()
	keysChanged := false
	for _, t := range touched {
		for _, r := range records {
			r.drop(t.key, t.seq)
		}
		keysChanged = keysChanged || t.key.Kind == directory.KeySigningKeys
	}
	if keysChanged {
		f.keysVersion.Add(1)
		tell(heard)
	}
}

// tell leaves a value in each channel that has none.
func tell(heard []chan struct{}) {
	for _, changed := range heard {
		select {
		case changed <- struct{}{}:
		default: // not yet taken
		}
	}
}

// advance notes that every change up to seq was published, unless the epoch in
// which they were read has ended.
func (f *feed) advance(epoch, seq int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.epoch.Load() == epoch && seq > f.applied.Load() {
		f.applied.Store(seq)
	}
}

// forget drops every record and begins a new epoch at a position of the feed:
// nothing that was known before counts. The position comes last, as always:
// the other writer may be about to record decisions.
func (f *feed) forget(position int64) {
	f.mu.Lock()
	f.epoch.Add(1)
	for _, r := range f.records {
		r.cache.clear()
	}
	f.keysVersion.Add(1)
	f.applied.Store(position)
	heard := f.keysHeard
	f.mu.Unlock()
	tell(heard)
}

// catchUp publishes what was changed since the last time. q must see every
// change that is committed when it is called; if it is known not to, the error
// is errOlderState.
func (f *feed) catchUp(ctx context.Context, q querier) error {
	epoch, applied := f.epoch.Load(), f.applied.Load()
	var head int64
	if err := q.QueryRowContext(ctx, feedPosition).Scan(&head); err != nil || head == applied {
		return err
	}
	if head < applied {
		return errOlderState
	}
	rows, err := q.QueryContext(ctx, "SELECT seq, key FROM change_feed WHERE seq > ? ORDER BY seq", applied)
	touched, err := all(rows, err, func(s scanner) (t touch, err error) {
		var key string
		err = s.Scan(&t.seq, &key)
		t.key = parseKey(key)
		return t, err
	})
	if err != nil {
		return err
	}
	f.publish(touched)
	// Later changes than head may have been read, and all of them: changes
	// become visible in the order of their sequence.
	if n := len(touched); n > 0 {
		head = max(head, touched[n-1].seq)
	}
	f.advance(epoch, head)
	return nil
}

// history is a basis that is stale once everything was forgotten.
type history struct {
	feed  *feed
	epoch int64
}

// Stale reports whether the database may have lost what it held.
func (h history) Stale() bool { return h.feed.epoch.Load() != h.epoch }

// History returns a basis for RecordDecision that is stale once the database
// may have lost what it held before, as in a failover.
func (db *DB) History() interface{ Stale() bool } { return history{&db.feed, db.feed.epoch.Load()} }

// Replicated reports whether a database's commits wait for a standby. What can
// be read there may not have got so far yet; see Confirm.
func (db *DB) Replicated() bool { return db.replicated.Load() }

// Confirm returns nil once what was read since the History was taken is on the
// standby, so that no failover undoes it. A write that nobody was answered for
// can be read before that, when the wait for the standby was cut short by a
// crash of the server or by somebody.
//
// It is a write of nothing, whose commit waits for all that came before it.
// Errors: ErrOutdated if the database may have lost meanwhile what was read,
// and those of Write.
func (db *DB) Confirm(ctx context.Context, since interface{ Stale() bool }) error {
	return db.Maintain(ctx, func(*Tx) error {
		if since.Stale() {
			return ErrOutdated
		}
		return nil
	})
}

// Sync publishes what other processes have changed. After it returns, records
// include every write that had returned, anywhere, before it was called.
// Errors: ErrUnavailable, or that of ctx.
func (db *DB) Sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readTime, ErrUnavailable)
	defer cancel()
	if err := db.feed.catchUp(ctx, db.q); err != nil {
		return readError(ctx, err)
	}
	return nil
}

// poll looks for changes of other processes until the database is closed, so
// that records are renewed and signing keys replaced when nobody asks. No
// decision depends on it.
func (db *DB) poll() {
	ticker := time.NewTicker(db.cfg.PollInterval)
	defer ticker.Stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	statements := newStatements(db.polling, db.postgres())
	defer statements.close()
	failed := false
	for n := 1; ; n++ {
		select {
		case <-db.stop:
			return
		case <-ticker.C:
		}
		db.counters.polls.Add(1)
		err := db.pollOnce(ctx, statements)
		if err != nil && !failed {
			db.cfg.Logger.Error("cannot look for changes of other processes; the next attempts follow", "error", err)
		}
		failed = err != nil
		if db.postgres() && n%pollsPerLook == 0 {
			db.lookAtSettings(ctx)
		}
	}
}

// pollsPerLook is how many polls come between two looks at the settings of
// PostgreSQL, ten seconds with the usual interval.
const pollsPerLook = 100

func (db *DB) pollOnce(ctx context.Context, q querier) error {
	ctx, cancel := context.WithTimeout(ctx, decisionTime)
	defer cancel()
	return db.feed.catchUp(ctx, q)
}

// parseKey is the inverse of directory.Key.String.
func parseKey(text string) directory.Key {
	kind, rest, _ := strings.Cut(text, "/")
	tenant, id, _ := strings.Cut(rest, "/")
	return directory.Key{Kind: kind, TenantID: tenant, ID: id}
}
