package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"modernc.org/sqlite" // registers the driver as well
	sqlite3 "modernc.org/sqlite/lib"
)

// connectSQLite opens the pools on the database file, checks it for damage and
// brings its schema up to date.
func (db *DB) connectSQLite(ctx context.Context) error {
	if err := checkLog(db.cfg.Path); err != nil {
		return err
	}
	// Compared before anything is opened, which makes a log.
	unchanged := closedInGoodOrder(db.cfg.Path)
	var err error
	if db.writers, err = openPool(db.cfg.Path, 1, false); err != nil {
		return err
	}
	conn, err := db.writers.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	large, err := db.isLarge()
	if err != nil {
		return err
	}
	switch {
	case unchanged:
	case large:
		err = checkTrust(ctx, conn)
	default:
		err = check(ctx, conn, "")
	}
	if err != nil {
		return err
	}
	if err := migrate(ctx, conn, sqliteSchema); err != nil {
		return err
	}
	if db.readers, err = openPool(db.cfg.Path, db.cfg.Readers, true); err != nil {
		return err
	}
	if db.polling, err = openPool(db.cfg.Path, 1, true); err == nil && (unchanged || large) {
		db.done.Go(db.checkLater)
	}
	return err
}

// isLarge reports whether checking the database would keep its users waiting.
func (db *DB) isLarge() (bool, error) {
	info, err := os.Stat(db.cfg.Path)
	return err == nil && info.Size() > db.cfg.CheckAtOnce, err
}

// checkLater checks a database while it is used: a large one, or one that is
// what it was when it was closed, but may have been damaged before that.
// Nothing is issued any more when it is damaged.
func (db *DB) checkLater() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-db.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	select {
	case <-ctx.Done():
	case <-time.After(time.Second): // the first requests come first
	}
	began := time.Now()
	pool, err := openPool(db.cfg.Path, 1, true)
	if err != nil {
		db.cfg.Logger.Error("the database could not be checked for damage", "error", err)
		return
	}
	defer pool.Close()
	conn, err := pool.Conn(ctx)
	if err == nil {
		err = check(ctx, conn, "")
		conn.Close()
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		db.unfit.Store(&errDamaged)
		_ = os.Remove(db.cfg.Path + checksumSuffix) // the next start is to find it before it serves
		db.cfg.Logger.Error("the database is damaged: nothing is issued or written any more; stop, and take the last good backup", "error", err)
	default:
		db.cfg.Logger.Debug("the database was checked for damage and is sound", "took", time.Since(began).Round(time.Millisecond).String())
	}
}

// checkTrust checks a large database but for its audit trail, which is most of
// it and decides nothing, for as long as its users may be kept waiting.
func checkTrust(ctx context.Context, conn *sql.Conn) error {
	limited, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	rows, err := conn.QueryContext(ctx, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'audit%' AND name NOT LIKE 'sqlite%'")
	tables, err := all(rows, err, func(s scanner) (name string, err error) { return name, s.Scan(&name) })
	if err != nil {
		return err
	}
	for _, table := range tables {
		err := check(limited, conn, "'"+table+"'")
		if limited.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// check refuses a damaged database, or one of which a table is damaged: what is
// read from it decides who is trusted. SQLite's pages have no checksums; every
// column that decides is in an index as well, and this compares the two.
func check(ctx context.Context, conn *sql.Conn, table string) error {
	if table == "" {
		table = "1" // all; one fault is enough
	}
	var result string
	if err := conn.QueryRowContext(ctx, "PRAGMA integrity_check("+table+")").Scan(&result); err != nil {
		return err
	}
	if result != "ok" {
		return fmt.Errorf("it is damaged (%s); take the last good backup", strings.Join(strings.Fields(result), " "))
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
		"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(" + synchronous + ")" +
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

// sqliteLosesTransaction reports whether SQLite may have rolled back the whole
// transaction because of err, not just the statement
// (https://www.sqlite.org/lang_transaction.html §3).
func sqliteLosesTransaction(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return errors.Is(err, driver.ErrBadConn)
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE:
		return false
	}
	return true
}

// auditColumns is the number of parameters of one audit row.
const auditColumns = 8

// insertSizes are the numbers of audit rows that one prepared INSERT takes,
// largest first. Many rows in one statement cost a third less than one each.
var insertSizes = [...]int{64, 8, 1}

// sqliteWire has its statements prepared by the driver itself: database/sql
// would add about as much again as the INSERT costs. Contexts are not used: an
// interrupted statement would undo the whole batch.
type sqliteWire struct {
	conn     *sql.Conn
	start    driver.Stmt
	position driver.Stmt
	end      driver.Stmt
	inserts  [len(insertSizes)]driver.Stmt
	args     []driver.NamedValue // of one INSERT, reused
}

func newSQLiteWire(conn *sql.Conn) (*sqliteWire, error) {
	w := &sqliteWire{conn: conn, args: make([]driver.NamedValue, auditColumns*insertSizes[0])}
	for i := range w.args {
		w.args[i].Ordinal = i + 1
	}
	if err := conn.Raw(w.prepare); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *sqliteWire) prepare(driverConn any) error {
	conn, ok := driverConn.(driver.Conn)
	if !ok {
		return errors.New("not a driver connection")
	}
	for text, into := range map[string]*driver.Stmt{"BEGIN IMMEDIATE": &w.start, feedPosition: &w.position, "COMMIT": &w.end} {
		var err error
		if *into, err = conn.Prepare(text); err != nil {
			return err
		}
	}
	for i, rows := range insertSizes {
		const row = "(?,?,?,?,?,?,CAST(? AS TEXT),?),"
		text := "INSERT INTO audit (id, at, kind, tenant_id, client_id, code, detail, hash) VALUES " + strings.Repeat(row, rows)
		var err error
		if w.inserts[i], err = conn.Prepare(strings.TrimSuffix(text, ",")); err != nil {
			return err
		}
	}
	return nil
}

func (w *sqliteWire) close() {
	_ = w.conn.Raw(func(any) error {
		for _, statement := range append(w.inserts[:], w.start, w.position, w.end) {
			if statement != nil {
				statement.Close()
			}
		}
		return nil
	})
}

// raw executes a prepared statement of the driver's.
func (w *sqliteWire) raw(statement driver.Stmt, args []driver.NamedValue) error {
	return w.conn.Raw(func(any) error {
		_, err := statement.(driver.StmtExecContext).ExecContext(context.Background(), args)
		return err
	})
}

// begin takes the lock in any case: SQLite has one writer.
func (w *sqliteWire) begin(context.Context, bool) (head int64, err error) {
	if err := w.raw(w.start, nil); err != nil {
		return 0, err
	}
	err = w.conn.Raw(func(any) error {
		rows, err := w.position.(driver.StmtQueryContext).QueryContext(context.Background(), nil)
		if err != nil {
			return err
		}
		value := make([]driver.Value, 1)
		if err := errors.Join(rows.Next(value), rows.Close()); err != nil {
			return err
		}
		var ok bool
		if head, ok = value[0].(int64); !ok {
			return errors.New("the position of the change feed is no number")
		}
		return nil
	})
	return head, err
}

func (w *sqliteWire) commit(context.Context) error { return w.raw(w.end, nil) }

// insertAt has nothing to offer: a transaction costs no round trips.
func (w *sqliteWire) insertAt(context.Context, []linked, int64) (done bool, err error) {
	return false, nil
}

// insert inserts rows with as few statements as possible.
func (w *sqliteWire) insert(_ context.Context, rows []linked) error {
	for len(rows) > 0 {
		for i, size := range insertSizes {
			if size > len(rows) {
				continue
			}
			for at := range size {
				w.bind(at, &rows[at])
			}
			if err := w.raw(w.inserts[i], w.args[:auditColumns*size]); err != nil {
				return err
			}
			rows = rows[size:]
			break
		}
	}
	return nil
}

func (w *sqliteWire) bind(index int, row *linked) {
	args := w.args[auditColumns*index:]
	args[0].Value = row.ID
	args[1].Value = row.At
	args[2].Value = row.Kind
	args[3].Value = row.TenantID
	args[4].Value = row.ClientID
	args[5].Value = row.Code
	args[6].Value = row.Detail
	args[7].Value = row.hash[:]
}
