package oidc

import (
	"errors"
	"fmt"
	"time"
)

// The documents of an issuer, as named in FetchError and FetchEvent.
const (
	Discovery = "discovery" // OpenID Connect Discovery 1.0 section 4
	JWKS      = "jwks"      // RFC 7517 section 5
	Bundle    = "bundle"    // SPIFFE Trust Domain and Bundle section 4
)

// Reason says why a document could not be used. The list is closed, so that a
// reason can be a metric label.
type Reason string

// The reasons.
const (
	ReasonUnreachable    Reason = "unreachable"         // name not resolved, connection refused or broken
	ReasonTimeout        Reason = "timeout"             // not complete within the time allowed
	ReasonTLS            Reason = "tls"                 // no TLS 1.2, or certificate not trusted
	ReasonAddress        Reason = "address_not_allowed" // the name leads to an address that is not permitted
	ReasonRedirect       Reason = "redirect"            // any 3xx
	ReasonStatus         Reason = "status"              // any other status but 200
	ReasonHTTP           Reason = "invalid_http"        // not HTTP, or header section too large
	ReasonEncoding       Reason = "content_encoding"    // compressed although identity was asked for
	ReasonTooLarge       Reason = "too_large"           // body over the bound
	ReasonJSON           Reason = "invalid_json"        // not one strict JSON object
	ReasonIssuerURL      Reason = "issuer_invalid"      // the issuer identifier is not a permitted URL
	ReasonIssuerMismatch Reason = "issuer_mismatch"     // the document is another issuer's
	ReasonJWKSURI        Reason = "jwks_uri_invalid"    // jwks_uri missing or not a permitted URL
	ReasonKeySet         Reason = "invalid_jwks"        // not a JWK Set
	ReasonBundle         Reason = "invalid_bundle"      // not a SPIFFE bundle
	ReasonNoKeys         Reason = "no_usable_keys"      // a JWK Set without any key we accept
	ReasonBusy           Reason = "busy"                // too many fetches under way; nothing was sent
	ReasonInternal       Reason = "internal"            // a fault of this program
)

// text is what a caller of the token endpoint may read about a reason: no
// names, no addresses, no error text of a library.
func (r Reason) text() string {
	switch r {
	case ReasonUnreachable:
		return "the server could not be reached"
	case ReasonTimeout:
		return "the server did not answer in time"
	case ReasonTLS:
		return "its certificate or TLS version is not accepted"
	case ReasonAddress:
		return "its address is not permitted"
	case ReasonRedirect:
		return "the server answered with a redirect, which is not followed"
	case ReasonStatus:
		return "the server did not answer with status 200"
	case ReasonHTTP:
		return "the answer is not well-formed HTTP or its header section is too large"
	case ReasonEncoding:
		return "the answer is compressed, which is not accepted"
	case ReasonTooLarge:
		return "the document is too large"
	case ReasonJSON:
		return "the document is not well-formed JSON"
	case ReasonIssuerURL:
		return "the issuer is not a permitted URL"
	case ReasonIssuerMismatch:
		return "the issuer in the document differs from the issuer of the token"
	case ReasonJWKSURI:
		return "jwks_uri is missing or not a permitted URL"
	case ReasonKeySet:
		return "the document is not a JWK Set"
	case ReasonBundle:
		return "the document is not a SPIFFE bundle"
	case ReasonNoKeys:
		return "the document holds no usable signature key"
	case ReasonBusy:
		return "too many requests to issuers are under way"
	default:
		return "the document could not be processed"
	}
}

// FetchError reports that the keys of an issuer cannot be had. Error is safe
// to show to the caller of the token endpoint; Issuer, URL and the wrapped
// cause are for logs.
type FetchError struct {
	Issuer     string
	URL        string // of the document at fault
	Document   string // Discovery, JWKS or Bundle
	Reason     Reason
	Status     int           // HTTP status of the answer, 0 without one
	Temporary  bool          // the same request may succeed later without anybody mending anything
	RetryAfter time.Duration // no new attempt is made before; rounded up to seconds, at least one
	cause      error
}

// Error is the text for the caller.
func (e *FetchError) Error() string {
	switch e.Document {
	case JWKS:
		return "key set of the issuer: " + e.Reason.text()
	case Bundle:
		return "SPIFFE bundle of the issuer: " + e.Reason.text()
	}
	return "discovery document of the issuer: " + e.Reason.text()
}

// Unwrap gives the cause. Its text may name addresses: logs only.
func (e *FetchError) Unwrap() error { return e.cause }

// retryIn is a copy that tells one waiter when to come back; the original is
// shared by all of them.
func (e *FetchError) retryIn(d time.Duration) *FetchError {
	c := *e
	c.RetryAfter = max(d.Round(time.Second), time.Second)
	if c.RetryAfter < d {
		c.RetryAfter += time.Second
	}
	return &c
}

// temporary says whether a failure can pass by itself. A document that was
// received and is wrong stays wrong until its owner changes it.
func temporary(r Reason, status int) bool {
	switch r {
	case ReasonUnreachable, ReasonTimeout, ReasonHTTP, ReasonBusy, ReasonInternal:
		return true
	case ReasonStatus:
		return status >= 500 || status == 429
	}
	return false
}

// ErrUnknownKey reports that the issuer's keys are known and none of them has
// the key id of the token.
var ErrUnknownKey = errors.New("the issuer publishes no such key")

// ErrKeyAlgorithm is the ErrUnknownKey of a token whose key id is known but
// belongs to keys that do not serve the token's algorithm.
var ErrKeyAlgorithm = fmt.Errorf("the key does not serve the algorithm: %w", ErrUnknownKey)

// ErrKeyIDRequired reports that the token names no key and the issuer has
// several that could be meant.
var ErrKeyIDRequired = errors.New("the token must name its key")
