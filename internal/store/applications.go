package store

import (
	"context"
	"slices"
	"strings"

	"cambio/internal/directory"
)

// Ref addresses an application or a service principal by exactly one of its
// keys. GUIDs may be in any case. A service principal has ID and AppID only.
type Ref struct {
	ID            string
	AppID         string
	UniqueName    string
	IdentifierURI string
}

const applicationColumns = "id, tenant_id, app_id, display_name, description, unique_name, sign_in_audience," +
	" tags, app_roles, token_version, token_algorithm, token_profile, optional_idtyp, disabled," +
	" notes, management_reference, required_access, created_at"

// appRole is the stored form of directory.AppRole.
type appRole struct {
	ID                 string   `json:"id"`
	Value              string   `json:"value"`
	DisplayName        string   `json:"displayName"`
	Description        string   `json:"description"`
	AllowedMemberTypes []string `json:"allowedMemberTypes"`
	IsEnabled          bool     `json:"isEnabled"`
}

// requiredAccess is the stored form of directory.RequiredResourceAccess.
type requiredAccess struct {
	ResourceAppID  string           `json:"resourceAppId"`
	ResourceAccess []resourceAccess `json:"resourceAccess"`
}

// resourceAccess is the stored form of directory.ResourceAccess.
type resourceAccess struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

func scanApplication(s scanner) (directory.Application, error) {
	var a directory.Application
	var tags, roles, required string
	var created int64
	err := s.Scan(&a.ID, &a.TenantID, &a.AppID, &a.DisplayName, &a.Description, &a.UniqueName, &a.SignInAudience,
		&tags, &roles, &a.API.RequestedAccessTokenVersion, &a.API.AccessTokenSigningAlgorithm, &a.API.AccessTokenProfile,
		&a.OptionalIdtyp, &a.Disabled, &a.Notes, &a.ServiceManagementReference, &required, &created)
	if err != nil {
		return a, err
	}
	a.CreatedAt = fromMicros(created)
	if err := decode(tags, &a.Tags); err != nil {
		return a, err
	}
	var stored []appRole
	if err := decode(roles, &stored); err != nil {
		return a, err
	}
	for _, role := range stored {
		a.AppRoles = append(a.AppRoles, directory.AppRole(role))
	}
	a.RequiredResourceAccess, err = decodeRequired(required)
	return a, err
}

func decodeRequired(text string) (out []directory.RequiredResourceAccess, err error) {
	var stored []requiredAccess
	if err := decode(text, &stored); err != nil {
		return nil, err
	}
	for _, r := range stored {
		resource := directory.RequiredResourceAccess{ResourceAppID: r.ResourceAppID}
		for _, access := range r.ResourceAccess {
			resource.ResourceAccess = append(resource.ResourceAccess, directory.ResourceAccess(access))
		}
		out = append(out, resource)
	}
	return out, nil
}

func encodeRequired(resources []directory.RequiredResourceAccess) (string, error) {
	stored := make([]requiredAccess, len(resources))
	for i, r := range resources {
		stored[i].ResourceAppID = r.ResourceAppID
		for _, access := range r.ResourceAccess {
			stored[i].ResourceAccess = append(stored[i].ResourceAccess, resourceAccess(access))
		}
	}
	return encode(stored)
}

// applicationValues are the values of the columns from app_id on.
func applicationValues(a *directory.Application) ([]any, error) {
	tags, err := encode(a.Tags)
	if err != nil {
		return nil, err
	}
	stored := make([]appRole, len(a.AppRoles))
	for i, role := range a.AppRoles {
		stored[i] = appRole(role)
	}
	roles, err := encode(stored)
	if err != nil {
		return nil, err
	}
	required, err := encodeRequired(a.RequiredResourceAccess)
	if err != nil {
		return nil, err
	}
	return []any{a.DisplayName, a.Description, a.UniqueName, a.SignInAudience, tags, roles,
		a.API.RequestedAccessTokenVersion, a.API.AccessTokenSigningAlgorithm, a.API.AccessTokenProfile,
		a.OptionalIdtyp, a.Disabled, a.Notes, a.ServiceManagementReference, required}, nil
}

// Application finds one application of a tenant.
func (r reads) Application(ctx context.Context, tenantID string, ref Ref) (directory.Application, error) {
	condition, value := "id = ?", strings.ToLower(ref.ID)
	switch {
	case ref.AppID != "":
		condition, value = "app_id = ?", strings.ToLower(ref.AppID)
	case ref.UniqueName != "":
		condition, value = "unique_name = ?", ref.UniqueName
	case ref.IdentifierURI != "":
		condition = "id = (SELECT application_id FROM identifier_uris WHERE tenant_id = applications.tenant_id AND uri = ?)"
		value = ref.IdentifierURI
	}
	row := r.q.QueryRowContext(ctx, "SELECT "+applicationColumns+" FROM applications WHERE tenant_id = ? AND "+condition, tenantID, value)
	a, err := one(row, scanApplication, func() error {
		return directory.Errorf(directory.NotFound, "", "Application '%s' does not exist.", value)
	})
	if err == nil {
		a.IdentifierURIs, err = r.identifierURIs(ctx, a.ID)
	}
	return a, err
}

// ApplicationsAmong returns the applications of a tenant whose id or appId is
// one of ids, which are in lower case, by both.
func (r reads) ApplicationsAmong(ctx context.Context, tenantID string, ids []string) (map[string]*directory.Application, error) {
	among, err := encode(ids)
	if err != nil {
		return nil, err
	}
	rows, err := r.q.QueryContext(ctx, "SELECT "+applicationColumns+" FROM applications WHERE tenant_id = ?1 AND id IN (SELECT value FROM json_each(?2)"+
		" UNION SELECT id FROM applications WHERE app_id IN (SELECT value FROM json_each(?2)))", tenantID, among)
	items, err := all(rows, err, scanApplication)
	if err == nil {
		err = r.addIdentifierURIs(ctx, items)
	}
	found := make(map[string]*directory.Application, 2*len(items))
	for i := range items {
		found[items[i].ID], found[items[i].AppID] = &items[i], &items[i]
	}
	return found, err
}

// addIdentifierURIs reads the identifier URIs of many applications.
func (r reads) addIdentifierURIs(ctx context.Context, items []directory.Application) error {
	ids, at := make([]string, len(items)), make(map[string]int, len(items))
	for i := range items {
		ids[i], at[items[i].ID] = items[i].ID, i
	}
	among, err := encode(ids)
	if err != nil {
		return err
	}
	type held struct{ application, uri string }
	rows, err := r.q.QueryContext(ctx, "SELECT application_id, uri FROM identifier_uris"+
		" WHERE application_id IN (SELECT value FROM json_each(?)) ORDER BY application_id, position", among)
	list, err := all(rows, err, func(s scanner) (h held, err error) { return h, s.Scan(&h.application, &h.uri) })
	for _, h := range list {
		app := &items[at[h.application]]
		app.IdentifierURIs = append(app.IdentifierURIs, h.uri)
	}
	return err
}

func (r reads) identifierURIs(ctx context.Context, applicationID string) ([]string, error) {
	rows, err := r.q.QueryContext(ctx, "SELECT uri FROM identifier_uris WHERE application_id = ? ORDER BY position", applicationID)
	return all(rows, err, func(s scanner) (uri string, err error) { return uri, s.Scan(&uri) })
}

// Applications lists the applications of a tenant and reports whether more
// follow. Filters: displayName eq and startswith (any case), appId, id,
// uniqueName and identifierUris eq.
func (r reads) Applications(ctx context.Context, tenantID string, q ListQuery) ([]directory.Application, bool, error) {
	rows, err := r.list(ctx, "SELECT "+applicationColumns+" FROM applications WHERE tenant_id = ?", []any{tenantID}, filters{
		"displayName eq":         nameIs,
		"displayName startswith": nameStarts,
		"appId eq":               "app_id = lower({value})",
		"id eq":                  "id = lower({value})",
		"uniqueName eq":          "unique_name = {value}",
		"identifierUris eq":      "id = (SELECT application_id FROM identifier_uris WHERE tenant_id = applications.tenant_id AND uri = {value})",
	}, q)
	items, err := all(rows, err, scanApplication)
	if err == nil {
		err = r.addIdentifierURIs(ctx, items)
	}
	return page(items, err, q)
}

// CreateApplication adds an application. Its AppID, UniqueName and
// IdentifierURIs must be free.
func (tx *Tx) CreateApplication(a *directory.Application) error {
	if err := tx.objectID(&a.ID); err != nil {
		return err
	}
	if err := tx.newID(&a.AppID); err != nil {
		return err
	}
	tx.created(&a.CreatedAt)
	if err := tx.requireTenant(a.TenantID); err != nil {
		return err
	}
	if err := tx.checkAppID(a.AppID); err != nil {
		return err
	}
	if err := tx.checkUniqueName(a); err != nil {
		return err
	}
	values, err := applicationValues(a)
	if err != nil {
		return err
	}
	values = append([]any{a.ID, a.TenantID, a.AppID}, values...)
	_, err = tx.exec("INSERT INTO applications ("+applicationColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		append(values, toMicros(a.CreatedAt))...)
	if err != nil {
		return err
	}
	tx.touchApp(a.TenantID, a.AppID)
	return tx.putIdentifierURIs(a)
}

// UpdateApplication replaces everything about an application but its ID,
// AppID and time of creation.
func (tx *Tx) UpdateApplication(a *directory.Application) error {
	before, err := tx.Application(context.Background(), a.TenantID, Ref{ID: a.ID})
	if err != nil {
		return err
	}
	if err := tx.checkUniqueName(a); err != nil {
		return err
	}
	values, err := applicationValues(a)
	if err != nil {
		return err
	}
	_, err = tx.exec("UPDATE applications SET display_name = ?, description = ?, unique_name = ?, sign_in_audience = ?,"+
		" tags = ?, app_roles = ?, token_version = ?, token_algorithm = ?, token_profile = ?, optional_idtyp = ?, disabled = ?,"+
		" notes = ?, management_reference = ?, required_access = ?"+
		" WHERE tenant_id = ? AND id = ?", append(values, a.TenantID, before.ID)...)
	if err != nil {
		return err
	}
	if err := tx.dropRoles(&before, a); err != nil {
		return err
	}
	tx.touchApp(before.TenantID, before.AppID)
	return tx.putIdentifierURIs(a)
}

// dropRoles takes away the assignments of roles that an application no longer
// defines: another role under the same id must find nobody who holds it.
func (tx *Tx) dropRoles(before, after *directory.Application) error {
	ctx := context.Background()
	for _, role := range before.AppRoles {
		if slices.ContainsFunc(after.AppRoles, func(r directory.AppRole) bool { return strings.EqualFold(r.ID, role.ID) }) {
			continue
		}
		if err := tx.dropDeletedRole(before.TenantID, before.AppID, role.ID); err != nil {
			return err
		}
		sp, err := tx.ServicePrincipal(ctx, before.TenantID, Ref{AppID: before.AppID})
		if IsNotFound(err) {
			continue // without one nobody can hold a role
		}
		if err != nil {
			return err
		}
		rows, err := tx.q.QueryContext(ctx, "SELECT DISTINCT p.app_id FROM assignments a JOIN service_principals p ON p.id = a.principal_id"+
			" WHERE a.resource_id = ? AND a.app_role_id = lower(?)", sp.ID, role.ID)
		holders, err := all(rows, err, func(s scanner) (appID string, err error) { return appID, s.Scan(&appID) })
		if err != nil {
			return err
		}
		if _, err := tx.exec("DELETE FROM assignments WHERE resource_id = ? AND app_role_id = lower(?)", sp.ID, role.ID); err != nil {
			return err
		}
		for _, holder := range holders {
			tx.touch(directory.KeyClient, before.TenantID, holder)
		}
	}
	return nil
}

// DeleteApplication removes an application with its credentials, its owners,
// its service principal and every assignment of or to that. All of it is kept
// among the deleted items.
func (tx *Tx) DeleteApplication(tenantID, id string) error {
	ctx := context.Background()
	a, err := tx.Application(ctx, tenantID, Ref{ID: id})
	if err != nil {
		return err
	}
	var principal *directory.ServicePrincipal
	if p, err := tx.ServicePrincipal(ctx, tenantID, Ref{AppID: a.AppID}); err == nil {
		principal = &p
	} else if !IsNotFound(err) {
		return err
	}
	if err := tx.keepApplication(&a, principal); err != nil {
		return err
	}
	if principal != nil {
		if err := tx.removePrincipal(*principal); err != nil {
			return err
		}
	}
	for _, statement := range []string{
		"DELETE FROM identifier_uris WHERE tenant_id = ? AND application_id = ?",
		"DELETE FROM owners WHERE tenant_id = ? AND object_id = ?",
		"DELETE FROM applications WHERE tenant_id = ? AND id = ?",
	} {
		if _, err := tx.exec(statement, tenantID, a.ID); err != nil {
			return err
		}
	}
	tx.touchApp(tenantID, a.AppID)
	return tx.retire(a.ID, a.AppID)
}

func (tx *Tx) requireTenant(id string) error {
	var exists bool
	err := tx.q.QueryRowContext(context.Background(), "SELECT EXISTS (SELECT 1 FROM tenants WHERE id = ?)", id).Scan(&exists)
	if err == nil && !exists {
		err = directory.Errorf(directory.ReferenceAbsent, "tenant", "Tenant '%s' does not exist.", id)
	}
	return err
}

// checkAppID refuses a client id that any tenant's application or managed
// identity has: it alone names the client in assertions and tokens.
func (tx *Tx) checkAppID(appID string) error {
	var taken bool
	err := tx.q.QueryRowContext(context.Background(), "SELECT EXISTS (SELECT 1 FROM applications WHERE app_id = ?1)"+
		" OR EXISTS (SELECT 1 FROM managed_identities WHERE client_id = ?1)", appID).Scan(&taken)
	if err == nil && taken {
		err = errAppIDInUse(appID)
	}
	return err
}

func errAppIDInUse(appID string) error {
	return directory.Errorf(directory.NameTaken, "appId", "The appId '%s' is in use.", appID)
}

func (tx *Tx) checkUniqueName(a *directory.Application) error {
	if a.UniqueName == "" {
		return nil
	}
	holder, err := tx.Application(context.Background(), a.TenantID, Ref{UniqueName: a.UniqueName})
	if IsNotFound(err) || err == nil && holder.ID == a.ID {
		return nil
	}
	if err != nil {
		return err
	}
	return directory.Errorf(directory.NameTaken, "uniqueName", "The uniqueName '%s' is held by application '%s' (id %s).",
		a.UniqueName, holder.DisplayName, holder.ID)
}

func (tx *Tx) putIdentifierURIs(a *directory.Application) error {
	if _, err := tx.exec("DELETE FROM identifier_uris WHERE tenant_id = ? AND application_id = ?", a.TenantID, a.ID); err != nil {
		return err
	}
	for i, uri := range a.IdentifierURIs {
		var id, name string
		err := tx.q.QueryRowContext(context.Background(), "SELECT a.id, a.display_name FROM identifier_uris u"+
			" JOIN applications a ON a.id = u.application_id WHERE u.tenant_id = ? AND u.uri = ?", a.TenantID, uri).Scan(&id, &name)
		if err == nil {
			return directory.Errorf(directory.NameTaken, "identifierUris",
				"The identifier URI '%s' is held by application '%s' (id %s).", uri, name, id)
		}
		if err := ignoreNoRows(err); err != nil {
			return err
		}
		_, err = tx.exec("INSERT INTO identifier_uris (tenant_id, uri, application_id, position) VALUES (?, ?, ?, ?)", a.TenantID, uri, a.ID, i)
		if err != nil {
			return err
		}
	}
	return nil
}
