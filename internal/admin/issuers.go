package admin

import (
	"context"
	"net/http"
	"net/url"

	"github.com/go-json-experiment/json/jsontext"
)

// Issuer is an identity provider that the tenant manages. Raw is all of it.
type Issuer struct {
	ID             string         `json:"id"`
	Issuer         string         `json:"issuer"`
	Description    string         `json:"description"`
	Mode           string         `json:"mode"` // discover, pin, push or bundle
	PushedBy       string         `json:"pushedBy"`
	ApproveKeys    bool           `json:"approveKeys"`
	ApprovedKeys   []string       `json:"approvedKeys"`
	KeysAt         string         `json:"keysDateTime"`
	AllowAddresses []string       `json:"allowAddresses"`
	KeySet         string         `json:"-"` // of the mode pin
	Raw            jsontext.Value `json:"-"`
}

const issuersPath = "/trust/v1/issuers"

func readIssuer(raw jsontext.Value) (i Issuer, err error) {
	if raw == nil { // a dry run
		return i, nil
	}
	err = decode(raw, &i)
	i.Raw = raw
	var pinned struct {
		KeySet jsontext.Value `json:"keySet"`
	}
	if i.Mode == "pin" && err == nil {
		err = decode(raw, &pinned)
		i.KeySet = string(pinned.KeySet)
	}
	return i, err
}

// Issuers lists the managed issuers.
func (c *Client) Issuers(ctx context.Context) ([]Issuer, error) {
	list, err := c.List(ctx, issuersPath)
	if err != nil {
		return nil, err
	}
	all := make([]Issuer, len(list))
	for n, raw := range list {
		if all[n], err = readIssuer(raw); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Issuer finds a managed issuer by its name, exactly, or by its id.
func (c *Client) Issuer(ctx context.Context, ref string) (Issuer, error) {
	all, err := c.Issuers(ctx)
	if err != nil {
		return Issuer{}, err
	}
	for _, i := range all {
		if i.Issuer == ref || i.ID == ref {
			return i, nil
		}
	}
	return Issuer{}, NotFoundf("the issuer %q is not managed here; `cambio issuer list` shows those that are, and names are compared byte for byte", ref)
}

// CreateIssuer begins to manage an issuer.
func (c *Client) CreateIssuer(ctx context.Context, properties map[string]any) (Issuer, error) {
	raw, err := c.Change(ctx, http.MethodPost, issuersPath, properties, nil)
	if err != nil {
		return Issuer{}, err
	}
	return readIssuer(raw)
}

// UpdateIssuer changes the given properties.
func (c *Client) UpdateIssuer(ctx context.Context, id string, properties map[string]any) (Issuer, error) {
	raw, err := c.Change(ctx, http.MethodPatch, issuersPath+"/"+id, properties, nil)
	if err != nil {
		return Issuer{}, err
	}
	return readIssuer(raw)
}

// DeleteIssuer ends the management of an issuer.
func (c *Client) DeleteIssuer(ctx context.Context, id string) error {
	_, err := c.Change(ctx, http.MethodDelete, issuersPath+"/"+id, nil, nil)
	return err
}

// ApproveIssuerKeys lets keys be used that were held.
func (c *Client) ApproveIssuerKeys(ctx context.Context, id string, thumbprints ...string) (Issuer, error) {
	raw, err := c.Change(ctx, http.MethodPost, issuersPath+"/"+id+"/approve", map[string]any{"thumbprints": thumbprints}, nil)
	if err != nil {
		return Issuer{}, err
	}
	return readIssuer(raw)
}

// PushIssuerKeys sends the documents of an issuer that cannot be reached.
func (c *Client) PushIssuerKeys(ctx context.Context, issuer string, discovery, keys []byte) error {
	_, err := c.Change(ctx, http.MethodPost, "/trust/v1/issuerKeys", map[string]any{
		"issuer": issuer, "discovery": jsontext.Value(discovery), "keySet": jsontext.Value(keys)}, nil)
	return err
}

const issuerSetsPath = "/trust/v1/issuerSets"

// IssuerSetMember is an issuer of a set, with RFC 3339 times; empty: none.
type IssuerSetMember struct {
	Issuer    string `json:"issuer"`
	NotBefore string `json:"notBefore,omitzero"`
	NotAfter  string `json:"notAfter,omitzero"`
}

// IssuerSet is a named set of issuers. Raw is all of it.
type IssuerSet struct {
	Name    string            `json:"name"`
	Members []IssuerSetMember `json:"members"`

	Raw jsontext.Value `json:"-"`
}

// IssuerSets lists the sets of issuers.
func (c *Client) IssuerSets(ctx context.Context) ([]IssuerSet, error) {
	list, err := c.List(ctx, issuerSetsPath)
	if err != nil {
		return nil, err
	}
	all := make([]IssuerSet, len(list))
	for n, raw := range list {
		if err := decode(raw, &all[n]); err != nil {
			return nil, err
		}
		all[n].Raw = raw
	}
	return all, nil
}

// PutIssuerSet makes a set of issuers or replaces its members.
func (c *Client) PutIssuerSet(ctx context.Context, name string, members []IssuerSetMember) error {
	if members == nil {
		members = []IssuerSetMember{}
	}
	_, err := c.Change(ctx, http.MethodPut, issuerSetsPath+"/"+url.PathEscape(name), map[string]any{"members": members}, nil)
	return err
}

// DeleteIssuerSet removes a set. Credentials that name it trust nobody then.
func (c *Client) DeleteIssuerSet(ctx context.Context, name string) error {
	_, err := c.Change(ctx, http.MethodDelete, issuerSetsPath+"/"+url.PathEscape(name), nil, nil)
	return err
}
