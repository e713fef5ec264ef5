package trustapi

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"cambio/internal/audit"
	"cambio/internal/directory"
	"cambio/internal/management"
	"cambio/internal/store"
	"cambio/internal/trust"
)

const sample = `
version: 1
resourceGroups:
- {name: rg1, location: local, tags: {team: shop}}
managedIdentities:
- resourceGroup: RG1
  name: id1
  location: local
  servicePrincipal: {accountEnabled: false}
  federatedIdentityCredentials:
  - {name: cluster, issuer: "https://oidc.example/k8s/", subject: "system:serviceaccount:shop:api", audiences: ["api://AzureADTokenExchange"]}
  appRoleAssignments:
  - {resource: "api://orders", role: Orders.Read}
applications:
- uniqueName: orders
  displayName: Orders
  identifierUris: ["api://orders"]
  api: {requestedAccessTokenVersion: 2}
  appRoles:
  - {value: Orders.Read, displayName: Read orders}
  - {id: 11111111-2222-4333-8444-555555555555, value: Orders.Write, displayName: Write orders, isEnabled: false}
  servicePrincipal: {appRoleAssignmentRequired: true}
- uniqueName: shop
  displayName: Shop
  owners: [orders]
  servicePrincipal: {owners: [rg1/id1, orders]}
  federatedIdentityCredentials:
  - {name: main, issuer: "https://token.actions.githubusercontent.com", subject: "repo:acme/shop:ref:refs/heads/main", audiences: ["api://AzureADTokenExchange"]}
  - {name: dev, issuer: "https://token.actions.githubusercontent.com", subject: "repo:acme/shop:ref:refs/heads/dev", audiences: ["api://AzureADTokenExchange"]}
  - {name: any, issuer: "https://token.actions.githubusercontent.com", claimsMatchingExpression: {value: "claims['sub'] matches 'repo:acme/shop:*'"}, audiences: ["api://AzureADTokenExchange"]}
  appRoleAssignments:
  - {resource: orders, role: Orders.Read}
  - {resource: orders}
  - {resource: 00000003-0000-0000-c000-000000000000, role: Application.Read.All}
`

func TestApplyMakesAllOfIt(t *testing.T) {
	f := newFixture(t)
	made := []string{"create resourceGroup rg1", "create managedIdentity RG1/id1", "update servicePrincipal RG1/id1",
		"create application orders", "create servicePrincipal orders", "create application shop", "create servicePrincipal shop",
		"create federatedIdentityCredential RG1/id1/cluster", "create federatedIdentityCredential shop/main", "create federatedIdentityCredential shop/dev", "create federatedIdentityCredential shop/any",
		"create appRoleAssignment RG1/id1", "create appRoleAssignment shop", "create appRoleAssignment shop", "create appRoleAssignment shop",
		"create application.owner shop", "create servicePrincipal.owner shop", "create servicePrincipal.owner shop"}
	planned := f.plan(sample).want(made...)
	before := f.position()
	applied := f.apply(sample, "If-Match", planned.ETag).want(made...)
	if !reflect.DeepEqual(applied.Changes, planned.Changes) {
		t.Errorf("planned %v\napplied %v", planned.Changes, applied.Changes)
	}
	if f.position() == before {
		t.Error("nothing was written")
	}
	if got := f.send("GET", "/trust/v1/configuration", "").header.Get("ETag"); got != applied.ETag || got == planned.ETag {
		t.Errorf("the contents have the tag %s; the answer said %s, the plan %s", got, applied.ETag, planned.ETag)
	}
	t.Run("every object is in the audit trail", func(t *testing.T) {
		trail := ""
		for _, r := range f.audit() {
			trail += string(r.Detail) + "\n"
		}
		shop, err := f.db.Application(t.Context(), f.made.TenantID, store.Ref{UniqueName: "shop"})
		if err != nil {
			t.Fatal(err)
		}
		c, err := f.db.Credential(t.Context(), f.made.TenantID, shop.ID, "dev")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`"action":"trust.apply","target":"tenants/` + f.made.TenantID, `"action":"application.create","target":"applications/` + shop.ID,
			`"action":"federatedIdentityCredential.create","target":"applications/` + shop.ID + "/federatedIdentityCredentials/" + c.ID,
			`Microsoft.ManagedIdentity/userAssignedIdentities/id1/federatedIdentityCredentials/cluster"`, `"action":"appRoleAssignment.create","target":"appRoleAssignments/`} {
			if !strings.Contains(trail, want) {
				t.Errorf("the trail lacks %s", want)
			}
		}
	})
	t.Run("again is nothing", func(t *testing.T) {
		before := f.position()
		f.apply(sample).want()
		if got := f.position(); got != before {
			t.Errorf("feed and trail went from %s to %s", before, got)
		}
	})
	t.Run("the export is a fixed point", func(t *testing.T) {
		text := f.export()
		f.apply(text).want()
		f.prune(text).want()
		if again := f.export(); again != text {
			t.Errorf("exports differ:\n%s\n%s", text, again)
		}
	})
}

// A document of another installation makes the same objects, identifiers
// included.
func TestExportAppliesToAnEmptyTenant(t *testing.T) {
	a, b := newFixture(t), newFixture(t)
	if r := a.apply(sample); r.status != 200 {
		t.Fatal(r.text)
	}
	text := without(t, a.export(), a.made.AdminClientID)
	if r := b.apply(text); r.status != 200 {
		t.Fatalf("%d %s", r.status, r.text)
	}
	if got := without(t, b.export(), b.made.AdminClientID); got != text {
		t.Errorf("exported:\n%s\nafter applying:\n%s", text, got)
	}
}

// without leaves an application out of a document.
func without(t *testing.T, text, appID string) string {
	t.Helper()
	d, err := trust.ParseJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	kept := d.Applications[:0]
	for _, a := range d.Applications {
		if a.AppID != appID {
			kept = append(kept, a)
		}
	}
	d.Applications = kept
	return string(d.JSON())
}

func TestListsAreAuthoritativeAndAbsenceIsNot(t *testing.T) {
	f := newFixture(t)
	f.apply(sample)
	f.apply("version: 1\napplications: [{uniqueName: shop, description: The shop}]").want("update application shop")
	f.apply("version: 1\napplications: [{uniqueName: shop, federatedIdentityCredentials: []}]").want(
		"delete federatedIdentityCredential shop/any", "delete federatedIdentityCredential shop/dev", "delete federatedIdentityCredential shop/main")
	f.apply("version: 1\napplications: [{uniqueName: shop, servicePrincipal: null}]").want(
		"delete appRoleAssignment shop", "delete appRoleAssignment shop", "delete appRoleAssignment shop",
		"delete servicePrincipal.owner shop", "delete servicePrincipal.owner shop", "delete servicePrincipal shop")
	f.apply("version: 1\napplications: [{uniqueName: shop, displayName: Store, servicePrincipal: {}}]").want("update application shop", "create servicePrincipal shop")
	f.apply("version: 1\napplications: [{uniqueName: shop, displayName: Shop}]").want("update application shop", "update servicePrincipal shop")
}

// What one object gives up, another may have in the same document.
func TestNamesPassFromOneToAnother(t *testing.T) {
	f := newFixture(t)
	credential := func(name, subject string) string {
		return fmt.Sprintf("{name: %s, issuer: 'https://i.example', subject: %s, audiences: [a]}", name, subject)
	}
	text := func(a, b, uriA, uriB string) string {
		return "version: 1\napplications:\n- {uniqueName: one, displayName: One, identifierUris: [" + uriA + "], federatedIdentityCredentials: [" +
			credential("first", a) + "," + credential("second", b) + "]}\n- {uniqueName: two, displayName: Two, identifierUris: [" + uriB + "]}"
	}
	if a := f.apply(text("x", "y", "'api://x', 'api://z'", "'api://y'")); a.status != 200 {
		t.Fatal(a.text)
	}
	f.apply(text("y", "x", "'api://y', 'api://z'", "'api://x'")).want("update application one", "update application two",
		"update federatedIdentityCredential one/first", "update federatedIdentityCredential one/second")
	f.apply(text("y", "x", "'api://y', 'api://z'", "'api://x'")).want()
	app, err := f.db.Application(t.Context(), f.made.TenantID, store.Ref{IdentifierURI: "api://y"})
	if err != nil || app.UniqueName != "one" {
		t.Errorf("api://y is held by %q: %v", app.UniqueName, err)
	}
}

// The compiled record that exchanges read is that of the new state as soon as
// the answer is there.
func TestExchangesSeeTheChange(t *testing.T) {
	f := newFixture(t)
	f.apply(sample)
	shop, err := f.db.Application(t.Context(), f.made.TenantID, store.Ref{UniqueName: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	records := f.db.Records(store.RecordsConfig{})
	const issuer, subject = "https://token.actions.githubusercontent.com", "repo:acme/shop:ref:refs/heads/"
	for _, c := range []struct{ name, has, hasNot string }{{"dev", "main", "tags"}, {"other", "other", "dev"}, {"other", "main", "dev"}} {
		r, err := records.Client(t.Context(), f.made.TenantID, shop.AppID)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Match(issuer, subject+"main")
		f.apply("version: 1\napplications: [{uniqueName: shop, federatedIdentityCredentials: [" +
			"{name: main, issuer: '" + issuer + "', subject: '" + subject + "main', audiences: [a]}," +
			"{name: second, issuer: '" + issuer + "', subject: '" + subject + c.name + "', audiences: [a]}]}]")
		if r, err = records.Client(t.Context(), f.made.TenantID, shop.AppID); err != nil {
			t.Fatal(err)
		}
		if len(r.Match(issuer, subject+c.has)) != 1 || len(r.Match(issuer, subject+c.hasNot)) != 0 || len(r.Credentials) != 2 {
			t.Errorf("%s: the record has %+v", c.name, r.Credentials)
		}
	}
}

func TestAllOrNothing(t *testing.T) {
	f := newFixture(t)
	f.apply(sample)
	before, exported := f.position(), f.export()
	// The identifiers of a deleted object are known to the database alone, so
	// that this is refused in the middle of the write.
	if err := f.db.Write(t.Context(), store.Change{}, func(tx *store.Tx) error {
		app := &directory.Application{ID: "99999999-2222-4333-8444-555555555555", AppID: "88888888-2222-4333-8444-555555555555", TenantID: f.made.TenantID, DisplayName: "gone"}
		if err := tx.CreateApplication(app); err != nil {
			return err
		}
		return tx.DeleteApplication(f.made.TenantID, app.ID)
	}); err != nil {
		t.Fatal(err)
	}
	before = f.position()
	again := "version: 1\napplications:\n- {uniqueName: aaa, displayName: First}\n- {uniqueName: shop, displayName: Changed, federatedIdentityCredentials: []}\n" +
		"- {uniqueName: zzz, displayName: Last, appId: 88888888-2222-4333-8444-555555555555}"
	f.plan(again).refused(409, "Identifiers are not used again")
	f.apply(again).refused(409, "Identifiers are not used again")
	if got := f.position(); got != before || f.export() != exported {
		t.Errorf("a refused document left something: feed and trail went from %s to %s", before, got)
	}
}

func TestPrune(t *testing.T) {
	f := newFixture(t)
	f.apply(sample)
	f.prune(strings.Replace(sample, `  - {resource: orders, role: Orders.Read}
  - {resource: orders}
  - {resource: 00000003`, `  - {resource: 00000003`, 1)).want("delete appRoleAssignment shop", "delete appRoleAssignment shop")
	a := f.prune("version: 1\nmanagedIdentities: [{resourceGroup: rg1, name: id1}]").want(
		"delete appRoleAssignment RG1/id1", "delete application.owner shop", "delete servicePrincipal.owner shop", "delete application orders")
	if list, _, err := f.db.Owners(t.Context(), f.made.TenantID, shopID(t, f), everything); err != nil || len(list) != 0 {
		t.Errorf("the application has the owners %v, %v", list, err)
	}
	admin := "application cambio administrator (" + f.made.AdminClientID + ")"
	if got := strings.Join(a.Kept, ", "); got != admin+", application shop" && got != "application shop, "+admin {
		t.Errorf("kept: %s", got)
	}
	f.prune("version: 1").want("delete servicePrincipal.owner shop", "delete managedIdentity RG1/id1", "delete resourceGroup rg1")
	if _, err := f.db.Application(t.Context(), f.made.TenantID, store.Ref{AppID: f.managementAppID(f.made.TenantID)}); err != nil {
		t.Errorf("the management resource: %v", err)
	}
	f.prune("version: 1\napplications: [{uniqueName: x, displayName: x, appRoleAssignments: [{resource: shop}]}]").want(
		"create application x", "create servicePrincipal x", "create appRoleAssignment x")
}

func shopID(t *testing.T, f *fixture) string {
	t.Helper()
	app, err := f.db.Application(t.Context(), f.made.TenantID, store.Ref{UniqueName: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	return app.ID
}

func TestNobodyLocksHimselfOut(t *testing.T) {
	f := newFixture(t)
	self := "version: 1\napplications: [{appId: " + f.made.AdminClientID
	f.apply(self+", appRoleAssignments: []}]").refused(400, "lock itself out")
	f.apply(self+", isDisabled: true}]").refused(400, "lock itself out")
	f.apply(self+", servicePrincipal: null}]").refused(400, "lock itself out")
	f.apply(self+", servicePrincipal: {accountEnabled: false}}]").refused(400, "lock itself out")
	f.apply(self + ", federatedIdentityCredentials: [{name: one, issuer: 'https://i.example', subject: s, audiences: [a]}]}]").want(
		"create federatedIdentityCredential cambio administrator (" + f.made.AdminClientID + ")/one")
	f.apply(self+", federatedIdentityCredentials: []}]").refused(400, "lock itself out")
	f.apply("version: 1\napplications: [{appId: "+f.managementAppID(f.made.TenantID)+", isDisabled: true}]").refused(400, "management resource")
	f.apply("version: 1\napplications: [{appId: "+trust.ManagementResource+", uniqueName: x}]").refused(400, "management resource")
}

func TestPermissionsAreTakenTogether(t *testing.T) {
	f := newFixture(t)
	all := f.caller
	body := `{"document":{"version":1}}`
	for _, c := range []struct {
		roles       []management.Permission
		read, write int
	}{
		{nil, 403, 403},
		{[]management.Permission{management.ApplicationReadAll}, 403, 403},
		{[]management.Permission{management.ManagedIdentityReadAll}, 403, 403},
		{[]management.Permission{management.ApplicationReadAll, management.ManagedIdentityReadAll}, 200, 403},
		{[]management.Permission{management.ApplicationReadWriteAll, management.ManagedIdentityReadWriteAll}, 200, 403},
		{[]management.Permission{management.ApplicationReadWriteAll, management.AppRoleAssignmentReadWrite}, 403, 403},
		{[]management.Permission{management.ApplicationReadWriteAll, management.ManagedIdentityReadWriteAll, management.AppRoleAssignmentReadWrite}, 200, 200},
		{[]management.Permission{management.TrustRead, management.TrustWrite}, 403, 403}, // they are no app roles
	} {
		roles := make([]string, len(c.roles))
		for i := range c.roles {
			roles[i] = string(c.roles[i])
		}
		f.caller = management.NewCaller(all.PrincipalID, all.AppID, roles)
		for _, r := range []struct {
			method, path string
			want         int
		}{{"GET", "/trust/v1/configuration", c.read}, {"POST", "/trust/v1/plan", c.read}, {"POST", "/trust/v1/apply", c.write}} {
			if got := f.send(r.method, r.path, body).status; got != r.want {
				t.Errorf("%v: %s %s is answered with %d, want %d", c.roles, r.method, r.path, got, r.want)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	f := newFixture(t)
	f.apply(sample)
	for body, want := range map[string]string{
		`[]`:                         "not an object",
		`{}`:                         "'document' is required",
		`{"document":{}}`:            "version is required",
		`{"document":{"version":2}}`: "must be 1",
		`{"document":{"version":1},"prune":"yes"}`:                                                   "'prune' must be true or false",
		`{"document":{"version":1},"x":1}`:                                                           "'document' and 'prune' only",
		`{"document":{"version":1,"version":1}}`:                                                     "duplicate",
		`{"document":{"version":1,"applications":[{"uniqueName":"a","displayName":"a","tgas":[]}]}}`: "applications[0].tgas",
	} {
		f.send("POST", "/trust/v1/apply", body).refused(400, want)
	}
	app := func(more string) string {
		return "version: 1\napplications:\n- {uniqueName: new, displayName: New, " + more + "}"
	}
	for text, want := range map[string]string{
		"version: 1\napplications: [{uniqueName: new}]":                                                    "displayName is required",
		"version: 1\napplications: [{displayName: new}]":                                                   "needs a uniqueName",
		"version: 1\napplications: [{uniqueName: shop}, {uniqueName: shop}]":                               "named twice",
		"version: 1\napplications: [{uniqueName: shop, appId: 99999999-2222-4333-8444-555555555555}]":      "cannot change",
		app("identifierUris: ['api://orders']"):                                                            "belongs to both",
		app("identifierUris: ['ftp://x']"):                                                                 "api://",
		app("appRoles: [{displayName: x}]"):                                                                "needs an id",
		app("appRoleAssignments: [{resource: nothing}]"):                                                   "no application has",
		app("appRoleAssignments: [{resource: orders, role: Orders.Write}]"):                                "disabled",
		app("appRoleAssignments: [{resource: orders, role: X}]"):                                           "no app role",
		app("appRoleAssignments: [{resource: orders}, {resource: 'api://orders'}]"):                        "listed twice",
		app("owners: [nobody]"):                                                                            "no client with a service principal",
		app("owners: [shop, shop]"):                                                                        "listed twice",
		app("servicePrincipal: null, appRoleAssignments: [{resource: orders}]"):                            "has none",
		app("federatedIdentityCredentials: [{name: one, issuer: 'http://i', subject: s, audiences: [a]}]"): "https://",
		app("federatedIdentityCredentials: [{name: one, issuer: 'https://i', subject: s, audiences: []}]"): "audiences is required",
		app("federatedIdentityCredentials: [{name: one, issuer: 'https://i', subject: s, audiences: [a]}, {name: two, issuer: 'https://i', subject: s, audiences: [b]}]"): "are those of 'one' already",
		app("federatedIdentityCredentials: [{name: one, issuer: 'https://i', audiences: [a]}]"):                                                                           "subject",
		app("federatedIdentityCredentials: [{name: one, issuer: 'https://i', subject: s, claimsMatchingExpression: {value: 'x'}, audiences: [a]}]"):                       "claimsMatchingExpression",
		app("federatedIdentityCredentials: [{name: one, issuer: 'https://i', claimsMatchingExpression: {value: 'x'}, audiences: [a]}]"):                                   "claimsMatchingExpression",
		"version: 1\nmanagedIdentities: [{resourceGroup: nowhere, name: id1, location: local}]":                                                                           "does not exist",
		"version: 1\nmanagedIdentities: [{resourceGroup: rg1, name: id1, location: elsewhere}]":                                                                           "cannot be moved",
		"version: 1\nmanagedIdentities: [{resourceGroup: rg1, name: id2}]":                                                                                                "location is required",
		"version: 1\nresourceGroups: [{name: rg1, location: elsewhere}]":                                                                                                  "cannot be moved",
		"version: 1\napplications: [{uniqueName: orders, appRoles: []}]":                                                                                                  "Set isEnabled to false first",
	} {
		before := f.position()
		f.apply(text).refused(400, want)
		if got := f.position(); got != before {
			t.Errorf("%s: something was written", text)
		}
	}
	f.apply("version: 1", "If-Match", `"other"`).refused(412, "has changed")
	f.apply("version: 1", "If-Match", "*").want()
}

// Applications at the same time take their turns: none is lost, and none
// rests on a state that was gone.
func TestAppliesAtTheSameTime(t *testing.T) {
	f := newFixture(t)
	f.apply("version: 1\napplications: [{uniqueName: shop, displayName: Shop}]")
	const workers, rounds = 8, 5
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for r := range rounds {
				a := f.apply(fmt.Sprintf("version: 1\napplications:\n- {uniqueName: own-%d, displayName: Round %d}\n"+
					"- {uniqueName: shop, federatedIdentityCredentials: [{name: last, issuer: 'https://i.example', subject: s-%d-%d, audiences: [a]}]}", w, r, w, r))
				if a.status != 200 {
					t.Errorf("status %d: %s", a.status, a.text)
				}
			}
		})
	}
	wg.Wait()
	for w := range workers {
		app, err := f.db.Application(t.Context(), f.made.TenantID, store.Ref{UniqueName: fmt.Sprint("own-", w)})
		if err != nil || app.DisplayName != fmt.Sprint("Round ", rounds-1) {
			t.Errorf("worker %d left %q: %v", w, app.DisplayName, err)
		}
	}
	// Of many that were looked at in the same state, one may be made.
	tag := f.plan("version: 1").ETag
	made := make(chan int, workers)
	for w := range workers {
		wg.Go(func() {
			made <- f.apply(fmt.Sprintf("version: 1\napplications: [{uniqueName: shop, description: worker %d}]", w), "If-Match", tag).status
		})
	}
	wg.Wait()
	close(made)
	count := map[int]int{}
	for status := range made {
		count[status]++
	}
	if count[200] != 1 || count[412] != workers-1 {
		t.Errorf("statuses: %v", count)
	}
}

// Ten thousand credentials in one document: what every other write waits for
// is a part of the whole.
func TestTenThousandCredentials(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	for _, apps := range []int{1, 500} {
		f := newFixture(t)
		var b strings.Builder
		b.WriteString("version: 1\napplications:\n")
		for a := range apps {
			fmt.Fprintf(&b, "- uniqueName: app-%d\n  displayName: App %d\n  federatedIdentityCredentials:\n", a, a)
			for c := range 10000 / apps {
				fmt.Fprintf(&b, "  - {name: key-%d, issuer: \"https://token.actions.githubusercontent.com\", subject: \"repo:acme/shop-%d:ref:refs/heads/b%d\", audiences: [\"api://AzureADTokenExchange\"]}\n", c, a, c)
			}
		}
		body := `{"document":` + document(t, b.String()) + `}`
		for _, round := range []string{"create", "again", "empty"} {
			if round == "empty" {
				body = `{"prune":true,"document":{"version":1}}`
			}
			longest := f.recordDecisions(t)
			start := time.Now()
			a := f.send("POST", "/trust/v1/apply", body)
			took := time.Since(start)
			if a.status != 200 || round == "again" && len(a.Changes) != 0 {
				t.Fatalf("%s: %d %.500s", round, a.status, a.text)
			}
			t.Logf("%d applications, %s: %d changes, %.1f MiB, %v; a decision waited for %v at most", apps, round, len(a.Changes), float64(len(body))/(1<<20), took, longest())
		}
	}
}

// recordDecisions appends to the audit trail as exchanges do, until stop,
// which returns how long one of them had to wait.
func (f *fixture) recordDecisions(t *testing.T) (stop func() time.Duration) {
	ctx, cancel := context.WithCancel(t.Context())
	longest := make(chan time.Duration)
	go func() {
		var most time.Duration
		for ctx.Err() == nil {
			start := time.Now()
			if err := f.db.RecordDecision(context.WithoutCancel(ctx), &audit.Decision{TenantID: f.made.TenantID}, nil); err != nil {
				t.Error(err)
			}
			most = max(most, time.Since(start))
		}
		longest <- most
	}()
	return func() time.Duration {
		cancel()
		return <-longest
	}
}
