package oidc

import (
	"context"
	"errors"
	"sync"
	"time"

	"cambio/internal/jose"
	"cambio/internal/tracing"
)

// KeySets gives the keys of external issuers. Keys are kept per issuer, the
// issuer compared byte for byte. Safe for concurrent use; Close it.
type KeySets struct {
	config   Config
	standard *rules
	special  map[string]*rules // by issuer; never written after New
	shared   *outbound
	slots    chan struct{} // one held by each refresh under way
	parsing  chan struct{} // one held while a key set is parsed

	stop   context.CancelFunc
	ctx    context.Context // the lifetime of all refreshes, ended by Close
	flying sync.WaitGroup

	mu      sync.RWMutex // guards what follows; held for memory operations only
	entries map[string]*entry
	bytes   int64 // sum of entry.cost
	closed  bool
}

// parsers is how many key sets are parsed at once: enough for the cores of a
// small machine, few enough that a flood of large documents stays small.
const parsers = 2

// waitMargin is how much longer a request waits than a refresh may take, so
// that it learns the refresh's own outcome.
const waitMargin = 250 * time.Millisecond

// New makes an empty cache. It fails on negative settings, on certificates
// that cannot be read and on an issuer policy that contradicts itself.
func New(config Config) (*KeySets, error) {
	if err := config.setDefaults(); err != nil {
		return nil, err
	}
	shared := config.outbound()
	standard, special, err := config.compile(shared)
	if err != nil {
		return nil, err
	}
	k := &KeySets{
		config:   config,
		standard: standard,
		special:  special,
		shared:   shared,
		slots:    make(chan struct{}, config.HTTP.MaxConcurrent),
		parsing:  make(chan struct{}, parsers),
		entries:  make(map[string]*entry),
	}
	k.ctx, k.stop = context.WithCancel(context.Background())
	return k, nil
}

// Close ends all refreshes and waits for them. Known keys can still be looked
// up afterwards.
func (k *KeySets) Close() {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.stop()
	k.flying.Wait()
}

// CheckIssuer is CheckIssuerURL with what this configuration permits.
func (k *KeySets) CheckIssuer(issuer string) error {
	r := k.rulesOf(issuer)
	if err := checkIssuer(issuer, r.allowHTTP, r.allowed); err != nil {
		return err
	}
	return nil
}

// Lookup gives the keys of an issuer that the header of a token can mean, to
// be tried in turn; the slice must not be changed. Known keys are given from
// memory, without any wait, however many other tokens name unknown ones. For
// the first token of an issuer and for an unknown key it waits for a fetch, at
// most HTTPSettings.Timeout (and a quarter of a second) and only if the issuer's budget allows one.
// A caller that waited must check the times of the token afterwards.
//
// Errors: *FetchError, ErrUnknownKey or its special case
// ErrKeyAlgorithm, ErrKeyIDRequired.
func (k *KeySets) Lookup(ctx context.Context, issuer string, header jose.Header) ([]*jose.PublicKey, error) {
	return k.LookupUnder(ctx, issuer, Terms{}, header)
}

// Terms are what somebody asks of an issuer beyond the configuration.
// The zero value is nothing but the configuration.
type Terms struct {
	// Name tells these terms of an issuer from all others: what is fetched
	// under one name is never used under another. It begins with the issuer.
	Name string
	// Bundle is the URL of the SPIFFE bundle endpoint that the keys are read
	// from; empty: they are discovered.
	Bundle string
	// Policy is asked for once, when the first document is fetched.
	Policy func() IssuerPolicy
}

// under is the name of what is known of an issuer.
func (t Terms) under(issuer string) string {
	if t.Name == "" {
		return issuer
	}
	return t.Name
}

// LookupUnder is Lookup under terms.
func (k *KeySets) LookupUnder(ctx context.Context, issuer string, terms Terms, header jose.Header) ([]*jose.PublicKey, error) {
	e := k.known(issuer, terms)
	if e != nil {
		now := k.config.Clock()
		if set := e.current.Load(); set != nil && now.Before(set.refreshAt) {
			e.touch(now)
			keys, err := set.candidates(&header)
			if err == nil || errors.Is(err, ErrKeyIDRequired) {
				return keys, err
			}
		}
	}
	return k.lookupSlowly(ctx, issuer, terms, &header)
}

// known returns what is known of an issuer; nil: nothing.
func (k *KeySets) known(issuer string, terms Terms) *entry {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.entries[terms.under(issuer)]
}

func (k *KeySets) lookupSlowly(ctx context.Context, issuer string, terms Terms, header *jose.Header) ([]*jose.PublicKey, error) {
	ctx, cancel := context.WithTimeout(ctx, k.config.HTTP.Timeout+waitMargin)
	defer cancel()
	ctx, span := tracing.Start(ctx, "issuer keys")
	defer span.End()
	e := k.entry(issuer, terms)
	set, fresh, fail := k.usable(ctx, e)
	if fail != nil {
		return nil, fail
	}
	keys, err := set.candidates(header)
	if fresh || !errors.Is(err, ErrUnknownKey) {
		return keys, err
	}
	// Twice at most: a fetch that was under way already may have begun before
	// the issuer published the key.
	for range 2 {
		f, joined, fail := k.start(ctx, e, forKey)
		if fail != nil {
			return nil, fail
		}
		if f == nil {
			return nil, err
		}
		if fail := f.wait(ctx, e); fail != nil {
			return nil, fail
		}
		keys, err = e.current.Load().candidates(header)
		if !joined || !errors.Is(err, ErrUnknownKey) {
			return keys, err
		}
	}
	return nil, err
}

// Renew is for a caller whose token names a known key and fails with it: the
// issuer may have put a new key under the same id. It gives the keys that the
// header can mean now and that are not among those tried, nil if there is
// none. It fetches within the same budget as unknown keys, and never fails:
// without other keys the token is refused for its signature.
func (k *KeySets) Renew(ctx context.Context, issuer string, header jose.Header, tried []*jose.PublicKey) []*jose.PublicKey {
	return k.RenewUnder(ctx, issuer, Terms{}, header, tried)
}

// RenewUnder is Renew under terms.
func (k *KeySets) RenewUnder(ctx context.Context, issuer string, terms Terms, header jose.Header, tried []*jose.PublicKey) []*jose.PublicKey {
	ctx, cancel := context.WithTimeout(ctx, k.config.HTTP.Timeout+waitMargin)
	defer cancel()
	e := k.known(issuer, terms)
	if e == nil {
		return nil
	}
	ctx, span := tracing.Start(ctx, "issuer keys, renewed")
	defer span.End()
	last := false
	for range 3 { // as in Lookup: two fetches at most
		set := e.current.Load()
		if set == nil || !k.config.Clock().Before(set.deadAt) {
			return nil
		}
		keys, _ := set.candidates(&header) // no key, or none that can be told apart: nothing new
		if other := without(keys, tried); len(other) > 0 || last {
			return other
		}
		f, joined, _ := k.start(ctx, e, forKey)
		if f == nil || f.wait(ctx, e) != nil {
			return nil
		}
		last = !joined
	}
	return nil
}

// without leaves out keys that are the same public key as one tried.
func without(keys, tried []*jose.PublicKey) []*jose.PublicKey {
	seen := make(map[string]bool, len(tried))
	for _, key := range tried {
		seen[key.Thumbprint()] = true
	}
	var other []*jose.PublicKey
	for _, key := range keys {
		if !seen[key.Thumbprint()] {
			other = append(other, key)
		}
	}
	return other
}

// usable gives a set young enough to be used, fetching it if need be; fresh
// means that it was fetched for this very request.
func (k *KeySets) usable(ctx context.Context, e *entry) (set *keySet, fresh bool, fail *FetchError) {
	now := k.config.Clock()
	e.touch(now)
	set = e.current.Load()
	if set != nil && now.Before(set.deadAt) {
		if now.Before(set.refreshAt) {
			return set, false, nil
		}
		f, joined, _ := k.start(ctx, e, forAge) // not admitted: the issuer failed lately, the old keys serve
		if f == nil || now.Before(set.staleAt) || e.failing() {
			return set, false, nil
		}
		// Nobody asked for a while. The keys may have changed since, so the
		// refresh comes first; if it fails, the old keys serve until deadAt.
		if f.wait(ctx, e) != nil {
			return set, false, nil
		}
		return e.current.Load(), !joined, nil
	}
	f, joined, fail := k.start(ctx, e, forFirstUse)
	if fail != nil {
		return nil, false, fail
	}
	if fail := f.wait(ctx, e); fail != nil {
		return nil, false, fail
	}
	return e.current.Load(), !joined, nil
}

func (e *entry) failing() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.failures > 0
}

// wait gives the outcome of the flight. A waiter that gives up does not end
// the flight, on which others wait.
func (f *flight) wait(ctx context.Context, e *entry) *FetchError {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		fail := &FetchError{Issuer: e.issuer, Document: Discovery, Reason: ReasonTimeout, Temporary: true, cause: ctx.Err()}
		return fail.retryIn(time.Second)
	}
}

// rulesUnder are the rules of an issuer with what the terms add. Terms that
// cannot be used add nothing: what they would permit is refused.
func (k *KeySets) rulesUnder(issuer string, terms Terms) *rules {
	if terms.Name == "" {
		return k.rulesOf(issuer)
	}
	policy := terms.Policy()
	for _, configured := range k.config.Issuers {
		if configured.Issuer == issuer {
			policy = configured.with(policy)
		}
	}
	own, err := k.config.rulesFor(policy, k.shared)
	if err != nil {
		return k.rulesOf(issuer)
	}
	return own
}

func (k *KeySets) rulesOf(issuer string) *rules {
	if own, ok := k.special[issuer]; ok {
		return own
	}
	return k.standard
}
