package trust

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"cambio/internal/strictjson"

	"github.com/go-json-experiment/json/jsontext"
)

// Entra gathers what the tools of an existing tenant printed: az ad app list,
// az ad sp list, federated-credential list, app role assignments, az identity
// list, pages of Microsoft Graph and of Azure Resource Manager. Add it all,
// then ask for the Document.
type Entra struct {
	// ManagementRoles are the app roles of the management resource, id → value.
	// Assignments of Microsoft Graph's roles become assignments of those.
	ManagementRoles map[string]string
	Warnings        []string // what has no counterpart, or could not be used

	apps        []entraApplication
	principals  map[string]entraPrincipal // by object id
	identities  []entraIdentity
	groups      []entraGroup
	credentials map[string][]entraCredential // by what names the parent, in lower case
	assignments []entraAssignment
}

// entraLimits bound a file: az prints a whole tenant in one list.
var entraLimits = strictjson.Limits{Bytes: 64 << 20, Depth: 64, Members: 8 << 20}

type entraApplication struct {
	ID             string   `json:"id"`
	AppID          string   `json:"appId"`
	DisplayName    string   `json:"displayName"`
	Description    string   `json:"description"`
	UniqueName     string   `json:"uniqueName"`
	IdentifierURIs []string `json:"identifierUris"`
	SignInAudience string   `json:"signInAudience"`
	Tags           []string `json:"tags"`
	IsDisabled     bool     `json:"isDisabled"`
	Notes          string   `json:"notes"`
	Reference      string   `json:"serviceManagementReference"`
	Required       []struct {
		ResourceAppID string `json:"resourceAppId"`
		Access        []struct {
			ID   string `json:"id"`
			Type string `json:"type"`
		} `json:"resourceAccess"`
	} `json:"requiredResourceAccess"`
	API struct {
		TokenVersion int              `json:"requestedAccessTokenVersion"`
		Scopes       []jsontext.Value `json:"oauth2PermissionScopes"`
	} `json:"api"`
	AppRoles []struct {
		ID                 string   `json:"id"`
		Value              string   `json:"value"`
		DisplayName        string   `json:"displayName"`
		Description        string   `json:"description"`
		AllowedMemberTypes []string `json:"allowedMemberTypes"`
		IsEnabled          bool     `json:"isEnabled"`
	} `json:"appRoles"`
	OptionalClaims struct {
		AccessToken []struct {
			Name string `json:"name"`
		} `json:"accessToken"`
	} `json:"optionalClaims"`
	Secrets      []jsontext.Value  `json:"passwordCredentials"`
	Certificates []jsontext.Value  `json:"keyCredentials"`
	Web          entraRedirectURIs `json:"web"`
	SPA          entraRedirectURIs `json:"spa"`
	PublicClient entraRedirectURIs `json:"publicClient"`
}

type entraRedirectURIs struct {
	RedirectURIs []string `json:"redirectUris"`
}

type entraPrincipal struct {
	ID             string   `json:"id"`
	AppID          string   `json:"appId"`
	DisplayName    string   `json:"displayName"`
	Type           string   `json:"servicePrincipalType"`
	AccountEnabled *bool    `json:"accountEnabled"`
	AssignmentOnly bool     `json:"appRoleAssignmentRequired"`
	Tags           []string `json:"tags"`
	Description    string   `json:"description"`
	Notes          string   `json:"notes"`
}

type entraAssignment struct {
	AppRoleID    string `json:"appRoleId"`
	PrincipalID  string `json:"principalId"`
	ResourceID   string `json:"resourceId"`
	ResourceName string `json:"resourceDisplayName"`
}

// entraCredential is a credential as Graph shows it, as az identity prints it,
// or as ARM shows it.
type entraCredential struct {
	entraTrust
	ID         string      `json:"id"`
	Name       string      `json:"name"`
	Properties *entraTrust `json:"properties"`
}

type entraTrust struct {
	Issuer      string   `json:"issuer"`
	Subject     string   `json:"subject"`
	Description string   `json:"description"`
	Audiences   []string `json:"audiences"`
	Expression  *struct {
		Value           string `json:"value"`
		LanguageVersion int    `json:"languageVersion"`
	} `json:"claimsMatchingExpression"`
}

type entraIdentity struct {
	entraIDs
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Location   string            `json:"location"`
	Tags       map[string]string `json:"tags"`
	Properties *entraIDs         `json:"properties"`
}

type entraIDs struct {
	ClientID       string `json:"clientId"`
	PrincipalID    string `json:"principalId"`
	IsolationScope string `json:"isolationScope"`
}

type entraGroup struct {
	Name     string            `json:"name"`
	Location string            `json:"location"`
	Tags     map[string]string `json:"tags"`
}

func (e *Entra) warn(format string, args ...any) {
	e.Warnings = append(e.Warnings, fmt.Sprintf(format, args...))
}

// Add reads one file: an object, an array of objects, or a page with a member
// "value". parent names the application of federated credentials that do not
// say it themselves: its appId, object id or uniqueName.
func (e *Entra) Add(file, parent string, raw []byte) error {
	raw = bytes.TrimSpace(bytes.TrimPrefix(raw, []byte("\xEF\xBB\xBF")))
	var items []jsontext.Value
	switch {
	case bytes.HasPrefix(raw, []byte("[")):
		var list struct {
			Value []jsontext.Value `json:"value"`
		}
		wrapped := append(append([]byte(`{"value":`), raw...), '}')
		if err := strictjson.Unmarshal(wrapped, &list, entraLimits); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		items = list.Value
	default:
		var page struct {
			Context  string           `json:"@odata.context"`
			Value    []jsontext.Value `json:"value"`
			Next     string           `json:"@odata.nextLink"`
			NextLink string           `json:"nextLink"`
		}
		if err := strictjson.Unmarshal(raw, &page, entraLimits); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if page.Next != "" || page.NextLink != "" {
			e.warn("%s: it has a link to another page; add that too", file)
		}
		if items = page.Value; items == nil {
			items = []jsontext.Value{raw}
		}
		if _, after, ok := strings.Cut(page.Context, "#applications("); ok && parent == "" {
			parent, _, _ = strings.Cut(strings.Trim(after, "'"), "'")
		}
	}
	for i, item := range items {
		if err := e.item(file, parent, item); err != nil {
			return fmt.Errorf("%s: entry %d: %w", file, i+1, err)
		}
	}
	return nil
}

// item sorts an object by what only its kind has.
func (e *Entra) item(file, parent string, raw []byte) error {
	o, err := strictjson.ParseObject(raw, entraLimits)
	if err != nil {
		return err
	}
	has := func(name string) bool { _, ok := o.Raw(name); return ok }
	kind, _, _ := o.String("type") // of another type is as good as none
	kind = strings.ToLower(kind)
	switch {
	case strings.HasSuffix(kind, "/federatedidentitycredentials") || has("issuer") && has("audiences"):
		return e.credential(file, parent, raw)
	case strings.HasSuffix(kind, "/userassignedidentities"):
		return add(raw, &e.identities)
	case kind == "microsoft.resources/resourcegroups":
		return add(raw, &e.groups)
	case has("appRoleId") && has("principalId"):
		return add(raw, &e.assignments)
	case has("servicePrincipalType"):
		var p entraPrincipal
		if e.principals == nil {
			e.principals = map[string]entraPrincipal{}
		}
		err := strictjson.Unmarshal(raw, &p, entraLimits)
		e.principals[strings.ToLower(p.ID)] = p
		return err
	case has("appId") && (has("signInAudience") || has("identifierUris")):
		return add(raw, &e.apps)
	}
	e.warn("%s: an object is neither an application, a service principal, a managed identity, a resource group, a federated credential nor an app role assignment; it is left out", file)
	return nil
}

func add[T any](raw []byte, to *[]T) error {
	var v T
	err := strictjson.Unmarshal(raw, &v, entraLimits)
	*to = append(*to, v)
	return err
}

func (e *Entra) credential(file, parent string, raw []byte) error {
	var c entraCredential
	if err := strictjson.Unmarshal(raw, &c, entraLimits); err != nil {
		return err
	}
	if c.Properties != nil {
		c.entraTrust = *c.Properties
	}
	if group, identity := armNames(c.ID); identity != "" {
		parent = group + "/" + identity
	}
	if parent == "" {
		e.warn("%s: the federated credential %s does not say whose it is; name the application, as in --graph APPID=%s. It is left out", file, c.Name, file)
		return nil
	}
	if e.credentials == nil {
		e.credentials = map[string][]entraCredential{}
	}
	parent = strings.ToLower(parent)
	e.credentials[parent] = append(e.credentials[parent], c)
	return nil
}

// armNames finds resource group and identity in a resource id.
func armNames(id string) (group, identity string) {
	parts := strings.Split(id, "/")
	for i := 0; i+1 < len(parts); i++ {
		switch strings.ToLower(parts[i]) {
		case "resourcegroups":
			group = parts[i+1]
		case "userassignedidentities":
			identity = parts[i+1]
		}
	}
	return group, identity
}

// Document is the trust configuration of what was added.
func (e *Entra) Document() *Document {
	d := &Document{}
	e.identityDocuments(d)
	slices.SortFunc(e.apps, func(a, b entraApplication) int {
		return cmp.Or(cmp.Compare(a.UniqueName, b.UniqueName), cmp.Compare(strings.ToLower(a.DisplayName), strings.ToLower(b.DisplayName)), cmp.Compare(a.AppID, b.AppID))
	})
	for i := range e.apps {
		d.Applications = append(d.Applications, e.application(&e.apps[i]))
	}
	e.assign(d)
	e.strangers(d)
	for parent, list := range e.credentials {
		e.warn("%d federated credentials of '%s' are left out: no file has that application or identity", len(list), parent)
	}
	slices.Sort(e.Warnings)
	return d
}

func (e *Entra) application(in *entraApplication) Application {
	a := Application{UniqueName: in.UniqueName, AppID: strings.ToLower(in.AppID), ID: strings.ToLower(in.ID), DisplayName: &in.DisplayName,
		IdentifierURIs: in.IdentifierURIs, Tags: in.Tags, AppRoles: []AppRole{}}
	if in.Description != "" {
		a.Description = &in.Description
	}
	if in.Notes != "" {
		a.Notes = &in.Notes
	}
	if in.Reference != "" {
		a.ServiceManagementReference = &in.Reference
	}
	if in.SignInAudience != "" {
		a.SignInAudience = &in.SignInAudience
	}
	if in.IsDisabled {
		a.Disabled = &in.IsDisabled
	}
	if in.API.TokenVersion != 0 {
		a.API = &API{TokenVersion: &in.API.TokenVersion}
	}
	for _, r := range in.AppRoles {
		a.AppRoles = append(a.AppRoles, AppRole{ID: strings.ToLower(r.ID), Value: r.Value, DisplayName: r.DisplayName, Description: r.Description,
			AllowedMemberTypes: r.AllowedMemberTypes, Enabled: &r.IsEnabled})
	}
	for _, c := range in.OptionalClaims.AccessToken {
		if c.Name == "idtyp" {
			a.OptionalClaims = &OptionalClaims{AccessToken: []OptionalClaim{{Name: "idtyp"}}}
		} else {
			e.warn("application %s: the optional claim %s is left out", in.DisplayName, c.Name)
		}
	}
	e.uncounted(in)
	for _, key := range []string{in.AppID, in.ID, in.UniqueName} { // a display name may be anybody's
		a.Credentials = append(a.Credentials, e.take(key)...)
	}
	a.RequiredResources = in.required()
	a.ServicePrincipal = e.principal(in.AppID)
	a.NoServicePrincipal = len(e.principals) > 0 && a.ServicePrincipal == nil
	return a
}

// required is nil for none: the list is no news of a new application.
func (in *entraApplication) required() []RequiredResource {
	var list []RequiredResource
	for _, r := range in.Required {
		x := RequiredResource{ResourceAppID: strings.ToLower(r.ResourceAppID), Access: []RequiredAccess{}}
		for _, a := range r.Access {
			x.Access = append(x.Access, RequiredAccess{ID: strings.ToLower(a.ID), Type: a.Type})
		}
		list = append(list, x)
	}
	return list
}

// principal is the service principal of a client; nil when no file has it.
func (e *Entra) principal(appID string) *ServicePrincipal {
	for _, p := range e.principals {
		if !strings.EqualFold(p.AppID, appID) {
			continue
		}
		sp := &ServicePrincipal{ID: strings.ToLower(p.ID), Enabled: p.AccountEnabled, AssignmentOnly: &p.AssignmentOnly, Tags: p.Tags}
		if p.Description != "" {
			sp.Description = &p.Description
		}
		if p.Notes != "" {
			sp.Notes = &p.Notes
		}
		return sp
	}
	return nil
}

// strangers warns of service principals without a client in any file, such as
// those of other tenants' applications. Microsoft Graph's is only there to
// name a resource.
func (e *Entra) strangers(d *Document) {
	clients := map[string]bool{ManagementResource: true}
	for i := range d.Applications {
		clients[d.Applications[i].AppID] = true
	}
	for i := range d.ManagedIdentities {
		clients[d.ManagedIdentities[i].ClientID] = true
	}
	n := 0
	for _, p := range e.principals {
		if !clients[strings.ToLower(p.AppID)] {
			n++
		}
	}
	if n > 0 {
		e.warn("%d service principals are left out: no file has their applications or identities", n)
	}
}

// uncounted warns of what an application has and a document cannot say.
func (e *Entra) uncounted(in *entraApplication) {
	for _, x := range []struct {
		n    int
		what string
	}{{len(in.Secrets), "client secrets"}, {len(in.Certificates), "certificates"}, {len(in.API.Scopes), "delegated permissions (oauth2PermissionScopes)"},
		{len(in.Web.RedirectURIs) + len(in.SPA.RedirectURIs) + len(in.PublicClient.RedirectURIs), "redirect URIs"}} {
		if x.n > 0 {
			e.warn("application %s: %d %s have no counterpart here", in.DisplayName, x.n, x.what)
		}
	}
}

// take removes the credentials of a parent from what is left over.
func (e *Entra) take(key string) []Credential {
	key = strings.ToLower(key)
	var list []Credential
	for _, c := range e.credentials[key] {
		d := Credential{Name: c.Name, Issuer: c.Issuer, Subject: c.Subject, Audiences: c.Audiences, Description: c.Description}
		if x := c.Expression; x != nil {
			d.Expression = &Expression{x.Value, &x.LanguageVersion}
		}
		list = append(list, d)
	}
	delete(e.credentials, key)
	slices.SortFunc(list, func(a, b Credential) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// identityDocuments makes identities, and the resource groups that they need.
func (e *Entra) identityDocuments(d *Document) {
	known := map[string]bool{}
	for i := range e.groups {
		g := &e.groups[i]
		known[strings.ToLower(g.Name)] = true
		d.ResourceGroups = append(d.ResourceGroups, ResourceGroup{Name: g.Name, Location: &g.Location, Tags: g.Tags})
	}
	for i := range e.identities {
		in := &e.identities[i]
		if in.Properties != nil {
			in.entraIDs = *in.Properties
		}
		group, _ := armNames(in.ID)
		if key := strings.ToLower(group); !known[key] {
			known[key] = true
			d.ResourceGroups = append(d.ResourceGroups, ResourceGroup{Name: group, Location: &in.Location})
		}
		m := ManagedIdentity{ResourceGroup: group, Name: in.Name, ClientID: strings.ToLower(in.ClientID), PrincipalID: strings.ToLower(in.PrincipalID),
			Location: &in.Location, Tags: in.Tags, Credentials: e.take(group + "/" + in.Name)}
		if in.IsolationScope != "" {
			m.IsolationScope = &in.IsolationScope
		}
		if m.ServicePrincipal = e.principal(in.ClientID); m.ServicePrincipal != nil {
			m.ServicePrincipal.ID = "" // it is the principalId
		}
		d.ManagedIdentities = append(d.ManagedIdentities, m)
	}
	slices.SortFunc(d.ResourceGroups, func(a, b ResourceGroup) int { return cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	slices.SortFunc(d.ManagedIdentities, func(a, b ManagedIdentity) int {
		return cmp.Compare(identityKey(a.ResourceGroup, a.Name), identityKey(b.ResourceGroup, b.Name))
	})
}

// assign adds the app role assignments to their principals.
func (e *Entra) assign(d *Document) {
	holders := map[string]*[]Assignment{} // by object id of the service principal
	resources := map[string]string{}      // appId → how the document calls it
	for i := range d.Applications {
		a := &d.Applications[i]
		if resources[a.AppID] = a.AppID; a.UniqueName != "" && !ambiguous(a.UniqueName) {
			resources[a.AppID] = a.UniqueName
		}
		if a.ServicePrincipal != nil {
			holders[a.ServicePrincipal.ID] = &a.Assignments
		}
	}
	for i := range d.ManagedIdentities {
		holders[d.ManagedIdentities[i].PrincipalID] = &d.ManagedIdentities[i].Assignments
	}
	for _, x := range e.assignments {
		holder := holders[strings.ToLower(x.PrincipalID)]
		// The display name of a resource may be anybody's: its appId counts.
		appID := strings.ToLower(e.principals[strings.ToLower(x.ResourceID)].AppID)
		resource, role := resources[appID], strings.ToLower(x.AppRoleID)
		if appID == ManagementResource {
			if resource, role = ManagementResource, e.ManagementRoles[role]; role == "" {
				e.warn("the app role %s of Microsoft Graph has no counterpart here; its assignment to %s is left out", x.AppRoleID, x.PrincipalID)
				continue
			}
		}
		if holder == nil || resource == "" {
			e.warn("an app role assignment of %s for %s (%s) is left out: no file has both their service principals, or the resource's application", x.PrincipalID, x.ResourceID, x.ResourceName)
			continue
		}
		if role == "00000000-0000-0000-0000-000000000000" {
			role = ""
		}
		*holder = append(*holder, Assignment{Resource: resource, Role: role})
	}
	for _, list := range holders {
		slices.SortFunc(*list, func(a, b Assignment) int {
			return cmp.Or(cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Role, b.Role))
		})
	}
}
