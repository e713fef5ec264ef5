// Package limit bounds how often each of many parties may do something, in
// bounded memory whoever they say they are.
package limit

import (
	"hash/maphash"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// generation is how many parties' limiters one generation holds.
const generation = 4096

// hash stands for tenant and name: names come from callers, who must not
// choose how much is kept of them. Two that meet in 64 bits, under a seed that
// nobody knows, share an allowance.
type hash uint64

// Limiters limits what each party may cause. It keeps two generations of
// limiters: when the newer one is full it becomes the older one, and what was
// not used since is forgotten. So its size is bounded, below 1 MiB, and a
// flood under many names cannot take another party's allowance away. It is
// safe for concurrent use.
type Limiters struct {
	limit rate.Limit
	burst int
	now   func() time.Time
	seed  maphash.Seed

	mu           sync.Mutex
	newer, older map[hash]*rate.Limiter
}

// New makes Limiters that allow each party perSecond, and burst at once.
func New(perSecond float64, burst int, now func() time.Time) *Limiters {
	return &Limiters{limit: rate.Limit(perSecond), burst: burst, now: now, seed: maphash.MakeSeed(), newer: make(map[hash]*rate.Limiter)}
}

func (l *Limiters) hash(tenantID, name string) hash { return hashOf(l.seed, tenantID, name) }

// hashOf hashes two names, the first of which has no zero byte.
func hashOf(seed maphash.Seed, first, second string) hash {
	var h maphash.Hash
	h.SetSeed(seed)
	h.WriteString(first)
	h.WriteByte(0)
	h.WriteString(second)
	return hash(h.Sum64())
}

// find returns the limiter of a party, nil when it has none; l.mu is held.
func (l *Limiters) find(key hash) *rate.Limiter {
	if limiter := l.newer[key]; limiter != nil {
		return limiter
	}
	limiter := l.older[key]
	if limiter != nil {
		l.add(key, limiter)
	}
	return limiter
}

func (l *Limiters) add(key hash, limiter *rate.Limiter) {
	if len(l.newer) >= generation {
		l.older, l.newer = l.newer, make(map[hash]*rate.Limiter)
	}
	l.newer[key] = limiter
}

// Allow takes one from the party's allowance and reports whether it had one.
func (l *Limiters) Allow(tenantID, name string) bool {
	key := l.hash(tenantID, name)
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter := l.find(key)
	if limiter == nil {
		limiter = rate.NewLimiter(l.limit, l.burst)
		l.add(key, limiter)
	}
	return limiter.AllowN(l.now(), 1)
}

// Left is how often the party could be allowed now.
func (l *Limiters) Left(tenantID, name string) int {
	key := l.hash(tenantID, name)
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter := l.find(key)
	if limiter == nil {
		return l.burst
	}
	return max(int(limiter.TokensAt(l.now())), 0)
}

// Available reports whether the party has any allowance left, without taking
// from it.
func (l *Limiters) Available(tenantID, name string) bool { return l.Left(tenantID, name) >= 1 }
