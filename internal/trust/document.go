package trust

import (
	"bytes"

	"cambio/internal/directory"
)

// Version is the version of the document's format.
const Version = 1

// MaxOwners is how many owners one object may have.
const MaxOwners = 100

// ManagementResource is how a document names the resource of the management
// APIs, whose own appId differs between tenants: by the appId of Microsoft
// Graph, of which it has the app roles.
const ManagementResource = "00000003-0000-0000-c000-000000000000"

// Document is a trust configuration. A property that is absent (nil) is left
// as it is; one that is present is what the object gets. Entries of the lists
// of an object (app roles, credentials, assignments) are whole: what they
// leave out has its default.
type Document struct {
	ResourceGroups    []ResourceGroup
	ManagedIdentities []ManagedIdentity
	Applications      []Application
}

// Application is an application with its service principal. Its key is
// UniqueName, or else AppID. AppID, ID and ServicePrincipal.ID are used when
// the object is made; afterwards they must agree.
type Application struct {
	place
	UniqueName, AppID, ID                    string
	DisplayName, Description, SignInAudience *string
	Notes, ServiceManagementReference        *string
	IdentifierURIs, Tags                     []string
	RequiredResources                        []RequiredResource
	Disabled                                 *bool
	API                                      *API
	OptionalClaims                           *OptionalClaims
	AppRoles                                 []AppRole
	ServicePrincipal                         *ServicePrincipal
	NoServicePrincipal                       bool // servicePrincipal: null
	Owners                                   []string
	Credentials                              []Credential
	Assignments                              []Assignment
}

// API is what a protected resource asks of its access tokens.
type API struct {
	TokenVersion              *int
	SigningAlgorithm, Profile *string
}

// OptionalClaims lists further claims of access tokens.
type OptionalClaims struct{ AccessToken []OptionalClaim }

// OptionalClaim is one of them; idtyp is the only one there is.
type OptionalClaim struct {
	place
	Name string
}

// AppRole is a permission that a resource defines. Without an ID it keeps that
// of the role with its value, or gets one that is derived from the appId and
// the value.
type AppRole struct {
	place
	ID, Value, DisplayName, Description string
	AllowedMemberTypes                  []string
	Enabled                             *bool
}

// RequiredResource says which permissions of a resource an application wants.
// It grants none of them.
type RequiredResource struct {
	place
	ResourceAppID string
	Access        []RequiredAccess
}

// RequiredAccess is one wanted permission.
type RequiredAccess struct {
	place
	ID, Type string
}

// ServicePrincipal is the tenant-local identity of a client.
type ServicePrincipal struct {
	ID                      string
	Description, Notes      *string
	Enabled, AssignmentOnly *bool
	Tags, Owners            []string
}

// ManagedIdentity is a user-assigned managed identity; its key is the resource
// group and the name, in any case.
type ManagedIdentity struct {
	place
	ResourceGroup, Name, ClientID, PrincipalID string
	Location, IsolationScope                   *string
	Tags                                       map[string]string
	ServicePrincipal                           *ServicePrincipal
	Credentials                                []Credential
	Assignments                                []Assignment
}

// ResourceGroup is a container of managed identities; its key is the name, in
// any case.
type ResourceGroup struct {
	place
	Name     string
	Location *string
	Tags     map[string]string
}

// Credential is a federated identity credential; its key is the name. It has
// either a subject or an expression.
type Credential struct {
	place
	Name, Issuer, Subject, Description string
	Expression                         *Expression
	Audiences                          []string
	LintOverrides                      map[string]string // reasons of findings that pass, by rule; not kept with the credential
}

// Expression is what a flexible credential has in place of a subject.
type Expression struct {
	Value           string
	LanguageVersion *int // nil: 1
}

// Assignment grants an app role of a resource. Resource is a uniqueName, an
// identifier URI, an appId or ManagementResource; Role a value or an id, empty
// for access without a role.
type Assignment struct {
	place
	Resource, Role string
}

// Parse reads a document in YAML, or in JSON when it begins with a brace.
// file names it in messages. The error is of type Problems.
func Parse(file string, raw []byte) (*Document, error) {
	n, err := parse(file, raw)
	if err != nil {
		return nil, err
	}
	return fromNode(&n)
}

func parse(file string, raw []byte) (node, error) {
	raw = bytes.TrimPrefix(raw, []byte("\xEF\xBB\xBF"))
	if bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")) {
		return parseJSON(file, raw)
	}
	return parseYAML(file, raw)
}

// ParseJSON reads a document that must be JSON. The error is of type Problems.
func ParseJSON(raw []byte) (*Document, error) {
	n, err := parseJSON("", raw)
	if err != nil {
		return nil, err
	}
	return fromNode(&n)
}

func fromNode(n *node) (*Document, error) {
	var d decoder
	doc := &Document{}
	d.object(n, "", doc.fields())
	if err := d.problems.err(); err != nil {
		return nil, err
	}
	return doc, nil
}

// Merge appends what other documents say. That no object is named twice is
// checked when the result is compared with a tenant.
func (d *Document) Merge(others ...*Document) {
	for _, o := range others {
		d.ResourceGroups = append(d.ResourceGroups, o.ResourceGroups...)
		d.ManagedIdentities = append(d.ManagedIdentities, o.ManagedIdentities...)
		d.Applications = append(d.Applications, o.Applications...)
	}
}

// JSON writes the document without white space.
func (d *Document) JSON() []byte {
	n := writeObject(d.fields())
	return n.appendJSON(nil)
}

// IndentedJSON writes the document for people.
func (d *Document) IndentedJSON() []byte { return indented(d.JSON()) }

// YAML writes the document. schema is the URL or path of its JSON Schema for
// editors; without one there is no hint. A comment says whose each appId is.
func (d *Document) YAML(schema string) ([]byte, error) {
	n := writeObject(d.fields())
	remarks := map[string]string{ManagementResource: "the management resource"}
	for i := range d.Applications {
		if a := &d.Applications[i]; a.AppID != "" && a.DisplayName != nil {
			remarks[a.AppID] = *a.DisplayName
		}
	}
	raw, err := writeYAML(&n, remarks)
	if err == nil && schema != "" {
		raw = append([]byte("# yaml-language-server: $schema="+schema+"\n"), raw...)
	}
	return raw, err
}

// Schema is the JSON Schema (draft 2020-12) of documents.
func Schema() []byte { return schemaOfTable("cambio trust configuration", new(Document).fields()) }

func schemaOfTable(title string, fields []field) []byte {
	n := node{kind: object}
	n.put("$schema", textNode("https://json-schema.org/draft/2020-12/schema"))
	n.put("title", textNode(title))
	described := schemaObject(fields)
	for i, name := range described.names {
		n.put(name, described.items[i])
	}
	return indented(n.appendJSON(nil))
}

// version is the marker of the format.
func version() field {
	f := choice("version", new(*int), []int{Version}, false, "Version of this format.").must()
	f.write = func() (node, bool) { return integer(Version), true }
	return f
}

func (d *Document) fields() []field {
	return []field{
		version(),
		many("resourceGroups", &d.ResourceGroups, 0, (*ResourceGroup).fields, func(g *ResourceGroup) *place { return &g.place },
			"Resource groups of managed identities. The key is name."),
		many("managedIdentities", &d.ManagedIdentities, 0, (*ManagedIdentity).fields, func(m *ManagedIdentity) *place { return &m.place },
			"User-assigned managed identities. The key is resourceGroup and name."),
		many("applications", &d.Applications, 0, (*Application).fields, func(a *Application) *place { return &a.place },
			"Applications with their service principals. The key is uniqueName, or appId of those that have none."),
	}
}

func (a *Application) fields() []field {
	return append(a.own(), owners(&a.Owners), a.servicePrincipal(),
		many("federatedIdentityCredentials", &a.Credentials, 0, (*Credential).fields, func(c *Credential) *place { return &c.place }, credentialsDoc),
		many("appRoleAssignments", &a.Assignments, 0, (*Assignment).fields, func(x *Assignment) *place { return &x.place }, assignmentsDoc))
}

const (
	credentialsDoc = "Whom the client trusts to prove that it is itself. A list that is here is complete: others of this client are deleted."
	assignmentsDoc = "App roles that the client holds. A list that is here is complete: others of this client are taken away."
)

// own are the properties of the application object itself.
func (a *Application) own() []field {
	return []field{
		plain("uniqueName", &a.UniqueName, rule{min: 1, max: directory.MaxUniqueName}, "Key of the application. It is set once and never changes."),
		plain("appId", &a.AppID, rule{guid: true}, "The client_id. When the application is made it gets this one, or else a new one; it never changes."),
		plain("id", &a.ID, rule{guid: true}, "Object id, likewise."),
		optional("displayName", &a.DisplayName, rule{min: 1, max: directory.MaxDisplayName}, "Required of new applications."),
		optional("description", &a.Description, rule{max: directory.MaxNotes, nullable: true}, "What the application is for."),
		optional("notes", &a.Notes, rule{max: directory.MaxNotes, nullable: true}, "Notes for those who manage it."),
		optional("serviceManagementReference", &a.ServiceManagementReference, rule{max: directory.MaxNotes, nullable: true}, "Where the application stands in another inventory."),
		texts("identifierUris", &a.IdentifierURIs, directory.MaxIdentifierURIs, rule{min: 1, max: directory.MaxIdentifierURI}, "URIs by which clients ask for this resource."),
		optional("signInAudience", &a.SignInAudience, rule{values: []string{"AzureADMyOrg", "AzureADMultipleOrgs",
			"AzureADandPersonalMicrosoftAccount", "PersonalMicrosoftAccount"}}, "Kept for clients of Microsoft Graph. AzureADMyOrg unless said otherwise."),
		texts("tags", &a.Tags, directory.MaxTags, rule{min: 1, max: directory.MaxTag}, "Tags of the application."),
		flag("isDisabled", &a.Disabled, "Refuse the application as a client."),
		many("requiredResourceAccess", &a.RequiredResources, directory.MaxRequiredResources, (*RequiredResource).fields, func(r *RequiredResource) *place { return &r.place },
			"Permissions that the application wants; it gets them by appRoleAssignments alone. A list that is here is complete."),
		one("api", &a.API, (*API).fields, "What this resource asks of its access tokens."),
		one("optionalClaims", &a.OptionalClaims, (*OptionalClaims).fields, "Further claims of access tokens for this resource."),
		many("appRoles", &a.AppRoles, directory.MaxAppRoles, (*AppRole).fields, func(r *AppRole) *place { return &r.place },
			"Permissions that this resource defines. A list that is here is complete; a role must be disabled before it can be left out."),
	}
}

func (r *RequiredResource) fields() []field {
	return []field{
		plain("resourceAppId", &r.ResourceAppID, rule{guid: true}, "The appId of the resource.").must(),
		many("resourceAccess", &r.Access, directory.MaxRequiredPermissions, (*RequiredAccess).fields, func(a *RequiredAccess) *place { return &a.place }, "Its permissions.").must(),
	}
}

func (a *RequiredAccess) fields() []field {
	return []field{
		plain("id", &a.ID, rule{guid: true}, "The id of the app role, or of the scope.").must(),
		plain("type", &a.Type, rule{values: []string{"Role", "Scope"}}, "Role for an app role, Scope for a delegated permission.").must(),
	}
}

func (s *API) fields() []field {
	return []field{
		choice("requestedAccessTokenVersion", &s.TokenVersion, []int{1, 2}, true, "Version of access tokens; null gives v1.0."),
		optional("accessTokenSigningAlgorithm", &s.SigningAlgorithm, rule{values: []string{"RS256", "ES256"}, nullable: true}, "null gives RS256."),
		optional("accessTokenProfile", &s.Profile, rule{values: []string{"rfc9068"}, nullable: true}, "rfc9068 gives JWT access tokens by RFC 9068."),
	}
}

func (o *OptionalClaims) fields() []field {
	return []field{many("accessToken", &o.AccessToken, 1, (*OptionalClaim).fields, func(c *OptionalClaim) *place { return &c.place }, "Claims by name.")}
}

func (c *OptionalClaim) fields() []field {
	return []field{plain("name", &c.Name, rule{values: []string{"idtyp"}}, "idtyp says that a token is for an application.").must()}
}

func (r *AppRole) fields() []field {
	return []field{
		plain("id", &r.ID, rule{guid: true}, "Without it: that of the role with this value, or one derived from appId and value."),
		plain("value", &r.Value, rule{max: directory.MaxAppRoleValue}, "What stands in the roles claim."),
		plain("displayName", &r.DisplayName, rule{min: 1, max: directory.MaxDisplayName}, "The role's name for people.").must(),
		plain("description", &r.Description, rule{max: 1024}, "What the role allows."),
		texts("allowedMemberTypes", &r.AllowedMemberTypes, 2, rule{values: []string{"Application", "User"}}, "Who may hold it; [Application] unless said otherwise."),
		flag("isEnabled", &r.Enabled, "true unless said otherwise."),
	}
}

func (p *ServicePrincipal) fields() []field {
	return append([]field{plain("id", &p.ID, rule{guid: true}, "Object id: oid and sub of the client's access tokens. Used when it is made; it never changes.")}, p.settings()...)
}

func (p *ServicePrincipal) settings() []field {
	return []field{
		flag("accountEnabled", &p.Enabled, "Whether the client may sign in, and the resource be asked for."),
		flag("appRoleAssignmentRequired", &p.AssignmentOnly, "Give tokens for this resource only to clients that hold an assignment."),
		texts("tags", &p.Tags, directory.MaxTags, rule{min: 1, max: directory.MaxTag}, "Tags of the service principal."),
		optional("description", &p.Description, rule{max: directory.MaxNotes, nullable: true}, "What the client is for, in this tenant."),
		optional("notes", &p.Notes, rule{max: directory.MaxNotes, nullable: true}, "Notes for those who manage it."),
		owners(&p.Owners),
	}
}

func owners(to *[]string) field {
	return texts("owners", to, MaxOwners, rule{min: 1, max: directory.MaxUniqueName},
		"Clients that own this object: uniqueName, appId, or resourceGroup/name of a managed identity. A list that is here is complete.")
}

// servicePrincipal may be null: the application has none.
func (a *Application) servicePrincipal() field {
	f := one("servicePrincipal", &a.ServicePrincipal, (*ServicePrincipal).fields,
		"The application's service principal in this tenant. New applications get one; null stands for none.")
	described, read, write := f.schema, f.read, f.write
	f.schema = func() node {
		n := described()
		n.items[0] = textsNode([]string{"object", "null"})
		return n
	}
	f.read = func(d *decoder, n *node, path string) {
		if a.NoServicePrincipal = n.kind == null; !a.NoServicePrincipal {
			read(d, n, path)
		}
	}
	f.write = func() (node, bool) {
		if a.NoServicePrincipal {
			return node{kind: null}, true
		}
		return write()
	}
	return f
}

func tags(to *map[string]string) field {
	return table("tags", to, directory.MaxResourceTags, rule{min: 1, max: directory.MaxResourceTagName}, rule{max: directory.MaxResourceTagValue}, "Tags.")
}

func (g *ResourceGroup) fields() []field {
	return []field{
		plain("name", &g.Name, rule{min: 1, max: directory.MaxResourceGroupName}, "Key of the resource group.").must(),
		optional("location", &g.Location, rule{min: 1, max: directory.MaxLocation}, "Required of new resource groups; it cannot change."),
		tags(&g.Tags),
	}
}

func (m *ManagedIdentity) fields() []field {
	return append(m.own(),
		one("servicePrincipal", &m.ServicePrincipal, (*ServicePrincipal).settings, "Settings of the identity's service principal."),
		many("federatedIdentityCredentials", &m.Credentials, 0, (*Credential).fields, func(c *Credential) *place { return &c.place }, credentialsDoc),
		many("appRoleAssignments", &m.Assignments, 0, (*Assignment).fields, func(a *Assignment) *place { return &a.place }, assignmentsDoc))
}

// own are the properties of the identity itself.
func (m *ManagedIdentity) own() []field {
	return []field{
		plain("resourceGroup", &m.ResourceGroup, rule{min: 1, max: directory.MaxResourceGroupName}, "Resource group of the identity, which must exist or be in the document.").must(),
		plain("name", &m.Name, rule{min: directory.MinIdentityName, max: directory.MaxIdentityName}, "Name of the identity.").must(),
		plain("clientId", &m.ClientID, rule{guid: true}, "The client_id. When the identity is made it gets this one, or else a new one; it never changes."),
		plain("principalId", &m.PrincipalID, rule{guid: true}, "Object id of its service principal, oid and sub of its access tokens, likewise."),
		optional("location", &m.Location, rule{min: 1, max: directory.MaxLocation}, "Required of new identities; it cannot change."),
		optional("isolationScope", &m.IsolationScope, rule{values: []string{"None", "Regional"}}, "Kept for clients of Azure Resource Manager."),
		tags(&m.Tags),
	}
}

func (c *Credential) fields() []field {
	return []field{
		plain("name", &c.Name, rule{min: directory.MinCredentialName, max: directory.MaxCredentialName}, "Key of the credential.").must(),
		plain("issuer", &c.Issuer, rule{min: 1, max: directory.MaxIssuer}, "The iss of the tokens, byte for byte.").must(),
		plain("subject", &c.Subject, rule{min: 1, max: directory.MaxSubject}, "The sub of the tokens, byte for byte. Either this or claimsMatchingExpression."),
		one("claimsMatchingExpression", &c.Expression, (*Expression).fields, "A condition on claims, in place of the subject (flexible credential)."),
		texts("audiences", &c.Audiences, directory.MaxAudiences, rule{min: 1, max: directory.MaxAudience}, "Values of aud; one of them must match. Usually api://AzureADTokenExchange.").must(),
		plain("description", &c.Description, rule{max: directory.MaxDescription}, "What the credential is for."),
		table("lintOverrides", &c.LintOverrides, 27, rule{min: 2, max: 3}, rule{min: 1, max: 200},
			"Reasons to have the credential although a rule of lint blocks it, by rule, as in L2: all of acme is ours. They go to the audit trail and are not kept with the credential."),
	}
}

func (e *Expression) fields() []field {
	return []field{
		plain("value", &e.Value, rule{min: 1, max: directory.MaxExpression}, "As in claims['sub'] matches 'repo:acme/shop:ref:refs/heads/*'.").must(),
		choice("languageVersion", &e.LanguageVersion, []int{directory.ExpressionLanguageVersion}, false, "Version of the language; 1 unless said otherwise."),
	}
}

// expression is that of the directory; nil for none.
func (c *Credential) expression() *directory.ClaimsMatchingExpression {
	if c.Expression == nil {
		return nil
	}
	e := &directory.ClaimsMatchingExpression{Value: c.Expression.Value, LanguageVersion: directory.ExpressionLanguageVersion}
	if v := c.Expression.LanguageVersion; v != nil {
		e.LanguageVersion = *v
	}
	return e
}

func (a *Assignment) fields() []field {
	return []field{
		plain("resource", &a.Resource, rule{min: 1, max: directory.MaxDisplayName}, "uniqueName, identifier URI or appId of the resource; "+ManagementResource+" for this server's own management APIs.").must(),
		plain("role", &a.Role, rule{min: 1, max: directory.MaxAppRoleValue}, "Value or id of the app role; without it, access without a role."),
	}
}
