package storetest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"cambio/internal/audit"
	"cambio/internal/directory"
	"cambio/internal/store"
)

func testMeta(t *testing.T, f *fixture) {
	if _, err := f.db.Meta(t.Context(), "k"); err != store.ErrNotFound {
		t.Errorf("unset: %v", err)
	}
	for _, value := range []string{"one", "two"} {
		f.write(func(tx *store.Tx) error { return tx.SetMeta("k", value) })
		if got, err := f.db.Meta(t.Context(), "k"); err != nil || got != value {
			t.Errorf("%q, %v", got, err)
		}
	}
}

func testRollback(t *testing.T, f *fixture) {
	records := len(auditRecords(t, f))
	position, _ := f.db.FeedPosition(t.Context())
	failure := errors.New("changed my mind")
	var a directory.Application
	err := f.try(func(tx *store.Tx) error {
		a = directory.Application{TenantID: f.tenant.ID, DisplayName: "gone"}
		if err := tx.CreateApplication(&a); err != nil {
			return err
		}
		if _, err := tx.Application(t.Context(), f.tenant.ID, store.Ref{ID: a.ID}); err != nil {
			t.Errorf("a write does not see its own changes: %v", err)
		}
		return failure
	})
	if err != failure {
		t.Errorf("error %v, want the function's own", err)
	}
	_, err = f.db.Application(t.Context(), f.tenant.ID, store.Ref{ID: a.ID})
	f.isError(err, directory.NotFound)
	if now, _ := f.db.FeedPosition(t.Context()); now != position || len(auditRecords(t, f)) != records {
		t.Error("a write that failed left rows in the change feed or the audit trail")
	}
	func() {
		defer func() {
			if recover() != "boom" {
				t.Error("the panic did not reach the caller")
			}
		}()
		_ = f.try(func(tx *store.Tx) error {
			if err := tx.SetMeta("k", "v"); err != nil {
				return err
			}
			panic("boom")
		})
	}()
	if _, err := f.db.Meta(t.Context(), "k"); err != store.ErrNotFound {
		t.Errorf("a write that panicked left its change: %v", err)
	}
}

func auditRecords(t *testing.T, f *fixture) []store.AuditRecord {
	t.Helper()
	records, err := f.db.AuditRecords(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func testAudit(t *testing.T, f *fixture) {
	before := auditRecords(t, f)
	err := f.db.Write(t.Context(), store.Change{TenantID: f.tenant.ID, PrincipalID: "p", ClientID: "c", Via: "graph", CorrelationID: "id",
		Action: "application.create"}, func(tx *store.Tx) error { tx.SetTarget("the-target"); return tx.SetMeta("k", "v") })
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	d := audit.Decision{At: at, TenantID: f.tenant.ID, ClientID: "c", Code: 700213, Subject: "a\"b\n\x00\xff\u2028", Explanation: []byte("{\n\"x\": 1}")}
	if err := f.db.RecordDecision(t.Context(), &d, nil); err != nil {
		t.Fatal(err)
	}
	records := auditRecords(t, f)
	if len(records) != len(before)+2 {
		t.Fatalf("%d records after %d", len(records), len(before))
	}
	change, decision := records[len(before)], records[len(before)+1]
	if change.Kind != audit.KindChange { // with two writers the chains are in no order
		change, decision = decision, change
	}
	for _, part := range []string{`"action":"application.create"`, `"target":"the-target"`, `"principalId":"p"`, `"via":"graph"`, `"correlationId":"id"`} {
		if !strings.Contains(string(change.Detail), part) {
			t.Errorf("%s lacks %s", change.Detail, part)
		}
	}
	if change.Kind != audit.KindChange || change.TenantID != f.tenant.ID || change.ClientID != "c" {
		t.Errorf("change %+v", change)
	}
	if decision.Kind != audit.KindExchange || decision.Code != 700213 || !decision.At.Equal(at) || decision.ClientID != "c" {
		t.Errorf("decision %+v", decision)
	}
	if want := `"subject":"a\"b\u000a\u0000\ufffd\u2028"`; !strings.Contains(string(decision.Detail), want) {
		t.Errorf("%s lacks %s", decision.Detail, want)
	}
	first, last := records[0], records[len(records)-1]
	if page, err := f.db.AuditRecords(t.Context(), first.ID, 1); err != nil || len(page) != 1 || page[0].ID != records[1].ID {
		t.Errorf("second page %+v, %v", page, err)
	}
	if page, err := f.db.AuditRecords(t.Context(), last.ID, 1); err != nil || len(page) != 0 {
		t.Errorf("a page after the last record: %+v, %v", page, err)
	}
}

func testFeed(t *testing.T, f *fixture) {
	position := func() int64 {
		seq, err := f.db.FeedPosition(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return seq
	}
	last := position()
	a, _ := f.registered("client")
	for range 3 {
		f.write(func(tx *store.Tx) error { return tx.UpdateApplication(&a) })
		if now := position(); now <= last {
			t.Errorf("the feed went from %d to %d", last, now)
		} else {
			last = now
		}
	}
	f.write(func(tx *store.Tx) error { return tx.SetMeta("k", "v") })
	if now := position(); now != last {
		t.Errorf("a write that no record depends on moved the feed")
	}
}

func testRecords(t *testing.T, f *fixture) {
	ctx := t.Context()
	records := f.db.Records(store.RecordsConfig{})
	if _, err := records.Client(ctx, f.tenant.ID, "11111111-1111-1111-1111-111111111111"); err != store.ErrNotFound {
		t.Errorf("absent client: %v", err)
	}
	a, p := f.registered("client")
	_, resource := f.registered("resource")
	// Each change is seen by the very next look-up.
	c := f.createCredential(f.credential(a.ID, 1))
	first, err := records.Client(ctx, f.tenant.ID, strings.ToUpper(a.AppID))
	if err != nil || len(first.Match(c.Issuer, c.Subject)) != 1 || first.Kind != directory.KindApplication || first.ServicePrincipal.ID != p.ID {
		t.Fatalf("record %+v, %v", first, err)
	}
	if err := f.db.RecordDecision(ctx, &audit.Decision{}, first); err != nil {
		t.Errorf("a decision on a current record: %v", err)
	}
	if again, _ := records.Client(ctx, f.tenant.ID, a.AppID); again != first {
		t.Error("a current record was not kept")
	}
	grant := f.createAssignment(p.ID, resource.ID, directory.DefaultAppRoleID)
	second, err := records.Client(ctx, f.tenant.ID, a.AppID)
	if err != nil || second == first || !first.Stale() || len(second.Grants[resource.ID]) != 1 {
		t.Errorf("after the assignment: %+v, %v", second, err)
	}
	if err := f.db.RecordDecision(ctx, &audit.Decision{}, first); err != store.ErrOutdated {
		t.Errorf("a decision on a stale record: %v", err)
	}
	f.write(func(tx *store.Tx) error { return tx.DeleteAssignment(f.tenant.ID, grant.ID) })
	f.write(func(tx *store.Tx) error { return tx.DeleteCredential(f.tenant.ID, a.ID, c.ID) })
	third, err := records.Client(ctx, f.tenant.ID, a.AppID)
	if err != nil || len(third.Grants) != 0 || len(third.Match(c.Issuer, c.Subject)) != 0 {
		t.Errorf("after the deletes: %+v, %v", third, err)
	}
	a.Disabled = true
	f.write(func(tx *store.Tx) error { return tx.UpdateApplication(&a) })
	if fourth, err := records.Client(ctx, f.tenant.ID, a.AppID); err != nil || !fourth.Disabled {
		t.Errorf("after disabling: %+v, %v", fourth, err)
	}
	f.write(func(tx *store.Tx) error { return tx.DeleteApplication(f.tenant.ID, a.ID) })
	if _, err := records.Client(ctx, f.tenant.ID, a.AppID); err != store.ErrNotFound {
		t.Errorf("after deleting: %v", err)
	}
	if err := f.db.RecordDecision(ctx, &audit.Decision{}, third); err != store.ErrOutdated {
		t.Errorf("a decision on a deleted client: %v", err)
	}
}

func testTenantRecords(t *testing.T, f *fixture) {
	ctx := t.Context()
	records := f.db.Records(store.RecordsConfig{})
	for _, ref := range []string{f.tenant.ID, "contoso.example", "CONTOSO.example"} {
		if got, err := records.Tenant(ctx, ref); err != nil || got.ID != f.tenant.ID {
			t.Errorf("Tenant(%q): %v", ref, err)
		}
	}
	if _, err := records.Tenant(ctx, store.DefaultTenant); err != store.ErrNotFound {
		t.Errorf("no default tenant: %v", err)
	}
	changed := f.tenant
	changed.Domains, changed.Default = []string{"fabrikam.example"}, true
	f.write(func(tx *store.Tx) error { return tx.UpdateTenant(&changed) })
	if _, err := records.Tenant(ctx, "contoso.example"); err != store.ErrNotFound {
		t.Errorf("a domain that was taken away: %v", err)
	}
	for _, ref := range []string{"fabrikam.example", store.DefaultTenant} {
		if got, err := records.Tenant(ctx, ref); err != nil || got.ID != f.tenant.ID {
			t.Errorf("Tenant(%q): %v", ref, err)
		}
	}
	next := f.createTenant(directory.Tenant{Compat: directory.Strict, Default: true})
	if got, err := records.Tenant(ctx, store.DefaultTenant); err != nil || got.ID != next.ID || got.Compat != directory.Strict {
		t.Errorf("after the default moved: %+v, %v", got, err)
	}
}

func testResourceRecords(t *testing.T, f *fixture) {
	ctx := t.Context()
	records := f.db.Records(store.RecordsConfig{})
	a := f.createApplication(directory.Application{DisplayName: "orders", IdentifierURIs: []string{"api://orders"}, AppRoles: []directory.AppRole{
		{ID: "A", Value: "Read", AllowedMemberTypes: []string{"Application"}, IsEnabled: true},
		{ID: "b", Value: "Off", AllowedMemberTypes: []string{"Application"}},
		{ID: "c", Value: "Users", AllowedMemberTypes: []string{"User"}, IsEnabled: true}}})
	if _, err := records.Resource(ctx, f.tenant.ID, "api://orders"); err != store.ErrNotFound {
		t.Errorf("without a service principal: %v", err)
	}
	p := f.createPrincipal(a)
	for _, identifier := range []string{"api://orders", a.AppID, strings.ToUpper(a.AppID)} {
		got, err := records.Resource(ctx, f.tenant.ID, identifier)
		if err != nil || got.ServicePrincipalID != p.ID || !got.Enabled || len(got.RoleValues) != 1 || got.RoleValues["a"] != "Read" {
			t.Errorf("Resource(%q) = %+v, %v", identifier, got, err)
		}
	}
	before, _ := records.Resource(ctx, f.tenant.ID, a.AppID)
	a.IdentifierURIs, a.API.RequestedAccessTokenVersion = []string{"api://new"}, 2
	f.write(func(tx *store.Tx) error { return tx.UpdateApplication(&a) })
	if _, err := records.Resource(ctx, f.tenant.ID, "api://orders"); err != store.ErrNotFound || !before.Stale() {
		t.Errorf("an identifier that was taken away: %v, stale %v", err, before.Stale())
	}
	got, err := records.Resource(ctx, f.tenant.ID, "api://new")
	if err != nil || got.API.RequestedAccessTokenVersion != 2 {
		t.Errorf("after the update: %+v, %v", got, err)
	}
	p.AccountEnabled = false
	f.write(func(tx *store.Tx) error { return tx.UpdateServicePrincipal(&p) })
	if got, err := records.Resource(ctx, f.tenant.ID, "api://new"); err != nil || got.Enabled {
		t.Errorf("after disabling: %+v, %v", got, err)
	}
	f.write(func(tx *store.Tx) error { return tx.DeleteServicePrincipal(f.tenant.ID, p.ID) })
	if _, err := records.Resource(ctx, f.tenant.ID, "api://new"); err != store.ErrNotFound {
		t.Errorf("after deleting its service principal: %v", err)
	}
}
