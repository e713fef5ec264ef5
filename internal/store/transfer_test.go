package store_test

import (
	"errors"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"cambio/internal/audit"
	"cambio/internal/directory"
	"cambio/internal/store"
	"cambio/internal/store/storetest"
)

// TestTransfer: what an SQLite database decides, its PostgreSQL copy decides
// alike, and its audit trail goes on.
func TestTransfer(t *testing.T) {
	dsn := storetest.EmptyPostgres(t)
	path := filepath.Join(t.TempDir(), "state", "cambio.db")
	source := open(t, store.Config{Path: path})
	w := newWorld(t, source)
	ctx := t.Context()
	for _, name := range []string{"one", "two"} {
		if err := w.create(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	err := source.Write(ctx, store.Change{}, func(tx *store.Tx) error {
		gone := directory.Application{TenantID: w.app.TenantID, DisplayName: "gone", Disabled: true, OptionalIdtyp: true}
		return errors.Join(tx.CreateApplication(&gone), tx.DeleteApplication(gone.TenantID, gone.ID),
			tx.PutSigningKey(&store.SigningKeyRow{KeyID: "k", State: store.KeyActive, Sealed: []byte{0, 255}, PublicJWK: []byte("{}")}))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := source.RecordDecision(ctx, &audit.Decision{Subject: "a\x00b"}, nil); err != nil {
		t.Fatal(err)
	}
	_, want, _, err := source.Contents(ctx, w.app.TenantID)
	if err != nil {
		t.Fatal(err)
	}
	trail, err := source.AuditRecords(ctx, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if err := source.Close(); err != nil {
		t.Fatal(err)
	}

	var tables []string
	if err := store.Transfer(ctx, path, store.Config{DSN: dsn}, func(table string, _ int64) { tables = append(tables, table) }); err != nil {
		t.Fatal(err)
	}
	target := open(t, store.Config{DSN: dsn})
	if _, got, _, err := target.Contents(ctx, w.app.TenantID); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n%+v\nbecame\n%+v", err, want, got)
	}
	copied, err := target.AuditRecords(ctx, 0, 1000)
	if err != nil || len(copied) != len(trail)+1 || !reflect.DeepEqual(copied[:len(trail)], trail) {
		t.Errorf("%d audit records became %d, %v", len(trail), len(copied), err)
	}
	moved := &world{app: w.app, db: target, records: target.Records(store.RecordsConfig{})}
	if ok, err := moved.works(ctx, "two"); !ok || err != nil {
		t.Errorf("a credential does not work in the copy: %v", err)
	}
	if err := moved.create(ctx, "three"); err != nil {
		t.Errorf("the copy takes no write: %v", err)
	}
	if err := store.Transfer(ctx, path, store.Config{DSN: dsn}, nil); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a second time: %v", err)
	}
	checkTables(t, dsn, tables)
}

// checkTables: no table was forgotten.
func checkTables(t *testing.T, dsn string, copied []string) {
	t.Helper()
	there := columns(t, "pgx", dsn, "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() AND table_name NOT IN ('duties', 'schema_versions')")
	slices.Sort(copied)
	if !slices.Equal(there, copied) {
		t.Errorf("the database has the tables %v, copied were %v", there, copied)
	}
}
