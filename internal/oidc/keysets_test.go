package oidc

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cambio/internal/jose"
)

func TestWarmLookupFetchesNothing(t *testing.T) {
	one, _ := jwk(t, "k1")
	two, _ := jwk(t, "k2")
	f := newFakeIssuer(t, one, two)
	k, clock := newKeySets(t, Config{}, f)
	wantKey(t, k, f.issuer, "k1")
	for range 100 {
		wantKey(t, k, f.issuer, "k2")
		clock.Advance(30 * time.Second)
	}
	f.wantFetches(t, 1, 1)
	if f.others.Load() != 0 {
		t.Errorf("%d requests to other paths", f.others.Load())
	}
	if s, ok := k.Status(f.issuer); !ok || len(s.Keys) != 2 || s.JWKSURI != f.issuer+"/keys" {
		t.Errorf("status %+v", s)
	}
}

func TestConcurrentFirstRequestsShareOneFetch(t *testing.T) {
	one, _ := jwk(t, "k1")
	f := newFakeIssuer(t, one)
	release := make(chan struct{})
	f.handle(nil, func(w http.ResponseWriter, _ *http.Request) {
		<-release
		_, _ = io.WriteString(w, f.keySet())
	})
	k, _ := newKeySets(t, Config{}, f)
	var accepted atomic.Int64
	var all, begun sync.WaitGroup
	for range 500 {
		all.Add(1)
		begun.Add(1)
		go func() {
			defer all.Done()
			begun.Done()
			if keys, err := k.Lookup(t.Context(), f.issuer, header("k1")); err == nil && len(keys) == 1 {
				accepted.Add(1)
			}
		}()
	}
	begun.Wait()
	close(release)
	all.Wait()
	if accepted.Load() != 500 {
		t.Errorf("%d of 500 got the key", accepted.Load())
	}
	f.wantFetches(t, 1, 1)
	if f.connections.Load() != 2 {
		t.Errorf("%d connections for 2 fetches", f.connections.Load())
	}
}

func TestGivingUpDoesNotEndTheFetch(t *testing.T) {
	one, _ := jwk(t, "k1")
	f := newFakeIssuer(t, one)
	arrived, release := make(chan struct{}), make(chan struct{})
	f.handle(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		_, _ = io.WriteString(w, f.discovery())
	}, nil)
	k, _ := newKeySets(t, Config{}, f)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() {
		_, err := k.Lookup(ctx, f.issuer, header("k1"))
		result <- err
	}()
	<-arrived
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("waiter got %v", err)
	}
	close(release)
	settle(k)
	wantKey(t, k, f.issuer, "k1")
	f.wantFetches(t, 1, 1)
}

// A flood of unknown keys costs the issuer two fetches and then one in ten
// seconds, and known keys nothing.
func TestUnknownKeysAreLimitedByTime(t *testing.T) {
	one, _ := jwk(t, "k1")
	f := newFakeIssuer(t, one)
	k, clock := newKeySets(t, Config{}, f)
	wantKey(t, k, f.issuer, "k1")
	for i := range 5000 {
		wantUnknown(t, k, f.issuer, fmt.Sprint("u", i))
	}
	f.wantFetches(t, 1, 3)
	for i := range 60 {
		clock.Advance(time.Second)
		for j := range 20 {
			wantUnknown(t, k, f.issuer, fmt.Sprint("v", i, j))
		}
		wantKey(t, k, f.issuer, "k1")
	}
	f.wantFetches(t, 1, 9)
	f.handle(drop, drop)
	wantKey(t, k, f.issuer, "k1")
}

func TestUnknownKeyFloodFromManySides(t *testing.T) {
	one, _ := jwk(t, "k1")
	f := newFakeIssuer(t, one)
	k, _ := newKeySets(t, Config{}, f)
	wantKey(t, k, f.issuer, "k1")
	var all sync.WaitGroup
	for w := range 16 {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := range 100 {
				if _, err := k.Lookup(t.Context(), f.issuer, header(fmt.Sprint(w, "-", i))); err != ErrUnknownKey {
					t.Errorf("got %v", err)
				}
				if _, err := k.Lookup(t.Context(), f.issuer, header("k1")); err != nil {
					t.Errorf("known key: %v", err)
				}
			}
		}()
	}
	all.Wait()
	f.wantFetches(t, 1, 3)
}

func TestRotation(t *testing.T) {
	one, _ := jwk(t, "k1")
	two, _ := jwk(t, "k2")
	f := newFakeIssuer(t, one)
	k, clock := newKeySets(t, Config{}, f)
	wantKey(t, k, f.issuer, "k1")
	f.setKeys(two)
	wantKey(t, k, f.issuer, "k2") // at once: its own request fetched
	wantUnknown(t, k, f.issuer, "k1")
	f.wantFetches(t, 1, 3)

	// Under flood: the bucket is empty, the key is taken as soon as it refills.
	three, _ := jwk(t, "k3")
	f.setKeys(two, three)
	wantUnknown(t, k, f.issuer, "k3")
	clock.Advance(10 * time.Second)
	wantKey(t, k, f.issuer, "k3")
	f.wantFetches(t, 1, 4)
}

// A fetch that began before the issuer published the key does not decide about
// a request that came later and joined it.
func TestJoinedFetchIsNotTheLastWord(t *testing.T) {
	one, _ := jwk(t, "k1")
	two, _ := jwk(t, "k2")
	f := newFakeIssuer(t, one)
	k, _ := newKeySets(t, Config{}, f)
	wantKey(t, k, f.issuer, "k1")
	before, arrived, release := f.keySet(), make(chan struct{}), make(chan struct{})
	f.handle(nil, func(w http.ResponseWriter, _ *http.Request) {
		f.handle(nil, nil)
		close(arrived)
		<-release
		_, _ = io.WriteString(w, before)
	})
	e := k.entry(f.issuer, Terms{})
	old, joined, fail := k.start(t.Context(), e, forKey)
	if old == nil || joined || fail != nil {
		t.Fatal("no fetch was started")
	}
	<-arrived
	f.setKeys(one, two)
	result := make(chan error)
	go func() {
		_, err := k.Lookup(t.Context(), f.issuer, header("k2"))
		result <- err
	}()
	close(release)
	if err := <-result; err != nil {
		t.Error(err)
	}
	f.wantFetches(t, 1, 3)
}

func TestSameKeyIDNewKey(t *testing.T) {
	old, _ := jwk(t, "k1")
	f := newFakeIssuer(t, old)
	k, _ := newKeySets(t, Config{}, f)
	tried, err := k.Lookup(t.Context(), f.issuer, header("k1"))
	if err != nil {
		t.Fatal(err)
	}
	renewed, public := jwk(t, "k1")
	f.setKeys(renewed)
	keys := k.Renew(t.Context(), f.issuer, header("k1"), tried)
	want, _ := jose.Thumbprint(public.(crypto.PublicKey))
	if len(keys) != 1 || keys[0].Thumbprint() != want {
		t.Fatalf("got %v", keys)
	}
	f.wantFetches(t, 1, 2)
	// The old key's owner tries again: one more fetch, then nothing.
	for range 50 {
		if again := k.Renew(t.Context(), f.issuer, header("k1"), keys); again != nil {
			t.Fatalf("got %v", again)
		}
	}
	f.wantFetches(t, 1, 3)
	if k.Renew(t.Context(), "https://nobody.example", header("k1"), nil) != nil {
		t.Error("keys of an issuer never asked for")
	}
}

// What was tried before the set was replaced needs no fetch to be renewed.
func TestRenewUsesWhatIsThere(t *testing.T) {
	old, _ := jwk(t, "k1")
	f := newFakeIssuer(t, old)
	k, _ := newKeySets(t, Config{}, f)
	tried, err := k.Lookup(t.Context(), f.issuer, header("k1"))
	if err != nil {
		t.Fatal(err)
	}
	renewed, _ := jwk(t, "k1")
	f.setKeys(renewed)
	wantUnknown(t, k, f.issuer, "other")
	if keys := k.Renew(t.Context(), f.issuer, header("k1"), tried); len(keys) != 1 {
		t.Fatalf("got %v", keys)
	}
	f.wantFetches(t, 1, 2)
}

func TestBrokenRefreshKeepsTheOldKeys(t *testing.T) {
	one, _ := jwk(t, "k1")
	f := newFakeIssuer(t, one)
	k, clock := newKeySets(t, Config{}, f)
	wantKey(t, k, f.issuer, "k1")
	for _, body := range []string{`{"keys":[{"kty":"RSA"`, "", `{"keys":[]}`} {
		f.handle(nil, text(200, body))
		if _, err := k.Lookup(t.Context(), f.issuer, header("new"+body)); err == nil {
			t.Error("unknown key found")
		}
		wantKey(t, k, f.issuer, "k1")
		clock.Advance(10 * time.Second)
	}
	f.wantFetches(t, 1, 4)
}

func TestKeyIDAbsent(t *testing.T) {
	one, _ := jwk(t, "k1")
	two, _ := jwk(t, "k2")
	f := newFakeIssuer(t, one)
	k, _ := newKeySets(t, Config{}, f)
	anonymous := jose.Header{Algorithm: "ES256"}
	if keys, err := k.Lookup(t.Context(), f.issuer, anonymous); err != nil || len(keys) != 1 {
		t.Errorf("one key: %v, %v", keys, err)
	}
	f.setKeys(one, two)
	wantKey(t, k, f.issuer, "k2")
	if _, err := k.Lookup(t.Context(), f.issuer, anonymous); err != ErrKeyIDRequired {
		t.Errorf("two keys: %v", err)
	}
	f.wantFetches(t, 1, 2)
	_, err := k.Lookup(t.Context(), f.issuer, jose.Header{Algorithm: "RS256", KeyID: "k1", HasKeyID: true})
	if err != ErrKeyAlgorithm || !errors.Is(err, ErrUnknownKey) {
		t.Errorf("known key, other algorithm: %v", err)
	}
}

// Keys are those of one issuer, its name compared byte for byte.
func TestIssuersShareNothing(t *testing.T) {
	one, a := jwk(t, "k1")
	other, b := jwk(t, "k1")
	f, g := newFakeIssuer(t, one), newFakeIssuer(t, other)
	k, _ := newKeySets(t, Config{}, f, g)
	for issuer, public := range map[string]crypto.PublicKey{f.issuer: a, g.issuer: b} {
		keys, err := k.Lookup(t.Context(), issuer, header("k1"))
		want, _ := jose.Thumbprint(public)
		if err != nil || keys[0].Thumbprint() != want {
			t.Errorf("%v, %v", keys, err)
		}
	}
	// The same place with a slash is another issuer, whose document names
	// the one without.
	wantReason(t, k, f.issuer+"/", ReasonIssuerMismatch)
	wantReason(t, k, strings.Replace(f.issuer, "tenant", "Tenant", 1), ReasonStatus)
}

func TestSlashAtTheEnd(t *testing.T) {
	one, _ := jwk(t, "k1")
	f := newFakeIssuer(t, one)
	f.issuer += "/"
	f.handle(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, f.issuer, f.issuer+"keys")
	}, nil)
	k, _ := newKeySets(t, Config{}, f)
	wantKey(t, k, f.issuer, "k1")
	f.wantFetches(t, 1, 1)
}

func TestEvictionBoundsTheCache(t *testing.T) {
	one, _ := jwk(t, "k1")
	f := newFakeIssuer(t, one)
	k, clock := newKeySets(t, Config{Cache: CacheSettings{MaxIssuers: 100}}, f)
	wantKey(t, k, f.issuer, "k1")
	for i := range 1000 {
		clock.Advance(time.Second)
		_, _ = k.Lookup(t.Context(), fmt.Sprintf("https://127.0.0.9/%d", i), header("k1"))
		wantKey(t, k, f.issuer, "k1")
	}
	settle(k)
	k.mu.Lock()
	defer k.mu.Unlock()
	var sum int64
	for _, e := range k.entries {
		sum += e.cost
	}
	if len(k.entries) != 100 || k.bytes != sum {
		t.Errorf("%d entries, %d bytes counted, %d there", len(k.entries), k.bytes, sum)
	}
	if k.entries[f.issuer] == nil {
		t.Error("the issuer in use was evicted")
	}
}

func TestEvictionByBytes(t *testing.T) {
	k, _ := newKeySets(t, Config{Cache: CacheSettings{MaxCacheBytes: 100_000}})
	for i := range 50 {
		e := k.entry(fmt.Sprintf("https://issuer.example/%d", i), Terms{})
		k.account(e, 20_000)
		if k.bytes > 100_000 || len(k.entries) == 0 {
			t.Fatalf("%d bytes in %d entries", k.bytes, len(k.entries))
		}
	}
	e := k.entry("https://large.example", Terms{})
	k.account(e, 1_000_000)
	if len(k.entries) != 1 || k.entries["https://large.example"] != e {
		t.Error("the entry just filled must stay")
	}
}

func TestCloseEndsFetches(t *testing.T) {
	f := newFakeIssuer(t)
	arrived := make(chan struct{})
	f.handle(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	}, nil)
	k, _ := newKeySets(t, Config{}, f)
	result := make(chan error)
	go func() {
		_, err := k.Lookup(context.Background(), f.issuer, header("k1"))
		result <- err
	}()
	<-arrived
	k.Close()
	if err := <-result; err == nil {
		t.Error("no error after Close")
	}
	_, err := k.Lookup(t.Context(), "https://127.0.0.1:1", header("k1"))
	var fail *FetchError
	if !errors.As(err, &fail) || fail.Reason != ReasonBusy {
		t.Errorf("after Close: %v", err)
	}
}

func TestWarmLookupDoesNotAllocate(t *testing.T) {
	one, _ := jwk(t, "k1")
	f := newFakeIssuer(t, one)
	k, _ := newKeySets(t, Config{}, f)
	wantKey(t, k, f.issuer, "k1")
	h := header("k1")
	if n := testing.AllocsPerRun(1000, func() { _, _ = k.Lookup(t.Context(), f.issuer, h) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkWarmLookup(b *testing.B) {
	one, _ := jwk(b, "k1")
	f := newFakeIssuer(b, one)
	k, _ := newKeySets(b, Config{}, f)
	k.config.Clock = time.Now
	ctx, h := context.Background(), header("k1")
	if _, err := k.Lookup(ctx, f.issuer, h); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := k.Lookup(ctx, f.issuer, h); err != nil {
				b.Error(err)
			}
		}
	})
}
