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
		records := db.Records(RecordsConfig{Bytes: 500})
		if record, err := records.Client(ctx, a.TenantID, a.AppID); err != nil || !record.Stale() {
			t.Error("client:", err)
		}
		if record, err := records.Tenant(ctx, a.TenantID); err != nil || !record.Stale() {
			t.Error("tenant:", err)
		}
		if record, err := records.Resource(ctx, a.TenantID, "api://client"); err != nil || !record.Stale() {
			t.Error("resource:", err)
		}
	})
	t.Run("read privately", func(t *testing.T) {
		db, a, _ := seeded(t, Config{})
		records := db.Records(RecordsConfig{})
		key := cacheKey{directory.KeyClient, a.TenantID, a.AppID}
		l, _ := records.cache.begin(key)
		waiting := &signalled{Context: ctx, waits: make(chan struct{})}
		go func() {
			<-waiting.waits
			records.cache.finish(key, l, nil, context.Canceled)
		}()
		record, err := records.Client(waiting, a.TenantID, a.AppID)
		if err != nil || !record.Stale() || records.cache.get(key) != nil {
			t.Error("what was read because the shared load failed is not stale:", err)
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

// signalled closes waits when somebody waits for it.
type signalled struct {
	context.Context
	once  sync.Once
	waits chan struct{}
}

func (s *signalled) Done() <-chan struct{} {
	s.once.Do(func() { close(s.waits) })
	return s.Context.Done()
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
	// part returns s as a part of a body of 64 KiB.
	part := func(s string) string { return ("client_id=" + s + strings.Repeat("x", 64<<10))[10 : 10+len(s)] }
	ctx := context.Background()
	before := heap()
	for range 1000 {
		id := uuid.NewString()
		_, tenantErr := records.Tenant(ctx, part(id))
		_, clientErr := records.Client(ctx, part(a.TenantID), part(id))
		_, resourceErr := records.Resource(ctx, part(a.TenantID), part("api://"+id))
		if tenantErr != ErrNotFound || clientErr != ErrNotFound || resourceErr != ErrNotFound {
			t.Fatal(tenantErr, clientErr, resourceErr)
		}
	}
	for i := range 200 { // those that exist are kept, but not the body
		b := directory.Application{TenantID: a.TenantID, DisplayName: fmt.Sprint("b", i)}
		if err := db.Write(ctx, Change{}, func(tx *Tx) error { return tx.CreateApplication(&b) }); err != nil {
			t.Fatal(err)
		}
		if _, err := records.Client(ctx, part(a.TenantID), part(b.AppID)); err != nil {
			t.Fatal(err)
		}
	}
	if grown := int64(heap()) - int64(before); grown > 8<<20 {
		t.Errorf("the heap grew by %d bytes over 3200 look-ups of bodies of 64 KiB", grown)
	}
	runtime.KeepAlive(records)
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
