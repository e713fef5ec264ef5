package federation

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"strings"

	"cambio/internal/directory"
	"cambio/internal/oauth"
	"cambio/internal/spiffe"
	"cambio/internal/strictjson"

	"github.com/go-json-experiment/json"
)

// x509Algorithm stands where a token has its alg.
const x509Algorithm = "X.509"

// ParseJWTSVID reads a JWT-SVID that is presented as such
// (draft-ietf-oauth-spiffe-client-auth): as Parse, but its issuer is always the
// trust domain of its subject, whatever its iss says, and audience is its only
// audience. Refusals: those of Parse, 5002738, 700212 and 7002394.
func ParseJWTSVID(token, audience string) (*Assertion, *oauth.Error) {
	a, refusal := Parse(token)
	if refusal != nil {
		return nil, refusal
	}
	td, ok := directory.TrustDomainOf(a.Subject)
	switch {
	case !ok:
		return nil, oauth.Refuse(oauth.SVIDNotAccepted, "its subject is not the SPIFFE ID of a workload")
	case a.Algorithm() == "EdDSA": // JWT-SVID §2.1
		return nil, oauth.Refuse(oauth.AlgorithmNotSupported, a.Algorithm(), "RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,ES512")
	case len(a.Audiences) != 1 || a.Audiences[0] != audience:
		return nil, oauth.Refuse(oauth.AudienceMismatch, strings.Join(a.Audiences, ", "))
	}
	a.Issuer, a.impliedIssuer, a.claims = td, true, a.claims.With("iss", td)
	return a, nil
}

// ParseX509SVID makes an assertion of the certificates that a client presented
// in TLS, leaf first, at least one: its issuer is the trust domain, its subject
// the SPIFFE ID, and its audience the given one, for TLS has proven to whom the
// client speaks. Refusal: 7002394.
func ParseX509SVID(chain []*x509.Certificate, audience string) (*Assertion, *oauth.Error) {
	svid, err := spiffe.ReadX509SVID(chain)
	if err != nil {
		return nil, oauth.Refuse(oauth.SVIDNotAccepted, err.Error())
	}
	a := &Assertion{Issuer: svid.TrustDomain, Subject: svid.ID, Audiences: []string{audience}, IssuedAt: svid.Leaf.NotBefore, NotBefore: svid.Leaf.NotBefore,
		Expiry: svid.Leaf.NotAfter, Hash: sha256.Sum256(svid.Leaf.Raw), hasIssuedAt: true, hasExpiry: true, impliedIssuer: true, svid: svid}
	// Expressions, policies and explanations look at claims.
	claims, err := json.Marshal(map[string]any{"iss": a.Issuer, "sub": a.Subject, "aud": audience,
		"iat": a.IssuedAt.Unix(), "nbf": a.NotBefore.Unix(), "exp": a.Expiry.Unix()}, json.Deterministic(true))
	if err == nil {
		a.claims, err = strictjson.ParseObject(claims, strictjson.Claims)
	}
	if err != nil {
		return nil, oauth.Refuse(oauth.SVIDNotAccepted, spiffe.ErrNoSPIFFEID.Error())
	}
	return a, nil
}

// proveCertificate checks the chain of an X.509-SVID against the certificate
// authorities of its trust domain, and its times.
func (v *Verifier) proveCertificate(ctx context.Context, a *Assertion, compat directory.Compat, managed *directory.IssuerRecord) *oauth.Error {
	if managed == nil || managed.Mode != directory.IssuerBundle || v.cfg.Authorities == nil {
		return keyRefusal(&UnavailableError{Reason: "SPIFFE bundle of the issuer: no bundle endpoint of this trust domain is known", Kind: "issuer_invalid"}, a, compat)
	}
	if managed.ApproveKeys {
		return oauth.Refuse(oauth.SVIDNotAccepted, "the keys of its trust domain need approval, which certificate authorities cannot get")
	}
	authorities, err := v.cfg.Authorities(ctx, managed)
	if err != nil {
		return keyRefusal(err, a, compat)
	}
	now := v.cfg.Clock()
	switch err := a.svid.Verify(authorities, now); {
	case errors.Is(err, spiffe.ErrValidity):
		return oauth.Refuse(oauth.AssertionOutsideValidity, stamp(now), stamp(a.NotBefore), stamp(a.Expiry))
	case err != nil:
		return oauth.Refuse(oauth.SVIDNotAccepted, err.Error())
	}
	return nil
}
