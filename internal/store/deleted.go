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

// Attached is what was deleted along with an object. The names of its fields,
// and of those of package directory in it, are stored.
type Attached struct {
	Credentials      []directory.FederatedIdentityCredential
	ServicePrincipal *directory.ServicePrincipal
	Assignments      []directory.AppRoleAssignment
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
			"displayName eq":         "display_name = ?",
			"displayName startswith": `display_name LIKE ? ESCAPE '\'`,
			"appId eq":               "app_id = lower(?)",
			"id eq":                  "id = lower(?)",
		}, q)
	items, err := all(rows, err, func(s scanner) (DeletedItem, error) { return scanDeleted(s) })
	return page(items, err, q)
}

const expireDeletedItems = "DELETE FROM deleted_items WHERE deleted_at <= ?"

// keep puts what is about to be deleted among the deleted items, and ends
// those whose time is over.
func (tx *Tx) keep(d *DeletedItem) error {
	if _, err := tx.exec(expireDeletedItems, tx.now.Add(-DeletedItemRetention).UnixMicro()); err != nil {
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
func (tx *Tx) keepApplication(a *directory.Application, principal *directory.ServicePrincipal) error {
	d := DeletedItem{ID: a.ID, TenantID: a.TenantID, Application: a}
	rows, err := tx.q.QueryContext(context.Background(), "SELECT "+credentialColumns+" FROM credentials WHERE tenant_id = ? AND parent_id = ?", a.TenantID, a.ID)
	if d.Attached.Credentials, err = all(rows, err, scanCredential); err != nil {
		return err
	}
	if d.Attached.Owners, err = tx.ownerships(a.ID); err != nil {
		return err
	}
	if principal != nil {
		d.Attached.ServicePrincipal = principal
		if err := tx.attachPrincipal(&d, principal); err != nil {
			return err
		}
	}
	return tx.keep(&d)
}

// keepPrincipal keeps a service principal that is about to be deleted alone.
func (tx *Tx) keepPrincipal(p *directory.ServicePrincipal) error {
	d := DeletedItem{ID: p.ID, TenantID: p.TenantID, ServicePrincipal: p}
	if err := tx.attachPrincipal(&d, p); err != nil {
		return err
	}
	return tx.keep(&d)
}

// attachPrincipal attaches the owners of a service principal and the
// assignments of and to it.
func (tx *Tx) attachPrincipal(d *DeletedItem, p *directory.ServicePrincipal) error {
	rows, err := tx.q.QueryContext(context.Background(), "SELECT "+assignmentColumns+" FROM assignments WHERE principal_id = ?1 OR resource_id = ?1", p.ID)
	if d.Attached.Assignments, err = all(rows, err, scanAssignment); err != nil {
		return err
	}
	owners, err := tx.ownerships(p.ID)
	d.Attached.Owners = append(d.Attached.Owners, owners...)
	return err
}

func (tx *Tx) ownerships(objectID string) ([]Ownership, error) {
	rows, err := tx.q.QueryContext(context.Background(), "SELECT object_id, owner_id FROM owners WHERE object_id = ?", objectID)
	return all(rows, err, func(s scanner) (o Ownership, err error) { return o, s.Scan(&o.ObjectID, &o.OwnerID) })
}

// DeleteDeletedItem ends an item for good; its identifiers stay retired.
func (tx *Tx) DeleteDeletedItem(tenantID, id string) error {
	if _, err := tx.DeletedItem(context.Background(), tenantID, id, tx.now); err != nil {
		return err
	}
	_, err := tx.exec("DELETE FROM deleted_items WHERE tenant_id = ? AND id = ?", tenantID, strings.ToLower(id))
	return err
}

// dropDeletedRole takes the assignments of an app role that is removed from
// the application with appID out of what is attached to deleted items: like
// those of live service principals, they must not come back under another
// role with the same id.
func (tx *Tx) dropDeletedRole(tenantID, appID, role string) error {
	rows, err := tx.q.QueryContext(context.Background(), "SELECT id FROM deleted_items WHERE tenant_id = ? AND instr(attached, lower(?)) > 0", tenantID, role)
	ids, err := all(rows, err, func(s scanner) (id string, err error) { return id, s.Scan(&id) })
	for _, id := range ids {
		if err == nil {
			err = tx.dropRoleOf(tenantID, id, appID, role)
		}
	}
	return err
}

func (tx *Tx) dropRoleOf(tenantID, id, appID, role string) error {
	d, err := tx.DeletedItem(context.Background(), tenantID, id, tx.now)
	if IsNotFound(err) {
		return nil // its time is over
	}
	if err != nil {
		return err
	}
	kept := d.Attached.Assignments[:0]
	for _, a := range d.Attached.Assignments {
		isOf, err := tx.isPrincipalOf(a.ResourceID, appID)
		if err != nil {
			return err
		}
		if !isOf || !strings.EqualFold(a.AppRoleID, role) {
			kept = append(kept, a)
			continue
		}
		if err := tx.touchPrincipal(tenantID, a.PrincipalID); err != nil {
			return err
		}
	}
	d.Attached.Assignments = kept
	attached, err := encode(d.Attached)
	if err != nil {
		return err
	}
	_, err = tx.exec("UPDATE deleted_items SET attached = ? WHERE id = ?", attached, d.ID)
	return err
}

// isPrincipalOf reports whether a service principal, which may be deleted, is
// that of the application with appID.
func (tx *Tx) isPrincipalOf(id, appID string) (is bool, err error) {
	err = tx.q.QueryRowContext(context.Background(), "SELECT EXISTS (SELECT 1 FROM service_principals WHERE id = ?1 AND app_id = ?2)"+
		" OR EXISTS (SELECT 1 FROM deleted_items WHERE id = ?1 AND app_id = ?2)", id, appID).Scan(&is)
	return is, err
}

// touchPrincipal notes a change of what a service principal, if it exists, may do.
func (tx *Tx) touchPrincipal(tenantID, id string) error {
	p, err := tx.ServicePrincipal(context.Background(), tenantID, Ref{ID: id})
	if IsNotFound(err) {
		return nil
	}
	if err == nil {
		tx.touch(directory.KeyClient, tenantID, p.AppID)
	}
	return err
}
