package graph

import (
	"net/http"

	"cambio/internal/management"
	"cambio/internal/store"
)

// Audit actions on deleted items.
const (
	actionRestoreDeletedItem = "deletedItem.restore"
	actionDeleteDeletedItem  = "deletedItem.delete"
)

var deletedFilters = forms{{"appId", opEqual}, {"displayName", opEqual}, {"displayName", opStartsWith}, {"id", opEqual}}

func (s *surface) deletedItems() []management.Route {
	var rows []management.Route
	for _, kind := range []string{store.DeletedApplication, store.DeletedServicePrincipal} {
		for _, namespace := range []string{"microsoft.graph.", "graph."} {
			rows = append(rows, s.read("/directory/deletedItems/"+namespace+kind, management.ApplicationReadAll, listDeletedItems(kind)))
		}
	}
	const item = "/directory/deletedItems/{deleted}"
	return append(rows,
		s.read(item, management.ApplicationReadOwned, (*request).getDeletedItem),
		s.change("DELETE", item, management.ApplicationReadWriteOwnedBy, actionDeleteDeletedItem, (*request).deleteDeletedItem),
		s.change("POST", item+"/restore", management.ApplicationReadWriteOwnedBy, actionRestoreDeletedItem, (*request).restoreDeletedItem),
	)
}

// deletedObject is a deleted item as Graph shows it: the object itself, with
// the time of its deletion.
func (q *request) deletedObject(d *store.DeletedItem) (kind string, o object, err error) {
	if d.Application != nil {
		kind, o = typeApplication, applicationObject(d.Application, &q.call.Tenant, seconds(d.Application.CreatedAt))
	} else {
		kind = typeServicePrincipal
		o, err = q.describe(d.ServicePrincipal)
	}
	for i := range o {
		if o[i].name == "deletedDateTime" {
			o[i].value = seconds(d.DeletedAt)
		}
	}
	return kind, o, err
}

// mayTouchDeleted is mayTouch for what was deleted: its owners are those that
// it had then, and for a service principal those of its application.
func (q *request) mayTouchDeleted(owns owns, d *store.DeletedItem, all management.Permission) error {
	if err := q.mayTouchSome(all); err != nil || q.call.Caller.Holds(all) || d.OwnedBy(q.call.Caller.PrincipalID) {
		return err
	}
	if d.Application != nil {
		return denied()
	}
	return q.mayTouch(owns, touchedServicePrincipal(d.ServicePrincipal), all)
}

// deletedItem returns the addressed item if the caller may touch it.
func (q *request) deletedItem(all management.Permission) (d store.DeletedItem, err error) {
	if err := q.mayTouchSome(all); err != nil {
		return d, err
	}
	text := q.call.Params["deleted"]
	id, ok := guid(text)
	if !ok {
		return d, notFound(text)
	}
	d, err = q.db.DeletedItem(q.r.Context(), q.call.Tenant.ID, id, q.now())
	if store.IsNotFound(err) {
		return d, notFound(text)
	}
	if err == nil {
		err = q.mayTouchDeleted(q.db.Owns, &d, all)
	}
	return d, err
}

// writeDeleted is writeTo for a deleted item. It may have been restored, given
// other owners and deleted again while the request arrived.
func (q *request) writeDeleted(d *store.DeletedItem, action string, fn func(*store.Tx) error) error {
	target := "applications/" + d.ID
	if d.Application == nil {
		target = "servicePrincipals/" + d.ID
	}
	return q.write(action, target, func(tx *store.Tx) error {
		present, err := tx.DeletedItem(q.r.Context(), q.call.Tenant.ID, d.ID, tx.Now())
		if err != nil {
			return err
		}
		if err := q.mayTouchDeleted(tx.Owns, &present, management.ApplicationReadWriteAll); err != nil {
			return err
		}
		return fn(tx)
	})
}

func (q *request) getDeletedItem() error {
	d, err := q.deletedItem(management.ApplicationReadAll)
	if err != nil {
		return err
	}
	kind, o, err := q.deletedObject(&d)
	if err != nil {
		return err
	}
	return q.entity("directoryObjects", typed(kind, o))
}

func listDeletedItems(kind string) func(*request) error {
	return func(q *request) error {
		opts, err := q.parseQuery(q.r, q.call, deletedFilters)
		if err != nil {
			return err
		}
		page, err := readPage(opts, func(l store.ListQuery) ([]store.DeletedItem, bool, error) {
			return q.db.DeletedItems(q.r.Context(), q.call.Tenant.ID, kind, q.now(), l)
		}, func(d *store.DeletedItem) string { return d.ID })
		if err != nil {
			return err
		}
		values := make([]object, len(page.items))
		for i := range page.items {
			if _, values[i], err = q.deletedObject(&page.items[i]); err != nil {
				return err
			}
		}
		return q.page(kind+"s", opts, values, page.next, page.total)
	}
}

// restoreDeletedItem brings an item back; a body is not looked at, since
// there is nothing to choose.
func (q *request) restoreDeletedItem() error {
	d, err := q.deletedItem(management.ApplicationReadWriteAll)
	if err != nil {
		return err
	}
	err = q.writeDeleted(&d, actionRestoreDeletedItem, func(tx *store.Tx) error {
		_, err := tx.RestoreDeletedItem(q.call.Tenant.ID, d.ID)
		return err
	})
	if err != nil {
		return err
	}
	o, err := q.lookupOne(d.ID)
	if err != nil {
		return err
	}
	writeJSON(q.w, http.StatusOK, q.withContext("directoryObjects/$entity", o))
	return nil
}

// deleteDeletedItem deletes an item for good.
func (q *request) deleteDeletedItem() error {
	d, err := q.deletedItem(management.ApplicationReadWriteAll)
	if err != nil {
		return err
	}
	err = q.writeDeleted(&d, actionDeleteDeletedItem, func(tx *store.Tx) error {
		return tx.DeleteDeletedItem(q.call.Tenant.ID, d.ID)
	})
	if err != nil {
		return err
	}
	return q.noContent()
}
