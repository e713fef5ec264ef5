package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"time"

	"cambio/internal/audit"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// auditColumns is the number of parameters of one audit row.
const auditColumns = 6

// insertSizes are the numbers of audit rows that one prepared INSERT takes,
// largest first. Many rows in one statement cost a third less than one each.
var insertSizes = [...]int{64, 8, 1}

// session is the writer's connection with the statements that every batch
// needs, prepared once. The statements of the hot path are the driver's own:
// database/sql would add about as much again as the INSERT costs.
type session struct {
	db      *DB
	conn    *sql.Conn
	known   *statements // of management writes
	start   driver.Stmt
	end     driver.Stmt
	inserts [len(insertSizes)]driver.Stmt
	args    []driver.NamedValue // of one INSERT, reused
	change  []byte              // detail of a management write, reused
}

func openSession(db *DB) (*session, error) {
	conn, err := db.writers.Conn(context.Background())
	if err != nil {
		return nil, err
	}
	s := &session{db: db, conn: conn, known: newStatements(conn), args: make([]driver.NamedValue, auditColumns*insertSizes[0])}
	for i := range s.args {
		s.args[i].Ordinal = i + 1
	}
	if err := conn.Raw(s.prepare); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *session) prepare(driverConn any) error {
	conn, ok := driverConn.(driver.Conn)
	if !ok {
		return errors.New("not a driver connection")
	}
	var err error
	if s.start, err = conn.Prepare("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if s.end, err = conn.Prepare("COMMIT"); err != nil {
		return err
	}
	for i, rows := range insertSizes {
		const row = "(?,?,?,?,?,CAST(? AS TEXT)),"
		text := "INSERT INTO audit (at, kind, tenant_id, client_id, code, detail) VALUES " + strings.Repeat(row, rows)
		if s.inserts[i], err = conn.Prepare(strings.TrimSuffix(text, ",")); err != nil {
			return err
		}
	}
	return nil
}

// close gives the connection up for good: after an error nobody knows what
// state it is in, and a new one works again as soon as the disk does.
func (s *session) close() {
	s.known.close()
	_ = s.conn.Raw(func(any) error {
		for _, statement := range append(s.inserts[:], s.start, s.end) {
			if statement != nil {
				statement.Close()
			}
		}
		return driver.ErrBadConn // makes database/sql close the connection
	})
	s.conn.Close()
}

// raw executes a prepared statement of the driver's.
func (s *session) raw(statement driver.Stmt, args []driver.NamedValue) error {
	return s.conn.Raw(func(any) error {
		_, err := statement.(driver.StmtExecContext).ExecContext(context.Background(), args)
		return err
	})
}

func (s *session) begin() error { return s.raw(s.start, nil) }

func (s *session) commit() error { return s.raw(s.end, nil) }

// recordDecisions inserts the rows of the decision records in the batch.
func (s *session) recordDecisions(batch []*job) error {
	for len(batch) > 0 {
		rows := 0
		for len(batch) > 0 && rows < insertSizes[0] {
			if batch[0].fn == nil {
				s.bind(rows, &batch[0].row)
				rows++
			}
			batch = batch[1:]
		}
		if err := s.insert(rows); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) bind(index int, row *auditRow) {
	args := s.args[auditColumns*index:]
	args[0].Value = row.at
	args[1].Value = row.kind
	args[2].Value = row.tenantID
	args[3].Value = row.client
	args[4].Value = row.code
	args[5].Value = row.detail
}

// insert inserts the first rows rows of s.args with as few statements as
// possible.
func (s *session) insert(rows int) error {
	for from := 0; from < rows; {
		for i, size := range insertSizes {
			if size > rows-from {
				continue
			}
			args := s.args[auditColumns*from : auditColumns*(from+size)]
			if err := s.raw(s.inserts[i], renumber(args)); err != nil {
				return err
			}
			from += size
			break
		}
	}
	return nil
}

// renumber makes the ordinals of args count from 1.
func renumber(args []driver.NamedValue) []driver.NamedValue {
	for i := range args {
		args[i].Ordinal = i + 1
	}
	return args
}

// runJob runs one management write within its own savepoint. fatal means that
// the transaction of the whole batch is lost; err that this job alone was
// rolled back.
func (s *session) runJob(j *job) (touched []touch, err, fatal error) {
	if fatal := s.exec("SAVEPOINT job"); fatal != nil {
		return nil, nil, fatal
	}
	now := s.db.cfg.Clock().UTC().Truncate(time.Microsecond)
	tx := &Tx{statements: s.known, now: now, target: j.change.Target}
	tx.reads = reads{txQuerier{tx}}
	err = call(j, tx)
	if tx.fatal != nil {
		return nil, nil, tx.fatal
	}
	if err != nil {
		if fatal := s.exec("ROLLBACK TO job"); fatal != nil {
			return nil, nil, fatal
		}
		return nil, err, s.exec("RELEASE job")
	}
	if touched, fatal = s.appendFeed(tx, now); fatal != nil {
		return nil, nil, fatal
	}
	if fatal = s.recordChange(j.change, tx.target, now); fatal != nil {
		return nil, nil, fatal
	}
	if fatal = s.recordDetails(j.change, tx.details, now); fatal != nil {
		return nil, nil, fatal
	}
	return touched, nil, s.exec("RELEASE job")
}

func (s *session) exec(query string) error {
	statement, err := s.known.get(query)
	if err == nil {
		_, err = statement.ExecContext(context.Background())
	}
	return err
}

func (s *session) appendFeed(tx *Tx, now time.Time) ([]touch, error) {
	touched := make([]touch, 0, len(tx.keys))
	for _, key := range tx.keys {
		if _, err := tx.exec("INSERT OR REPLACE INTO change_feed (key, at) VALUES (?, ?)", key.String(), now.UnixMicro()); err != nil {
			return nil, err
		}
		seq, err := tx.FeedPosition(context.Background())
		if err != nil {
			return nil, err
		}
		touched = append(touched, touch{key: key, seq: seq})
	}
	return touched, nil
}

func (s *session) recordChange(change Change, target string, now time.Time) error {
	change.Target = target
	s.change = s.bindChange(0, change, now, s.change[:0])
	return s.insert(1)
}

// recordDetails inserts the rows of what else a write did, many at a time.
func (s *session) recordDetails(change Change, details []detail, now time.Time) error {
	for len(details) > 0 {
		rows := min(len(details), insertSizes[0])
		for i, d := range details[:rows] {
			change.Action, change.Target = d.action, d.target
			s.bindChange(i, change, now, nil)
		}
		if err := s.insert(rows); err != nil {
			return err
		}
		details = details[rows:]
	}
	return nil
}

// bindChange makes a row of a change, whose JSON is appended to dst.
func (s *session) bindChange(index int, change Change, now time.Time, dst []byte) []byte {
	if change.At.IsZero() {
		change.At = now
	}
	dst = change.AppendJSON(dst)
	s.bind(index, &auditRow{
		at:       change.At.UnixMicro(),
		kind:     audit.KindChange,
		tenantID: change.TenantID,
		client:   change.ClientID,
		detail:   dst,
	})
	return dst
}

// losesTransaction reports whether SQLite may have rolled back the whole
// transaction because of err, not just the statement
// (https://www.sqlite.org/lang_transaction.html §3).
func losesTransaction(err error) bool {
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
