package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// transferred are the tables that Transfer copies, each after those that it
// refers to. Who does what for all replicas is not taken along, nor is the
// list of migrations, which each database has of its own.
var transferred = []string{
	"meta", "tenants", "tenant_domains", "applications", "identifier_uris", "service_principals", "resource_groups", "managed_identities",
	"credentials", "issuers", "issuer_sets", "issuer_keys", "assignments", "owners", "retired_ids", "deleted_items", "deleted_assignments", "signing_keys", "bootstrap_tokens",
	"change_feed", "change_head", "audit_chains", "audit", "audit_checkpoints",
}

// Transfer copies everything in an SQLite database to an empty one of
// PostgreSQL, in one transaction: afterwards all of it is there, or nothing.
// No server may use either meanwhile. progress is called with each table and
// its number of rows when they are copied; it may be nil. The SQLite database
// is not changed, but for its schema, which is brought up to date.
func Transfer(ctx context.Context, from string, to Config, progress func(table string, rows int64)) error {
	lock, err := LockServer(from)
	if err != nil {
		return err
	}
	defer lock.Close()
	source, err := Open(Config{Path: from, Logger: to.Logger})
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := Open(to)
	if err != nil {
		return err
	}
	defer target.Close()
	if progress == nil {
		progress = func(string, int64) {}
	}
	if err := source.transfer(ctx, target, progress); err != nil {
		return fmt.Errorf("nothing was copied to %s: %w", target.Name(), err)
	}
	return target.Write(ctx, Change{Via: "migrate", Action: "database.migrate", Target: from}, func(*Tx) error { return nil })
}

func (db *DB) transfer(ctx context.Context, target *DB, progress func(string, int64)) error {
	conn, err := target.readers.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	from, err := db.readers.BeginTx(ctx, db.readOnly())
	if err != nil {
		return err
	}
	defer from.Rollback()
	return conn.Raw(func(driverConn any) error {
		to, err := driverConn.(*stdlib.Conn).Conn().Begin(ctx)
		if err != nil {
			return err
		}
		defer to.Rollback(context.WithoutCancel(ctx))
		if err := emptyTarget(ctx, to); err != nil {
			return err
		}
		for _, table := range transferred {
			rows, err := copyTable(ctx, from, to, table)
			if err != nil {
				return fmt.Errorf("table %s: %w", table, err)
			}
			progress(table, rows)
		}
		return to.Commit(ctx)
	})
}

// emptyTarget refuses a database that somebody uses, and keeps everybody else
// from writing to it.
func emptyTarget(ctx context.Context, to pgx.Tx) error {
	var used bool
	err := to.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM tenants) OR EXISTS (SELECT 1 FROM audit) OR EXISTS (SELECT 1 FROM signing_keys)").Scan(&used)
	if err == nil && used {
		err = errors.New("it is not empty; name another database or schema, or empty this one")
	}
	if err == nil {
		_, err = to.Exec(ctx, "DELETE FROM change_head")
	}
	return err
}

// copyTable copies the rows of a table and checks that all have arrived.
func copyTable(ctx context.Context, from *sql.Tx, to pgx.Tx, table string) (int64, error) {
	columns, booleans, err := columnsOf(ctx, to, table)
	if err != nil {
		return 0, err
	}
	rows, err := from.QueryContext(ctx, "SELECT "+strings.Join(columns, ", ")+" FROM "+table)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var there int64
	if err := from.QueryRowContext(ctx, "SELECT count(*) FROM "+table).Scan(&there); err != nil {
		return 0, err
	}
	copied, err := to.CopyFrom(ctx, pgx.Identifier{table}, columns, &rowSource{rows: rows, values: make([]any, len(columns)), booleans: booleans})
	if err == nil && copied != there {
		err = fmt.Errorf("%d of %d rows were copied", copied, there)
	}
	return copied, err
}

func columnsOf(ctx context.Context, to pgx.Tx, table string) (names []string, booleans []bool, err error) {
	rows, err := to.Query(ctx, "SELECT column_name, data_type = 'boolean' FROM information_schema.columns"+
		" WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position", table)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var boolean bool
		if err := rows.Scan(&name, &boolean); err != nil {
			return nil, nil, err
		}
		names, booleans = append(names, name), append(booleans, boolean)
	}
	return names, booleans, rows.Err()
}

// rowSource gives the rows of SQLite to a COPY (pgx.CopyFromSource). SQLite
// keeps a boolean as 0 or 1.
type rowSource struct {
	rows     *sql.Rows
	values   []any
	booleans []bool
}

func (s *rowSource) Next() bool { return s.rows.Next() }

func (s *rowSource) Err() error { return s.rows.Err() }

func (s *rowSource) Values() ([]any, error) {
	into := make([]any, len(s.values))
	for i := range s.values {
		into[i] = &s.values[i]
	}
	if err := s.rows.Scan(into...); err != nil {
		return nil, err
	}
	for i, boolean := range s.booleans {
		if boolean {
			s.values[i] = s.values[i] == int64(1)
		}
	}
	return s.values, nil
}
