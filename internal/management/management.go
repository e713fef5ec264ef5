// Package management is the vocabulary that the management APIs share: who is
// calling, for which tenant, under which permission, through which route.
//
// Authentication happens in package server before a handler runs; a handler
// trusts the Call it is given and nothing else of the request's identity.
package management

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"cambio/internal/directory"
)

// Permission is the value of an app role of the management resource. Names
// are those of Microsoft Graph where Graph has one.
type Permission string

// The permissions. A route names the least one that it needs.
const (
	ApplicationReadAll          Permission = "Application.Read.All"
	ApplicationReadWriteAll     Permission = "Application.ReadWrite.All"
	ApplicationReadWriteOwnedBy Permission = "Application.ReadWrite.OwnedBy"
	AppRoleAssignmentReadWrite  Permission = "AppRoleAssignment.ReadWrite.All"
	ManagedIdentityReadAll      Permission = "ManagedIdentity.Read.All"
	ManagedIdentityReadWriteAll Permission = "ManagedIdentity.ReadWrite.All"
	OrganizationReadWriteAll    Permission = "Organization.ReadWrite.All"
	AuditLogReadAll             Permission = "AuditLog.Read.All"
	IssuersPush                 Permission = "Issuers.Push"  // the keys of the issuers that name the caller
	Authenticated               Permission = "authenticated" // any caller with a valid management token

	// ApplicationReadOwned is no app role: Application.Read.All implies it for
	// every object, Application.ReadWrite.OwnedBy for the caller's own and for
	// what it owns, which the handler decides.
	ApplicationReadOwned Permission = "Application.Read.All or Application.ReadWrite.OwnedBy"

	// TrustRead and TrustWrite are no app roles either: a trust configuration
	// speaks of everything at once, and so takes several roles together.
	TrustRead  Permission = "Application.Read.All and ManagedIdentity.Read.All"
	TrustWrite Permission = "Application.ReadWrite.All, ManagedIdentity.ReadWrite.All and AppRoleAssignment.ReadWrite.All"
)

// together lists the permissions that stand for several ones.
func together() map[Permission][]Permission {
	return map[Permission][]Permission{
		TrustRead:  {ApplicationReadAll, ManagedIdentityReadAll},
		TrustWrite: {ApplicationReadWriteAll, ManagedIdentityReadWriteAll, AppRoleAssignmentReadWrite},
	}
}

// implied lists what else a permission allows.
func implied(p Permission) []Permission {
	switch p {
	case ApplicationReadAll, ApplicationReadWriteOwnedBy:
		return []Permission{ApplicationReadOwned}
	case ApplicationReadWriteAll:
		return []Permission{ApplicationReadAll, ApplicationReadWriteOwnedBy, ApplicationReadOwned}
	case ManagedIdentityReadWriteAll:
		return []Permission{ManagedIdentityReadAll}
	}
	return nil
}

// Caller is the authenticated caller of a management API.
type Caller struct {
	PrincipalID string // object id of its service principal
	AppID       string
	held        map[Permission]bool
}

// NewCaller makes a caller that holds the given app roles and what they imply.
func NewCaller(principalID, appID string, roles []string) Caller {
	c := Caller{PrincipalID: principalID, AppID: appID, held: map[Permission]bool{Authenticated: true}}
	for _, r := range roles {
		p := Permission(r)
		c.held[p] = true
		for _, q := range implied(p) {
			c.held[q] = true
		}
	}
	for p, parts := range together() {
		c.held[p] = !slices.ContainsFunc(parts, func(part Permission) bool { return !c.held[part] })
	}
	return c
}

// Holds reports whether the caller has a permission. The zero Caller has none.
func (c Caller) Holds(p Permission) bool { return c.held[p] }

// Call is one management request after authentication.
type Call struct {
	Tenant        directory.Tenant
	Caller        Caller
	Params        map[string]string // decoded path variables by name
	RequestID     string            // sent back as request-id / x-ms-request-id
	CorrelationID string            // the client's own id, or RequestID
	Remaining     int               // how many requests of this class the caller may send at once after this one

	// StillAllowed is asked just before a write: a body may arrive long after
	// the caller was authenticated, and its rights may have ended meanwhile.
	// When it allows, Caller holds the present rights. Nil allows.
	StillAllowed func(ctx context.Context) error
}

// ErrNoLongerAllowed is StillAllowed's answer to a caller whose rights ended.
var ErrNoLongerAllowed = errors.New("the caller's rights ended while the request arrived")

// Handler answers one management request.
type Handler func(w http.ResponseWriter, r *http.Request, c *Call)

// RateClass says which of a caller's allowances a request takes from.
type RateClass string

// The rate classes. Writes wait for the disk, so they have an allowance apart.
const (
	RateRead  RateClass = "read"
	RateWrite RateClass = "write"
)

// Route is one row of a management API. Pattern is a path of literal
// segments, {name} segments and literal({name}) segments.
type Route struct {
	Method     string
	Pattern    string
	Permission Permission
	Action     string // audit action; empty for reads
	Rate       RateClass

	// Conditional rows show an object with its ETag, or honour If-Match and
	// If-None-Match when they change it.
	Conditional bool

	Handler Handler
}

// Guarded returns the row as a conditional one.
func (r Route) Guarded() Route {
	r.Conditional = true
	return r
}

// AllRoles lists the app roles of the management resource.
func AllRoles() []string {
	var all []string
	for _, r := range Roles() {
		all = append(all, r.Value)
	}
	return all
}

// Roles are the app roles that the management resource defines. The ids of
// those that Microsoft Graph has are Graph's.
func Roles() []directory.AppRole {
	role := func(id string, value Permission, text string) directory.AppRole {
		return directory.AppRole{ID: id, Value: string(value), DisplayName: text, Description: text,
			AllowedMemberTypes: []string{"Application"}, IsEnabled: true}
	}
	return []directory.AppRole{
		role("9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30", ApplicationReadAll, "Read all applications"),
		role("1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9", ApplicationReadWriteAll, "Read and write all applications"),
		role("18a4783c-866b-4cc7-a460-3d5e5662c884", ApplicationReadWriteOwnedBy, "Manage the applications that this one owns"),
		role("06b708a9-e830-4db3-a914-8e69da51d44f", AppRoleAssignmentReadWrite, "Manage app role assignments"),
		role("b0afded3-3588-46d8-8b3d-9842eff778da", AuditLogReadAll, "Read the audit trail"),
		role("292d869f-3427-49a8-9dab-8c70152b74e9", OrganizationReadWriteAll, "Read and write the tenant's settings"),
		role("c7a1d4f2-6b3e-4d8a-9f50-1e2b7c9a4d63", IssuersPush, "Push the keys of the issuers that name this application"),
		role("0f1d6c1a-6a0e-4f5b-9d0c-5b7a3c2e8d11", ManagedIdentityReadAll, "Read managed identities"),
		role("5c2e9b34-7d1f-4a86-8e93-2f6b0d4c7a22", ManagedIdentityReadWriteAll, "Read and write managed identities"),
	}
}
