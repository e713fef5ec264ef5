package storetest

import (
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"

	"cambio/internal/store"
)

// PostgresEnv is the environment variable with the data source name, as a URL,
// of a PostgreSQL server that tests may use.
const PostgresEnv = "CAMBIO_TEST_POSTGRES"

// Empty returns an empty database: one of PostgreSQL if the environment names
// a server, else an SQLite file.
func Empty(t testing.TB) store.Config {
	t.Helper()
	if os.Getenv(PostgresEnv) == "" {
		return store.Config{Path: filepath.Join(t.TempDir(), "state", "cambio.db")}
	}
	return store.Config{DSN: EmptyPostgres(t)}
}

var schemas atomic.Int64

// EmptyPostgres returns the data source name of an empty schema of the server
// that the environment names, which the store takes for a database of its own.
// Without a server the test is skipped.
func EmptyPostgres(t testing.TB) string {
	t.Helper()
	text := os.Getenv(PostgresEnv)
	if text == "" {
		t.Skip(PostgresEnv + " names no PostgreSQL server; `make postgres` starts one")
	}
	server, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := sql.Open("pgx", text)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	name := "test_" + strconv.Itoa(os.Getpid()) + "_" + strconv.FormatInt(schemas.Add(1), 10)
	if _, err := admin.Exec("CREATE SCHEMA " + name); err != nil {
		t.Fatal(err)
	}
	query := server.Query()
	query.Set("search_path", name)
	server.RawQuery = query.Encode()
	return server.String()
}
