package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"cambio/internal/directory"
	"cambio/internal/limit"
	"cambio/internal/tracing"
)

// RecordsConfig bounds the compiled records. The zero value of every field
// stands for its default.
type RecordsConfig struct {
	// Bytes is what the records may hold together, estimated. Default 64 MiB.
	Bytes int
	// LookupRate and LookupBurst limit, for each client, the look-ups per
	// second that end in a refusal. Defaults 200 and 400.
	LookupRate  float64
	LookupBurst int
}

// Records serves the token path: each record is compiled when it is loaded,
// kept within the bound, and dropped before the Write that changes it
// returns. It never answers "not found" from memory. Safe for concurrent use.
type Records struct {
	db     *DB
	cache  *cache
	misses *limit.Limiters // of look-ups that found nothing

	found, absent, failed atomic.Int64 // loads
}

// RecordStats are counts since the start, and the memory of the moment.
type RecordStats struct {
	Found, Absent, Failed int64 // loads from the database
	Evictions             int64 // for want of room
	Bytes                 int   // estimated
}

// Stats returns the counts so far.
func (r *Records) Stats() RecordStats {
	st := RecordStats{Found: r.found.Load(), Absent: r.absent.Load(), Failed: r.failed.Load()}
	st.Evictions, st.Bytes = r.cache.stats()
	return st
}

// Records makes a cache of compiled records over db.
func (db *DB) Records(cfg RecordsConfig) *Records {
	if cfg.Bytes <= 0 {
		cfg.Bytes = 64 << 20
	}
	if cfg.LookupRate <= 0 {
		cfg.LookupRate = 200
	}
	if cfg.LookupBurst <= 0 {
		cfg.LookupBurst = 400
	}
	r := &Records{
		db:     db,
		cache:  newCache(cfg.Bytes),
		misses: limit.New(cfg.LookupRate, cfg.LookupBurst, time.Now),
	}
	db.feed.attach(r)
	return r
}

func (r *Records) drop(key directory.Key, seq int64) {
	if key.Kind == directory.KeyTenant {
		key.ID = key.TenantID // the name under which a tenant is cached
		key.TenantID = ""
	}
	r.cache.drop(key, seq)
}

// Tenant returns the tenant that a path segment names: its id or a domain
// name, in any case, or DefaultTenant. Errors: ErrNotFound, ErrThrottled,
// ErrUnavailable. A hit in lower case does not allocate.
func (r *Records) Tenant(ctx context.Context, ref string) (*directory.TenantRecord, error) {
	key := cacheKey{kind: directory.KeyTenant, name: strings.ToLower(ref)}
	if e := r.cache.get(key); e != nil {
		return e.value.(*directory.TenantRecord), nil
	}
	e, err := r.load(ctx, key, loadTenant)
	if err != nil {
		return nil, err
	}
	return e.value.(*directory.TenantRecord), nil
}

// Client returns what the token path must know of a client. Errors are those
// of Tenant. A hit in lower case does not allocate.
func (r *Records) Client(ctx context.Context, tenantID, clientID string) (*directory.ClientRecord, error) {
	key := cacheKey{directory.KeyClient, tenantID, strings.ToLower(clientID)}
	if e := r.cache.get(key); e != nil {
		return e.value.(*directory.ClientRecord), nil
	}
	e, err := r.load(ctx, key, loadClient)
	if err != nil {
		return nil, err
	}
	return e.value.(*directory.ClientRecord), nil
}

// Resource returns the protected resource that has the identifier URI, byte
// for byte, or the appId, in any case; it has a service principal in the
// tenant. Errors are those of Tenant. A hit does not allocate.
func (r *Records) Resource(ctx context.Context, tenantID, identifier string) (*directory.ResourceRecord, error) {
	key := cacheKey{directory.KeyResource, tenantID, identifier}
	if directory.IsGUID(identifier) {
		key.name = strings.ToLower(identifier)
	}
	if e := r.cache.get(key); e != nil {
		return e.value.(*directory.ResourceRecord), nil
	}
	e, err := r.load(ctx, key, loadResource)
	if err != nil {
		return nil, err
	}
	return e.value.(*directory.ResourceRecord), nil
}

// loader compiles the record of a key; ErrNotFound when there is none.
// previous is an earlier state of the record or nil.
type loader func(ctx context.Context, s *snapshot, key cacheKey, previous *entry) (*entry, error)

// load reads a record, sharing the work with callers who want the same one.
func (r *Records) load(ctx context.Context, key cacheKey, fn loader) (*entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !r.misses.Available(key.tenantID, key.name) {
		return nil, ErrThrottled
	}
	// Copies: the caller's strings may be parts of a request's body, which
	// what is kept here must not keep alive.
	key.tenantID, key.name = strings.Clone(key.tenantID), strings.Clone(key.name)
	l, first := r.cache.begin(key)
	if first {
		return r.lead(ctx, key, l, fn)
	}
	select {
	case <-l.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if l.usable() {
		return l.entry, nil
	}
	// A read that begins now sees all that this caller may know of. What it
	// finds is not cached, and so is marked: nobody could tell its holder of
	// the next change.
	e, err := r.read(ctx, key, fn)
	if err == nil {
		markStale(e.value)
	}
	return e, err
}

// readTime bounds a read: others wait for it, or for its connection.
const readTime = 10 * time.Second

// lead loads for those who wait as well: it goes on when its own caller has
// gone, or each of them would have to begin again.
func (r *Records) lead(ctx context.Context, key cacheKey, l *loading, fn loader) (e *entry, err error) {
	err = ErrUnavailable // for those who wait, should fn panic
	defer func() { r.cache.finish(key, l, e, err) }()
	return r.read(context.WithoutCancel(ctx), key, fn)
}

// read reads a record in one read transaction.
func (r *Records) read(ctx context.Context, key cacheKey, fn loader) (*entry, error) {
	ctx, span := tracing.Start(ctx, "read record")
	defer span.End()
	ctx, cancel := context.WithTimeoutCause(ctx, readTime, ErrUnavailable)
	defer cancel()
	known := r.db.feed.applied.Load()
	s, err := r.db.snapshot(ctx)
	if err != nil {
		return nil, readError(ctx, err)
	}
	defer s.close()
	if s.seq < known {
		// A server that another one took over from, or that was put back.
		return nil, unavailable("reading", errOlderState)
	}
	e, err := fn(ctx, s, key, r.cache.previous(key))
	if IsNotFound(err) {
		r.absent.Add(1)
		r.misses.Allow(key.tenantID, key.name)
		return nil, ErrNotFound
	}
	if err != nil {
		r.failed.Add(1)
		return nil, readError(ctx, err)
	}
	r.found.Add(1)
	return e, nil
}

func readError(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil && context.Cause(ctx) != ErrUnavailable {
		return ended // it is the caller's context, not readTime, that ended
	}
	return unavailable("reading", err)
}

var errOlderState = errors.New("the database answered with an older state than it had before")

// snapshot is one committed state of the database, with the change-feed
// sequence that it includes.
type snapshot struct {
	reads
	q   *txReads
	tx  *sql.Tx
	seq int64
}

func (db *DB) snapshot(ctx context.Context) (*snapshot, error) {
	tx, err := db.readers.BeginTx(ctx, db.readOnly())
	if err != nil {
		return nil, err
	}
	q := &txReads{statements: db.statements, tx: tx, count: &db.counters.reads}
	s := &snapshot{tx: tx, q: q, reads: reads{q}}
	// The state is fixed by the first statement that reads.
	if s.seq, err = s.FeedPosition(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// close ends the transaction.
func (s *snapshot) close() {
	_ = s.tx.Rollback() // there is nothing to lose
	s.q.prepareRest()
}
