package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema to the newest version, each migration in its own
// transaction. Versions are the numbers that the file names start with and
// are kept in PRAGMA user_version. There is no way back: a database written
// by a newer program is refused.
func migrate(ctx context.Context, conn *sql.Conn) error {
	names, err := fs.Glob(migrations, "migrations/*.sql") // sorted
	if err != nil {
		return err
	}
	have, err := schemaVersion(ctx, conn, len(names))
	if err != nil {
		return err
	}
	for i, name := range names[have:] {
		version := have + i + 1
		number, _, _ := strings.Cut(strings.TrimPrefix(name, "migrations/"), "_")
		if n, err := strconv.Atoi(number); err != nil || n != version {
			return fmt.Errorf("migration %s should have number %d", name, version)
		}
		if err := apply(ctx, conn, name, version); err != nil {
			return fmt.Errorf("migration %s: %w", name, err)
		}
	}
	return nil
}

// schemaVersion reads the version of a database, 0 for a new one, and refuses
// one that is newer than newest.
func schemaVersion(ctx context.Context, conn *sql.Conn, newest int) (int, error) {
	var have int
	if err := conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return 0, fmt.Errorf("cannot read the schema version: %w", err)
	}
	if have > newest {
		return have, fmt.Errorf("its schema version is %d but this program knows only up to %d; use the newer program that wrote it", have, newest)
	}
	return have, nil
}

func apply(ctx context.Context, conn *sql.Conn, name string, version int) error {
	text, err := migrations.ReadFile(name)
	if err != nil {
		return err
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	// Another process may have migrated while this one waited for the lock.
	var have int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil || have >= version {
		return err
	}
	if _, err := tx.ExecContext(ctx, string(text)); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "PRAGMA user_version = "+strconv.Itoa(version)); err != nil {
		return err
	}
	return tx.Commit()
}
