package oidc

import (
	"time"

	"cambio/internal/jose"
)

// FetchEvent is the outcome of one fetch, for logs and metrics.
type FetchEvent struct {
	At       time.Time
	Issuer   string
	URL      string
	Document string // Discovery, JWKS or Bundle
	Duration time.Duration
	Bytes    int               // of the body; 0 if none was received whole
	Keys     int               // usable keys of a key set
	Found    []*jose.PublicKey // the usable keys themselves
	Under    string            // the name of the terms that it was fetched under; that of the issuer if there are none
	Ignored  int               // keys of a key set that are not used, as far as they were counted
	Err      *FetchError
}

// Outcome is the reason of a failure or "ok".
func (e FetchEvent) Outcome() string {
	if e.Err == nil {
		return "ok"
	}
	return string(e.Err.Reason)
}

// Status is what is known of an issuer.
type Status struct {
	Issuer    string
	JWKSURI   string
	Keys      []*jose.PublicKey // usable keys; nil if there are none
	Ignored   []jose.IgnoredKey // keys of the last good key set that are not used, and why
	FetchedAt time.Time         // of the keys
	RefreshAt time.Time         // from when they are renewed
	ExpiresAt time.Time         // from when they are not used
	LastError *FetchError       // of the last refresh; nil if it succeeded
	FailedAt  time.Time
	NextTry   time.Time // after a failure, at the earliest
}

// Status reports on an issuer; false if it was never asked for, or is no
// longer remembered.
func (k *KeySets) Status(issuer string) (Status, bool) { return k.StatusUnder(issuer, Terms{}) }

// StatusUnder is Status under terms.
func (k *KeySets) StatusUnder(issuer string, terms Terms) (Status, bool) {
	e := k.known(issuer, terms)
	if e == nil {
		return Status{}, false
	}
	status := Status{Issuer: issuer}
	if set := e.current.Load(); set != nil {
		status.Keys, status.Ignored = set.keys.Keys, set.keys.Ignored
		status.FetchedAt, status.RefreshAt, status.ExpiresAt = set.fetchedAt, set.refreshAt, set.deadAt
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	status.JWKSURI = e.jwksURI
	status.LastError, status.FailedAt, status.NextTry = e.lastError, e.failedAt, e.quietUntil
	return status, true
}
