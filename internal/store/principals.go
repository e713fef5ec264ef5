package store

import (
	"context"
	"strings"

	"cambio/internal/directory"
)

const principalColumns = "id, tenant_id, app_id, kind, display_name, description, notes, account_enabled, assignment_required, tags, created_at"

func scanPrincipal(s scanner) (directory.ServicePrincipal, error) {
	var p directory.ServicePrincipal
	var tags string
	var created int64
	err := s.Scan(&p.ID, &p.TenantID, &p.AppID, &p.Kind, &p.DisplayName, &p.Description, &p.Notes,
		&p.AccountEnabled, &p.AppRoleAssignmentRequired, &tags, &created)
	if err != nil {
		return p, err
	}
	p.CreatedAt = fromMicros(created)
	return p, decode(tags, &p.Tags)
}

// ServicePrincipal finds one service principal of a tenant by ref.ID or
// ref.AppID.
func (r reads) ServicePrincipal(ctx context.Context, tenantID string, ref Ref) (directory.ServicePrincipal, error) {
	condition, value := "id = ?", strings.ToLower(ref.ID)
	if ref.AppID != "" {
		condition, value = "app_id = ?", strings.ToLower(ref.AppID)
	}
	row := r.q.QueryRowContext(ctx, "SELECT "+principalColumns+" FROM service_principals WHERE tenant_id = ? AND "+condition, tenantID, value)
	return one(row, scanPrincipal, func() error {
		return directory.Errorf(directory.NotFound, "", "Service principal '%s' does not exist.", value)
	})
}

// ServicePrincipalsAmong returns the service principals of a tenant whose id is
// one of ids, which are in lower case, by id.
func (r reads) ServicePrincipalsAmong(ctx context.Context, tenantID string, ids []string) (map[string]*directory.ServicePrincipal, error) {
	among, err := encode(ids)
	if err != nil {
		return nil, err
	}
	rows, err := r.q.QueryContext(ctx, "SELECT "+principalColumns+" FROM service_principals WHERE tenant_id = ? AND id IN (SELECT value FROM json_each(?))", tenantID, among)
	items, err := all(rows, err, scanPrincipal)
	found := make(map[string]*directory.ServicePrincipal, len(items))
	for i := range items {
		found[items[i].ID] = &items[i]
	}
	return found, err
}

// ServicePrincipals lists the service principals of a tenant and reports
// whether more follow. Filters: displayName eq and startswith (any case),
// appId, id, servicePrincipalType and servicePrincipalNames eq (the appId or
// any identifier URI of the application).
func (r reads) ServicePrincipals(ctx context.Context, tenantID string, q ListQuery) ([]directory.ServicePrincipal, bool, error) {
	rows, err := r.list(ctx, "SELECT "+principalColumns+" FROM service_principals WHERE tenant_id = ?", []any{tenantID}, filters{
		"displayName eq":          nameIs,
		"displayName startswith":  nameStarts,
		"appId eq":                "app_id = lower({value})",
		"id eq":                   "id = lower({value})",
		"servicePrincipalType eq": "kind = {value}",
		"servicePrincipalNames eq": "app_id IN (SELECT lower({value}) UNION ALL SELECT a.app_id FROM identifier_uris u" +
			" JOIN applications a ON a.id = u.application_id WHERE u.tenant_id = service_principals.tenant_id AND u.uri = {value})",
	}, q)
	items, err := all(rows, err, scanPrincipal)
	return page(items, err, q)
}

// CreateServicePrincipal adds the service principal of an application, which
// must exist in the tenant and have none yet.
func (tx *Tx) CreateServicePrincipal(p *directory.ServicePrincipal) error {
	ctx := context.Background()
	p.AppID = strings.ToLower(p.AppID)
	if _, err := tx.Application(ctx, p.TenantID, Ref{AppID: p.AppID}); IsNotFound(err) {
		return directory.Errorf(directory.ReferenceAbsent, "appId",
			"The appId '%s' does not reference a valid application object.", p.AppID)
	} else if err != nil {
		return err
	}
	if p.Kind == "" {
		p.Kind = directory.KindApplication
	}
	return tx.insertPrincipal(p)
}

func (tx *Tx) insertPrincipal(p *directory.ServicePrincipal) error {
	if err := tx.objectID(&p.ID); err != nil {
		return err
	}
	tx.created(&p.CreatedAt)
	holder, err := tx.ServicePrincipal(context.Background(), p.TenantID, Ref{AppID: p.AppID})
	if err == nil {
		return directory.Errorf(directory.NameTaken, "appId", "The service principal of appId '%s' exists (id %s).", p.AppID, holder.ID)
	}
	if !IsNotFound(err) {
		return err
	}
	tags, err := encode(p.Tags)
	if err != nil {
		return err
	}
	_, err = tx.exec("INSERT INTO service_principals ("+principalColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		p.ID, p.TenantID, p.AppID, p.Kind, p.DisplayName, p.Description, p.Notes, p.AccountEnabled, p.AppRoleAssignmentRequired, tags, toMicros(p.CreatedAt))
	if err != nil {
		return err
	}
	tx.touchApp(p.TenantID, p.AppID)
	return nil
}

// UpdateServicePrincipal replaces DisplayName, Description, Notes,
// AccountEnabled, AppRoleAssignmentRequired and Tags.
func (tx *Tx) UpdateServicePrincipal(p *directory.ServicePrincipal) error {
	before, err := tx.ServicePrincipal(context.Background(), p.TenantID, Ref{ID: p.ID})
	if err != nil {
		return err
	}
	tags, err := encode(p.Tags)
	if err != nil {
		return err
	}
	_, err = tx.exec("UPDATE service_principals SET display_name = ?, description = ?, notes = ?, account_enabled = ?, assignment_required = ?, tags = ?"+
		" WHERE tenant_id = ? AND id = ?",
		p.DisplayName, p.Description, p.Notes, p.AccountEnabled, p.AppRoleAssignmentRequired, tags, before.TenantID, before.ID)
	if err != nil {
		return err
	}
	tx.touchApp(before.TenantID, before.AppID)
	return nil
}

// DeleteServicePrincipal removes a service principal with its owners, its
// ownerships and every assignment of or to it. It is kept among the deleted
// items, but for what it owned.
func (tx *Tx) DeleteServicePrincipal(tenantID, id string) error {
	p, err := tx.ServicePrincipal(context.Background(), tenantID, Ref{ID: id})
	if err != nil {
		return err
	}
	if p.Kind == directory.KindManagedIdentity {
		return directory.Errorf(directory.Invalid, "", "Service principal '%s' belongs to a managed identity. Delete the identity.", p.ID)
	}
	if err := tx.keepPrincipal(&p); err != nil {
		return err
	}
	return tx.removePrincipal(p)
}

func (tx *Tx) removePrincipal(p directory.ServicePrincipal) error {
	tx.touchApp(p.TenantID, p.AppID)
	return tx.removePrincipals(p.TenantID, []string{p.ID})
}

// removePrincipals removes service principals, whose records the caller
// touches.
func (tx *Tx) removePrincipals(tenantID string, ids []string) error {
	for _, statement := range []string{
		"DELETE FROM assignments WHERE tenant_id = ?2 AND (principal_id IN (SELECT id FROM among) OR resource_id IN (SELECT id FROM among))",
		"DELETE FROM owners WHERE tenant_id = ?2 AND (object_id IN (SELECT id FROM among) OR owner_id IN (SELECT id FROM among))",
		"DELETE FROM bootstrap_tokens WHERE tenant_id = ?2 AND principal_id IN (SELECT id FROM among)",
		"DELETE FROM service_principals WHERE tenant_id = ?2 AND id IN (SELECT id FROM among)",
	} {
		if err := tx.eachOf(ids, statement, tenantID); err != nil {
			return err
		}
	}
	return tx.retire(ids...)
}
