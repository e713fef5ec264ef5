package directory

import (
	"slices"
	"time"
)

// Compat is a tenant's compatibility level. Relaxed is Entra's wire without
// its accidental limits; strict adds those limits and copies their refusals.
type Compat string

// The two compatibility levels.
const (
	Relaxed Compat = "relaxed"
	Strict  Compat = "strict"
)

// Tenant is one directory. Its ID is a lower-case GUID.
type Tenant struct {
	ID          string
	DisplayName string
	Domains     []string // verified domain names, lower case
	Compat      Compat
	Default     bool // the tenant that the path segment "adfs" stands for
	Policy      FederationPolicy
	CreatedAt   time.Time
}

// Application is a registered application: a client, a protected resource, or
// both. AppID is the OAuth client_id; ID is the object id in Graph.
type Application struct {
	ID             string
	TenantID       string
	AppID          string
	DisplayName    string
	Description    string
	UniqueName     string // alternate key, set once; empty when unset
	IdentifierURIs []string
	SignInAudience string
	Tags           []string
	AppRoles       []AppRole
	API            APISettings
	OptionalIdtyp  bool // optionalClaims.accessToken holds "idtyp"
	Disabled       bool // isDisabled: refuse it as a client (AADSTS7000112)
	CreatedAt      time.Time

	// What describes the application to people and has no effect on a token.
	Notes                      string
	ServiceManagementReference string
	RequiredResourceAccess     []RequiredResourceAccess
}

// RequiredResourceAccess says which permissions of a resource an application
// wants. It grants none of them; app role assignments do.
type RequiredResourceAccess struct {
	ResourceAppID  string
	ResourceAccess []ResourceAccess
}

// ResourceAccess is one wanted permission.
type ResourceAccess struct {
	ID   string // of the app role, or of the scope
	Type string // "Role" or "Scope"
}

// APISettings is what a protected resource asks of its access tokens. All but
// RequestedAccessTokenVersion are extensions to Graph (docs/divergences.md).
type APISettings struct {
	RequestedAccessTokenVersion int    // 0 (null in Graph) and 1 give v1.0 tokens, 2 gives v2.0
	AccessTokenSigningAlgorithm string // "RS256" (also when empty) or "ES256"
	AccessTokenProfile          string // "" or "rfc9068" (typ at+jwt, client_id, jti)
}

// AppRole is a permission that a resource defines.
type AppRole struct {
	ID                 string
	Value              string // what stands in the roles claim; may be empty
	DisplayName        string
	Description        string
	AllowedMemberTypes []string // "Application", "User"
	IsEnabled          bool
}

// DefaultAppRoleID is the role that means "assigned, without a role value".
const DefaultAppRoleID = "00000000-0000-0000-0000-000000000000"

// Kinds of service principal, as Graph's servicePrincipalType.
const (
	KindApplication     = "Application"
	KindManagedIdentity = "ManagedIdentity"
)

// ServicePrincipal is the tenant-local identity of an application or of a
// managed identity. Its ID is the oid and sub of app-only access tokens.
type ServicePrincipal struct {
	ID                        string
	TenantID                  string
	AppID                     string
	Kind                      string
	DisplayName               string
	Description               string
	Notes                     string
	AccountEnabled            bool
	AppRoleAssignmentRequired bool
	Tags                      []string
	CreatedAt                 time.Time
}

// ManagedIdentity is a user-assigned managed identity. PrincipalID is the
// object id of its service principal, ClientID its OAuth client_id.
type ManagedIdentity struct {
	TenantID       string
	SubscriptionID string
	ResourceGroup  string // as first written; compared without regard to case
	Name           string // likewise
	Location       string
	Tags           map[string]string
	IsolationScope string
	ClientID       string
	PrincipalID    string
	CreatedAt      time.Time
}

// ResourceGroup is a named container of managed identities, as far as clients
// insist on one.
type ResourceGroup struct {
	TenantID       string
	SubscriptionID string
	Name           string
	Location       string
	Tags           map[string]string
}

// FederatedIdentityCredential says which token of which external identity
// provider proves its parent: an application (ParentID is the application's
// object id) or a managed identity (ParentID is the principal id). Issuer,
// Subject and Audiences are compared byte for byte. A flexible credential has
// an expression on claims and no subject.
type FederatedIdentityCredential struct {
	ID          string
	TenantID    string
	ParentID    string
	Name        string
	Issuer      string
	Subject     string
	Expression  *ClaimsMatchingExpression // nil: Subject says who is trusted
	Audiences   []string
	Description string
	Ceilings    *Ceilings `json:",omitzero"` // nil: none
	CreatedAt   time.Time
}

// TrustsSame reports whether two states of a credential trust the same tokens
// for the same purposes.
func (c *FederatedIdentityCredential) TrustsSame(other *FederatedIdentityCredential) bool {
	expression := func(c *FederatedIdentityCredential) string {
		if c.Expression == nil {
			return ""
		}
		return c.Expression.Value
	}
	roles := func(c *FederatedIdentityCredential) []string {
		if c.Ceilings == nil {
			return nil
		}
		return c.Ceilings.Roles
	}
	return c.Issuer == other.Issuer && c.Subject == other.Subject && expression(c) == expression(other) &&
		slices.Equal(c.Audiences, other.Audiences) && slices.Equal(roles(c), roles(other))
}

// AppRoleAssignment grants an app role of a resource to a principal. Both are
// service principal object ids.
type AppRoleAssignment struct {
	ID          string // opaque, base64url
	TenantID    string
	AppRoleID   string
	PrincipalID string
	ResourceID  string
	CreatedAt   time.Time
}
