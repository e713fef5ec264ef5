package store

import (
	"context"
	"errors"

	"cambio/internal/directory"
)

// RestoreDeletedItem brings a deleted application or service principal back
// under its identifiers, with what is attached to it as far as the other side
// of it exists: owners and assignments whose other service principal is gone
// are left out. Errors: NotFound; NameTaken when another object took a name,
// an identifier URI or the appId's service principal meanwhile, and says
// which; ReferenceAbsent for a service principal whose application is gone.
func (tx *Tx) RestoreDeletedItem(tenantID, id string) (DeletedItem, error) {
	d, err := tx.DeletedItem(context.Background(), tenantID, id, tx.now)
	if err != nil {
		return d, err
	}
	principal := d.ServicePrincipal
	if d.Application != nil {
		principal = d.Attached.ServicePrincipal
		if err := tx.restoreApplication(&d); err != nil {
			return d, err
		}
	}
	if principal != nil {
		if err := tx.restorePrincipal(principal); err != nil {
			return d, err
		}
	}
	if err := tx.restoreAssignments(&d); err != nil {
		return d, err
	}
	for _, o := range d.Attached.Owners {
		if err := tx.AddOwner(tenantID, o.ObjectID, o.OwnerID); err != nil && !isAbsent(err) {
			return d, err
		}
	}
	_, err = tx.exec("DELETE FROM deleted_items WHERE id = ?", d.ID)
	return d, err
}

// restoreApplication restores an application. Its credentials are there
// already: in a tenant that became strict meanwhile more than its limit allows
// to be made, as live applications have them then.
func (tx *Tx) restoreApplication(d *DeletedItem) error {
	if err := tx.release(d.Application.ID, d.Application.AppID); err != nil {
		return err
	}
	return tx.CreateApplication(d.Application)
}

// restorePrincipal restores a service principal under the present name of its
// application.
func (tx *Tx) restorePrincipal(p *directory.ServicePrincipal) error {
	app, err := tx.Application(context.Background(), p.TenantID, Ref{AppID: p.AppID})
	if err == nil {
		p.DisplayName = app.DisplayName
	} else if !IsNotFound(err) {
		return err
	}
	if err := tx.release(p.ID); err != nil {
		return err
	}
	return tx.CreateServicePrincipal(p) // refuses one without an application
}

// restoreAssignments restores the assignments between service principals that
// exist.
func (tx *Tx) restoreAssignments(d *DeletedItem) error {
	if err := tx.touchDeleted(d.TenantID, " WHERE item_id = ?", d.ID); err != nil {
		return err
	}
	_, err := tx.exec("INSERT INTO assignments ("+assignmentColumns+") SELECT "+assignmentColumns+" FROM deleted_assignments d WHERE item_id = ?"+
		" AND EXISTS (SELECT 1 FROM service_principals p WHERE p.id = d.principal_id)"+
		" AND EXISTS (SELECT 1 FROM service_principals r WHERE r.id = d.resource_id)", d.ID)
	return err
}

// release lets identifiers be used again, by the object that had them.
func (tx *Tx) release(ids ...string) error {
	for _, id := range ids {
		if _, err := tx.exec("DELETE FROM retired_ids WHERE id = ?", id); err != nil {
			return err
		}
	}
	return nil
}

// isAbsent reports whether err says that the other side of a relation does
// not exist.
func isAbsent(err error) bool {
	var e *directory.Error
	return errors.As(err, &e) && e.Kind == directory.ReferenceAbsent
}
