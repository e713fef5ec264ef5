package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"time"

	"cambio/internal/directory"
)

// seeded opens a database with a tenant and an application that has one
// credential.
func seeded(t testing.TB, cfg Config) (*DB, directory.Application, directory.FederatedIdentityCredential) {
	t.Helper()
	if cfg.Path == "" {
		cfg.Path = filepath.Join(t.TempDir(), "state", "cambio.db")
	}
	db, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	tenant := directory.Tenant{DisplayName: "Contoso", Compat: directory.Relaxed, Default: true}
	a := directory.Application{DisplayName: "client", IdentifierURIs: []string{"api://client"}}
	c := directory.FederatedIdentityCredential{Name: "first", Issuer: "https://issuer.example", Subject: "first", Audiences: []string{"aud"}}
	err = db.Write(t.Context(), Change{Action: "seed"}, func(tx *Tx) error {
		if err := tx.CreateTenant(&tenant); err != nil {
			return err
		}
		a.TenantID = tenant.ID
		if err := tx.CreateApplication(&a); err != nil {
			return err
		}
		p := directory.ServicePrincipal{TenantID: tenant.ID, AppID: a.AppID, AccountEnabled: true}
		if err := tx.CreateServicePrincipal(&p); err != nil {
			return err
		}
		c.TenantID, c.ParentID = tenant.ID, a.ID
		return tx.CreateCredential(&c)
	})
	if err != nil {
		t.Fatal(err)
	}
	return db, a, c
}

// A change that is committed while its record is being loaded must neither be
// hidden by the older record in the cache nor from a caller who came after
// the Write returned and found the load under way.
func TestDropDuringLoad(t *testing.T) {
	db, a, c := seeded(t, Config{})
	r := db.Records(RecordsConfig{})
	key := cacheKey{directory.KeyClient, a.TenantID, a.AppID}
	loaded, release := make(chan struct{}), make(chan struct{})
	slow := func(ctx context.Context, s *snapshot, key cacheKey, previous *entry) (*entry, error) {
		e, err := loadClient(ctx, s, key, previous)
		close(loaded)
		<-release
		return e, err
	}
	result := make(chan *directory.ClientRecord)
	go func() {
		e, err := r.load(context.Background(), key, slow)
		if err != nil {
			t.Error(err)
			close(result)
			return
		}
		result <- e.value.(*directory.ClientRecord)
	}()
	<-loaded
	_, first := r.cache.begin(key)
	if first {
		t.Fatal("the load was not shared")
	}
	err := db.Write(t.Context(), Change{}, func(tx *Tx) error { return tx.DeleteCredential(a.TenantID, a.ID, c.ID) })
	if err != nil {
		t.Fatal(err)
	}
	after, first := r.cache.begin(key)
	if first {
		t.Fatal("the load was not shared")
	}
	close(release)
	record := <-result
	if record == nil || len(record.Match(c.Issuer, c.Subject)) != 1 {
		t.Fatal("the load was meant to see the state before the change")
	}
	if !record.Stale() {
		t.Error("the record that was loaded is not marked as stale")
	}
	if after.usable() {
		t.Error("a caller who came after the change may use the state before it")
	}
	if r.cache.get(key) != nil {
		t.Error("the state before the change was kept")
	}
	fresh, err := r.Client(t.Context(), a.TenantID, a.AppID)
	if err != nil || len(fresh.Match(c.Issuer, c.Subject)) != 0 || fresh.Stale() {
		t.Errorf("after the change: %+v, %v", fresh, err)
	}
	if len(r.cache.dropped) != 0 || len(r.cache.loads) != 0 {
		t.Error("the notes on loads were not cleared")
	}
}

// A client that did not exist when a load began may have been created since, by
// another process even, whose change was not published here: whoever joins that
// load looks for itself.
func TestCreateDuringLoad(t *testing.T) {
	db, a, _ := seeded(t, Config{PollInterval: time.Hour})
	r := db.Records(RecordsConfig{})
	key := cacheKey{directory.KeyClient, a.TenantID, a.AppID}
	l, _ := r.cache.begin(key)
	waiting := &signalled{Context: t.Context(), waits: make(chan struct{})}
	go func() {
		<-waiting.waits
		r.cache.finish(key, l, nil, ErrNotFound) // as before the client was created
	}()
	record, err := r.Client(waiting, a.TenantID, a.AppID)
	if err != nil || !record.Stale() {
		t.Errorf("one who joined gets the answer of before: %v", err)
	}
	if l, first := r.cache.begin(key); !first || l.err != nil {
		t.Error("the answer was kept")
	}
}

// Whoever reads the position after everything was forgotten finds every record
// marked: the other writer may be about to record decisions on them.
func TestForgetMarksFirst(t *testing.T) {
	db, a, _ := seeded(t, Config{PollInterval: time.Hour})
	r := db.Records(RecordsConfig{})
	record, err := r.Client(t.Context(), a.TenantID, a.AppID)
	if err != nil {
		t.Fatal(err)
	}
	before, epoch := db.feed.applied.Load(), db.feed.epoch.Load()
	done := make(chan struct{})
	r.cache.mu.Lock() // holds up what marks
	go func() {
		db.feed.forget(before + 1)
		close(done)
	}()
	for db.feed.epoch.Load() == epoch {
		runtime.Gosched()
	}
	for range 10_000 {
		if runtime.Gosched(); db.feed.applied.Load() != before {
			t.Error("the position advanced before the records were marked")
			break
		}
	}
	r.cache.mu.Unlock()
	<-done
	if !record.Stale() || db.feed.applied.Load() != before+1 {
		t.Error("not everything was forgotten")
	}
}

func TestCacheStoresNewest(t *testing.T) {
	c := newCache(1 << 20)
	load := func(seq int64) {
		key := cacheKey{directory.KeyResource, "t", fmt.Sprint("name-", seq)} // two names, one record
		l, _ := c.begin(key)
		c.finish(key, l, &entry{
			value:   &directory.ResourceRecord{Seq: seq},
			names:   []cacheKey{{directory.KeyResource, "t", "app"}, key},
			changed: directory.Key{Kind: directory.KeyResource, TenantID: "t", ID: "app"},
			seq:     seq, bytes: 1000,
		}, nil)
	}
	load(5)
	load(3) // was slower and saw less
	if e := c.get(cacheKey{directory.KeyResource, "t", "app"}); e.seq != 5 || c.bytes != 1000 {
		t.Errorf("seq %d, %d bytes", e.seq, c.bytes)
	}
	c.drop(directory.Key{Kind: directory.KeyResource, TenantID: "t", ID: "app"}, 5) // included
	if len(c.entries) != 2 {
		t.Errorf("a record that includes the change was dropped")
	}
	c.drop(directory.Key{Kind: directory.KeyResource, TenantID: "t", ID: "app"}, 6)
	if len(c.entries) != 0 || c.bytes != 0 || c.order.Len() != 0 {
		t.Errorf("%d names, %d bytes left", len(c.entries), c.bytes)
	}
}

func TestCacheIsBounded(t *testing.T) {
	const limit, size = 10_000, 1000
	c := newCache(limit)
	put := func(n, bytes int) {
		key := cacheKey{directory.KeyClient, "t", fmt.Sprint(n)}
		l, _ := c.begin(key)
		c.finish(key, l, &entry{value: &directory.ClientRecord{}, names: []cacheKey{key}, bytes: bytes}, nil)
	}
	put(0, size)
	for n := 1; n < 1000; n++ {
		if c.get(cacheKey{directory.KeyClient, "t", "0"}) == nil {
			t.Fatalf("a record that is looked up all the time was evicted by the %d-th other", n)
		}
		put(n, size)
		if c.bytes > limit || len(c.entries) != c.order.Len() || c.bytes != size*len(c.entries) {
			t.Fatalf("%d bytes in %d entries", c.bytes, len(c.entries))
		}
	}
	put(5000, limit+1)
	if c.get(cacheKey{directory.KeyClient, "t", "5000"}) != nil || c.bytes > limit {
		t.Error("a record larger than the bound was kept")
	}
	put(5001, limit)
	if len(c.entries) != 1 || c.bytes != limit {
		t.Errorf("%d entries, %d bytes", len(c.entries), c.bytes)
	}
}

func TestLoadsAreShared(t *testing.T) {
	db, a, _ := seeded(t, Config{})
	r := db.Records(RecordsConfig{})
	key := cacheKey{directory.KeyClient, a.TenantID, a.AppID}
	l, _ := r.cache.begin(key) // as the first caller would
	const callers = 20
	results := make(chan error, callers)
	before := db.Stats().SQLReads
	for range callers {
		go func() {
			_, err := r.Client(context.Background(), a.TenantID, a.AppID)
			results <- err
		}()
	}
	e, err := r.read(t.Context(), key, loadClient)
	own := db.Stats().SQLReads - before
	r.cache.finish(key, l, e, err)
	for range callers {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if all := db.Stats().SQLReads - before; all != own {
		t.Errorf("%d queries for all, %d for one", all, own)
	}
}

// The error of the caller who loads is not the error of those who wait.
func TestLoadErrorIsNotShared(t *testing.T) {
	db, a, _ := seeded(t, Config{})
	r := db.Records(RecordsConfig{})
	key := cacheKey{directory.KeyClient, a.TenantID, a.AppID}
	l, _ := r.cache.begin(key)
	result := make(chan error)
	go func() {
		_, err := r.Client(context.Background(), a.TenantID, a.AppID)
		result <- err
	}()
	r.cache.finish(key, l, nil, context.Canceled)
	if err := <-result; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Client(ctx, a.TenantID, "absent"); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}

// A record with many credentials is brought up to date by what changed, and
// is then the same as one that is loaded whole.
func TestLoadDifference(t *testing.T) {
	db, a, first := seeded(t, Config{})
	r := db.Records(RecordsConfig{})
	random := rand.New(rand.NewPCG(1, 2))
	var names []string
	next := 0
	step := func(tx *Tx) error {
		c := first
		switch action := random.IntN(4); {
		case action < 2 || len(names) < manyCredentials+10:
			c.ID, c.Name, c.Subject = "", fmt.Sprint("n", next), fmt.Sprint("s", next)
			next++
			names = append(names, c.Name)
			return tx.CreateCredential(&c)
		case action == 2:
			i := random.IntN(len(names))
			name := names[i]
			names = slices.Delete(names, i, i+1)
			return tx.DeleteCredential(a.TenantID, a.ID, name)
		default:
			c, err := tx.Credential(context.Background(), a.TenantID, a.ID, names[random.IntN(len(names))])
			if err != nil {
				return err
			}
			c.Subject += "x"
			return tx.UpdateCredential(&c)
		}
	}
	for range 400 {
		err := db.Write(t.Context(), Change{}, func(tx *Tx) error {
			for range 1 + random.IntN(3) {
				if err := step(tx); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if random.IntN(3) == 0 {
			continue // several changes between two loads
		}
		got, err := r.Client(t.Context(), a.TenantID, a.AppID)
		if err != nil {
			t.Fatal(err)
		}
		want, err := db.Records(RecordsConfig{}).Client(t.Context(), a.TenantID, a.AppID)
		if err != nil {
			t.Fatal(err)
		}
		if g, w := byID(got), byID(want); !reflect.DeepEqual(g, w) {
			t.Fatalf("%d credentials, want %d", len(g), len(w))
		}
	}
	if err := db.Write(t.Context(), Change{}, func(tx *Tx) error { return tx.DeleteApplication(a.TenantID, a.ID) }); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Client(t.Context(), a.TenantID, a.AppID); err != ErrNotFound {
		t.Error(err)
	}
	if len(r.cache.entries) != 0 || r.cache.bytes != 0 {
		t.Error("the record of a deleted client is kept")
	}
}

func byID(r *directory.ClientRecord) map[string]directory.Credential {
	out := make(map[string]directory.Credential, len(r.Credentials))
	for _, c := range r.Credentials {
		out[c.ID] = c
	}
	return out
}
