package admin

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// ServicePrincipal is what holds and offers roles: that of an application, or
// of a managed identity. Raw is all of it.
type ServicePrincipal struct {
	ID                 string    `json:"id"`
	AppID              string    `json:"appId"`
	DisplayName        string    `json:"displayName"`
	Type               string    `json:"servicePrincipalType"` // Application or ManagedIdentity
	AppRoles           []AppRole `json:"appRoles"`
	AssignmentRequired bool      `json:"appRoleAssignmentRequired"`

	Raw jsontext.Value `json:"-"`
}

const principalsPath = "/v1.0/servicePrincipals"

// Path addresses the service principal.
func (p *ServicePrincipal) Path() string { return principalsPath + "/" + p.ID }

func readPrincipal(raw jsontext.Value) (ServicePrincipal, error) {
	var p ServicePrincipal
	err := decode(raw, &p)
	p.Raw = raw
	return p, err
}

// PrincipalOf returns the service principal of an appId.
func (c *Client) PrincipalOf(ctx context.Context, appID string) (ServicePrincipal, error) {
	raw, err := c.Get(ctx, principalsPath+"(appId='"+appID+"')")
	if IsNotFound(err) {
		err = NotFoundf("the application %s has no service principal in this tenant; `cambio app create` makes one unless it is told not to", appID)
	}
	if err != nil {
		return ServicePrincipal{}, err
	}
	return readPrincipal(raw)
}

// principalAt returns the service principal with an object id.
func (c *Client) principalAt(ctx context.Context, id string) (ServicePrincipal, error) {
	raw, err := c.Get(ctx, principalsPath+"/"+id)
	if err != nil {
		return ServicePrincipal{}, err
	}
	return readPrincipal(raw)
}

// FindPrincipal finds a service principal by its object id, the appId, client
// id or object id of what it belongs to, or by one of its names: those of the
// application (see FindApplication) or that of the managed identity.
func (c *Client) FindPrincipal(ctx context.Context, ref string) (ServicePrincipal, error) {
	if IsGUID(ref) {
		return c.principalByID(ctx, ref)
	}
	found, denied := listOf(ctx, c, filtered(principalsPath, "displayName eq "+literal(ref)), readPrincipal)
	if denied != nil && KindOf(denied) != Denied { // who is denied may own what is meant
		return ServicePrincipal{}, denied
	}
	applications, err := c.applicationsNamed(ctx, ref)
	if err != nil {
		return ServicePrincipal{}, err
	}
	seen := map[string]bool{}
	for _, p := range found {
		seen[p.AppID] = true
	}
	for _, a := range applications {
		if seen[a.AppID] {
			continue
		}
		p, err := c.PrincipalOf(ctx, a.AppID)
		if err != nil {
			return p, err
		}
		found = append(found, p)
	}
	switch len(found) {
	case 0:
		if denied != nil {
			return ServicePrincipal{}, denied
		}
		return ServicePrincipal{}, NotFoundf("there is no application or managed identity named %q; `cambio app list` and `cambio identity list` show those that there are", ref)
	case 1:
		return found[0], nil
	}
	var list []string
	for _, p := range found {
		list = append(list, fmt.Sprintf("%s (%s, %s)", p.AppID, p.DisplayName, p.Type))
	}
	return ServicePrincipal{}, ambiguous("application or managed identity", useID, ref, list)
}

func (c *Client) principalByID(ctx context.Context, id string) (ServicePrincipal, error) {
	raw, err := c.first(ctx, principalsPath+"(appId='"+id+"')", principalsPath+"/"+id)
	if err == nil {
		return readPrincipal(raw)
	}
	if !IsNotFound(err) {
		return ServicePrincipal{}, err
	}
	a, err := c.FindApplication(ctx, id)
	if IsNotFound(err) {
		err = NotFoundf("there is no application, managed identity or service principal with the id %s", id)
	}
	if err != nil {
		return ServicePrincipal{}, err
	}
	return c.PrincipalOf(ctx, a.AppID)
}

// CreatePrincipal creates the service principal of an application.
func (c *Client) CreatePrincipal(ctx context.Context, appID string, assignmentRequired bool) (ServicePrincipal, error) {
	properties := map[string]any{"appId": appID}
	if assignmentRequired {
		properties["appRoleAssignmentRequired"] = true
	}
	preview := map[string]any{"id": "{id of the service principal}", "appId": appID}
	raw, err := c.Change(ctx, http.MethodPost, principalsPath, properties, preview)
	if err != nil {
		return ServicePrincipal{}, err
	}
	return readPrincipal(raw)
}

// Assignment is an app role that a service principal holds on a resource.
type Assignment struct {
	ID          string `json:"id"`
	AppRoleID   string `json:"appRoleId"`
	PrincipalID string `json:"principalId"`
	Principal   string `json:"principalDisplayName"`
	ResourceID  string `json:"resourceId"`
	Resource    string `json:"resourceDisplayName"`
	Role        string `json:"-"` // value of the role, or its id

	Raw jsontext.Value `json:"-"`
}

func readAssignment(raw jsontext.Value) (Assignment, error) {
	var a Assignment
	err := decode(raw, &a)
	a.Raw, a.Role = raw, a.AppRoleID
	return a, err
}

// AssignmentsTo lists who holds a role of a resource.
func (c *Client) AssignmentsTo(ctx context.Context, resource ServicePrincipal) ([]Assignment, error) {
	all, err := listOf(ctx, c, resource.Path()+"/appRoleAssignedTo", readAssignment)
	for i := range all {
		all[i].Role = resource.roleName(all[i].AppRoleID)
	}
	return all, err
}

// AssignmentsOf lists the roles that a service principal holds.
func (c *Client) AssignmentsOf(ctx context.Context, principal ServicePrincipal) ([]Assignment, error) {
	all, err := listOf(ctx, c, principal.Path()+"/appRoleAssignments", readAssignment)
	if err != nil {
		return nil, err
	}
	resources := map[string]ServicePrincipal{}
	for i := range all {
		resource, known := resources[all[i].ResourceID]
		if !known {
			if resource, err = c.principalAt(ctx, all[i].ResourceID); err != nil && !IsNotFound(err) {
				return nil, err
			}
			resources[all[i].ResourceID] = resource
		}
		all[i].Role = resource.roleName(all[i].AppRoleID)
	}
	return all, nil
}

// defaultRole is the id of access without a role.
const defaultRole = "00000000-0000-0000-0000-000000000000"

func (p *ServicePrincipal) roleName(id string) string {
	for _, r := range p.AppRoles {
		if strings.EqualFold(r.ID, id) && r.Value != "" {
			return r.Value
		}
	}
	if id == defaultRole {
		return "(access without a role)"
	}
	return id
}

// FindRole finds an app role of a resource by its value or id.
func (p *ServicePrincipal) FindRole(ref string) (id string, err error) {
	var values []string
	for _, r := range p.AppRoles {
		if r.Value == ref || strings.EqualFold(r.ID, ref) {
			return r.ID, nil
		}
		values = append(values, r.Value)
	}
	if ref == defaultRole {
		return ref, nil
	}
	if len(values) == 0 {
		return "", NotFoundf("%s defines no app roles; add one with `cambio resource update --role VALUE=TEXT`", p.DisplayName)
	}
	return "", NotFoundf("%s has no app role %q; it has %s", p.DisplayName, ref, strings.Join(values, ", "))
}

// Assigned returns the assignment of a role, if there is one.
func (c *Client) Assigned(ctx context.Context, resource, principal ServicePrincipal, roleID string) (*Assignment, error) {
	all, err := listOf(ctx, c, principal.Path()+"/appRoleAssignments", readAssignment)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].ResourceID == resource.ID && strings.EqualFold(all[i].AppRoleID, roleID) {
			all[i].Role = resource.roleName(roleID)
			return &all[i], nil
		}
	}
	return nil, nil
}

// Assign gives a principal a role of a resource.
func (c *Client) Assign(ctx context.Context, resource, principal ServicePrincipal, roleID string) (Assignment, error) {
	body := map[string]any{"principalId": principal.ID, "resourceId": resource.ID, "appRoleId": roleID}
	preview := map[string]any{"id": "{id of the assignment}", "principalId": principal.ID, "resourceId": resource.ID, "appRoleId": roleID}
	raw, err := c.Change(ctx, http.MethodPost, resource.Path()+"/appRoleAssignedTo", body, preview)
	if err != nil {
		return Assignment{}, err
	}
	a, err := readAssignment(raw)
	a.Role = resource.roleName(roleID)
	return a, err
}

// Unassign takes a role away.
func (c *Client) Unassign(ctx context.Context, a Assignment) error {
	return c.Delete(ctx, principalsPath+"/"+a.ResourceID+"/appRoleAssignedTo/"+a.ID)
}
