package admin

import (
	"context"
	"net/url"
	"slices"
)

// SeesOwnedOnly reports whether the applications were asked for and the caller
// may list those alone that it owns: with Application.ReadWrite.OwnedBy and
// without Application.Read.All.
func (c *Client) SeesOwnedOnly() bool { return c.ownedOnly }

// ownedApplications lists the applications that the caller owns, after a list
// of all of them was denied. If this list is denied too, that was why.
func (c *Client) ownedApplications(ctx context.Context, why error) ([]Application, error) {
	who, err := c.Identity(ctx)
	if err != nil || who.ObjectID == "" {
		return nil, why
	}
	raw, err := c.List(ctx, principalsPath+"/"+url.PathEscape(who.ObjectID)+"/ownedObjects")
	if KindOf(err) == Denied {
		return nil, why
	}
	if err != nil {
		return nil, err
	}
	c.ownedOnly = true
	var all []Application
	for _, object := range raw {
		var kind struct {
			Type string `json:"@odata.type"`
		}
		if err := decode(object, &kind); err != nil {
			return nil, err
		}
		if kind.Type != "#microsoft.graph.application" {
			continue // a service principal
		}
		a, err := readApplication(object)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

// ownedNamed finds the applications of the caller that a name may mean.
func (c *Client) ownedNamed(ctx context.Context, ref string, why error) ([]Application, error) {
	all, err := c.ownedApplications(ctx, why)
	return slices.DeleteFunc(all, func(a Application) bool {
		return a.UniqueName != ref && a.DisplayName != ref && !slices.Contains(a.IdentifierURIs, ref)
	}), err
}

func (c *Client) noApplication(ref string) error {
	if c.ownedOnly {
		return NotFoundf("you own no application with the name, unique name or identifier URI %q; to find those of others takes Application.Read.All", ref)
	}
	return NotFoundf("there is no application with the name, unique name or identifier URI %q; `cambio app list` shows those that there are", ref)
}
