package graph

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"cambio/internal/directory"
	"cambio/internal/lint"
	"cambio/internal/management"
	"cambio/internal/store"
)

// Audit actions on federated identity credentials.
const (
	actionCreateCredential = "federatedIdentityCredential.create"
	actionUpdateCredential = "federatedIdentityCredential.update"
	actionDeleteCredential = "federatedIdentityCredential.delete"
)

var credentialFilters = forms{{"name", opEqual}, {"subject", opEqual}}

// credentialKey reads the address of a credential: an id or a name in the
// path segment, or (name='…').
func (q *request) credentialKey() (key string, byName bool, err error) {
	if key, ok := q.call.Params["credential"]; ok {
		return key, false, nil
	}
	text := q.call.Params["credentialKey"]
	property, value, ok := parseKey(text)
	if !ok || property != "" && property != "name" {
		return "", false, badRequest("The key '" + shorten(text) + "' is not supported. Address a credential by its id or by (name='…').")
	}
	return value, property == "name", nil
}

// credentialReader is what *store.DB and *store.Tx have in common here.
type credentialReader interface {
	Credential(ctx context.Context, tenantID, parentID, idOrName string) (directory.FederatedIdentityCredential, error)
	Credentials(ctx context.Context, tenantID, parentID string, l store.ListQuery) ([]directory.FederatedIdentityCredential, bool, error)
}

// credential looks up a credential by name alone, or by id or name.
func (q *request) credential(from credentialReader, app *directory.Application, key string, byName bool) (c directory.FederatedIdentityCredential, err error) {
	if byName {
		found, _, err := from.Credentials(q.r.Context(), app.TenantID, app.ID, store.ListQuery{Field: "name", Op: opEqual, Value: key})
		if err != nil {
			return c, err
		}
		if len(found) == 0 {
			return c, notFound(key)
		}
		return found[0], nil
	}
	c, err = from.Credential(q.r.Context(), app.TenantID, app.ID, key)
	if store.IsNotFound(err) {
		return c, notFound(key)
	}
	return c, err
}

func credentialsContext(app *directory.Application) string {
	return "applications(" + odataKey(app.ID) + ")/federatedIdentityCredentials"
}

func (q *request) credentialsOf(app *directory.Application) func(store.ListQuery) ([]directory.FederatedIdentityCredential, bool, error) {
	return func(l store.ListQuery) ([]directory.FederatedIdentityCredential, bool, error) {
		return q.db.Credentials(q.r.Context(), q.call.Tenant.ID, app.ID, l)
	}
}

func credentialID(c *directory.FederatedIdentityCredential) string { return c.ID }

func (q *request) listCredentials() error {
	app, err := q.application()
	if err != nil {
		return err
	}
	opts, err := q.parseQuery(q.r, q.call, credentialFilters)
	if err != nil {
		return err
	}
	page, err := readPage(opts, q.credentialsOf(&app), credentialID)
	if err != nil {
		return err
	}
	values := make([]object, len(page.items))
	for i := range page.items {
		values[i] = q.credentialObject(&page.items[i])
	}
	return q.page(credentialsContext(&app), opts, values, page.next, page.total)
}

// countCredentials answers with the number alone, as plain text.
func (q *request) countCredentials() error {
	app, err := q.application()
	if err != nil {
		return err
	}
	opts, err := q.parseQuery(q.r, q.call, credentialFilters)
	if err != nil {
		return err
	}
	var total int
	l := opts.list()
	l.Top, l.Total = 1, &total
	if _, _, err := q.credentialsOf(&app)(l); err != nil {
		return err
	}
	q.w.Header().Set("Content-Type", "text/plain")
	_, _ = q.w.Write(strconv.AppendInt(nil, int64(total), 10))
	return nil
}

func (q *request) getCredential() error {
	app, err := q.application()
	if err != nil {
		return err
	}
	key, byName, err := q.credentialKey()
	if err != nil {
		return err
	}
	c, err := q.credential(q.db, &app, key, byName)
	if err != nil {
		return err
	}
	return q.show(&c, credentialsContext(&app), q.credentialObject(&c))
}

func (q *request) createCredential() error {
	app, err := q.ownApplication()
	if err != nil {
		return err
	}
	b, err := readBody(q.w, q.r)
	if err != nil {
		return err
	}
	return q.storeCredential(&app, b, "")
}

// storeCredential creates a credential from a body and answers 201. name, when
// it is not empty, comes from the address.
func (q *request) storeCredential(app *directory.Application, b *body, name string) error {
	c := &directory.FederatedIdentityCredential{TenantID: q.call.Tenant.ID, ParentID: app.ID, Name: name}
	if err := q.setCredential(b, c); err != nil {
		return err
	}
	if err := directory.ValidateCredential(c, q.call.Tenant.Compat, q.checkIssuer); err != nil {
		return err
	}
	err := q.writeTo(touchedApplication(app), actionCreateCredential, "", func(tx *store.Tx) error {
		if err := q.guardAbsent(); err != nil {
			return err
		}
		passed, err := q.lint(tx, app, c)
		if err != nil {
			return err
		}
		if err := tx.CreateCredential(c); err != nil {
			return err
		}
		tx.SetTarget(credentialTarget(app, c))
		recordOverrides(tx, passed, credentialTarget(app, c))
		return nil
	})
	if err != nil {
		return trustProblem(err, c)
	}
	path := "/applications/" + app.ID + "/federatedIdentityCredentials/" + c.ID
	q.w.Header().Set("ETag", management.ETag(c))
	return q.created(credentialsContext(app), path, q.credentialObject(c))
}

// updateCredential is PATCH; addressed by (name='…') and with Prefer:
// create-if-missing it is an upsert.
func (q *request) updateCredential() error {
	app, err := q.ownApplication()
	if err != nil {
		return err
	}
	key, byName, err := q.credentialKey()
	if err != nil {
		return err
	}
	b, err := readBody(q.w, q.r)
	if err != nil {
		return err
	}
	err = q.patchCredential(&app, key, byName, b)
	if isProblem(err, CodeNotFound) && byName && createIfMissing(q.r) {
		b.err = nil
		err = q.storeCredential(&app, b, key)
		if !isProblem(err, CodeSameKeyValue) {
			return err
		}
		// Another request created it in between: then this one updates it.
		b.err = nil
		err = q.patchCredential(&app, key, byName, b)
	}
	if err != nil {
		return err
	}
	return q.noContent()
}

// patchCredential reads, changes and writes in one transaction, so that two
// PATCHes of different properties both take effect.
func (q *request) patchCredential(app *directory.Application, key string, byName bool, b *body) error {
	var c directory.FederatedIdentityCredential
	err := q.writeTo(touchedApplication(app), actionUpdateCredential, "", func(tx *store.Tx) (err error) {
		c, err = q.credential(tx, app, key, byName)
		if err != nil {
			return err
		}
		tx.SetTarget(credentialTarget(app, &c))
		if err := q.guard(&c); err != nil {
			return err
		}
		before := c
		b.err = nil
		if err := q.setCredential(b, &c); err != nil {
			return err
		}
		if err := directory.ValidateCredential(&c, q.call.Tenant.Compat, q.checkIssuer); err != nil {
			return err
		}
		if same(&before, &c) {
			return nil
		}
		if !before.TrustsSame(&c) {
			passed, err := q.lint(tx, app, &c)
			if err != nil {
				return err
			}
			recordOverrides(tx, passed, credentialTarget(app, &c))
		}
		return tx.UpdateCredential(&c)
	})
	return trustProblem(err, &c)
}

// lint holds a credential against the rules, unless the tenant does not want
// that. The reasons for which a finding passes come with the request.
func (q *request) lint(tx *store.Tx, app *directory.Application, c *directory.FederatedIdentityCredential) (passed map[string]string, err error) {
	reasons, err := lint.ParseOverrides(q.r.Header.Values(lint.OverrideHeader))
	if err != nil {
		return nil, badRequest(lint.OverrideHeader + ": " + err.Error() + ".")
	}
	roles := func() ([]string, error) { return tx.RoleValues(q.r.Context(), app.TenantID, app.AppID) }
	return lint.Gate(&q.call.Tenant, c, roles, reasons, q.now())
}

func recordOverrides(tx *store.Tx, passed map[string]string, target string) {
	for _, action := range lint.OverrideDetails(passed) {
		tx.RecordDetail(action, target)
	}
}

func (q *request) deleteCredential() error {
	app, err := q.ownApplication()
	if err != nil {
		return err
	}
	key, byName, err := q.credentialKey()
	if err != nil {
		return err
	}
	err = q.writeTo(touchedApplication(&app), actionDeleteCredential, "", func(tx *store.Tx) error {
		c, err := q.credential(tx, &app, key, byName)
		if err != nil {
			return err
		}
		tx.SetTarget(credentialTarget(&app, &c))
		if err := q.guard(&c); err != nil {
			return err
		}
		return tx.DeleteCredential(q.call.Tenant.ID, app.ID, c.ID)
	})
	if err != nil {
		return err
	}
	return q.noContent()
}

func credentialTarget(app *directory.Application, c *directory.FederatedIdentityCredential) string {
	return "applications/" + app.ID + "/federatedIdentityCredentials/" + c.ID
}

// trustProblem puts the refusal of an issuer and subject, or expression, that
// another credential holds into the words that clients look for.
func trustProblem(err error, c *directory.FederatedIdentityCredential) error {
	var rule *directory.Error
	if !errors.As(err, &rule) || rule.Kind != directory.DuplicateTrust {
		return err
	}
	name, value := "Subject", c.Subject
	if c.Expression != nil {
		name, value = "ClaimsMatchingExpression.Value", c.Expression.Value
	}
	return &Problem{http.StatusBadRequest, CodeInvalidCredential,
		rule.Message + " paramName: FederatedIdentityCredential." + name + ", paramValue: " + value + ", objectType: Application"}
}

func isProblem(err error, code string) bool {
	p, _ := problemOf(err)
	return err != nil && p.Code == code
}
