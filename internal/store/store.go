package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Config says where the database is and how it is used: Path or DSN. The zero
// value of every other field stands for its default.
type Config struct {
	// Path is the file of an SQLite database. It and its directory are created
	// when missing, readable by the owner alone.
	Path string
	// DSN says where a PostgreSQL database is, as a URL or as key=value pairs.
	// Several hosts may be named. Its schema is created when missing.
	DSN string
	// AcceptLostWrites allows a PostgreSQL database that may lose writes which
	// it has acknowledged.
	AcceptLostWrites bool
	// RequireStandby refuses a PostgreSQL database whose commits wait for no
	// standby.
	RequireStandby bool
	// CheckAtOnce is up to which size in bytes all of an SQLite database is
	// checked for damage before it is used, unless it was closed in good order
	// and is what it was then: that is checked while it is used. Of a larger one the tables that
	// decide are, for two seconds at most, and the rest while it is used.
	// Default 128 MiB, which takes about two seconds.
	CheckAtOnce int64
	// Replica names this process in what it stores. Default "cambio".
	Replica string
	// Queue is how many writes may wait; more get ErrBusy. Default 4096.
	Queue int
	// MaxBatch is how many writes share one commit at most. Default 256.
	MaxBatch int
	// Linger is how long a commit waits at most for company while callers are
	// many; see the writer. Default 5 ms, negative for none.
	Linger time.Duration
	// Readers is the number of connections for reading; with SQLite each has
	// up to 2 MB of page cache. Default 4.
	Readers int
	// PollInterval is how often changes of other processes are looked for.
	// Default 100 ms.
	PollInterval time.Duration
	// Clock gives the time of created rows. Default time.Now.
	Clock func() time.Time
	// Logger gets what no caller can be told. Default slog.Default().
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Replica == "" {
		c.Replica = "cambio"
	}
	if c.CheckAtOnce <= 0 {
		c.CheckAtOnce = 128 << 20
	}
	if c.Queue <= 0 {
		c.Queue = 4096
	}
	if c.MaxBatch <= 0 {
		c.MaxBatch = mostRows
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
	writers    *sql.DB     // a connection for each writer goroutine, used by those alone
	polling    *sql.DB     // one connection, used by the poller alone
	// A writer takes its jobs from one queue. SQLite has one for both. With
	// PostgreSQL a write may have to wait for those of other replicas, and
	// must not hold decisions up.
	decisions, writes chan *job
	stop              chan struct{} // closed by Close
	stopping          sync.RWMutex  // held for reading while a job is put into a queue
	closed            bool          // guarded by stopping
	done              sync.WaitGroup
	counters          counters
	feed              feed

	writeFailed atomic.Bool // the last batch did not commit
	// Why nothing may be written, found while the database was in use; nil: it
	// may.
	unfit atomic.Pointer[error]
	// Of PostgreSQL: commits wait for a standby; there are copies that they do
	// not wait for.
	replicated, unwaited atomic.Bool
	serverStart          string // of PostgreSQL, when this process began to read; empty: unknown
}

// WriteFailed reports whether the last batch that a writer tried did not
// commit: the disk is full or broken, the database is out of reach, and
// nothing can be recorded.
func (db *DB) WriteFailed() bool { return db.writeFailed.Load() || db.unfit.Load() != nil }

// Stats are counts since Open, and the state of the moment.
type Stats struct {
	Commits      int64         // transactions committed by the writers
	CommitTime   time.Duration // that they took together
	Jobs         int64         // writes and decision records in them
	Outdated     int64         // decisions that had to be made again
	Queued       int           // writes and decisions that wait
	SQLReads     int64         // queries of the read methods and of Records
	Polls        int64         // looks for changes of other processes; not in SQLReads
	Sessions     int64         // of writers with the database, begun
	FeedPosition int64         // up to which changes are known here
}

type counters struct{ commits, commitNanos, jobs, outdated, reads, polls, sessions atomic.Int64 }

// Stats returns the counts so far.
func (db *DB) Stats() Stats {
	queued := len(db.decisions)
	if db.postgres() {
		queued += len(db.writes)
	}
	return Stats{
		Commits:      db.counters.commits.Load(),
		CommitTime:   time.Duration(db.counters.commitNanos.Load()),
		Jobs:         db.counters.jobs.Load(),
		Outdated:     db.counters.outdated.Load(),
		Queued:       queued,
		SQLReads:     db.counters.reads.Load(),
		Polls:        db.counters.polls.Load(),
		Sessions:     db.counters.sessions.Load(),
		FeedPosition: db.feed.applied.Load(),
	}
}

// Open opens or creates the database, checks that it is not damaged and
// brings its schema up to date. Close must be called.
func Open(cfg Config) (*DB, error) {
	cfg = cfg.withDefaults()
	db := &DB{cfg: cfg, stop: make(chan struct{})}
	if err := db.connect(context.Background()); err != nil {
		db.disconnect()
		return nil, err
	}
	db.statements = newStatements(db.readers, db.postgres())
	db.reads = reads{counted{db.statements, &db.counters.reads}}
	if err := db.begin(context.Background()); err != nil {
		db.disconnect()
		return nil, fmt.Errorf("store: cannot read the database %s: %w", db.Name(), err)
	}
	db.decisions = make(chan *job, cfg.Queue)
	db.done.Go(newWriter(db, db.decisions).run)
	if db.writes = db.decisions; db.postgres() {
		db.writes = make(chan *job, cfg.Queue)
		db.done.Go(newWriter(db, db.writes).run)
	}
	db.done.Go(db.poll)
	return db, nil
}

// Name says which database this is, without a password.
func (db *DB) Name() string {
	if db.postgres() {
		return postgresName(db.cfg.DSN)
	}
	return db.cfg.Path
}

func (db *DB) connect(ctx context.Context) error {
	if db.postgres() {
		return db.connectPostgres(ctx)
	}
	if err := prepareFile(db.cfg.Path); err != nil {
		return err
	}
	if err := db.connectSQLite(ctx); err != nil {
		return fmt.Errorf("store: cannot use the database %s: %w", db.cfg.Path, advise(err))
	}
	return nil
}

// begin ends the deleted items whose time is over, and takes the position of
// the change feed from which on changes are published.
func (db *DB) begin(ctx context.Context) error {
	on := newStatements(db.writers, db.postgres())
	defer on.close()
	for _, statement := range expireDeletedItems() {
		if _, err := on.exec(ctx, statement, db.cfg.Clock().Add(-DeletedItemRetention).UnixMicro()); err != nil {
			return err
		}
	}
	if db.postgres() {
		db.serverStart = startOfServer(ctx, db.statements)
	}
	position, err := db.FeedPosition(ctx)
	db.feed.applied.Store(position)
	return err
}

// postgres reports which kind of database it is.
func (db *DB) postgres() bool { return db.cfg.DSN != "" }

// newWire prepares a connection for a writer.
func (db *DB) newWire(conn *sql.Conn) (wire, error) {
	if db.postgres() {
		return postgresWire{conn}, nil
	}
	return newSQLiteWire(conn)
}

// readOnly are the options of a transaction that sees one state.
func (db *DB) readOnly() *sql.TxOptions {
	if db.postgres() {
		return &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
	}
	return &sql.TxOptions{ReadOnly: true}
}

// deadline bounds what a batch takes in PostgreSQL. In SQLite it takes as long
// as the disk does.
func (db *DB) deadline(limit time.Duration) (context.Context, context.CancelFunc) {
	if db.postgres() {
		return context.WithTimeout(context.Background(), limit)
	}
	return context.Background(), func() {}
}

// losesTransaction reports whether the whole transaction may be lost because
// of err, not just the statement.
func (db *DB) losesTransaction(err error) bool {
	if db.postgres() {
		return postgresLosesTransaction(err)
	}
	return sqliteLosesTransaction(err)
}

// queueOf returns the queue of the writer that a job is for.
func (db *DB) queueOf(j *job) chan *job {
	if j.fn != nil {
		return db.writes
	}
	return db.decisions
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
	close(db.decisions)
	if db.postgres() {
		close(db.writes)
	}
	db.stopping.Unlock()
	db.done.Wait()
	db.statements.close()
	if err := db.disconnect(); err != nil || db.postgres() {
		return err
	}
	if db.unfit.Load() != nil {
		return nil // it stays without a checksum
	}
	if err := noteChecksum(db.cfg.Path); err != nil {
		db.cfg.Logger.Warn("the next start checks the database for damage before it serves: its checksum could not be noted", "error", err)
	}
	return nil
}

func (db *DB) disconnect() error {
	var err error
	for _, pool := range []*sql.DB{db.polling, db.readers, db.writers} {
		if pool != nil {
			err = errors.Join(err, pool.Close())
		}
	}
	return err
}

// SigningKeysChanged returns a channel that gets a value after signing-key rows
// changed, here (before the Write returns) or in another process (within about
// PollInterval), and when everything was forgotten. Changes that nobody has
// taken yet are one value. It is a channel and no function to call, so that
// whoever reads the keys then, and may wait for the database, holds up none of
// those who publish changes.
//
// SigningKeysVersion says the same without being told.
func (db *DB) SigningKeysChanged() <-chan struct{} {
	changed := make(chan struct{}, 1)
	db.feed.listen(changed)
	return changed
}

// SigningKeysVersion is another number after each change of signing keys that is
// known here. When a decision was recorded, every change that was committed
// before it began is.
func (db *DB) SigningKeysVersion() int64 { return db.feed.keysVersion.Load() }
