package graph

import (
	"context"

	"cambio/internal/directory"
	"cambio/internal/management"
	"cambio/internal/store"
)

// Audit actions on service principals.
const (
	actionCreateServicePrincipal = "servicePrincipal.create"
	actionUpdateServicePrincipal = "servicePrincipal.update"
	actionDeleteServicePrincipal = "servicePrincipal.delete"
)

var servicePrincipalFilters = forms{
	{"appId", opEqual}, {"displayName", opEqual}, {"displayName", opStartsWith}, {"servicePrincipalNames", opAny},
}

// servicePrincipalObject is a service principal as Graph shows it. app is its
// application, empty for a managed identity.
func servicePrincipalObject(sp *directory.ServicePrincipal, app *directory.Application, createdAt string) object {
	audience := app.SignInAudience
	if audience == "" {
		audience = "AzureADMyOrg"
	}
	return object{
		{"id", sp.ID},
		{"deletedDateTime", nil},
		{"accountEnabled", sp.AccountEnabled},
		{"alternativeNames", []string{}},
		{"appDisplayName", orNull(sp.DisplayName)},
		{"appDescription", orNull(app.Description)},
		{"appId", sp.AppID},
		{"applicationTemplateId", nil},
		{"appOwnerOrganizationId", sp.TenantID},
		{"appRoleAssignmentRequired", sp.AppRoleAssignmentRequired},
		{"createdDateTime", createdAt},
		{"description", orNull(sp.Description)},
		{"disabledByMicrosoftStatus", nil},
		{"displayName", sp.DisplayName},
		{"homepage", nil},
		{"loginUrl", nil},
		{"logoutUrl", nil},
		{"notes", orNull(sp.Notes)},
		{"notificationEmailAddresses", []string{}},
		{"preferredSingleSignOnMode", nil},
		{"preferredTokenSigningKeyThumbprint", nil},
		{"replyUrls", []string{}},
		{"servicePrincipalNames", append([]string{sp.AppID}, app.IdentifierURIs...)},
		{"servicePrincipalType", sp.Kind},
		{"signInAudience", audience},
		{"tags", list(sp.Tags)},
		{"tokenEncryptionKeyId", nil},
		{"samlSingleSignOnSettings", nil},
		{"addIns", []string{}},
		{"appRoles", roleObjects(app.AppRoles)},
		{"info", nil},
		{"keyCredentials", []string{}},
		{"oauth2PermissionScopes", []string{}},
		{"passwordCredentials", []string{}},
		{"resourceSpecificApplicationPermissions", []string{}},
		{"verifiedPublisher", object{{"displayName", nil}, {"verifiedPublisherId", nil}, {"addedDateTime", nil}}},
	}
}

// servicePrincipalRef reads the address of a service principal.
func (q *request) servicePrincipalRef() (ref store.Ref, text string, err error) {
	if id, isID := q.call.Params["servicePrincipal"]; isID {
		ref.ID, isID = guid(id)
		if !isID {
			return ref, id, notFound(id)
		}
		return ref, id, nil
	}
	text = q.call.Params["servicePrincipalKey"]
	property, value, ok := parseKey(text)
	switch property {
	case "":
		ref.ID, ok = guid(value)
	case "appId":
		ref.AppID, ok = guid(value)
	default:
		ok = false
	}
	if !ok {
		return ref, text, badRequest("The key '" + shorten(text) + "' is not supported. Address a service principal by its id or (appId='…').")
	}
	return ref, text, nil
}

// servicePrincipal returns the addressed service principal if the caller, who
// holds all or owns it, may touch it.
func (q *request) servicePrincipal(all management.Permission) (sp directory.ServicePrincipal, err error) {
	if err := q.mayTouchSome(all); err != nil {
		return sp, err
	}
	sp, err = q.findServicePrincipal()
	if err == nil {
		err = q.mayTouch(q.db.Owns, touchedServicePrincipal(&sp), all)
	}
	return sp, err
}

func (q *request) findServicePrincipal() (sp directory.ServicePrincipal, err error) {
	ref, text, err := q.servicePrincipalRef()
	if err != nil {
		return sp, err
	}
	sp, err = q.db.ServicePrincipal(q.r.Context(), q.call.Tenant.ID, ref)
	if store.IsNotFound(err) {
		return sp, notFound(text)
	}
	return sp, err
}

// describe returns a service principal's JSON, for which its application is
// needed.
func (q *request) describe(sp *directory.ServicePrincipal) (object, error) {
	app, err := q.applicationOf(q.db, sp)
	if err != nil {
		return nil, err
	}
	return servicePrincipalObject(sp, &app, seconds(sp.CreatedAt)), nil
}

// servicePrincipalOf is a service principal's JSON; its application is among
// apps, by appId, unless it is a managed identity.
func servicePrincipalOf(sp *directory.ServicePrincipal, apps map[string]*directory.Application) object {
	app := apps[sp.AppID]
	if app == nil {
		app = &directory.Application{}
	}
	return servicePrincipalObject(sp, app, seconds(sp.CreatedAt))
}

// applicationReader is what *store.DB and *store.Tx have in common here.
type applicationReader interface {
	Application(ctx context.Context, tenantID string, ref store.Ref) (directory.Application, error)
}

// applicationOf returns the application of a service principal; it is empty
// for a managed identity.
func (q *request) applicationOf(from applicationReader, sp *directory.ServicePrincipal) (app directory.Application, err error) {
	if sp.Kind != directory.KindApplication {
		return app, nil
	}
	app, err = from.Application(q.r.Context(), q.call.Tenant.ID, store.Ref{AppID: sp.AppID})
	if store.IsNotFound(err) {
		err = nil
	}
	return app, err
}

// servicePrincipalState is all that can change of what is shown of a service
// principal. Its entity tag is that of a service principal.
type servicePrincipalState struct {
	ServicePrincipal            *directory.ServicePrincipal
	Description, SignInAudience string
	IdentifierURIs              []string
	AppRoles                    []directory.AppRole
}

func stateOf(sp *directory.ServicePrincipal, app *directory.Application) servicePrincipalState {
	return servicePrincipalState{sp, app.Description, app.SignInAudience, app.IdentifierURIs, app.AppRoles}
}

// guardedPrincipal reads a service principal that is about to be changed, if
// it is what the request asks for.
func (q *request) guardedPrincipal(tx *store.Tx, id string) (sp directory.ServicePrincipal, err error) {
	if sp, err = tx.ServicePrincipal(q.r.Context(), q.call.Tenant.ID, store.Ref{ID: id}); err != nil {
		return sp, err
	}
	app, err := q.applicationOf(tx, &sp)
	if err == nil {
		err = q.guard(stateOf(&sp, &app))
	}
	return sp, err
}

func (q *request) listServicePrincipals() error {
	opts, err := q.parseQuery(q.r, q.call, servicePrincipalFilters)
	if err != nil {
		return err
	}
	page, err := q.selectServicePrincipals(opts)
	if err != nil {
		return err
	}
	appIDs := make([]string, len(page.items))
	for i := range page.items {
		appIDs[i] = page.items[i].AppID
	}
	apps, err := q.db.ApplicationsAmong(q.r.Context(), q.call.Tenant.ID, appIDs)
	if err != nil {
		return err
	}
	values := make([]object, len(page.items))
	for i := range page.items {
		values[i] = servicePrincipalOf(&page.items[i], apps)
	}
	return q.page("servicePrincipals", opts, values, page.next, page.total)
}

// selectServicePrincipals reads one page. Names of a service principal are
// its appId and the identifierUris of its application; both are unique.
func (q *request) selectServicePrincipals(opts query) (none pageOf[directory.ServicePrincipal], err error) {
	f := opts.filter
	appID, isID := guid(f.Value)
	switch {
	case f.Property == "servicePrincipalNames" && !isID && f.Value != "":
		app, err := q.db.Application(q.r.Context(), q.call.Tenant.ID, store.Ref{IdentifierURI: f.Value})
		if store.IsNotFound(err) {
			return none, nil
		}
		if err != nil {
			return none, err
		}
		appID = app.AppID
	case f.Property == "servicePrincipalNames" || f.Property == "appId":
		if !isID {
			return none, nil
		}
	default:
		return readPage(opts, func(l store.ListQuery) ([]directory.ServicePrincipal, bool, error) {
			return q.db.ServicePrincipals(q.r.Context(), q.call.Tenant.ID, l)
		}, func(sp *directory.ServicePrincipal) string { return sp.ID })
	}
	return single(q.db.ServicePrincipal(q.r.Context(), q.call.Tenant.ID, store.Ref{AppID: appID}))
}

func (q *request) getServicePrincipal() error {
	sp, err := q.servicePrincipal(management.ApplicationReadAll)
	if err != nil {
		return err
	}
	app, err := q.applicationOf(q.db, &sp)
	if err != nil {
		return err
	}
	return q.show(stateOf(&sp, &app), "servicePrincipals", servicePrincipalObject(&sp, &app, seconds(sp.CreatedAt)))
}

// setServicePrincipal copies the writable properties of a body into sp. Its
// names follow the application.
func setServicePrincipal(b *body, sp *directory.ServicePrincipal) error {
	b.setString("description", &sp.Description)
	b.setString("notes", &sp.Notes)
	b.setBool("accountEnabled", &sp.AccountEnabled, true)
	b.setBool("appRoleAssignmentRequired", &sp.AppRoleAssignmentRequired, false)
	b.setStrings("tags", &sp.Tags)
	b.readOnly("id", sp.ID)
	if sp.ID != "" {
		b.unsupported(ownersBind, ownersAreChanged)
	}
	b.unsupported("passwordCredentials", "secrets do not exist here. Use federatedIdentityCredentials of the application.")
	b.unsupported("keyCredentials", "certificates cannot be registered. Use federatedIdentityCredentials of the application.")
	return b.err
}

func (q *request) createServicePrincipal() error {
	b, err := readBody(q.w, q.r)
	if err != nil {
		return err
	}
	owners := q.boundOwners(b)
	appID, isID := guid(b.text("appId"))
	if b.err == nil && !isID {
		b.err = badRequest("The property 'appId' is required: the appId of an application of this tenant.")
	}
	sp := &directory.ServicePrincipal{TenantID: q.call.Tenant.ID, AppID: appID, Kind: directory.KindApplication, AccountEnabled: true}
	if err := setServicePrincipal(b, sp); err != nil {
		return err
	}
	var app directory.Application
	err = q.write(actionCreateServicePrincipal, "", func(tx *store.Tx) error {
		var err error
		app, err = tx.Application(q.r.Context(), q.call.Tenant.ID, store.Ref{AppID: appID})
		if store.IsNotFound(err) {
			return badRequest("The appId '" + appID + "' of the service principal does not reference a valid application object. Create the application first.")
		}
		if err != nil {
			return err
		}
		if err := q.mayTouch(tx.Owns, touchedServicePrincipal(sp), management.ApplicationReadWriteAll); err != nil {
			return err
		}
		sp.DisplayName = app.DisplayName
		if err := directory.ValidateServicePrincipal(sp); err != nil {
			return err
		}
		if err := q.guardAbsent(); err != nil {
			return err
		}
		if err := tx.CreateServicePrincipal(sp); err != nil {
			return err
		}
		tx.SetTarget("servicePrincipals/" + sp.ID)
		return q.addOwners(tx, sp.ID, owners)
	})
	if err != nil {
		return err
	}
	q.w.Header().Set("ETag", management.ETag(stateOf(sp, &app)))
	return q.created("servicePrincipals", "/servicePrincipals/"+sp.ID, servicePrincipalObject(sp, &app, created(sp.CreatedAt)))
}

func (q *request) updateServicePrincipal() error {
	sp, err := q.servicePrincipal(management.ApplicationReadWriteAll)
	if err != nil {
		return err
	}
	b, err := readBody(q.w, q.r)
	if err != nil {
		return err
	}
	kept := q.isManagementResource(sp.AppID)
	err = q.writeTo(touchedServicePrincipal(&sp), actionUpdateServicePrincipal, "servicePrincipals/"+sp.ID, func(tx *store.Tx) error {
		sp, err := q.guardedPrincipal(tx, sp.ID)
		if err != nil {
			return err
		}
		before := sp
		b.err = nil
		b.readOnly("appId", sp.AppID)
		if err := setServicePrincipal(b, &sp); err != nil {
			return err
		}
		if err := directory.ValidateServicePrincipal(&sp); err != nil {
			return err
		}
		if kept && !sp.AccountEnabled {
			return managementResourceKept()
		}
		if same(&before, &sp) {
			return nil
		}
		return tx.UpdateServicePrincipal(&sp)
	})
	if err != nil {
		return err
	}
	return q.noContent()
}

func (q *request) deleteServicePrincipal() error {
	sp, err := q.servicePrincipal(management.ApplicationReadWriteAll)
	if err != nil {
		return err
	}
	if q.isManagementResource(sp.AppID) {
		return managementResourceKept()
	}
	err = q.writeTo(touchedServicePrincipal(&sp), actionDeleteServicePrincipal, "servicePrincipals/"+sp.ID, func(tx *store.Tx) error {
		sp, err := q.guardedPrincipal(tx, sp.ID)
		if err != nil {
			return err
		}
		return tx.DeleteServicePrincipal(q.call.Tenant.ID, sp.ID)
	})
	if err != nil {
		return err
	}
	return q.noContent()
}
