package storetest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"cambio/internal/directory"
	"cambio/internal/store"
)

func testCredentials(t *testing.T, f *fixture) {
	a, _ := f.registered("client")
	want := f.credential(a.ID, 1)
	want.Description, want.Audiences = "why", []string{"a", "b"}
	c := f.createCredential(want)
	for _, ref := range []string{c.ID, strings.ToUpper(c.ID), c.Name} {
		got, err := f.db.Credential(t.Context(), f.tenant.ID, a.ID, ref)
		if err != nil || got.ID != c.ID || got.Subject != c.Subject || got.Description != "why" || len(got.Audiences) != 2 {
			t.Errorf("Credential(%q) = %+v, %v", ref, got, err)
		}
	}
	_, err := f.db.Credential(t.Context(), f.tenant.ID, a.ID, strings.ToUpper(c.Name))
	f.isError(err, directory.NotFound)
	orphan := f.credential("nobody", 2)
	f.refused(directory.NotFound, func(tx *store.Tx) error { return tx.CreateCredential(&orphan) }, "nobody")

	c.Subject, c.Audiences = "other", []string{"c"}
	f.write(func(tx *store.Tx) error { return tx.UpdateCredential(&c) })
	got, err := f.db.Credential(t.Context(), f.tenant.ID, a.ID, c.ID)
	if err != nil || got.Subject != "other" || got.Audiences[0] != "c" {
		t.Errorf("after the update: %+v, %v", got, err)
	}
	f.createCredential(f.credential(a.ID, 3))
	list, more, err := f.db.Credentials(t.Context(), f.tenant.ID, a.ID, store.ListQuery{Field: "subject", Op: "eq", Value: "subject-3"})
	if err != nil || more || len(list) != 1 || list[0].Name != "credential-3" {
		t.Errorf("by subject: %+v, %v", list, err)
	}
	if n, err := f.db.CredentialCount(t.Context(), f.tenant.ID, a.ID); err != nil || n != 2 {
		t.Errorf("count %d, %v", n, err)
	}
	f.write(func(tx *store.Tx) error { return tx.DeleteCredential(f.tenant.ID, a.ID, c.Name) })
	f.refused(directory.NotFound, func(tx *store.Tx) error { return tx.DeleteCredential(f.tenant.ID, a.ID, c.ID) })
	f.refused(directory.NotFound, func(tx *store.Tx) error { return tx.UpdateCredential(&c) })
	f.refused(directory.NameTaken, func(tx *store.Tx) error { return tx.CreateCredential(&c) }, c.ID)
}

func testCredentialTrust(_ *testing.T, f *fixture) {
	a, _ := f.registered("client")
	b, _ := f.registered("other")
	first := f.createCredential(f.credential(a.ID, 1))
	second := f.createCredential(f.credential(a.ID, 2))
	sameName, sameTrust, both := f.credential(a.ID, 3), f.credential(a.ID, 3), f.credential(a.ID, 1)
	sameName.Name = first.Name
	sameTrust.Subject = second.Subject
	f.refused(directory.NameTaken, func(tx *store.Tx) error { return tx.CreateCredential(&sameName) }, first.Name, first.ID)
	f.refused(directory.DuplicateTrust, func(tx *store.Tx) error { return tx.CreateCredential(&sameTrust) }, second.Name, second.ID, second.Subject)
	f.refused(directory.NameTaken, func(tx *store.Tx) error { return tx.CreateCredential(&both) }, first.ID)
	moved := first
	moved.Subject = second.Subject
	f.refused(directory.DuplicateTrust, func(tx *store.Tx) error { return tx.UpdateCredential(&moved) }, second.ID)
	stolen := f.credential(b.ID, 9)
	stolen.ID = first.ID
	f.refused(directory.NameTaken, func(tx *store.Tx) error { return tx.CreateCredential(&stolen) }, first.ID)
	// Comparison is byte for byte; another parent may trust the same.
	upper := f.credential(a.ID, 3)
	upper.Subject = strings.ToUpper(first.Subject)
	f.createCredential(upper)
	f.createCredential(f.credential(b.ID, 1))
	f.write(func(tx *store.Tx) error { return tx.UpdateCredential(&first) })
}

func testCredentialLimit(_ *testing.T, f *fixture) {
	a, _ := f.registered("client")
	for n := range directory.MaxStrictCredentials + 1 {
		f.createCredential(f.credential(a.ID, n)) // relaxed tenants have no limit
	}
	strict := f.tenant
	strict.Compat = directory.Strict
	f.write(func(tx *store.Tx) error { return tx.UpdateTenant(&strict) })
	b, _ := f.registered("other")
	for n := range directory.MaxStrictCredentials {
		f.createCredential(f.credential(b.ID, n))
	}
	extra := f.credential(b.ID, 99)
	f.refused(directory.LimitReached, func(tx *store.Tx) error { return tx.CreateCredential(&extra) }, "20")
	f.write(func(tx *store.Tx) error { return tx.DeleteCredential(f.tenant.ID, b.ID, "credential-0") })
	f.createCredential(extra)
}

func testAssignments(t *testing.T, f *fixture) {
	_, client := f.registered("client")
	_, resource := f.registered("resource")
	grant := f.createAssignment(client.ID, resource.ID, directory.DefaultAppRoleID)
	if len(grant.ID) != 43 {
		t.Errorf("id %q", grant.ID)
	}
	again := grant
	again.ID = ""
	f.refused(directory.NameTaken, func(tx *store.Tx) error { return tx.CreateAssignment(&again) }, grant.ID)
	absent := directory.AppRoleAssignment{TenantID: f.tenant.ID, PrincipalID: client.ID, ResourceID: "nobody"}
	f.refused(directory.ReferenceAbsent, func(tx *store.Tx) error { return tx.CreateAssignment(&absent) }, "nobody")
	f.createAssignment(client.ID, resource.ID, "11111111-1111-1111-1111-111111111111")
	of, _, err := f.db.AssignmentsOf(t.Context(), f.tenant.ID, client.ID, store.ListQuery{})
	if err != nil || len(of) != 2 {
		t.Errorf("of the client: %+v, %v", of, err)
	}
	to, more, err := f.db.AssignmentsTo(t.Context(), f.tenant.ID, resource.ID, store.ListQuery{Top: 1})
	if err != nil || len(to) != 1 || !more {
		t.Errorf("to the resource: %+v, %v, %v", to, more, err)
	}
	to, _, err = f.db.AssignmentsTo(t.Context(), f.tenant.ID, resource.ID,
		store.ListQuery{Field: "appRoleId", Op: "eq", Value: directory.DefaultAppRoleID})
	if err != nil || len(to) != 1 || to[0].ID != grant.ID {
		t.Errorf("by role: %+v, %v", to, err)
	}
	f.write(func(tx *store.Tx) error { return tx.DeleteAssignment(f.tenant.ID, grant.ID) })
	f.refused(directory.NotFound, func(tx *store.Tx) error { return tx.DeleteAssignment(f.tenant.ID, grant.ID) })
}

// A role that was removed takes its assignments along: another role that is
// later given the same id must not find those who held the first.
func testRemovedAppRoles(t *testing.T, f *fixture) {
	const removed, kept = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
	_, client := f.registered("client")
	app, resource := f.registered("resource")
	app.AppRoles = []directory.AppRole{
		{ID: removed, Value: "Read", AllowedMemberTypes: []string{"Application"}},
		{ID: kept, Value: "Write", AllowedMemberTypes: []string{"Application"}, IsEnabled: true},
	}
	f.write(func(tx *store.Tx) error { return tx.UpdateApplication(&app) })
	for _, role := range []string{removed, kept, directory.DefaultAppRoleID} {
		f.createAssignment(client.ID, resource.ID, role)
	}
	records := f.db.Records(store.RecordsConfig{})
	before, err := records.Client(t.Context(), f.tenant.ID, client.AppID)
	if err != nil || len(before.Grants[resource.ID]) != 3 {
		t.Fatalf("before: %+v, %v", before, err)
	}
	app.DisplayName = "renamed"
	f.write(func(tx *store.Tx) error { return tx.UpdateApplication(&app) })
	if before.Stale() {
		t.Error("an update that removes no role touched those who hold roles")
	}
	app.AppRoles = app.AppRoles[1:]
	f.write(func(tx *store.Tx) error { return tx.UpdateApplication(&app) })
	after, err := records.Client(t.Context(), f.tenant.ID, client.AppID)
	if err != nil || !before.Stale() || !slices.Equal(after.Grants[resource.ID], []string{directory.DefaultAppRoleID, kept}) {
		t.Errorf("after: %+v, %v", after, err)
	}
	left, _, err := f.db.AssignmentsTo(t.Context(), f.tenant.ID, resource.ID, store.ListQuery{})
	if err != nil || len(left) != 2 {
		t.Errorf("assignments left: %+v, %v", left, err)
	}
}

func testManagedIdentities(t *testing.T, f *fixture) {
	m := directory.ManagedIdentity{TenantID: f.tenant.ID, SubscriptionID: "SUB", ResourceGroup: "Group", Name: "Identity",
		Location: "here", Tags: map[string]string{"a": "b"}, IsolationScope: "None"}
	put := func(m *directory.ManagedIdentity) (created bool) {
		f.write(func(tx *store.Tx) (err error) { created, err = tx.PutManagedIdentity(m); return err })
		return created
	}
	f.refused(directory.ReferenceAbsent, func(tx *store.Tx) error { _, err := tx.PutManagedIdentity(&m); return err }, "Group")
	f.write(func(tx *store.Tx) error {
		created, err := tx.PutResourceGroup(&directory.ResourceGroup{TenantID: f.tenant.ID, SubscriptionID: "sub", Name: "group", Location: "here"})
		if !created {
			t.Error("the group existed")
		}
		return err
	})
	if !put(&m) {
		t.Error("the identity existed")
	}
	p, err := f.db.ServicePrincipal(t.Context(), f.tenant.ID, store.Ref{ID: m.PrincipalID})
	if err != nil || p.AppID != m.ClientID || p.Kind != directory.KindManagedIdentity || !p.AccountEnabled {
		t.Errorf("service principal %+v, %v", p, err)
	}
	changed := directory.ManagedIdentity{TenantID: f.tenant.ID, SubscriptionID: "Sub", ResourceGroup: "GROUP", Name: "IDENTITY", Location: "there"}
	if put(&changed) || changed.PrincipalID != m.PrincipalID || changed.Name != "Identity" {
		t.Errorf("after the second put: %+v", changed)
	}
	got, err := f.db.ManagedIdentity(t.Context(), f.tenant.ID, "sUB", "gROUP", "iDENTITY")
	if err != nil || got.Location != "there" || got.ClientID != m.ClientID {
		t.Errorf("found %+v, %v", got, err)
	}
	list, more, err := f.db.ManagedIdentities(t.Context(), f.tenant.ID, "SUB", "", store.ListQuery{})
	if err != nil || more || len(list) != 1 {
		t.Errorf("list %+v, %v", list, err)
	}
	c := f.createCredential(f.credential(m.PrincipalID, 1))
	f.refused(directory.Invalid, func(tx *store.Tx) error { return tx.DeleteServicePrincipal(f.tenant.ID, m.PrincipalID) })
	f.write(func(tx *store.Tx) error { return tx.DeleteManagedIdentity(f.tenant.ID, "sub", "group", "identity") })
	_, err = f.db.Credential(t.Context(), f.tenant.ID, m.PrincipalID, c.ID)
	f.isError(err, directory.NotFound)
	_, err = f.db.ServicePrincipal(t.Context(), f.tenant.ID, store.Ref{ID: m.PrincipalID})
	f.isError(err, directory.NotFound)
	f.refused(directory.NotFound, func(tx *store.Tx) error { return tx.DeleteManagedIdentity(f.tenant.ID, "sub", "group", "identity") })
	again := directory.ManagedIdentity{TenantID: f.tenant.ID, SubscriptionID: "sub", ResourceGroup: "group", Name: "identity"}
	if !put(&again) || again.PrincipalID == m.PrincipalID || again.ClientID == m.ClientID {
		t.Errorf("identifiers were used again: %+v", again)
	}
	f.write(func(tx *store.Tx) error { return tx.DeleteResourceGroup(f.tenant.ID, "SUB", "GROUP") })
	_, err = f.db.ServicePrincipal(t.Context(), f.tenant.ID, store.Ref{ID: again.PrincipalID})
	f.isError(err, directory.NotFound)
	f.refused(directory.NotFound, func(tx *store.Tx) error { return tx.DeleteResourceGroup(f.tenant.ID, "sub", "group") }, "group")
}

func testSigningKeys(t *testing.T, f *fixture) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	key := store.SigningKeyRow{KeyID: "k1", Algorithm: "RS256", State: store.KeyPublished, Sealed: []byte{0, 1}, PublicJWK: []byte("{}"),
		CreatedAt: now, ActiveAt: now.Add(time.Hour)}
	f.write(func(tx *store.Tx) error { return tx.PutSigningKey(&key) })
	f.refused(directory.NameTaken, func(tx *store.Tx) error { return tx.PutSigningKey(&key) }, "k1")
	second := key
	second.KeyID, second.CreatedAt = "k0", now.Add(time.Minute)
	key.State, key.RetireAt = store.KeyActive, now.Add(2*time.Hour)
	changed := f.db.SigningKeysChanged()
	f.write(func(tx *store.Tx) error {
		if err := tx.PutSigningKey(&second); err != nil {
			return err
		}
		return tx.UpdateSigningKeyState(&key)
	})
	if len(changed) != 1 {
		t.Error("a change of signing keys was not told before the write returned")
	}
	rows, err := f.db.SigningKeys(t.Context())
	if err != nil || len(rows) != 2 || rows[0].KeyID != "k1" || rows[0].State != store.KeyActive ||
		!rows[0].RetireAt.Equal(key.RetireAt) || !rows[0].RemoveAt.IsZero() || len(rows[0].Sealed) != 2 {
		t.Errorf("keys %+v, %v", rows, err)
	}
	bad := store.SigningKeyRow{KeyID: "k1", State: "compromised"}
	f.refused(directory.Invalid, func(tx *store.Tx) error { return tx.UpdateSigningKeyState(&bad) }, "compromised")
	// Nobody takes what was told, and no write waits for that.
	f.write(func(tx *store.Tx) error { return tx.DeleteSigningKey("k1") })
	f.refused(directory.NotFound, func(tx *store.Tx) error { return tx.DeleteSigningKey("k1") }, "k1")
	<-changed
	if len(changed) != 0 {
		t.Error("two changes that nobody had taken were told one by one")
	}
}

func testBootstrapTokens(t *testing.T, f *fixture) {
	_, p := f.registered("admin")
	now := time.Now()
	token := store.BootstrapToken{Hash: [32]byte{1}, TenantID: f.tenant.ID, PrincipalID: p.ID, ExpiresAt: now.Add(time.Minute)}
	expired := store.BootstrapToken{Hash: [32]byte{2}, TenantID: f.tenant.ID, PrincipalID: p.ID, ExpiresAt: now}
	f.write(func(tx *store.Tx) error {
		if err := tx.CreateBootstrapToken(&token); err != nil {
			return err
		}
		return tx.CreateBootstrapToken(&expired)
	})
	consume := func(hash byte) (got store.BootstrapToken, err error) {
		err = f.try(func(tx *store.Tx) (err error) { got, err = tx.ConsumeBootstrapToken([32]byte{hash}, now); return err })
		return got, err
	}
	got, err := consume(1)
	if err != nil || got.PrincipalID != p.ID || got.TenantID != f.tenant.ID {
		t.Errorf("consumed %+v, %v", got, err)
	}
	for _, hash := range []byte{1, 2, 3} { // used, expired, unknown
		_, err := consume(hash)
		f.isError(err, directory.NotFound)
	}
}
