package limit

import (
	"context"
	"hash/maphash"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Refusals says how many refused requests a second are examined; ten seconds'
// worth may come at once. A zero is no bound.
type Refusals struct {
	Source int // from one network address
	Client int // of one client, whoever sends them
	Issuer int // with tokens of one issuer
	All    int
}

// Kind is what has run out.
type Kind int

// Kinds of allowance. None is the zero value.
const (
	None Kind = iota
	Source
	Client
	Issuer
	All
)

// Kinds are all kinds, by name.
var Kinds = map[Kind]string{Source: "source", Client: "client", Issuer: "issuer", All: "all"}

// Gate keeps refused requests from costing the others anything. Requests that
// are refused use up allowances: of their source, of the client that they
// name, of the issuer that they present. When one has run out, requests that
// would take from it are not examined any more, but for those of a client that
// was issued a token lately, at the same source: a stranger who knows its name
// or sits behind the same address cannot lock it out. Memory is bounded,
// whatever is sent. It is safe for concurrent use.
type Gate struct {
	kinds   map[Kind]*Limiters
	good    *recent // pairs of client and source
	seed    maphash.Seed
	holding chan struct{}
	notes   [len(noteKinds)]note
}

// noteKinds are the kinds, in the order of Gate.notes.
var noteKinds = [...]Kind{Source, Client, Issuer, All}

// note is when something was last said of a kind, and what came since.
type note struct {
	at      atomic.Int64 // nanoseconds
	skipped atomic.Int64
}

const (
	// Hold is how long a request that is not examined is kept waiting for its
	// answer, half of it more or less, so that a sender in a loop slows down.
	Hold = time.Second
	// mostHeld is how many wait at a time.
	mostHeld = 1024
	// noteEvery is how often something is said of a kind.
	noteEvery = time.Minute
	// seconds is how many seconds' worth of an allowance may come at once.
	seconds = 10
)

// NewGate makes a Gate.
func NewGate(r Refusals, now func() time.Time) *Gate {
	g := &Gate{kinds: map[Kind]*Limiters{}, good: &recent{newer: map[hash]bool{}}, seed: maphash.MakeSeed(), holding: make(chan struct{}, mostHeld)}
	for kind, perSecond := range map[Kind]int{Source: r.Source, Client: r.Client, Issuer: r.Issuer, All: r.All} {
		if perSecond > 0 {
			g.kinds[kind] = New(float64(perSecond), seconds*perSecond, now)
		}
	}
	return g
}

// Subject is what a request says of itself. Names that are not known yet are
// empty.
type Subject struct{ Source, Client, Issuer string }

func (s *Subject) name(kind Kind) string {
	switch kind {
	case Source:
		return network(s.Source)
	case Client:
		return s.Client
	case Issuer:
		return s.Issuer
	}
	return "all"
}

// Admit reports what has run out for a request, None to examine it.
func (g *Gate) Admit(s Subject) Kind {
	if len(g.kinds) == 0 {
		return None
	}
	for _, kind := range noteKinds {
		name := s.name(kind)
		if limiters := g.kinds[kind]; limiters != nil && name != "" && !limiters.Available("", name) {
			if g.good.has(g.pair(s)) {
				return None
			}
			return kind
		}
	}
	return None
}

// Refused takes a refused request from the allowances.
func (g *Gate) Refused(s Subject) {
	for kind, limiters := range g.kinds {
		if name := s.name(kind); name != "" {
			limiters.Allow("", name)
		}
	}
}

// Issued notes that a client was issued a token.
func (g *Gate) Issued(s Subject) {
	if len(g.kinds) > 0 {
		g.good.add(g.pair(s))
	}
}

func (g *Gate) pair(s Subject) hash { return hashOf(g.seed, s.Client, network(s.Source)) }

// Note reports whether to say something of a request that was not examined,
// and how many of its kind were passed over in silence before.
func (g *Gate) Note(kind Kind, now time.Time) (say bool, skipped int64) {
	for i, k := range noteKinds {
		if k != kind {
			continue
		}
		n := &g.notes[i]
		last := n.at.Load()
		if now.UnixNano()-last >= int64(noteEvery) && n.at.CompareAndSwap(last, now.UnixNano()) {
			return true, n.skipped.Swap(0)
		}
		n.skipped.Add(1)
	}
	return false, 0
}

// Wait keeps the sender of a request that is not examined waiting, unless very
// many wait already.
func (g *Gate) Wait(ctx context.Context) {
	select {
	case g.holding <- struct{}{}:
	default:
		return
	}
	defer func() { <-g.holding }()
	// Not all at once again: those who were refused together come back together.
	timer := time.NewTimer(Hold/2 + rand.N(Hold))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// network is what counts as one source: an IPv4 address, or the 64 bits of an
// IPv6 address that a network has.
func network(source string) string {
	addr, err := netip.ParseAddr(source)
	if err != nil || !addr.Is6() || addr.Is4In6() {
		return source
	}
	prefix, _ := addr.WithZone("").Prefix(64) // never fails for IPv6
	return prefix.String()
}

// recent remembers what was added lately: between recentSize and twice that.
type recent struct {
	mu           sync.RWMutex
	newer, older map[hash]bool
}

const recentSize = 16384

func (r *recent) has(h hash) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.newer[h] || r.older[h]
}

func (r *recent) add(h hash) {
	r.mu.RLock()
	known := r.newer[h]
	r.mu.RUnlock()
	if known {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.newer) >= recentSize {
		r.older, r.newer = r.newer, make(map[hash]bool)
	}
	r.newer[h] = true
}
