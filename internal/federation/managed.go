package federation

import (
	"context"

	"cambio/internal/directory"
	"cambio/internal/jose"
)

// lookup returns the keys that may have signed the assertion: those that are
// kept with a managed issuer, or those that it publishes, without the ones
// that wait for approval.
func (v *Verifier) lookup(ctx context.Context, a *Assertion, managed *directory.IssuerRecord) ([]*jose.PublicKey, error) {
	if managed == nil {
		return v.cfg.Keys.Lookup(ctx, a.Issuer, nil, a.jws.Header)
	}
	keys, err := v.published(ctx, a, managed)
	if err != nil {
		return nil, err
	}
	if keys = managed.Approved(keys); len(keys) == 0 {
		return nil, ErrUnknownKey
	}
	return keys, nil
}

func (v *Verifier) published(ctx context.Context, a *Assertion, managed *directory.IssuerRecord) ([]*jose.PublicKey, error) {
	if !managed.Stored() {
		return v.cfg.Keys.Lookup(ctx, a.Issuer, managed, a.jws.Header)
	}
	if managed.Mode == directory.IssuerPush && !v.cfg.Clock().Before(managed.KeysAt.Add(managed.MaxAge())) {
		return nil, &UnavailableError{Reason: "its keys were not pushed lately", Temporary: true}
	}
	keys, _ := managed.Keys.Candidates(a.jws.Header)
	switch {
	case len(keys) == 0:
		return nil, ErrUnknownKey
	case !a.jws.Header.HasKeyID && len(keys) > 1:
		return nil, ErrKeyIDRequired
	}
	return keys, nil
}

// renew returns keys that were not tried yet. What is kept with an issuer has
// no newer state than the one at hand.
func (v *Verifier) renew(ctx context.Context, a *Assertion, managed *directory.IssuerRecord, tried []*jose.PublicKey) []*jose.PublicKey {
	if managed == nil {
		return v.cfg.Keys.Renew(ctx, a.Issuer, nil, a.jws.Header, tried)
	}
	if managed.Stored() {
		return nil
	}
	return managed.Approved(v.cfg.Keys.Renew(ctx, a.Issuer, managed, a.jws.Header, tried))
}
