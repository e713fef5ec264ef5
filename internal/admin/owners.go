package admin

import (
	"context"
	"net/http"
	"slices"
)

// Owners lists the service principals that own the application or service
// principal at a path.
func (c *Client) Owners(ctx context.Context, path string) ([]ServicePrincipal, error) {
	return listOf(ctx, c, path+"/owners", readPrincipal)
}

// AddOwner makes a service principal an owner of the object at a path, unless
// it is one already.
func (c *Client) AddOwner(ctx context.Context, path string, owner ServicePrincipal) (added bool, err error) {
	owns, err := c.owns(ctx, path, owner)
	if err != nil || owns {
		return false, err
	}
	body := map[string]any{"@odata.id": c.cfg.Authority + "/v1.0/directoryObjects/" + owner.ID}
	_, err = c.Change(ctx, http.MethodPost, path+"/owners/$ref", body, nil)
	return err == nil, err
}

// RemoveOwner ends a service principal's ownership, if there is one.
func (c *Client) RemoveOwner(ctx context.Context, path string, owner ServicePrincipal) (removed bool, err error) {
	owns, err := c.owns(ctx, path, owner)
	if err != nil || !owns {
		return false, err
	}
	err = c.Delete(ctx, path+"/owners/"+owner.ID+"/$ref")
	return err == nil, err
}

func (c *Client) owns(ctx context.Context, path string, owner ServicePrincipal) (bool, error) {
	owners, err := c.Owners(ctx, path)
	return slices.ContainsFunc(owners, func(p ServicePrincipal) bool { return p.ID == owner.ID }), err
}
