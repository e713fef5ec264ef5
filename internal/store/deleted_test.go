package store_test

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"cambio/internal/directory"
	"cambio/internal/store"
)

// Deleted items are hidden after their time, and leave the file with the next
// deletion or the next start.
func TestDeletedItemsExpire(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "cambio.db")
	start := time.Now()
	var later atomic.Int64
	now := func() time.Time { return start.Add(time.Duration(later.Load())) }
	db := open(t, store.Config{Path: path, Clock: now})
	tenant := directory.Tenant{Compat: directory.Relaxed}
	write := func(fn func(*store.Tx) error) error { return db.Write(t.Context(), store.Change{}, fn) }
	if err := write(func(tx *store.Tx) error { return tx.CreateTenant(&tenant) }); err != nil {
		t.Fatal(err)
	}
	deleted := func() (id string) {
		err := write(func(tx *store.Tx) error {
			a := directory.Application{TenantID: tenant.ID, DisplayName: "x"}
			if err := tx.CreateApplication(&a); err != nil {
				return err
			}
			id = a.ID
			return tx.DeleteApplication(tenant.ID, a.ID)
		})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	// As if no time had passed: what the file still holds.
	kept := func() int {
		list, _, err := db.DeletedItems(t.Context(), tenant.ID, store.DeletedApplication, start, store.ListQuery{})
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	first := deleted()
	later.Store(int64(store.DeletedItemRetention) - int64(time.Second))
	if _, err := db.DeletedItem(t.Context(), tenant.ID, first, now()); err != nil {
		t.Errorf("a second before its end: %v", err)
	}
	later.Store(int64(store.DeletedItemRetention))
	if _, err := db.DeletedItem(t.Context(), tenant.ID, first, now()); !store.IsNotFound(err) {
		t.Errorf("at its end: %v", err)
	}
	err := write(func(tx *store.Tx) error { _, err := tx.RestoreDeletedItem(tenant.ID, first); return err })
	if !store.IsNotFound(err) || kept() != 1 {
		t.Errorf("restored at its end: %v; %d items", err, kept())
	}
	deleted()
	if kept() != 1 {
		t.Errorf("%d items after another deletion, want that one", kept())
	}
	later.Add(int64(store.DeletedItemRetention))
	db.Close()
	db = open(t, store.Config{Path: path, Clock: now})
	if kept() != 0 {
		t.Errorf("%d items after a start", kept())
	}
}
