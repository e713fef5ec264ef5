package graph

import (
	"errors"
	"net/http"
	"strings"

	"cambio/internal/directory"
	"cambio/internal/management"
	"cambio/internal/store"

	"github.com/google/uuid"
)

// Audit actions on applications.
const (
	actionCreateApplication = "application.create"
	actionUpdateApplication = "application.update"
	actionDeleteApplication = "application.delete"
)

var applicationFilters = forms{
	{"appId", opEqual}, {"displayName", opEqual}, {"displayName", opStartsWith},
	{"identifierUris", opAny}, {"uniqueName", opEqual},
}

// applicationRef reads the address of an application: its object id, or one
// of its alternate keys.
func (q *request) applicationRef() (ref store.Ref, text string, err error) {
	if id, isID := q.call.Params["application"]; isID {
		ref.ID, isID = guid(id)
		if !isID {
			return ref, id, notFound(id)
		}
		return ref, id, nil
	}
	text = q.call.Params["applicationKey"]
	property, value, ok := parseKey(text)
	switch property {
	case "":
		ref.ID, ok = guid(value)
	case "appId":
		if ref.AppID, ok = guid(value); ok {
			break
		}
	case "uniqueName":
		ref.UniqueName = value
	default:
		ok = false
	}
	if !ok {
		return ref, text, badRequest("The key '" + shorten(text) + "' is not supported. Address an application by its id, (appId='…') or (uniqueName='…').")
	}
	return ref, text, nil
}

// application returns the addressed application if the caller may read it.
func (q *request) application() (directory.Application, error) {
	return q.findApplication(management.ApplicationReadAll)
}

// ownApplication returns the addressed application if the caller may write it.
func (q *request) ownApplication() (directory.Application, error) {
	return q.findApplication(management.ApplicationReadWriteAll)
}

func (q *request) findApplication(all management.Permission) (app directory.Application, err error) {
	if err := q.mayTouchSome(all); err != nil {
		return app, err
	}
	ref, text, err := q.applicationRef()
	if err != nil {
		return app, err
	}
	app, err = q.db.Application(q.r.Context(), q.call.Tenant.ID, ref)
	if store.IsNotFound(err) {
		return app, notFound(text)
	}
	if err == nil {
		err = q.mayTouch(q.db.Owns, touchedApplication(&app), all)
	}
	return app, err
}

func (q *request) listApplications() error {
	opts, err := q.parseQuery(q.r, q.call, applicationFilters)
	if err != nil {
		return err
	}
	page, err := q.selectApplications(opts)
	if err != nil {
		return err
	}
	values := make([]object, len(page.items))
	for i := range page.items {
		values[i] = applicationObject(&page.items[i], &q.call.Tenant, seconds(page.items[i].CreatedAt))
	}
	return q.page("applications", opts, values, page.next, page.total)
}

// selectApplications reads one page. A filter on a unique key is a look-up by
// that key.
func (q *request) selectApplications(opts query) (pageOf[directory.Application], error) {
	var ref store.Ref
	f := opts.filter
	switch f.Property {
	case "appId":
		ref.AppID, _ = guid(f.Value)
	case "uniqueName":
		ref.UniqueName = f.Value
	case "identifierUris":
		ref.IdentifierURI = f.Value
	default:
		return readPage(opts, func(l store.ListQuery) ([]directory.Application, bool, error) {
			return q.db.Applications(q.r.Context(), q.call.Tenant.ID, l)
		}, func(app *directory.Application) string { return app.ID })
	}
	if f.Value == "" {
		return pageOf[directory.Application]{}, nil
	}
	return single(q.db.Application(q.r.Context(), q.call.Tenant.ID, ref))
}

func (q *request) getApplication() error {
	app, err := q.application()
	if err != nil {
		return err
	}
	return q.show(&app, "applications", applicationObject(&app, &q.call.Tenant, seconds(app.CreatedAt)))
}

func (q *request) createApplication() error {
	b, err := readBody(q.w, q.r)
	if err != nil {
		return err
	}
	return q.storeApplication(b, &directory.Application{TenantID: q.call.Tenant.ID})
}

// storeApplication creates app with what a body says and answers 201.
func (q *request) storeApplication(b *body, app *directory.Application) error {
	owners := q.boundOwners(b)
	if err := setApplication(b, app); err != nil {
		return err
	}
	// Strict tenants accept identifiers that contain the appId, so it is
	// chosen before the rules are checked.
	app.AppID = uuid.NewString()
	if err := directory.ValidateApplication(app, nil, &q.call.Tenant); err != nil {
		return err
	}
	err := q.write(actionCreateApplication, "", func(tx *store.Tx) error {
		if err := q.guardAbsent(); err != nil {
			return err
		}
		if err := tx.CreateApplication(app); err != nil {
			return err
		}
		tx.SetTarget("applications/" + app.ID)
		return q.addOwners(tx, app.ID, owners)
	})
	if err != nil {
		return err
	}
	q.w.Header().Set("ETag", management.ETag(app))
	return q.created("applications", "/applications/"+app.ID, applicationObject(app, &q.call.Tenant, created(app.CreatedAt)))
}

// updateApplication is PATCH; addressed by uniqueName and with Prefer:
// create-if-missing it is an upsert.
func (q *request) updateApplication() error {
	app, err := q.ownApplication()
	var p *Problem
	missing := errors.As(err, &p) && p.Code == CodeNotFound
	ref, _, _ := q.applicationRef()
	upsert := missing && ref.UniqueName != "" && createIfMissing(q.r)
	if err != nil && !upsert {
		return err
	}
	b, err := readBody(q.w, q.r)
	if err != nil {
		return err
	}
	if upsert {
		made := q.storeApplication(b, &directory.Application{TenantID: q.call.Tenant.ID, UniqueName: ref.UniqueName})
		if !isProblem(made, CodeSameKeyValue) {
			return made
		}
		// Another request may have created it in between: then this one
		// updates it.
		if app, err = q.ownApplication(); isProblem(err, CodeNotFound) {
			return made
		}
		if b.err = nil; err != nil {
			return err
		}
	}
	if strips(b) && q.isManagementResource(app.AppID) {
		return managementResourceKept()
	}
	err = q.writeTo(touchedApplication(&app), actionUpdateApplication, "applications/"+app.ID, func(tx *store.Tx) error {
		return q.patchApplication(tx, app.ID, b)
	})
	if err != nil {
		return err
	}
	return q.noContent()
}

// patchApplication reads, changes and writes in one transaction, so that two
// PATCHes of different properties both take effect.
func (q *request) patchApplication(tx *store.Tx, id string, b *body) error {
	app, err := tx.Application(q.r.Context(), q.call.Tenant.ID, store.Ref{ID: id})
	if err != nil {
		return err
	}
	if err := q.guard(&app); err != nil {
		return err
	}
	before := app
	b.err = nil
	if err := setApplication(b, &app); err != nil {
		return err
	}
	if err := directory.ValidateApplication(&app, &before, &q.call.Tenant); err != nil {
		return err
	}
	if err := directory.CheckRoleRemoval(before.AppRoles, app.AppRoles); err != nil {
		return &Problem{http.StatusBadRequest, CodeEntitlementEnabled, err.Error()}
	}
	if same(&before, &app) {
		return nil
	}
	if err := tx.UpdateApplication(&app); err != nil || app.DisplayName == before.DisplayName {
		return err
	}
	return q.renameServicePrincipal(tx, &app)
}

// renameServicePrincipal keeps the display name of an application's service
// principal that of the application, as in the application's home tenant.
func (q *request) renameServicePrincipal(tx *store.Tx, app *directory.Application) error {
	sp, err := tx.ServicePrincipal(q.r.Context(), app.TenantID, store.Ref{AppID: app.AppID})
	if store.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	sp.DisplayName = app.DisplayName
	return tx.UpdateServicePrincipal(&sp)
}

func (q *request) deleteApplication() error {
	app, err := q.ownApplication()
	if err != nil {
		return err
	}
	if q.isManagementResource(app.AppID) {
		return managementResourceKept()
	}
	err = q.writeTo(touchedApplication(&app), actionDeleteApplication, "applications/"+app.ID, func(tx *store.Tx) error {
		app, err := tx.Application(q.r.Context(), q.call.Tenant.ID, store.Ref{ID: app.ID})
		if err != nil {
			return err
		}
		if err := q.guard(&app); err != nil {
			return err
		}
		return tx.DeleteApplication(q.call.Tenant.ID, app.ID)
	})
	if err != nil {
		return err
	}
	return q.noContent()
}

// isManagementResource must not be called within a write: it may read.
func (q *request) isManagementResource(appID string) bool {
	id := q.managementAppID(q.call.Tenant.ID)
	return id != "" && strings.EqualFold(appID, id)
}

// strips reports whether a PATCH touches what makes the management resource
// work: its identifiers, its permissions, its token format or its state.
func strips(b *body) bool {
	for _, name := range []string{"identifierUris", "appRoles", "api", "isDisabled", "optionalClaims"} {
		if _, present := b.Raw(name); present {
			return true
		}
	}
	return false
}

func managementResourceKept() *Problem {
	return badRequest("This application is the management resource of the server. It cannot be deleted, disabled or given owners, and its identifiers, app roles and token settings are kept by the server.")
}
