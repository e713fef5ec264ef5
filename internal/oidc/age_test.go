package oidc

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

func TestKeysInUseAreRenewedInTheBackground(t *testing.T) {
	one, _ := jwk(t, "k1")
	two, _ := jwk(t, "k2")
	f := newFakeIssuer(t, one)
	k, clock := newKeySets(t, Config{}, f)
	wantKey(t, k, f.issuer, "k1")
	clock.Advance(53 * time.Minute)
	wantKey(t, k, f.issuer, "k1")
	settle(k)
	f.wantFetches(t, 1, 1)

	f.setKeys(two)
	release := make(chan struct{})
	f.handle(nil, func(w http.ResponseWriter, _ *http.Request) {
		<-release
		_, _ = io.WriteString(w, f.keySet())
	})
	clock.Advance(14 * time.Minute)
	wantKey(t, k, f.issuer, "k1") // without waiting for the fetch, which hangs
	close(release)
	settle(k)
	f.wantFetches(t, 2, 2)
	wantKey(t, k, f.issuer, "k2")
	f.wantFetches(t, 2, 2)
}

func TestIdleKeysAreRenewedBeforeUse(t *testing.T) {
	one, _ := jwk(t, "k1")
	two, _ := jwk(t, "k2")
	f := newFakeIssuer(t, one)
	k, clock := newKeySets(t, Config{}, f)
	wantKey(t, k, f.issuer, "k1")
	f.setKeys(two)
	clock.Advance(3 * time.Hour)
	wantUnknown(t, k, f.issuer, "k1")
	wantKey(t, k, f.issuer, "k2")
	f.wantFetches(t, 2, 2)
}

func TestOutage(t *testing.T) {
	one, _ := jwk(t, "k1")
	f := newFakeIssuer(t, one)
	k, clock := newKeySets(t, Config{}, f)
	wantKey(t, k, f.issuer, "k1")
	f.handle(drop, drop)

	// Unknown keys: the failure, then the remembered failure.
	for range 20 {
		_, err := k.Lookup(t.Context(), f.issuer, header("other"))
		fail, ok := err.(*FetchError)
		if !ok || fail.Reason != ReasonUnreachable || !fail.Temporary || fail.RetryAfter < time.Second {
			t.Fatalf("unknown key: %v", err)
		}
		wantKey(t, k, f.issuer, "k1")
	}
	if n := f.keyFetches.Load(); n != 2 {
		t.Errorf("%d fetches", n)
	}

	// Known keys serve for 24 h, with a retry now and then.
	for age := time.Duration(0); age < 24*time.Hour-time.Minute; age += time.Minute {
		wantKey(t, k, f.issuer, "k1")
		settle(k)
		clock.Advance(time.Minute)
	}
	if n := f.discoveries.Load(); n > 24*12+20 {
		t.Errorf("%d discovery fetches in a day of outage", n)
	}
	clock.Advance(time.Minute)
	fail := wantReason(t, k, f.issuer, ReasonUnreachable)
	if !fail.Temporary {
		t.Error("an outage passes")
	}
	f.handle(nil, nil)
	clock.Advance(10 * time.Second)
	wantKey(t, k, f.issuer, "k1")
}

// Each failure is remembered for a while, so that an issuer that fails is
// asked at most three times and then once in ten seconds, whatever it answers.
func TestFailuresAreRemembered(t *testing.T) {
	cases := map[string]struct {
		discovery, keys http.HandlerFunc
		reason          Reason
		temporary       bool
	}{
		"error":     {text(500, "x"), nil, ReasonStatus, true},
		"throttled": {text(429, "x"), nil, ReasonStatus, true},
		"absent":    {text(404, "x"), nil, ReasonStatus, false},
		"down":      {drop, drop, ReasonUnreachable, true},
		"empty set": {nil, text(200, `{"keys":[]}`), ReasonNoKeys, false},
		"not a set": {nil, text(200, `{}`), ReasonKeySet, false},
		"keys gone": {nil, text(404, ``), ReasonStatus, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFakeIssuer(t)
			f.handle(c.discovery, c.keys)
			k, clock := newKeySets(t, Config{}, f)
			for second := range 60 {
				for range 10 {
					fail := wantReason(t, k, f.issuer, c.reason)
					if fail.Temporary != c.temporary || fail.RetryAfter < time.Second || fail.RetryAfter > 11*time.Second {
						t.Fatalf("temporary %v, retry after %v", fail.Temporary, fail.RetryAfter)
					}
				}
				if n := f.discoveries.Load(); n > int64(3+second/10) {
					t.Fatalf("%d discovery fetches in %d s", n, second)
				}
				if n := f.keyFetches.Load(); n > int64(3+second/10) {
					t.Fatalf("%d key set fetches in %d s", n, second)
				}
				clock.Advance(time.Second)
			}
			if n := max(f.discoveries.Load(), f.keyFetches.Load()); n < 6 {
				t.Errorf("only %d attempts in a minute", n)
			}
			one, _ := jwk(t, "k1")
			f.setKeys(one)
			f.handle(nil, nil)
			clock.Advance(11 * time.Second)
			wantKey(t, k, f.issuer, "k1")
		})
	}
}

func TestRetryAfterIsTrue(t *testing.T) {
	one, _ := jwk(t, "k1")
	f := newFakeIssuer(t, one)
	f.handle(text(503, ""), nil)
	k, clock := newKeySets(t, Config{}, f)
	for range 6 {
		fail := wantReason(t, k, f.issuer, ReasonStatus)
		before := f.discoveries.Load()
		clock.Advance(fail.RetryAfter)
		wantReason(t, k, f.issuer, ReasonStatus)
		if f.discoveries.Load() != before+1 {
			t.Errorf("no attempt after %v", fail.RetryAfter)
		}
	}
}

func TestJWKSURIMoves(t *testing.T) {
	one, _ := jwk(t, "k1")
	two, _ := jwk(t, "k2")
	old, home := newFakeIssuer(t, one), newFakeIssuer(t, one)
	var place atomic.Pointer[fakeIssuer]
	place.Store(old)
	home.handle(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, home.issuer, place.Load().issuer+"/keys")
	}, nil)
	k, clock := newKeySets(t, Config{}, old, home)
	wantKey(t, k, home.issuer, "k1") // on another host than the issuer

	// Moved, the old place answers 404: found with the same request.
	place.Store(home)
	home.setKeys(two)
	old.handle(nil, text(404, ""))
	wantKey(t, k, home.issuer, "k2")
	home.wantFetches(t, 2, 1)
	old.wantFetches(t, 0, 2)

	// Moved back, while this place still serves: found once the discovery
	// document is old enough to be read again.
	place.Store(old)
	old.handle(nil, nil)
	wantUnknown(t, k, home.issuer, "k1")
	clock.Advance(5 * time.Minute)
	wantKey(t, k, home.issuer, "k1")
}

func TestPanicCostsOneRefresh(t *testing.T) {
	one, _ := jwk(t, "k1")
	f := newFakeIssuer(t, one)
	var calls atomic.Int64
	k, clock := newKeySets(t, Config{OnFetch: func(FetchEvent) {
		if calls.Add(1) == 1 {
			panic("first")
		}
	}}, f)
	if fail := wantReason(t, k, f.issuer, ReasonInternal); !fail.Temporary {
		t.Error("want temporary")
	}
	clock.Advance(2 * time.Second)
	wantKey(t, k, f.issuer, "k1")
}

func TestEveryFetchIsReported(t *testing.T) {
	one, _ := jwk(t, "k1")
	f := newFakeIssuer(t, one, `{"kty":"oct","k":"AAAA","kid":"o"}`, `{"kty":"RSA","kid":"weak","n":"AQAB","e":"AQAB"}`)
	var events []FetchEvent
	k, _ := newKeySets(t, Config{OnFetch: func(e FetchEvent) { events = append(events, e) }}, f)
	wantKey(t, k, f.issuer, "k1")
	f.handle(nil, text(500, ""))
	if _, err := k.Lookup(t.Context(), f.issuer, header("k2")); err == nil {
		t.Error("found")
	}
	want := []string{"discovery ok", "jwks ok", "jwks status", "discovery ok"}
	for i, e := range events {
		if got := e.Document + " " + e.Outcome(); i >= len(want) || got != want[i] || e.Issuer != f.issuer || e.At.IsZero() {
			t.Errorf("event %d: %+v", i, e)
		}
	}
	if len(events) != len(want) || events[1].Keys != 1 || events[1].Ignored != 2 {
		t.Errorf("events %+v", events)
	}
	s, _ := k.Status(f.issuer)
	if len(s.Ignored) != 2 || s.LastError == nil || s.LastError.Status != 500 || !s.NextTry.After(s.FailedAt) {
		t.Errorf("status %+v", s)
	}
	if _, known := k.Status("https://other.example"); known {
		t.Error("status of an unknown issuer")
	}
}

func TestKeysBeyondTheBoundAreReported(t *testing.T) {
	var keys []string
	for i := range 5 {
		key, _ := jwk(t, fmt.Sprint("k", i))
		keys = append(keys, key)
	}
	f := newFakeIssuer(t, keys...)
	k, _ := newKeySets(t, Config{MaxKeys: 7, Issuers: []IssuerPolicy{{
		Issuer: f.issuer, MaxKeys: 3, RootsPEM: f.roots(), AllowAddrPorts: nil, AllowPrefixes: prefixes("127.0.0.0/8"),
	}}})
	wantKey(t, k, f.issuer, "k2")
	wantUnknown(t, k, f.issuer, "k3")
	if s, _ := k.Status(f.issuer); len(s.Keys) != 3 || len(s.Ignored) != 2 {
		t.Errorf("%d keys, %d ignored", len(s.Keys), len(s.Ignored))
	}
}
