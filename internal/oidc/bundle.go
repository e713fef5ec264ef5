package oidc

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"

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

// RenewAuthorities is for a caller whose X.509-SVID does not chain to the
// authorities at hand: the trust domain may have a new one. It gives those of a
// bundle that was fetched for this, within the budget of unknown keys; nil if
// there is none.
func (k *KeySets) RenewAuthorities(ctx context.Context, issuer string, terms Terms) []*x509.Certificate {
	ctx, cancel := context.WithTimeout(ctx, k.config.HTTP.Timeout+waitMargin)
	defer cancel()
	ctx, span := tracing.Start(ctx, "trust domain authorities, renewed")
	defer span.End()
	e := k.entry(issuer, terms)
	for range 2 { // a fetch that was under way may have begun too early
		f, joined, _ := k.start(ctx, e, forKey)
		if f == nil || f.wait(ctx, e) != nil {
			return nil
		}
		if !joined {
			break
		}
	}
	return e.current.Load().roots
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

// CheckBundle is Check for an issuer whose keys are in a SPIFFE bundle.
func CheckBundle(ctx context.Context, config Config, issuer, endpoint string) (*Report, error) {
	k, err := New(config)
	if err != nil {
		return nil, err
	}
	defer k.Close()
	c := &checker{k: k, rules: k.rulesOf(issuer), report: &Report{Issuer: issuer}}
	c.bundle(ctx, endpoint)
	return c.report, nil
}

func (c *checker) bundle(ctx context.Context, endpoint string) {
	if _, err := checkURL(endpoint, c.rules.allowHTTP, c.rules.allowed); err != nil {
		c.report.add("url", false, err.Message, "The bundle endpoint must be an https URL on a permitted address.")
		return
	}
	c.report.add("url", true, endpoint, "")
	document, ok := c.document(ctx, "bundle", endpoint)
	if !ok {
		return
	}
	bundle, fail := parseBundle(document, c.rules.maxKeys)
	if fail != nil {
		c.report.add("bundle", false, fail.reason.text()+because(fail), "It must be the trust domain's SPIFFE bundle, which SPIRE serves at federation.bundle_endpoint; a key set of an OIDC discovery provider is none.")
		return
	}
	c.report.Keys, c.report.Ignored = bundle.JWT.Keys, bundle.JWT.Ignored
	c.report.add("bundle", true, fmt.Sprintf("%d keys for JWT-SVIDs, %d certificate authorities for X.509-SVIDs, to be read again every %s", len(bundle.JWT.Keys), len(bundle.Authorities), bundle.RefreshHint), "")
	if len(bundle.JWT.Keys) == 0 {
		c.report.add("keys", true, "there are no keys for JWT-SVIDs", "JWT-SVIDs are refused, X.509-SVIDs are not.")
	}
}
