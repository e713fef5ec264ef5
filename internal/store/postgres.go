package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// connectPostgres opens the pools and brings the schema up to date.
func (db *DB) connectPostgres(ctx context.Context) error {
	cfg, err := parseDSN(db.cfg.DSN)
	if err != nil {
		return err
	}
	db.writers = db.postgresPool(cfg, 2)
	db.readers = db.postgresPool(cfg, db.cfg.Readers)
	db.polling = db.postgresPool(cfg, 1)
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	conn, err := db.writers.Conn(ctx)
	if err != nil {
		return fmt.Errorf("store: cannot use the database %s: %w", db.Name(), err)
	}
	defer conn.Close()
	if err := migrate(ctx, conn, postgresSchema); err != nil {
		return fmt.Errorf("store: cannot use the database %s: %w", db.Name(), err)
	}
	return nil
}

// CheckDSN reports what is wrong with a data source name. The text holds no
// password.
func CheckDSN(dsn string) error {
	_, err := parseDSN(dsn)
	return err
}

func parseDSN(dsn string) (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		// The library's text repeats the whole name.
		return nil, errors.New("the data source name of PostgreSQL cannot be read; write it as postgres://user@host:5432/database?sslmode=verify-full")
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = decisionTime
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "cambio"
	}
	// Of several hosts the one that takes writes: what a server that follows
	// it answers may be old.
	if cfg.ValidateConnect == nil {
		cfg.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	return cfg, nil
}

// postgresName names a database without its password.
func postgresName(dsn string) string {
	cfg, err := parseDSN(dsn)
	if err != nil {
		return "PostgreSQL"
	}
	hosts := []string{cfg.Host}
	for _, f := range cfg.Fallbacks {
		if f.Host != hosts[len(hosts)-1] {
			hosts = append(hosts, f.Host)
		}
	}
	return cfg.Database + " at " + strings.Join(hosts, ", ")
}

// Keys of what is remembered of a connection.
const (
	epochOf      = "cambio epoch"        // int64, of the feed when it was opened
	unreplicated = "cambio unreplicated" // *atomic.Bool: a commit was not waited for
)

// postgresPool makes a pool. A connection of an earlier epoch is not used
// again: it may lead to a server that another one took over from.
func (db *DB) postgresPool(base *pgx.ConnConfig, size int) *sql.DB {
	cfg := base.Copy()
	cfg.OnNotice = noteNotice
	connector := stdlib.GetConnector(*cfg,
		stdlib.OptionAfterConnect(db.admit),
		stdlib.OptionResetSession(func(_ context.Context, conn *pgx.Conn) error {
			if conn.PgConn().CustomData()[epochOf] != db.feed.epoch.Load() {
				return driver.ErrBadConn
			}
			return nil
		}))
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	return pool
}

// noteNotice remembers the one warning that matters: a commit ended without
// waiting for the standby, since somebody cancelled the wait. It counts as
// failed (https://www.postgresql.org/docs/current/warm-standby.html).
func noteNotice(conn *pgconn.PgConn, notice *pgconn.Notice) {
	if flag, ok := conn.CustomData()[unreplicated].(*atomic.Bool); ok && notice.Code == "01000" {
		flag.Store(true)
	}
}

// admit looks at a new connection: a database that loses acknowledged writes
// breaks every promise about revocation and audit.
func (db *DB) admit(ctx context.Context, conn *pgx.Conn) error {
	data := conn.PgConn().CustomData()
	data[epochOf], data[unreplicated] = db.feed.epoch.Load(), new(atomic.Bool)
	if db.cfg.AcceptLostWrites {
		return nil
	}
	return db.checkSettings(ctx, conn)
}

// lookAtSettings looks again at what admit looked at: settings can be changed
// while connections last. While they are refused nothing is recorded, and so
// nothing is issued.
func (db *DB) lookAtSettings(ctx context.Context) {
	if db.cfg.AcceptLostWrites {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, decisionTime)
	defer cancel()
	conn, err := db.polling.Conn(ctx)
	if err != nil {
		return // what is out of reach records nothing either
	}
	defer conn.Close()
	err = conn.Raw(func(driverConn any) error { return db.checkSettings(ctx, driverConn.(*stdlib.Conn).Conn()) })
	before := db.unfit.Load()
	switch {
	case errors.As(err, new(*settingError)):
		if db.unfit.Store(&err); before == nil {
			db.cfg.Logger.Error("the database may lose what it acknowledges: nothing is issued or written until that is mended", "error", err)
		}
	case err == nil && before != nil:
		db.unfit.Store(nil)
		db.cfg.Logger.Info("the database keeps what it acknowledges again")
	}
}

// startOfServer is when the server that q leads to was started; empty if it does
// not say.
func startOfServer(ctx context.Context, q querier) (at string) {
	if err := q.QueryRowContext(ctx, "SELECT CAST(pg_postmaster_start_time() AS TEXT)").Scan(&at); err != nil {
		return ""
	}
	return at
}

// began reports whether q leads to the server that this process began to read
// from, which has not been started again since.
func (db *DB) began(ctx context.Context, q querier) bool {
	return db.serverStart != "" && startOfServer(ctx, q) == db.serverStart
}

// settingError says which setting of a database is refused, and why.
type settingError struct{ text string }

func (e *settingError) Error() string { return e.text }

func (db *DB) checkSettings(ctx context.Context, conn *pgx.Conn) error {
	for _, s := range []struct{ setting, refused, loss string }{
		{"synchronous_commit", "off", "a crash of the server loses the last writes"},
		{"fsync", "off", "a power failure destroys the database"},
		{"full_page_writes", "off", "a power failure can destroy the database"},
	} {
		var value string
		err := conn.QueryRow(ctx, "SELECT coalesce(current_setting($1, true), '')", s.setting).Scan(&value)
		if err != nil {
			return err
		}
		if value == s.refused {
			return &settingError{fmt.Sprintf("its setting %s is %s, so that %s; set it to on, or accept that with database.accept_lost_writes", s.setting, value, s.loss)}
		}
	}
	return db.checkReplication(ctx, conn)
}

// checkReplication refuses a level of synchronous_commit that does not wait
// for the standby that the server is told to wait for, and a server that is
// told to wait for none if there must be one.
func (db *DB) checkReplication(ctx context.Context, conn *pgx.Conn) error {
	var level, standbys string
	err := conn.QueryRow(ctx, "SELECT current_setting('synchronous_commit'), coalesce(current_setting('synchronous_standby_names', true), '')").Scan(&level, &standbys)
	if err != nil {
		return err
	}
	switch waits := standbys != ""; {
	case waits && (level == "local" || level == "remote_write"):
		return &settingError{fmt.Sprintf("its setting synchronous_commit is %s, so that a failover to a standby (%s) loses the last writes; set it to on, or accept that with database.accept_lost_writes", level, standbys)}
	case !waits && db.cfg.RequireStandby:
		return &settingError{"its setting synchronous_standby_names is empty, so that a failover loses the last writes, and database.require_standby is on; set it, or turn that off"}
	default:
		db.replicated.Store(waits)
		db.warnOfFollowers(ctx, conn, waits)
	}
	return nil
}

// warnOfFollowers logs, when it begins to be so, that the server is copied
// without waiting for a copy. There are good reasons for such copies, as
// reports and backups; a failover is none.
func (db *DB) warnOfFollowers(ctx context.Context, conn *pgx.Conn, waits bool) {
	var followers int
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_stat_replication").Scan(&followers); err != nil {
		return // an engine of another kind, which has no such view
	}
	unwaited := followers > 0 && !waits
	if !db.unwaited.Swap(unwaited) && unwaited {
		db.cfg.Logger.Warn("the database is replicated and waits for no standby (synchronous_standby_names is empty): a failover would lose what was acknowledged last, deletions too")
	}
}

// postgresLosesTransaction reports whether the connection or the transaction
// is gone because of err. After any other error the transaction goes on from
// its last savepoint.
func postgresLosesTransaction(err error) bool {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return true
	}
	switch e.Code[:2] {
	case "08", "25", "40", "53", "57", "58", "XX": // connection, transaction state, rollback, resources, intervention, system
		return true
	}
	return false
}

// postgresWire writes through database/sql: the driver keeps what it prepares.
type postgresWire struct{ conn *sql.Conn }

// begin bounds, on the server, how long this replica can keep others waiting:
// one that is frozen within a transaction loses it.
func (w postgresWire) begin(ctx context.Context, lock bool) (head int64, err error) {
	const start = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = '5s'; SET LOCAL lock_timeout = '20s'"
	if _, err := w.conn.ExecContext(ctx, start); err != nil {
		return 0, err
	}
	query := feedPosition
	if lock {
		query += " FOR UPDATE"
	}
	err = w.conn.QueryRowContext(ctx, query).Scan(&head)
	return head, err
}

func (w postgresWire) commit(ctx context.Context) error {
	_, err := w.conn.ExecContext(ctx, "COMMIT")
	return errors.Join(err, w.replicated())
}

var errUnreplicated = errors.New("the commit did not wait for the standby; it may be lost in a failover")

// replicated reports, once, that a commit was not waited for.
func (w postgresWire) replicated() error {
	return w.conn.Raw(func(driverConn any) error {
		conn := driverConn.(*stdlib.Conn).Conn().PgConn()
		if flag, ok := conn.CustomData()[unreplicated].(*atomic.Bool); ok && flag.Load() {
			return errUnreplicated
		}
		return nil
	})
}

const (
	insertRows = "INSERT INTO audit (id, at, kind, tenant_id, client_id, code, detail, hash)" +
		" SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::bytea[])"
	insertRowsAt = insertRows + " WHERE (SELECT seq FROM change_head) = $9"
)

func (w postgresWire) insert(ctx context.Context, rows []linked) error {
	if len(rows) == 0 {
		return nil
	}
	_, err := w.conn.ExecContext(ctx, insertRows, columns(rows)...)
	return err
}

// insertAt is one statement and so one transaction: its snapshot is taken when
// it begins, and includes every write that had returned by then.
func (w postgresWire) insertAt(ctx context.Context, rows []linked, position int64) (done bool, err error) {
	result, err := w.conn.ExecContext(ctx, insertRowsAt, append(columns(rows), position)...)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n == int64(len(rows)), errors.Join(err, w.replicated())
}

// columns are the parameters of insertRows.
func columns(rows []linked) []any {
	n := len(rows)
	ids, at, codes := make([]int64, n), make([]int64, n), make([]int64, n)
	kinds, tenants, clients, details := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	hashes := make([][]byte, n)
	for i := range rows {
		r := &rows[i]
		ids[i], at[i], codes[i] = r.ID, r.At, r.Code
		kinds[i], tenants[i], clients[i], details[i] = r.Kind, r.TenantID, r.ClientID, string(r.Detail)
		hashes[i] = r.hash[:]
	}
	return []any{ids, at, kinds, tenants, clients, codes, details, hashes}
}

// isLocked reports whether a table could not be had in time.
func isLocked(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code == "55P03" || e.Code == "40P01") // lock_not_available, deadlock_detected
}

// isDuplicate reports whether something was made by somebody else meanwhile.
func isDuplicate(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code == "42P07" || e.Code == "23505") // duplicate_table, unique_violation
}
