package store

import (
	"hash/maphash"
	"sync"

	"golang.org/x/time/rate"
)

// limiterGeneration is how many clients' limiters one generation holds.
const limiterGeneration = 4096

// limiterKey is a hash of tenant and name: names come from callers, who must
// not choose how much is kept of them. Two that meet in 64 bits, under a seed
// that nobody knows, share an allowance.
type limiterKey uint64

// limiters limits what each client may cause. It keeps two generations of
// limiters: when the newer one is full it becomes the older one, and what was
// not used since is forgotten. So its size is bounded, below 1 MiB, and a
// flood under many names cannot take another client's allowance away.
type limiters struct {
	limit rate.Limit
	burst int
	seed  maphash.Seed

	mu           sync.Mutex
	newer, older map[limiterKey]*rate.Limiter
}

func newLimiters(perSecond float64, burst int) *limiters {
	return &limiters{limit: rate.Limit(perSecond), burst: burst, seed: maphash.MakeSeed(), newer: make(map[limiterKey]*rate.Limiter)}
}

func (l *limiters) key(tenantID, name string) limiterKey {
	var h maphash.Hash
	h.SetSeed(l.seed)
	h.WriteString(tenantID)
	h.WriteByte(0) // not in a tenant's id
	h.WriteString(name)
	return limiterKey(h.Sum64())
}

// find returns the limiter of a client, nil when it has none; l.mu is held.
func (l *limiters) find(key limiterKey) *rate.Limiter {
	if limiter := l.newer[key]; limiter != nil {
		return limiter
	}
	limiter := l.older[key]
	if limiter != nil {
		l.add(key, limiter)
	}
	return limiter
}

func (l *limiters) add(key limiterKey, limiter *rate.Limiter) {
	if len(l.newer) >= limiterGeneration {
		l.older, l.newer = l.newer, make(map[limiterKey]*rate.Limiter)
	}
	l.newer[key] = limiter
}

// allow takes one from the client's allowance and reports whether it had one.
func (l *limiters) allow(tenantID, name string) bool {
	key := l.key(tenantID, name)
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter := l.find(key)
	if limiter == nil {
		limiter = rate.NewLimiter(l.limit, l.burst)
		l.add(key, limiter)
	}
	return limiter.Allow()
}

// available reports whether the client has any allowance left, without taking
// from it.
func (l *limiters) available(tenantID, name string) bool {
	key := l.key(tenantID, name)
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter := l.find(key)
	return limiter == nil || limiter.Tokens() >= 1
}
