package graph

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"cambio/internal/directory"
	"cambio/internal/management"
	"cambio/internal/store"
)

// touched is an application or a service principal that a request is about,
// as far as it decides who may touch it.
type touched struct {
	id    string // object id; empty for a service principal to be made
	appID string
	// owners of the application with appID may touch it too: what they can do
	// to the application, they can do to its service principal. Not the
	// other way round.
	byApplication bool
}

func touchedApplication(app *directory.Application) touched {
	return touched{id: app.ID, appID: app.AppID}
}

func touchedServicePrincipal(sp *directory.ServicePrincipal) touched {
	return touched{id: sp.ID, appID: sp.AppID, byApplication: true}
}

// owns is the method Owns of *store.DB or *store.Tx.
type owns func(ctx context.Context, tenantID, ownerID, objectID, appID string) (bool, error)

// mayTouch refuses a caller that may not read or write an object: it must hold
// all, or hold Application.ReadWrite.OwnedBy and be, or be an owner of, the
// object.
func (q *request) mayTouch(owns owns, t touched, all management.Permission) error {
	caller := q.call.Caller
	switch {
	case caller.Holds(all):
		return nil
	case !caller.Holds(management.ApplicationReadWriteOwnedBy):
		return denied()
	case q.isCaller(t.appID):
		return nil
	}
	appID := ""
	if t.byApplication {
		appID = t.appID
	}
	owner, err := owns(q.r.Context(), q.call.Tenant.ID, caller.PrincipalID, t.id, appID)
	if err == nil && !owner {
		err = denied()
	}
	return err
}

// isCaller reports whether an appId is the caller's own.
func (q *request) isCaller(appID string) bool {
	own := q.call.Caller.AppID
	return own != "" && strings.EqualFold(appID, own)
}

// mayTouchSome refuses callers that could not touch any application, before
// anything is looked up for them.
func (q *request) mayTouchSome(all management.Permission) error {
	if q.call.Caller.Holds(all) || q.call.Caller.Holds(management.ApplicationReadWriteOwnedBy) {
		return nil
	}
	return denied()
}

// conceal keeps from a caller that may not read all applications which of them
// has the name that it asked for.
func (q *request) conceal(err error) error {
	var rule *directory.Error
	if !errors.As(err, &rule) || rule.Kind != directory.NameTaken || rule.Target != "uniqueName" && rule.Target != "identifierUris" ||
		q.call.Caller.Holds(management.ApplicationReadAll) {
		return err
	}
	return &Problem{http.StatusConflict, CodeSameKeyValue, "Another object with the same value for property " + rule.Target + " already exists."}
}

// writeTo is write for a change of an object that exists. Whether the caller
// may touch it is asked again within the transaction: it may have lost its
// ownership while the request arrived.
func (q *request) writeTo(t touched, action, target string, fn func(*store.Tx) error) error {
	return q.write(action, target, func(tx *store.Tx) error {
		if err := q.mayTouch(tx.Owns, t, management.ApplicationReadWriteAll); err != nil {
			return err
		}
		return fn(tx)
	})
}
