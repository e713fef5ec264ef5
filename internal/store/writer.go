package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"cambio/internal/audit"
)

// Change says who makes a management write, and why; it becomes the write's
// audit row.
type Change = audit.Change

// States of a job. It leaves queued exactly once: the writer claims it, or
// the waiting caller withdraws it because its context ended.
const (
	queued int32 = iota
	claimed
	withdrawn
)

// job is one write on its way through the writer. The caller owns it until it
// is queued and again once done delivered; the writer owns it in between. A
// withdrawn job stays the writer's, which drops it.
type job struct {
	ctx   context.Context
	state atomic.Int32
	done  chan error // capacity 1

	fn         func(*Tx) error // nil for a decision record
	change     Change
	panicked   any  // what fn panicked with
	unrecorded bool // fn has no audit record

	row   audit.Row                 // of a decision record; the array of its Detail is reused
	basis interface{ Stale() bool } // of a decision
}

// outdated reports whether the decision that a job records must be made again.
func (j *job) outdated() bool { return j.basis != nil && j.basis.Stale() }

var jobs = sync.Pool{New: func() any { return &job{done: make(chan error, 1)} }}

// Write runs fn in a transaction, together with the audit row that change
// describes and the change-feed rows of what fn touched. When it returns nil,
// all of that is durable and no record of the old state is served any more.
//
// An error of fn rolls everything back and is returned as it is. fn runs on
// the writer goroutine with every other write waiting: it must be short, use
// nothing but its Tx, and not call Write or RecordDecision. Errors of the
// store: ErrBusy, ErrClosed, ErrUnavailable. A write whose ctx ends before it
// ran is not run; one that ran is answered with what became of it.
func (db *DB) Write(ctx context.Context, change Change, fn func(*Tx) error) error {
	return db.run(ctx, &job{done: make(chan error, 1), ctx: ctx, change: change, fn: fn})
}

// Maintain is Write for what is done without anybody asking, as signing a
// checkpoint: it has no audit record.
func (db *DB) Maintain(ctx context.Context, fn func(*Tx) error) error {
	return db.run(ctx, &job{done: make(chan error, 1), ctx: ctx, fn: fn, unrecorded: true})
}

func (db *DB) run(ctx context.Context, j *job) error {
	err, _ := db.submit(ctx, j)
	if j.panicked != nil {
		panic(j.panicked)
	}
	return err
}

// RecordDecision appends d to the audit trail and returns once it is durable.
// With a basis, the records that the decision rests on, it is recorded only if
// they are what the database holds at the moment of recording; if one is stale by then the error is ErrOutdated, nothing
// was recorded, and records include every change up to then. Without one the
// decision is recorded as it is. Other errors are those of Write. d is not
// kept.
func (db *DB) RecordDecision(ctx context.Context, d *audit.Decision, basis interface{ Stale() bool }) error {
	j := jobs.Get().(*job)
	j.ctx, j.basis = ctx, basis
	j.state.Store(queued)
	if d.At.IsZero() {
		dated := *d
		dated.At = db.cfg.Clock()
		d = &dated
	}
	j.row = audit.Row{
		At:       d.At.UnixMicro(),
		Kind:     audit.KindExchange,
		TenantID: d.TenantID,
		ClientID: d.ClientID,
		Code:     int64(d.Code),
		Detail:   d.AppendJSON(j.row.Detail[:0]),
	}
	err, finished := db.submit(ctx, j)
	if finished {
		j.ctx, j.basis = nil, nil
		jobs.Put(j)
	}
	return err
}

// submit queues the job and waits for its result. finished is false when the
// writer still holds the job.
func (db *DB) submit(ctx context.Context, j *job) (err error, finished bool) {
	if err := ctx.Err(); err != nil {
		return err, true
	}
	if err := db.enqueue(j); err != nil {
		return err, true
	}
	select {
	case err := <-j.done:
		return err, true
	case <-ctx.Done():
		if j.state.CompareAndSwap(queued, withdrawn) {
			return ctx.Err(), false
		}
		return <-j.done, true
	}
}

func (db *DB) enqueue(j *job) error {
	db.stopping.RLock()
	defer db.stopping.RUnlock()
	if db.closed {
		return ErrClosed
	}
	select {
	case db.queueOf(j) <- j:
		return nil
	default:
		return ErrBusy
	}
}

// writer is the state of one writer goroutine; nothing else touches it.
type writer struct {
	db       *DB
	queue    chan *job
	session  *session  // nil: to be opened by the next batch
	used     time.Time // when the session was used last
	reopens  bool      // there was a session before it
	batch    []*job
	lingerer *time.Timer

	lingering
}

func newWriter(db *DB, queue chan *job) *writer {
	lingerer := time.NewTimer(time.Hour)
	lingerer.Stop()
	return &writer{db: db, queue: queue, lingerer: lingerer, lingering: lingering{refusals: newRefusalCommits()}}
}

// run commits batches until the queue is closed and empty.
func (w *writer) run() {
	defer w.closeSession()
	for first := range w.queue {
		w.collect(first)
		if len(w.batch) > 0 {
			w.commit()
		}
		if len(w.batch) <= 1 {
			w.expected = 0
		}
		w.measure(len(w.batch), time.Now())
		clear(w.batch)
	}
}

// collect fills w.batch with what waits in the queue. Everything that arrived
// during the previous commit is there already.
func (w *writer) collect(first *job) {
	w.batch = w.batch[:0]
	w.add(first)
	for len(w.batch) < w.db.cfg.MaxBatch {
		select {
		case j, ok := <-w.queue:
			if !ok {
				return
			}
			w.add(j)
			continue
		default:
		}
		break
	}
	w.awaitCompany()
	if w.worthLingering() {
		w.linger()
	}
}

// add claims a job for the batch, unless nobody wants it any more.
func (w *writer) add(j *job) {
	if !j.state.CompareAndSwap(queued, claimed) {
		return
	}
	if err := j.ctx.Err(); err != nil {
		j.done <- err
		return
	}
	w.batch = append(w.batch, j)
}

// decisionTime and writeTime bound what a batch may take in PostgreSQL: a
// connection that leads nowhere must not hold requests for ever. A write may
// wait for those of other replicas.
const (
	decisionTime = 5 * time.Second
	writeTime    = 30 * time.Second
)

// commit runs the batch and answers every job in it.
func (w *writer) commit() {
	began := time.Now()
	results := make([]error, len(w.batch))
	err := w.write(results)
	w.db.writeFailed.Store(err != nil)
	if err != nil {
		w.db.cfg.Logger.Error("the database did not accept a write", "error", err, "writes", len(w.batch))
		w.closeSession()
		for i := range results {
			results[i] = err
		}
	} else {
		w.db.counters.commits.Add(1)
		w.db.counters.jobs.Add(int64(len(w.batch)))
		w.db.counters.commitNanos.Add(int64(time.Since(began)))
	}
	for i, j := range w.batch {
		j.done <- results[i]
	}
}

// write commits the batch; results gets the outcome of each job. An error means
// that nothing of the batch is known to be committed.
func (w *writer) write(results []error) error {
	if unfit := w.db.unfit.Load(); unfit != nil {
		return unavailable("writing", *unfit)
	}
	limit, decisions := decisionTime, w.decisions()
	if len(decisions) < len(w.batch) {
		limit = writeTime
	}
	ctx, cancel := w.db.deadline(limit)
	defer cancel()
	open := w.session != nil
	err := w.attempt(ctx, results, decisions)
	if open && errors.Is(err, errNotBegun) {
		// The connection had ended before, as when the database was restarted.
		// Nothing was done with it.
		w.closeSession()
		err = w.attempt(ctx, results, decisions)
	}
	w.used = time.Now()
	return err
}

var errDamaged = errors.New("the database is damaged")

// errNotBegun says that a transaction did not begin: nothing in it was done.
var errNotBegun = errors.New("the transaction did not begin")

// idleAfter is how long a session was not used when its connection may well
// have ended without its noticing. Then decisions go into a transaction, of
// which one knows whether it began.
const idleAfter = 500 * time.Millisecond

// attempt commits the batch with the session, or with a new one.
func (w *writer) attempt(ctx context.Context, results []error, decisions []*job) error {
	if w.session == nil {
		s, err := w.open(ctx)
		if err != nil {
			return unavailable("opening it for writing", err)
		}
		w.session = s
	}
	if len(decisions) == len(w.batch) && len(decisions) <= mostRows && time.Since(w.used) < idleAfter {
		done, err := w.tryDecisions(ctx, decisions)
		if done || err != nil {
			return err
		}
	}
	return w.transact(ctx, results)
}

// open opens a session. What was known before it does not count: another server
// may have taken the database over since. SQLite has no other server.
func (w *writer) open(ctx context.Context) (*session, error) {
	s, err := openSession(ctx, w.db)
	if err != nil {
		return nil, err
	}
	if w.reopens || w.db.postgres() && !w.db.began(ctx, s.known) {
		var head int64
		if err := s.known.QueryRowContext(ctx, feedPosition).Scan(&head); err != nil {
			s.close()
			return nil, err
		}
		w.db.feed.forget(head)
	}
	w.reopens = true
	w.db.counters.sessions.Add(1)
	return s, nil
}

func (w *writer) decisions() []*job {
	decisions := make([]*job, 0, len(w.batch))
	for _, j := range w.batch {
		if j.fn == nil {
			decisions = append(decisions, j)
		}
	}
	return decisions
}

// tryDecisions records decisions in one statement, which PostgreSQL needs no
// transaction for, if nothing has changed since they were made. The order
// matters: a change that is published after the position was read is not yet
// part of it, and one published before shows in the records.
func (w *writer) tryDecisions(ctx context.Context, decisions []*job) (done bool, err error) {
	position := w.db.feed.applied.Load()
	for _, j := range decisions {
		if j.outdated() {
			return false, nil
		}
	}
	done, err = w.session.insertDecisionsAt(ctx, decisions, position)
	if err != nil {
		return false, unavailable("appending to the audit trail", err)
	}
	return done, nil
}

// transact runs the batch in one transaction. First the records learn what was
// changed up to its beginning; a decision that rests on one which is stale by
// then is not recorded but made again.
func (w *writer) transact(ctx context.Context, results []error) error {
	s, feed := w.session, &w.db.feed
	decisions := w.decisions()
	epoch := feed.epoch.Load()
	head, err := s.wire.begin(ctx, len(decisions) < len(w.batch))
	if err != nil {
		return unavailable("beginning a transaction", errors.Join(errNotBegun, err))
	}
	if head != feed.applied.Load() {
		if err := feed.catchUp(ctx, s.known); err != nil {
			return unavailable("reading the change feed", err)
		}
	}
	valid := decisions[:0]
	var touched []touch
	for i, j := range w.batch {
		switch {
		case j.fn != nil:
		case j.outdated():
			results[i] = ErrOutdated
			w.db.counters.outdated.Add(1)
		default:
			valid = append(valid, j)
		}
	}
	if err := s.insertDecisions(ctx, valid); err != nil {
		return unavailable("appending to the audit trail", err)
	}
	for i, j := range w.batch {
		if j.fn == nil {
			continue
		}
		keys, err, fatal := s.runJob(ctx, j)
		if fatal != nil {
			return unavailable("writing", fatal)
		}
		results[i] = err
		touched = append(touched, keys...)
	}
	if err := s.wire.commit(ctx); err != nil {
		return unavailable("committing", err)
	}
	feed.publish(touched)
	if n := len(touched); n > 0 {
		feed.advance(epoch, touched[n-1].seq)
	}
	return nil
}

func (w *writer) closeSession() {
	if w.session != nil {
		w.session.close()
		w.session = nil
	}
}

// call runs a job's function; a panic becomes an error, and Write panics with
// it again in the caller's goroutine.
func call(j *job, tx *Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			j.panicked = p
			err = fmt.Errorf("store: the write panicked: %v", p)
		}
	}()
	return j.fn(tx)
}
