package store

import (
	"context"
	"maps"
	"slices"

	"cambio/internal/directory"
)

const assignmentColumns = "id, tenant_id, app_role_id, principal_id, resource_id, created_at"

func scanAssignment(s scanner) (directory.AppRoleAssignment, error) {
	var a directory.AppRoleAssignment
	var created int64
	err := s.Scan(&a.ID, &a.TenantID, &a.AppRoleID, &a.PrincipalID, &a.ResourceID, &created)
	a.CreatedAt = fromMicros(created)
	return a, err
}

// Assignment finds one app role assignment of a tenant.
func (r reads) Assignment(ctx context.Context, tenantID, id string) (directory.AppRoleAssignment, error) {
	row := r.q.QueryRowContext(ctx, "SELECT "+assignmentColumns+" FROM assignments WHERE tenant_id = ? AND id = ?", tenantID, id)
	return one(row, scanAssignment, func() error {
		return directory.Errorf(directory.NotFound, "", "App role assignment '%s' does not exist.", id)
	})
}

// AssignmentsOf lists what was assigned to a principal and reports whether
// more follow. Filters: resourceId and appRoleId eq.
func (r reads) AssignmentsOf(ctx context.Context, tenantID, principalID string, q ListQuery) ([]directory.AppRoleAssignment, bool, error) {
	return r.assignments(ctx, "principal_id = ?", tenantID, principalID, q)
}

// AssignmentsTo lists who was assigned to a resource and reports whether more
// follow. Filters: principalId and appRoleId eq.
func (r reads) AssignmentsTo(ctx context.Context, tenantID, resourceID string, q ListQuery) ([]directory.AppRoleAssignment, bool, error) {
	return r.assignments(ctx, "resource_id = ?", tenantID, resourceID, q)
}

func (r reads) assignments(ctx context.Context, side, tenantID, id string, q ListQuery) ([]directory.AppRoleAssignment, bool, error) {
	rows, err := r.list(ctx, "SELECT "+assignmentColumns+" FROM assignments WHERE tenant_id = ? AND "+side, []any{tenantID, id}, filters{
		"resourceId eq":  "resource_id = lower({value})",
		"principalId eq": "principal_id = lower({value})",
		"appRoleId eq":   "app_role_id = lower({value})",
	}, q)
	items, err := all(rows, err, scanAssignment)
	return page(items, err, q)
}

// RoleValues lists the values of the app roles that a client holds; access
// without a role is an empty one.
func (r reads) RoleValues(ctx context.Context, tenantID, appID string) ([]string, error) {
	principal, err := r.ServicePrincipal(ctx, tenantID, Ref{AppID: appID})
	if IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	grants, err := r.grants(ctx, tenantID, principal.ID)
	if err != nil {
		return nil, err
	}
	resources, err := r.ServicePrincipalsAmong(ctx, tenantID, slices.Collect(maps.Keys(grants)))
	if err != nil {
		return nil, err
	}
	var values []string
	for id, roles := range grants {
		resource := resources[id]
		if resource == nil {
			continue
		}
		app, err := r.Application(ctx, tenantID, Ref{AppID: resource.AppID})
		if err != nil && !IsNotFound(err) {
			return nil, err
		}
		for _, role := range roles {
			values = append(values, roleValue(&app, role))
		}
	}
	return values, nil
}

func roleValue(app *directory.Application, id string) string {
	if i := slices.IndexFunc(app.AppRoles, func(r directory.AppRole) bool { return r.ID == id }); i >= 0 {
		return app.AppRoles[i].Value
	}
	return ""
}

// CreateAssignment grants an app role. Principal and resource must be service
// principals of the tenant; the same grant must not exist. Whether the
// resource defines the role is a rule for the caller.
func (tx *Tx) CreateAssignment(a *directory.AppRoleAssignment) error {
	ctx := context.Background()
	principal, err := tx.assignmentSide(a.TenantID, "principalId", a.PrincipalID)
	if err != nil {
		return err
	}
	resource, err := tx.assignmentSide(a.TenantID, "resourceId", a.ResourceID)
	if err != nil {
		return err
	}
	a.PrincipalID, a.ResourceID = principal.ID, resource.ID
	var holder string
	err = tx.q.QueryRowContext(ctx, "SELECT id FROM assignments WHERE principal_id = ? AND resource_id = ? AND app_role_id = ?",
		a.PrincipalID, a.ResourceID, a.AppRoleID).Scan(&holder)
	if err == nil {
		return directory.Errorf(directory.NameTaken, "appRoleId", "The app role is assigned to this principal already (id %s).", holder)
	}
	if err := ignoreNoRows(err); err != nil {
		return err
	}
	if a.ID == "" {
		a.ID = opaqueID()
	}
	tx.created(&a.CreatedAt)
	_, err = tx.exec("INSERT INTO assignments ("+assignmentColumns+") VALUES (?, ?, ?, ?, ?, ?)",
		a.ID, a.TenantID, a.AppRoleID, a.PrincipalID, a.ResourceID, toMicros(a.CreatedAt))
	tx.touch(directory.KeyClient, a.TenantID, principal.AppID)
	return err
}

func (tx *Tx) assignmentSide(tenantID, property, id string) (directory.ServicePrincipal, error) {
	p, err := tx.ServicePrincipal(context.Background(), tenantID, Ref{ID: id})
	if IsNotFound(err) {
		err = directory.Errorf(directory.ReferenceAbsent, property, "Service principal '%s' does not exist.", id)
	}
	return p, err
}

// DeleteAssignment takes a grant away.
func (tx *Tx) DeleteAssignment(tenantID, id string) error {
	ctx := context.Background()
	a, err := tx.Assignment(ctx, tenantID, id)
	if err != nil {
		return err
	}
	principal, err := tx.ServicePrincipal(ctx, tenantID, Ref{ID: a.PrincipalID})
	if err != nil {
		return err
	}
	_, err = tx.exec("DELETE FROM assignments WHERE tenant_id = ? AND id = ?", tenantID, id)
	tx.touch(directory.KeyClient, tenantID, principal.AppID)
	return err
}
