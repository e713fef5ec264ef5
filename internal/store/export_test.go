package store

import (
	"context"
	"io/fs"
	"testing"
)

// NewestPostgresSchema is the version that this program makes.
func NewestPostgresSchema(t *testing.T) int {
	t.Helper()
	version, err := postgresSchema.newest()
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// MigratePostgres applies migrations that a later program would bring.
func MigratePostgres(ctx context.Context, dsn string, files fs.FS) error {
	base, err := parseDSN(dsn)
	if err != nil {
		return err
	}
	pool := (&DB{}).postgresPool(base, 1)
	defer pool.Close()
	conn, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return migrate(ctx, conn, schema{files: files, folder: "migrations/postgres", postgres: true})
}

// NoteChecksum notes the checksum of a database that nobody has open.
var NoteChecksum = noteChecksum
