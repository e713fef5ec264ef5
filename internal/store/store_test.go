package store_test

import (
	"path/filepath"
	"testing"

	"cambio/internal/store"
	"cambio/internal/store/storetest"
)

func open(t *testing.T, cfg store.Config) *store.DB {
	t.Helper()
	if cfg.Path == "" {
		cfg.Path = filepath.Join(t.TempDir(), "state", "cambio.db")
	}
	db, err := store.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *store.DB { return open(t, store.Config{}) })
}
