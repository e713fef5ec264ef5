package storetest

import (
	"fmt"
	"testing"

	"cambio/internal/directory"
	"cambio/internal/store"
)

// flexible is the n-th flexible credential of a parent, not stored.
func (f *fixture) flexible(parent string, n int) directory.FederatedIdentityCredential {
	c := f.credential(parent, n)
	c.Subject = ""
	c.Expression = &directory.ClaimsMatchingExpression{Value: fmt.Sprintf("claims['sub'] matches 'repo-%d:*'", n), LanguageVersion: 1}
	return c
}

func (f *fixture) stored(parent, ref string) directory.FederatedIdentityCredential {
	f.Helper()
	c, err := f.db.Credential(f.Context(), f.tenant.ID, parent, ref)
	if err != nil {
		f.Fatal(err)
	}
	return c
}

func testFlexible(t *testing.T, f *fixture) {
	a, _ := f.registered("client")
	c := f.createCredential(f.flexible(a.ID, 1))
	if got := f.stored(a.ID, c.ID); got.Subject != "" || got.Expression == nil || *got.Expression != *c.Expression {
		t.Errorf("stored %+v", got)
	}
	exact := f.createCredential(f.credential(a.ID, 2))
	if got := f.stored(a.ID, exact.ID); got.Expression != nil {
		t.Errorf("a subject came with %+v", got.Expression)
	}
	// No subject is not the subject "".
	for value, want := range map[string]int{"": 0, exact.Subject: 1} {
		list, _, err := f.db.Credentials(t.Context(), f.tenant.ID, a.ID, store.ListQuery{Field: "subject", Op: "eq", Value: value})
		if err != nil || len(list) != want {
			t.Errorf("with subject %q: %+v, %v", value, list, err)
		}
	}
	c.Subject, c.Expression = "s", nil
	f.write(func(tx *store.Tx) error { return tx.UpdateCredential(&c) })
	if got := f.stored(a.ID, c.ID); got.Subject != "s" || got.Expression != nil {
		t.Errorf("made exact: %+v", got)
	}
	c.Subject, c.Expression = "", &directory.ClaimsMatchingExpression{Value: "claims['a'] eq 'b'", LanguageVersion: 1}
	f.write(func(tx *store.Tx) error { return tx.UpdateCredential(&c) })
	if got := f.stored(a.ID, c.ID); got.Subject != "" || got.Expression == nil || got.Expression.Value != "claims['a'] eq 'b'" {
		t.Errorf("made flexible: %+v", got)
	}
}

func testFlexibleTrust(_ *testing.T, f *fixture) {
	a, _ := f.registered("client")
	b, _ := f.registered("other")
	first := f.createCredential(f.flexible(a.ID, 1))
	second := f.createCredential(f.flexible(a.ID, 2))
	same := f.flexible(a.ID, 3)
	same.Expression = first.Expression
	f.refused(directory.DuplicateTrust, func(tx *store.Tx) error { return tx.CreateCredential(&same) }, first.Name, first.ID, first.Expression.Value, first.Issuer)
	moved := second
	moved.Expression = first.Expression
	f.refused(directory.DuplicateTrust, func(tx *store.Tx) error { return tx.UpdateCredential(&moved) }, first.ID)
	f.write(func(tx *store.Tx) error { return tx.UpdateCredential(&second) })
	// Another issuer or another parent may trust the same; so may a subject
	// that reads like the expression.
	same.Issuer = "https://other.example"
	f.createCredential(same)
	f.createCredential(f.flexible(b.ID, 1))
	subject := f.credential(a.ID, 4)
	subject.Subject = first.Expression.Value
	f.createCredential(subject)
	// Once deleted, its trust is free.
	f.write(func(tx *store.Tx) error { return tx.DeleteCredential(f.tenant.ID, a.ID, first.ID) })
	f.createCredential(f.flexible(a.ID, 1))
}

func testFlexibleLimit(_ *testing.T, f *fixture) {
	a, _ := f.registered("client")
	f.write(func(tx *store.Tx) error {
		for n := range directory.MaxFlexibleCredentials {
			c := f.flexible(a.ID, n)
			if err := tx.CreateCredential(&c); err != nil {
				return err
			}
		}
		return nil
	})
	extra, exact := f.flexible(a.ID, 1000), f.createCredential(f.credential(a.ID, 1001))
	f.refused(directory.LimitReached, func(tx *store.Tx) error { return tx.CreateCredential(&extra) }, "100")
	exact.Subject, exact.Expression = "", extra.Expression
	f.refused(directory.LimitReached, func(tx *store.Tx) error { return tx.UpdateCredential(&exact) }, "100")
	last := f.stored(a.ID, "credential-99")
	last.Expression = extra.Expression
	f.write(func(tx *store.Tx) error { return tx.UpdateCredential(&last) })
}

// The record that decides has what was written last, also when it is renewed
// from an older one.
func testFlexibleRecords(t *testing.T, f *fixture) {
	a, _ := f.registered("client")
	records := f.db.Records(store.RecordsConfig{})
	found := func(subject string) (names []string) {
		t.Helper()
		record, err := records.Client(t.Context(), f.tenant.ID, a.AppID)
		if err != nil {
			t.Fatal(err)
		}
		claim := func(string) (string, bool) { return subject, true }
		for _, c := range record.Flexible("https://issuer.example") {
			if c.Expression.Matches(claim) {
				names = append(names, c.Name)
			}
		}
		for _, c := range record.Match("https://issuer.example", subject) {
			names = append(names, c.Name+" exactly")
		}
		return names
	}
	expect := func(what, subject, want string) {
		t.Helper()
		if got := fmt.Sprint(found(subject)); got != want {
			t.Errorf("%s: %s finds %s, want %s", what, subject, got, want)
		}
	}
	second := f.createCredential(f.flexible(a.ID, 2))
	expect("created", "repo-2:x", "[credential-2]")
	wide := f.flexible(a.ID, 1)
	wide.Expression = &directory.ClaimsMatchingExpression{Value: "claims['sub'] matches 'repo-*'", LanguageVersion: 1}
	wide = f.createCredential(wide)
	expect("another created", "repo-2:x", "[credential-1 credential-2]")
	wide.Expression = &directory.ClaimsMatchingExpression{Value: "claims['sub'] matches 'repo-1*'", LanguageVersion: 1}
	f.write(func(tx *store.Tx) error { return tx.UpdateCredential(&wide) })
	expect("narrowed", "repo-2:x", "[credential-2]")
	second.Subject, second.Expression = "repo-1:x", nil
	f.write(func(tx *store.Tx) error { return tx.UpdateCredential(&second) })
	expect("made exact", "repo-2:x", "[]")
	expect("made exact", "repo-1:x", "[credential-1 credential-2 exactly]")
	f.write(func(tx *store.Tx) error { return tx.DeleteCredential(f.tenant.ID, a.ID, wide.ID) })
	expect("deleted", "repo-1:x", "[credential-2 exactly]")
}
