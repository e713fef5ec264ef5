package store

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"cambio/internal/directory"
)

// Statements that are not prepared yet must not make transactions wait for
// each other's connections: after a restart all clients come at once.
func TestColdClientsDoNotBlockEachOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "db")
	ctx := context.Background()
	db, err := Open(Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	tenant := directory.Tenant{DisplayName: "x", Compat: directory.Relaxed}
	apps := make([]directory.Application, 64)
	err = db.Write(ctx, Change{}, func(tx *Tx) error {
		err := tx.CreateTenant(&tenant)
		for i := range apps {
			apps[i] = directory.Application{TenantID: tenant.ID, DisplayName: fmt.Sprint("a", i)}
			if err == nil {
				err = tx.CreateApplication(&apps[i])
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for round := range 5 {
		if took := coldRound(ctx, t, path, apps); took > 2*time.Second {
			t.Fatalf("round %d: 64 clients took %v", round, took)
		}
	}
}

func coldRound(ctx context.Context, t *testing.T, path string, apps []directory.Application) time.Duration {
	t.Helper()
	db, err := Open(Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	records := db.Records(RecordsConfig{})
	gate := make(chan struct{})
	var wg sync.WaitGroup
	for i := range apps {
		wg.Go(func() {
			<-gate
			if _, err := records.Client(ctx, apps[i].TenantID, apps[i].AppID); err != nil {
				t.Error(err)
			}
		})
	}
	begin := time.Now()
	close(gate)
	wg.Wait()
	return time.Since(begin)
}

// A record that no drop could find any more counts as stale, so that whoever
// holds it asks again.
func TestUntrackedRecordsAreStale(t *testing.T) {
	ctx := context.Background()
	t.Run("evicted", func(t *testing.T) {
		db, a, _ := seeded(t, Config{})
		records := db.Records(RecordsConfig{Bytes: 4000})
		record, err := records.Client(ctx, a.TenantID, a.AppID)
		if err != nil || record.Stale() {
			t.Fatal(err, record.Stale())
		}
		for i := range 20 {
			b := directory.Application{TenantID: a.TenantID, DisplayName: fmt.Sprint("a", i)}
			if err := db.Write(ctx, Change{}, func(tx *Tx) error { return tx.CreateApplication(&b) }); err != nil {
				t.Fatal(err)
			}
			if _, err := records.Client(ctx, a.TenantID, b.AppID); err != nil {
				t.Fatal(err)
			}
		}
		if !record.Stale() {
			t.Error("an evicted record looks current")
		}
	})
	t.Run("larger than the cache", func(t *testing.T) {
		db, a, _ := seeded(t, Config{})
		record, err := db.Records(RecordsConfig{Bytes: 500}).Client(ctx, a.TenantID, a.AppID)
		if err != nil || !record.Stale() {
			t.Errorf("%v, stale %v", err, record.Stale())
		}
	})
	t.Run("tenant", func(t *testing.T) {
		db, a, _ := seeded(t, Config{})
		records := db.Records(RecordsConfig{})
		record, err := records.Tenant(ctx, a.TenantID)
		if err != nil || record.Stale() {
			t.Fatal(err, record.Stale())
		}
		err = db.Write(ctx, Change{}, func(tx *Tx) error {
			tenant := record.Tenant
			tenant.Compat = directory.Strict
			return tx.UpdateTenant(&tenant)
		})
		if err != nil || !record.Stale() {
			t.Errorf("%v, stale %v after the tenant changed", err, record.Stale())
		}
	})
}

// What is kept of a look-up must not keep the request's body alive.
func TestLookupsKeepNoBodies(t *testing.T) {
	db, a, _ := seeded(t, Config{})
	records := db.Records(RecordsConfig{})
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for range 1000 {
		body := "client_id=" + uuid.NewString() + "&pad=" + strings.Repeat("x", 64<<10)
		if _, err := records.Client(context.Background(), a.TenantID, body[10:46]); err == nil {
			t.Fatal("an unknown client was found")
		}
	}
	if grown := int64(heap()) - int64(before); grown > 8<<20 {
		t.Errorf("the heap grew by %d bytes over 1000 look-ups of bodies of 64 KiB", grown)
	}
}

// A role that an application no longer defines is nobody's any more: another
// one under its id is not theirs.
func TestDroppedRolesHaveNoHolders(t *testing.T) {
	ctx := context.Background()
	db, a, _ := seeded(t, Config{})
	const role = "11111111-2222-4333-8444-555555555555"
	var sp directory.ServicePrincipal
	err := db.Write(ctx, Change{}, func(tx *Tx) (err error) {
		if sp, err = tx.ServicePrincipal(ctx, a.TenantID, Ref{AppID: a.AppID}); err != nil {
			return err
		}
		a.AppRoles = []directory.AppRole{{ID: role, Value: "Read"}}
		if err := tx.UpdateApplication(&a); err != nil {
			return err
		}
		return tx.CreateAssignment(&directory.AppRoleAssignment{TenantID: a.TenantID, AppRoleID: role, PrincipalID: sp.ID, ResourceID: sp.ID})
	})
	if err != nil {
		t.Fatal(err)
	}
	records := db.Records(RecordsConfig{})
	record, err := records.Client(ctx, a.TenantID, a.AppID)
	if err != nil || len(record.Grants[sp.ID]) != 1 {
		t.Fatal(err, record.Grants)
	}
	err = db.Write(ctx, Change{}, func(tx *Tx) error {
		a.AppRoles = nil
		return tx.UpdateApplication(&a)
	})
	if err != nil {
		t.Fatal(err)
	}
	if record, err = records.Client(ctx, a.TenantID, a.AppID); err != nil || len(record.Grants[sp.ID]) != 0 {
		t.Errorf("%v: %v", err, record.Grants)
	}
}

func TestOneServerADatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	first, err := LockServer(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := LockServer(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a second server: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := LockServer(path)
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
}
