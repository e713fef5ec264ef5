package trustapi

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"cambio/internal/directory"
	"cambio/internal/store"
	"cambio/internal/strictjson"

	"github.com/go-json-experiment/json/jsontext"
)

// see records the keys of an issuer that are kept with it.
func (q *request) see(tx *store.Tx, i *directory.Issuer) error {
	if !i.Compile().Stored() {
		return nil // those are seen when they are fetched
	}
	added, removed, err := tx.SeeIssuerKeys(i.ID, store.SeenKeys(i))
	if err == nil && q.cfg.KeysChanged != nil && len(added)+len(removed) > 0 {
		q.written = func() { q.cfg.KeysChanged(i, added, removed) }
	}
	return err
}

// IssuerHealth is what a server knows of how the keys of an issuer are had.
type IssuerHealth struct {
	FetchedAt   *time.Time        `json:"fetchedDateTime"` // of the keys that are used; null: there are none
	ExpiresAt   *time.Time        `json:"expiresDateTime"` // from when they are not used
	Error       string            `json:"error"`           // of the last attempt; empty: it succeeded, or there was none
	Reason      string            `json:"reason"`          // its kind, as metrics have it
	FailedAt    *time.Time        `json:"failedDateTime"`
	KeyCount    int               `json:"keyCount"`
	IgnoredKeys []IgnoredKeyState `json:"ignoredKeys"`
}

// IgnoredKeyState is a key of the set that is not used.
type IgnoredKeyState struct {
	Index  int    `json:"index"` // in the document, from 0
	KeyID  string `json:"keyId"`
	Reason string `json:"reason"`
}

// health is that of an issuer whose keys are kept with it, or what the server
// knows of the others.
func (q *request) health(i *directory.Issuer) IssuerHealth {
	r := i.Compile()
	if !r.Stored() {
		if q.cfg.Health == nil {
			return IssuerHealth{}
		}
		return q.cfg.Health(r)
	}
	h := IssuerHealth{KeyCount: len(r.Keys.Keys)}
	if !i.KeysAt.IsZero() {
		h.FetchedAt = &i.KeysAt
	}
	if expires := i.KeysAt.Add(i.MaxAge()); i.Mode == directory.IssuerPush {
		h.ExpiresAt = &expires
		if i.KeysAt.IsZero() || !time.Now().Before(expires) {
			h.Error, h.Reason = "its keys were not pushed lately", "not_pushed"
		}
	}
	for _, k := range r.Keys.Ignored {
		h.IgnoredKeys = append(h.IgnoredKeys, IgnoredKeyState{k.Index, k.KeyID, k.Reason})
	}
	return h
}

type keyJSON struct {
	Thumbprint string    `json:"thumbprint"`
	KeyID      string    `json:"keyId"`
	Algorithm  string    `json:"algorithm"`
	FirstSeen  time.Time `json:"firstSeenDateTime"`
	LastSeen   time.Time `json:"lastSeenDateTime"`
	Current    bool      `json:"current"`
	Approved   bool      `json:"approved"` // or needs no approval
}

func (q *request) listIssuerKeys() error {
	i, err := q.managedIssuer()
	if err != nil {
		return err
	}
	keys, err := q.cfg.DB.IssuerKeys(q.r.Context(), i.ID)
	if err != nil {
		return err
	}
	answer := struct {
		Value  []keyJSON    `json:"value"`
		Health IssuerHealth `json:"health"` // as the server that answers sees it
	}{Health: q.health(&i)}
	for _, k := range keys {
		answer.Value = append(answer.Value, keyJSON{k.Thumbprint, k.KeyID, k.Algorithm, k.FirstSeen, k.LastSeen, k.Current,
			!i.ApproveKeys || slices.Contains(i.ApprovedKeys, k.Thumbprint)})
	}
	writeJSON(q.w, http.StatusOK, answer, q.call)
	return nil
}

// approveKeys adds to the keys that may be used.
func (q *request) approveKeys() error {
	var in struct {
		Thumbprints []string `json:"thumbprints"`
	}
	if err := q.body(&in); err != nil {
		return err
	}
	found, err := q.managedIssuer()
	if err != nil {
		return err
	}
	var i directory.Issuer
	err = q.writeAs(ActionIssuerKeysApprove, found.ID, func(tx *store.Tx) error {
		if i, err = tx.Issuer(q.r.Context(), q.call.Tenant.ID, found.ID); err != nil {
			return err
		}
		for _, thumbprint := range in.Thumbprints {
			if !slices.Contains(i.ApprovedKeys, thumbprint) {
				i.ApprovedKeys = append(i.ApprovedKeys, thumbprint)
			}
		}
		if err := directory.ValidateIssuer(&i, q.cfg.CheckIssuer, q.cfg.Delegated); err != nil {
			return err
		}
		return tx.UpdateIssuer(&i)
	})
	if err != nil {
		return err
	}
	writeJSON(q.w, http.StatusOK, issuerOf(&i), q.call)
	return nil
}

// errNotPushed is one answer for all who may not push, so that it tells nobody
// which issuers are managed.
var errNotPushed = &problem{status: http.StatusForbidden, code: "Authorization_RequestDenied",
	message: "This application does not push the keys of that issuer. The issuer's mode must be 'push', and its pushedBy the client id of this application."}

// pushKeys replaces the keys of an issuer that only its neighbour can reach.
func (q *request) pushKeys() error {
	var in struct {
		Issuer    string         `json:"issuer"`
		Discovery jsontext.Value `json:"discovery"`
		KeySet    jsontext.Value `json:"keySet"`
	}
	if err := q.body(&in); err != nil {
		return err
	}
	document, err := strictjson.ParseObject(in.Discovery, strictjson.Document)
	if err != nil {
		return badRequest("The property 'discovery' is required: the issuer's discovery document.")
	}
	if name, _, err := document.String("issuer"); err != nil || name != in.Issuer {
		return badRequest("The discovery document is not of that issuer: its member 'issuer' must equal the property 'issuer' byte for byte.")
	}
	if err := directory.CheckKeySet(string(in.KeySet)); err != nil {
		return err
	}
	var i directory.Issuer
	return q.answerPush(&i, q.writeAs(ActionIssuerKeysPush, in.Issuer, func(tx *store.Tx) error {
		if i, err = tx.Issuer(q.r.Context(), q.call.Tenant.ID, in.Issuer); store.IsNotFound(err) {
			return errNotPushed
		}
		if err != nil {
			return err
		}
		if i.Issuer != in.Issuer || i.Mode != directory.IssuerPush || !strings.EqualFold(i.PushedBy, q.call.Caller.AppID) {
			return errNotPushed
		}
		tx.SetTarget(i.ID)
		i.KeySet, i.KeysAt = string(in.KeySet), tx.Now()
		if err := tx.UpdateIssuer(&i); err != nil {
			return err
		}
		return q.see(tx, &i)
	}))
}

func (q *request) answerPush(i *directory.Issuer, err error) error {
	if err != nil {
		return err
	}
	writeJSON(q.w, http.StatusOK, struct {
		Health IssuerHealth `json:"health"`
	}{q.health(i)}, q.call)
	return nil
}
