package store

import (
	"context"
	"strings"

	"cambio/internal/directory"
)

// MaxOwners is how many owners one object may have.
const MaxOwners = 100

// Owners lists the owners of an application or of a service principal, in
// order of id, and reports whether more follow. Filter: id eq.
func (r reads) Owners(ctx context.Context, tenantID, objectID string, q ListQuery) ([]directory.ServicePrincipal, bool, error) {
	rows, err := r.list(ctx, "SELECT "+principalColumns+" FROM service_principals WHERE tenant_id = ?"+
		" AND id IN (SELECT owner_id FROM owners WHERE object_id = ?)", []any{tenantID, strings.ToLower(objectID)},
		filters{"id eq": "id = lower({value})"}, q)
	items, err := all(rows, err, scanPrincipal)
	return page(items, err, q)
}

// OwnedObjects lists the object ids of the applications and service
// principals that a service principal owns, in order, and reports whether
// more follow. There are no filters.
func (r reads) OwnedObjects(ctx context.Context, tenantID, ownerID string, q ListQuery) ([]string, bool, error) {
	rows, err := r.list(ctx, "SELECT id FROM (SELECT object_id AS id FROM owners WHERE tenant_id = ? AND owner_id = ?) AS owned WHERE true",
		[]any{tenantID, strings.ToLower(ownerID)}, nil, q)
	items, err := all(rows, err, func(s scanner) (id string, err error) { return id, s.Scan(&id) })
	return page(items, err, q)
}

// Owns reports whether a service principal is an owner of the application or
// service principal objectID, or of the application that has appID. Either may
// be empty.
func (r reads) Owns(ctx context.Context, tenantID, ownerID, objectID, appID string) (owns bool, err error) {
	err = r.q.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM owners WHERE tenant_id = ?1 AND owner_id = ?2"+
		" AND object_id IN (?3, (SELECT id FROM applications WHERE tenant_id = ?1 AND app_id = ?4)))",
		tenantID, strings.ToLower(ownerID), strings.ToLower(objectID), strings.ToLower(appID)).Scan(&owns)
	return owns, err
}

// AddOwner makes a service principal of the tenant an owner of an application
// or of a service principal. Errors: NotFound for the object, ReferenceAbsent
// for the owner, NameTaken when it is one already, LimitReached.
func (tx *Tx) AddOwner(tenantID, objectID, ownerID string) error {
	ctx := context.Background()
	objectID, ownerID = strings.ToLower(objectID), strings.ToLower(ownerID)
	var exists bool
	err := tx.q.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM applications WHERE tenant_id = ?1 AND id = ?2)"+
		" OR EXISTS (SELECT 1 FROM service_principals WHERE tenant_id = ?1 AND id = ?2)", tenantID, objectID).Scan(&exists)
	if err != nil {
		return err
	}
	if !exists {
		return directory.Errorf(directory.NotFound, "", "Object '%s' does not exist.", objectID)
	}
	if _, err := tx.ServicePrincipal(ctx, tenantID, Ref{ID: ownerID}); IsNotFound(err) {
		return directory.Errorf(directory.ReferenceAbsent, "owners",
			"Resource '%s' does not exist or one of its queried reference-property objects are not present. Owners are service principals of this tenant.", ownerID)
	} else if err != nil {
		return err
	}
	var owners int
	var already bool
	err = tx.q.QueryRowContext(ctx, "SELECT count(*), count(*) FILTER (WHERE owner_id = ?) > 0 FROM owners WHERE object_id = ?", ownerID, objectID).Scan(&owners, &already)
	switch {
	case err != nil:
		return err
	case already:
		return directory.Errorf(directory.NameTaken, "owners", "Service principal '%s' is an owner already.", ownerID)
	case owners >= MaxOwners:
		return directory.Errorf(directory.LimitReached, "owners", "There are %d owners already, the most that one object may have.", owners)
	}
	_, err = tx.exec("INSERT INTO owners (tenant_id, object_id, owner_id, created_at) VALUES (?, ?, ?, ?)", tenantID, objectID, ownerID, tx.now.UnixMicro())
	return err
}

// RemoveOwner ends an ownership. The error is NotFound when there is none.
func (tx *Tx) RemoveOwner(tenantID, objectID, ownerID string) error {
	n, err := tx.exec("DELETE FROM owners WHERE tenant_id = ? AND object_id = ? AND owner_id = ?", tenantID, strings.ToLower(objectID), strings.ToLower(ownerID))
	if err == nil && n == 0 {
		err = directory.Errorf(directory.NotFound, "", "Service principal '%s' is not an owner of '%s'.", ownerID, objectID)
	}
	return err
}
