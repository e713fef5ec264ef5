package trustapi

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// A tenant that was made one document and then another is what the other one
// alone would have made it, whatever stands in them.
func TestApplyingADifferenceGivesTheOther(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 15
	}
	f := newFixture(t)
	random := rand.New(rand.NewPCG(1, 2))
	refusals, changes := 0, 0
	for round := range rounds {
		text := generate(random)
		a := f.prune(text)
		if a.status != 200 {
			// Roles cannot be taken from an application at once, and identifiers
			// not be used again: whatever the reason, nothing must have happened.
			refusals++
			if a.status >= 500 {
				t.Fatalf("round %d: %d %s\n%s", round, a.status, a.text, text)
			}
			continue
		}
		changes += len(a.Changes)
		if again := f.prune(text); again.status != 200 || len(again.Changes) > 0 {
			t.Fatalf("round %d, a second time: %d %s\n%s", round, again.status, again.text, text)
		}
		got := f.export()
		if p := f.send("POST", "/trust/v1/plan", `{"prune":true,"document":`+got+`}`); p.status != 200 || len(p.Changes) > 0 {
			t.Fatalf("round %d: the export changes something: %s\n%s", round, p.text, got)
		}
		fresh := newFixture(t)
		fresh.prune(text).ok(t, text)
		if want, got := anonymous(fresh, fresh.export()), anonymous(f, got); want != got {
			t.Fatalf("round %d: made step by step:\n%s\nmade at once:\n%s", round, got, want)
		}
	}
	if refusals > rounds/2 || changes < rounds {
		t.Errorf("%d of %d documents were refused, %d changes: the test has lost its sense", refusals, rounds, changes)
	}
}

func (a *answer) ok(t *testing.T, text string) {
	t.Helper()
	if a.status != 200 {
		t.Fatalf("%d %s\n%s", a.status, a.text, text)
	}
}

// anonymous replaces identifiers that were chosen by what they belong to.
func anonymous(f *fixture, text string) string {
	var replace []string
	list, _, err := f.db.ServicePrincipals(f.t.Context(), f.made.TenantID, everything)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, sp := range list {
		replace = append(replace, sp.ID, "sp of "+sp.DisplayName, sp.AppID, "client "+sp.DisplayName)
	}
	apps, _, err := f.db.Applications(f.t.Context(), f.made.TenantID, everything)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, a := range apps {
		replace = append(replace, a.ID, "application "+a.UniqueName, a.AppID, "client "+a.UniqueName) // the derived ids of app roles stay
	}
	return strings.NewReplacer(replace...).Replace(text)
}

// generate makes a document that is complete of what it names, so that what
// was before leaves no trace: every property that differs is written.
func generate(r *rand.Rand) string {
	var b strings.Builder
	b.WriteString("version: 1\nresourceGroups:\n- {name: rg1, location: local, tags: {n: \"" + fmt.Sprint(r.IntN(3)) + "\"}}\n")
	credentials := func(indent string) {
		b.WriteString(indent + "federatedIdentityCredentials:")
		subjects := r.Perm(5)
		names := r.Perm(5)[:r.IntN(4)]
		if len(names) == 0 {
			b.WriteString(" []\n")
			return
		}
		b.WriteString("\n")
		for i, n := range names {
			fmt.Fprintf(&b, "%s- {name: key-%d, issuer: 'https://i%d.example', subject: s-%d, audiences: [a%d], description: d%d}\n", indent, n, r.IntN(2), subjects[i], r.IntN(2), r.IntN(2))
		}
	}
	if r.IntN(2) == 0 {
		b.WriteString("managedIdentities:\n- resourceGroup: rg1\n  name: id1\n  location: local\n  tags: {}\n")
		fmt.Fprintf(&b, "  servicePrincipal: {accountEnabled: %v}\n", r.IntN(2) == 0)
		credentials("  ")
		grants(&b, r)
	}
	b.WriteString("applications:\n")
	uris := r.Perm(4)
	for i := range 4 {
		principal := "servicePrincipal: {appRoleAssignmentRequired: " + fmt.Sprint(r.IntN(2) == 0) + fmt.Sprintf(", owners: [app-%d], description: p%d, notes: n%d}", r.IntN(4), r.IntN(2), r.IntN(2))
		fmt.Fprintf(&b, "- uniqueName: app-%d\n  appId: 0b1c2d3e-0000-4000-8000-00000000000%d\n  displayName: App %d\n  description: d%d\n  identifierUris: ['api://u%d']\n  isDisabled: %v\n  %s\n",
			i, i, i, r.IntN(3), uris[i], r.IntN(2) == 0, principal)
		fmt.Fprintf(&b, "  owners: [app-%d, app-%d]\n", r.IntN(2), 2+r.IntN(2))
		fmt.Fprintf(&b, "  notes: n%d\n  serviceManagementReference: r%d\n  requiredResourceAccess: [", r.IntN(2), r.IntN(2))
		for n := range r.IntN(3) {
			fmt.Fprintf(&b, "{resourceAppId: 0b1c2d3e-0000-4000-8000-00000000000%d, resourceAccess: [{id: 0b1c2d3e-0000-4000-8000-10000000000%d, type: Role}]},", n, r.IntN(3))
		}
		b.WriteString("]\n")
		// Roles come disabled and go disabled, so that any of them may go.
		b.WriteString("  appRoles:\n  - {value: Always, displayName: Always}\n")
		for n := range 2 {
			if r.IntN(2) == 0 {
				fmt.Fprintf(&b, "  - {value: Role.%d, displayName: Role %d, isEnabled: false}\n", n, r.IntN(2))
			}
		}
		credentials("  ")
		grants(&b, r)
	}
	return b.String()
}

func grants(b *strings.Builder, r *rand.Rand) {
	b.WriteString("  appRoleAssignments: [")
	for i := range 4 {
		switch r.IntN(4) {
		case 0:
			fmt.Fprintf(b, "{resource: app-%d},", i)
		case 1:
			fmt.Fprintf(b, "{resource: app-%d, role: Always},", i)
		}
	}
	b.WriteString("]\n")
}
