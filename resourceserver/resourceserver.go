// Package resourceserver protects an API: it accepts the access tokens of one
// issuer for one audience and says who calls, with which roles.
//
//	api, err := resourceserver.New(resourceserver.Config{
//		Issuer:   "https://sts.example/7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77/v2.0",
//		Audience: "90d4c8f6-2b1e-4a3d-b7c5-1e9f8a6d4c02",
//	})
//	if err != nil { … }
//	mux.Handle("GET /orders", resourceserver.RequireRole("Orders.Read", http.HandlerFunc(orders)))
//	http.Serve(listener, api.Middleware(mux))
//
// It trusts the issuer's discovery document and key set, fetched over TLS, and
// nothing that a caller sends until it is verified. It needs no package from
// outside this module but what parses JSON strictly.
package resourceserver

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"cambio/internal/jose"
)

// skew is how far the clocks of the issuer and of this API may be apart.
const skew = time.Minute

// Config says whose tokens are accepted, and for what.
type Config struct {
	// Issuer is the iss claim, byte for byte: https://HOST/TENANT/v2.0 for
	// access tokens of version 2.0, https://HOST/TENANT/ for version 1.0. The
	// tenant has to be named by its id: it is also what tid has to be.
	Issuer string
	// Audience is the aud claim that names this API: its application id, or
	// for version 1.0 also the identifier URI that clients ask for.
	Audience string
	// HTTPClient fetches the issuer's documents; it is how a private
	// certificate authority is trusted. Nil stands for a client with the
	// system's authorities. Its redirect policy is not used: no redirect is
	// followed.
	HTTPClient *http.Client
}

// Validator verifies access tokens. It is safe for concurrent use.
type Validator struct {
	issuer, audience, tenant string
	keys                     *keySource
	now                      func() time.Time
}

// New checks the configuration. It makes no request: the issuer's keys are
// fetched when the first token arrives, so that an API and its issuer may
// start in any order.
func New(cfg Config) (*Validator, error) {
	issuer, err := url.Parse(cfg.Issuer)
	if err != nil || issuer.Scheme != "https" || issuer.Host == "" || issuer.User != nil || issuer.RawQuery != "" || issuer.Fragment != "" {
		return nil, errors.New("resourceserver: the issuer is not an https URL of a host and a path")
	}
	tenant, _, _ := strings.Cut(strings.TrimPrefix(issuer.Path, "/"), "/")
	if tenant == "" {
		return nil, errors.New("resourceserver: the issuer's path does not begin with a tenant id")
	}
	if cfg.Audience == "" {
		return nil, errors.New("resourceserver: the audience is empty")
	}
	return &Validator{
		issuer:   cfg.Issuer,
		audience: cfg.Audience,
		tenant:   tenant,
		keys:     newKeySource(cfg.Issuer, cfg.HTTPClient),
		now:      time.Now,
	}, nil
}

// InvalidTokenError says why a token is not accepted. Reason is one short
// sentence of printable ASCII without quotes; it repeats nothing of the token.
type InvalidTokenError struct{ Reason string }

func (e *InvalidTokenError) Error() string { return "invalid access token: " + e.Reason }

// ErrUnavailable is the answer when the issuer's keys cannot be fetched and
// those fetched before, if any, are too old: the token may be good or bad.
var ErrUnavailable = errors.New("the keys of the token's issuer are not available")

// Validate verifies an access token, a compact JWS, and returns its claims.
// The error is an *InvalidTokenError, or wraps ErrUnavailable or the context's
// error.
func (v *Validator) Validate(ctx context.Context, token string) (*Claims, error) {
	jws, err := jose.ParseCompact(token)
	if err != nil {
		return nil, &InvalidTokenError{"it is not a JSON Web Token"}
	}
	if !acceptedType(jws.Header.Type) {
		return nil, &InvalidTokenError{"its typ is not that of an access token"}
	}
	if alg := jws.Header.Algorithm; alg != "RS256" && alg != "ES256" {
		return nil, &InvalidTokenError{"its algorithm is not accepted"}
	}
	// Cheap and local checks come first: a token for somebody else never
	// causes a request to the issuer.
	claims, err := parseClaims(jws.Payload)
	if err != nil {
		return nil, err
	}
	if err := v.check(claims); err != nil {
		return nil, err
	}
	if err := v.verify(ctx, jws); err != nil {
		return nil, err
	}
	return claims, nil
}

// acceptedType is the allow-list of RFC 8725 section 3.11: "JWT", and
// "at+jwt" of RFC 9068, which are compared without regard to case.
func acceptedType(typ string) bool {
	typ = strings.TrimPrefix(strings.ToLower(typ), "application/")
	return typ == "jwt" || typ == "at+jwt"
}

// check compares the claims with what this API asks for.
func (v *Validator) check(claims *Claims) error {
	now := v.now()
	switch {
	case claims.Issuer != v.issuer:
		return &InvalidTokenError{"it is of another issuer"}
	case claims.TenantID != v.tenant:
		return &InvalidTokenError{"it is of another tenant"}
	case claims.Audience != v.audience:
		return &InvalidTokenError{"it is for another audience"}
	case !now.Before(claims.ExpiresAt.Add(skew)):
		return &InvalidTokenError{"it has expired"}
	case now.Add(skew).Before(claims.NotBefore):
		return &InvalidTokenError{"it is not valid yet"}
	}
	return nil
}

// verify finds the key that the header names and checks the signature.
func (v *Validator) verify(ctx context.Context, jws *jose.JWS) error {
	if !jws.Header.HasKeyID {
		return &InvalidTokenError{"it names no key"}
	}
	candidates, err := v.keys.find(ctx, jws.Header, v.now())
	if err != nil {
		return err
	}
	if len(candidates) == 0 {
		return &InvalidTokenError{"its key is not among the issuer's"}
	}
	if !slices.ContainsFunc(candidates, func(key *jose.PublicKey) bool { return jws.Verify(key) == nil }) {
		return &InvalidTokenError{"its signature is wrong"}
	}
	return nil
}
