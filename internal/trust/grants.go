package trust

import (
	"slices"
	"strings"

	"cambio/internal/directory"
)

// prune deletes what the document does not name. A resource group stays while
// an identity stays in it.
func (p *planner) prune() {
	inUse := map[string]bool{}
	for _, e := range p.entries {
		switch {
		case e.named || e.before == nil:
		case e.before.appID() == p.ManagementAppID:
			continue // not worth a word: no document can name it
		case p.administers(e.before):
			p.kept = append(p.kept, kindOf(e.before)+" "+e.before.name())
		default:
			e.after = nil
		}
		if e.after != nil && e.after.identity != nil {
			inUse[strings.ToLower(e.after.identity.ResourceGroup)] = true
		}
	}
	for _, g := range p.groups {
		if !g.named && !inUse[strings.ToLower(g.after.Name)] {
			g.after = nil
		}
	}
	slices.Sort(p.kept)
}

func kindOf(c *client) string {
	if c.identity != nil {
		return KindManagedIdentity
	}
	return KindApplication
}

// administers reports whether a client is the caller or holds a role of the
// management resource.
func (p *planner) administers(c *client) bool {
	if c.sp == nil {
		return false
	}
	management := p.managementSP()
	return c.sp.ID == p.CallerID || slices.ContainsFunc(c.assignments, func(a directory.AppRoleAssignment) bool { return a.ResourceID == management })
}

// managementSP is the management resource's service principal, or "-" when
// there is none.
func (p *planner) managementSP() string {
	if e := p.byAppID[p.ManagementAppID]; e != nil && e.before != nil && e.before.sp != nil {
		return e.before.sp.ID
	}
	return "-"
}

// grant sets the assignments of clients for which the document lists them. It
// comes after everything that a list can refer to.
func (p *planner) grant() {
	uris := map[string]*entry{}
	for _, e := range p.entries {
		if e.after == nil || e.after.app == nil {
			continue
		}
		for _, u := range e.after.app.IdentifierURIs {
			uris[u] = e
		}
	}
	for _, e := range p.entries {
		if e.wanted == nil || e.after == nil {
			continue
		}
		e.after.appOwners = p.owners(e, e.wanted.appOwners, e.after.appOwners)
		e.after.spOwners = p.owners(e, e.wanted.spOwners, e.after.spOwners)
		if e.after.sp == nil {
			if len(e.wanted.assignments) > 0 {
				p.fail(e.place, "appRoleAssignments", "only a service principal can hold app roles, and this application has none; say servicePrincipal: {}")
			}
			e.after.assignments = nil
			continue
		}
		if e.wanted.assignments != nil {
			p.setGrants(e, uris)
		}
	}
}

// owners are the service principals that a list names; those that there are
// when there is no list.
func (p *planner) owners(e *entry, list, before []string) []string {
	if list == nil {
		return before
	}
	after := make([]string, 0, len(list))
	for _, name := range list {
		var found []*entry
		for _, o := range []*entry{p.byUnique[name], p.byAppID[strings.ToLower(name)], p.byIdentity[strings.ToLower(name)]} {
			if o != nil && !slices.Contains(found, o) {
				found = append(found, o)
			}
		}
		switch {
		case len(found) > 1:
			p.fail(e.place, "owners", "'%s' names two clients; write the appId", shorten(name))
		case len(found) == 0 || found[0].after == nil || found[0].after.sp == nil:
			p.fail(e.place, "owners", "no client with a service principal is called '%s'", shorten(name))
		case slices.Contains(after, found[0].after.sp.ID):
			p.fail(e.place, "owners", "'%s' is listed twice", shorten(name))
		default:
			after = append(after, found[0].after.sp.ID)
		}
	}
	return after
}

type grantKey struct{ resource, role string }

func (p *planner) setGrants(e *entry, uris map[string]*entry) {
	held := make(map[grantKey]directory.AppRoleAssignment, len(e.after.assignments))
	for _, a := range e.after.assignments {
		held[grantKey{a.ResourceID, strings.ToLower(a.AppRoleID)}] = a
	}
	seen := make(map[grantKey]bool, len(e.wanted.assignments))
	after := make([]directory.AppRoleAssignment, 0, len(e.wanted.assignments))
	for i := range e.wanted.assignments {
		d := &e.wanted.assignments[i]
		resource := p.resource(d, uris)
		if resource == nil {
			continue
		}
		role := p.role(d, resource)
		if role == nil {
			continue
		}
		key := grantKey{resource.after.sp.ID, strings.ToLower(role.ID)}
		a, ok := held[key]
		switch {
		case seen[key]:
			p.fail(d.place, "", "the same app role of the same resource is listed twice")
			continue
		case !ok && (!role.IsEnabled || !slices.Contains(role.AllowedMemberTypes, "Application")):
			p.fail(d.place, "role", "the app role '%s' is disabled, or not meant for applications", shorten(d.Role))
			continue
		case !ok:
			a = directory.AppRoleAssignment{TenantID: p.Tenant.ID, PrincipalID: e.after.sp.ID, ResourceID: key.resource, AppRoleID: key.role}
		}
		seen[key] = true
		after = append(after, a)
	}
	e.after.assignments = after
}

// resource finds what an assignment refers to.
func (p *planner) resource(d *Assignment, uris map[string]*entry) *entry {
	id := d.Resource
	if strings.EqualFold(id, ManagementResource) {
		id = p.ManagementAppID
	}
	var found *entry
	for _, e := range []*entry{p.byUnique[id], p.byAppID[strings.ToLower(id)], uris[id]} {
		switch {
		case e == nil || e == found:
		case found != nil:
			p.fail(d.place, "resource", "'%s' names two applications, '%s' and '%s'; write the appId", shorten(id), found.name(), e.name())
			return nil
		default:
			found = e
		}
	}
	switch {
	case found == nil || id == "":
		p.fail(d.place, "resource", "no application has the uniqueName, identifier URI or appId '%s'", shorten(d.Resource))
	case found.after == nil:
		p.fail(d.place, "resource", "'%s' would be deleted, since the document does not name it", shorten(d.Resource))
	case found.after.sp == nil:
		p.fail(d.place, "resource", "'%s' has no service principal, so nobody can hold its app roles", shorten(d.Resource))
	default:
		return found
	}
	return nil
}

func (e *entry) name() string {
	if e.after != nil {
		return e.after.name()
	}
	return e.before.name()
}

// role finds an app role by its value or else its id. Without either it is
// access without a role.
func (p *planner) role(d *Assignment, resource *entry) *directory.AppRole {
	if d.Role == "" || d.Role == directory.DefaultAppRoleID {
		return &directory.AppRole{ID: directory.DefaultAppRoleID, IsEnabled: true, AllowedMemberTypes: []string{"Application"}}
	}
	if resource.after.app != nil {
		roles := resource.after.app.AppRoles
		for _, same := range []func(r *directory.AppRole) bool{
			func(r *directory.AppRole) bool { return r.Value == d.Role },
			func(r *directory.AppRole) bool { return strings.EqualFold(r.ID, d.Role) },
		} {
			for i := range roles {
				if same(&roles[i]) {
					return &roles[i]
				}
			}
		}
	}
	p.fail(d.place, "role", "'%s' has no app role with the value or id '%s'", resource.name(), shorten(d.Role))
	return nil
}

// dropGrants takes away assignments of roles and resources that will be gone,
// and owners that will.
func (p *planner) dropGrants() {
	there := map[string]bool{}     // service principals that stay
	removed := map[grantKey]bool{} // roles that go
	for _, e := range p.entries {
		if e.after == nil || e.after.sp == nil {
			continue
		}
		there[e.after.sp.ID] = true
		if e.before == nil || e.before.app == nil {
			continue
		}
		for _, r := range e.before.app.AppRoles {
			if !slices.ContainsFunc(e.after.app.AppRoles, func(s directory.AppRole) bool { return strings.EqualFold(r.ID, s.ID) }) {
				removed[grantKey{e.after.sp.ID, strings.ToLower(r.ID)}] = true
			}
		}
	}
	for _, e := range p.entries {
		if e.after == nil {
			continue
		}
		gone := func(id string) bool { return !there[id] }
		e.after.appOwners = slices.DeleteFunc(slices.Clone(e.after.appOwners), gone)
		if e.after.sp == nil {
			e.after.spOwners = nil
			continue
		}
		e.after.spOwners = slices.DeleteFunc(slices.Clone(e.after.spOwners), gone)
		after := make([]directory.AppRoleAssignment, 0, len(e.after.assignments))
		for _, a := range e.after.assignments {
			if there[a.ResourceID] && !removed[grantKey{a.ResourceID, strings.ToLower(a.AppRoleID)}] {
				after = append(after, a)
			}
		}
		e.after.assignments = after
	}
}
