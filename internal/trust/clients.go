package trust

import (
	"cmp"
	"slices"
	"strings"

	"cambio/internal/directory"
)

// client is an application or a managed identity with all that belongs to it.
// What it points to is never changed, only replaced.
type client struct {
	app         *directory.Application     // nil for a managed identity
	identity    *directory.ManagedIdentity // nil for an application
	sp          *directory.ServicePrincipal
	credentials []directory.FederatedIdentityCredential // in order of name
	assignments []directory.AppRoleAssignment           // that it holds
	appOwners   []string                                // service principals that own the application
	spOwners    []string                                // those that own its service principal
}

// name is how messages and plans call a client: an appId alone tells a person
// nothing.
func (c *client) name() string {
	if c.app != nil && c.app.UniqueName == "" {
		return c.app.DisplayName + " (" + c.app.AppID + ")"
	}
	return c.reference()
}

// reference is how documents refer to a client.
func (c *client) reference() string {
	switch {
	case c.identity != nil:
		return c.identity.ResourceGroup + "/" + c.identity.Name
	case c.app.UniqueName != "":
		return c.app.UniqueName
	}
	return c.app.AppID
}

// id is the object id that credentials name as their parent.
func (c *client) id() string {
	if c.identity != nil {
		return c.identity.PrincipalID
	}
	return c.app.ID
}

func (c *client) ownership(object, owner string) directory.Ownership {
	o := directory.Ownership{ObjectID: object, OwnerID: owner}
	if c.app != nil {
		o.TenantID = c.app.TenantID
		return o
	}
	o.TenantID = c.identity.TenantID
	return o
}

func (c *client) appID() string {
	if c.identity != nil {
		return c.identity.ClientID
	}
	return c.app.AppID
}

// entry is a client before and after the changes; nil where it does not exist.
type entry struct {
	before, after *client
	place                 // in the document
	named         bool    // the document names it
	wanted        *wanted // nil when it is not named
}

// wanted is what a document says of both kinds of client.
type wanted struct {
	credentials         []Credential
	assignments         []Assignment
	appOwners, spOwners []string
}

// group is a resource group before and after.
type group struct {
	before, after *directory.ResourceGroup
	place
	named bool
}

// world is a tenant's contents, arranged by client.
type world struct {
	groups  []*group
	entries []*entry

	byAppID    map[string]*entry // also client ids of identities
	byUnique   map[string]*entry
	byIdentity map[string]*entry // resource group/name in lower case
	byParent   map[string]*entry // application id or principal id
	byGroup    map[string]*group // name in lower case
}

func identityKey(resourceGroup, name string) string {
	return strings.ToLower(resourceGroup) + "/" + strings.ToLower(name)
}

// arrange takes a tenant's contents apart. Both sides of each entry are what
// there is.
func arrange(c *directory.Contents) *world {
	w := &world{byAppID: map[string]*entry{}, byUnique: map[string]*entry{}, byIdentity: map[string]*entry{},
		byParent: map[string]*entry{}, byGroup: map[string]*group{}}
	for i := range c.ResourceGroups {
		g := &c.ResourceGroups[i]
		w.addGroup(&group{before: g, after: g})
	}
	for i := range c.Applications {
		w.add(&entry{before: &client{app: &c.Applications[i]}})
	}
	for i := range c.ManagedIdentities {
		w.add(&entry{before: &client{identity: &c.ManagedIdentities[i]}})
	}
	bySP := make(map[string]*entry, len(c.ServicePrincipals))
	for i := range c.ServicePrincipals {
		if e := w.byAppID[c.ServicePrincipals[i].AppID]; e != nil {
			e.before.sp = &c.ServicePrincipals[i]
			bySP[c.ServicePrincipals[i].ID] = e
		}
	}
	for _, x := range c.Credentials {
		if e := w.byParent[x.ParentID]; e != nil {
			e.before.credentials = append(e.before.credentials, x)
		}
	}
	for _, x := range c.Assignments {
		if e := bySP[x.PrincipalID]; e != nil {
			e.before.assignments = append(e.before.assignments, x)
		}
	}
	for _, o := range c.Owners {
		if e := w.byParent[o.ObjectID]; e != nil && e.before.app != nil {
			e.before.appOwners = append(e.before.appOwners, o.OwnerID)
		} else if e := bySP[o.ObjectID]; e != nil {
			e.before.spOwners = append(e.before.spOwners, o.OwnerID)
		}
	}
	for _, e := range w.entries {
		slices.SortFunc(e.before.credentials, func(a, b directory.FederatedIdentityCredential) int { return cmp.Compare(a.Name, b.Name) })
		after := *e.before
		e.after = &after
	}
	return w
}

func (w *world) addGroup(g *group) {
	w.groups = append(w.groups, g)
	known := g.before
	if known == nil {
		known = g.after
	}
	w.byGroup[strings.ToLower(known.Name)] = g
}

// add indexes a client by what it is or will be.
func (w *world) add(e *entry) {
	w.entries = append(w.entries, e)
	c := e.before
	if c == nil {
		c = e.after
	}
	w.byAppID[c.appID()] = e
	w.byParent[c.id()] = e
	if c.identity != nil {
		w.byIdentity[identityKey(c.identity.ResourceGroup, c.identity.Name)] = e
	} else if c.app.UniqueName != "" {
		w.byUnique[c.app.UniqueName] = e
	}
}

// contents puts the after side together again.
func (w *world) contents() *directory.Contents {
	c := &directory.Contents{}
	for _, g := range w.groups {
		if g.after != nil {
			c.ResourceGroups = append(c.ResourceGroups, *g.after)
		}
	}
	for _, e := range w.entries {
		if e.after == nil {
			continue
		}
		if e.after.app != nil {
			c.Applications = append(c.Applications, *e.after.app)
		}
		if e.after.identity != nil {
			c.ManagedIdentities = append(c.ManagedIdentities, *e.after.identity)
		}
		if e.after.sp != nil {
			c.ServicePrincipals = append(c.ServicePrincipals, *e.after.sp)
		}
		c.Credentials = append(c.Credentials, e.after.credentials...)
		c.Assignments = append(c.Assignments, e.after.assignments...)
		for _, owner := range e.after.appOwners {
			c.Owners = append(c.Owners, e.after.ownership(e.after.app.ID, owner))
		}
		for _, owner := range e.after.spOwners {
			c.Owners = append(c.Owners, e.after.ownership(e.after.sp.ID, owner))
		}
	}
	return c
}

// sorted returns the entries in the order of documents: identities by group
// and name, then applications by uniqueName, those without one last.
func (w *world) sorted() []*entry {
	list := slices.Clone(w.entries)
	key := func(e *entry) [4]string {
		c := e.after
		if c == nil {
			c = e.before
		}
		switch {
		case c.identity != nil:
			return [4]string{"0", strings.ToLower(c.identity.ResourceGroup), strings.ToLower(c.identity.Name), ""}
		case c.app.UniqueName != "":
			return [4]string{"1", c.app.UniqueName}
		}
		return [4]string{"2", strings.ToLower(c.app.DisplayName), c.app.AppID}
	}
	keys := make(map[*entry][4]string, len(list))
	for _, e := range list {
		keys[e] = key(e)
	}
	slices.SortFunc(list, func(a, b *entry) int {
		ka, kb := keys[a], keys[b]
		return slices.Compare(ka[:], kb[:])
	})
	return list
}
