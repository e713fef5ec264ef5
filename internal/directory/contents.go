package directory

// Contents is all that the management APIs keep in a tenant, in order of id.
type Contents struct {
	Applications      []Application
	ServicePrincipals []ServicePrincipal
	ManagedIdentities []ManagedIdentity
	ResourceGroups    []ResourceGroup // in order of name
	Credentials       []FederatedIdentityCredential
	Assignments       []AppRoleAssignment
	Owners            []Ownership
}

// Ownership says that a service principal owns an application or another
// service principal. Both are object ids.
type Ownership struct{ TenantID, ObjectID, OwnerID string }
