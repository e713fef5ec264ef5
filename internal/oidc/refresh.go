package oidc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cambio/internal/jose"
	"cambio/internal/tracing"
)

// start joins the refresh under way or starts one if the limits admit it.
// joined says that the flight began earlier. Without a flight, fail is the
// remembered failure; it is nil if the last refresh succeeded. Of ctx only the
// span matters, which the refresh is traced below.
func (k *KeySets) start(ctx context.Context, e *entry, why purpose) (f *flight, joined bool, fail *FetchError) {
	now := k.config.Clock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.flight != nil {
		return e.flight, true, nil
	}
	busy := &FetchError{Issuer: e.issuer, Document: Discovery, Reason: ReasonBusy, Temporary: true}
	select {
	case k.slots <- struct{}{}:
	default:
		return nil, false, busy.retryIn(time.Second)
	}
	if !e.admit(why, now) {
		<-k.slots
		fail = e.refusal(now)
		if fail == nil && why == forFirstUse {
			fail = busy.retryIn(k.config.Cache.RefreshEvery)
		}
		return nil, false, fail
	}
	if !k.enter() {
		<-k.slots
		return nil, false, busy.retryIn(time.Second)
	}
	e.attempted = true
	e.flight = &flight{done: make(chan struct{})}
	go k.fly(tracing.Carry(k.ctx, ctx), e, e.flight)
	return e.flight, false, nil
}

// enter counts a refresh unless Close was called.
func (k *KeySets) enter() bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.closed {
		return false
	}
	k.flying.Add(1)
	return true
}

// fly runs one refresh and publishes its outcome. It belongs to no request:
// its time is bounded, its lifetime ends with Close.
func (k *KeySets) fly(ctx context.Context, e *entry, f *flight) {
	defer k.flying.Done()
	defer func() { <-k.slots }()
	ctx, cancel := context.WithTimeout(ctx, k.config.HTTP.Timeout)
	defer cancel()
	set, fail := k.refresh(ctx, e)
	if fail == nil {
		e.current.Store(set) // before done is closed: waiters read it
		k.account(e, set.cost)
	}
	now := k.config.Clock()
	e.mu.Lock()
	if fail != nil {
		e.fail(fail, now)
		f.err = e.refusal(now)
	} else {
		e.succeed()
	}
	e.flight = nil
	e.mu.Unlock()
	close(f.done)
}

// refresh reads what is needed to replace the key set. A panic while hostile
// documents are handled must cost one refresh, not the process.
func (k *KeySets) refresh(ctx context.Context, e *entry) (set *keySet, fail *FetchError) {
	defer func() {
		if p := recover(); p != nil {
			set, fail = nil, e.error(JWKS, "", &failure{reason: ReasonInternal, cause: fmt.Errorf("panic: %v", p)})
		}
	}()
	if e.bundle != "" {
		return k.fetchBundle(ctx, e)
	}
	uri, age := e.knownURI(k.config.Clock())
	discovered := uri == "" || age >= k.config.Cache.DiscoveryTTL
	if discovered {
		if uri, fail = k.discover(ctx, e); fail != nil {
			return nil, fail
		}
	}
	set, fail = k.fetchKeys(ctx, e, uri)
	if fail == nil || discovered || !mayHaveMoved(fail.Reason) {
		return set, fail
	}
	// The key set is not where it was. Only if the discovery document names
	// another place is there something else to ask.
	moved, failed := k.discover(ctx, e)
	if failed != nil || moved == uri {
		return nil, fail
	}
	return k.fetchKeys(ctx, e, moved)
}

// mayHaveMoved: the failures that a wrong URL produces, as opposed to a slow
// server or a broken document in the right place.
func mayHaveMoved(r Reason) bool {
	switch r {
	case ReasonUnreachable, ReasonTLS, ReasonAddress, ReasonRedirect, ReasonStatus:
		return true
	}
	return false
}

func (e *entry) knownURI(now time.Time) (uri string, age time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.jwksURI, now.Sub(e.discoveredAt)
}

// discover reads the discovery document and remembers its jwks_uri.
func (k *KeySets) discover(ctx context.Context, e *entry) (string, *FetchError) {
	// Checked again although it was at creation: the configuration may allow
	// less today.
	if err := checkIssuer(e.issuer, e.rules.allowHTTP, e.rules.allowed); err != nil {
		return "", e.error(Discovery, e.issuer, &failure{reason: err.Reason, cause: err})
	}
	uri := ""
	parse := func(document []byte, _ *FetchEvent) (fail *failure) {
		uri, fail = parseDiscovery(document, e.issuer, e.rules)
		return fail
	}
	if fail := k.fetch(ctx, e, Discovery, discoveryURL(e.issuer), parse); fail != nil {
		return "", fail
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.jwksURI, e.discoveredAt = uri, k.config.Clock()
	return uri, nil
}

// discoveryURL is the place of the document (OpenID Connect Discovery 1.0
// section 4.1): a slash at the end of the issuer is not doubled.
func discoveryURL(issuer string) string {
	if issuer[len(issuer)-1] == '/' {
		issuer = issuer[:len(issuer)-1]
	}
	return issuer + "/.well-known/openid-configuration"
}

// fetchKeys reads the key set at uri.
func (k *KeySets) fetchKeys(ctx context.Context, e *entry, uri string) (set *keySet, fail *FetchError) {
	started := k.config.Clock()
	parse := func(document []byte, event *FetchEvent) *failure {
		select {
		case k.parsing <- struct{}{}:
			defer func() { <-k.parsing }()
		case <-ctx.Done():
			return &failure{reason: ReasonTimeout, cause: ctx.Err()}
		}
		keys, err := jose.ParseKeySet(document, e.rules.maxKeys)
		if err != nil {
			return &failure{reason: ReasonKeySet, cause: err}
		}
		event.Keys, event.Ignored, event.Found = len(keys.Keys), len(keys.Ignored), keys.Keys
		if len(keys.Keys) == 0 {
			return &failure{reason: ReasonNoKeys, cause: errors.New("no key was accepted")}
		}
		// The age counts from before the request: what the issuer changed
		// while it answered counts as not seen.
		set = newKeySet(keys, len(document), started, k.config.Cache)
		return nil
	}
	if fail := k.fetch(ctx, e, JWKS, uri, parse); fail != nil {
		return nil, fail
	}
	return set, nil
}

// fetch gets one document, parses it and reports the outcome. It is the only
// caller of the client.
func (k *KeySets) fetch(ctx context.Context, e *entry, document, url string, parse func([]byte, *FetchEvent) *failure) *FetchError {
	ctx, span := tracing.Start(ctx, "fetch "+document)
	defer span.End()
	began := time.Now() // a duration, not a point in time: always the real clock
	event := FetchEvent{At: k.config.Clock(), Issuer: e.issuer, Under: e.name, URL: url, Document: document}
	body, failed := e.rules.client.get(ctx, url)
	if failed == nil {
		event.Bytes = len(body)
		failed = parse(body, &event)
	}
	event.Duration = time.Since(began)
	span.Set("cambio.issuer", e.issuer)
	var fail *FetchError
	if failed != nil {
		fail = e.error(document, url, failed)
		event.Err = fail
		span.Fail(event.Outcome())
	}
	if k.config.OnFetch != nil {
		k.config.OnFetch(event)
	}
	return fail
}

func (e *entry) error(document, url string, f *failure) *FetchError {
	return &FetchError{
		Issuer: e.issuer, URL: url, Document: document,
		Reason: f.reason, Status: f.status, Temporary: temporary(f.reason, f.status), cause: f.cause,
	}
}
