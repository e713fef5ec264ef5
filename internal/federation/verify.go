package federation

import (
	"context"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"time"

	"cambio/internal/directory"
	"cambio/internal/jose"
	"cambio/internal/oauth"
)

const (
	// maxLifetime is Entra's 1.01:00:00 (AADSTS70023).
	maxLifetime = 25 * time.Hour
	// skew is the tolerance for the clocks of issuers.
	skew = 5 * time.Minute
)

// Errors that a KeySource returns beside *UnavailableError.
var (
	ErrUnknownKey    = errors.New("federation: the issuer does not publish that key")
	ErrKeyIDRequired = errors.New("federation: no kid, and several keys fit")
)

// UnavailableError says that an issuer's keys could not be had.
type UnavailableError struct {
	Reason     string // safe to show
	Kind       string // of failure, such as tls or status; empty: the keys were not pushed lately
	URL        string // of the document at fault; not for the caller
	Document   string // discovery or jwks
	Temporary  bool   // it may pass by itself
	RetryAfter time.Duration
}

func (e *UnavailableError) Error() string { return e.Reason }

// KeySource finds the verification keys of an issuer.
type KeySource interface {
	// Lookup returns the keys that may have signed a token with that header,
	// never empty without an error. It may wait for one shared fetch. managed
	// is the issuer as the tenant manages it; nil: it does not.
	Lookup(ctx context.Context, issuer string, managed *directory.IssuerRecord, h jose.Header) ([]*jose.PublicKey, error)
	// Renew returns keys that were not tried yet, after a signature failed
	// under a known kid: the issuer may have put a new key under it. It
	// fetches within the issuer's budget and never fails.
	Renew(ctx context.Context, issuer string, managed *directory.IssuerRecord, h jose.Header, tried []*jose.PublicKey) []*jose.PublicKey
}

// Config is what a Verifier needs.
type Config struct {
	Keys  KeySource
	Clock func() time.Time
	// Own reports whether an issuer is this server itself, in any tenant.
	Own func(issuer string) bool
	// IssuedAtOptional reports whether tokens of an issuer may lack iat, as
	// JWT-SVIDs do.
	IssuedAtOptional func(issuer string) bool
	// Authorities gives the certificate authorities of a trust domain that the
	// tenant manages, for X.509-SVIDs; nil: there are none. Error:
	// *UnavailableError.
	Authorities func(ctx context.Context, managed *directory.IssuerRecord) ([]*x509.Certificate, error)
	// Remember is how many bytes are used to remember which assertions
	// verified; 0: none.
	Remember int
}

// Verifier verifies assertions. It is safe for concurrent use.
type Verifier struct {
	cfg      Config
	verified *verified
}

// New makes a Verifier.
func New(cfg Config) *Verifier { return &Verifier{cfg, newVerified(cfg.Remember)} }

// Admit checks what needs no credential and no key: that the algorithm is one
// of the tenant's, and that the token is neither our own nor the client's. To
// strict tenants, as to Entra, a token has to name its issuer.
func (v *Verifier) Admit(a *Assertion, clientID string, compat directory.Compat) *oauth.Error {
	if a.svid != nil {
		return nil // a certificate, of an issuer that is no client and not this server
	}
	alg := jose.Algorithm(a.Algorithm())
	if !alg.Valid() || compat == directory.Strict && !entraAccepts(alg) {
		return oauth.Refuse(oauth.AlgorithmNotSupported, a.Algorithm(), strings.Join(Algorithms(compat), ","))
	}
	if a.impliedIssuer && compat == directory.Strict {
		return oauth.Refuse(oauth.MissingClaim, "iss")
	}
	if v.cfg.Own(a.Issuer) {
		return oauth.Refuse(oauth.OwnTokenAsAssertion)
	}
	if strings.EqualFold(a.Issuer, clientID) {
		return oauth.Refuse(oauth.SignatureInvalid)
	}
	return nil
}

// Prove checks lifetime, signature and times of an assertion that matched a
// credential, in this order. A nil return makes the claims the issuer's.
// managed is the issuer as the tenant manages it; nil: it does not.
func (v *Verifier) Prove(ctx context.Context, a *Assertion, compat directory.Compat, managed *directory.IssuerRecord) *oauth.Error {
	if a.svid != nil {
		return v.proveCertificate(ctx, a, compat, managed)
	}
	if managed != nil && !managed.Accepts(a.Algorithm()) {
		return oauth.Refuse(oauth.AlgorithmNotSupported, a.Algorithm(), strings.Join(managed.Algorithms, ","))
	}
	if refusal := v.checkLifetime(a, managed); refusal != nil {
		return refusal
	}
	if refusal := v.checkSignature(ctx, a, compat, managed); refusal != nil {
		return refusal
	}
	// The clock is read after any fetch: a token that expired meanwhile is
	// refused.
	return CheckTimes(a, v.cfg.Clock())
}

func (v *Verifier) checkLifetime(a *Assertion, managed *directory.IssuerRecord) *oauth.Error {
	if !a.hasExpiry {
		return nil // reported by CheckTimes, as expired in 1970
	}
	issued := a.IssuedAt
	if !a.hasIssuedAt && v.issuedAtOptional(a.Issuer, managed) {
		issued = v.cfg.Clock()
	}
	if a.Expiry.Sub(issued) > maxLifetime {
		return oauth.Refuse(oauth.LifetimeTooLong, stamp(issued), stamp(a.Expiry))
	}
	return nil
}

// issuedAtOptional: JWT-SVIDs may lack iat.
func (v *Verifier) issuedAtOptional(issuer string, managed *directory.IssuerRecord) bool {
	return managed != nil && managed.Mode == directory.IssuerBundle || v.cfg.IssuedAtOptional != nil && v.cfg.IssuedAtOptional(issuer)
}

// CheckTimes checks exp, nbf and iat of an assertion, with a tolerance of five
// minutes for the clocks of issuers (RFC 7519 §4.1). Refusal: 700024.
func CheckTimes(a *Assertion, now time.Time) *oauth.Error {
	if now.After(a.Expiry.Add(skew)) || now.Before(a.NotBefore.Add(-skew)) || now.Before(a.IssuedAt.Add(-skew)) {
		return oauth.Refuse(oauth.AssertionOutsideValidity, stamp(now), stamp(a.NotBefore), stamp(a.Expiry))
	}
	return nil
}

func (v *Verifier) checkSignature(ctx context.Context, a *Assertion, compat directory.Compat, managed *directory.IssuerRecord) *oauth.Error {
	keys, err := v.lookup(ctx, a, managed)
	if err != nil {
		return keyRefusal(err, a, compat)
	}
	// A key is the same one for as long as its issuer's keys are not fetched
	// again: then each is another one, and verifies anew.
	if known := v.verified.by(a.Hash); known != nil && slices.Contains(keys, known) {
		return nil
	}
	key := firstThatVerifies(a.jws, keys)
	if key == nil {
		key = firstThatVerifies(a.jws, v.renew(ctx, a, managed, keys))
	}
	if key == nil {
		return oauth.Refuse(oauth.SignatureInvalid)
	}
	v.verified.remember(a.Hash, key)
	return nil
}

func firstThatVerifies(jws *jose.JWS, keys []*jose.PublicKey) *jose.PublicKey {
	for _, k := range keys {
		if jws.Verify(k) == nil {
			return k
		}
	}
	return nil
}

// keyRefusal turns an error of the key source into a refusal; the answer to an
// unavailable issuer depends on the tenant's compatibility level.
func keyRefusal(err error, a *Assertion, compat directory.Compat) *oauth.Error {
	var unavailable *UnavailableError
	switch {
	case errors.Is(err, ErrUnknownKey):
		return oauth.Refuse(oauth.SigningKeyNotFound, oauth.ShowKeyID(a.KeyID()))
	case errors.Is(err, ErrKeyIDRequired):
		return oauth.Refuse(oauth.KeyIDMissing)
	case errors.As(err, &unavailable):
		refusal := oauth.Refuse(oauth.IssuerUnavailable, unavailable.Reason).Because(unavailable)
		if compat == directory.Strict {
			return refusal
		}
		if unavailable.Temporary {
			return refusal.Answered(oauth.TemporarilyUnavailable, 503).After(max(unavailable.RetryAfter, time.Second))
		}
		return refusal.Answered(oauth.InvalidClient, 401)
	}
	return oauth.Refuse(oauth.TransientFailure).After(time.Second)
}

// Algorithms lists the algorithms of assertions that a tenant accepts: in
// strict tenants those that Entra takes from external issuers.
func Algorithms(compat directory.Compat) []string {
	entra := []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	if compat == directory.Strict {
		return entra
	}
	return append(entra, "ES256", "ES384", "ES512", "EdDSA")
}

// entraAccepts reports whether an algorithm is one of Entra's.
func entraAccepts(alg jose.Algorithm) bool {
	return strings.HasPrefix(string(alg), "RS") || strings.HasPrefix(string(alg), "PS")
}

// stamp is Entra's form of a time in texts; a missing time shows as 1970.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.0000000Z") }
