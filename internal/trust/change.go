package trust

import (
	"reflect"
	"slices"

	"cambio/internal/directory"
)

// Actions of a change.
const (
	Create = "create"
	Update = "update"
	Delete = "delete"
)

// Kinds of object that change.
const (
	KindResourceGroup    = "resourceGroup"
	KindManagedIdentity  = "managedIdentity"
	KindApplication      = "application"
	KindServicePrincipal = "servicePrincipal"
	KindCredential       = "federatedIdentityCredential"
	KindAssignment       = "appRoleAssignment"

	KindApplicationOwner      = "application.owner"
	KindServicePrincipalOwner = "servicePrincipal.owner"
)

// Change is one object that is created, updated or deleted. What belongs to a
// deleted client goes with it and is not listed, but for assignments.
type Change struct {
	Action     string
	Kind       string
	Name       string // of the object, after that of its client
	Properties []Property
	// Object is a *directory.Application, *directory.FederatedIdentityCredential
	// and so on: as it will be, or was.
	Object any
}

// Property is one property of a change, with its values as JSON. Old is empty
// for what is created, New for what is deleted.
type Property struct{ Name, Old, New string }

// changes lists them in an order that the store accepts: what goes, before
// what may need its names; then each object after those it refers to.
func (p *planner) changes() []Change {
	names := p.resourceNames(p.ManagementAppID)
	entries := p.sorted()
	c := &changes{}
	for _, e := range entries {
		c.takeAway(e, names)
	}
	for _, e := range entries {
		c.deleteClient(e)
	}
	c.groups(p.groups, true)
	c.groups(p.groups, false)
	for _, e := range entries {
		c.putClient(e)
	}
	for _, e := range entries {
		c.credentials(e)
	}
	for _, e := range entries {
		c.give(e, names)
	}
	return c.list
}

type changes struct{ list []Change }

// put notes a change of an object if there is one. before and after are its
// properties; nil where it does not exist.
func (c *changes) put(kind, name string, before, after []field, what any) {
	old, new := node{kind: object}, node{kind: object}
	action := Update
	if before != nil {
		old = writeObject(before)
	} else {
		action = Create
	}
	if after != nil {
		new = writeObject(after)
	} else {
		action = Delete
	}
	properties := compare("", &old, &new)
	if action == Update && len(properties) == 0 {
		return
	}
	c.list = append(c.list, Change{action, kind, name, properties, what})
}

// compare lists the members in which two objects differ; those of objects
// inside are listed by themselves.
func compare(prefix string, old, new *node) []Property {
	var list []Property
	for _, name := range union(old.names, new.names) {
		a, inOld := old.value(name)
		b, inNew := new.value(name)
		if !inOld {
			a = &node{kind: null}
		}
		if !inNew {
			b = &node{kind: null}
		}
		switch {
		case a.equal(b):
		case (a.kind == object || !inOld) && b.kind == object || a.kind == object && !inNew:
			list = append(list, compare(join(prefix, name), a, b)...)
		default:
			list = append(list, Property{join(prefix, name), a.json(inOld), b.json(inNew)})
		}
	}
	return list
}

func (n *node) json(present bool) string {
	if !present {
		return ""
	}
	return string(n.appendJSON(nil))
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, name := range b {
		if !slices.Contains(a, name) {
			out = append(out, name)
		}
	}
	return out
}

// takeAway deletes assignments that are no more.
func (c *changes) takeAway(e *entry, names resourceNames) {
	if e.before == nil {
		return
	}
	for i := range e.before.assignments {
		a := &e.before.assignments[i]
		if e.after == nil || !slices.ContainsFunc(e.after.assignments, func(b directory.AppRoleAssignment) bool { return a.ID == b.ID }) {
			d := names.assignment(a)
			c.put(KindAssignment, e.before.name(), d.fields(), nil, a)
		}
	}
	if e.after != nil { // else they go with what they own
		c.owners(e.before, e.after, names, true)
	}
}

func (c *changes) give(e *entry, names resourceNames) {
	if e.after == nil {
		return
	}
	for i := range e.after.assignments {
		if a := &e.after.assignments[i]; a.ID == "" {
			d := names.assignment(a)
			c.put(KindAssignment, e.after.name(), nil, d.fields(), a)
		}
	}
	before := e.before
	if before == nil {
		before = &client{}
	}
	c.owners(e.after, before, names, false)
}

// owners lists those of one state of a client that the other state has not.
func (c *changes) owners(of, other *client, names resourceNames, deleted bool) {
	list := func(kind, object string, owners, others []string) {
		for _, owner := range owners {
			if slices.Contains(others, owner) {
				continue
			}
			o, name := of.ownership(object, owner), names.client(owner)
			fields := []field{plain("owner", &name, rule{}, "")}
			if deleted {
				c.put(kind, of.name(), fields, nil, &o)
			} else {
				c.put(kind, of.name(), nil, fields, &o)
			}
		}
	}
	if of.app != nil {
		list(KindApplicationOwner, of.app.ID, of.appOwners, other.appOwners)
	}
	if of.sp != nil {
		list(KindServicePrincipalOwner, of.sp.ID, of.spOwners, other.spOwners)
	}
}

// deleteClient deletes a client, or an application's service principal.
func (c *changes) deleteClient(e *entry) {
	b := e.before
	if b == nil {
		return
	}
	switch {
	case e.after == nil && b.identity != nil:
		d := identityDocument(b.identity)
		c.put(KindManagedIdentity, b.name(), d.own(), nil, b.identity)
	case e.after == nil:
		d := applicationDocument(b.app)
		c.put(KindApplication, b.name(), d.own(), nil, b.app)
	case b.sp != nil && e.after.sp == nil:
		c.put(KindServicePrincipal, b.name(), servicePrincipalDocument(b.sp).fields(), nil, b.sp)
	}
}

func (c *changes) groups(groups []*group, deleted bool) {
	for _, g := range groups {
		var before []field
		if g.before != nil {
			d := groupDocument(g.before)
			before = d.fields()
		}
		switch {
		case deleted && g.after == nil:
			c.put(KindResourceGroup, g.before.Name, before, nil, g.before)
		case !deleted && g.after != nil && !reflect.DeepEqual(g.before, g.after):
			d := groupDocument(g.after)
			c.put(KindResourceGroup, g.after.Name, before, d.fields(), g.after)
		}
	}
}

// putClient creates or updates a client and its service principal.
func (c *changes) putClient(e *entry) {
	if e.after == nil {
		return
	}
	before, after := e.before, e.after
	if before == nil {
		before = &client{}
	}
	switch {
	case after.identity != nil && !reflect.DeepEqual(before.identity, after.identity):
		var old []field
		if before.identity != nil {
			d := identityDocument(before.identity)
			old = d.own()
		}
		d := identityDocument(after.identity)
		c.put(KindManagedIdentity, after.name(), old, d.own(), after.identity)
	case after.app != nil && !reflect.DeepEqual(before.app, after.app):
		var old []field
		if before.app != nil {
			d := applicationDocument(before.app)
			old = d.own()
		}
		d := applicationDocument(after.app)
		c.put(KindApplication, after.name(), old, d.own(), after.app)
	}
	c.putServicePrincipal(before, after)
}

// putServicePrincipal: that of a new identity is made with the identity, and
// is only listed when it differs from what is made.
func (c *changes) putServicePrincipal(before, after *client) {
	if after.sp == nil || reflect.DeepEqual(before.sp, after.sp) {
		return
	}
	old := before.sp
	if old == nil && after.identity != nil {
		old = &directory.ServicePrincipal{ID: after.sp.ID, AccountEnabled: true, DisplayName: after.sp.DisplayName}
	}
	d := servicePrincipalDocument(after.sp)
	if old == nil {
		c.put(KindServicePrincipal, after.name(), nil, d.fields(), after.sp)
		return
	}
	named := func(p *directory.ServicePrincipal, fields []field) []field {
		return append(fields, plain("displayName", &p.DisplayName, rule{}, ""))
	}
	c.put(KindServicePrincipal, after.name(), named(old, servicePrincipalDocument(old).fields()), named(after.sp, d.fields()), after.sp)
}

// credentials of one client follow each other, those that go first.
func (c *changes) credentials(e *entry) {
	if e.after == nil {
		return
	}
	known := map[string]*directory.FederatedIdentityCredential{}
	if e.before != nil {
		stay := make(map[string]bool, len(e.after.credentials))
		for i := range e.after.credentials {
			stay[e.after.credentials[i].ID] = true
		}
		for i := range e.before.credentials {
			b := &e.before.credentials[i]
			if known[b.ID] = b; !stay[b.ID] {
				d := credentialDocument(b)
				c.put(KindCredential, e.after.name()+"/"+b.Name, d.fields(), nil, b)
			}
		}
	}
	for i := range e.after.credentials {
		a := &e.after.credentials[i]
		b := known[a.ID]
		if b != nil && sameCredential(b, a) {
			continue
		}
		var old []field
		if b != nil {
			d := credentialDocument(b)
			old = d.fields()
		}
		d := credentialDocument(a)
		c.put(KindCredential, e.after.name()+"/"+a.Name, old, d.fields(), a)
	}
}

// release lists applications that give identifier URIs to others, as they are
// with what stays theirs.
func (p *planner) release() []*directory.Application {
	gains := map[string]bool{}
	for _, e := range p.entries {
		if e.after == nil || e.after.app == nil {
			continue
		}
		for _, u := range e.after.app.IdentifierURIs {
			if e.before == nil || !slices.Contains(e.before.app.IdentifierURIs, u) {
				gains[u] = true
			}
		}
	}
	var list []*directory.Application
	for _, e := range p.entries {
		if len(gains) == 0 || e.before == nil || e.after == nil || e.before.app == nil {
			continue
		}
		if !slices.ContainsFunc(e.before.app.IdentifierURIs, func(u string) bool {
			return gains[u] && !slices.Contains(e.after.app.IdentifierURIs, u)
		}) {
			continue
		}
		app := *e.before.app
		app.IdentifierURIs = slices.DeleteFunc(slices.Clone(app.IdentifierURIs), func(u string) bool {
			return !slices.Contains(e.after.app.IdentifierURIs, u)
		})
		list = append(list, &app)
	}
	return list
}
