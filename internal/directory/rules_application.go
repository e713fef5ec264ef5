package directory

import (
	"net/url"
	"slices"
	"strings"
)

// ValidateApplication checks every value of an application that is about to
// be stored in the tenant. The error is an *Error of kind Invalid, or
// DomainNotVerified when a strict tenant does not own an identifier's host.
// before is what is stored, nil if nothing is: an identifier that is there
// already need not be owned, so that everything else about an application of
// before the tenant was strict can still be changed, as at Entra.
func ValidateApplication(a, before *Application, tenant *Tenant) error {
	if err := checkText("displayName", a.DisplayName, 1, MaxDisplayName); err != nil {
		return err
	}
	for _, text := range []struct{ name, value string }{
		{"description", a.Description}, {"notes", a.Notes}, {"serviceManagementReference", a.ServiceManagementReference},
	} {
		if err := checkText(text.name, text.value, 0, MaxNotes); err != nil {
			return err
		}
	}
	if err := checkRequiredResourceAccess(a.RequiredResourceAccess); err != nil {
		return err
	}
	if err := checkText("uniqueName", a.UniqueName, 0, MaxUniqueName); err != nil {
		return err
	}
	if err := checkSignInAudience(a.SignInAudience); err != nil {
		return err
	}
	if err := checkTags(a.Tags); err != nil {
		return err
	}
	if err := checkAPISettings(&a.API); err != nil {
		return err
	}
	if err := checkAppRoles(a.AppRoles); err != nil {
		return err
	}
	if before == nil {
		before = &Application{}
	}
	return checkIdentifierURIs(a, before.IdentifierURIs, tenant)
}

// checkRequiredResourceAccess checks the form only: a resource that is wanted
// need not exist.
func checkRequiredResourceAccess(resources []RequiredResourceAccess) error {
	const name = "requiredResourceAccess"
	permissions := 0
	for _, r := range resources {
		if !IsGUID(r.ResourceAppID) {
			return Errorf(Invalid, name, "requiredResourceAccess.resourceAppId must be the appId of a resource, a GUID.")
		}
		for _, access := range r.ResourceAccess {
			if !IsGUID(access.ID) || access.Type != "Role" && access.Type != "Scope" {
				return Errorf(Invalid, name, "requiredResourceAccess.resourceAccess must hold objects of an id, which is a GUID, and of the type Role or Scope.")
			}
		}
		permissions += len(r.ResourceAccess)
	}
	if len(resources) > MaxRequiredResources || permissions > MaxRequiredPermissions {
		return Errorf(Invalid, name, "requiredResourceAccess may name at most %d resources and %d permissions; this one names %d and %d.",
			MaxRequiredResources, MaxRequiredPermissions, len(resources), permissions)
	}
	return nil
}

func checkSignInAudience(v string) error {
	switch v {
	case "AzureADMyOrg", "AzureADMultipleOrgs", "AzureADandPersonalMicrosoftAccount", "PersonalMicrosoftAccount":
		return nil
	}
	return Errorf(Invalid, "signInAudience", "signInAudience must be AzureADMyOrg, AzureADMultipleOrgs, AzureADandPersonalMicrosoftAccount or PersonalMicrosoftAccount.")
}

func checkTags(tags []string) error {
	if len(tags) > MaxTags {
		return Errorf(Invalid, "tags", "tags may hold at most %d values; this one holds %d.", MaxTags, len(tags))
	}
	for _, t := range tags {
		if err := checkText("tags", t, 1, MaxTag); err != nil {
			return err
		}
	}
	return nil
}

func checkAPISettings(s *APISettings) error {
	if v := s.RequestedAccessTokenVersion; v < 0 || v > 2 {
		return Errorf(Invalid, "api.requestedAccessTokenVersion", "api.requestedAccessTokenVersion must be null, 1 or 2.")
	}
	switch s.AccessTokenSigningAlgorithm {
	case "", "RS256", "ES256":
	default:
		return Errorf(Invalid, "api.accessTokenSigningAlgorithm", "api.accessTokenSigningAlgorithm must be null, 'RS256' or 'ES256'.")
	}
	switch s.AccessTokenProfile {
	case "", "rfc9068":
	default:
		return Errorf(Invalid, "api.accessTokenProfile", "api.accessTokenProfile must be null, '' or 'rfc9068'.")
	}
	return nil
}

func checkAppRoles(roles []AppRole) error {
	if len(roles) > MaxAppRoles {
		return Errorf(Invalid, "appRoles", "appRoles may hold at most %d roles; this one holds %d.", MaxAppRoles, len(roles))
	}
	ids, values := make(map[string]bool, len(roles)), make(map[string]bool, len(roles))
	for i := range roles {
		r := &roles[i]
		if err := checkAppRole(r); err != nil {
			return err
		}
		if id := strings.ToLower(r.ID); ids[id] {
			return Errorf(Invalid, "appRoles.id", "appRoles holds the id %s twice.", r.ID)
		} else {
			ids[id] = true
		}
		if r.Value != "" && values[r.Value] {
			return Errorf(Invalid, "appRoles.value", "appRoles holds the value '%s' twice.", r.Value)
		}
		values[r.Value] = true
	}
	return nil
}

func checkAppRole(r *AppRole) error {
	if !IsGUID(r.ID) || r.ID == DefaultAppRoleID {
		return Errorf(Invalid, "appRoles.id", "appRoles: each role needs an id, a GUID of your choice other than all zeros.")
	}
	if err := checkText("appRoles.displayName", r.DisplayName, 1, MaxDisplayName); err != nil {
		return err
	}
	if err := checkText("appRoles.description", r.Description, 0, MaxNotes); err != nil {
		return err
	}
	if len(r.AllowedMemberTypes) == 0 || len(r.AllowedMemberTypes) > 2 {
		return Errorf(Invalid, "appRoles.allowedMemberTypes", "appRoles: role %s needs allowedMemberTypes: 'Application', 'User' or both.", r.ID)
	}
	for _, m := range r.AllowedMemberTypes {
		if m != "Application" && m != "User" {
			return Errorf(Invalid, "appRoles.allowedMemberTypes", "appRoles: allowedMemberTypes of role %s may hold 'Application' and 'User' only.", r.ID)
		}
	}
	return checkRoleValue(r.Value)
}

// checkRoleValue: values stand in the roles claim and in policies, so they
// keep to printable ASCII without what needs quoting.
func checkRoleValue(v string) error {
	if len(v) > MaxAppRoleValue {
		return Errorf(Invalid, "appRoles.value", "appRoles: a value may have at most %d characters; this one has %d.", MaxAppRoleValue, len(v))
	}
	for i := 0; i < len(v); i++ {
		if v[i] <= ' ' || v[i] > '~' || strings.IndexByte("\"\\<>", v[i]) >= 0 || i == 0 && v[i] == '.' {
			return Errorf(Invalid, "appRoles.value", "appRoles: a value holds printable ASCII without spaces, quotation marks, '\\', '<' and '>', and does not begin with '.'; character %d breaks this.", i+1)
		}
	}
	return nil
}

// CheckRoleRemoval checks that every enabled role of old is in new with the
// same value: who holds a role must not find another permission under it, and
// removal is final, while a disabled role can still be given back. The error
// is an *Error of kind Invalid.
func CheckRoleRemoval(old, new []AppRole) error {
	kept := make(map[string]*AppRole, len(new))
	for i := range new {
		kept[strings.ToLower(new[i].ID)] = &new[i]
	}
	for i := range old {
		now := kept[strings.ToLower(old[i].ID)]
		if old[i].IsEnabled && now != nil && now.Value != old[i].Value {
			return Errorf(Invalid, "appRoles.value", "appRoles: role %s ('%s') is enabled, and those who hold it would hold '%s' instead. Set isEnabled to false first, then change its value.", old[i].ID, old[i].Value, now.Value)
		}
		if old[i].IsEnabled && now == nil {
			return Errorf(Invalid, "appRoles", "appRoles: role %s ('%s') is enabled. Set isEnabled to false first, then remove it.", old[i].ID, old[i].Value)
		}
	}
	return nil
}

func checkIdentifierURIs(a *Application, present []string, tenant *Tenant) error {
	if len(a.IdentifierURIs) > MaxIdentifierURIs {
		return Errorf(Invalid, "identifierUris", "identifierUris may hold at most %d values; this one holds %d.", MaxIdentifierURIs, len(a.IdentifierURIs))
	}
	seen := make(map[string]bool, len(a.IdentifierURIs))
	for _, u := range a.IdentifierURIs {
		parsed, err := parseIdentifierURI(u)
		if err != nil {
			return err
		}
		if seen[u] {
			return Errorf(Invalid, "identifierUris", "identifierUris holds '%s' twice.", u)
		}
		seen[u] = true
		if tenant.Compat == Strict && !slices.Contains(present, u) && !ownedIdentifier(parsed, a.AppID, tenant) {
			return Errorf(DomainNotVerified, "identifierUris", "identifierUris: '%s' must be api://%s, begin with api://%s/%s, or use a verified domain of the tenant as its host.", u, a.AppID, tenant.ID, a.AppID)
		}
	}
	return nil
}

// parseIdentifierURI takes absolute api and https URIs with a host, and SPIFFE
// IDs, by which a client may name itself. It is
// later compared byte for byte with what clients ask for.
func parseIdentifierURI(s string) (*url.URL, error) {
	const property = "identifierUris"
	if err := checkText(property, s, 1, MaxIdentifierURI); err != nil {
		return nil, err
	}
	u, err := url.Parse(s)
	if _, workload := TrustDomainOf(s); workload && err == nil {
		return u, nil
	}
	if err != nil || strings.ContainsAny(s, " \t\"<>\\^`{|}") {
		return nil, Errorf(Invalid, property, "identifierUris: '%s' is not a URI.", s)
	}
	if u.Scheme != "api" && u.Scheme != "https" {
		return nil, Errorf(Invalid, property, "identifierUris: '%s' must be an absolute URI that begins with api:// or https://.", s)
	}
	if u.Host == "" || u.User != nil || u.Fragment != "" || u.RawQuery != "" || strings.ContainsAny(s, "#?") {
		return nil, Errorf(Invalid, property, "identifierUris: '%s' needs a host and must have no user name, query or fragment.", s)
	}
	return u, nil
}

// ownedIdentifier is Entra's rule since 15 October 2021 for single-tenant
// applications.
func ownedIdentifier(u *url.URL, appID string, tenant *Tenant) bool {
	if u.Scheme == "spiffe" {
		return false // a trust domain is no domain of the tenant, whatever its name
	}
	host := strings.ToLower(u.Hostname())
	if u.Scheme == "api" {
		first, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
		if host == strings.ToLower(appID) || host == tenant.ID && strings.EqualFold(first, appID) {
			return true
		}
	}
	for _, d := range tenant.Domains {
		if host == d || strings.HasSuffix(host, "."+d) {
			return true
		}
	}
	return false
}

// ValidateServicePrincipal checks a service principal that is about to be
// stored. The error is an *Error of kind Invalid.
func ValidateServicePrincipal(p *ServicePrincipal) error {
	if err := checkText("displayName", p.DisplayName, 1, MaxDisplayName); err != nil {
		return err
	}
	if err := checkText("description", p.Description, 0, MaxNotes); err != nil {
		return err
	}
	if err := checkText("notes", p.Notes, 0, MaxNotes); err != nil {
		return err
	}
	return checkTags(p.Tags)
}
