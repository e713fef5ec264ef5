package oidc

import (
	"context"
	"crypto/x509"
	"errors"

	"cambio/internal/spiffe"
	"cambio/internal/tracing"
)

// Authorities gives the certificate authorities that X.509-SVIDs of a trust
// domain chain to, from its SPIFFE bundle; the slice must not be changed. Terms
// must name a bundle. It waits as Lookup does. Error: *FetchError, also for a
// bundle without any.
func (k *KeySets) Authorities(ctx context.Context, issuer string, terms Terms) ([]*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, k.config.HTTP.Timeout+waitMargin)
	defer cancel()
	ctx, span := tracing.Start(ctx, "trust domain authorities")
	defer span.End()
	e := k.entry(issuer, terms)
	set, _, fail := k.usable(ctx, e)
	if fail != nil {
		return nil, fail
	}
	if len(set.roots) == 0 {
		return nil, e.error(Bundle, e.bundle, &failure{reason: ReasonNoKeys, cause: errors.New("no certificate authority")})
	}
	return set.roots, nil
}

// fetchBundle reads a SPIFFE bundle (SPIFFE Federation section 5.2.1, the
// profile https_web: the server is authenticated as any web server is).
func (k *KeySets) fetchBundle(ctx context.Context, e *entry) (set *keySet, fail *FetchError) {
	if _, err := checkURL(e.bundle, e.rules.allowHTTP, e.rules.allowed); err != nil {
		return nil, e.error(Bundle, e.bundle, &failure{reason: err.Reason, cause: err})
	}
	started := k.config.Clock()
	parse := func(document []byte, event *FetchEvent) *failure {
		select {
		case k.parsing <- struct{}{}:
			defer func() { <-k.parsing }()
		case <-ctx.Done():
			return &failure{reason: ReasonTimeout, cause: ctx.Err()}
		}
		bundle, failed := parseBundle(document, e.rules.maxKeys)
		if failed != nil {
			return failed
		}
		event.Keys, event.Ignored, event.Found = len(bundle.JWT.Keys), len(bundle.JWT.Ignored), bundle.JWT.Keys
		ages := k.config.Cache
		if bundle.RefreshHint > 0 {
			ages.SoftTTL = min(ages.SoftTTL, max(bundle.RefreshHint, ages.RefreshEvery))
		}
		set = newKeySet(bundle.JWT, len(document), started, ages)
		set.roots = bundle.Authorities
		return nil
	}
	if fail := k.fetch(ctx, e, Bundle, e.bundle, parse); fail != nil {
		return nil, fail
	}
	return set, nil
}

func parseBundle(document []byte, maxKeys int) (*spiffe.Bundle, *failure) {
	bundle, err := spiffe.ParseBundle(document, maxKeys)
	if err != nil {
		return nil, &failure{reason: ReasonBundle, cause: err}
	}
	if len(bundle.JWT.Keys) == 0 && len(bundle.Authorities) == 0 {
		return nil, &failure{reason: ReasonNoKeys, cause: errors.New("no key was accepted")}
	}
	return bundle, nil
}
