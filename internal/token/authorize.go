package token

import (
	"context"
	"errors"
	"slices"
	"time"

	"cambio/internal/directory"
	"cambio/internal/oauth"
)

// authorize finds the resource and the roles that the client holds on it.
func (e *Endpoint) authorize(ctx context.Context, x *exchange) *oauth.Error {
	resource, err := e.cfg.Directory.Resource(ctx, x.tenant.ID, x.request.resource)
	switch {
	case errors.Is(err, ErrNotFound):
		return oauth.Refuse(oauth.ResourceNotFound, x.request.resource, x.tenant.DisplayName)
	case errors.Is(err, ErrThrottled):
		return oauth.Refuse(oauth.TooManyRequests).After(time.Second)
	case err != nil:
		return oauth.Refuse(oauth.TransientFailure).After(time.Second)
	}
	x.resource = resource // a refusal rests on it too
	if !resource.Enabled {
		return oauth.Refuse(oauth.ResourceDisabled, resource.AppID)
	}
	roles, assigned := grantedRoles(x.client, resource)
	if c := x.credential.Ceilings; c != nil {
		if !c.AllowsResource(resource.AppID) {
			return oauth.Refuse(oauth.ResourceOutOfReach, x.request.resource)
		}
		roles = slices.DeleteFunc(roles, func(value string) bool { return !c.AllowsRole(value) })
	}
	if resource.AssignmentRequired && !assigned {
		return oauth.Refuse(oauth.NotAssigned, x.client.ClientID, x.client.DisplayName, resource.AppID, resource.DisplayName)
	}
	x.roles = roles
	return x.reportOnly()
}

// grantedRoles returns the values of the client's app roles on the resource,
// sorted, and whether it is assigned to it at all: the default role assigns
// without a value. A disabled role is no role.
func grantedRoles(client *directory.ClientRecord, resource *directory.ResourceRecord) (roles []string, assigned bool) {
	for _, id := range client.Grants[resource.ServicePrincipalID] {
		value, known := resource.RoleValues[id]
		if known || id == directory.DefaultAppRoleID {
			assigned = true
		}
		if value != "" {
			roles = append(roles, value)
		}
	}
	slices.Sort(roles)
	return roles, assigned
}
