package oauth

// Code is the number of an AADSTS error. Only the number is a contract with
// clients; texts may change.
type Code int

// The refusals of the token endpoint and of discovery. Each is one row of the
// catalogue, which says when it is given and what to do about it.
const (
	UnknownTenant            Code = 90002
	MalformedTenant          Code = 900023
	TenantNotSpecific        Code = 9001023
	PostOnly                 Code = 900561
	MalformedRequest         Code = 9002313
	MissingParameter         Code = 900144
	UnsupportedGrant         Code = 70003
	ResourceOnV2             Code = 901002
	ScopeInvalid             Code = 70011
	ScopeNotDefault          Code = 1002012
	SeveralResources         Code = 700022
	ClientNotFound           Code = 700016
	ClientDisabled           Code = 7000112
	NoServicePrincipal       Code = 7000229
	NoClientCredential       Code = 7000218
	SecretNotAccepted        Code = 7000215
	MalformedAssertion       Code = 50027
	MissingClaim             Code = 90014
	KeyIDMissing             Code = 5002723
	AlgorithmNotSupported    Code = 5002738
	NoFederatedCredential    Code = 70025
	IssuerMismatch           Code = 700211
	AudienceMismatch         Code = 700212
	SubjectMismatch          Code = 700213
	CaseMismatch             Code = 7002138
	FederationDisabled       Code = 700238
	RequiredClaimMissing     Code = 7002381
	CredentialDisabled       Code = 7002391
	CredentialOutsideWindow  Code = 7002392
	ResourceOutOfReach       Code = 7002393
	SVIDNotAccepted          Code = 7002394
	CredentialReportOnly     Code = 7002395
	SourceNotAllowed         Code = 53003
	LifetimeTooLong          Code = 70023
	IssuerUnavailable        Code = 50166
	SigningKeyNotFound       Code = 7000272
	SignatureInvalid         Code = 700027
	AssertionOutsideValidity Code = 700024
	OwnTokenAsAssertion      Code = 700222
	ResourceNotFound         Code = 500011
	ResourceDisabled         Code = 500014
	NotAssigned              Code = 501051
	UnknownInstance          Code = 50049
	TooManyRequests          Code = 90055
	TransientFailure         Code = 90033
)

// Row is one refusal of the catalogue.
type Row struct {
	Code   Code
	Error  string // OAuth error code
	Status int    // HTTP status
	Text   string // shown to the caller; a %s stands for a presented value
	URI    bool   // error_uri is sent; Entra leaves it out where it has no page, and with 50166
	Cause  string // for docs/errors.md
	Remedy string // for docs/errors.md
}

// Catalogue returns the rows in the order of the documentation. The caller
// owns the slice.
func Catalogue() []Row { return append([]Row(nil), rows[:]...) }

// Lookup returns the row of a code. It panics on a code without a row, which
// a test rules out.
func Lookup(c Code) *Row {
	for i := range rows {
		if rows[i].Code == c {
			return &rows[i]
		}
	}
	panic("oauth: a refusal without a row in the catalogue")
}

// rows is never written to.
var rows = [...]Row{
	{UnknownTenant, InvalidRequest, 400, "Tenant '%s' not found. Check that the tenant identifier is right and that this is the right authority.", true,
		"The tenant in the path is well formed, but no tenant has that id or domain.",
		"Compare the path with the tenant id that `cambio dev` or `cambio bootstrap` printed."},
	{MalformedTenant, InvalidRequest, 400, "Specified tenant identifier '%s' is neither a valid DNS name, nor a valid external domain.", true,
		"The tenant in the path is neither a GUID nor a domain name.",
		"Use the tenant's GUID, one of its domain names, or `adfs` for the default tenant."},
	{TenantNotSpecific, InvalidRequest, 400, "The grant type is not supported over the /%s endpoint. Use a tenant-specific endpoint.", true,
		"`common`, `organizations` and `consumers` name no tenant, and client credentials need one.",
		"Set the client's tenant (AZURE_TENANT_ID, ARM_TENANT_ID) to the tenant's GUID."},
	{PostOnly, InvalidRequest, 400, "The endpoint only accepts POST requests. Received a %s request.", true,
		"The token endpoint was called with another method than POST.",
		"Send the form in the body of a POST."},
	{MalformedRequest, InvalidRequest, 400, "Invalid request. Request is malformed or invalid: %s.", true,
		"The body is not a form, is too large, repeats a parameter, or carries more than one client authentication.",
		"Send `application/x-www-form-urlencoded` with each parameter once; authenticate by `client_assertion` alone."},
	{MissingParameter, InvalidRequest, 400, "The request body must contain the following parameter: '%s'.", true,
		"A required parameter is absent or empty.",
		"Add the parameter that the text names. Parameters in the query string do not count."},
	{UnsupportedGrant, UnsupportedGrantType, 400, "The grant type '%s' is not supported.", true,
		"Another grant than client_credentials was asked for.",
		"Send `grant_type=client_credentials`."},
	{ResourceOnV2, InvalidRequest, 400, "The parameter 'resource' is not supported by the v2.0 endpoint. Use 'scope'.", true,
		"`resource` belongs to the v1 endpoint. A relaxed tenant takes it at v2.0 only without a scope beside it, a strict one never.",
		"Send `scope=<resource>/.default`, or post to `/{tenant}/oauth2/token`."},
	{ScopeInvalid, InvalidScope, 400, "The provided value for the input parameter 'scope' is not valid.", true,
		"The scope is not a list of scope names, or mixes `/.default` with other scopes.",
		"Send exactly one `<resource>/.default`."},
	{ScopeNotDefault, InvalidScope, 400, "The provided value for scope '%s' is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier.", true,
		"A client-credentials request named a single scope.",
		"Append `/.default` to the resource's identifier; keep the identifier's own trailing slash."},
	{SeveralResources, InvalidScope, 400, "The provided value for scope names more than one resource. Ask for one resource at a time.", true,
		"Two scopes end in `/.default`.",
		"Make one request for each resource."},
	{ClientNotFound, UnauthorizedClient, 400, "Application with identifier '%s' was not found in the directory '%s'.", true,
		"No application or managed identity of this tenant has that client_id.",
		"Use the application's appId (client id), not its object id; check the tenant."},
	{ClientDisabled, UnauthorizedClient, 400, "Application '%s' is disabled.", true,
		"The application, or its service principal, is disabled.",
		"Set `isDisabled` to false on the application and `accountEnabled` to true on its service principal."},
	{NoServicePrincipal, InvalidClient, 401, "The client application '%s' is missing service principal in the tenant '%s'.", true,
		"The application exists, but has no service principal in the tenant.",
		"Create it: `POST /v1.0/servicePrincipals` with the appId, or `az ad sp create --id APPID`."},
	{NoClientCredential, InvalidClient, 401, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.", true,
		"No client authentication was presented.",
		"Send the platform's token as `client_assertion`. An empty token file gives this refusal too."},
	{SecretNotAccepted, InvalidClient, 401, "Invalid client secret provided. This authority holds no client secrets; present a federated token as client_assertion.", true,
		"A client secret was presented. There are none here.",
		"Replace the secret by a federated identity credential."},
	{MalformedAssertion, InvalidRequest, 400, "Invalid JWT token: %s.", true,
		"The assertion is not a compact JWS with a strict JSON header and payload, its type is not that of an assertion, or `client_assertion_type` is wrong.",
		"Send the platform's token unmodified, without `Bearer`, quotes or line breaks, with the type `" + AssertionTypeJWT + "`."},
	{MissingClaim, InvalidRequest, 400, "The required field '%s' is missing from the credential. Ensure that you have all the necessary parameters for the login request.", true,
		"The token lacks `iss`, `sub` or `aud`.",
		"Ask the platform for an OIDC token that has them; some need an option for the audience."},
	{KeyIDMissing, InvalidClient, 401, "The JWT header contains neither a key identifier nor a certificate thumbprint, and the issuer publishes more than one key.", true,
		"The header has no `kid` and the issuer publishes several keys for the algorithm.",
		"Let the issuer set `kid` in its tokens."},
	{AlgorithmNotSupported, InvalidClient, 401, "Invalid JWT token. Unsupported algorithm '%s'; supported algorithms are: %s.", true,
		"The token is signed with an algorithm that this tenant does not accept.",
		"Let the issuer sign with one of the algorithms that the text lists. Strict tenants accept RSA only, as Entra does."},
	{NoFederatedCredential, InvalidClient, 401, "The client '%s'(%s) has no configured federated identity credentials.", true,
		"The application or managed identity has no federated identity credential at all.",
		"Create one; check that the client id is the one that you gave it to."},
	{IssuerMismatch, InvalidClient, 401, "No matching federated identity record found for presented assertion issuer '%s'. Check your federated identity credential Subject, Audience and Issuer against the presented assertion.", true,
		"No credential of this client has the token's issuer.",
		"Compare byte for byte; a trailing slash counts."},
	{AudienceMismatch, InvalidClient, 401, "No matching federated identity record found for presented assertion audience '%s'. Check your federated identity credential Subject, Audience and Issuer against the presented assertion.", true,
		"Issuer and subject, or the expression in place of a subject, match a credential, but none of the token's audiences is the credential's.",
		"Ask the platform for the audience of the credential, usually `api://AzureADTokenExchange`."},
	{SubjectMismatch, InvalidClient, 401, "No matching federated identity record found for presented assertion subject '%s'. Check your federated identity credential Subject, Audience and Issuer against the presented assertion.", true,
		"The issuer is trusted by this client, but for other subjects; no claims matching expression is satisfied by the token either.",
		"Set the credential's subject to the text's value if that workload shall be trusted; `*` and `?` are literal there. Compare an expression's terms with the token's claims: all must be satisfied, by claims that are strings."},
	{CaseMismatch, InvalidClient, 401, "No matching federated identity record found for presented assertion %s '%s'. It matches a record only if case is ignored; the comparison is case-sensitive.", true,
		"A value differs from the credential's in upper and lower case only.",
		"Write the credential's value exactly as the token has it."},
	{FederationDisabled, InvalidClient, 401, "Workload identity federation is disabled for issuer '%s' by the tenant's policy '%s'.", true,
		"The tenant's federation policy has `disabled` set, or its `allowedIssuers` do not list the issuer.",
		"An administrator lifts it with `cambio tenant update --federation enabled`, or adds the issuer with `cambio tenant policy set`."},
	{RequiredClaimMissing, InvalidClient, 401, "The tenant's policy 'federationPolicy.requiredClaims' requires tokens of issuer '%s' to contain the claim '%s' with one of the values: %s. The presented value is: %s.", true,
		"The token matches a credential, but the tenant's federation policy requires a claim that it does not have, or with another value.",
		"Let the platform put the claim into its tokens, or change `federationPolicy.requiredClaims` of the organization."},
	{CredentialDisabled, InvalidClient, 401, "The federated identity credential that the presented assertion matches is disabled.", true,
		"The token matches a credential that has the ceiling `disabled`, and no other. The number is this server's own.",
		"Enable it: `cambio credential update NAME --enable`."},
	{CredentialOutsideWindow, InvalidClient, 401, "The federated identity credential that the presented assertion matches is not valid now. Current time: %s, valid from %s until %s.", true,
		"The credential has the ceiling `notBefore` or `notAfter`, and the time lies outside. The number is this server's own.",
		"Move the window: `cambio credential update NAME --not-after TIME`."},
	{ResourceOutOfReach, InvalidClient, 401, "The federated identity credential that the presented assertion matches may not be used for the resource '%s'.", true,
		"The credential has the ceiling `resources`, and it does not list the resource. The number is this server's own.",
		"Ask for one of those resources, or add the appId: `cambio credential update NAME --resources APPID,…`."},
	{CredentialReportOnly, InvalidClient, 401, "The federated identity credential that the presented assertion matches only reports. No token is issued for it.", true,
		"The token is proven and matches a credential that has the ceiling `reportOnly`, and no other. Without the ceiling a token for the resource would have been issued. The number is this server's own.",
		"Let it issue tokens: `cambio credential update NAME --report-only=false`."},
	{SVIDNotAccepted, InvalidClient, 401, "The client's SVID is not accepted: %s.", true,
		"The server takes SVIDs as client authentication (`public.spiffe_client_auth`), and this one is not well-formed, not of the client that `client_id` names, or not of its trust domain. The number is this server's own.",
		"Compare the certificate or token with the reason: one SPIFFE ID as the URI of an X.509-SVID, issued by a certificate authority that is in the trust domain's bundle; `client_id` is the appId, or the very SPIFFE ID."},
	{SourceNotAllowed, InvalidGrant, 400, "Access has been blocked by Conditional Access policies: the federated identity credential may not be used from the network address %s.", true,
		"The credential has the ceiling `sources`, and the request came from another network.",
		"Add the network: `cambio credential update NAME --source CIDR`. Behind a proxy `public.trusted_proxies` must name it."},
	{LifetimeTooLong, InvalidClient, 401, "The assertion's lifetime exceeds the maximum of 1.01:00:00: issued at %s, expires at %s.", true,
		"`exp` − `iat` is over 25 hours, or the token has no `iat`, which counts as 0.",
		"Ask the platform for a shorter token; if it sends no `iat`, allow that for the issuer in the configuration."},
	{IssuerUnavailable, InvalidRequest, 400, "Request to the external OIDC endpoint failed: %s.", false,
		"The issuer's discovery document or key set could not be fetched, or is not usable. Relaxed tenants answer 503 `temporarily_unavailable` when it may pass, and 401 `invalid_client` when the document itself is wrong; strict tenants answer 400 `invalid_request`, as Entra does.",
		"Fetch `<issuer>/.well-known/openid-configuration` from the server's own host; check DNS, TLS trust and the issuer's address permission."},
	{SigningKeyNotFound, InvalidClient, 401, "The key was not found. The signing key identifier was: '%s'.", true,
		"The issuer does not publish a key with the token's `kid`, even after its keys were fetched again.",
		"Check that the token is from this issuer and recent. Only the issuer's first 100 signing keys count; fetches after unknown keys are at least 10 seconds apart."},
	{SignatureInvalid, InvalidClient, 401, "Client assertion failed signature validation.", true,
		"The signature does not verify with the issuer's key, or the assertion is signed by the client itself, for which no certificate can be registered here.",
		"Send the token unmodified. A self-signed assertion (`iss` = `sub` = client id) is not a federated token."},
	{AssertionOutsideValidity, InvalidClient, 401, "Client assertion is not within its valid time range. Current time: %s, assertion valid from %s, expiry time of assertion %s.", true,
		"The token is expired or not yet valid, with five minutes of tolerance.",
		"Fetch a fresh token just before the exchange; check the clocks of both sides."},
	{OwnTokenAsAssertion, InvalidClient, 401, "Tokens issued by this authority may not be used for federated identity credential flows.", true,
		"An access token of this server was presented as assertion.",
		"Present the token of the workload's own platform."},
	{ResourceNotFound, InvalidResource, 400, "The resource principal named '%s' was not found in the tenant named '%s'.", true,
		"No application of this tenant with a service principal has that identifier URI or appId.",
		"Check the identifier URI letter by letter, trailing slash included; create the resource's service principal."},
	{ResourceDisabled, InvalidResource, 400, "The service principal for resource '%s' is disabled.", true,
		"The resource's service principal has accountEnabled false.",
		"Enable it, or ask for another resource."},
	{NotAssigned, InvalidGrant, 400, "Application '%s'(%s) is not assigned to a role for the application '%s'(%s).", true,
		"The resource's service principal has appRoleAssignmentRequired, and the client holds none of its roles.",
		"Assign a role: `POST /v1.0/servicePrincipals/{resource}/appRoleAssignedTo`."},
	{UnknownInstance, InvalidInstance, 400, "Invalid instance: %s.", true,
		"Instance discovery was asked without an authorization endpoint.",
		"Send `authorization_endpoint`."},
	{TooManyRequests, TemporarilyUnavailable, 429, "Too many requests. Try again later.", false,
		"Too many requests of this network address, of this client or with tokens of this issuer were refused, so that this one was not examined (`limits` in the configuration); or a client asked for too many look-ups of what does not exist.",
		"Wait for the time in Retry-After. Mend the client that sends the failing requests: the audit trail names it."},
	{TransientFailure, TemporarilyUnavailable, 503, "A transient error has occurred. Please try again.", false,
		"The decision could not be recorded, or the directory could not be read; without a record nothing is issued.",
		"Look at the server's log and at /readyz: the database or its disk needs attention."},
}
