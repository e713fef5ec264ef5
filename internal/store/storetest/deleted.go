package storetest

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"cambio/internal/directory"
	"cambio/internal/store"
)

func (f *fixture) deleteApplication(id string) {
	f.Helper()
	f.write(func(tx *store.Tx) error { return tx.DeleteApplication(f.tenant.ID, id) })
}

func (f *fixture) deletePrincipal(id string) {
	f.Helper()
	f.write(func(tx *store.Tx) error { return tx.DeleteServicePrincipal(f.tenant.ID, id) })
}

func (f *fixture) restore(id string) {
	f.Helper()
	f.write(func(tx *store.Tx) error { _, err := tx.RestoreDeletedItem(f.tenant.ID, id); return err })
}

func (f *fixture) notRestored(kind directory.ErrorKind, id string, mentions ...string) {
	f.Helper()
	f.refused(kind, func(tx *store.Tx) error { _, err := tx.RestoreDeletedItem(f.tenant.ID, id); return err }, mentions...)
}

// state is everything about an application that a deletion takes away.
type state struct {
	application directory.Application
	principal   directory.ServicePrincipal
	credentials []directory.FederatedIdentityCredential
	assignments []directory.AppRoleAssignment
	owners      []string
}

func (f *fixture) state(id string) (s state) {
	f.Helper()
	var err error
	check := func() {
		f.Helper()
		if err != nil {
			f.Fatal(err)
		}
	}
	s.application, err = f.db.Application(f.Context(), f.tenant.ID, store.Ref{ID: id})
	check()
	s.principal, err = f.db.ServicePrincipal(f.Context(), f.tenant.ID, store.Ref{AppID: s.application.AppID})
	check()
	s.credentials, _, err = f.db.Credentials(f.Context(), f.tenant.ID, id, store.ListQuery{})
	check()
	s.assignments, _, err = f.db.AssignmentsOf(f.Context(), f.tenant.ID, s.principal.ID, store.ListQuery{})
	check()
	to, _, err := f.db.AssignmentsTo(f.Context(), f.tenant.ID, s.principal.ID, store.ListQuery{})
	if err != nil {
		f.Fatal(err)
	}
	s.assignments = append(s.assignments, to...)
	s.owners = append(f.owners(id), f.owners(s.principal.ID)...)
	return s
}

func testDeletedApplication(t *testing.T, f *fixture) {
	a := f.createApplication(directory.Application{
		DisplayName: "Shop", Description: "d", UniqueName: "shop", IdentifierURIs: []string{"api://shop", "api://store"}, Tags: []string{"x"},
		SignInAudience: "AzureADMyOrg", OptionalIdtyp: true, Notes: "n", ServiceManagementReference: "r",
		RequiredResourceAccess: []directory.RequiredResourceAccess{{
			ResourceAppID:  "22222222-2222-2222-2222-222222222222",
			ResourceAccess: []directory.ResourceAccess{{ID: "33333333-3333-3333-3333-333333333333", Type: "Role"}},
		}},
		API:      directory.APISettings{RequestedAccessTokenVersion: 2, AccessTokenSigningAlgorithm: "ES256", AccessTokenProfile: "rfc9068"},
		AppRoles: []directory.AppRole{{ID: "11111111-1111-1111-1111-111111111111", Value: "Read", AllowedMemberTypes: []string{"Application"}, IsEnabled: true}},
	})
	p := f.createPrincipal(a)
	_, other := f.registered("other")
	for n := range 69 { // enough for a record that is kept while it is obsolete
		f.createCredential(f.credential(a.ID, n))
	}
	f.createCredential(f.flexible(a.ID, 70))
	f.createAssignment(p.ID, other.ID, directory.DefaultAppRoleID)
	f.createAssignment(other.ID, p.ID, a.AppRoles[0].ID)
	f.createAssignment(p.ID, p.ID, directory.DefaultAppRoleID)
	f.addOwner(a.ID, other.ID)
	f.addOwner(p.ID, p.ID)
	before := f.state(a.ID)
	records := f.db.Records(store.RecordsConfig{})
	trusts := func() int {
		record, err := records.Client(t.Context(), f.tenant.ID, a.AppID)
		if err == store.ErrNotFound {
			return 0
		}
		if err != nil {
			t.Fatal(err)
		}
		return len(record.Credentials)
	}
	if trusts() != 70 {
		t.Fatalf("%d credentials before", trusts())
	}
	for range 2 { // what was restored can be deleted and restored again
		f.deleteApplication(a.ID)
		if n := trusts(); n != 0 {
			t.Fatalf("a deleted application has %d credentials", n)
		}
		for _, id := range []string{a.ID, a.AppID, p.ID} { // the identifiers are nobody else's
			f.refused(directory.NameTaken, func(tx *store.Tx) error {
				return tx.CreateApplication(&directory.Application{TenantID: f.tenant.ID, ID: id})
			})
		}
		d, err := f.db.DeletedItem(t.Context(), f.tenant.ID, a.ID, time.Now())
		if err != nil || !reflect.DeepEqual(*d.Application, before.application) || !d.OwnedBy(other.ID) || d.OwnedBy(p.ID) || time.Since(d.DeletedAt) > time.Minute {
			t.Fatalf("deleted item %+v, %v", d, err)
		}
		f.restore(a.ID)
		if after := f.state(a.ID); !reflect.DeepEqual(after, before) {
			t.Fatalf("restored\n%+v\nwant\n%+v", after, before)
		}
		if n := trusts(); n != 70 {
			t.Fatalf("%d credentials after the restore", n)
		}
		f.notRestored(directory.NotFound, a.ID)
	}
	f.write(func(tx *store.Tx) error { return tx.DeleteCredential(f.tenant.ID, a.ID, "credential-0") })
	if n := trusts(); n != 69 {
		t.Errorf("%d credentials after one was deleted", n)
	}
}

func testDeletedConflicts(t *testing.T, f *fixture) {
	old := directory.Application{DisplayName: "Old", UniqueName: "shop", IdentifierURIs: []string{"api://shop"}}
	a := f.createApplication(old)
	f.deleteApplication(a.ID)
	// Names are free at once; then the one who has them is named.
	unique := f.createApplication(directory.Application{DisplayName: "New", UniqueName: "shop"})
	f.notRestored(directory.NameTaken, a.ID, "uniqueName", "New", unique.ID)
	f.deleteApplication(unique.ID)
	uri := f.createApplication(directory.Application{DisplayName: "New", IdentifierURIs: []string{"api://shop"}})
	f.notRestored(directory.NameTaken, a.ID, "api://shop", uri.ID)
	f.deleteApplication(uri.ID)
	f.refused(directory.NameTaken, func(tx *store.Tx) error {
		return tx.CreateApplication(&directory.Application{TenantID: f.tenant.ID, ID: a.ID}) // a refused restore released nothing
	})
	f.restore(a.ID)

	other := f.createTenant(directory.Tenant{Compat: directory.Relaxed})
	f.deleteApplication(a.ID)
	f.refused(directory.NotFound, func(tx *store.Tx) error { _, err := tx.RestoreDeletedItem(other.ID, a.ID); return err })
	f.refused(directory.NotFound, func(tx *store.Tx) error { return tx.DeleteDeletedItem(other.ID, a.ID) })
	f.write(func(tx *store.Tx) error { return tx.DeleteDeletedItem(f.tenant.ID, a.ID) })
	f.notRestored(directory.NotFound, a.ID, a.ID)
	f.refused(directory.NotFound, func(tx *store.Tx) error { return tx.DeleteDeletedItem(f.tenant.ID, a.ID) })
	for _, id := range []string{a.ID, a.AppID} {
		f.refused(directory.NameTaken, func(tx *store.Tx) error {
			return tx.CreateApplication(&directory.Application{TenantID: f.tenant.ID, AppID: id})
		})
	}
	if _, err := f.db.DeletedItem(t.Context(), f.tenant.ID, unique.ID, time.Now().Add(store.DeletedItemRetention)); !store.IsNotFound(err) {
		t.Errorf("after 30 days: %v", err)
	}
}

func testDeletedPrincipal(t *testing.T, f *fixture) {
	a, p := f.registered("client")
	_, gone := f.registered("gone")
	_, resource := f.registered("resource")
	f.createAssignment(p.ID, resource.ID, directory.DefaultAppRoleID)
	f.createAssignment(p.ID, gone.ID, directory.DefaultAppRoleID)
	f.addOwner(p.ID, resource.ID)
	f.addOwner(p.ID, gone.ID)
	f.addOwner(resource.ID, p.ID)
	f.deletePrincipal(p.ID)
	f.deletePrincipal(gone.ID)
	a.DisplayName = "renamed"
	f.write(func(tx *store.Tx) error { return tx.UpdateApplication(&a) })
	f.restore(p.ID)
	s := f.state(a.ID)
	if s.principal.ID != p.ID || s.principal.DisplayName != "renamed" || len(s.assignments) != 1 || s.assignments[0].ResourceID != resource.ID ||
		!slices.Equal(s.owners, []string{resource.ID}) || f.owned(p.ID) != nil {
		t.Errorf("restored %+v, owning %v", s, f.owned(p.ID))
	}
	f.deletePrincipal(p.ID)
	second := f.createPrincipal(a)
	f.notRestored(directory.NameTaken, p.ID, second.ID)
	f.deletePrincipal(second.ID)
	f.deleteApplication(a.ID)
	f.notRestored(directory.ReferenceAbsent, p.ID, a.AppID)
	f.restore(a.ID) // had no service principal when it was deleted
	f.restore(p.ID)

	list, more, err := f.db.DeletedItems(t.Context(), f.tenant.ID, store.DeletedServicePrincipal, time.Now(), store.ListQuery{})
	if err != nil || more || len(list) != 2 || list[0].Application != nil || list[0].ServicePrincipal.ID != list[0].ID {
		t.Errorf("deleted service principals %+v, %v", list, err)
	}
	for value, want := range map[string]int{"GONE": 1, "client": 0} {
		list, _, err := f.db.DeletedItems(t.Context(), f.tenant.ID, store.DeletedServicePrincipal, time.Now(), store.ListQuery{Field: "displayName", Op: "eq", Value: value})
		if err != nil || len(list) != want {
			t.Errorf("%q: %+v, %v", value, list, err)
		}
	}
}

// A role that is removed while one who held it is deleted, or its own service
// principal is, does not come back with them, whatever has its id then.
func testDeletedRoles(t *testing.T, f *fixture) {
	const role = "11111111-1111-1111-1111-111111111111"
	roles := []directory.AppRole{{ID: role, Value: "Read", AllowedMemberTypes: []string{"Application"}}}
	resource, resourceSP := f.registered("resource")
	same, sameSP := f.registered("same") // another resource with the same role id
	for _, a := range []*directory.Application{&resource, &same} {
		a.AppRoles = roles
		f.write(func(tx *store.Tx) error { return tx.UpdateApplication(a) })
	}
	_, live := f.registered("live")
	deleted, deletedSP := f.registered("deleted")
	for _, holder := range []string{live.ID, deletedSP.ID} {
		f.createAssignment(holder, resourceSP.ID, role)
		f.createAssignment(holder, resourceSP.ID, directory.DefaultAppRoleID)
		f.createAssignment(holder, sameSP.ID, role)
	}
	records := f.db.Records(store.RecordsConfig{})
	if before, err := records.Client(t.Context(), f.tenant.ID, live.AppID); err != nil || len(before.Grants[resourceSP.ID]) != 2 {
		t.Fatalf("before: %+v, %v", before, err)
	}
	f.deleteApplication(deleted.ID)
	f.deletePrincipal(resourceSP.ID)
	for _, roles := range [][]directory.AppRole{nil, roles} { // the second time it is another role
		resource.AppRoles = roles
		f.write(func(tx *store.Tx) error { return tx.UpdateApplication(&resource) })
	}
	f.restore(resourceSP.ID)
	f.restore(deleted.ID)
	for _, client := range []directory.ServicePrincipal{live, deletedSP} {
		after, err := records.Client(t.Context(), f.tenant.ID, client.AppID)
		if err != nil || !slices.Equal(after.Grants[resourceSP.ID], []string{directory.DefaultAppRoleID}) || !slices.Equal(after.Grants[sameSP.ID], []string{role}) {
			t.Errorf("%s after: %+v, %v", client.DisplayName, after.Grants, err)
		}
	}
}
