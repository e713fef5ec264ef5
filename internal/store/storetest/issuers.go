package storetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"cambio/internal/directory"
	"cambio/internal/store"
)

const oneKey = `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"first"}]}`

func (f *fixture) createIssuer(i directory.Issuer) directory.Issuer {
	f.Helper()
	if i.TenantID == "" {
		i.TenantID = f.tenant.ID
	}
	f.write(func(tx *store.Tx) error { return tx.CreateIssuer(&i) })
	return i
}

// Managed issuers are a tenant's own, and part of its record from the moment
// that a write returns.
func testIssuers(t *testing.T, f *fixture) {
	records := f.db.Records(store.RecordsConfig{})
	record := func() *directory.TenantRecord {
		f.Helper()
		r, err := records.Tenant(f.Context(), f.tenant.ID)
		if err != nil {
			f.Fatal(err)
		}
		return r
	}
	const name = "https://idp.example"
	if before := record(); before.Issuer(name) != nil {
		t.Error("an issuer that nobody manages is in the record")
	}
	made := f.createIssuer(directory.Issuer{Issuer: name, KeySet: oneKey, KeysAt: time.Unix(1_800_000_000, 0).UTC(),
		IssuerSettings: directory.IssuerSettings{Mode: directory.IssuerPin, Algorithms: []string{"EdDSA"}, ApproveKeys: true}})
	read, err := f.db.Issuer(f.Context(), f.tenant.ID, strings.ToUpper(made.ID))
	if err != nil || fmt.Sprint(read) != fmt.Sprint(made) {
		t.Errorf("read %+v, %v\nmade %+v", read, err, made)
	}
	if in := record().Issuer(name); in == nil || len(in.Keys.Keys) != 1 || in.Accepts("RS256") || len(in.Approved(in.Keys.Keys)) != 0 {
		t.Errorf("in the record: %+v", in)
	}
	f.refused(directory.NameTaken, func(tx *store.Tx) error {
		return tx.CreateIssuer(&directory.Issuer{TenantID: f.tenant.ID, Issuer: name})
	}, made.ID)
	other := f.createTenant(directory.Tenant{DisplayName: "Other", Compat: directory.Relaxed})
	f.createIssuer(directory.Issuer{TenantID: other.ID, Issuer: name})
	_, err = f.db.Issuer(f.Context(), other.ID, made.ID)
	f.isError(err, directory.NotFound)
	f.refused(directory.NotFound, func(tx *store.Tx) error { return tx.DeleteIssuer(other.ID, made.ID) })
	if all, err := f.db.ManagedAs(f.Context(), name); err != nil || len(all) != 2 {
		t.Errorf("ManagedAs: %+v, %v", all, err)
	}
	f.refused(directory.LimitReached, func(tx *store.Tx) error {
		for n := range 1 + directory.MaxIssuerBytes/directory.MaxIssuerKeySet {
			i := directory.Issuer{TenantID: f.tenant.ID, Issuer: fmt.Sprint("https://large.example/", n), KeySet: strings.Repeat(" ", directory.MaxIssuerKeySet)}
			if err := tx.CreateIssuer(&i); err != nil {
				return err
			}
		}
		return nil
	}, "bytes")
	held := record()
	made.ApproveKeys = false
	f.write(func(tx *store.Tx) error { return tx.UpdateIssuer(&made) })
	if in := record().Issuer(name); !held.Stale() || len(in.Approved(in.Keys.Keys)) != 1 {
		t.Errorf("after the update: %+v, the old record is stale: %v", in, held.Stale())
	}
	f.write(func(tx *store.Tx) error { return tx.DeleteIssuer(f.tenant.ID, made.ID) })
	if record().Issuer(name) != nil {
		t.Error("a deleted issuer is in the record")
	}
}

func testIssuerSets(t *testing.T, f *fixture) {
	records := f.db.Records(store.RecordsConfig{})
	now := time.Unix(1_800_000_000, 0).UTC()
	sets := func(issuer string, at time.Time) string {
		f.Helper()
		r, err := records.Tenant(f.Context(), f.tenant.ID)
		if err != nil {
			f.Fatal(err)
		}
		return strings.Join(r.SetsOf(issuer, at), " ")
	}
	put := func(name string, members ...directory.IssuerSetMember) (created bool) {
		f.Helper()
		f.write(func(tx *store.Tx) (err error) {
			created, err = tx.PutIssuerSet(&directory.IssuerSet{TenantID: f.tenant.ID, Name: name, Members: members})
			return err
		})
		return created
	}
	member := directory.IssuerSetMember{Issuer: "https://a.example", NotBefore: now, NotAfter: now.Add(time.Hour)}
	if !put("blue", member) || put("blue", member) || !put("all", member, directory.IssuerSetMember{Issuer: "https://b.example"}) {
		t.Error("a set is new once")
	}
	blue, both := directory.IssuerSetReference("blue"), directory.IssuerSetReference("all")+" "+directory.IssuerSetReference("blue")
	for _, c := range []struct {
		issuer string
		at     time.Time
		want   string
	}{
		{"https://a.example", now, both},
		{"https://a.example", now.Add(-time.Second), ""},
		{"https://a.example", now.Add(time.Hour - time.Second), both},
		{"https://a.example", now.Add(time.Hour), ""},
		{"https://b.example", now.Add(1000 * time.Hour), directory.IssuerSetReference("all")},
		{"https://A.example", now, ""},
	} {
		if got := sets(c.issuer, c.at); got != c.want {
			t.Errorf("%s at %v: %q, want %q", c.issuer, c.at, got, c.want)
		}
	}
	f.write(func(tx *store.Tx) error { return tx.DeleteIssuerSet(f.tenant.ID, "all") })
	if got := sets("https://a.example", now); got != blue {
		t.Errorf("after the deletion of the other: %q", got)
	}
	f.refused(directory.NotFound, func(tx *store.Tx) error { return tx.DeleteIssuerSet(f.tenant.ID, "all") })
	put("blue")
	if got := sets("https://a.example", now); got != "" {
		t.Errorf("of an empty set: %q", got)
	}
}

func testIssuerKeys(t *testing.T, f *fixture) {
	i := f.createIssuer(directory.Issuer{Issuer: "https://idp.example"})
	see := func(ids ...string) string {
		f.Helper()
		var seen, added, removed []store.IssuerKey
		for _, id := range ids {
			seen = append(seen, store.IssuerKey{Thumbprint: id, KeyID: "kid " + id, Algorithm: "RS256"})
		}
		f.write(func(tx *store.Tx) (err error) { added, removed, err = tx.SeeIssuerKeys(i.ID, seen); return err })
		text := ""
		for _, k := range added {
			text += "+" + k.Thumbprint
		}
		for _, k := range removed {
			text += "-" + k.Thumbprint
		}
		return text
	}
	for _, c := range []struct {
		ids  []string
		want string
	}{{[]string{"a"}, "+a"}, {[]string{"a"}, ""}, {[]string{"a", "b", "b"}, "+b"}, {[]string{"b"}, "-a"}, {[]string{"a"}, "+a-b"}, {nil, "-a"}} {
		if got := see(c.ids...); got != c.want {
			t.Errorf("%v: %q, want %q", c.ids, got, c.want)
		}
	}
	keys, err := f.db.IssuerKeys(f.Context(), i.ID)
	if err != nil || len(keys) != 2 {
		t.Fatalf("%+v, %v", keys, err)
	}
	for _, k := range keys {
		if k.Current || k.FirstSeen.IsZero() || k.LastSeen.Before(k.FirstSeen) || k.KeyID != "kid "+k.Thumbprint {
			t.Errorf("%+v", k)
		}
	}
	f.write(func(tx *store.Tx) error { return tx.DeleteIssuer(f.tenant.ID, i.ID) })
	if keys, err := f.db.IssuerKeys(f.Context(), i.ID); err != nil || len(keys) != 0 {
		t.Errorf("of a deleted issuer: %+v, %v", keys, err)
	}
}
