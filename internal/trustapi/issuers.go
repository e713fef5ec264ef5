package trustapi

import (
	"net/http"
	"slices"
	"time"

	"cambio/internal/directory"
	"cambio/internal/management"
	"cambio/internal/store"
	"cambio/internal/strictjson"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The audit actions of managed issuers.
const (
	ActionIssuerCreate      = "issuer.create"
	ActionIssuerUpdate      = "issuer.update"
	ActionIssuerDelete      = "issuer.delete"
	ActionIssuerKeysPush    = "issuer.keys.push"
	ActionIssuerKeysApprove = "issuer.keys.approve"
	ActionIssuerSetPut      = "issuerSet.put"
	ActionIssuerSetDelete   = "issuerSet.delete"
)

// maxIssuerBody bounds a request about an issuer: its key set, certificates
// and thumbprints, with what stands around them.
const maxIssuerBody = 512 << 10 // bytes

func issuerRoutes(a *API) []management.Route {
	read := func(pattern string, step func(*request) error) management.Route {
		return management.Route{Method: http.MethodGet, Pattern: "/trust/v1/" + pattern, Permission: management.ApplicationReadAll, Rate: management.RateRead, Handler: a.handle(step)}
	}
	write := func(method, pattern, action string, step func(*request) error) management.Route {
		return management.Route{Method: method, Pattern: "/trust/v1/" + pattern, Permission: management.OrganizationReadWriteAll, Action: action, Rate: management.RateWrite, Handler: a.handle(step)}
	}
	return []management.Route{
		read("issuers", (*request).listIssuers),
		write(http.MethodPost, "issuers", ActionIssuerCreate, (*request).createIssuer),
		read("issuers/{managedIssuer}", (*request).showIssuer),
		write(http.MethodPatch, "issuers/{managedIssuer}", ActionIssuerUpdate, (*request).updateIssuer),
		write(http.MethodDelete, "issuers/{managedIssuer}", ActionIssuerDelete, (*request).deleteIssuer),
		read("issuers/{managedIssuer}/keys", (*request).listIssuerKeys),
		write(http.MethodPost, "issuers/{managedIssuer}/approve", ActionIssuerKeysApprove, (*request).approveKeys),
		{Method: http.MethodPost, Pattern: "/trust/v1/issuerKeys", Permission: management.IssuersPush, Action: ActionIssuerKeysPush, Rate: management.RateWrite, Handler: a.handle((*request).pushKeys)},
		read("issuerSets", (*request).listIssuerSets),
		write(http.MethodPut, "issuerSets/{issuerSet}", ActionIssuerSetPut, (*request).putIssuerSet),
		write(http.MethodDelete, "issuerSets/{issuerSet}", ActionIssuerSetDelete, (*request).deleteIssuerSet),
	}
}

// issuerJSON is a managed issuer on the wire.
type issuerJSON struct {
	ID             string         `json:"id"`
	Issuer         string         `json:"issuer"`
	Description    string         `json:"description"`
	Mode           string         `json:"mode"`
	Algorithms     []string       `json:"algorithms"`
	MaxKeys        int            `json:"maxKeys"`
	CACertificates string         `json:"caCertificates"`
	AllowAddresses []string       `json:"allowAddresses"`
	BundleEndpoint string         `json:"bundleEndpoint"`
	Proxy          string         `json:"proxy"`
	PushedBy       string         `json:"pushedBy"`
	MaxAgeSeconds  int            `json:"maxAgeSeconds"`
	ApproveKeys    bool           `json:"approveKeys"`
	ApprovedKeys   []string       `json:"approvedKeys"`
	KeySet         jsontext.Value `json:"keySet,omitzero"`
	KeysAt         *time.Time     `json:"keysDateTime"`
	CreatedAt      *time.Time     `json:"createdDateTime"`
}

func issuerOf(i *directory.Issuer) issuerJSON {
	out := issuerJSON{ID: i.ID, Issuer: i.Issuer, Description: i.Description, Mode: i.Mode, Algorithms: i.Algorithms, MaxKeys: i.MaxKeys,
		CACertificates: i.CACertificates, AllowAddresses: i.AllowAddresses, BundleEndpoint: i.BundleEndpoint, Proxy: i.Proxy, PushedBy: i.PushedBy, MaxAgeSeconds: i.MaxAgeSeconds,
		ApproveKeys: i.ApproveKeys, ApprovedKeys: i.ApprovedKeys, KeySet: value(i.KeySet), CreatedAt: &i.CreatedAt}
	if !i.KeysAt.IsZero() {
		out.KeysAt = &i.KeysAt
	}
	return out
}

// read gives the issuer what the body says of it. Its identifiers and times
// are not the caller's to choose.
func (in *issuerJSON) read(i *directory.Issuer, now time.Time) {
	i.IssuerSettings = directory.IssuerSettings{Description: in.Description, Mode: in.Mode, Algorithms: in.Algorithms, MaxKeys: in.MaxKeys,
		CACertificates: in.CACertificates, AllowAddresses: in.AllowAddresses, BundleEndpoint: in.BundleEndpoint, Proxy: in.Proxy, PushedBy: in.PushedBy, MaxAgeSeconds: in.MaxAgeSeconds,
		ApproveKeys: in.ApproveKeys, ApprovedKeys: in.ApprovedKeys}
	keys := string(in.KeySet)
	if keys == "null" {
		keys = ""
	}
	if keys != i.KeySet {
		i.KeySet, i.KeysAt = keys, now
	}
	if i.KeySet == "" {
		i.KeysAt = time.Time{}
	}
}

// body reads the request's JSON into v, which may hold what stays as it is.
func (q *request) body(v any) error {
	raw, err := management.ReadJSONBodyUpTo(q.w, q.r, maxIssuerBody)
	if err != nil {
		return err
	}
	if err := strictjson.Check(raw, strictjson.Document); err != nil {
		return err
	}
	if err := json.Unmarshal(raw, v, json.RejectUnknownMembers(true)); err != nil {
		return badRequest("The request body is not what this request takes: a property is unknown, or its value has the wrong type.")
	}
	return nil
}

func (q *request) listIssuers() error {
	issuers, err := q.cfg.DB.Issuers(q.r.Context(), q.call.Tenant.ID)
	if err != nil {
		return err
	}
	answer := struct {
		Value []issuerJSON `json:"value"`
	}{}
	for i := range issuers {
		answer.Value = append(answer.Value, issuerOf(&issuers[i]))
	}
	writeJSON(q.w, http.StatusOK, answer, q.call)
	return nil
}

func (q *request) managedIssuer() (directory.Issuer, error) {
	return q.cfg.DB.Issuer(q.r.Context(), q.call.Tenant.ID, q.call.Params["managedIssuer"])
}

func (q *request) showIssuer() error {
	i, err := q.managedIssuer()
	if err != nil {
		return err
	}
	writeJSON(q.w, http.StatusOK, issuerOf(&i), q.call)
	return nil
}

func (q *request) createIssuer() error {
	in := issuerJSON{Mode: directory.IssuerDiscover}
	if err := q.body(&in); err != nil {
		return err
	}
	i := directory.Issuer{TenantID: q.call.Tenant.ID, Issuer: in.Issuer}
	in.read(&i, time.Now())
	if err := directory.ValidateIssuer(&i, q.cfg.CheckIssuer, q.cfg.Delegated); err != nil {
		return err
	}
	err := q.writeAs(ActionIssuerCreate, "", func(tx *store.Tx) error {
		if err := tx.CreateIssuer(&i); err != nil {
			return err
		}
		tx.SetTarget(i.ID)
		return q.see(tx, &i)
	})
	if err != nil {
		return err
	}
	writeJSON(q.w, http.StatusCreated, issuerOf(&i), q.call)
	return nil
}

// updateIssuer changes the properties that the body holds.
func (q *request) updateIssuer() error {
	raw, err := management.ReadJSONBodyUpTo(q.w, q.r, maxIssuerBody)
	if err != nil {
		return err
	}
	if err := strictjson.Check(raw, strictjson.Document); err != nil {
		return err
	}
	found, err := q.managedIssuer()
	if err != nil {
		return err
	}
	var i directory.Issuer
	err = q.writeAs(ActionIssuerUpdate, found.ID, func(tx *store.Tx) error {
		if i, err = tx.Issuer(q.r.Context(), q.call.Tenant.ID, found.ID); err != nil {
			return err
		}
		if err := q.merge(&i, raw, tx.Now()); err != nil {
			return err
		}
		if err := tx.UpdateIssuer(&i); err != nil {
			return err
		}
		return q.see(tx, &i)
	})
	if err != nil {
		return err
	}
	writeJSON(q.w, http.StatusOK, issuerOf(&i), q.call)
	return nil
}

// merge changes what the body names.
func (q *request) merge(i *directory.Issuer, raw []byte, now time.Time) error {
	in := issuerOf(i)
	in.Algorithms, in.AllowAddresses, in.ApprovedKeys = slices.Clone(in.Algorithms), slices.Clone(in.AllowAddresses), slices.Clone(in.ApprovedKeys)
	if err := json.Unmarshal(raw, &in, json.RejectUnknownMembers(true)); err != nil {
		return badRequest("The request body is not what this request takes: a property is unknown, or its value has the wrong type.")
	}
	if in.ID != i.ID || in.Issuer != i.Issuer {
		return badRequest("The properties 'id' and 'issuer' cannot be changed. Manage the other issuer beside this one; a set of issuers holds both while you move.")
	}
	in.read(i, now)
	return directory.ValidateIssuer(i, q.cfg.CheckIssuer, q.cfg.Delegated)
}

func (q *request) deleteIssuer() error {
	i, err := q.managedIssuer()
	if err != nil {
		return err
	}
	err = q.writeAs(ActionIssuerDelete, i.ID, func(tx *store.Tx) error { return tx.DeleteIssuer(i.TenantID, i.ID) })
	if err != nil {
		return err
	}
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}
