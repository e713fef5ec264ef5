package store_test

import (
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cambio/internal/directory"
	"cambio/internal/store"
)

// damages is how often a database is damaged: few times in the usual test run,
// CAMBIO_DAMAGES when it is asked for.
func damages(t *testing.T, usual int) int {
	text := os.Getenv("CAMBIO_DAMAGES")
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("CAMBIO_DAMAGES=%q is no count", text)
	}
	return n
}

// files are what a database consists of while it is in use.
type files map[string][]byte // by suffix

var suffixes = []string{"", "-wal", "-shm"}

func readFiles(t *testing.T, path string, suffixes ...string) files {
	t.Helper()
	f := files{}
	for _, suffix := range suffixes {
		content, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		f[suffix] = content
	}
	return f
}

func (f files) write(t *testing.T, path string) {
	t.Helper()
	for suffix, content := range f {
		if err := os.WriteFile(path+suffix, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// estate is a database with something of everything that decides.
type estate struct {
	tenants   []string
	clients   [][2]string // tenant, app id
	resources [][2]string // tenant, identifier

}

// must runs a write.
func must(t *testing.T, db *store.DB, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := db.Write(t.Context(), store.Change{Action: "seed"}, fn); err != nil {
		t.Fatal(err)
	}
}

// furnish registers clients with credentials of both kinds, resources with
// roles, and what restricts them.
func furnish(t *testing.T, db *store.DB) *estate {
	t.Helper()
	e := &estate{}
	for n := range 3 {
		tenant := directory.Tenant{DisplayName: fmt.Sprintf("Tenant %d", n), Compat: directory.Strict, Domains: []string{fmt.Sprintf("t%d.example", n)},
			Policy: directory.FederationPolicy{RequiredClaims: []directory.RequiredClaim{{Issuer: "https://issuer.example", Claim: "environment", Values: []string{"production"}}}}}
		must(t, db, func(tx *store.Tx) error { return tx.CreateTenant(&tenant) })
		e.tenants = append(e.tenants, tenant.ID)
		for m := range 8 {
			e.client(t, db, tenant.ID, fmt.Sprintf("%d-%d", n, m))
		}
	}
	return e
}

func (e *estate) client(t *testing.T, db *store.DB, tenant, name string) {
	t.Helper()
	role := directory.AppRole{ID: fmt.Sprintf("%08x-0000-4000-8000-000000000000", len(e.clients)+1), Value: "Orders.Read." + name, DisplayName: "r",
		Description: "d", AllowedMemberTypes: []string{"Application"}, IsEnabled: len(e.clients)%2 == 0}
	app := directory.Application{TenantID: tenant, DisplayName: "app " + name, IdentifierURIs: []string{"api://" + name}, AppRoles: []directory.AppRole{role}}
	must(t, db, func(tx *store.Tx) error {
		if err := tx.CreateApplication(&app); err != nil {
			return err
		}
		principal := directory.ServicePrincipal{TenantID: tenant, AppID: app.AppID, AccountEnabled: len(e.clients)%3 != 0, AppRoleAssignmentRequired: true}
		if err := tx.CreateServicePrincipal(&principal); err != nil {
			return err
		}
		assignment := directory.AppRoleAssignment{TenantID: tenant, AppRoleID: role.ID, PrincipalID: principal.ID, ResourceID: principal.ID}
		if role.IsEnabled {
			if err := tx.CreateAssignment(&assignment); err != nil {
				return err
			}
		}
		for i := range 6 {
			c := directory.FederatedIdentityCredential{TenantID: tenant, ParentID: app.ID, Name: fmt.Sprintf("credential-%d", i), Issuer: "https://issuer.example",
				Subject: fmt.Sprintf("repo:acme/%s:ref:refs/heads/%d", name, i), Audiences: []string{"api://AzureADTokenExchange"}}
			if i == 5 {
				c.Subject = ""
				c.Expression = &directory.ClaimsMatchingExpression{Value: "claims['sub'] matches 'repo:acme/" + name + ":*'", LanguageVersion: 1}
			}
			if err := tx.CreateCredential(&c); err != nil {
				return err
			}
		}
		return nil
	})
	e.clients, e.resources = append(e.clients, [2]string{tenant, app.AppID}), append(e.resources, [2]string{tenant, "api://" + name})
}

// restrict takes things away, in writes that stay in the log.
func (e *estate) restrict(t *testing.T, db *store.DB) {
	t.Helper()
	for i, c := range e.clients {
		must(t, db, func(tx *store.Tx) error {
			app, err := tx.Application(t.Context(), c[0], store.Ref{AppID: c[1]})
			if err != nil {
				return err
			}
			if err := tx.DeleteCredential(c[0], app.ID, fmt.Sprintf("credential-%d", i%5)); err != nil {
				return err
			}
			if i%4 != 0 {
				return nil
			}
			app.Disabled = true
			return tx.UpdateApplication(&app)
		})
	}
	must(t, db, func(tx *store.Tx) error {
		tenant, err := tx.Tenant(t.Context(), e.tenants[1])
		if err != nil {
			return err
		}
		tenant.Policy.Disabled = true
		return tx.UpdateTenant(&tenant)
	})
}

// decisions describes everything that decisions rest on, one line for each
// object. Only what cannot be read is left out: without it nothing is issued.
func (e *estate) decisions(t *testing.T, db *store.DB) map[string]string {
	t.Helper()
	ctx, found := t.Context(), map[string]string{}
	records := db.Records(store.RecordsConfig{})
	for _, id := range e.tenants {
		if r, err := records.Tenant(ctx, id); err == nil {
			found["tenant "+id] = fmt.Sprintf("%s %s %q %s %v %+v", r.ID, r.DisplayName, r.Domains, r.Compat, r.Default, r.Policy)
		}
	}
	for _, c := range e.clients {
		r, err := records.Client(ctx, c[0], c[1])
		if err != nil {
			continue
		}
		p := r.ServicePrincipal
		// Whether a letter of a name is large decides nothing, and is in no index.
		lines := []string{fmt.Sprint(r.TenantID, r.ClientID, strings.ToLower(r.DisplayName), r.Kind, r.Disabled, p.ID, p.TenantID, p.AppID, p.Kind, p.AccountEnabled,
			p.AppRoleAssignmentRequired, r.Grants)}
		for _, c := range r.Credentials {
			line := fmt.Sprintf("  %s %s %q %q %q", c.ID, c.Name, c.Issuer, c.Subject, c.Audiences)
			if c.Expression != nil {
				line += " " + c.Expression.String()
			}
			lines = append(lines, line)
		}
		slices.Sort(lines) // when they were made decides nothing
		found["client "+c[1]] = strings.Join(lines, "\n")
	}
	for _, r := range e.resources {
		record, err := records.Resource(ctx, r[0], r[1])
		if err != nil {
			continue
		}
		found["resource "+r[1]] = fmt.Sprintf("%s %s %s %s %v %v %v %+v %v %v", record.TenantID, record.AppID, strings.ToLower(record.DisplayName), record.ServicePrincipalID,
			record.Enabled, record.AssignmentRequired, record.IdentifierURIs, record.API, record.OptionalIdtyp, record.RoleValues)
	}
	rows, err := db.SigningKeys(ctx)
	if err == nil {
		for _, k := range rows {
			k.Sealed = nil // it is opened by its own means, or not at all
			found["key "+k.KeyID] = fmt.Sprintf("%+v", k)
		}
	}
	return found
}

// wider lists what is there and was not so before.
func wider(before, after map[string]string) (list []string) {
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if before[name] != after[name] {
			list = append(list, fmt.Sprintf("%s was\n%s\nand is\n%s", name, before[name], after[name]))
		}
	}
	return list
}

// seeded makes a database that a process has in use, and copies its files:
// they are what a kill leaves, with the last writes in the log. stopped is the
// file that a process leaves which ends in good order, with its checksum.
func seeded(t *testing.T) (e *estate, killed, stopped files, reference map[string]string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state", "cambio.db")
	db, err := store.Open(store.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	e = furnish(t, db)
	now := time.Now().UTC()
	must(t, db, func(tx *store.Tx) error {
		return tx.PutSigningKey(&store.SigningKeyRow{KeyID: "k", Algorithm: "RS256", State: store.KeyActive, Sealed: []byte(strings.Repeat("s", 1200)),
			PublicJWK: []byte(strings.Repeat("p", 400)), CreatedAt: now, ActiveAt: now, RetireAt: now.Add(time.Hour)})
	})
	if err := db.Close(); err != nil { // empties the log
		t.Fatal(err)
	}
	if db, err = store.Open(store.Config{Path: path}); err != nil {
		t.Fatal(err)
	}
	e.restrict(t, db)
	killed, reference = readFiles(t, path, suffixes...), e.decisions(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return e, killed, readFiles(t, path, "", "-checksum"), reference
}

// outcome is what became of damaged databases.
type outcome struct{ refused, equal, wrong int }

// try opens a damaged database and compares its decisions.
func (o *outcome) try(t *testing.T, e *estate, damaged files, reference map[string]string, what string) {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "damaged")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "cambio.db")
	damaged.write(t, path)
	db, err := store.Open(store.Config{Path: path, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		o.refused++
		if !strings.Contains(err.Error(), path) {
			t.Errorf("%s: the error does not say which database: %v", what, err)
		}
		return
	}
	defer db.Close()
	differences := wider(reference, e.decisions(t, db))
	if len(differences) == 0 {
		o.equal++
		return
	}
	o.wrong++
	t.Errorf("%s: %s", what, strings.Join(differences, "\n"))
}

func (o *outcome) String() string {
	return fmt.Sprintf("%d refused, %d decide as before, %d decide otherwise", o.refused, o.equal, o.wrong)
}

// flip returns the files with one bit of one of them changed.
func (f files) flip(suffix string, at, bit int) files {
	damaged := maps.Clone(f)
	damaged[suffix] = slices.Clone(f[suffix])
	damaged[suffix][at] ^= 1 << bit
	return damaged
}

// TestFlippedBits: whichever bit of the files flips while nobody looks, the
// database is refused or decides as before.
func TestFlippedBits(t *testing.T) {
	e, killed, stopped, reference := seeded(t)
	for _, intact := range []files{killed, stopped} {
		var o outcome
		if o.try(t, e, intact, reference, "intact"); o.equal != 1 {
			t.Fatal("an intact database is refused")
		}
		for suffix, content := range intact {
			random := rand.New(rand.NewPCG(1, 1))
			var o outcome
			for range damages(t, 50) {
				at, bit := random.IntN(len(content)), random.IntN(8)
				o.try(t, e, intact.flip(suffix, at, bit), reference, fmt.Sprintf("cambio.db%s, byte %d, bit %d", suffix, at, bit))
			}
			t.Logf("cambio.db%s (%d bytes) of %d files: %v", suffix, len(content), len(intact), &o)
		}
	}
}

// TestFlippedBitsOfTrust: the same in the texts that decide, of which a look at
// the structure alone sees nothing.
func TestFlippedBitsOfTrust(t *testing.T) {
	e, _, stopped, reference := seeded(t)
	content, random := string(stopped[""]), rand.New(rand.NewPCG(2, 2))
	var total outcome
	for _, text := range []string{"repo:acme/", "AzureADTokenExchange", "https://issuer.example", "environment", "production", "Orders.Read.",
		"api://1-2", "pppppp", "strict", e.clients[5][1], e.clients[6][0], "claims['sub']"} {
		var places []int
		for at := 0; ; at++ {
			next := strings.Index(content[at:], text)
			if next < 0 {
				break
			}
			at += next
			places = append(places, at)
		}
		if len(places) == 0 {
			t.Errorf("%q is nowhere in the file", text)
			continue
		}
		var o outcome
		for range damages(t, 120) / 12 {
			at, bit := places[random.IntN(len(places))]+random.IntN(len(text)), random.IntN(8)
			o.try(t, e, stopped.flip("", at, bit), reference, fmt.Sprintf("%q, byte %d, bit %d", text, at, bit))
		}
		total.refused, total.equal = total.refused+o.refused, total.equal+o.equal
	}
	t.Logf("texts that decide: %v", &total)
	if total.refused <= total.equal {
		t.Error("few changes were noticed: the texts lie elsewhere")
	}
}

// TestTruncatedFiles likewise.
func TestTruncatedFiles(t *testing.T) {
	e, killed, stopped, reference := seeded(t)
	random := rand.New(rand.NewPCG(3, 3))
	for _, c := range []struct {
		intact files
		suffix string
	}{{killed, ""}, {killed, "-wal"}, {stopped, ""}} {
		var o outcome
		for range damages(t, 30) {
			damaged := maps.Clone(c.intact)
			length := random.IntN(len(c.intact[c.suffix]))
			damaged[c.suffix] = c.intact[c.suffix][:length]
			o.try(t, e, damaged, reference, fmt.Sprintf("cambio.db%s cut off after %d bytes", c.suffix, length))
		}
		t.Logf("cambio.db%s (%d bytes) of %d files: %v", c.suffix, len(c.intact[c.suffix]), len(c.intact), &o)
	}
}

// TestDamagedLogAlone: without the shared memory, as after a power failure, what
// follows the damage tells of it, unless that is in the last transaction: then
// it is what a power failure leaves of one that nobody was answered for.
func TestDamagedLogAlone(t *testing.T) {
	e, killed, _, reference := seeded(t)
	delete(killed, "-shm")
	var o outcome
	if o.try(t, e, killed, reference, "intact"); o.equal != 1 {
		t.Fatal("an intact database is refused")
	}
	random := rand.New(rand.NewPCG(4, 4))
	n := damages(t, 50)
	for range n {
		at, bit := random.IntN(len(killed["-wal"])/2), random.IntN(8)
		o.try(t, e, killed.flip("-wal", at, bit), reference, fmt.Sprintf("byte %d, bit %d", at, bit))
	}
	if o.refused != n {
		t.Errorf("%d flipped bits: %v", n, &o)
	}
	path := filepath.Join(t.TempDir(), "cambio.db")
	killed["-wal"] = killed["-wal"][:len(killed["-wal"])-100]
	killed.write(t, path)
	open(t, store.Config{Path: path}) // the last frame is not whole
}

// TestWhatDecidesIsInAnIndex: each column of the tables that decide is in an
// index too, so that the check at start notices a change of it, but for those
// that describe.
func TestWhatDecidesIsInAnIndex(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cambio.db")
	open(t, store.Config{Path: path})
	got := columns(t, "sqlite", path, `SELECT m.name || '.' || p.name FROM sqlite_schema m JOIN pragma_table_info(m.name) p
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' AND m.name NOT LIKE 'audit%' AND m.name NOT LIKE 'deleted%'
		AND m.name NOT IN ('change_feed', 'change_head', 'schema_versions', 'duties', 'retired_ids', 'resource_groups', 'issuer_keys')
		AND NOT EXISTS (SELECT 1 FROM pragma_index_list(m.name) l JOIN pragma_index_xinfo(l.name) x
			WHERE l.partial = 0 AND l.origin <> 'pk' AND x.name = p.name)`) // the index of a primary key is the table itself
	describing := strings.Fields(`applications.created_at applications.description applications.display_name
		applications.management_reference applications.notes applications.required_access applications.tags applications.unique_name
		assignments.created_at credentials.created_at credentials.description credentials.language_version identifier_uris.position
		issuers.created_at managed_identities.created_at managed_identities.isolation_scope managed_identities.location
		managed_identities.name managed_identities.resource_group managed_identities.tags owners.created_at
		service_principals.created_at service_principals.description service_principals.display_name service_principals.notes
		service_principals.tags signing_keys.sealed tenant_domains.position tenants.created_at`)
	if !slices.Equal(got, describing) {
		t.Errorf("in no index are\n%s\nwhat decides of these needs one, as in migration 0008; the rest belongs to this test's list", strings.Join(got, "\n"))
	}
}
