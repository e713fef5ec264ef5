package store_test

import (
	"fmt"
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

// Deleting and restoring an application waits for the writer with every other
// write waiting: what it takes must not grow with the number of credentials.
func TestDeletionLeavesCredentialsInPlace(t *testing.T) {
	db := open(t, store.Config{Path: filepath.Join(t.TempDir(), "state", "cambio.db")})
	w := newWorld(t, db)
	const credentials = 5000
	took := func(what string, fn func(*store.Tx) error) time.Duration {
		t.Helper()
		start := time.Now()
		if err := db.Write(t.Context(), store.Change{}, fn); err != nil {
			t.Fatal(what, err)
		}
		t.Log(what, time.Since(start))
		return time.Since(start)
	}
	made := took("create", func(tx *store.Tx) error {
		for i := range credentials {
			if err := tx.CreateCredential(w.credential(fmt.Sprint("c-", i))); err != nil {
				return err
			}
		}
		return nil
	})
	count := func(want int) {
		t.Helper()
		if n, err := db.CredentialCount(t.Context(), w.app.TenantID, w.app.ID); err != nil || n != want {
			t.Fatalf("%d credentials, %v; want %d", n, err, want)
		}
	}
	deleted := took("delete", func(tx *store.Tx) error { return tx.DeleteApplication(w.app.TenantID, w.app.ID) })
	count(0)
	if _, contents, _, err := db.Contents(t.Context(), w.app.TenantID); err != nil || len(contents.Credentials) != 0 {
		t.Fatalf("a deleted application's credentials are among the contents: %d, %v", len(contents.Credentials), err)
	}
	restored := took("restore", func(tx *store.Tx) error { _, err := tx.RestoreDeletedItem(w.app.TenantID, w.app.ID); return err })
	count(credentials)
	if deleted+restored > made/4 {
		t.Errorf("deleting took %v and restoring %v, creating all of it %v", deleted, restored, made)
	}
	one, err := db.Credential(t.Context(), w.app.TenantID, w.app.ID, "c-1")
	if err != nil {
		t.Fatal(err)
	}
	took("delete again", func(tx *store.Tx) error { return tx.DeleteApplication(w.app.TenantID, w.app.ID) })
	took("delete for good", func(tx *store.Tx) error { return tx.DeleteDeletedItem(w.app.TenantID, w.app.ID) })
	count(0)
	reused := w.credential("reused")
	reused.ID = one.ID // retired with its application
	other := directory.Application{TenantID: w.app.TenantID, DisplayName: "other"}
	err = db.Write(t.Context(), store.Change{}, func(tx *store.Tx) error {
		if err := tx.CreateApplication(&other); err != nil {
			return err
		}
		reused.ParentID = other.ID
		return tx.CreateCredential(reused)
	})
	if err == nil {
		t.Error("the id of a credential was given out again")
	}
}

// Likewise a resource group: what it takes to delete one is less than it took
// to make what is in it.
func TestDeletionOfALargeGroup(t *testing.T) {
	db := open(t, store.Config{Path: filepath.Join(t.TempDir(), "state", "cambio.db")})
	w := newWorld(t, db)
	const identities = 6000
	id := w.app.TenantID
	took := func(fn func(*store.Tx) error) time.Duration {
		t.Helper()
		start := time.Now()
		if err := db.Write(t.Context(), store.Change{}, fn); err != nil {
			t.Fatal(err)
		}
		return time.Since(start)
	}
	var last directory.ManagedIdentity
	made := took(func(tx *store.Tx) error {
		if _, err := tx.PutResourceGroup(&directory.ResourceGroup{TenantID: id, SubscriptionID: id, Name: "RG", Location: "local"}); err != nil {
			return err
		}
		for i := range identities {
			last = directory.ManagedIdentity{TenantID: id, SubscriptionID: id, ResourceGroup: "rg", Name: fmt.Sprint("id-", i), Location: "local"}
			if _, err := tx.PutManagedIdentity(&last); err != nil {
				return err
			}
		}
		c := w.credential("one")
		c.ParentID = last.PrincipalID
		return tx.CreateCredential(c)
	})
	records := db.Records(store.RecordsConfig{})
	if _, err := records.Client(t.Context(), id, last.ClientID); err != nil {
		t.Fatal(err)
	}
	deleted := took(func(tx *store.Tx) error { return tx.DeleteResourceGroup(id, id, "rg") })
	t.Logf("%d identities: made in %v, deleted in %v", identities, made, deleted)
	if deleted > made+made/4 {
		t.Errorf("deleting %d identities took %v, making them %v", identities, deleted, made)
	}
	if _, err := records.Client(t.Context(), id, last.ClientID); err != store.ErrNotFound {
		t.Errorf("a deleted identity: %v", err)
	}
	if left, _, err := db.ManagedIdentities(t.Context(), id, id, "", store.ListQuery{}); err != nil || len(left) != 0 {
		t.Errorf("%d identities left, %v", len(left), err)
	}
	for _, retired := range []string{last.PrincipalID, last.ClientID} {
		err := db.Write(t.Context(), store.Change{}, func(tx *store.Tx) error {
			return tx.CreateApplication(&directory.Application{TenantID: id, DisplayName: "x", AppID: retired})
		})
		if err == nil {
			t.Errorf("%s was given out again", retired)
		}
	}
}
