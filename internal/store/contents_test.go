package store

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"cambio/internal/directory"
)

// tenantOf opens a database with a tenant, an application with its service
// principal, and another tenant.
func tenantOf(t *testing.T) (db *DB, tenant directory.Tenant, app directory.Application, sp directory.ServicePrincipal) {
	t.Helper()
	db, err := Open(Config{Path: filepath.Join(t.TempDir(), "state", "db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	tenant = directory.Tenant{DisplayName: "x", Compat: directory.Relaxed}
	err = db.Write(t.Context(), Change{}, func(tx *Tx) error {
		if err := tx.CreateTenant(&tenant); err != nil {
			return err
		}
		app = directory.Application{TenantID: tenant.ID, DisplayName: "a", IdentifierURIs: []string{"api://b", "api://a"}}
		if err := tx.CreateApplication(&app); err != nil {
			return err
		}
		sp = directory.ServicePrincipal{TenantID: tenant.ID, AppID: app.AppID, DisplayName: "a"}
		return tx.CreateServicePrincipal(&sp)
	})
	if err != nil {
		t.Fatal(err)
	}
	return db, tenant, app, sp
}

// Every write to a tenant gives it another mark, and no write to another one.
func TestMark(t *testing.T) {
	db, tenant, app, sp := tenantOf(t)
	other := directory.Tenant{DisplayName: "y", Compat: directory.Relaxed}
	id := tenant.ID
	foreign := directory.Application{DisplayName: "z"}
	identity := directory.ManagedIdentity{TenantID: id, SubscriptionID: id, ResourceGroup: "rg", Name: "id1", Location: "l"}
	for _, step := range []struct {
		name    string
		changes bool
		fn      func(*Tx) error
	}{
		{"nothing", false, func(*Tx) error { return nil }},
		{"another tenant", false, func(tx *Tx) error { return tx.CreateTenant(&other) }},
		{"its application", false, func(tx *Tx) error { foreign.TenantID = other.ID; return tx.CreateApplication(&foreign) }},
		{"the tenant", true, func(tx *Tx) error { tenant.DisplayName = "new"; return tx.UpdateTenant(&tenant) }},
		{"an application", true, func(tx *Tx) error { app.Description = "d"; return tx.UpdateApplication(&app) }},
		{"a service principal", true, func(tx *Tx) error { sp.Tags = []string{"t"}; return tx.UpdateServicePrincipal(&sp) }},
		{"a credential", true, func(tx *Tx) error {
			return tx.SetCredentials(id, app.ID, nil, []directory.FederatedIdentityCredential{{ID: "c1", Name: "one", Issuer: "i", Subject: "s", Audiences: []string{"a"}}})
		}},
		{"an assignment", true, func(tx *Tx) error {
			return tx.CreateAssignment(&directory.AppRoleAssignment{TenantID: id, AppRoleID: directory.DefaultAppRoleID, PrincipalID: sp.ID, ResourceID: sp.ID})
		}},
		{"an owner", true, func(tx *Tx) error { return tx.AddOwner(id, app.ID, sp.ID) }},
		{"no owner", true, func(tx *Tx) error { return tx.RemoveOwner(id, app.ID, sp.ID) }},
		{"a resource group", true, func(tx *Tx) error {
			_, err := tx.PutResourceGroup(&directory.ResourceGroup{TenantID: id, SubscriptionID: id, Name: "rg", Location: "l"})
			return err
		}},
		{"its tags", true, func(tx *Tx) error {
			_, err := tx.PutResourceGroup(&directory.ResourceGroup{TenantID: id, SubscriptionID: id, Name: "rg", Location: "l", Tags: map[string]string{"a": "b"}})
			return err
		}},
		{"an identity", true, func(tx *Tx) error { _, err := tx.PutManagedIdentity(&identity); return err }},
		{"no identity", true, func(tx *Tx) error { return tx.DeleteManagedIdentity(id, id, "rg", "id1") }},
		{"no application", true, func(tx *Tx) error { return tx.DeleteApplication(id, app.ID) }},
	} {
		_, _, before, err := db.Contents(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Write(t.Context(), Change{}, step.fn); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		_, _, after, err := db.Contents(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if (before != after) != step.changes || (before.String() != after.String()) != step.changes {
			t.Errorf("%s: the mark went from %q to %q", step.name, before, after)
		}
	}
}

// Names and subjects may pass from one credential to another; an error undoes
// all of it.
func TestSetCredentials(t *testing.T) {
	db, tenant, app, _ := tenantOf(t)
	credential := func(id, name, subject string) directory.FederatedIdentityCredential {
		return directory.FederatedIdentityCredential{ID: id, Name: name, Issuer: "i", Subject: subject, Audiences: []string{"a"}}
	}
	set := func(remove []string, put ...directory.FederatedIdentityCredential) error {
		return db.Write(t.Context(), Change{Action: "all"}, func(tx *Tx) error {
			tx.RecordDetail("one", "first")
			tx.RecordDetail("two", strings.Repeat("x", 100))
			return tx.SetCredentials(tenant.ID, app.ID, remove, put)
		})
	}
	want := func(names string) {
		t.Helper()
		_, c, _, err := db.Contents(t.Context(), tenant.ID)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, x := range c.Credentials {
			got += x.ID + "=" + x.Name + "/" + x.Subject + " "
		}
		if got != names || len(c.Applications) != 1 || strings.Join(c.Applications[0].IdentifierURIs, " ") != "api://b api://a" {
			t.Errorf("the tenant has %s of %+v, want %s", got, c.Applications, names)
		}
	}
	if err := set(nil, credential("c1", "one", "s1"), credential("c2", "two", "s2")); err != nil {
		t.Fatal(err)
	}
	if err := set(nil, credential("c1", "two", "s2"), credential("c2", "one", "s1")); err != nil {
		t.Fatal(err)
	}
	want("c1=two/s2 c2=one/s1 ")
	records, err := db.AuditRecords(t.Context(), 0, 100)
	if err != nil || len(records) != 7 { // that of tenantOf, and three of each write
		t.Errorf("%d audit records, %v", len(records), err)
	}
	if err := set([]string{"c1"}, credential("c3", "two", "s2")); err != nil {
		t.Fatal(err)
	}
	want("c2=one/s1 c3=two/s2 ")
	var refused *directory.Error
	if err := set([]string{"c1"}, credential("c4", "four", "s4")); !errors.As(err, &refused) || refused.Kind != directory.NotFound {
		t.Errorf("a credential that is gone: %v", err)
	}
	if err := set([]string{"c2"}, credential("c5", "two", "s5")); err == nil {
		t.Error("a name was used twice")
	}
	want("c2=one/s1 c3=two/s2 ")
}

// Identifiers may be chosen, but nobody may get those of somebody else, in
// whatever tenant.
func TestChosenObjectIDs(t *testing.T) {
	db, tenant, app, sp := tenantOf(t)
	other := directory.Tenant{DisplayName: "y", Compat: directory.Relaxed}
	if err := db.Write(t.Context(), Change{}, func(tx *Tx) error { return tx.CreateTenant(&other) }); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{app.ID, sp.ID, strings.ToUpper(app.ID)} {
		for _, in := range []string{tenant.ID, other.ID} {
			err := db.Write(t.Context(), Change{}, func(tx *Tx) error {
				return tx.CreateApplication(&directory.Application{ID: id, TenantID: in, DisplayName: "b"})
			})
			var refused *directory.Error
			if !errors.As(err, &refused) || refused.Kind != directory.NameTaken {
				t.Errorf("the id %s was given out again: %v", id, err)
			}
		}
	}
}
