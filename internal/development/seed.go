package development

import (
	"context"
	"slices"
	"time"

	"cambio/internal/bootstrap"
	"cambio/internal/directory"
	"cambio/internal/store"
)

// What the seeded tenant holds.
const (
	TenantName    = "cambio development"
	Domain        = "dev.cambio.test"
	ResourceGroup = "rg1"
	ResourceURI   = "api://cambio-dev"
	SampleRole    = "Sample.Read.All"
	sampleRoleID  = "3d7f7c52-6f0f-4c2b-8a55-0a1d6d8f9e01"
	credentialRef = "development-provider"
)

// seed is the ids of the seeded objects, kept among the installation's facts
// so that a restart finds them again.
type seed struct {
	tenantID, adminClientID                 string
	clientID, clientObjectID, resourceAppID string
}

const (
	seedTenant   = "dev/tenant"
	seedAdmin    = "dev/admin-client"
	seedClient   = "dev/client"
	seedObject   = "dev/client-object"
	seedResource = "dev/resource"
	seedIssuer   = "dev/issuer" // the provider's issuer at the last start
)

// ensureSeed seeds an empty database, and points the seeded credential at the
// provider's present address, which may have changed with the listener.
func ensureSeed(ctx context.Context, db *store.DB, issuer string, compat directory.Compat, now time.Time) (seed, error) {
	s, err := readSeed(ctx, db)
	if err != nil {
		return s, err
	}
	if s.tenantID == "" {
		if s, err = plantSeed(ctx, db, issuer, now); err != nil {
			return s, err
		}
	}
	err = db.Write(ctx, store.Change{TenantID: s.tenantID, Via: "dev", Action: "dev.seed", Target: s.tenantID}, func(tx *store.Tx) error {
		tenant, err := tx.Tenant(ctx, s.tenantID)
		if err != nil {
			return err
		}
		if compat != "" && tenant.Compat != compat {
			tenant.Compat = compat
			if err := tx.UpdateTenant(&tenant); err != nil {
				return err
			}
		}
		return followIssuer(ctx, tx, s, issuer)
	})
	return s, err
}

// followIssuer points the seeded credentials at the provider's present issuer.
// One that was deleted, or that somebody pointed elsewhere, was meant so.
func followIssuer(ctx context.Context, tx *store.Tx, s seed, issuer string) error {
	last, err := tx.Meta(ctx, seedIssuer)
	if err != nil && !store.IsNotFound(err) {
		return err
	}
	if last == issuer {
		return nil
	}
	admin, err := tx.Application(ctx, s.tenantID, store.Ref{AppID: s.adminClientID})
	if err != nil && !store.IsNotFound(err) {
		return err
	}
	for _, parent := range []string{s.clientObjectID, admin.ID} {
		credential, err := tx.Credential(ctx, s.tenantID, parent, credentialRef)
		if store.IsNotFound(err) || err == nil && credential.Issuer != last {
			continue
		}
		if err != nil {
			return err
		}
		credential.Issuer = issuer
		if err := tx.UpdateCredential(&credential); err != nil {
			return err
		}
	}
	return tx.SetMeta(seedIssuer, issuer)
}

func readSeed(ctx context.Context, db *store.DB) (seed, error) {
	var s seed
	for key, field := range map[string]*string{seedTenant: &s.tenantID, seedAdmin: &s.adminClientID, seedClient: &s.clientID,
		seedObject: &s.clientObjectID, seedResource: &s.resourceAppID} {
		value, err := db.Meta(ctx, key)
		if err != nil && !store.IsNotFound(err) {
			return s, err
		}
		*field = value
	}
	return s, nil
}

func plantSeed(ctx context.Context, db *store.DB, issuer string, now time.Time) (seed, error) {
	created, err := bootstrap.Create(ctx, db, bootstrap.Tenant{DisplayName: TenantName, Domains: []string{Domain}, Compat: directory.Relaxed,
		Credential: &directory.FederatedIdentityCredential{Name: credentialRef, Issuer: issuer, Subject: Subject + "-admin", Audiences: []string{Audience}}}, now)
	if err != nil {
		return seed{}, err
	}
	s := seed{tenantID: created.TenantID, adminClientID: created.AdminClientID}
	err = db.Write(ctx, store.Change{TenantID: s.tenantID, Via: "dev", Action: "dev.seed", Target: s.tenantID}, func(tx *store.Tx) error {
		return plantSample(ctx, tx, &s, issuer)
	})
	return s, err
}

// plantSample makes the sample resource and the sample client, which holds
// every role, so that each client library can be tried at once.
func plantSample(ctx context.Context, tx *store.Tx, s *seed, issuer string) error {
	resource := &directory.Application{TenantID: s.tenantID, DisplayName: "Sample API", IdentifierURIs: []string{ResourceURI},
		SignInAudience: "AzureADMyOrg", API: directory.APISettings{RequestedAccessTokenVersion: 2},
		AppRoles: []directory.AppRole{{ID: sampleRoleID, Value: SampleRole, DisplayName: "Read samples", Description: "Read samples",
			AllowedMemberTypes: []string{"Application"}, IsEnabled: true}}}
	resourceSP, err := bootstrap.AddApplication(tx, resource)
	if err != nil {
		return err
	}
	client := &directory.Application{TenantID: s.tenantID, DisplayName: "Sample workload", SignInAudience: "AzureADMyOrg"}
	clientSP, err := bootstrap.AddApplication(tx, client)
	if err != nil {
		return err
	}
	if err := tx.CreateCredential(&directory.FederatedIdentityCredential{TenantID: s.tenantID, ParentID: client.ID, Name: credentialRef,
		Issuer: issuer, Subject: Subject, Audiences: []string{Audience}, Description: "Trusts the built-in identity provider of cambio dev."}); err != nil {
		return err
	}
	if err := bootstrap.Assign(tx, clientSP, resourceSP, sampleRoleID); err != nil {
		return err
	}
	if err := assignManagement(ctx, tx, s.tenantID, clientSP); err != nil {
		return err
	}
	// A tenant's one subscription has the tenant's id.
	if _, err := tx.PutResourceGroup(&directory.ResourceGroup{TenantID: s.tenantID, SubscriptionID: s.tenantID, Name: ResourceGroup, Location: "local"}); err != nil {
		return err
	}
	s.clientID, s.clientObjectID, s.resourceAppID = client.AppID, client.ID, resource.AppID
	for _, fact := range [][2]string{{seedTenant, s.tenantID}, {seedAdmin, s.adminClientID}, {seedClient, s.clientID},
		{seedObject, s.clientObjectID}, {seedResource, s.resourceAppID}} {
		if err := tx.SetMeta(fact[0], fact[1]); err != nil {
			return err
		}
	}
	return nil
}

func assignManagement(ctx context.Context, tx *store.Tx, tenantID string, principal *directory.ServicePrincipal) error {
	appID, err := tx.Meta(ctx, bootstrap.ManagementKey(tenantID))
	if err != nil {
		return err
	}
	app, err := tx.Application(ctx, tenantID, store.Ref{AppID: appID})
	if err != nil {
		return err
	}
	sp, err := tx.ServicePrincipal(ctx, tenantID, store.Ref{AppID: appID})
	if err != nil {
		return err
	}
	for role := range slices.Values(app.AppRoles) {
		if err := bootstrap.Assign(tx, principal, &sp, role.ID); err != nil {
			return err
		}
	}
	return nil
}
