package store

import (
	"context"
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

	fn       func(*Tx) error // nil for a decision record
	change   Change
	panicked any // what fn panicked with

	row auditRow // of a decision record
}

// auditRow is one row of the audit trail. detail's array is reused.
type auditRow struct {
	at                     int64
	kind, tenantID, client string
	code                   int64
	detail                 []byte
}

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
	j := &job{done: make(chan error, 1), ctx: ctx, change: change, fn: fn}
	err, _ := db.submit(ctx, j)
	if j.panicked != nil {
		panic(j.panicked)
	}
	return err
}

// RecordDecision appends d to the audit trail and returns once it is durable.
// Errors are those of Write. d is not kept.
func (db *DB) RecordDecision(ctx context.Context, d *audit.Decision) error {
	j := jobs.Get().(*job)
	j.ctx = ctx
	j.state.Store(queued)
	if d.At.IsZero() {
		dated := *d
		dated.At = db.cfg.Clock()
		d = &dated
	}
	j.row = auditRow{
		at:       d.At.UnixMicro(),
		kind:     audit.KindExchange,
		tenantID: d.TenantID,
		client:   d.ClientID,
		code:     int64(d.Code),
		detail:   d.AppendJSON(j.row.detail[:0]),
	}
	err, finished := db.submit(ctx, j)
	if finished {
		j.ctx = nil
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
	case db.queue <- j:
		return nil
	default:
		return ErrBusy
	}
}

// writer is the state of the writer goroutine; nothing else touches it.
type writer struct {
	db       *DB
	session  *session // nil: to be opened by the next batch
	batch    []*job
	crowded  bool // the previous batch had more than one job
	lingerer *time.Timer
}

func newWriter(db *DB) *writer {
	lingerer := time.NewTimer(time.Hour)
	lingerer.Stop()
	return &writer{db: db, lingerer: lingerer}
}

// run commits batches until the queue is closed and empty.
func (w *writer) run() {
	defer w.closeSession()
	for first := range w.db.queue {
		w.collect(first)
		if len(w.batch) > 0 {
			w.commit()
		}
		w.crowded = len(w.batch) > 1
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
		case j, ok := <-w.db.queue:
			if !ok {
				return
			}
			w.add(j)
			continue
		default:
		}
		break
	}
	if w.crowded && w.db.cfg.Linger > 0 {
		w.linger()
	}
}

// linger waits for more jobs. A commit costs about as much CPU as ten rows
// (most of it the kernel's part of fsync), so under load it pays to let more
// requests share it; a caller that is alone never waits.
func (w *writer) linger() {
	w.lingerer.Reset(w.db.cfg.Linger)
	defer w.lingerer.Stop()
	for len(w.batch) < w.db.cfg.MaxBatch {
		select {
		case j, ok := <-w.db.queue:
			if !ok {
				return
			}
			w.add(j)
		case <-w.lingerer.C:
			return
		}
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

// commit runs the batch in one transaction and answers every job in it.
func (w *writer) commit() {
	results := make([]error, len(w.batch))
	touched, err := w.transact(results)
	if err != nil {
		w.db.cfg.Logger.Error("the database did not accept a write", "error", err, "writes", len(w.batch))
		w.closeSession()
		for i := range results {
			results[i] = err
		}
	} else {
		w.db.counters.commits.Add(1)
		w.db.counters.jobs.Add(int64(len(w.batch)))
		w.db.feed.publish(touched)
	}
	for i, j := range w.batch {
		j.done <- results[i]
	}
}

// transact runs the batch; results gets the outcome of each job. An error
// means that nothing of the batch was committed.
func (w *writer) transact(results []error) ([]touch, error) {
	if w.session == nil {
		s, err := openSession(w.db)
		if err != nil {
			return nil, unavailable("opening it for writing", err)
		}
		w.session = s
	}
	s := w.session
	if err := s.begin(); err != nil {
		return nil, unavailable("beginning a transaction", err)
	}
	if err := s.recordDecisions(w.batch); err != nil {
		return nil, unavailable("appending to the audit trail", err)
	}
	var touched []touch
	for i, j := range w.batch {
		if j.fn == nil {
			continue
		}
		keys, err, fatal := s.runJob(j)
		if fatal != nil {
			return nil, unavailable("writing", fatal)
		}
		results[i] = err
		touched = append(touched, keys...)
	}
	if err := s.commit(); err != nil {
		return nil, unavailable("committing", err)
	}
	return touched, nil
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
