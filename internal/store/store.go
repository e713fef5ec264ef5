package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cambio/internal/directory"

	"modernc.org/sqlite" // registers the driver as well
	sqlite3 "modernc.org/sqlite/lib"
)

// Config says where the database is and how it is used. The zero value of
// every field but Path stands for its default.
type Config struct {
	// Path is the database file. It and its directory are created when
	// missing, readable by the owner alone.
	Path string
	// Queue is how many writes may wait; more get ErrBusy. Default 4096.
	Queue int
	// MaxBatch is how many writes share one commit at most. Default 256.
	MaxBatch int
	// Linger is how long a commit waits at most for company while callers are
	// many; see the writer. Default 5 ms, negative for none.
	Linger time.Duration
	// Readers is the number of connections for reading; each has up to 2 MB of
	// page cache. Default 4.
	Readers int
	// PollInterval is how often writes of other processes are looked for.
	// Default 100 ms.
	PollInterval time.Duration
	// Clock gives the time of created rows. Default time.Now.
	Clock func() time.Time
	// Logger gets what no caller can be told. Default slog.Default().
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Queue <= 0 {
		c.Queue = 4096
	}
	if c.MaxBatch <= 0 {
		c.MaxBatch = 256
	}
	if c.Linger == 0 {
		c.Linger = 5 * time.Millisecond
	}
	if c.Readers <= 0 {
		c.Readers = 4
	}
	if c.PollInterval <= 0 {
		c.PollInterval = 100 * time.Millisecond
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// DB is an open database. Its read methods (Tenant, Application …) each see
// one committed state; Write changes it. It is safe for concurrent use.
type DB struct {
	reads // over the readers

	cfg        Config
	readers    *sql.DB
	statements *statements // on readers
	writers    *sql.DB     // one connection, used by the writer goroutine alone
	polling    *sql.DB     // one connection, used by the poller goroutine alone
	queue      chan *job
	stop       chan struct{} // closed by Close
	stopping   sync.RWMutex  // held for reading while a job is put into queue
	closed     bool          // guarded by stopping
	done       sync.WaitGroup
	counters   counters
	feed       feed

	writeFailed atomic.Bool // the last batch did not commit
}

// WriteFailed reports whether the last batch that the writer tried did not
// commit: the disk is full or broken, and nothing can be recorded.
func (db *DB) WriteFailed() bool { return db.writeFailed.Load() }

// Stats are counts since Open.
type Stats struct {
	Commits  int64 // transactions committed by the writer
	Jobs     int64 // writes and decision records in them
	SQLReads int64 // queries of the read methods and of Records
	Polls    int64 // looks for writes of other processes; not in SQLReads
}

type counters struct{ commits, jobs, reads, polls atomic.Int64 }

// Stats returns the counts so far.
func (db *DB) Stats() Stats {
	return Stats{
		Commits:  db.counters.commits.Load(),
		Jobs:     db.counters.jobs.Load(),
		SQLReads: db.counters.reads.Load(),
		Polls:    db.counters.polls.Load(),
	}
}

// Open opens or creates the database, checks that it is not damaged and
// brings its schema up to date. Close must be called.
func Open(cfg Config) (*DB, error) {
	cfg = cfg.withDefaults()
	if err := prepareFile(cfg.Path); err != nil {
		return nil, err
	}
	db := &DB{
		cfg:   cfg,
		queue: make(chan *job, cfg.Queue),
		stop:  make(chan struct{}),
	}
	if err := db.connect(); err != nil {
		db.disconnect()
		return nil, fmt.Errorf("store: cannot use the database %s: %w", cfg.Path, advise(err))
	}
	db.statements = newStatements(db.readers)
	db.reads = reads{&readQuerier{statements: db.statements, count: &db.counters.reads}}
	position, err := db.FeedPosition(context.Background())
	if err != nil {
		db.disconnect()
		return nil, fmt.Errorf("store: cannot read the database %s: %w", cfg.Path, err)
	}
	w, p := newWriter(db), &poller{db: db, position: position}
	db.done.Go(w.run)
	db.done.Go(p.run)
	return db, nil
}

func (db *DB) connect() error {
	ctx := context.Background()
	var err error
	if db.writers, err = openPool(db.cfg.Path, 1, false); err != nil {
		return err
	}
	conn, err := db.writers.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := check(ctx, conn); err != nil {
		return err
	}
	if err := migrate(ctx, conn); err != nil {
		return err
	}
	for _, statement := range expireDeletedItems() {
		if _, err := conn.ExecContext(ctx, statement, db.cfg.Clock().Add(-DeletedItemRetention).UnixMicro()); err != nil {
			return err
		}
	}
	if db.readers, err = openPool(db.cfg.Path, db.cfg.Readers, true); err != nil {
		return err
	}
	if db.polling, err = openPool(db.cfg.Path, 1, true); err != nil {
		return err
	}
	return nil
}

// check refuses a damaged database: what is read from it decides who is
// trusted.
func check(ctx context.Context, conn *sql.Conn) error {
	var result string
	if err := conn.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&result); err != nil {
		return err
	}
	if result != "ok" {
		return fmt.Errorf("it is damaged (%s); take the last good backup", strings.TrimSpace(result))
	}
	return nil
}

// advise adds to an error of opening what to do about it.
func advise(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("it is damaged or not a database (%w); take the last good backup, or give another path", err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return fmt.Errorf("%w; make it and its directory writable for this user", err)
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w; free some space", err)
	case sqlite3.SQLITE_BUSY:
		return fmt.Errorf("%w; another program keeps it locked", err)
	}
	return err
}

// openPool opens size connections. Settings stand in the data source name, so
// that every connection of the pool has them; busy_timeout comes first, since
// the others may have to wait for a lock.
func openPool(path string, size int, readOnly bool) (*sql.DB, error) {
	name := fileURI(path) +
		"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)" +
		"&_pragma=foreign_keys(1)&_pragma=trusted_schema(0)&_pragma=temp_store(MEMORY)&_pragma=cache_size(-2000)" +
		"&_pragma=journal_size_limit(67108864)" // after a very large write
	if readOnly {
		name += "&_pragma=query_only(1)"
	} else {
		name += "&_txlock=immediate"
	}
	pool, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	return pool, nil
}

// fileURI names a file for SQLite (https://www.sqlite.org/uri.html §3.2).
func fileURI(path string) string {
	return "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)
}

// Close waits for the writes that were accepted, then closes the database.
// Later writes get ErrClosed.
func (db *DB) Close() error {
	db.stopping.Lock()
	if db.closed {
		db.stopping.Unlock()
		return nil
	}
	db.closed = true
	close(db.stop)
	close(db.queue)
	db.stopping.Unlock()
	db.done.Wait()
	db.statements.close()
	return db.disconnect()
}

func (db *DB) disconnect() error {
	var first error
	for _, pool := range []*sql.DB{db.polling, db.readers, db.writers} {
		if pool == nil {
			continue
		}
		if err := pool.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// OnSigningKeys registers fn to be called after signing-key rows changed,
// here (before the Write returns) or in another process (within about
// PollInterval). It is called from the store's goroutines and must not write.
func (db *DB) OnSigningKeys(fn func()) {
	db.feed.listen(func(kind string) {
		if kind == directory.KeySigningKeys {
			fn()
		}
	})
}
