// Package oauth is the protocol vocabulary of the token endpoint: parameter
// and grant names, and the one catalogue of refusals (AADSTS number, OAuth
// error, HTTP status, safe text).
//
// It is pure. What it renders is shown to callers that proved nothing, so a
// text only ever repeats what the caller itself presented, made safe to show,
// and the display names that Entra's texts have too.
package oauth

// Request parameters (RFC 6749, RFC 7521, Entra's v1 "resource").
const (
	ParamGrantType           = "grant_type"
	ParamClientID            = "client_id"
	ParamClientSecret        = "client_secret"
	ParamClientAssertion     = "client_assertion"
	ParamClientAssertionType = "client_assertion_type"
	ParamScope               = "scope"
	ParamResource            = "resource"
	ParamClientRequestID     = "client-request-id"
)

// GrantClientCredentials is the grant type of RFC 6749 §4.4.
const GrantClientCredentials = "client_credentials"

// AssertionTypeJWT is the client assertion type of RFC 7523 §2.2.
const AssertionTypeJWT = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// AssertionTypeSPIFFE is that of a JWT-SVID
// (draft-ietf-oauth-spiffe-client-auth-02).
const AssertionTypeSPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"

// OAuth error codes (RFC 6749 §5.2) and those that Entra adds.
const (
	InvalidRequest         = "invalid_request"
	InvalidClient          = "invalid_client"
	InvalidGrant           = "invalid_grant"
	InvalidScope           = "invalid_scope"
	InvalidResource        = "invalid_resource"
	InvalidInstance        = "invalid_instance"
	UnauthorizedClient     = "unauthorized_client"
	UnsupportedGrantType   = "unsupported_grant_type"
	TemporarilyUnavailable = "temporarily_unavailable"
)
