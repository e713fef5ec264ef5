package arm

import (
	"context"
	"errors"
	"net/http"

	"cambio/internal/directory"
	"cambio/internal/management"
	"cambio/internal/store"
	"cambio/internal/strictjson"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	namespace    = "Microsoft.ManagedIdentity"
	identityType = namespace + "/userAssignedIdentities"
)

// Audit actions on managed identities.
const (
	actionPutIdentity    = "managedIdentity.put"
	actionUpdateIdentity = "managedIdentity.update"
	actionDeleteIdentity = "managedIdentity.delete"
)

type identityJSON struct {
	ID         string                 `json:"id"`
	Name       string                 `json:"name"`
	Type       string                 `json:"type"`
	Location   string                 `json:"location"`
	Tags       map[string]string      `json:"tags"`
	Properties identityPropertiesJSON `json:"properties"`
}

type identityPropertiesJSON struct {
	TenantID       string `json:"tenantId"`
	PrincipalID    string `json:"principalId"`
	ClientID       string `json:"clientId"`
	IsolationScope string `json:"isolationScope"`
}

// identityID is a resource id as ARM writes it for this provider, with
// resourcegroups in lower case.
func identityID(subscription, group, name string) string {
	return "/subscriptions/" + subscription + "/resourcegroups/" + group + "/providers/" + identityType + "/" + name
}

func identityOf(m *directory.ManagedIdentity) identityJSON {
	scope := m.IsolationScope
	if scope == "" {
		scope = "None"
	}
	return identityJSON{
		ID: identityID(m.SubscriptionID, m.ResourceGroup, m.Name), Name: m.Name, Type: identityType, Location: m.Location, Tags: tags(m.Tags),
		Properties: identityPropertiesJSON{TenantID: m.TenantID, PrincipalID: m.PrincipalID, ClientID: m.ClientID, IsolationScope: scope},
	}
}

// resourceJSON is what a PUT or PATCH of a resource group or an identity may
// hold. Unknown members are ignored; null is as good as absent.
type resourceJSON struct {
	Location   string            `json:"location"`
	Tags       map[string]string `json:"tags"`
	ManagedBy  string            `json:"managedBy"`
	Properties *struct {
		IsolationScope         string `json:"isolationScope"`
		AssignmentRestrictions *struct {
			Providers []jsontext.Value `json:"providers"`
		} `json:"assignmentRestrictions"`
	} `json:"properties"`
}

// readResource refuses what is not stored here but would be a promise: that
// something else manages the group, or that an identity is kept from some
// resources.
func (q *request) readResource() (in resourceJSON, err error) {
	raw, err := management.ReadJSONBody(q.w, q.r)
	if err != nil {
		return in, err
	}
	if err := strictjson.Unmarshal(raw, &in, strictjson.Document); err != nil {
		return in, err
	}
	if in.ManagedBy != "" {
		return in, badRequest("The property 'managedBy' is not supported: nothing manages resource groups for others here. Leave it out.")
	}
	if p := in.Properties; p != nil && p.AssignmentRestrictions != nil && len(p.AssignmentRestrictions.Providers) > 0 {
		return in, badRequest("The property 'properties.assignmentRestrictions' is not supported: identities are not assigned to resources here, they sign in by their federated identity credentials. Leave it out.")
	}
	return in, nil
}

// identityReader is what *store.DB and *store.Tx have in common here.
type identityReader interface {
	ManagedIdentity(ctx context.Context, tenantID, subscriptionID, resourceGroup, name string) (directory.ManagedIdentity, error)
}

// identity returns the addressed identity.
func (q *request) identity(from identityReader) (directory.ManagedIdentity, error) {
	group, name := q.call.Params["group"], q.call.Params["identity"]
	m, err := from.ManagedIdentity(q.r.Context(), q.call.Tenant.ID, q.subscription(), group, name)
	if store.IsNotFound(err) {
		return m, notFound(identityType, name, group)
	}
	return m, err
}

func notFound(kind, name, group string) *Problem {
	return &Problem{http.StatusNotFound, CodeResourceNotFound,
		"The Resource '" + kind + "/" + shorten(name) + "' under resource group '" + shorten(group) + "' was not found."}
}

func (q *request) getIdentity() error {
	m, err := q.identity(q.db)
	if isProblem(err, CodeResourceNotFound) {
		if _, err := q.group(q.db); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	return q.show(&m, identityOf(&m))
}

// listIdentities lists those of the addressed resource group, or of the whole
// subscription.
func (q *request) listIdentities() error {
	l, err := q.listQuery()
	if err != nil {
		return err
	}
	group := q.call.Params["group"]
	if group != "" {
		if _, err := q.group(q.db); err != nil {
			return err
		}
	}
	identities, more, err := q.db.ManagedIdentities(q.r.Context(), q.call.Tenant.ID, q.subscription(), group, l)
	if err != nil {
		return err
	}
	answer := listJSON[identityJSON]{Value: make([]identityJSON, len(identities))}
	for i := range identities {
		answer.Value[i] = identityOf(&identities[i])
	}
	if more {
		answer.NextLink = q.nextLink(identities[len(identities)-1].PrincipalID)
	}
	writeJSON(q.w, http.StatusOK, answer)
	return nil
}

func (q *request) putIdentity() error {
	in, err := q.readResource()
	if err != nil {
		return err
	}
	m := directory.ManagedIdentity{
		TenantID: q.call.Tenant.ID, SubscriptionID: q.subscription(), ResourceGroup: q.call.Params["group"], Name: q.call.Params["identity"],
		Location: in.Location, Tags: in.Tags,
	}
	if in.Properties != nil {
		m.IsolationScope = in.Properties.IsolationScope
	}
	if err := directory.ValidateManagedIdentity(&m); err != nil {
		return err
	}
	var made bool
	err = q.write(actionPutIdentity, identityOf(&m).ID, func(tx *store.Tx) (err error) {
		before, err := q.identity(tx)
		switch {
		case err == nil:
			err = errors.Join(q.guard(&before), moved("identity", before.Name, before.Location, m.Location))
		case isProblem(err, CodeResourceNotFound):
			err = q.guard(nil)
		}
		if err == nil {
			made, err = tx.PutManagedIdentity(&m)
		}
		return err
	})
	if err != nil {
		return err
	}
	return q.put(made, identityOf(&m).ID, &m, identityOf(&m))
}

// patchIdentity replaces the tags and the isolation scope when they are given.
func (q *request) patchIdentity() error {
	in, err := q.readResource()
	if err != nil {
		return err
	}
	var m directory.ManagedIdentity
	err = q.write(actionUpdateIdentity, "", func(tx *store.Tx) (err error) {
		if m, err = q.identity(tx); err != nil {
			return err
		}
		tx.SetTarget(identityOf(&m).ID)
		if err := errors.Join(q.guard(&m), moved("identity", m.Name, m.Location, in.Location)); err != nil {
			return err
		}
		if in.Tags != nil {
			m.Tags = in.Tags
		}
		if in.Properties != nil && in.Properties.IsolationScope != "" {
			m.IsolationScope = in.Properties.IsolationScope
		}
		if err := directory.ValidateManagedIdentity(&m); err != nil {
			return err
		}
		_, err = tx.PutManagedIdentity(&m)
		return err
	})
	if err != nil {
		return err
	}
	q.w.Header().Set("ETag", management.ETag(&m))
	writeJSON(q.w, http.StatusOK, identityOf(&m))
	return nil
}

func (q *request) deleteIdentity() error {
	return q.deleted(q.write(actionDeleteIdentity, "", func(tx *store.Tx) error {
		group, name := q.call.Params["group"], q.call.Params["identity"]
		m, err := tx.ManagedIdentity(q.r.Context(), q.call.Tenant.ID, q.subscription(), group, name)
		if err != nil {
			return err
		}
		tx.SetTarget(identityOf(&m).ID)
		if err := q.guard(&m); err != nil {
			return err
		}
		return tx.DeleteManagedIdentity(m.TenantID, m.SubscriptionID, m.ResourceGroup, m.Name)
	}))
}

// listAssociatedResources answers a POST of the 2022 previews: which resources
// have the identity. Resources do not exist here, so none has.
func (q *request) listAssociatedResources() error {
	if _, err := q.identity(q.db); err != nil {
		return err
	}
	writeJSON(q.w, http.StatusOK, associatedJSON{Value: []resourceItemJSON{}})
	return nil
}

type associatedJSON struct {
	TotalCount int                `json:"totalCount"`
	Value      []resourceItemJSON `json:"value"`
}

// refuseRevocation answers revokeTokens of 2023-07-31-preview. Resources check
// access tokens without asking this server, so an answer of success would say
// something that is not true.
func (q *request) refuseRevocation() error {
	m, err := q.identity(q.db)
	if err != nil {
		return err
	}
	return &Problem{http.StatusBadRequest, CodeNotSupported,
		"The access tokens of the identity '" + m.Name + "' cannot be revoked: resources accept a token until it expires. Delete the identity's federated identity credentials, or the identity, to keep it from getting new ones."}
}

// noSystemIdentity answers GET of identities/default of any scope: the
// system-assigned identity of a resource.
func (q *request) noSystemIdentity() error {
	return &Problem{http.StatusNotFound, CodeResourceNotFound,
		"This resource has no system-assigned identity: there are user-assigned identities only. Use " + identityType + " of a resource group."}
}
