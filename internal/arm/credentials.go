package arm

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"cambio/internal/directory"
	"cambio/internal/lint"
	"cambio/internal/management"
	"cambio/internal/store"
	"cambio/internal/strictjson"
)

const credentialType = identityType + "/federatedIdentityCredentials"

// Audit actions on federated identity credentials of managed identities.
const (
	actionPutCredential    = "federatedIdentityCredential.put"
	actionDeleteCredential = "federatedIdentityCredential.delete"
)

type credentialJSON struct {
	ID         string                   `json:"id"`
	Name       string                   `json:"name"`
	Type       string                   `json:"type"`
	Properties credentialPropertiesJSON `json:"properties"`
}

type credentialPropertiesJSON struct {
	Issuer     string          `json:"issuer"`
	Subject    string          `json:"subject,omitzero"`
	Audiences  []string        `json:"audiences"`
	Expression *expressionJSON `json:"claimsMatchingExpression,omitzero"`
	Ceilings   jsontext.Value  `json:"ceilings,omitzero"` // an extension
}

type expressionJSON struct {
	Value           string `json:"value"`
	LanguageVersion int    `json:"languageVersion"`
}

// expressionVersions are the api-versions that have claimsMatchingExpression.
var expressionVersions = []string{"2025-01-31-preview", "2025-05-31-preview"}

// knowsExpressions reports whether the request's api-version has
// claimsMatchingExpression.
func (q *request) knowsExpressions() bool {
	return slices.Contains(expressionVersions, q.query.Get("api-version"))
}

func credentialID(m *directory.ManagedIdentity, c *directory.FederatedIdentityCredential) string {
	return identityID(m.SubscriptionID, m.ResourceGroup, m.Name) + "/federatedIdentityCredentials/" + c.Name
}

// credentialOf is a credential as this api-version shows it: a flexible one
// has no subject, and only some versions know its expression.
func (q *request) credentialOf(m *directory.ManagedIdentity, c *directory.FederatedIdentityCredential) credentialJSON {
	shown := credentialJSON{
		ID: credentialID(m, c), Name: c.Name, Type: credentialType,
		Properties: credentialPropertiesJSON{Issuer: c.Issuer, Subject: c.Subject, Audiences: c.Audiences},
	}
	if e := c.Expression; e != nil && q.knowsExpressions() {
		shown.Properties.Expression = &expressionJSON{e.Value, e.LanguageVersion}
	}
	if c.Ceilings != nil {
		shown.Properties.Ceilings, _ = json.Marshal(c.Ceilings) // plain data marshals
	}
	return shown
}

// credentialBody is what a PUT holds.
type credentialBody struct {
	Properties *credentialPropertiesJSON `json:"properties"`
}

// readCredential reads a PUT. bounded is false when it says nothing of
// ceilings: clients that do not know them must not lift them.
func (q *request) readCredential() (c *directory.FederatedIdentityCredential, bounded bool, err error) {
	raw, err := management.ReadJSONBody(q.w, q.r)
	if err != nil {
		return nil, false, err
	}
	var in credentialBody
	if err := strictjson.Unmarshal(raw, &in, strictjson.Document); err != nil {
		return nil, false, err
	}
	if in.Properties == nil {
		return nil, false, badRequest("The property 'properties' is required: an object with issuer, subject and audiences.")
	}
	// Ignored, it would leave a rule that is not the one asked for.
	if in.Properties.Expression != nil && !q.knowsExpressions() {
		return nil, false, badRequest("The property 'properties.claimsMatchingExpression' does not exist in this api-version. Use properties.subject, or one of the api-versions " +
			strings.Join(expressionVersions, ", ") + ".")
	}
	c = &directory.FederatedIdentityCredential{
		TenantID: q.call.Tenant.ID, Name: q.call.Params["credential"],
		Issuer: in.Properties.Issuer, Subject: in.Properties.Subject, Audiences: in.Properties.Audiences,
	}
	if e := in.Properties.Expression; e != nil {
		c.Expression = &directory.ClaimsMatchingExpression{Value: e.Value, LanguageVersion: e.LanguageVersion}
	}
	if raw := in.Properties.Ceilings; len(raw) > 0 {
		bounded = true
		if c.Ceilings, err = directory.ReadCeilings(raw); err != nil {
			return nil, false, err
		}
	}
	return c, bounded, directory.ValidateCredential(c, q.call.Tenant.Compat, q.checkIssuer)
}

// credentialReader is what *store.DB and *store.Tx have in common here.
type credentialReader interface {
	identityReader
	Credentials(ctx context.Context, tenantID, parentID string, l store.ListQuery) ([]directory.FederatedIdentityCredential, bool, error)
}

// credential returns the addressed credential, by its name alone, and its
// identity. Names of ARM are compared without regard to case. found is false
// when the identity has no such credential.
func (q *request) credential(from credentialReader) (m directory.ManagedIdentity, c directory.FederatedIdentityCredential, found bool, err error) {
	if m, err = q.identity(from); err != nil {
		return m, c, false, err
	}
	byName := store.ListQuery{Field: "tolower(name)", Op: "eq", Value: q.call.Params["credential"]}
	list, _, err := from.Credentials(q.r.Context(), m.TenantID, m.PrincipalID, byName)
	if err != nil || len(list) == 0 {
		return m, c, false, err
	}
	return m, list[0], true, nil
}

func (q *request) getCredential() error {
	m, c, found, err := q.credential(q.db)
	if err != nil {
		return err
	}
	if !found {
		return notFound(credentialType, m.Name+"/"+q.call.Params["credential"], m.ResourceGroup)
	}
	return q.show(&c, q.credentialOf(&m, &c))
}

func (q *request) listCredentials() error {
	l, err := q.listQuery()
	if err != nil {
		return err
	}
	m, err := q.identity(q.db)
	if err != nil {
		return err
	}
	credentials, more, err := q.db.Credentials(q.r.Context(), m.TenantID, m.PrincipalID, l)
	if err != nil {
		return err
	}
	answer := listJSON[credentialJSON]{Value: make([]credentialJSON, len(credentials))}
	for i := range credentials {
		answer.Value[i] = q.credentialOf(&m, &credentials[i])
	}
	if more {
		answer.NextLink = q.nextLink(credentials[len(credentials)-1].ID)
	}
	writeJSON(q.w, http.StatusOK, answer)
	return nil
}

// putCredential creates the credential of that name or replaces it. Writes to
// one identity take their turns, so that none is ever answered with 409 for
// being at the same time as another.
func (q *request) putCredential() error {
	wanted, bounded, err := q.readCredential()
	if err != nil {
		return err
	}
	var m directory.ManagedIdentity
	var c directory.FederatedIdentityCredential
	var found bool
	err = q.write(actionPutCredential, "", func(tx *store.Tx) (err error) {
		var before directory.FederatedIdentityCredential
		m, before, found, err = q.credential(tx)
		if err != nil {
			return err
		}
		c = *wanted
		c.ID, c.ParentID = before.ID, m.PrincipalID
		if !bounded {
			c.Ceilings = before.Ceilings
		}
		if found {
			c.Name, c.CreatedAt = before.Name, before.CreatedAt
		}
		tx.SetTarget(credentialID(&m, &c))
		if err := q.guardCredential(&before, found); err != nil {
			return err
		}
		if !found || !before.TrustsSame(&c) {
			if err := q.lint(tx, &m, &c); err != nil {
				return err
			}
		}
		switch {
		case !found:
			return tx.CreateCredential(&c)
		case management.ETag(&c) == management.ETag(&before):
			return nil // nobody needs to compile the client again
		}
		return tx.UpdateCredential(&c)
	})
	if err != nil {
		return err
	}
	answer := q.credentialOf(&m, &c)
	return q.put(!found, answer.ID, &c, answer)
}

// lint holds a credential against the rules, unless the tenant does not want
// that, and records the reasons for which a finding passes.
func (q *request) lint(tx *store.Tx, m *directory.ManagedIdentity, c *directory.FederatedIdentityCredential) error {
	reasons, err := lint.ParseOverrides(q.r.Header.Values(lint.OverrideHeader))
	if err != nil {
		return badRequest(lint.OverrideHeader + ": " + err.Error() + ".")
	}
	roles := func() ([]string, error) { return tx.RoleValues(q.r.Context(), m.TenantID, m.ClientID) }
	passed, err := lint.Gate(&q.call.Tenant, c, roles, reasons, tx.Now())
	for _, action := range lint.OverrideDetails(passed) {
		tx.RecordDetail(action, credentialID(m, c))
	}
	return err
}

func (q *request) guardCredential(before *directory.FederatedIdentityCredential, found bool) error {
	if !found {
		return q.guard(nil)
	}
	return q.guard(before)
}

func (q *request) deleteCredential() error {
	return q.deleted(q.write(actionDeleteCredential, "", func(tx *store.Tx) error {
		m, c, found, err := q.credential(tx)
		if err != nil {
			return err
		}
		if !found {
			return directory.Errorf(directory.NotFound, "", "The credential does not exist.")
		}
		tx.SetTarget(credentialID(&m, &c))
		if err := q.guard(&c); err != nil {
			return err
		}
		return tx.DeleteCredential(m.TenantID, m.PrincipalID, c.ID)
	}))
}
