package trust

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"cambio/internal/directory"
)

// Export is the document of what a tenant has: every property and identifier
// that a document can say, but the management resource, which the server
// keeps itself. The same contents give the same document.
func Export(c *directory.Contents, managementAppID string) *Document {
	w := arrange(c)
	names := w.resourceNames(managementAppID)
	d := &Document{ResourceGroups: []ResourceGroup{}, ManagedIdentities: []ManagedIdentity{}, Applications: []Application{}}
	for _, g := range w.groups {
		d.ResourceGroups = append(d.ResourceGroups, groupDocument(g.after))
	}
	slices.SortFunc(d.ResourceGroups, func(a, b ResourceGroup) int {
		return cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	})
	for _, e := range w.sorted() {
		c := e.after
		switch {
		case c.identity != nil:
			m := identityDocument(c.identity)
			if m.ServicePrincipal = servicePrincipalDocument(c.sp); c.sp != nil {
				m.ServicePrincipal.Owners = names.clients(c.spOwners)
			}
			m.Credentials, m.Assignments = credentialDocuments(c), names.assignments(c)
			d.ManagedIdentities = append(d.ManagedIdentities, m)
		case c.app.AppID != managementAppID:
			a := applicationDocument(c.app)
			a.ServicePrincipal, a.NoServicePrincipal = servicePrincipalDocument(c.sp), c.sp == nil
			a.Credentials, a.Assignments = credentialDocuments(c), names.assignments(c)
			a.Owners = names.clients(c.appOwners)
			if a.NoServicePrincipal {
				a.Assignments = nil // there is nobody to hold one
			} else {
				a.ServicePrincipal.Owners = names.clients(c.spOwners)
			}
			d.Applications = append(d.Applications, a)
		}
	}
	return d
}

// Fingerprint identifies what a tenant has: two states with the same one give
// the same document.
func Fingerprint(d *Document) string {
	sum := sha256.Sum256(d.JSON())
	return hex.EncodeToString(sum[:16])
}

func groupDocument(g *directory.ResourceGroup) ResourceGroup {
	return ResourceGroup{Name: g.Name, Location: &g.Location, Tags: tagsOf(g.Tags)}
}

func tagsOf(tags map[string]string) map[string]string {
	if tags == nil {
		return map[string]string{}
	}
	return tags
}

func list0(values []string) []string {
	if values == nil {
		return []string{}
	}
	return values
}

func identityDocument(m *directory.ManagedIdentity) ManagedIdentity {
	scope := m.IsolationScope
	if scope == "" {
		scope = "None"
	}
	return ManagedIdentity{ResourceGroup: m.ResourceGroup, Name: m.Name, ClientID: m.ClientID, PrincipalID: m.PrincipalID,
		Location: &m.Location, IsolationScope: &scope, Tags: tagsOf(m.Tags)}
}

func applicationDocument(a *directory.Application) Application {
	d := Application{UniqueName: a.UniqueName, AppID: a.AppID, ID: a.ID, DisplayName: &a.DisplayName, Description: &a.Description,
		Notes: &a.Notes, ServiceManagementReference: &a.ServiceManagementReference, RequiredResources: requiredDocuments(a.RequiredResourceAccess),
		SignInAudience: &a.SignInAudience, IdentifierURIs: list0(a.IdentifierURIs), Tags: list0(a.Tags), Disabled: &a.Disabled,
		API: &API{TokenVersion: &a.API.RequestedAccessTokenVersion, SigningAlgorithm: &a.API.AccessTokenSigningAlgorithm,
			Profile: &a.API.AccessTokenProfile},
		OptionalClaims: &OptionalClaims{AccessToken: []OptionalClaim{}}, AppRoles: []AppRole{}}
	if a.OptionalIdtyp {
		d.OptionalClaims.AccessToken = []OptionalClaim{{Name: "idtyp"}}
	}
	for i := range a.AppRoles {
		r := &a.AppRoles[i]
		d.AppRoles = append(d.AppRoles, AppRole{ID: r.ID, Value: r.Value, DisplayName: r.DisplayName, Description: r.Description,
			AllowedMemberTypes: list0(r.AllowedMemberTypes), Enabled: &r.IsEnabled})
	}
	return d
}

func requiredDocuments(resources []directory.RequiredResourceAccess) []RequiredResource {
	list := make([]RequiredResource, len(resources))
	for i, r := range resources {
		list[i] = RequiredResource{ResourceAppID: r.ResourceAppID, Access: make([]RequiredAccess, len(r.ResourceAccess))}
		for j, a := range r.ResourceAccess {
			list[i].Access[j] = RequiredAccess{ID: a.ID, Type: a.Type}
		}
	}
	return list
}

func servicePrincipalDocument(p *directory.ServicePrincipal) *ServicePrincipal {
	if p == nil {
		return nil
	}
	return &ServicePrincipal{ID: p.ID, Enabled: &p.AccountEnabled, AssignmentOnly: &p.AppRoleAssignmentRequired, Tags: list0(p.Tags),
		Description: &p.Description, Notes: &p.Notes}
}

func credentialDocument(c *directory.FederatedIdentityCredential) Credential {
	d := Credential{Name: c.Name, Issuer: c.Issuer, Subject: c.Subject, Audiences: c.Audiences, Description: c.Description}
	if c.Expression != nil {
		d.Expression = &Expression{c.Expression.Value, &c.Expression.LanguageVersion}
	}
	return d
}

func credentialDocuments(c *client) []Credential {
	list := make([]Credential, len(c.credentials))
	for i := range c.credentials {
		list[i] = credentialDocument(&c.credentials[i])
	}
	return list
}

// resourceNames says how documents call the holder of each service principal,
// and its roles.
type resourceNames map[string]*resourceName

type resourceName struct {
	name  string            // as the resource of an assignment
	owner string            // as an owner
	roles map[string]string // id → value
}

// resourceNames names what is there before and what will be.
func (w *world) resourceNames(managementAppID string) resourceNames {
	names := resourceNames{}
	for _, e := range w.entries {
		for _, c := range []*client{e.after, e.before} {
			if c == nil || c.sp == nil || names[c.sp.ID] != nil {
				continue
			}
			r := &resourceName{name: c.appID(), owner: c.appID()}
			if c.identity != nil {
				r.owner = c.reference()
			}
			if c.app != nil {
				r.roles = make(map[string]string, len(c.app.AppRoles))
				for _, role := range c.app.AppRoles {
					r.roles[strings.ToLower(role.ID)] = role.Value
				}
				if c.app.UniqueName != "" && !ambiguous(c.app.UniqueName) {
					r.name = c.app.UniqueName
					if !strings.Contains(r.name, "/") { // it could be taken for an identity
						r.owner = r.name
					}
				}
			}
			if c.appID() == managementAppID {
				r.name = ManagementResource
			}
			names[c.sp.ID] = r
		}
	}
	return names
}

// ambiguous reports whether a uniqueName could be taken for an identifier URI
// or an appId.
func ambiguous(name string) bool {
	return strings.HasPrefix(name, "api://") || strings.HasPrefix(name, "https://") || directory.IsGUID(name)
}

// client is how a document calls the owner with a service principal.
func (n resourceNames) client(id string) string {
	if r := n[id]; r != nil {
		return r.owner
	}
	return id
}

func (n resourceNames) clients(ids []string) []string {
	list := make([]string, 0, len(ids))
	for _, id := range ids {
		list = append(list, n.client(id))
	}
	slices.Sort(list)
	return list
}

func (n resourceNames) assignment(a *directory.AppRoleAssignment) Assignment {
	x := Assignment{Resource: a.ResourceID, Role: a.AppRoleID}
	if r := n[a.ResourceID]; r != nil {
		x.Resource = r.name
		if value := r.roles[strings.ToLower(a.AppRoleID)]; value != "" {
			x.Role = value
		}
	}
	if a.AppRoleID == directory.DefaultAppRoleID {
		x.Role = ""
	}
	return x
}

func (n resourceNames) assignments(c *client) []Assignment {
	list := make([]Assignment, len(c.assignments))
	for i := range c.assignments {
		list[i] = n.assignment(&c.assignments[i])
	}
	slices.SortFunc(list, func(a, b Assignment) int {
		return cmp.Or(cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Role, b.Role))
	})
	return list
}
