package oidc

import (
	"crypto/x509"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"cambio/internal/jose"
)

// keySet is the keys of one issuer as of one fetch. Immutable; a refresh
// replaces it as a whole, so a key that the issuer removed is gone.
type keySet struct {
	keys      *jose.KeySet
	roots     []*x509.Certificate // of a SPIFFE bundle, that X.509-SVIDs chain to
	fetchedAt time.Time
	refreshAt time.Time // from here on renewed in the background
	staleAt   time.Time // from here on renewed first, unless the issuer is known to be down
	deadAt    time.Time // from here on not used
	cost      int64     // estimated memory, in bytes
}

// newKeySet stamps a key set with its ages. The jitter keeps replicas, and
// issuers that were first used together, from refreshing together.
func newKeySet(keys *jose.KeySet, size int, now time.Time, settings CacheSettings) *keySet {
	soft := float64(settings.SoftTTL)
	return &keySet{
		keys:      keys,
		fetchedAt: now,
		refreshAt: now.Add(time.Duration(soft * (0.9 + 0.2*rand.Float64()))),
		staleAt:   now.Add(time.Duration(soft * 1.25)),
		deadAt:    now.Add(settings.HardTTL),
		cost:      2*int64(size) + 2048, // parsed keys are about as large as their text; twice to be safe
	}
}

// candidates are the keys that the header can mean.
func (s *keySet) candidates(header *jose.Header) ([]*jose.PublicKey, error) {
	keys, known := s.keys.Candidates(*header)
	switch {
	case len(keys) == 0 && header.HasKeyID && known:
		return nil, ErrKeyAlgorithm
	case len(keys) == 0:
		return nil, ErrUnknownKey
	case !header.HasKeyID && len(keys) > 1:
		return nil, ErrKeyIDRequired
	}
	return keys, nil
}

// purpose is why a refresh is wanted; each has its own limit.
type purpose int

const (
	forFirstUse purpose = iota // there are no keys to use
	forAge                     // the keys are old
	forKey                     // a token names a key that is not there, or fails with the one that is
)

// entry is what is known of one issuer. It is owned by the KeySets that holds
// it; keys of one entry are never used for another.
type entry struct {
	issuer  string
	bundle  string // URL of the SPIFFE bundle that its keys are in; empty: they are discovered
	name    string // the issuer's, or that of the terms it is asked under
	rules   *rules
	current atomic.Pointer[keySet] // nil before the first success; written by the running flight only
	usedAt  atomic.Int64           // Unix seconds of the last use, for eviction
	cost    int64                  // what the entry counts for; guarded by KeySets.mu

	mu           sync.Mutex // guards what follows; never held during a fetch
	flight       *flight    // the refresh under way, nil when none
	attempted    bool       // a refresh was ever started
	bucket       *rate.Limiter
	failures     int         // refreshes that failed since the last success
	quietUntil   time.Time   // after a failure: no refresh that a request waits for
	retryAt      time.Time   // after a failure: no refresh for age
	lastError    *FetchError // of the last refresh; nil when it succeeded
	failedAt     time.Time
	jwksURI      string // from the last good discovery document
	discoveredAt time.Time
}

// flight is one refresh, shared by everybody who waits for its outcome.
type flight struct {
	done chan struct{}
	err  *FetchError // set before done is closed
}

func newEntry(issuer string, r *rules, settings CacheSettings) *entry {
	return &entry{
		issuer: issuer,
		rules:  r,
		bucket: rate.NewLimiter(rate.Every(settings.RefreshEvery), settings.RefreshBurst),
	}
}

// touch notes the use of the entry, writing at most once a second so that
// concurrent readers do not fight for the memory.
func (e *entry) touch(now time.Time) {
	if s := now.Unix(); e.usedAt.Load() != s {
		e.usedAt.Store(s)
	}
}

// admit decides whether a refresh may start now; e.mu is held. The limits
// depend on time alone: not on what the set holds, not on other issuers. A
// request that a known key satisfies never gets here.
func (e *entry) admit(why purpose, now time.Time) bool {
	switch {
	case why == forAge:
		return !now.Before(e.retryAt) && (e.failures == 0 || e.bucket.AllowN(now, 1))
	case why == forFirstUse && !e.attempted:
		return true
	}
	return !now.Before(e.quietUntil) && e.bucket.AllowN(now, 1)
}

// refusal is the answer to a request whose refresh was not admitted: the
// outcome of the last one, nil if that was a success. e.mu is held.
func (e *entry) refusal(now time.Time) *FetchError {
	if e.lastError == nil {
		return nil
	}
	wait := e.quietUntil.Sub(now)
	if missing := 1 - e.bucket.TokensAt(now); missing > 0 {
		wait = max(wait, time.Duration(missing/float64(e.bucket.Limit())*float64(time.Second)))
	}
	return e.lastError.retryIn(wait)
}

// succeed and fail record the outcome of a refresh; e.mu is held.
func (e *entry) succeed() {
	e.failures, e.lastError = 0, nil
	e.quietUntil, e.retryAt, e.failedAt = time.Time{}, time.Time{}, time.Time{}
}

// fail sets how long the outcome is remembered. A request that has no key
// would have to wait for the next attempt, perhaps for nothing, but it keeps
// a workload out, so these pauses stay short; for age there is no hurry.
func (e *entry) fail(err *FetchError, now time.Time) {
	e.quietUntil = now.Add(doubled(time.Second, e.failures, 10*time.Second))
	e.retryAt = now.Add(doubled(10*time.Second, e.failures, 5*time.Minute))
	e.failures++
	e.lastError, e.failedAt = err, now
}

func doubled(pause time.Duration, times int, longest time.Duration) time.Duration {
	for i := 0; i < times && pause < longest; i++ {
		pause *= 2
	}
	return min(pause, longest)
}
