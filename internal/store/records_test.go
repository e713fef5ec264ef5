package store_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"cambio/internal/audit"
	"cambio/internal/directory"
	"cambio/internal/store"
)

// world is a database with one client.
type world struct {
	db      *store.DB
	records *store.Records
	app     directory.Application
}

func newWorld(t testing.TB, db *store.DB) *world {
	t.Helper()
	w := &world{db: db, records: db.Records(store.RecordsConfig{})}
	tenant := directory.Tenant{DisplayName: "Contoso", Compat: directory.Relaxed}
	if tenants, err := db.Tenants(t.Context()); err == nil && len(tenants) == 0 {
		tenant.Domains = []string{"contoso.example"}
	}
	err := db.Write(t.Context(), store.Change{Action: "seed"}, func(tx *store.Tx) error {
		if err := tx.CreateTenant(&tenant); err != nil {
			return err
		}
		w.app = directory.Application{TenantID: tenant.ID, DisplayName: "client", IdentifierURIs: []string{"api://client"}}
		if err := tx.CreateApplication(&w.app); err != nil {
			return err
		}
		return tx.CreateServicePrincipal(&directory.ServicePrincipal{TenantID: tenant.ID, AppID: w.app.AppID, AccountEnabled: true})
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) credential(name string) *directory.FederatedIdentityCredential {
	return &directory.FederatedIdentityCredential{TenantID: w.app.TenantID, ParentID: w.app.ID, Name: name,
		Issuer: "https://issuer.example", Subject: name, Audiences: []string{"api://AzureADTokenExchange"}}
}

func (w *world) create(ctx context.Context, name string) error {
	return w.db.Write(ctx, store.Change{Action: "create"}, func(tx *store.Tx) error { return tx.CreateCredential(w.credential(name)) })
}

func (w *world) delete(ctx context.Context, name string) error {
	return w.db.Write(ctx, store.Change{Action: "delete", Target: name}, func(tx *store.Tx) error {
		return tx.DeleteCredential(w.app.TenantID, w.app.ID, name)
	})
}

// works reports whether the credential is accepted, as the token path asks.
func (w *world) works(ctx context.Context, name string) (bool, error) {
	record, err := w.records.Client(ctx, w.app.TenantID, w.app.AppID)
	if err != nil {
		return false, err
	}
	return len(record.Match("https://issuer.example", name)) > 0, nil
}

// A credential works from the instant at which its creation returned to the
// instant at which its deletion did, whatever else is going on.
func TestCredentialWorksAtOnce(t *testing.T) {
	w := newWorld(t, open(t, store.Config{}))
	ctx := t.Context()
	const writers, rounds = 4, 60
	stop := make(chan struct{})
	var readers, group sync.WaitGroup
	for range 2 { // keep loads under way all the time
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if _, err := w.works(ctx, "nobody"); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	for i := range writers {
		group.Go(func() {
			for round := range rounds {
				name := fmt.Sprintf("writer-%d-%d", i, round)
				if err := w.create(ctx, name); err != nil {
					t.Error(err)
					return
				}
				if ok, err := w.works(ctx, name); !ok || err != nil {
					t.Errorf("%s does not work right after its creation: %v", name, err)
				}
				if err := w.delete(ctx, name); err != nil {
					t.Error(err)
					return
				}
				if ok, err := w.works(ctx, name); ok || err != nil {
					t.Errorf("%s works after its deletion: %v", name, err)
				}
			}
		})
	}
	group.Wait()
	close(stop)
	readers.Wait()
}

func TestWarmLookupIsFree(t *testing.T) {
	w := newWorld(t, open(t, store.Config{PollInterval: time.Hour}))
	ctx := t.Context()
	if err := w.create(ctx, "one"); err != nil {
		t.Fatal(err)
	}
	lookup := func() {
		tenant, err := w.records.Tenant(ctx, "contoso.example")
		if err != nil {
			t.Fatal(err)
		}
		client, err := w.records.Client(ctx, tenant.ID, w.app.AppID)
		if err != nil || len(client.Match("https://issuer.example", "one")) != 1 {
			t.Fatal("no match", err)
		}
		if _, err := w.records.Resource(ctx, tenant.ID, "api://client"); err != nil {
			t.Fatal(err)
		}
	}
	lookup()
	before := w.db.Stats().SQLReads
	if allocs := testing.AllocsPerRun(1000, lookup); allocs != 0 {
		t.Errorf("a warm look-up allocates %v times", allocs)
	}
	if reads := w.db.Stats().SQLReads - before; reads != 0 {
		t.Errorf("warm look-ups made %d queries", reads)
	}
}

func TestManyCredentials(t *testing.T) {
	w := newWorld(t, open(t, store.Config{}))
	ctx := t.Context()
	const many = 10_000
	err := w.db.Write(ctx, store.Change{}, func(tx *store.Tx) error {
		for i := range many {
			if err := tx.CreateCredential(w.credential(fmt.Sprint("c", i))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	record, err := w.records.Client(ctx, w.app.TenantID, w.app.AppID)
	if err != nil || len(record.Credentials) != many {
		t.Fatal(err)
	}
	t.Logf("loading %d credentials took %v, %d bytes", many, time.Since(start), record.Bytes())
	if allocs := testing.AllocsPerRun(100, func() {
		if len(record.Match("https://issuer.example", "c9999")) != 1 {
			t.Fatal("no match")
		}
	}); allocs != 0 {
		t.Errorf("a match allocates %v times", allocs)
	}
	// One more is one small write: nothing is loaded until it is needed.
	before := w.db.Stats().SQLReads
	start = time.Now()
	if err := w.create(ctx, "one more"); err != nil {
		t.Fatal(err)
	}
	if reads := w.db.Stats().SQLReads - before; reads != 0 {
		t.Errorf("the creation made %d queries of records", reads)
	}
	t.Logf("creating one more took %v", time.Since(start))
	start = time.Now()
	if ok, err := w.works(ctx, "one more"); !ok || err != nil {
		t.Errorf("the new one does not work: %v", err)
	}
	t.Logf("loading the difference took %v", time.Since(start))
}

func TestLookupsForRefusalsAreLimited(t *testing.T) {
	db := open(t, store.Config{})
	w := newWorld(t, db)
	ctx := t.Context()
	records := db.Records(store.RecordsConfig{LookupRate: 0.001, LookupBurst: 3})
	const absent = "11111111-1111-1111-1111-111111111111"
	for range 3 {
		if _, err := records.Client(ctx, w.app.TenantID, absent); err != store.ErrNotFound {
			t.Fatal(err)
		}
	}
	before := db.Stats().SQLReads
	if _, err := records.Client(ctx, w.app.TenantID, absent); err != store.ErrThrottled || db.Stats().SQLReads != before {
		t.Errorf("the fourth look-up: %v", err)
	}
	if _, err := records.Client(ctx, w.app.TenantID, w.app.AppID); err != nil {
		t.Fatalf("another client is limited as well: %v", err)
	}
}

// Another process on the same file: its writes are seen within the interval,
// and at once when a decision is recorded.
func TestOtherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "cambio.db")
	slow := newWorld(t, open(t, store.Config{Path: path, PollInterval: time.Hour}))
	quick := &world{app: slow.app, db: open(t, store.Config{Path: path, PollInterval: time.Millisecond})}
	quick.records = quick.db.Records(store.RecordsConfig{})
	ctx := t.Context()
	for _, w := range []*world{slow, quick} {
		if ok, err := w.works(ctx, "one"); ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	notified := quick.db.SigningKeysChanged()

	old, err := quick.records.Client(ctx, slow.app.TenantID, slow.app.AppID)
	if err != nil {
		t.Fatal(err)
	}
	other := &world{app: slow.app, db: open(t, store.Config{Path: path})}
	if err := other.create(ctx, "one"); err != nil {
		t.Fatal(err)
	}
	err = other.db.Write(ctx, store.Change{}, func(tx *store.Tx) error {
		return tx.PutSigningKey(&store.SigningKeyRow{KeyID: "k", State: store.KeyActive, Sealed: []byte{1}, PublicJWK: []byte{2}})
	})
	if err != nil {
		t.Fatal(err)
	}
	<-notified
	if !old.Stale() {
		t.Error("the poller told of the keys but did not drop the client")
	}
	if ok, err := quick.works(ctx, "one"); !ok || err != nil {
		t.Errorf("the other process's credential does not work: %v", err)
	}
	record, err := slow.records.Client(ctx, slow.app.TenantID, slow.app.AppID)
	if err != nil || len(record.Credentials) != 0 {
		t.Fatal("the slow one was meant not to know yet", err)
	}
	if err := slow.db.RecordDecision(ctx, &audit.Decision{}, record); err != store.ErrOutdated {
		t.Errorf("a decision on an older state was recorded: %v", err)
	}
	if ok, err := slow.works(ctx, "one"); !ok || err != nil {
		t.Errorf("the other process's credential does not work: %v", err)
	}
	if record, err = slow.records.Client(ctx, slow.app.TenantID, slow.app.AppID); err != nil {
		t.Fatal(err)
	}
	if err := slow.db.RecordDecision(ctx, &audit.Decision{}, record); err != nil {
		t.Errorf("a decision on what the database holds: %v", err)
	}
	if err := other.create(ctx, "two"); err != nil {
		t.Fatal(err)
	}
	if err := slow.db.Sync(ctx); err != nil || !record.Stale() {
		t.Errorf("not told of by Sync: %v", err)
	}
}

func TestDecisionsShareCommits(t *testing.T) {
	db := open(t, store.Config{})
	const callers, each = 32, 20
	before := db.Stats()
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for range each {
				if err := db.RecordDecision(context.Background(), &audit.Decision{Allowed: true}, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	after := db.Stats()
	jobs, commits := after.Jobs-before.Jobs, after.Commits-before.Commits
	if jobs != callers*each || commits > jobs/4 {
		t.Errorf("%d decisions in %d commits", jobs, commits)
	}
	t.Logf("%d decisions in %d commits", jobs, commits)
	records, err := db.AuditRecords(t.Context(), 0, 10_000)
	if err != nil || len(records) != callers*each {
		t.Errorf("%d records, %v", len(records), err)
	}
}
