package graph

import (
	"strings"

	"github.com/go-json-experiment/json"

	"cambio/internal/directory"
	"cambio/internal/strictjson"
)

// applicationObject is an application as Graph shows it. Properties of
// features that do not exist here are there all the same, empty, because
// clients look into them.
func applicationObject(app *directory.Application, tenant *directory.Tenant, createdAt string) object {
	return object{
		{"id", app.ID},
		{"deletedDateTime", nil},
		{"appId", app.AppID},
		{"applicationTemplateId", nil},
		{"disabledByMicrosoftStatus", nil},
		{"createdDateTime", createdAt},
		{"displayName", app.DisplayName},
		{"description", orNull(app.Description)},
		{"groupMembershipClaims", nil},
		{"identifierUris", list(app.IdentifierURIs)},
		{"isDisabled", app.Disabled},
		{"isDeviceOnlyAuthSupported", nil},
		{"isFallbackPublicClient", nil},
		{"notes", orNull(app.Notes)},
		{"publisherDomain", publisherDomain(tenant)},
		{"serviceManagementReference", orNull(app.ServiceManagementReference)},
		{"signInAudience", app.SignInAudience},
		{"tags", list(app.Tags)},
		{"tokenEncryptionKeyId", nil},
		{"uniqueName", orNull(app.UniqueName)},
		{"defaultRedirectUri", nil},
		{"certification", nil},
		{"optionalClaims", optionalClaims(app)},
		{"requiredResourceAccess", requiredObjects(app.RequiredResourceAccess)},
		{"addIns", []string{}},
		{"api", apiObject(&app.API)},
		{"appRoles", roleObjects(app.AppRoles)},
		{"info", object{{"logoUrl", nil}, {"marketingUrl", nil}, {"privacyStatementUrl", nil}, {"supportUrl", nil}, {"termsOfServiceUrl", nil}}},
		{"keyCredentials", []string{}},
		{"parentalControlSettings", object{{"countriesBlockedForMinors", []string{}}, {"legalAgeGroupRule", "Allow"}}},
		{"passwordCredentials", []string{}},
		{"publicClient", object{{"redirectUris", []string{}}}},
		{"spa", object{{"redirectUris", []string{}}}},
		{"verifiedPublisher", object{{"displayName", nil}, {"verifiedPublisherId", nil}, {"addedDateTime", nil}}},
		{"web", object{
			{"homePageUrl", nil}, {"logoutUrl", nil}, {"redirectUris", []string{}},
			{"implicitGrantSettings", object{{"enableAccessTokenIssuance", false}, {"enableIdTokenIssuance", false}}},
		}},
	}
}

func publisherDomain(tenant *directory.Tenant) any {
	if len(tenant.Domains) == 0 {
		return nil
	}
	return tenant.Domains[0]
}

// apiObject adds our two extensions to Graph's apiApplication.
func apiObject(s *directory.APISettings) object {
	var version any
	if s.RequestedAccessTokenVersion != 0 {
		version = s.RequestedAccessTokenVersion
	}
	return object{
		{"acceptMappedClaims", nil},
		{"knownClientApplications", []string{}},
		{"requestedAccessTokenVersion", version},
		{"oauth2PermissionScopes", []string{}},
		{"preAuthorizedApplications", []string{}},
		{"accessTokenSigningAlgorithm", orNull(s.AccessTokenSigningAlgorithm)},
		{"accessTokenProfile", orNull(s.AccessTokenProfile)},
	}
}

func roleObjects(roles []directory.AppRole) []object {
	objects := make([]object, len(roles))
	for i := range roles {
		r := &roles[i]
		objects[i] = object{
			{"allowedMemberTypes", list(r.AllowedMemberTypes)},
			{"description", orNull(r.Description)},
			{"displayName", r.DisplayName},
			{"id", r.ID},
			{"isEnabled", r.IsEnabled},
			{"origin", "Application"},
			{"value", orNull(r.Value)},
		}
	}
	return objects
}

func requiredObjects(resources []directory.RequiredResourceAccess) []object {
	objects := make([]object, len(resources))
	for i, r := range resources {
		access := make([]object, len(r.ResourceAccess))
		for j, a := range r.ResourceAccess {
			access[j] = object{{"id", a.ID}, {"type", a.Type}}
		}
		objects[i] = object{{"resourceAppId", r.ResourceAppID}, {"resourceAccess", access}}
	}
	return objects
}

func optionalClaims(app *directory.Application) any {
	if !app.OptionalIdtyp {
		return nil
	}
	idtyp := object{{"name", "idtyp"}, {"source", nil}, {"essential", false}, {"additionalProperties", []string{}}}
	return object{{"idToken", []string{}}, {"accessToken", []object{idtyp}}, {"saml2Token", []string{}}}
}

// setApplication copies the writable properties of a body into app. Unknown
// properties and those of features that have no meaning for workloads (web,
// spa, info) are ignored, as nearly every client sends them.
func setApplication(b *body, app *directory.Application) error {
	b.setString("displayName", &app.DisplayName)
	b.setString("description", &app.Description)
	b.setString("notes", &app.Notes)
	b.setString("serviceManagementReference", &app.ServiceManagementReference)
	b.setStrings("identifierUris", &app.IdentifierURIs)
	b.setStrings("tags", &app.Tags)
	b.setBool("isDisabled", &app.Disabled, false)
	b.setString("signInAudience", &app.SignInAudience)
	if app.SignInAudience == "" {
		app.SignInAudience = "AzureADMyOrg"
	}
	if app.UniqueName == "" {
		b.setString("uniqueName", &app.UniqueName)
	}
	b.readOnly("uniqueName", app.UniqueName)
	b.readOnly("id", app.ID)
	b.readOnly("appId", app.AppID)
	if app.ID != "" {
		b.unsupported(ownersBind, ownersAreChanged)
	}
	b.unsupported("passwordCredentials", "secrets do not exist here. Use federatedIdentityCredentials.")
	b.unsupported("keyCredentials", "certificates cannot be registered. Use federatedIdentityCredentials.")
	setAPI(b, &app.API)
	setRoles(b, &app.AppRoles)
	setOptionalClaims(b, app)
	setRequired(b, &app.RequiredResourceAccess)
	return b.err
}

func setAPI(b *body, s *directory.APISettings) {
	if _, present, null := b.value("api"); present && null {
		*s = directory.APISettings{}
	}
	api := b.nested("api")
	if api == nil {
		return
	}
	if api.setInt("requestedAccessTokenVersion", &s.RequestedAccessTokenVersion); api.given("requestedAccessTokenVersion") && s.RequestedAccessTokenVersion == 0 {
		api.fail("requestedAccessTokenVersion", "null, 1 or 2")
	}
	api.setString("accessTokenSigningAlgorithm", &s.AccessTokenSigningAlgorithm)
	api.setString("accessTokenProfile", &s.AccessTokenProfile)
	b.adopt(api)
}

// roleJSON is an app role in a request. Strict decoding makes null the zero
// value, so isEnabled needs a pointer to tell it from false.
type roleJSON struct {
	ID                 string   `json:"id"`
	Value              string   `json:"value"`
	DisplayName        string   `json:"displayName"`
	Description        string   `json:"description"`
	AllowedMemberTypes []string `json:"allowedMemberTypes"`
	IsEnabled          *bool    `json:"isEnabled"`
}

func setRoles(b *body, to *[]directory.AppRole) {
	raw, present, null := b.value("appRoles")
	if !present {
		return
	}
	if null {
		*to = nil
		return
	}
	var in []roleJSON
	if err := strictjson.Unmarshal(raw, &in, strictjson.Document); err != nil {
		b.fail("appRoles", "an array of app roles")
		return
	}
	roles := make([]directory.AppRole, len(in))
	for i, r := range in {
		roles[i] = directory.AppRole{
			ID: strings.ToLower(r.ID), Value: r.Value, DisplayName: r.DisplayName, Description: r.Description,
			AllowedMemberTypes: r.AllowedMemberTypes, IsEnabled: r.IsEnabled == nil || *r.IsEnabled,
		}
	}
	*to = roles
}

// setRequired keeps what an application says it wants. It has no effect.
func setRequired(b *body, to *[]directory.RequiredResourceAccess) {
	raw, present, null := b.value("requiredResourceAccess")
	if !present {
		return
	}
	*to = nil
	if null {
		return
	}
	var in []struct {
		ResourceAppID  string `json:"resourceAppId"`
		ResourceAccess []struct {
			ID   string `json:"id"`
			Type string `json:"type"`
		} `json:"resourceAccess"`
	}
	if err := strictjson.Unmarshal(raw, &in, strictjson.Document); err != nil {
		b.fail("requiredResourceAccess", "an array of {resourceAppId, resourceAccess: [{id, type}]}")
		return
	}
	for _, r := range in {
		resource := directory.RequiredResourceAccess{ResourceAppID: strings.ToLower(r.ResourceAppID)}
		for _, a := range r.ResourceAccess {
			resource.ResourceAccess = append(resource.ResourceAccess, directory.ResourceAccess{ID: strings.ToLower(a.ID), Type: a.Type})
		}
		*to = append(*to, resource)
	}
}

// setOptionalClaims understands the one optional claim of app-only access
// tokens; others have no meaning here and are ignored.
func setOptionalClaims(b *body, app *directory.Application) {
	raw, present, null := b.value("optionalClaims")
	if !present {
		return
	}
	app.OptionalIdtyp = false
	if null {
		return
	}
	var in struct {
		AccessToken []struct {
			Name string `json:"name"`
		} `json:"accessToken"`
	}
	if err := strictjson.Unmarshal(raw, &in, strictjson.Document); err != nil {
		b.fail("optionalClaims", "an optionalClaims object")
		return
	}
	for _, claim := range in.AccessToken {
		app.OptionalIdtyp = app.OptionalIdtyp || claim.Name == "idtyp"
	}
}

var _ json.MarshalerTo = object(nil)
