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
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// statements runs the statements of this package on one pool or connection.
// It keeps what must be done once for each text: with SQLite it prepares them,
// since parsing one takes longer than running it; for PostgreSQL it translates
// them, and leaves preparing to the driver, which knows whether a pooler in
// between allows it. Texts come from this package alone, so there are few.
type statements struct {
	on       preparer
	postgres bool

	mu         sync.Mutex
	prepared   map[string]*sql.Stmt
	translated map[string]string
}

func newStatements(on preparer, postgres bool) *statements {
	return &statements{on: on, postgres: postgres, prepared: make(map[string]*sql.Stmt), translated: make(map[string]string)}
}

// text returns a statement as PostgreSQL has it.
func (s *statements) text(query string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, ok := s.translated[query]
	if !ok {
		text = forPostgres(query)
		s.translated[query] = text
	}
	return text
}

// lookup returns a statement if it is prepared already, else nil.
func (s *statements) lookup(query string) *sql.Stmt {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.prepared[query]
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
	if other := s.prepared[query]; other != nil {
		_ = statement.Close() // somebody else was faster
		return other, nil
	}
	s.prepared[query] = statement
	return statement, nil
}

// exec runs a statement.
func (s *statements) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if s.postgres {
		return s.on.ExecContext(ctx, s.text(query), storable(args)...)
	}
	statement, err := s.get(query)
	if err != nil {
		return nil, err
	}
	return statement.ExecContext(ctx, args...)
}

// QueryContext implements querier.
func (s *statements) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if s.postgres {
		return s.on.QueryContext(ctx, s.text(query), storable(args)...)
	}
	statement, err := s.get(query)
	if err != nil {
		return nil, err
	}
	return statement.QueryContext(ctx, args...)
}

// QueryRowContext implements querier.
func (s *statements) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if s.postgres {
		return s.on.QueryRowContext(ctx, s.text(query), storable(args)...)
	}
	statement, err := s.get(query)
	if err != nil {
		return s.on.QueryRowContext(ctx, query, args...) // fails alike
	}
	return statement.QueryRowContext(ctx, args...)
}

func (s *statements) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, statement := range s.prepared {
		statement.Close()
	}
	clear(s.prepared)
}

// counted counts the queries of a pool, so that a test can tell that a path
// makes none.
type counted struct {
	*statements
	count *atomic.Int64
}

func (c counted) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	c.count.Add(1)
	return c.statements.QueryContext(ctx, query, args...)
}

func (c counted) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	c.count.Add(1)
	return c.statements.QueryRowContext(ctx, query, args...)
}

// txReads reads within one read transaction and counts the queries. The
// transaction holds a connection and must not wait for another one to prepare
// on: what is not prepared runs as it is, and is prepared when it has ended.
type txReads struct {
	statements *statements
	tx         *sql.Tx
	count      *atomic.Int64
	unprepared []string
}

func (r *txReads) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if statement := r.known(ctx, &query); statement != nil {
		return statement.QueryContext(ctx, args...)
	}
	return r.tx.QueryContext(ctx, query, storable(args)...)
}

func (r *txReads) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if statement := r.known(ctx, &query); statement != nil {
		return statement.QueryRowContext(ctx, args...)
	}
	return r.tx.QueryRowContext(ctx, query, storable(args)...)
}

// known returns the prepared statement to run a query with, or nil when its
// text, which may be translated, is to be sent.
func (r *txReads) known(ctx context.Context, query *string) *sql.Stmt {
	r.count.Add(1)
	if r.statements.postgres {
		*query = r.statements.text(*query)
		return nil
	}
	if statement := r.statements.lookup(*query); statement != nil {
		return r.tx.StmtContext(ctx, statement)
	}
	r.unprepared = append(r.unprepared, *query)
	return nil
}

// prepareRest prepares what had to run unprepared. The transaction has ended.
func (r *txReads) prepareRest() {
	for _, query := range r.unprepared {
		_, _ = r.statements.get(query) // it can be tried again
	}
}

// txQuerier reads within a write, whatever becomes of ctx.
type txQuerier struct{ tx *Tx }

func (t txQuerier) QueryContext(_ context.Context, query string, args ...any) (*sql.Rows, error) {
	if t.tx.fatal != nil {
		return nil, t.tx.fatal
	}
	return t.tx.statements.QueryContext(t.tx.ctx, query, args...)
}

func (t txQuerier) QueryRowContext(_ context.Context, query string, args ...any) *sql.Row {
	return t.tx.statements.QueryRowContext(t.tx.ctx, query, args...)
}
