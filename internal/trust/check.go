package trust

import (
	"reflect"
	"slices"
	"strings"

	"cambio/internal/directory"
)

// check applies the directory's rules to everything that is new or changed.
func (p *planner) check() {
	for _, g := range p.groups {
		if g.named && !reflect.DeepEqual(g.before, g.after) {
			p.broken(g.place, directory.ValidateResourceGroup(g.after))
		}
	}
	ids, uris := map[string]*entry{}, map[string]*entry{}
	for _, e := range p.entries {
		if e.after == nil {
			continue
		}
		p.unique(e, ids, uris)
		if e.named {
			p.checkClient(e)
			p.checkCredentials(e)
		}
	}
	p.checkCaller()
}

// unique checks that no two clients have an object id or an identifier URI in
// common.
func (p *planner) unique(e *entry, ids, uris map[string]*entry) {
	claim := func(in map[string]*entry, key, what string) {
		if other := in[key]; other != nil {
			at := e.place
			if !e.named {
				at = other.place
			}
			p.fail(at, "", "%s '%s' belongs to both '%s' and '%s'", what, shorten(key), other.name(), e.name())
		}
		in[key] = e
	}
	claim(ids, e.after.id(), "the object id")
	if e.after.app == nil {
		return
	}
	if e.after.sp != nil {
		claim(ids, e.after.sp.ID, "the object id")
	}
	for i, u := range e.after.app.IdentifierURIs {
		if !slices.Contains(e.after.app.IdentifierURIs[:i], u) { // a repeated one is told by the rules
			claim(uris, u, "the identifier URI")
		}
	}
}

func (p *planner) checkClient(e *entry) {
	before := &client{}
	if e.before != nil {
		before = e.before
	}
	if m := e.after.identity; m != nil {
		if g := p.byGroup[strings.ToLower(m.ResourceGroup)]; g == nil || g.after == nil {
			p.fail(e.place, "resourceGroup", "the resource group '%s' does not exist; list it in resourceGroups", shorten(m.ResourceGroup))
		}
		if !reflect.DeepEqual(before.identity, m) {
			p.broken(e.place, directory.ValidateManagedIdentity(m))
		}
	}
	if app := e.after.app; app != nil && !reflect.DeepEqual(before.app, app) {
		p.broken(e.place, directory.ValidateApplication(app, before.app, &p.Tenant))
		if before.app != nil {
			p.broken(e.place, directory.CheckRoleRemoval(before.app.AppRoles, app.AppRoles))
		}
	}
	if sp := e.after.sp; sp != nil && sp.DisplayName != "" && !reflect.DeepEqual(before.sp, sp) {
		p.broken(e.place, directory.ValidateServicePrincipal(sp))
	}
}

func (p *planner) checkCredentials(e *entry) {
	if e.wanted.credentials == nil {
		return
	}
	known := map[string]*directory.FederatedIdentityCredential{}
	if e.before != nil {
		for i := range e.before.credentials {
			known[e.before.credentials[i].ID] = &e.before.credentials[i]
		}
	}
	type trust struct{ issuer, subject, expression string }
	names, trusts, flexible := map[string]bool{}, map[trust]string{}, 0
	for i := range e.after.credentials {
		c, at := &e.after.credentials[i], e.wanted.credentials[i].place
		if before := known[c.ID]; before == nil || !sameCredential(before, c) {
			p.broken(at, directory.ValidateCredential(c, p.Tenant.Compat, p.CheckIssuer))
			if p.Lint != nil && (before == nil || !before.TrustsSame(c)) {
				p.broken(at, p.Lint(c, p.roleValues(e), e.wanted.credentials[i].LintOverrides))
			}
		}
		if names[c.Name] {
			p.fail(at, "name", "the name '%s' is used twice", shorten(c.Name))
		}
		names[c.Name] = true
		key := trust{c.Issuer, c.Subject, ""}
		if c.Expression != nil {
			key.expression = c.Expression.Value
			flexible++
		}
		if other := trusts[key]; other != "" {
			p.fail(at, "", "issuer and subject, or expression, are those of '%s' already", shorten(other))
		}
		trusts[key] = c.Name
	}
	if flexible > directory.MaxFlexibleCredentials {
		p.fail(e.place, "federatedIdentityCredentials", "may hold at most %d entries with a claimsMatchingExpression; this one holds %d", directory.MaxFlexibleCredentials, flexible)
	}
	if n := len(e.after.credentials); p.Tenant.Compat == directory.Strict && n > directory.MaxStrictCredentials && n > len(known) {
		p.fail(e.place, "federatedIdentityCredentials", "may hold at most %d entries in this tenant; this one holds %d", directory.MaxStrictCredentials, n)
	}
}

// roleValues are the values of the app roles that a client will hold.
func (p *planner) roleValues(e *entry) []string {
	var out []string
	for _, a := range e.after.assignments {
		value := ""
		for _, other := range p.entries {
			if other.after == nil || other.after.app == nil || other.after.sp == nil || other.after.sp.ID != a.ResourceID {
				continue
			}
			if i := slices.IndexFunc(other.after.app.AppRoles, func(r directory.AppRole) bool { return r.ID == a.AppRoleID }); i >= 0 {
				value = other.after.app.AppRoles[i].Value
			}
		}
		out = append(out, value)
	}
	return out
}

func sameCredential(a, b *directory.FederatedIdentityCredential) bool {
	if (a.Expression == nil) != (b.Expression == nil) || a.Expression != nil && *a.Expression != *b.Expression {
		return false
	}
	return a.Name == b.Name && a.Issuer == b.Issuer && a.Subject == b.Subject && a.Description == b.Description && slices.Equal(a.Audiences, b.Audiences)
}

// checkCaller refuses changes after which the caller could not make any more:
// nobody may lock himself out with a file.
func (p *planner) checkCaller() {
	at := slices.IndexFunc(p.entries, func(e *entry) bool { return e.before != nil && e.before.sp != nil && e.before.sp.ID == p.CallerID })
	if at < 0 || p.CallerID == "" {
		return
	}
	e := p.entries[at]
	const advice = "; the caller would lock itself out. Let another administrator make this change"
	if e.after == nil || e.after.sp == nil || e.after.app != nil && e.after.app.Disabled || !e.after.sp.AccountEnabled {
		p.fail(e.place, "", "this would delete or disable the client that is applying the document"+advice)
		return
	}
	management := p.managementSP()
	for _, a := range e.before.assignments {
		if a.ResourceID == management && !slices.ContainsFunc(e.after.assignments, func(b directory.AppRoleAssignment) bool { return a.ID == b.ID }) {
			p.fail(e.place, "appRoleAssignments", "this would take app roles of the management resource from the client that is applying the document"+advice)
			return
		}
	}
	kept := slices.ContainsFunc(e.before.credentials, func(a directory.FederatedIdentityCredential) bool {
		return slices.ContainsFunc(e.after.credentials, func(b directory.FederatedIdentityCredential) bool { return a.ID == b.ID && sameCredential(&a, &b) })
	})
	if len(e.before.credentials) > 0 && !kept {
		p.fail(e.place, "federatedIdentityCredentials", "this would take every credential that it has now from the client that is applying the document"+advice)
	}
}
