package admin

import (
	"context"
	"fmt"
	"net/http"
)

const (
	deletedPath         = "/v1.0/directory/deletedItems"
	deletedApplications = deletedPath + "/microsoft.graph.application"
)

// DeletedApplications lists the applications that were deleted and can be
// restored yet.
func (c *Client) DeletedApplications(ctx context.Context) ([]Application, error) {
	return listOf(ctx, c, deletedApplications, readApplication)
}

// FindDeletedApplication finds a deleted application by its object id, appId
// or display name.
func (c *Client) FindDeletedApplication(ctx context.Context, ref string) (Application, error) {
	filter := "displayName eq " + literal(ref)
	if IsGUID(ref) {
		raw, err := c.Get(ctx, deletedPath+"/"+ref)
		if err == nil {
			return readApplication(raw)
		}
		if !IsNotFound(err) {
			return Application{}, err
		}
		filter = "appId eq " + literal(ref)
	}
	found, err := listOf(ctx, c, filtered(deletedApplications, filter), readApplication)
	if err != nil {
		return Application{}, err
	}
	switch len(found) {
	case 0:
		return Application{}, NotFoundf("there is no deleted application with the name or id %q", ref)
	case 1:
		return found[0], nil
	}
	var list []string
	for _, a := range found {
		list = append(list, fmt.Sprintf("%s (%s, deleted %s)", a.AppID, a.DisplayName, a.Deleted))
	}
	return Application{}, ambiguous("deleted application", useID, ref, list)
}

// RestoreApplication undoes the deletion of an application.
func (c *Client) RestoreApplication(ctx context.Context, a Application) (Application, error) {
	raw, err := c.Change(ctx, http.MethodPost, deletedPath+"/"+a.ID+"/restore", nil, a)
	if err != nil {
		return a, err
	}
	return readApplication(raw)
}

// DeleteApplication deletes an application. For good: it cannot be restored.
func (c *Client) DeleteApplication(ctx context.Context, a Application, forGood bool) error {
	err := c.Delete(ctx, a.Path())
	if err != nil || !forGood {
		return err
	}
	if err := c.Delete(ctx, deletedPath+"/"+a.ID); err != nil {
		return fmt.Errorf("the application was deleted, but can be restored yet: %w", err)
	}
	return nil
}
