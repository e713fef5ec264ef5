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
	if _, err := tx.exec("DELETE FROM deleted_items WHERE id = ?", d.ID); err != nil {
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
	for i := range d.Attached.Assignments {
		if err := tx.restoreAssignment(&d.Attached.Assignments[i]); err != nil {
			return d, err
		}
	}
	for _, o := range d.Attached.Owners {
		if err := tx.AddOwner(tenantID, o.ObjectID, o.OwnerID); err != nil && !isAbsent(err) {
			return d, err
		}
	}
	return d, nil
}

func (tx *Tx) restoreApplication(d *DeletedItem) error {
	ids := []string{d.Application.ID, d.Application.AppID}
	for i := range d.Attached.Credentials {
		ids = append(ids, d.Attached.Credentials[i].ID)
	}
	if err := tx.release(ids...); err != nil {
		return err
	}
	if err := tx.CreateApplication(d.Application); err != nil {
		return err
	}
	// A tenant that became strict meanwhile has more than its limit allows to
	// be made; they are kept, as those of live applications are.
	for i := range d.Attached.Credentials {
		if err := tx.insertCredential(&d.Attached.Credentials[i], d.Application.AppID); err != nil {
			return err
		}
	}
	return nil
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

// restoreAssignment restores an assignment between service principals that
// exist. Whether it does or not, its principal may have been remembered with
// the assignment: the resource has its old identifier again.
func (tx *Tx) restoreAssignment(a *directory.AppRoleAssignment) error {
	if err := tx.touchPrincipal(a.TenantID, a.PrincipalID); err != nil {
		return err
	}
	if err := tx.CreateAssignment(a); err != nil && !isAbsent(err) {
		return err
	}
	return nil
}

// release lets identifiers be used again, by the object that had them.
func (tx *Tx) release(ids ...string) error {
	list, err := encode(ids)
	if err == nil {
		_, err = tx.exec("DELETE FROM retired_ids WHERE id IN (SELECT value FROM json_each(?))", list)
	}
	return err
}

// isAbsent reports whether err says that the other side of a relation does
// not exist.
func isAbsent(err error) bool {
	var e *directory.Error
	return errors.As(err, &e) && e.Kind == directory.ReferenceAbsent
}
