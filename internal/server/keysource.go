package server

import (
	"context"
	"errors"

	"cambio/internal/federation"
	"cambio/internal/jose"
	"cambio/internal/oidc"
)

// keySource is the key sets of external issuers as the verifier asks for
// them.
type keySource struct {
	sets      *oidc.KeySets
	rehearsal *Rehearsal
}

// Rehearsal replaces the keys of issuers that cannot be reached from a
// laptop by those of the development provider, so that tokens shaped like
// theirs can be tried. It never applies to an issuer that is not listed.
type Rehearsal struct {
	Issuers []string
	Keys    *jose.KeySet
}

func (r *Rehearsal) replaces(issuer string) bool {
	if r == nil {
		return false
	}
	for _, i := range r.Issuers {
		if i == issuer {
			return true
		}
	}
	return false
}

// Lookup implements federation.KeySource.
func (k keySource) Lookup(ctx context.Context, issuer string, h jose.Header) ([]*jose.PublicKey, error) {
	if k.rehearsal.replaces(issuer) {
		if keys, _ := k.rehearsal.Keys.Candidates(h); len(keys) > 0 {
			return keys, nil
		}
		return nil, federation.ErrUnknownKey
	}
	found, err := k.sets.Lookup(ctx, issuer, h)
	if err == nil {
		return found, nil
	}
	var fetch *oidc.FetchError
	switch {
	case errors.Is(err, oidc.ErrUnknownKey):
		return nil, federation.ErrUnknownKey
	case errors.Is(err, oidc.ErrKeyIDRequired):
		return nil, federation.ErrKeyIDRequired
	case errors.As(err, &fetch):
		return nil, &federation.UnavailableError{Reason: fetch.Error(), Temporary: fetch.Temporary, RetryAfter: fetch.RetryAfter}
	}
	return nil, err
}

// Renew implements federation.KeySource.
func (k keySource) Renew(ctx context.Context, issuer string, h jose.Header, tried []*jose.PublicKey) []*jose.PublicKey {
	if k.rehearsal.replaces(issuer) {
		return nil
	}
	return k.sets.Renew(ctx, issuer, h, tried)
}
