package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"time"

	"cambio/internal/audit"
	"cambio/internal/directory"
)

// session is one connection that writes, with the chain that its audit rows
// form. It belongs to one writer. After an error it is given up for good:
// nobody knows what state the connection is in, and a new session works again
// as soon as the database does. Its chain ends with it, so that what became of
// a commit without an answer changes nothing for the next one.
type session struct {
	db    *DB
	conn  *sql.Conn
	known *statements // of management writes
	wire  wire
	chain chain
	rows  []linked // of one insert, reused
}

// wire is how the statements that every batch needs reach the database.
type wire interface {
	// begin begins a transaction and returns the position of the change feed.
	// With lock no other session changes it until the commit.
	begin(ctx context.Context, lock bool) (head int64, err error)
	insert(ctx context.Context, rows []linked) error
	commit(ctx context.Context) error
	// insertAt inserts rows in a transaction of their own if the change feed
	// stands at the position. It may always answer false: begin, insert and
	// commit do the same.
	insertAt(ctx context.Context, rows []linked, position int64) (done bool, err error)
}

// linked is an audit row with its link of the chain.
type linked struct {
	*audit.Row
	hash audit.Hash
}

// chain is where a session's audit rows have come to.
type chain struct {
	id, n  int64
	hash   audit.Hash
	buffer []byte
}

// link numbers a row and links it to the one before.
func (c *chain) link(row *audit.Row) linked {
	c.n++
	row.ID = audit.RowID(c.id, c.n)
	c.hash, c.buffer = row.Link(c.hash, c.buffer)
	return linked{row, c.hash}
}

func openSession(ctx context.Context, db *DB) (*session, error) {
	conn, err := db.writers.Conn(ctx)
	if err != nil {
		return nil, err
	}
	s := &session{db: db, conn: conn, known: newStatements(conn, db.postgres())}
	if s.wire, err = db.newWire(conn); err == nil {
		err = s.startChain(ctx)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// startChain begins a new chain of audit rows. It waits for no lock: other
// sessions that begin at the same moment may be quicker, a few times.
func (s *session) startChain(ctx context.Context) (err error) {
	var seed audit.Hash
	_, _ = rand.Read(seed[:]) // never fails (crypto/rand)
	for range 10 {
		var last int64
		if err := s.known.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) FROM audit_chains").Scan(&last); err != nil {
			return err
		}
		s.chain = chain{id: last + 1, hash: seed}
		err = s.exec(ctx, "INSERT INTO audit_chains (id, replica, started_at, seed, first_id, anchor) VALUES (?, ?, ?, ?, ?, ?)",
			s.chain.id, s.db.cfg.Replica, s.db.cfg.Clock().UnixMicro(), seed[:], audit.RowID(s.chain.id, 1), seed[:])
		if err == nil || s.db.losesTransaction(err) {
			return err
		}
	}
	return err
}

// close gives the connection up.
func (s *session) close() {
	s.known.close()
	if w, ok := s.wire.(*sqliteWire); ok {
		w.close()
	}
	_ = s.conn.Raw(func(any) error { return driver.ErrBadConn }) // makes database/sql close the connection
	s.conn.Close()
}

// insertDecisions appends the rows of decisions, many at a time.
func (s *session) insertDecisions(ctx context.Context, decisions []*job) error {
	for len(decisions) > 0 {
		n := min(len(decisions), mostRows)
		if err := s.wire.insert(ctx, s.linkDecisions(decisions[:n])); err != nil {
			return err
		}
		decisions = decisions[n:]
	}
	return nil
}

// mostRows is how many audit rows one insert takes.
const mostRows = 256

func (s *session) linkDecisions(decisions []*job) []linked {
	s.rows = s.rows[:0]
	for _, j := range decisions {
		s.rows = append(s.rows, s.chain.link(&j.row))
	}
	return s.rows
}

// insertDecisionsAt appends the rows of decisions in a transaction of their
// own if the change feed stands at the position.
func (s *session) insertDecisionsAt(ctx context.Context, decisions []*job, position int64) (done bool, err error) {
	before := s.chain
	done, err = s.wire.insertAt(ctx, s.linkDecisions(decisions), position)
	if !done {
		buffer := s.chain.buffer
		s.chain = before
		s.chain.buffer = buffer
	}
	return done, err
}

// runJob runs one management write within its own savepoint. fatal means that
// the transaction of the whole batch is lost; err that this job alone was
// rolled back.
func (s *session) runJob(ctx context.Context, j *job) (touched []touch, err, fatal error) {
	if fatal := s.exec(ctx, "SAVEPOINT job"); fatal != nil {
		return nil, nil, fatal
	}
	now := s.db.cfg.Clock().UTC().Truncate(time.Microsecond)
	tx := &Tx{ctx: ctx, db: s.db, statements: s.known, now: now, target: j.change.Target}
	tx.reads = reads{txQuerier{tx}}
	err = call(j, tx)
	if tx.fatal != nil {
		return nil, nil, tx.fatal
	}
	if err != nil {
		if fatal := s.exec(ctx, "ROLLBACK TO SAVEPOINT job"); fatal != nil {
			return nil, nil, fatal
		}
		return nil, err, s.exec(ctx, "RELEASE SAVEPOINT job")
	}
	if touched, fatal = s.appendFeed(ctx, tx.keys, now); fatal != nil {
		return nil, nil, fatal
	}
	if !j.unrecorded {
		if fatal = s.recordChange(ctx, j.change, tx.target, tx.details, now); fatal != nil {
			return nil, nil, fatal
		}
	}
	return touched, nil, s.exec(ctx, "RELEASE SAVEPOINT job")
}

func (s *session) exec(ctx context.Context, query string, args ...any) error {
	_, err := s.known.exec(ctx, query, args...)
	return err
}

// appendFeed adds the changes of a write to the change feed and counts its
// position up.
func (s *session) appendFeed(ctx context.Context, keys []directory.Key, now time.Time) ([]touch, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	var seq int64
	if err := s.known.QueryRowContext(ctx, feedPosition).Scan(&seq); err != nil {
		return nil, err
	}
	touched := make([]touch, 0, len(keys))
	for _, key := range keys {
		seq++
		err := s.exec(ctx, "INSERT INTO change_feed (seq, key, at) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET seq = excluded.seq, at = excluded.at",
			seq, key.String(), now.UnixMicro())
		if err != nil {
			return nil, err
		}
		touched = append(touched, touch{key: key, seq: seq})
	}
	return touched, s.exec(ctx, "UPDATE change_head SET seq = ? WHERE id = 1", seq)
}

// recordChange inserts the row of a write, and a row for each detail of it,
// many at a time.
func (s *session) recordChange(ctx context.Context, change Change, target string, details []detail, now time.Time) error {
	change.Target = target
	s.rows = append(s.rows[:0], s.linkChange(change, now))
	for _, d := range details {
		if len(s.rows) == mostRows {
			if err := s.wire.insert(ctx, s.rows); err != nil {
				return err
			}
			s.rows = s.rows[:0]
		}
		change.Action, change.Target = d.action, d.target
		s.rows = append(s.rows, s.linkChange(change, now))
	}
	return s.wire.insert(ctx, s.rows)
}

func (s *session) linkChange(change Change, now time.Time) linked {
	if change.At.IsZero() {
		change.At = now
	}
	return s.chain.link(&audit.Row{
		At:       change.At.UnixMicro(),
		Kind:     audit.KindChange,
		TenantID: change.TenantID,
		ClientID: change.ClientID,
		Detail:   change.AppendJSON(nil),
	})
}
