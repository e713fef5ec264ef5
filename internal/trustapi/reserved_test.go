package trustapi

import (
	"testing"
	"time"

	"cambio/internal/bootstrap"
	"cambio/internal/directory"
	"cambio/internal/store"
	"cambio/internal/trust"
)

// No identity gets the name by which documents call the management resource:
// an export could not tell assignments to the two apart.
func TestNoIdentityIsCalledManagementResource(t *testing.T) {
	f := newFixture(t)
	for _, step := range []func(string) *answer{f.plan, func(text string) *answer { return f.apply(text) }} {
		step("version: 1\nresourceGroups: [{name: rg1, location: l}]\nmanagedIdentities: [{resourceGroup: rg1, name: id1, location: l, clientId: "+
			trust.ManagementResource+"}]").refused(400, "managedIdentities[0].clientId: documents call the management resource")
	}
	// A mistake in the object itself has no property.
	f.plan("version: 1\napplications: [{displayName: x}]").refused(400, `"target":"applications[0]"`)
}

// The server never saw the lines of the file.
func TestMistakesNamePathsOnly(t *testing.T) {
	f := newFixture(t)
	f.plan("version: 1\nresourceGroups: [{name: rg1, location: l}, {name: RG1, location: l}]").refused(400, "here and at resourceGroups[0]")
}

// A plan tells what its application would be refused for: identifiers that
// another tenant's objects have, as an export that is applied beside its
// tenant says them.
func TestPlanKnowsIdentifiersInUse(t *testing.T) {
	f := newFixture(t)
	other, err := bootstrap.Create(t.Context(), f.db, bootstrap.Tenant{DisplayName: "Fabrikam", Compat: directory.Relaxed}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	sp, err := f.db.ServicePrincipal(t.Context(), other.TenantID, store.Ref{AppID: other.AdminClientID})
	if err != nil {
		t.Fatal(err)
	}
	identity := directory.ManagedIdentity{TenantID: other.TenantID, SubscriptionID: other.TenantID, ResourceGroup: "rg1", Name: "id1", Location: "l"}
	if err := f.db.Write(t.Context(), store.Change{}, func(tx *store.Tx) error {
		if _, err := tx.PutResourceGroup(&directory.ResourceGroup{TenantID: other.TenantID, SubscriptionID: other.TenantID, Name: "rg1", Location: "l"}); err != nil {
			return err
		}
		_, err := tx.PutManagedIdentity(&identity)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	application := func(more string) string {
		return "version: 1\napplications: [{uniqueName: new, displayName: New, " + more + "}]"
	}
	another := func(more string) string {
		return "version: 1\nresourceGroups: [{name: rg1, location: l}]\nmanagedIdentities: [{resourceGroup: rg1, name: id1, location: l, " + more + "}]"
	}
	for _, text := range []string{application("appId: " + other.AdminClientID), application("appId: " + identity.ClientID), application("id: " + other.AdminObjectID),
		application("id: " + sp.ID), application("servicePrincipal: {id: " + sp.ID + "}"), application("servicePrincipal: {id: " + other.AdminObjectID + "}"),
		another("clientId: " + identity.ClientID), another("clientId: " + other.AdminClientID), another("principalId: " + identity.PrincipalID)} {
		planned, applied := f.plan(text), f.apply(text)
		applied.refused(409, "is in use")
		if planned.status != applied.status || planned.Error.Message != applied.Error.Message {
			t.Errorf("%s\nplan: %d %s\napply: %d %s", text, planned.status, planned.text, applied.status, applied.text)
		}
	}
	// An appId says nothing about object ids.
	f.apply(application("appId: "+sp.ID)).want("create application new", "create servicePrincipal new")
}
