package storetest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"cambio/internal/directory"
	"cambio/internal/store"
)

func testTenants(t *testing.T, f *fixture) {
	for _, ref := range []string{f.tenant.ID, strings.ToUpper(f.tenant.ID), "contoso.example", "Contoso.Example"} {
		got, err := f.db.Tenant(t.Context(), ref)
		if err != nil || got.ID != f.tenant.ID || !slices.Equal(got.Domains, []string{"contoso.example"}) {
			t.Errorf("Tenant(%q) = %+v, %v", ref, got, err)
		}
	}
	_, err := f.db.Tenant(t.Context(), "nowhere.example")
	f.isError(err, directory.NotFound, "nowhere.example")
	_, err = f.db.Tenant(t.Context(), store.DefaultTenant)
	f.isError(err, directory.NotFound)
	f.refused(directory.NameTaken, func(tx *store.Tx) error {
		return tx.CreateTenant(&directory.Tenant{Compat: directory.Relaxed, Domains: []string{"CONTOSO.example"}})
	}, "CONTOSO.example")
	f.refused(directory.NameTaken, func(tx *store.Tx) error {
		return tx.CreateTenant(&directory.Tenant{ID: f.tenant.ID, Compat: directory.Relaxed})
	}, f.tenant.ID)

	changed := f.tenant
	changed.DisplayName, changed.Compat, changed.Domains = "Fabrikam", directory.Strict, []string{"Fabrikam.example", "contoso.example"}
	f.write(func(tx *store.Tx) error { return tx.UpdateTenant(&changed) })
	got, err := f.db.Tenant(t.Context(), "fabrikam.example")
	if err != nil || got.DisplayName != "Fabrikam" || got.Compat != directory.Strict || len(got.Domains) != 2 || !got.CreatedAt.Equal(changed.CreatedAt) {
		t.Errorf("after the update: %+v, %v", got, err)
	}
}

func testDefaultTenant(t *testing.T, f *fixture) {
	f.createTenant(directory.Tenant{Compat: directory.Relaxed, Default: true})
	second := f.createTenant(directory.Tenant{Compat: directory.Relaxed, Default: true})
	got, err := f.db.Tenant(t.Context(), store.DefaultTenant)
	if err != nil || got.ID != second.ID {
		t.Errorf("default tenant is %+v, %v; want the newer one", got, err)
	}
	tenants, err := f.db.Tenants(t.Context())
	defaults := 0
	for _, tenant := range tenants {
		if tenant.Default {
			defaults++
		}
	}
	if err != nil || len(tenants) != 3 || defaults != 1 {
		t.Errorf("%d tenants, %d default, %v", len(tenants), defaults, err)
	}
}

func testApplications(t *testing.T, f *fixture) {
	a := f.createApplication(directory.Application{
		DisplayName: "Shop", Description: "d", UniqueName: "shop", IdentifierURIs: []string{"api://shop", "https://contoso.example/shop"},
		SignInAudience: "AzureADMyOrg", Tags: []string{"x"}, OptionalIdtyp: true, Disabled: true,
		Notes: "n", ServiceManagementReference: "r",
		RequiredResourceAccess: []directory.RequiredResourceAccess{{
			ResourceAppID:  "c5d3119c-8030-4c84-b836-81944b06c951",
			ResourceAccess: []directory.ResourceAccess{{ID: "5d2f3b5e-6f0e-4e0c-9d52-6f1b0f6f4a06", Type: "Role"}},
		}},
		API:      directory.APISettings{RequestedAccessTokenVersion: 2, AccessTokenSigningAlgorithm: "ES256", AccessTokenProfile: "rfc9068"},
		AppRoles: []directory.AppRole{{ID: "r", Value: "Orders.Read", DisplayName: "n", Description: "e", AllowedMemberTypes: []string{"Application"}, IsEnabled: true}},
	})
	for _, ref := range []store.Ref{{ID: a.ID}, {ID: strings.ToUpper(a.ID)}, {AppID: a.AppID}, {AppID: strings.ToUpper(a.AppID)},
		{UniqueName: "shop"}, {IdentifierURI: "https://contoso.example/shop"}} {
		got, err := f.db.Application(t.Context(), f.tenant.ID, ref)
		if err != nil || !reflect.DeepEqual(got, a) {
			t.Errorf("Application(%+v) =\n%+v, %v\nwant\n%+v", ref, got, err, a)
		}
	}
	for _, ref := range []store.Ref{{}, {ID: "x"}, {IdentifierURI: "API://shop"}, {UniqueName: "Shop"}} {
		_, err := f.db.Application(t.Context(), f.tenant.ID, ref)
		f.isError(err, directory.NotFound)
	}

	changed := a
	changed.DisplayName, changed.IdentifierURIs, changed.AppRoles, changed.Tags = "Store", []string{"api://shop"}, nil, nil
	changed.AppID, changed.Notes, changed.RequiredResourceAccess = "ignored", "m", nil
	f.write(func(tx *store.Tx) error { return tx.UpdateApplication(&changed) })
	got, err := f.db.Application(t.Context(), f.tenant.ID, store.Ref{ID: a.ID})
	if err != nil || got.DisplayName != "Store" || got.AppID != a.AppID || len(got.IdentifierURIs) != 1 || len(got.AppRoles) != 0 || len(got.Tags) != 0 ||
		got.Notes != "m" || got.ServiceManagementReference != "r" || got.RequiredResourceAccess != nil {
		t.Errorf("after the update: %+v, %v", got, err)
	}
	missing := directory.Application{TenantID: f.tenant.ID, ID: "nope"}
	f.refused(directory.NotFound, func(tx *store.Tx) error { return tx.UpdateApplication(&missing) }, "nope")
}

func testApplicationKeys(_ *testing.T, f *fixture) {
	a := f.createApplication(directory.Application{DisplayName: "Shop", UniqueName: "shop", IdentifierURIs: []string{"api://shop"}})
	for _, other := range []directory.Application{
		{UniqueName: "shop"},
		{IdentifierURIs: []string{"api://other", "api://shop"}},
	} {
		other.TenantID = f.tenant.ID
		f.refused(directory.NameTaken, func(tx *store.Tx) error { return tx.CreateApplication(&other) }, "Shop", a.ID)
	}
	f.refused(directory.NameTaken, func(tx *store.Tx) error {
		return tx.CreateApplication(&directory.Application{TenantID: f.tenant.ID, AppID: strings.ToUpper(a.AppID)})
	}, a.AppID)
	f.refused(directory.ReferenceAbsent, func(tx *store.Tx) error {
		return tx.CreateApplication(&directory.Application{TenantID: "nowhere"})
	}, "nowhere")
	b := f.createApplication(directory.Application{DisplayName: "Other", IdentifierURIs: []string{"api://other"}})
	b.IdentifierURIs = []string{"api://shop"}
	f.refused(directory.NameTaken, func(tx *store.Tx) error { return tx.UpdateApplication(&b) }, a.ID)
	// The same names are free in another tenant, but never an appId.
	second := f.createTenant(directory.Tenant{Compat: directory.Relaxed})
	f.createApplication(directory.Application{TenantID: second.ID, UniqueName: "shop", IdentifierURIs: []string{"api://shop"}})
	f.refused(directory.NameTaken, func(tx *store.Tx) error {
		return tx.CreateApplication(&directory.Application{TenantID: second.ID, AppID: a.AppID})
	})
}

func testApplicationList(t *testing.T, f *fixture) {
	for i := range 7 {
		f.createApplication(directory.Application{DisplayName: fmt.Sprintf("App 100%%_%d", i), IdentifierURIs: []string{fmt.Sprintf("api://%d", i)}})
	}
	f.createApplication(directory.Application{DisplayName: "App 1000"})
	for _, c := range []struct {
		q    store.ListQuery
		want int
	}{
		{store.ListQuery{}, 8},
		{store.ListQuery{Field: "displayName", Op: "startswith", Value: "app 100%_"}, 7},
		{store.ListQuery{Field: "displayName", Op: "startswith", Value: ""}, 8},
		{store.ListQuery{Field: "displayName", Op: "eq", Value: "APP 1000"}, 1},
		{store.ListQuery{Field: "displayName", Op: "eq", Value: "App"}, 0},
		{store.ListQuery{Field: "identifierUris", Op: "eq", Value: "api://3"}, 1},
	} {
		got, more, err := f.db.Applications(t.Context(), f.tenant.ID, c.q)
		if err != nil || more || len(got) != c.want {
			t.Errorf("%+v: %d applications, more %v, %v; want %d", c.q, len(got), more, err, c.want)
		}
	}
	_, _, err := f.db.Applications(t.Context(), f.tenant.ID, store.ListQuery{Field: "secret", Op: "eq"})
	f.isError(err, directory.Invalid, "secret")

	seen := map[string]bool{}
	q := store.ListQuery{Top: 3, Field: "displayName", Op: "startswith", Value: "App"}
	for pages := 1; ; pages++ {
		got, more, err := f.db.Applications(t.Context(), f.tenant.ID, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range got {
			seen[a.ID] = true
			q.After = a.ID
		}
		if !more {
			if pages != 3 || len(seen) != 8 {
				t.Errorf("%d applications on %d pages", len(seen), pages)
			}
			return
		}
	}
}

func testApplicationDelete(t *testing.T, f *fixture) {
	client, clientSP := f.registered("client")
	resource, resourceSP := f.registered("resource")
	credential := f.createCredential(f.credential(client.ID, 1))
	assignment := f.createAssignment(clientSP.ID, resourceSP.ID, directory.DefaultAppRoleID)
	f.write(func(tx *store.Tx) error { return tx.DeleteApplication(f.tenant.ID, resource.ID) })
	_, err := f.db.Assignment(t.Context(), f.tenant.ID, assignment.ID)
	f.isError(err, directory.NotFound)
	f.write(func(tx *store.Tx) error { return tx.DeleteApplication(f.tenant.ID, client.ID) })
	_, err = f.db.Application(t.Context(), f.tenant.ID, store.Ref{ID: client.ID})
	f.isError(err, directory.NotFound)
	_, err = f.db.ServicePrincipal(t.Context(), f.tenant.ID, store.Ref{ID: clientSP.ID})
	f.isError(err, directory.NotFound)
	_, err = f.db.Credential(t.Context(), f.tenant.ID, client.ID, credential.ID)
	f.isError(err, directory.NotFound)
	f.refused(directory.NotFound, func(tx *store.Tx) error { return tx.DeleteApplication(f.tenant.ID, client.ID) })
	// Identifiers of what is gone are not given out again; its names are.
	for _, again := range []directory.Application{{ID: client.ID}, {AppID: client.AppID}, {ID: clientSP.ID}, {ID: credential.ID}} {
		again.TenantID = f.tenant.ID
		f.refused(directory.NameTaken, func(tx *store.Tx) error { return tx.CreateApplication(&again) })
	}
	f.registered("client")
}

func testServicePrincipals(t *testing.T, f *fixture) {
	a, p := f.registered("client")
	if p.Kind != directory.KindApplication {
		t.Errorf("kind %q", p.Kind)
	}
	f.refused(directory.NameTaken, func(tx *store.Tx) error {
		return tx.CreateServicePrincipal(&directory.ServicePrincipal{TenantID: f.tenant.ID, AppID: a.AppID})
	}, p.ID)
	f.refused(directory.ReferenceAbsent, func(tx *store.Tx) error {
		return tx.CreateServicePrincipal(&directory.ServicePrincipal{TenantID: f.tenant.ID, AppID: "absent"})
	}, "absent")
	for _, value := range []string{a.AppID, strings.ToUpper(a.AppID), "api://client"} {
		got, more, err := f.db.ServicePrincipals(t.Context(), f.tenant.ID,
			store.ListQuery{Field: "servicePrincipalNames", Op: "eq", Value: value, After: "0"})
		if err != nil || more || len(got) != 1 || got[0].ID != p.ID {
			t.Errorf("servicePrincipalNames %q: %+v, %v", value, got, err)
		}
	}
	p.AccountEnabled, p.AppRoleAssignmentRequired, p.Tags = false, true, []string{"t"}
	p.Description, p.Notes = "d", "n"
	f.write(func(tx *store.Tx) error { return tx.UpdateServicePrincipal(&p) })
	got, err := f.db.ServicePrincipal(t.Context(), f.tenant.ID, store.Ref{AppID: a.AppID})
	if err != nil || got.AccountEnabled || !got.AppRoleAssignmentRequired || !slices.Equal(got.Tags, p.Tags) || got.Description != "d" || got.Notes != "n" {
		t.Errorf("after the update: %+v, %v", got, err)
	}
	f.write(func(tx *store.Tx) error { return tx.DeleteServicePrincipal(f.tenant.ID, p.ID) })
	again := f.createPrincipal(a)
	if again.ID == p.ID {
		t.Error("the id was used again")
	}
}

func testTenantIsolation(t *testing.T, f *fixture) {
	a, p := f.registered("client")
	c := f.createCredential(f.credential(a.ID, 1))
	grant := f.createAssignment(p.ID, p.ID, directory.DefaultAppRoleID)
	other := f.createTenant(directory.Tenant{Compat: directory.Relaxed})
	ctx := t.Context()
	reads := map[string]error{}
	_, reads["application"] = f.db.Application(ctx, other.ID, store.Ref{ID: a.ID})
	_, reads["service principal"] = f.db.ServicePrincipal(ctx, other.ID, store.Ref{ID: p.ID})
	_, reads["credential"] = f.db.Credential(ctx, other.ID, a.ID, c.ID)
	_, reads["assignment"] = f.db.Assignment(ctx, other.ID, grant.ID)
	for what, err := range reads {
		if !store.IsNotFound(err) {
			t.Errorf("%s of another tenant: %v", what, err)
		}
	}
	foreign := f.credential(a.ID, 2)
	foreign.TenantID = other.ID
	for what, fn := range map[string]func(tx *store.Tx) error{
		"delete application": func(tx *store.Tx) error { return tx.DeleteApplication(other.ID, a.ID) },
		"delete principal":   func(tx *store.Tx) error { return tx.DeleteServicePrincipal(other.ID, p.ID) },
		"create credential":  func(tx *store.Tx) error { return tx.CreateCredential(&foreign) },
		"delete credential":  func(tx *store.Tx) error { return tx.DeleteCredential(other.ID, a.ID, c.ID) },
		"delete assignment":  func(tx *store.Tx) error { return tx.DeleteAssignment(other.ID, grant.ID) },
	} {
		if err := f.try(fn); !store.IsNotFound(err) {
			t.Errorf("%s of another tenant: %v", what, err)
		}
	}
	f.refused(directory.ReferenceAbsent, func(tx *store.Tx) error {
		return tx.CreateAssignment(&directory.AppRoleAssignment{TenantID: other.ID, PrincipalID: p.ID, ResourceID: p.ID})
	})
	records := f.db.Records(store.RecordsConfig{})
	if _, err := records.Client(ctx, other.ID, a.AppID); err != store.ErrNotFound {
		t.Errorf("client record of another tenant: %v", err)
	}
	if _, err := records.Resource(ctx, other.ID, "api://client"); err != store.ErrNotFound {
		t.Errorf("resource record of another tenant: %v", err)
	}
}
