package storetest

import (
	"fmt"
	"slices"
	"testing"

	"cambio/internal/directory"
	"cambio/internal/store"
)

func (f *fixture) addOwner(objectID, ownerID string) {
	f.Helper()
	f.write(func(tx *store.Tx) error { return tx.AddOwner(f.tenant.ID, objectID, ownerID) })
}

// owners are the ids of an object's owners, read page by page.
func (f *fixture) owners(objectID string) (ids []string) {
	f.Helper()
	for more, after := true, ""; more; {
		var page []directory.ServicePrincipal
		var err error
		page, more, err = f.db.Owners(f.Context(), f.tenant.ID, objectID, store.ListQuery{Top: 1, After: after})
		if err != nil {
			f.Fatal(err)
		}
		for i := range page {
			ids = append(ids, page[i].ID)
			after = page[i].ID
		}
	}
	return ids
}

func (f *fixture) owned(ownerID string) []string {
	f.Helper()
	ids, more, err := f.db.OwnedObjects(f.Context(), f.tenant.ID, ownerID, store.ListQuery{})
	if err != nil || more {
		f.Fatalf("OwnedObjects: more %v, %v", more, err)
	}
	return ids
}

func testOwners(t *testing.T, f *fixture) {
	app, sp := f.registered("owned")
	_, one := f.registered("one")
	_, two := f.registered("two")
	f.addOwner(app.ID, one.ID)
	f.addOwner(app.ID, two.ID)
	f.addOwner(sp.ID, one.ID)
	want := []string{one.ID, two.ID}
	slices.Sort(want)
	if got := f.owners(app.ID); !slices.Equal(got, want) {
		t.Errorf("owners %v, want %v", got, want)
	}
	if got := f.owned(one.ID); len(got) != 2 || !slices.Contains(got, app.ID) || !slices.Contains(got, sp.ID) {
		t.Errorf("owned objects %v", got)
	}
	for _, c := range []struct {
		tenant, owner, object, appID string
		want                         bool
	}{
		{f.tenant.ID, one.ID, app.ID, "", true}, {f.tenant.ID, two.ID, sp.ID, "", false}, {f.tenant.ID, app.ID, one.ID, "", false},
		{f.tenant.ID, two.ID, sp.ID, app.AppID, true}, {f.tenant.ID, two.ID, "", app.AppID, true}, {f.tenant.ID, two.ID, "", "", false},
		{"other", one.ID, app.ID, app.AppID, false}, {f.tenant.ID, "", app.ID, app.AppID, false},
	} {
		if got, err := f.db.Owns(t.Context(), c.tenant, c.owner, c.object, c.appID); err != nil || got != c.want {
			t.Errorf("Owns(%v) = %v, %v", c, got, err)
		}
	}
	f.refused(directory.NameTaken, func(tx *store.Tx) error { return tx.AddOwner(f.tenant.ID, app.ID, one.ID) }, one.ID)
	f.refused(directory.ReferenceAbsent, func(tx *store.Tx) error { return tx.AddOwner(f.tenant.ID, app.ID, app.ID) }, app.ID)
	f.refused(directory.NotFound, func(tx *store.Tx) error { return tx.AddOwner(f.tenant.ID, "nothing", one.ID) }, "nothing")
	other := f.createTenant(directory.Tenant{Compat: directory.Relaxed})
	f.refused(directory.NotFound, func(tx *store.Tx) error { return tx.AddOwner(other.ID, app.ID, one.ID) })
	f.refused(directory.NotFound, func(tx *store.Tx) error { return tx.RemoveOwner(other.ID, app.ID, one.ID) })
	f.write(func(tx *store.Tx) error { return tx.RemoveOwner(f.tenant.ID, app.ID, two.ID) })
	f.refused(directory.NotFound, func(tx *store.Tx) error { return tx.RemoveOwner(f.tenant.ID, app.ID, two.ID) }, two.ID)
}

// Ownership ends with the owner and with what is owned.
func testOwnersEnd(t *testing.T, f *fixture) {
	app, sp := f.registered("owned")
	_, one := f.registered("one")
	_, two := f.registered("two")
	for _, owner := range []string{one.ID, two.ID} {
		f.addOwner(app.ID, owner)
		f.addOwner(sp.ID, owner)
	}
	f.write(func(tx *store.Tx) error { return tx.DeleteServicePrincipal(f.tenant.ID, one.ID) })
	if got := f.owners(app.ID); !slices.Equal(got, []string{two.ID}) {
		t.Errorf("after an owner was deleted: %v", got)
	}
	if owns, err := f.db.Owns(t.Context(), f.tenant.ID, one.ID, app.ID, ""); err != nil || owns {
		t.Errorf("a deleted owner owns: %v, %v", owns, err)
	}
	f.write(func(tx *store.Tx) error { return tx.DeleteServicePrincipal(f.tenant.ID, sp.ID) })
	if got := f.owned(two.ID); !slices.Equal(got, []string{app.ID}) {
		t.Errorf("after the service principal was deleted: %v", got)
	}
	f.write(func(tx *store.Tx) error { return tx.DeleteApplication(f.tenant.ID, app.ID) })
	if got := f.owned(two.ID); got != nil {
		t.Errorf("after the application was deleted: %v", got)
	}
}

func testOwnerLimit(_ *testing.T, f *fixture) {
	app, _ := f.registered("owned")
	for i := range store.MaxOwners {
		_, sp := f.registered(fmt.Sprintf("owner-%d", i))
		f.addOwner(app.ID, sp.ID)
	}
	_, extra := f.registered("extra")
	f.refused(directory.LimitReached, func(tx *store.Tx) error { return tx.AddOwner(f.tenant.ID, app.ID, extra.ID) }, "100")
}
