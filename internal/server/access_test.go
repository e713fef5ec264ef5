package server

import (
	"context"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"cambio/internal/bootstrap"
	"cambio/internal/directory"
	"cambio/internal/management"
	"cambio/internal/store"
)

var update = flag.Bool("update", false, "write testdata/access.txt from what the server does; then read the difference")

// accessFile is the expectation: for every route of the table, what each kind
// of caller is answered.
const accessFile = "testdata/access.txt"

// callers are the columns of the file. The roles are those of a token whose
// holder has just that one.
var callers = []struct {
	column string
	role   management.Permission
	about  string
}{
	{"none", "", "no token"},
	{"garbage", "", "a token that nobody signed"},
	{"expired", "", "an administrator's token, a second too late"},
	{"audience", "", "an administrator's token for another resource"},
	{"tenant", "", "the administrator of another tenant"},
	{"workload", "", "a token for the management resource, without any role"},
	{"owner", management.ApplicationReadWriteOwnedBy, "Application.ReadWrite.OwnedBy, an owner of the objects addressed"},
	{"stranger", management.ApplicationReadWriteOwnedBy, "Application.ReadWrite.OwnedBy, not an owner"},
	{"reader", management.ApplicationReadAll, ""},
	{"writer", management.ApplicationReadWriteAll, ""},
	{"assigner", management.AppRoleAssignmentReadWrite, ""},
	{"mi-read", management.ManagedIdentityReadAll, ""},
	{"mi-write", management.ManagedIdentityReadWriteAll, ""},
	{"tenant-rw", management.OrganizationReadWriteAll, ""},
	{"auditor", management.AuditLogReadAll, ""},
	{"pusher", management.IssuersPush, "Issuers.Push, named by an issuer"},
	{"admin", "", "all roles"},
}

// world is a tenant with one object of every kind, for the path variables.
type world struct {
	*rig
	other   bootstrap.Result
	tokens  map[string]string // by column
	owner   *directory.ServicePrincipal
	outside *directory.ServicePrincipal // a principal that is nobody's owner
	round   int

	app      *directory.Application
	bare     *directory.Application // without a service principal
	sp       *directory.ServicePrincipal
	assigned *directory.AppRoleAssignment
	deleted  string
	issuer   *directory.Issuer
	pusher   *directory.ServicePrincipal
	keySet   string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{rig: newRig(t), keySet: keySetOf(t, newProvider(t, "", "k")), tokens: map[string]string{"garbage": "x.y.z"}}
	ctx := context.Background()
	var err error
	if w.other, err = bootstrap.Create(ctx, w.db, bootstrap.Tenant{DisplayName: "Other", Compat: directory.Relaxed}, w.now); err != nil {
		t.Fatal(err)
	}
	w.tokens["admin"] = w.token(t)
	w.tokens["expired"] = w.managementToken(t, w.admin.TenantID, w.admin.AdminClientID, -time.Second)
	w.tokens["tenant"] = w.managementToken(t, w.other.TenantID, w.other.AdminClientID, time.Hour)
	for _, c := range callers {
		if c.role == "" && c.column != "workload" {
			continue
		}
		sp := w.principal(t, "caller "+c.column)
		if c.role != "" {
			w.grant(t, sp, c.role)
		}
		switch c.column {
		case "owner":
			w.owner = sp
		case "workload":
			w.outside = sp
		case "pusher":
			w.pusher = sp
		}
		w.tokens[c.column] = w.managementToken(t, w.admin.TenantID, sp.AppID, time.Hour)
	}
	w.build(t)
	w.tokens["audience"] = w.foreignToken(t)
	return w
}

func (w *world) managementToken(t *testing.T, tenantID, clientID string, lifetime time.Duration) string {
	t.Helper()
	compact, err := w.ManagementToken(context.Background(), tenantID, clientID, lifetime)
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// foreignToken is the administrator's token for a resource that is not the
// management resource.
func (w *world) foreignToken(t *testing.T) string {
	t.Helper()
	ctx := context.Background()
	client, err := w.directory.Client(ctx, w.admin.TenantID, w.admin.AdminClientID)
	if err != nil {
		t.Fatal(err)
	}
	resource, err := w.directory.Resource(ctx, w.admin.TenantID, w.app.AppID)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := w.endpoint.ManagementToken(client, resource, w.app.AppID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

func (w *world) principal(t *testing.T, name string) (sp *directory.ServicePrincipal) {
	t.Helper()
	app := &directory.Application{TenantID: w.admin.TenantID, DisplayName: name, SignInAudience: "AzureADMyOrg"}
	w.write(t, func(tx *store.Tx) (err error) {
		sp, err = bootstrap.AddApplication(tx, app)
		return err
	})
	return sp
}

func (w *world) grant(t *testing.T, sp *directory.ServicePrincipal, role management.Permission) {
	t.Helper()
	w.write(t, func(tx *store.Tx) error {
		resource, err := tx.ServicePrincipal(context.Background(), w.admin.TenantID, store.Ref{AppID: w.directory.managementAppID(w.admin.TenantID)})
		if err != nil {
			return err
		}
		i := slices.IndexFunc(management.Roles(), func(r directory.AppRole) bool { return r.Value == string(role) })
		return bootstrap.Assign(tx, sp, &resource, management.Roles()[i].ID)
	})
}

// build makes the objects that the next request is about.
func (w *world) build(t *testing.T) {
	t.Helper()
	w.round++
	tenant := w.admin.TenantID
	role := directory.AppRole{ID: "11111111-2222-4333-8444-555555555555", Value: "Do", DisplayName: "Do", AllowedMemberTypes: []string{"Application"}, IsEnabled: true}
	w.app = &directory.Application{TenantID: tenant, DisplayName: "target", UniqueName: fmt.Sprint("target-", w.round), SignInAudience: "AzureADMyOrg", AppRoles: []directory.AppRole{role}}
	w.write(t, func(tx *store.Tx) (err error) {
		if w.sp, err = bootstrap.AddApplication(tx, w.app); err != nil {
			return err
		}
		w.bare = &directory.Application{TenantID: tenant, DisplayName: "bare", SignInAudience: "AzureADMyOrg"}
		if err := tx.CreateApplication(w.bare); err != nil {
			return err
		}
		w.assigned = &directory.AppRoleAssignment{TenantID: tenant, AppRoleID: role.ID, PrincipalID: w.sp.ID, ResourceID: w.sp.ID}
		if err := tx.CreateAssignment(w.assigned); err != nil {
			return err
		}
		group := &directory.ResourceGroup{TenantID: tenant, SubscriptionID: tenant, Name: "rg", Location: "local"}
		if _, err := tx.PutResourceGroup(group); err != nil {
			return err
		}
		identity := &directory.ManagedIdentity{TenantID: tenant, SubscriptionID: tenant, ResourceGroup: "rg", Name: w.identity(), Location: "local"}
		if _, err := tx.PutManagedIdentity(identity); err != nil {
			return err
		}
		for _, parent := range []string{w.app.ID, identity.PrincipalID} {
			err := tx.CreateCredential(&directory.FederatedIdentityCredential{TenantID: tenant, ParentID: parent, Name: "fic", Issuer: "https://idp.example", Subject: "s", Audiences: []string{"a"}})
			if err != nil {
				return err
			}
		}
		for _, object := range []string{w.app.ID, w.sp.ID, w.bare.ID} {
			if err := tx.AddOwner(tenant, object, w.owner.ID); err != nil {
				return err
			}
		}
		gone := &directory.Application{TenantID: tenant, DisplayName: "gone", SignInAudience: "AzureADMyOrg"}
		if err := tx.CreateApplication(gone); err != nil {
			return err
		}
		if err := tx.AddOwner(tenant, gone.ID, w.owner.ID); err != nil {
			return err
		}
		w.deleted = gone.ID
		w.issuer = &directory.Issuer{TenantID: tenant, Issuer: fmt.Sprint("https://idp.example/", w.round), IssuerSettings: directory.IssuerSettings{Mode: directory.IssuerPush, PushedBy: w.pusher.AppID}}
		if err := tx.CreateIssuer(w.issuer); err != nil {
			return err
		}
		if _, err := tx.PutIssuerSet(&directory.IssuerSet{TenantID: tenant, Name: "set"}); err != nil {
			return err
		}
		return tx.DeleteApplication(tenant, gone.ID)
	})
}

func (w *world) identity() string { return fmt.Sprint("identity-", w.round) }

// path fills the variables of a pattern.
func (w *world) path(t *testing.T, pattern string) string {
	t.Helper()
	p := strings.NewReplacer(
		"{application}", w.app.ID, "({applicationKey})", "(appId='"+w.app.AppID+"')",
		"{servicePrincipal}", w.sp.ID, "({servicePrincipalKey})", "(appId='"+w.sp.AppID+"')",
		"{credential}", "fic", "({credentialKey})", "(name='fic')",
		"{assignment}", w.assigned.ID, "{organization}", w.admin.TenantID, "{object}", w.app.ID,
		"{subscription}", w.admin.TenantID, "{group}", "rg", "{identity}", w.identity(), "{namespace}", "Microsoft.ManagedIdentity",
		"{provider}", "Microsoft.Resources", "{type}", "virtualMachines", "{name}", "vm1",
		"{managedIssuer}", w.issuer.ID, "{issuerSet}", "set",
		"{owner}", w.owner.ID, "{deleted}", w.deleted,
	).Replace(pattern)
	if strings.Contains(p, "{") {
		t.Fatalf("%s: a path variable without a value; give it one here", pattern)
	}
	if strings.HasPrefix(strings.ToLower(p), "/subscriptions") || strings.HasPrefix(strings.ToLower(p), "/tenants") || strings.HasPrefix(strings.ToLower(p), "/providers") {
		p += "?api-version=2024-11-30"
	}
	return p
}

// body is one that the route accepts from a caller who may write.
func (w *world) body(r RouteInfo) string {
	fic := `"issuer":"https://idp.example","subject":"other","audiences":["a"]`
	at := func(suffix string) bool { return strings.HasSuffix(r.Pattern, suffix) }
	switch {
	case r.Method == "GET" || r.Method == "HEAD" || r.Method == "DELETE":
		return ""
	case r.Method == "POST" && at("/applications"):
		return `{"displayName":"made"}`
	case r.Method == "POST" && at("/servicePrincipals"):
		return `{"appId":"` + w.bare.AppID + `"}`
	case r.Method == "POST" && at("/federatedIdentityCredentials"):
		return `{"name":"made",` + fic + `}`
	case r.Method == "PUT" && strings.Contains(r.Pattern, "/federatedIdentityCredentials/"):
		return `{"properties":{` + fic + `}}`
	case strings.Contains(r.Pattern, "/appRole"):
		return `{"principalId":"` + w.sp.ID + `","resourceId":"` + w.sp.ID + `","appRoleId":"` + directory.DefaultAppRoleID + `"}`
	case at("/$ref"):
		return `{"@odata.id":"` + base + `/v1.0/directoryObjects/` + w.outside.ID + `"}`
	case at("/getByIds"):
		return `{"ids":["` + w.app.ID + `"]}`
	case at("/issuerKeys"):
		return fmt.Sprintf(`{"issuer":%q,"discovery":{"issuer":%q},"keySet":%s}`, w.issuer.Issuer, w.issuer.Issuer, w.keySet)
	case at("/approve"):
		return `{"thumbprints":[]}`
	case at("/issuers"):
		return `{"issuer":"https://made.example/` + fmt.Sprint(w.round) + `"}`
	case strings.Contains(r.Pattern, "/issuers/"):
		return `{"description":"changed"}`
	case strings.Contains(r.Pattern, "/issuerSets/"):
		return `{"members":[]}`
	case strings.HasPrefix(r.Pattern, "/trust/"):
		return `{"document":{"version":1,"applications":[{"uniqueName":"made-` + fmt.Sprint(w.round) + `","displayName":"made"}]}}`
	case r.Method == "PATCH" && strings.HasPrefix(strings.ToLower(r.Pattern), "/subscriptions"):
		return `{"tags":{"changed":"yes"}}`
	case at("/organization/{organization}"):
		return `{"compat":"relaxed"}`
	case r.Method == "PATCH":
		return `{"tags":["changed"],"description":"changed"}`
	case r.Method == "PUT":
		return `{"location":"local"}`
	}
	return "{}"
}

// ask sends one request as a caller.
func (w *world) ask(t *testing.T, r RouteInfo, column string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequest(r.Method, w.path(t, r.Pattern), strings.NewReader(w.body(r)))
	if w.body(r) != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if bearer := w.tokens[column]; bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	recorder := httptest.NewRecorder()
	w.Handler().ServeHTTP(recorder, req)
	if recorder.Code/100 == 2 && r.Action != "" {
		w.build(t)
	}
	return recorder
}

// Every route × every kind of caller. A route that is new fails here until its
// row is written and read.
func TestAccess(t *testing.T) {
	w := newWorld(t)
	var text strings.Builder
	text.WriteString("# What every route answers to each kind of caller; status codes. Made by\n# go test ./internal/server -run TestAccess -update, and then read.\n#\n")
	var header []string
	for _, c := range callers {
		about := c.about
		if about == "" {
			about = "the role " + string(c.role) + " alone"
		}
		fmt.Fprintf(&text, "# %-10s%s\n", c.column, about)
		header = append(header, c.column)
	}
	text.WriteString("\n")
	table := tabwriter.NewWriter(&text, 0, 0, 1, ' ', 0)
	fmt.Fprintln(table, strings.Join(append(header, "etag", "rate", "method", "pattern", "permission", "action"), "\t"))
	routes := w.Table()
	slices.SortFunc(routes, func(a, b RouteInfo) int { return strings.Compare(a.Pattern+" "+a.Method, b.Pattern+" "+b.Method) })
	for _, r := range routes {
		if r.Permission == "" {
			fmt.Fprintf(table, "%s%s\t%s\topen\t-\n", strings.Repeat("-\t", len(callers)+2), r.Method, r.Pattern)
			continue
		}
		var row []string
		for _, c := range callers {
			status := w.ask(t, r, c.column).Code
			row = append(row, fmt.Sprint(status))
			w.checkCell(t, r, c.column, status)
		}
		w.checkRow(t, r)
		row = append(row, mark(r.Conditional), string(r.Rate), r.Method, r.Pattern, strings.ReplaceAll(string(r.Permission), " ", "_"), dash(r.Action))
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	_ = table.Flush()
	compareAccess(t, text.String())
}

// checkCell holds whatever the file says: who is never let in.
func (w *world) checkCell(t *testing.T, r RouteInfo, column string, status int) {
	t.Helper()
	at := r.Method + " " + r.Pattern + " by " + column
	// Another tenant's PUT of a set is about its own set of that name.
	aboutObject := strings.Contains(r.Pattern, "{") && !(r.Method == "PUT" && strings.HasSuffix(r.Pattern, "/{issuerSet}"))
	switch {
	case slices.Contains([]string{"none", "garbage", "expired", "audience"}, column) && status != 401:
		t.Errorf("%s: %d, want 401", at, status)
	case column == "tenant" && aboutObject && status/100 != 4:
		t.Errorf("%s: %d: an object of another tenant was found", at, status)
	case column == "workload" && r.Permission != management.Authenticated && status != 403:
		t.Errorf("%s: %d, want 403", at, status)
	case column == "admin" && r.Permission == management.IssuersPush:
		// The role alone is not enough, whatever others come with it.
		if status != 403 {
			t.Errorf("%s: %d, want 403", at, status)
		}
	case column == "admin" && (status == 401 || status == 403 || status >= 500):
		t.Errorf("%s: %d", at, status)
	}
}

// checkRow holds the columns of the table to what the route does.
func (w *world) checkRow(t *testing.T, r RouteInfo) {
	t.Helper()
	at := r.Method + " " + r.Pattern
	read := r.Method == "GET" || r.Method == "HEAD"
	switch {
	case r.Rate != management.RateRead && r.Rate != management.RateWrite:
		t.Errorf("%s has no rate class", at)
	case r.Action != "" && r.Rate != management.RateWrite:
		t.Errorf("%s writes, with the allowance of reads", at)
	case read && r.Action != "":
		t.Errorf("%s has an audit action", at)
	}
	if read {
		if tagged := w.ask(t, r, "admin").Header().Get("ETag") != ""; tagged != r.Conditional {
			t.Errorf("%s: conditional is %v, but an ETag is shown: %v", at, r.Conditional, tagged)
		}
		return
	}
	want := 400
	if r.Conditional {
		want = 412
	}
	if got := w.ask(t, r, "admin", "If-Match", `"not-this-one"`).Code; got != want {
		t.Errorf("%s with an If-Match that does not hold: %d, want %d", at, got, want)
	}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func mark(b bool) string {
	if b {
		return "yes"
	}
	return "-"
}

func compareAccess(t *testing.T, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(accessFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	raw, err := os.ReadFile(accessFile)
	if err != nil {
		t.Fatal(err)
	}
	want := rows(string(raw))
	have := rows(got)
	for route, row := range have {
		if expected, ok := want[route]; !ok {
			t.Errorf("%s has no expectation in %s: write its row with -update, and read it", route, accessFile)
		} else if expected != row {
			t.Errorf("%s\n got %s\nwant %s", route, row, expected)
		}
	}
	for route := range want {
		if _, ok := have[route]; !ok {
			t.Errorf("%s expects %s, which is no route", accessFile, route)
		}
	}
}

// rows are the file's lines by method and pattern, without their padding. The
// line of titles is one of them.
func rows(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if n := len(callers); len(fields) == n+6 {
			out[fields[n+2]+" "+fields[n+3]] = strings.Join(append(fields[:n+2:n+2], fields[n+4:]...), " ")
		}
	}
	return out
}

// A caller has an allowance of each class, and spends nobody else's.
func TestAllowances(t *testing.T) {
	w := newWorld(t)
	w.allowances = ManagementLimits{Reads: 1, Writes: 1}.allowances(func() time.Time { return w.now })
	get, post := RouteInfo{Method: "GET", Pattern: "/v1.0/applications"}, RouteInfo{Method: "POST", Pattern: "/v1.0/applications"}
	for _, r := range []RouteInfo{get, post} {
		for i := range 4 {
			if got := w.ask(t, r, "writer"); got.Code/100 != 2 {
				t.Fatalf("%s %d: status %d: %s", r.Method, i, got.Code, got.Body)
			}
		}
		got := w.ask(t, r, "writer")
		if got.Code != 429 || got.Header().Get("Retry-After") == "" || !strings.Contains(got.Body.String(), "TooManyRequests") {
			t.Errorf("%s over the allowance: status %d: %s", r.Method, got.Code, got.Body)
		}
		if got := w.ask(t, r, "admin"); got.Code/100 != 2 {
			t.Errorf("%s by another caller: status %d", r.Method, got.Code)
		}
	}
	w.set(w.now.Add(time.Second))
	if got := w.ask(t, get, "writer"); got.Code != 200 {
		t.Errorf("a second later: status %d", got.Code)
	}
}
