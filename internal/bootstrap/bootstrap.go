// Package bootstrap makes what an empty installation needs before anybody can
// sign in to it: a tenant, its management resource, and the first
// administrator.
//
// It writes to the database directly and is reachable from the command line
// of the server's own host only.
package bootstrap

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"cambio/internal/directory"
	"cambio/internal/management"
	"cambio/internal/store"
)

// TokenPrefix marks bootstrap tokens, so that they are recognised wherever
// they turn up.
const TokenPrefix = "cambio-bootstrap-"

// TokenLifetime is how long a bootstrap token can be used, once.
const TokenLifetime = 15 * time.Minute

// ManagementKey is the name under which the appId of a tenant's management
// resource is kept among the installation's facts.
func ManagementKey(tenantID string) string { return "management-app/" + tenantID }

// adminKey is the name under which a tenant's first administrator is kept: its
// client id, object id and service principal id, separated by spaces.
func adminKey(tenantID string) string { return "first-administrator/" + tenantID }

// Tenant is what to make.
type Tenant struct {
	DisplayName string
	Domains     []string // lower case
	Compat      directory.Compat
	// Credential is the administrator's federated identity credential; nil
	// asks for a bootstrap token instead.
	Credential *directory.FederatedIdentityCredential
}

// Result is what was made.
type Result struct {
	TenantID       string
	AdminClientID  string
	AdminObjectID  string // of the application
	BootstrapToken string // empty when a credential was given
}

// Create makes a tenant with its management resource and an administrator who
// holds all of its roles, in one transaction. The first tenant becomes the
// default one.
func Create(ctx context.Context, db *store.DB, t Tenant, now time.Time) (Result, error) {
	tenant := directory.Tenant{ID: uuid.NewString(), DisplayName: t.DisplayName, Domains: t.Domains, Compat: t.Compat, CreatedAt: now}
	resource := application(tenant.ID, "cambio management")
	resource.AppRoles = management.Roles()
	result := Result{TenantID: tenant.ID}
	if t.Credential == nil {
		result.BootstrapToken = TokenPrefix + rand.Text()
	}
	err := db.Write(ctx, store.Change{TenantID: tenant.ID, Via: "bootstrap", Action: "tenant.bootstrap", Target: tenant.ID}, func(tx *store.Tx) error {
		existing, err := tx.Tenants(ctx)
		if err != nil {
			return err
		}
		tenant.Default = len(existing) == 0
		if err := tx.CreateTenant(&tenant); err != nil {
			return err
		}
		if err := tx.SetMeta(ManagementKey(tenant.ID), resource.AppID); err != nil {
			return err
		}
		resourceSP, err := AddApplication(tx, resource)
		if err != nil {
			return err
		}
		admin, err := addAdministrator(tx, resourceSP)
		if err != nil {
			return err
		}
		result.AdminClientID, result.AdminObjectID = admin.clientID, admin.objectID
		if t.Credential == nil {
			return putToken(tx, result.BootstrapToken, tenant.ID, admin.principalID, now)
		}
		c := *t.Credential
		c.TenantID, c.ParentID = tenant.ID, admin.objectID
		return tx.CreateCredential(&c)
	})
	if err != nil {
		return Result{}, fmt.Errorf("the tenant was not created: %w", err)
	}
	return result, nil
}

// administrator is the first administrator of a tenant.
type administrator struct{ clientID, objectID, principalID string }

// addAdministrator makes an administrator who holds all roles of the
// management resource, and notes it as the tenant's first.
func addAdministrator(tx *store.Tx, resource *directory.ServicePrincipal) (a administrator, err error) {
	app := application(resource.TenantID, "cambio administrator")
	sp, err := AddApplication(tx, app)
	if err != nil {
		return a, err
	}
	for _, role := range management.Roles() {
		if err := Assign(tx, sp, resource, role.ID); err != nil {
			return a, err
		}
	}
	a = administrator{app.AppID, app.ID, sp.ID}
	return a, tx.SetMeta(adminKey(resource.TenantID), a.clientID+" "+a.objectID+" "+a.principalID)
}

// NewToken makes another bootstrap token for the first administrator of a
// tenant, which is named by id or domain. If that administrator was deleted,
// another one is made: whoever can run this on the server's own host must be
// able to get in again.
func NewToken(ctx context.Context, db *store.DB, tenantRef string, now time.Time) (Result, error) {
	r := Result{BootstrapToken: TokenPrefix + rand.Text()}
	err := db.Write(ctx, store.Change{Via: "bootstrap", Action: "bootstrapToken.create"}, func(tx *store.Tx) error {
		tenant, err := tx.Tenant(ctx, tenantRef)
		if err != nil {
			return err
		}
		admin, err := firstAdministrator(ctx, tx, tenant.ID)
		if err != nil {
			return err
		}
		r.TenantID, r.AdminClientID, r.AdminObjectID = tenant.ID, admin.clientID, admin.objectID
		tx.SetTarget(tenant.ID)
		return putToken(tx, r.BootstrapToken, tenant.ID, admin.principalID, now)
	})
	return r, err
}

// firstAdministrator finds the first administrator of a tenant, or makes one.
func firstAdministrator(ctx context.Context, tx *store.Tx, tenantID string) (a administrator, err error) {
	fact, err := tx.Meta(ctx, adminKey(tenantID))
	if err != nil {
		return a, err
	}
	ids := strings.Fields(fact)
	if len(ids) != 3 {
		return a, fmt.Errorf("the tenant %s has no first administrator", tenantID)
	}
	a = administrator{ids[0], ids[1], ids[2]}
	_, appErr := tx.Application(ctx, tenantID, store.Ref{ID: a.objectID})
	_, spErr := tx.ServicePrincipal(ctx, tenantID, store.Ref{ID: a.principalID})
	if !store.IsNotFound(appErr) && !store.IsNotFound(spErr) {
		return a, errors.Join(appErr, spErr)
	}
	appID, err := tx.Meta(ctx, ManagementKey(tenantID))
	if err != nil {
		return a, err
	}
	resource, err := tx.ServicePrincipal(ctx, tenantID, store.Ref{AppID: appID})
	if err != nil {
		return a, err
	}
	return addAdministrator(tx, &resource)
}

// putToken stores the hash of a bootstrap token.
func putToken(tx *store.Tx, token, tenantID, principalID string, now time.Time) error {
	return tx.CreateBootstrapToken(&store.BootstrapToken{Hash: sha256.Sum256([]byte(token)), TenantID: tenantID,
		PrincipalID: principalID, ExpiresAt: now.Add(TokenLifetime)})
}

func application(tenantID, name string) *directory.Application {
	return &directory.Application{ID: uuid.NewString(), AppID: uuid.NewString(), TenantID: tenantID, DisplayName: name,
		SignInAudience: "AzureADMyOrg"}
}

// AddApplication creates an application together with its service principal.
func AddApplication(tx *store.Tx, app *directory.Application) (*directory.ServicePrincipal, error) {
	if err := tx.CreateApplication(app); err != nil {
		return nil, err
	}
	sp := &directory.ServicePrincipal{TenantID: app.TenantID, AppID: app.AppID, Kind: directory.KindApplication,
		DisplayName: app.DisplayName, AccountEnabled: true}
	return sp, tx.CreateServicePrincipal(sp)
}

// Assign grants an app role.
func Assign(tx *store.Tx, principal, resource *directory.ServicePrincipal, roleID string) error {
	return tx.CreateAssignment(&directory.AppRoleAssignment{TenantID: resource.TenantID, AppRoleID: roleID,
		PrincipalID: principal.ID, ResourceID: resource.ID})
}
