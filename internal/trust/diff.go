package trust

import (
	"errors"
	"slices"
	"strings"

	"cambio/internal/directory"

	"github.com/google/uuid"
)

// Options are what a comparison depends on beside the document and the
// contents.
type Options struct {
	Tenant directory.Tenant
	// Prune deletes what the document does not name, but for the management
	// resource and everybody who holds a role of it.
	Prune bool
	// CheckIssuer decides whether an issuer may be contacted at all; see
	// directory.ValidateCredential.
	CheckIssuer func(issuer string) error
	// Lint refuses credentials that are new or changed. It gets the values of
	// the app roles that the client will hold, and the reasons of the document.
	// Nil refuses none.
	Lint func(c *directory.FederatedIdentityCredential, roles []string, reasons map[string]string) error
	// ManagementAppID is the appId of the management resource, or "".
	ManagementAppID string
	// CallerID is the service principal for whom the changes are made. It must
	// keep what it needs to undo them. Empty: nobody.
	CallerID string
	// NewID chooses identifiers of new objects; nil: random GUIDs.
	NewID func() string
}

// Plan is what leads from a tenant's contents to those that a document wants.
type Plan struct {
	Changes []Change // in the order in which they can be made
	Kept    []string // what pruning would have deleted but may not
	// Result is what the tenant has after the changes.
	Result *directory.Contents
	// Release are applications of which identifier URIs must be taken before
	// any other application is written, since those get them.
	Release []*directory.Application
}

// Diff compares. Nothing that current points to is changed. The error is of
// type Problems.
func Diff(current *directory.Contents, d *Document, o Options) (*Plan, error) {
	if o.NewID == nil {
		o.NewID = uuid.NewString
	}
	p := &planner{Options: o, world: arrange(current)}
	for i := range d.ResourceGroups {
		p.wantGroup(&d.ResourceGroups[i])
	}
	for i := range d.ManagedIdentities {
		p.wantIdentity(&d.ManagedIdentities[i])
	}
	for i := range d.Applications {
		p.wantApplication(&d.Applications[i])
	}
	if p.Prune {
		p.prune()
	}
	p.grant()
	p.dropGrants()
	if len(p.problems) == 0 {
		p.check()
	}
	if err := p.problems.err(); err != nil {
		return nil, err
	}
	return &Plan{Changes: p.changes(), Kept: p.kept, Result: p.contents(), Release: p.release()}, nil
}

// planner is a comparison in progress.
type planner struct {
	Options
	*world
	problems Problems
	kept     []string
}

// fail notes a mistake in a property, or in the object itself when that is
// empty.
func (p *planner) fail(at place, property, format string, args ...any) {
	path := at.path
	if property != "" {
		path = join(path, property)
	}
	p.problems.add(at.at, path, format, args...)
}

// broken notes that an object breaks a rule of the directory.
func (p *planner) broken(at place, err error) {
	var rule *directory.Error
	if errors.As(err, &rule) {
		p.problems.add(at.at, at.path, "%s", rule.Message)
	} else if err != nil {
		p.problems.add(at.at, at.path, "%s", err.Error())
	}
}

// name marks an object as named by the document.
func (p *planner) name(named *bool, at *place, here place, what string) bool {
	if *named {
		p.fail(here, "", "%s is named twice, here and at %s", what, at.where())
		return false
	}
	*named, *at = true, here
	return true
}

// where is the line of a file, or the path in a document that came without
// one: whoever wrote that has never seen its lines.
func (p place) where() string {
	if p.at.File != "" {
		return p.at.String()
	}
	return p.path
}

func (p *planner) wantGroup(d *ResourceGroup) {
	g := p.byGroup[strings.ToLower(d.Name)]
	if g == nil {
		g = &group{after: &directory.ResourceGroup{TenantID: p.Tenant.ID, SubscriptionID: p.Tenant.ID, Name: d.Name}}
		p.addGroup(g)
	}
	if !p.name(&g.named, &g.place, d.place, "the resource group") {
		return
	}
	after := *g.after
	if d.Location != nil {
		if g.before != nil && !sameLocation(g.before.Location, *d.Location) {
			p.fail(d.place, "location", "the resource group is in '%s' and cannot be moved", g.before.Location)
		} else if g.before == nil {
			after.Location = *d.Location
		}
	}
	if d.Tags != nil {
		after.Tags = d.Tags
	}
	g.after = &after
}

// sameLocation compares regions as ARM does: "West Europe" is westeurope.
func sameLocation(a, b string) bool {
	plain := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, " ", "")) }
	return plain(a) == plain(b)
}

// agree checks an identifier of an object that exists.
func (p *planner) agree(at place, property, is, wanted string) {
	if wanted != "" && wanted != is {
		p.fail(at, property, "%s is %s and cannot change; leave the key out, or write that", property, is)
	}
}

// or returns the identifier that the document chose, or a new one.
func (p *planner) or(id string) string {
	if id != "" {
		return id
	}
	return p.NewID()
}

func (p *planner) wantIdentity(d *ManagedIdentity) {
	e := p.byIdentity[identityKey(d.ResourceGroup, d.Name)]
	if e == nil && d.ClientID == ManagementResource {
		p.fail(d.place, "clientId", "documents call the management resource %s; write another client id, or leave the key out", d.ClientID)
		return
	}
	if e == nil {
		m := directory.ManagedIdentity{TenantID: p.Tenant.ID, SubscriptionID: p.Tenant.ID, ResourceGroup: d.ResourceGroup, Name: d.Name,
			ClientID: p.or(d.ClientID), PrincipalID: p.or(d.PrincipalID)}
		if p.taken(d.place, "clientId", m.ClientID) {
			return
		}
		e = &entry{after: &client{identity: &m, sp: &directory.ServicePrincipal{ID: m.PrincipalID, TenantID: p.Tenant.ID, AppID: m.ClientID,
			Kind: directory.KindManagedIdentity, DisplayName: d.Name, AccountEnabled: true}}}
		p.add(e)
	}
	if !p.name(&e.named, &e.place, d.place, "the managed identity") {
		return
	}
	e.wanted = &wanted{credentials: d.Credentials, assignments: d.Assignments}
	m := *e.after.identity
	p.agree(d.place, "clientId", m.ClientID, d.ClientID)
	p.agree(d.place, "principalId", m.PrincipalID, d.PrincipalID)
	if d.Location != nil {
		if e.before != nil && !sameLocation(m.Location, *d.Location) {
			p.fail(d.place, "location", "the managed identity is in '%s' and cannot be moved", m.Location)
		} else if e.before == nil {
			m.Location = *d.Location
		}
	}
	if d.IsolationScope != nil {
		m.IsolationScope = *d.IsolationScope
	}
	if d.Tags != nil {
		m.Tags = d.Tags
	}
	e.after.identity = &m
	if e.after.sp != nil && d.ServicePrincipal != nil {
		e.after.sp = d.ServicePrincipal.over(e.after.sp)
		e.wanted.spOwners = d.ServicePrincipal.Owners
	}
	p.wantCredentials(e, d.Credentials)
}

// taken reports a client id that another client of the tenant has.
func (p *planner) taken(at place, property, id string) bool {
	other := p.byAppID[id]
	if other == nil {
		return false
	}
	c := other.before
	if c == nil {
		c = other.after
	}
	p.fail(at, property, "%s is the client id of '%s' already", id, c.name())
	return true
}

// over returns a copy with what the document says.
func (d *ServicePrincipal) over(p *directory.ServicePrincipal) *directory.ServicePrincipal {
	after := *p
	if d.Enabled != nil {
		after.AccountEnabled = *d.Enabled
	}
	if d.AssignmentOnly != nil {
		after.AppRoleAssignmentRequired = *d.AssignmentOnly
	}
	if d.Tags != nil {
		after.Tags = d.Tags
	}
	if d.Description != nil {
		after.Description = *d.Description
	}
	if d.Notes != nil {
		after.Notes = *d.Notes
	}
	return &after
}

// findApplication returns the entry that a document's application is about; a
// new one when there is none, and nil after a mistake.
func (p *planner) findApplication(d *Application) *entry {
	if d.UniqueName == "" && d.AppID == "" {
		p.fail(d.place, "", "an application needs a uniqueName, or an appId if it has none")
		return nil
	}
	e := p.byUnique[d.UniqueName]
	if e == nil && d.AppID != "" {
		e = p.byAppID[d.AppID]
	}
	switch {
	case d.AppID != "" && d.AppID == p.ManagementAppID || d.AppID == ManagementResource || e != nil && e.before != nil && e.before.appID() == p.ManagementAppID:
		p.fail(d.place, "", "this is the management resource, which the server keeps itself; leave it out")
		return nil
	case e == nil:
		app := &directory.Application{ID: p.or(d.ID), AppID: p.or(d.AppID), TenantID: p.Tenant.ID, UniqueName: d.UniqueName, SignInAudience: "AzureADMyOrg"}
		e = &entry{after: &client{app: app}}
		p.add(e)
	case e.after.app == nil:
		p.fail(d.place, "appId", "%s is the client id of the managed identity '%s'", d.AppID, e.after.name())
		return nil
	}
	return e
}

func (p *planner) wantApplication(d *Application) {
	e := p.findApplication(d)
	if e == nil || !p.name(&e.named, &e.place, d.place, "the application") {
		return
	}
	e.wanted = &wanted{credentials: d.Credentials, assignments: d.Assignments, appOwners: d.Owners}
	if d.ServicePrincipal != nil {
		e.wanted.spOwners = d.ServicePrincipal.Owners
	}
	app := *e.after.app
	p.agree(d.place, "appId", app.AppID, d.AppID)
	p.agree(d.place, "id", app.ID, d.ID)
	if app.UniqueName != "" {
		p.agree(d.place, "uniqueName", app.UniqueName, d.UniqueName)
	}
	if d.UniqueName != "" {
		app.UniqueName = d.UniqueName
		p.byUnique[d.UniqueName] = e
	}
	d.over(&app)
	if d.AppRoles != nil {
		app.AppRoles = p.roles(d, &app)
	}
	renamed := app.DisplayName != e.after.app.DisplayName
	e.after.app = &app
	p.wantServicePrincipal(e, d, renamed)
	p.wantCredentials(e, d.Credentials)
}

// over sets what the document says of the application's own properties.
func (d *Application) over(app *directory.Application) {
	for _, s := range []struct {
		to   *string
		from *string
	}{{&app.DisplayName, d.DisplayName}, {&app.Description, d.Description}, {&app.SignInAudience, d.SignInAudience},
		{&app.Notes, d.Notes}, {&app.ServiceManagementReference, d.ServiceManagementReference}} {
		if s.from != nil {
			*s.to = *s.from
		}
	}
	if d.IdentifierURIs != nil {
		app.IdentifierURIs = d.IdentifierURIs
	}
	if d.Tags != nil {
		app.Tags = d.Tags
	}
	if d.RequiredResources != nil {
		app.RequiredResourceAccess = d.required()
	}
	if d.Disabled != nil {
		app.Disabled = *d.Disabled
	}
	if d.OptionalClaims != nil && d.OptionalClaims.AccessToken != nil {
		app.OptionalIdtyp = len(d.OptionalClaims.AccessToken) > 0
	}
	if d.API == nil {
		return
	}
	if v := d.API.TokenVersion; v != nil {
		app.API.RequestedAccessTokenVersion = *v
	}
	if v := d.API.SigningAlgorithm; v != nil {
		app.API.AccessTokenSigningAlgorithm = *v
	}
	if v := d.API.Profile; v != nil {
		app.API.AccessTokenProfile = *v
	}
}

func (d *Application) required() []directory.RequiredResourceAccess {
	list := make([]directory.RequiredResourceAccess, len(d.RequiredResources))
	for i, r := range d.RequiredResources {
		list[i].ResourceAppID = r.ResourceAppID
		for _, a := range r.Access {
			list[i].ResourceAccess = append(list[i].ResourceAccess, directory.ResourceAccess{ID: a.ID, Type: a.Type})
		}
	}
	return list
}

// roles are the app roles that a document wants. app is the application as it
// was.
func (p *planner) roles(d *Application, app *directory.Application) []directory.AppRole {
	roles := make([]directory.AppRole, 0, len(d.AppRoles))
	for i := range d.AppRoles {
		r := &d.AppRoles[i]
		role := directory.AppRole{ID: r.ID, Value: r.Value, DisplayName: r.DisplayName, Description: r.Description,
			AllowedMemberTypes: r.AllowedMemberTypes, IsEnabled: r.Enabled == nil || *r.Enabled}
		if role.AllowedMemberTypes == nil {
			role.AllowedMemberTypes = []string{"Application"}
		}
		if role.ID == "" {
			role.ID = p.roleID(r, app)
		}
		roles = append(roles, role)
	}
	return roles
}

func (p *planner) roleID(r *AppRole, app *directory.Application) string {
	if r.Value == "" {
		p.fail(r.place, "", "an app role without a value needs an id")
		return ""
	}
	at := slices.IndexFunc(app.AppRoles, func(known directory.AppRole) bool { return known.Value == r.Value })
	if at >= 0 {
		return app.AppRoles[at].ID
	}
	return DerivedRoleID(app.AppID, r.Value)
}

// DerivedRoleID is the id of a new app role for which the document gives none:
// a version 5 UUID (RFC 9562 §5.5) of the value, in the name space of the
// appId. So the same document makes the same roles wherever it is applied.
func DerivedRoleID(appID, value string) string {
	space, err := uuid.Parse(appID)
	if err != nil {
		return "" // refused by the rules for app roles
	}
	return uuid.NewSHA1(space, []byte("appRoles/"+value)).String()
}

func (p *planner) wantServicePrincipal(e *entry, d *Application, renamed bool) {
	app := e.after.app
	if d.NoServicePrincipal {
		e.after.sp = nil
		return
	}
	wanted := d.ServicePrincipal
	if wanted == nil {
		wanted = &ServicePrincipal{}
	}
	switch {
	case e.after.sp != nil:
		p.agree(d.place, "servicePrincipal.id", e.after.sp.ID, wanted.ID)
		sp := wanted.over(e.after.sp)
		if renamed {
			sp.DisplayName = app.DisplayName // as in the application's home tenant
		}
		e.after.sp = sp
	case e.before == nil || d.ServicePrincipal != nil:
		e.after.sp = wanted.over(&directory.ServicePrincipal{ID: p.or(wanted.ID), TenantID: p.Tenant.ID, AppID: app.AppID,
			Kind: directory.KindApplication, DisplayName: app.DisplayName, AccountEnabled: true})
	}
}

// wantCredentials sets a client's credentials to a list that is present.
func (p *planner) wantCredentials(e *entry, list []Credential) {
	if list == nil {
		return
	}
	known := make(map[string]*directory.FederatedIdentityCredential, len(e.after.credentials))
	for i := range e.after.credentials {
		known[e.after.credentials[i].Name] = &e.after.credentials[i]
	}
	after := make([]directory.FederatedIdentityCredential, 0, len(list))
	for i := range list {
		d := &list[i]
		c := directory.FederatedIdentityCredential{TenantID: p.Tenant.ID, ParentID: e.after.id(), Name: d.Name, Issuer: d.Issuer,
			Subject: d.Subject, Expression: d.expression(), Audiences: d.Audiences, Description: d.Description}
		if before := known[d.Name]; before != nil {
			c.ID, c.CreatedAt = before.ID, before.CreatedAt
			c.Ceilings = before.Ceilings // documents do not speak of them
		} else {
			c.ID = p.NewID()
		}
		after = append(after, c)
	}
	e.after.credentials = after
}
