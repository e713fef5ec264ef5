package store_test

import (
	"database/sql"
	"net/url"
	"os"
	"strconv"
	"sync/atomic"
	"testing"

	"cambio/internal/store"
	"cambio/internal/store/storetest"
)

func TestPostgres(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *store.DB { return open(t, store.Config{DSN: emptyPostgres(t)}) })
}

var schemas atomic.Int64

// emptyPostgres returns the data source name of an empty schema, which is a
// database of its own as far as the store can see.
func emptyPostgres(t *testing.T) string {
	t.Helper()
	server, err := url.Parse(os.Getenv("CAMBIO_TEST_POSTGRES"))
	if err != nil {
		t.Fatal(err)
	}
	if server.Host == "" {
		t.Skip("no PostgreSQL")
	}
	admin, err := sql.Open("pgx", server.String())
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
