package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"
)

//go:embed migrations
var migrations embed.FS

// schema is where the migrations of a kind of database are, and how it says
// which of them it has.
type schema struct {
	files    fs.FS // with a folder of *.sql; a version is the number that a name starts with
	folder   string
	postgres bool
}

var (
	sqliteSchema   = schema{files: migrations, folder: "migrations/sqlite"}
	postgresSchema = schema{files: migrations, folder: "migrations/postgres", postgres: true}
)

// migration is one step of the schema.
type migration struct {
	version int
	// oldest is the oldest version whose programs may go on with a database
	// of this one: replicas are replaced one after the other. It stands in the
	// first line of a file, "-- oldest: 7"; without it only programs of this
	// version may.
	oldest int
	text   string
}

// list reads the migrations in their order.
func (s schema) list() ([]migration, error) {
	names, err := fs.Glob(s.files, s.folder+"/*.sql") // sorted
	if err != nil {
		return nil, err
	}
	var list []migration
	for _, name := range names {
		number, _, _ := strings.Cut(path.Base(name), "_")
		version, err := strconv.Atoi(number)
		if err != nil || len(list) > 0 && version != list[len(list)-1].version+1 {
			return nil, fmt.Errorf("migration %s has a number out of order", name)
		}
		text, err := fs.ReadFile(s.files, name)
		if err != nil {
			return nil, err
		}
		m := migration{version: version, oldest: version, text: string(text)}
		if rest, ok := strings.CutPrefix(m.text, "-- oldest: "); ok {
			first, _, _ := strings.Cut(rest, "\n")
			if m.oldest, err = strconv.Atoi(first); err != nil {
				return nil, fmt.Errorf("migration %s: %w", name, err)
			}
		}
		list = append(list, m)
	}
	return list, nil
}

// newest is the version of the schema that this program writes.
func (s schema) newest() (int, error) {
	list, err := s.list()
	if err != nil {
		return 0, err
	}
	return list[len(list)-1].version, nil
}

// migrate brings the schema to the newest version, each migration in its own
// transaction. There is no way back: a database written by a newer program is
// refused, unless its migrations let this one go on.
func migrate(ctx context.Context, conn *sql.Conn, s schema) error {
	list, err := s.list()
	if err != nil {
		return err
	}
	have, err := s.version(ctx, conn, list[len(list)-1].version)
	if err != nil {
		return err
	}
	for _, m := range list {
		if m.version <= have {
			continue
		}
		err := s.apply(ctx, conn, m)
		for s.postgres && isLocked(err) && ctx.Err() == nil {
			time.Sleep(lockPause)
			err = s.apply(ctx, conn, m)
		}
		if err != nil {
			return fmt.Errorf("migration to schema version %d: %w", m.version, err)
		}
	}
	return nil
}

// lockPause is how long servers go on before a migration tries again.
const lockPause = 200 * time.Millisecond

// version reads the version of a database, 0 for a new one, and refuses one
// that is newer than newest and does not let older programs go on.
func (s schema) version(ctx context.Context, conn querier, newest int) (int, error) {
	have, err := s.read(ctx, conn)
	if err != nil {
		return 0, fmt.Errorf("cannot read the schema version: %w", err)
	}
	if have <= newest {
		return have, nil
	}
	oldest := have
	if have > chainsSince {
		err := conn.QueryRowContext(ctx, fmt.Sprintf("SELECT coalesce(max(oldest), %d) FROM schema_versions WHERE version > %d", have, newest)).Scan(&oldest)
		if err != nil {
			return have, fmt.Errorf("cannot read which programs its schema is for: %w", err)
		}
	}
	if oldest > newest {
		return have, fmt.Errorf("its schema version is %d but this program knows only up to %d; use the newer program that wrote it", have, newest)
	}
	return have, nil
}

// chainsSince is the version from which on the table schema_versions exists.
const chainsSince = 7

func (s schema) read(ctx context.Context, conn querier) (have int, err error) {
	if !s.postgres {
		return have, conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have)
	}
	var exists bool
	err = conn.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = 'schema_versions')").Scan(&exists)
	if err != nil || !exists {
		return 0, err
	}
	return have, conn.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) FROM schema_versions").Scan(&have)
}

func (s schema) apply(ctx context.Context, conn *sql.Conn, m migration) error {
	if s.postgres {
		// The table that all wait on who want to migrate at the same time.
		_, err := conn.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS schema_versions (version BIGINT PRIMARY KEY, oldest BIGINT NOT NULL)")
		if err != nil && !isDuplicate(err) {
			return err
		}
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if s.postgres {
		if _, err := tx.ExecContext(ctx, "LOCK TABLE schema_versions IN EXCLUSIVE MODE"); err != nil {
			return err
		}
	}
	// Another process may have migrated while this one waited for the lock.
	have, err := s.read(ctx, tx)
	if err != nil || have >= m.version {
		return err
	}
	if s.postgres {
		// A migration takes tables in another order than the requests of
		// servers that run. PostgreSQL ends a deadlock after a second, at the
		// cost of either; this ends it earlier, at the cost of the migration.
		if _, err := tx.ExecContext(ctx, "SET LOCAL lock_timeout = '500ms'"); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, m.text); err != nil {
		return err
	}
	if !s.postgres {
		if _, err := tx.ExecContext(ctx, "PRAGMA user_version = "+strconv.Itoa(m.version)); err != nil {
			return err
		}
	}
	if m.version >= chainsSince {
		_, err := tx.ExecContext(ctx, fmt.Sprintf("INSERT INTO schema_versions (version, oldest) VALUES (%d, %d)", m.version, m.oldest))
		if err != nil {
			return err
		}
	}
	return tx.Commit()
}

// Exists reports whether there is a database that was set up before.
func Exists(ctx context.Context, cfg Config) (bool, error) {
	if cfg.DSN == "" {
		_, err := os.Stat(cfg.Path)
		return err == nil, nil // what is wrong with it is for Open to say
	}
	base, err := parseDSN(cfg.DSN)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*decisionTime)
	defer cancel()
	db := &DB{cfg: cfg}
	pool := db.postgresPool(base, 1)
	defer pool.Close()
	have, err := postgresSchema.read(ctx, pool)
	if err != nil {
		return false, fmt.Errorf("store: cannot use the database %s: %w", db.Name(), err)
	}
	return have > 0, nil
}
