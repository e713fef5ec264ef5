package store

import (
	"context"
	"strings"
	"time"

	"cambio/internal/directory"
)

// DeletedItemRetention is how long a deleted application or service principal
// can be restored.
const DeletedItemRetention = 30 * 24 * time.Hour

// Kinds of deleted item.
const (
	DeletedApplication      = "application"
	DeletedServicePrincipal = "servicePrincipal"
)

// DeletedItem is a deleted application or service principal. Exactly one of
// the two is set. The service principal of a deleted application is among
// what is attached to it, and comes back with it.
type DeletedItem struct {
	ID               string // object id
	TenantID         string
	DeletedAt        time.Time
	Application      *directory.Application
	ServicePrincipal *directory.ServicePrincipal
	Attached         Attached // only of an item that is read alone
}

// Attached is what was deleted along with an object, but for its credentials
// and assignments, of which there may be any number. The names of its fields,
// and of those of package directory in it, are stored.
type Attached struct {
	ServicePrincipal *directory.ServicePrincipal
	Owners           []Ownership
}

// Ownership says who owned what.
type Ownership struct{ ObjectID, OwnerID string }

// OwnedBy reports whether a service principal was an owner of the item itself
// when that was deleted.
func (d *DeletedItem) OwnedBy(ownerID string) bool {
	for _, o := range d.Attached.Owners {
		if o.ObjectID == d.ID && o.OwnerID == ownerID {
			return true
		}
	}
	return false
}

const deletedColumns = "id, tenant_id, kind, deleted_at, object"

func scanDeleted(s scanner, more ...any) (d DeletedItem, err error) {
	var kind, object string
	var at int64
	if err := s.Scan(append([]any{&d.ID, &d.TenantID, &kind, &at, &object}, more...)...); err != nil {
		return d, err
	}
	d.DeletedAt = fromMicros(at)
	if kind == DeletedApplication {
		return d, decode(object, &d.Application)
	}
	return d, decode(object, &d.ServicePrincipal)
}

// DeletedItem finds an item of a tenant that can still be restored at the
// given time.
func (r reads) DeletedItem(ctx context.Context, tenantID, id string, now time.Time) (DeletedItem, error) {
	row := r.q.QueryRowContext(ctx, "SELECT "+deletedColumns+", attached FROM deleted_items WHERE tenant_id = ? AND id = ? AND deleted_at > ?",
		tenantID, strings.ToLower(id), now.Add(-DeletedItemRetention).UnixMicro())
	return one(row, func(s scanner) (DeletedItem, error) {
		var attached string
		d, err := scanDeleted(s, &attached)
		if err == nil {
			err = decode(attached, &d.Attached)
		}
		return d, err
	}, func() error {
		return directory.Errorf(directory.NotFound, "", "Deleted item '%s' does not exist.", id)
	})
}

// DeletedItems lists the items of a kind, without what is attached to them,
// and reports whether more follow. Filters: displayName eq and startswith
// (any case), appId and id eq.
func (r reads) DeletedItems(ctx context.Context, tenantID, kind string, now time.Time, q ListQuery) ([]DeletedItem, bool, error) {
	rows, err := r.list(ctx, "SELECT "+deletedColumns+" FROM deleted_items WHERE tenant_id = ? AND kind = ? AND deleted_at > ?",
		[]any{tenantID, kind, now.Add(-DeletedItemRetention).UnixMicro()}, filters{
			"displayName eq":         nameIs,
			"displayName startswith": nameStarts,
			"appId eq":               "app_id = lower({value})",
			"id eq":                  "id = lower({value})",
		}, q)
	items, err := all(rows, err, func(s scanner) (DeletedItem, error) { return scanDeleted(s) })
	return page(items, err, q)
}

// endDeletedItems are the statements that end the deleted items that fulfil a
// condition with one parameter, which each of them takes.
func endDeletedItems(condition string) []string {
	return []string{
		"INSERT INTO retired_ids (id, at) SELECT c.id, d.deleted_at FROM deleted_items d JOIN credentials c ON c.parent_id = d.id WHERE d." + condition + " ON CONFLICT DO NOTHING",
		"DELETE FROM credentials WHERE parent_id IN (SELECT id FROM deleted_items WHERE " + condition + ")",
		"DELETE FROM deleted_items WHERE " + condition,
	}
}

func expireDeletedItems() []string { return endDeletedItems("deleted_at <= ?") }

func (tx *Tx) endDeletedItems(statements []string, arg any) error {
	for _, statement := range statements {
		if _, err := tx.exec(statement, arg); err != nil {
			return err
		}
	}
	return nil
}

// keep puts what is about to be deleted among the deleted items, and ends
// those whose time is over.
func (tx *Tx) keep(d *DeletedItem) error {
	if err := tx.endDeletedItems(expireDeletedItems(), tx.now.Add(-DeletedItemRetention).UnixMicro()); err != nil {
		return err
	}
	kind, appID, name, shown := DeletedServicePrincipal, "", "", any(d.ServicePrincipal)
	if d.Application != nil {
		kind, appID, name, shown = DeletedApplication, d.Application.AppID, d.Application.DisplayName, d.Application
	} else {
		appID, name = d.ServicePrincipal.AppID, d.ServicePrincipal.DisplayName
	}
	object, err := encode(shown)
	if err != nil {
		return err
	}
	attached, err := encode(d.Attached)
	if err != nil {
		return err
	}
	_, err = tx.exec("INSERT INTO deleted_items ("+deletedColumns+", app_id, display_name, attached) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		d.ID, d.TenantID, kind, tx.now.UnixMicro(), object, appID, name, attached)
	return err
}

// keepApplication keeps an application that is about to be deleted; principal
// is its service principal or nil.
func (tx *Tx) keepApplication(a *directory.Application, principal *directory.ServicePrincipal) (err error) {
	d := DeletedItem{ID: a.ID, TenantID: a.TenantID, Application: a}
	d.Attached.ServicePrincipal = principal
	if d.Attached.Owners, err = tx.ownerships(a.ID); err != nil {
		return err
	}
	if principal == nil {
		return tx.keep(&d)
	}
	return tx.keepWithPrincipal(&d, principal)
}

// keepPrincipal keeps a service principal that is about to be deleted alone.
func (tx *Tx) keepPrincipal(p *directory.ServicePrincipal) error {
	return tx.keepWithPrincipal(&DeletedItem{ID: p.ID, TenantID: p.TenantID, ServicePrincipal: p}, p)
}

// keepWithPrincipal keeps an item with the owners of a service principal and
// the assignments of and to it.
func (tx *Tx) keepWithPrincipal(d *DeletedItem, p *directory.ServicePrincipal) error {
	owners, err := tx.ownerships(p.ID)
	if err != nil {
		return err
	}
	d.Attached.Owners = append(d.Attached.Owners, owners...)
	if err := tx.keep(d); err != nil {
		return err
	}
	_, err = tx.exec("INSERT INTO deleted_assignments ("+assignmentColumns+", item_id) SELECT "+assignmentColumns+", ?2 FROM assignments"+
		" WHERE principal_id = ?1 OR resource_id = ?1", p.ID, d.ID)
	return err
}

func (tx *Tx) ownerships(objectID string) ([]Ownership, error) {
	rows, err := tx.q.QueryContext(context.Background(), "SELECT object_id, owner_id FROM owners WHERE object_id = ?", objectID)
	return all(rows, err, func(s scanner) (o Ownership, err error) { return o, s.Scan(&o.ObjectID, &o.OwnerID) })
}

// DeleteDeletedItem ends an item for good; its identifiers stay retired.
func (tx *Tx) DeleteDeletedItem(tenantID, id string) error {
	d, err := tx.DeletedItem(context.Background(), tenantID, id, tx.now)
	if err != nil {
		return err
	}
	return tx.endDeletedItems(endDeletedItems("id = ?"), d.ID)
}

// dropDeletedRole ends the assignments among the deleted ones of an app role
// that is removed from the application with appID: like those of live service
// principals, they must not come back under another role with the same id.
func (tx *Tx) dropDeletedRole(tenantID, appID, role string) error {
	const ofRole = " WHERE resource_id IN (SELECT id FROM service_principals WHERE tenant_id = ?1 AND app_id = ?2" +
		" UNION ALL SELECT id FROM deleted_items WHERE tenant_id = ?1 AND app_id = ?2) AND app_role_id = lower(?3)"
	if err := tx.touchDeleted(tenantID, ofRole, tenantID, appID, role); err != nil {
		return err
	}
	_, err := tx.exec("DELETE FROM deleted_assignments"+ofRole, tenantID, appID, role)
	return err
}

// touchDeleted notes a change of what the principals, those that exist, of
// some deleted assignments may do: they may have been remembered with the
// assignment, whose resource may have its old identifier again.
func (tx *Tx) touchDeleted(tenantID, condition string, args ...any) error {
	rows, err := tx.q.QueryContext(context.Background(), "SELECT app_id FROM service_principals WHERE id IN (SELECT principal_id FROM deleted_assignments"+condition+")", args...)
	clients, err := all(rows, err, func(s scanner) (appID string, err error) { return appID, s.Scan(&appID) })
	for _, appID := range clients {
		tx.touch(directory.KeyClient, tenantID, appID)
	}
	return err
}
