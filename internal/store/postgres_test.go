package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"cambio/internal/audit"
	"cambio/internal/store"
	"cambio/internal/store/storetest"
)

func TestPostgres(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *store.DB { return open(t, store.Config{DSN: storetest.EmptyPostgres(t)}) })
}

// TestSchemasAgree: both databases have the same tables and columns.
func TestSchemasAgree(t *testing.T) {
	dsn := storetest.EmptyPostgres(t)
	open(t, store.Config{DSN: dsn})
	path := storetest.Empty(t).Path
	if path == "" {
		path = t.TempDir() + "/cambio.db"
	}
	open(t, store.Config{Path: path})
	ours := columns(t, "sqlite", path, "SELECT m.name || '.' || p.name FROM sqlite_schema m JOIN pragma_table_info(m.name) p"+
		" WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'")
	theirs := columns(t, "pgx", dsn, "SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = current_schema()")
	if !slices.Equal(ours, theirs) {
		t.Errorf("SQLite has\n%s\nPostgreSQL has\n%s", strings.Join(ours, "\n"), strings.Join(theirs, "\n"))
	}
}

func columns(t *testing.T, driver, name, query string) []string {
	t.Helper()
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var c string
		if err := rows.Scan(&c); err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	slices.Sort(list)
	return list
}

// TestPostgresThatLosesWrites is refused, unless that is accepted.
func TestPostgresThatLosesWrites(t *testing.T) {
	dsn := storetest.EmptyPostgres(t) + "&synchronous_commit=off"
	_, err := store.Open(store.Config{DSN: dsn})
	if err == nil || !strings.Contains(err.Error(), "synchronous_commit is off") || !strings.Contains(err.Error(), "accept_lost_writes") {
		t.Errorf("error %v", err)
	}
	open(t, store.Config{DSN: dsn, AcceptLostWrites: true})
}

func TestPostgresThatIsNotThere(t *testing.T) {
	_, err := store.Open(store.Config{DSN: "postgres://cambio:geheim@127.0.0.1:1/cambio?connect_timeout=2"})
	if err == nil || strings.Contains(err.Error(), "geheim") || !strings.Contains(err.Error(), "cambio at 127.0.0.1") {
		t.Errorf("error %v", err)
	}
	if err := store.CheckDSN("postgres://u:geheim@:x"); err == nil || strings.Contains(err.Error(), "geheim") {
		t.Errorf("error %v", err)
	}
}

// TestReplicasWriteInTurn: writes of several processes never overlap, and the
// change feed is in the order of their commits.
func TestReplicasWriteInTurn(t *testing.T) {
	dsn := storetest.EmptyPostgres(t)
	replicas := []*store.DB{open(t, store.Config{DSN: dsn}), open(t, store.Config{DSN: dsn}), open(t, store.Config{DSN: dsn})}
	const each = 60
	done := make(chan error)
	for _, db := range replicas {
		go func() {
			var err error
			for i := 0; i < each && err == nil; i++ {
				err = db.Write(context.Background(), store.Change{}, func(tx *store.Tx) error {
					value, err := tx.Meta(context.Background(), "n")
					if err != nil && !store.IsNotFound(err) {
						return err
					}
					return tx.SetMeta("n", value+".")
				})
			}
			done <- err
		}()
	}
	for range replicas {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if value, err := replicas[0].Meta(t.Context(), "n"); err != nil || len(value) != each*len(replicas) {
		t.Errorf("%d writes of %d counted, %v", len(value), each*len(replicas), err)
	}
}

// TestDecisionsGoOnBesideALongWrite: a write that waits for one of another
// replica holds no decision up.
func TestDecisionsGoOnBesideALongWrite(t *testing.T) {
	dsn := storetest.EmptyPostgres(t)
	one, two := open(t, store.Config{DSN: dsn}), open(t, store.Config{DSN: dsn})
	within, release := make(chan bool), make(chan bool)
	long, waiting := make(chan error, 1), make(chan error, 1)
	go func() {
		long <- one.Write(context.Background(), store.Change{}, func(*store.Tx) error { close(within); <-release; return nil })
	}()
	<-within
	go func() {
		waiting <- two.Write(context.Background(), store.Change{}, func(*store.Tx) error { return nil })
	}()
	for range 20 {
		for _, db := range []*store.DB{one, two} {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			if err := db.RecordDecision(ctx, &audit.Decision{Allowed: true}, nil); err != nil {
				t.Error(err)
			}
			cancel()
		}
	}
	close(release)
	if err := errors.Join(<-long, <-waiting); err != nil {
		t.Error(err)
	}
}

// TestMigrationBesideOlderPrograms: a migration says which older programs may
// go on; their decisions and writes do, and a new process of theirs starts.
func TestMigrationBesideOlderPrograms(t *testing.T) {
	dsn := storetest.EmptyPostgres(t)
	older := open(t, store.Config{DSN: dsn})
	stop, stopped := make(chan bool), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			err := older.RecordDecision(context.Background(), &audit.Decision{Allowed: true}, nil)
			if err == nil {
				err = older.Write(context.Background(), store.Change{}, func(tx *store.Tx) error { return tx.SetMeta("k", "v") })
			}
			if err != nil {
				stopped <- err
				return
			}
		}
	}()
	newest := store.NewestPostgresSchema(t)
	migrate := func(text string) {
		t.Helper()
		newest++
		name := fmt.Sprintf("migrations/postgres/%04d_next.sql", newest)
		if err := store.MigratePostgres(t.Context(), dsn, fstest.MapFS{name: {Data: []byte(text)}}); err != nil {
			t.Fatal(err)
		}
	}
	migrate(fmt.Sprintf("-- oldest: %d\nALTER TABLE applications ADD COLUMN next TEXT NOT NULL DEFAULT '';\nCREATE TABLE next (id BIGINT PRIMARY KEY);\n", newest))
	open(t, store.Config{DSN: dsn}) // an older program that starts again
	close(stop)
	if err := <-stopped; err != nil {
		t.Errorf("an older program did not go on: %v", err)
	}
	migrate("DROP TABLE next;\n")
	if _, err := store.Open(store.Config{DSN: dsn}); err == nil || !strings.Contains(err.Error(), "newer program") {
		t.Errorf("an older program opened a database that is not for it: %v", err)
	}
}

// TestMigrationGivesWay: one that would end in a deadlock with a request of a
// server gives way to it, and tries again.
func TestMigrationGivesWay(t *testing.T) {
	dsn := storetest.EmptyPostgres(t)
	open(t, store.Config{DSN: dsn})
	pool, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close() })
	reader, err := pool.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Rollback()
	count := func(q interface {
		QueryRow(string, ...any) *sql.Row
	}, query string) (n int) {
		t.Helper()
		if err := q.QueryRow(query).Scan(&n); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		return n
	}
	count(reader, "SELECT count(*) FROM credentials")
	text := "ALTER TABLE tenants ADD COLUMN next TEXT;\nALTER TABLE credentials ADD COLUMN next TEXT;\n"
	name := fmt.Sprintf("migrations/postgres/%04d_next.sql", store.NewestPostgresSchema(t)+1)
	migrated := make(chan error, 1)
	go func() { migrated <- store.MigratePostgres(t.Context(), dsn, fstest.MapFS{name: {Data: []byte(text)}}) }()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if count(pool, "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'credentials'::regclass") > 0 {
			break // it has the one table and waits for the other
		}
		if time.Now().After(deadline) {
			t.Fatal("the migration does not wait for the reader")
		}
	}
	count(reader, "SELECT count(*) FROM tenants")
	if err := reader.Commit(); err != nil {
		t.Error(err)
	}
	if err := <-migrated; err != nil {
		t.Errorf("the migration did not try again: %v", err)
	}
}
