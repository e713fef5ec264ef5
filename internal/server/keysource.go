package server

import (
	"context"
	"crypto/x509"
	"errors"
	"net/netip"
	"net/url"

	"cambio/internal/directory"
	"cambio/internal/federation"
	"cambio/internal/jose"
	"cambio/internal/oidc"
)

// keySource is the key sets of external issuers as the verifier asks for
// them.
type keySource struct {
	sets      *oidc.KeySets
	rehearsal *Rehearsal
	delegated []netip.Prefix // private addresses that tenants may permit
	proxies   map[string]*url.URL
}

// terms are what a tenant asks of an issuer that it manages.
func (k keySource) terms(managed *directory.IssuerRecord) oidc.Terms {
	if managed == nil || managed.Terms == "" {
		return oidc.Terms{}
	}
	return oidc.Terms{Name: managed.Terms, Bundle: managed.BundleEndpoint, Policy: func() oidc.IssuerPolicy {
		return oidc.IssuerPolicy{Issuer: managed.Issuer.Issuer, RootsPEM: []byte(managed.CACertificates),
			AllowPrefixes: managed.Permitted(k.delegated), MaxKeys: managed.MaxKeys, Proxy: k.proxies[managed.Proxy]}
	}}
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
func (k keySource) Lookup(ctx context.Context, issuer string, managed *directory.IssuerRecord, h jose.Header) ([]*jose.PublicKey, error) {
	if k.rehearsal.replaces(issuer) {
		if keys, _ := k.rehearsal.Keys.Candidates(h); len(keys) > 0 {
			return keys, nil
		}
		return nil, federation.ErrUnknownKey
	}
	found, err := k.sets.LookupUnder(ctx, issuer, k.terms(managed), h)
	if err == nil {
		return found, nil
	}
	switch {
	case errors.Is(err, oidc.ErrUnknownKey):
		return nil, federation.ErrUnknownKey
	case errors.Is(err, oidc.ErrKeyIDRequired):
		return nil, federation.ErrKeyIDRequired
	}
	return nil, unavailable(err)
}

// unavailable says of a fetch that failed what the verifier has to know.
func unavailable(err error) error {
	var fetch *oidc.FetchError
	if !errors.As(err, &fetch) {
		return err
	}
	return &federation.UnavailableError{Reason: fetch.Error(), Kind: string(fetch.Reason), URL: fetch.URL, Document: fetch.Document, Temporary: fetch.Temporary, RetryAfter: fetch.RetryAfter}
}

// authorities gives the certificate authorities of a trust domain.
func (k keySource) authorities(ctx context.Context, managed *directory.IssuerRecord) ([]*x509.Certificate, error) {
	found, err := k.sets.Authorities(ctx, managed.Issuer.Issuer, k.terms(managed))
	if err != nil {
		return nil, unavailable(err)
	}
	return found, nil
}

// Renew implements federation.KeySource.
func (k keySource) Renew(ctx context.Context, issuer string, managed *directory.IssuerRecord, h jose.Header, tried []*jose.PublicKey) []*jose.PublicKey {
	if k.rehearsal.replaces(issuer) {
		return nil
	}
	return k.sets.RenewUnder(ctx, issuer, k.terms(managed), h, tried)
}
