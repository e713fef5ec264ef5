package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// ManagedIdentity is a user-assigned managed identity as the ARM-shaped API
// shows it. Raw is all of it.
type ManagedIdentity struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Location   string `json:"location"`
	Properties struct {
		ClientID    string `json:"clientId"`
		PrincipalID string `json:"principalId"`
	} `json:"properties"`

	Raw jsontext.Value `json:"-"`
}

func readIdentity(raw jsontext.Value) (ManagedIdentity, error) {
	var m ManagedIdentity
	err := decode(raw, &m)
	m.Raw = raw
	return m, err
}

// Group is the resource group that the identity is in.
func (m *ManagedIdentity) Group() string {
	parts := strings.Split(m.ID, "/")
	for i := 0; i+1 < len(parts); i++ {
		if strings.EqualFold(parts[i], "resourcegroups") {
			return parts[i+1]
		}
	}
	return ""
}

const identitiesPath = "/providers/Microsoft.ManagedIdentity/userAssignedIdentities"

// groupPath is the path of a resource group of the tenant's subscription, or of
// the subscription when group is empty.
func (c *Client) groupPath(ctx context.Context, group string) (string, error) {
	subscription, err := c.Subscription(ctx)
	path := "/subscriptions/" + subscription
	if group != "" {
		path += "/resourceGroups/" + url.PathEscape(group)
	}
	return path, err
}

func versioned(path, version string) string { return path + "?api-version=" + version }

// ManagedIdentities lists the managed identities of a resource group, or of
// all when group is empty.
func (c *Client) ManagedIdentities(ctx context.Context, group string) ([]ManagedIdentity, error) {
	path, err := c.groupPath(ctx, group)
	if err != nil {
		return nil, err
	}
	return listOf(ctx, c, versioned(path+identitiesPath, armVersion), readIdentity)
}

// FindManagedIdentity finds a managed identity by its name in a resource
// group. With no group, it is looked for in all of them, and may be given by
// its client id or principal id as well.
func (c *Client) FindManagedIdentity(ctx context.Context, group, ref string) (ManagedIdentity, error) {
	if group != "" {
		path, err := c.identityPath(ctx, group, ref)
		if err != nil {
			return ManagedIdentity{}, err
		}
		raw, err := c.Get(ctx, versioned(path, armVersion))
		if err != nil {
			return ManagedIdentity{}, err
		}
		return readIdentity(raw)
	}
	all, err := c.ManagedIdentities(ctx, "")
	if err != nil {
		return ManagedIdentity{}, err
	}
	var found []ManagedIdentity
	var list []string
	for _, m := range all {
		if strings.EqualFold(m.Name, ref) || strings.EqualFold(m.Properties.ClientID, ref) || strings.EqualFold(m.Properties.PrincipalID, ref) {
			found = append(found, m)
			list = append(list, fmt.Sprintf("%s (%s in resource group %s)", m.Properties.ClientID, m.Name, m.Group()))
		}
	}
	switch len(found) {
	case 0:
		return ManagedIdentity{}, NotFoundf("there is no managed identity named %q; `cambio identity list` shows those that there are", ref)
	case 1:
		return found[0], nil
	}
	return ManagedIdentity{}, ambiguous("managed identity", "name its --resource-group, or use the id", ref, list)
}

func (c *Client) identityPath(ctx context.Context, group, name string) (string, error) {
	path, err := c.groupPath(ctx, group)
	return path + identitiesPath + "/" + url.PathEscape(name), err
}

// EnsureGroup creates a resource group that is not there yet.
func (c *Client) EnsureGroup(ctx context.Context, group, location string) (created bool, err error) {
	path, err := c.groupPath(ctx, group)
	if err != nil {
		return false, err
	}
	if _, err = c.Get(ctx, versioned(path, armVersion)); !IsNotFound(err) {
		return false, err
	}
	_, err = c.Change(ctx, http.MethodPut, versioned(path, armVersion), map[string]any{"location": location}, nil)
	return err == nil, err
}

// PutManagedIdentity creates a managed identity.
func (c *Client) PutManagedIdentity(ctx context.Context, group, name, location string) (ManagedIdentity, error) {
	path, err := c.identityPath(ctx, group, name)
	if err != nil {
		return ManagedIdentity{}, err
	}
	body := map[string]any{"location": location}
	preview := map[string]any{"id": path, "name": name, "location": location,
		"properties": map[string]string{"clientId": "{client id of the identity}", "principalId": "{object id of the identity}"}}
	raw, err := c.Change(ctx, http.MethodPut, versioned(path, armVersion), body, preview)
	if err != nil {
		return ManagedIdentity{}, err
	}
	return readIdentity(raw)
}

// DeleteManagedIdentity deletes a managed identity.
func (c *Client) DeleteManagedIdentity(ctx context.Context, m ManagedIdentity) error {
	path, err := c.identityPath(ctx, m.Group(), m.Name)
	if err != nil {
		return err
	}
	return c.Delete(ctx, versioned(path, armVersion))
}
