package store

import (
	"context"
	"database/sql"
	"sync"
	"sync/atomic"
)

// querier is what the read methods need of a connection or a pool.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// preparer is a pool or a connection.
type preparer interface {
	querier
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// statements keeps prepared statements by their text: parsing one takes
// longer than running it. Texts come from this package alone, so there are
// few of them.
type statements struct {
	on preparer

	mu    sync.Mutex
	known map[string]*sql.Stmt
}

func newStatements(on preparer) *statements {
	return &statements{on: on, known: make(map[string]*sql.Stmt)}
}

// lookup returns a statement if it is prepared already, else nil.
func (s *statements) lookup(query string) *sql.Stmt {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[query]
}

// get returns a statement, prepared now if need be. It may wait for a
// connection of the pool, so the caller must hold none, and the lock is not
// held meanwhile: transactions that hold the others must go on.
func (s *statements) get(query string) (*sql.Stmt, error) {
	if statement := s.lookup(query); statement != nil {
		return statement, nil
	}
	// Not with a caller's context: the statement outlives the call.
	statement, err := s.on.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.known[query]; other != nil {
		_ = statement.Close() // somebody else was faster
		return other, nil
	}
	s.known[query] = statement
	return statement, nil
}

func (s *statements) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, statement := range s.known {
		statement.Close()
	}
	clear(s.known)
}

// readQuerier reads from the pool, or from one transaction of it, and counts
// the queries, so that a test can tell that a path makes none.
type readQuerier struct {
	statements *statements
	tx         *sql.Tx // nil: no transaction
	count      *atomic.Int64
	unprepared []string // queries that a transaction had to run unprepared
}

// prepared returns the statement to run a query with, bound to the
// transaction if there is one, or nil: a transaction holds a connection, and
// must not wait for another one to prepare on.
func (r *readQuerier) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	if r.tx == nil {
		return r.statements.get(query)
	}
	if statement := r.statements.lookup(query); statement != nil {
		return r.tx.StmtContext(ctx, statement), nil
	}
	r.unprepared = append(r.unprepared, query)
	return nil, nil
}

func (r *readQuerier) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	r.count.Add(1)
	statement, err := r.prepared(ctx, query)
	switch {
	case err != nil:
		return nil, err
	case statement == nil:
		return r.tx.QueryContext(ctx, query, args...)
	}
	return statement.QueryContext(ctx, args...)
}

func (r *readQuerier) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	r.count.Add(1)
	statement, err := r.prepared(ctx, query)
	switch {
	case err != nil:
		return r.statements.on.QueryRowContext(ctx, query, args...) // fails alike
	case statement == nil:
		return r.tx.QueryRowContext(ctx, query, args...)
	}
	return statement.QueryRowContext(ctx, args...)
}

// txQuerier reads within a write, whatever becomes of ctx.
type txQuerier struct{ tx *Tx }

func (t txQuerier) QueryContext(_ context.Context, query string, args ...any) (*sql.Rows, error) {
	if t.tx.fatal != nil {
		return nil, t.tx.fatal
	}
	statement, err := t.tx.statements.get(query)
	if err != nil {
		return nil, err
	}
	return statement.QueryContext(context.Background(), args...)
}

func (t txQuerier) QueryRowContext(_ context.Context, query string, args ...any) *sql.Row {
	statement, err := t.tx.statements.get(query)
	if err != nil {
		return t.tx.statements.on.QueryRowContext(context.Background(), query, args...) // fails alike
	}
	return statement.QueryRowContext(context.Background(), args...)
}
