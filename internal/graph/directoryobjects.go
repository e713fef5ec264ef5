package graph

import (
	"net/http"
	"slices"
	"strings"

	"cambio/internal/management"
	"cambio/internal/store"
)

// Types of directory object, as OData names them.
const (
	typeApplication      = "#microsoft.graph.application"
	typeServicePrincipal = "#microsoft.graph.servicePrincipal"
)

// typed puts the type of an object before its members, as Graph does where
// objects of several types may stand.
func typed(kind string, o object) object {
	return append(object{{"@odata.type", kind}}, o...)
}

// lookup returns the application or service principal that has an object id,
// with its type. The error is a Problem of code CodeNotFound when there is none.
func (q *request) lookup(id string) (kind string, o object, err error) {
	sp, err := q.db.ServicePrincipal(q.r.Context(), q.call.Tenant.ID, store.Ref{ID: id})
	if err == nil {
		o, err = q.describe(&sp)
		return typeServicePrincipal, o, err
	}
	if !store.IsNotFound(err) {
		return "", nil, err
	}
	app, err := q.db.Application(q.r.Context(), q.call.Tenant.ID, store.Ref{ID: id})
	if store.IsNotFound(err) {
		return "", nil, notFound(id)
	}
	if err != nil {
		return "", nil, err
	}
	return typeApplication, applicationObject(&app, &q.call.Tenant, seconds(app.CreatedAt)), nil
}

// directoryObject answers for any object id with what it is.
func (q *request) directoryObject() error {
	id, ok := guid(q.call.Params["object"])
	if !ok {
		return notFound(q.call.Params["object"])
	}
	kind, o, err := q.lookup(id)
	if err != nil {
		return err
	}
	selected, err := selection(q.r)
	if err != nil {
		return err
	}
	writeJSON(q.w, http.StatusOK, q.withContext("directoryObjects/$entity", typed(kind, o).pick(selected)))
	return nil
}

// maxIDs is how many objects one getByIds may ask for, as in Graph.
const maxIDs = 1000

// directoryObjectsByID is the action getByIds: those of the objects that
// exist and, when types are given, are of one of them.
func (q *request) directoryObjectsByID() error {
	b, err := readBody(q.w, q.r)
	if err != nil {
		return err
	}
	var ids, types []string
	b.setStrings("ids", &ids)
	b.setStrings("types", &types)
	if b.err != nil {
		return b.err
	}
	if len(ids) == 0 || len(ids) > maxIDs {
		return badRequest("The property 'ids' must hold 1 to 1000 object ids.")
	}
	values := []object{}
	for _, text := range ids {
		id, ok := guid(text)
		if !ok {
			return badRequest("The property 'ids' must hold GUIDs; '" + shorten(text) + "' is none.")
		}
		kind, o, err := q.lookup(id)
		if isProblem(err, CodeNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if ofType(kind, types) {
			values = append(values, typed(kind, o))
		}
	}
	writeJSON(q.w, http.StatusOK, append(q.withContext("directoryObjects", nil), member{"value", values}))
	return nil
}

func ofType(kind string, types []string) bool {
	return len(types) == 0 || slices.ContainsFunc(types, func(t string) bool {
		return strings.EqualFold(t, "directoryObject") || strings.EqualFold("#microsoft.graph."+t, kind)
	})
}

// listOwnedObjects lists what a service principal owns. A caller that may not
// read everything sees what it owns itself, and not what those own whom it owns.
func (q *request) listOwnedObjects() error {
	sp, err := q.servicePrincipal(management.ApplicationReadAll)
	if err != nil {
		return err
	}
	if !q.call.Caller.Holds(management.ApplicationReadAll) && !q.isCaller(sp.AppID) {
		return denied()
	}
	opts, err := q.parseQuery(q.r, q.call, nil)
	if err != nil {
		return err
	}
	page, err := readPage(opts, func(l store.ListQuery) ([]string, bool, error) {
		return q.db.OwnedObjects(q.r.Context(), q.call.Tenant.ID, sp.ID, l)
	}, func(id *string) string { return *id })
	if err != nil {
		return err
	}
	values := []object{}
	for _, id := range page.items {
		kind, o, err := q.lookup(id)
		if isProblem(err, CodeNotFound) {
			continue // deleted after the list was read
		}
		if err != nil {
			return err
		}
		values = append(values, typed(kind, o))
	}
	return q.page("directoryObjects", opts, values, page.next, page.total)
}

// listMemberOf answers for groups and directory roles, which do not exist here.
func (q *request) listMemberOf() error {
	if _, err := q.servicePrincipal(management.ApplicationReadAll); err != nil {
		return err
	}
	opts, err := q.parseQuery(q.r, q.call, nil)
	if err != nil {
		return err
	}
	return q.page("directoryObjects", opts, []object{}, "", 0)
}

// reference reads the URL by which a body refers to a service principal:
// absolute, on this server, or from the root or from the version on. host
// names are compared without regard to case.
func (a *API) reference(text string) (id string, ok bool) {
	path := text
	if n := len(a.baseURL); len(path) > n && strings.EqualFold(path[:n], a.baseURL) && path[n] == '/' {
		path = path[n:]
	}
	path = strings.TrimLeft(path, "/")
	for _, version := range []string{"v1.0/", "beta/"} {
		if rest, found := strings.CutPrefix(path, version); found {
			path = rest
			break
		}
	}
	for _, set := range []string{"directoryObjects", "servicePrincipals"} {
		rest, found := strings.CutPrefix(path, set)
		if !found {
			continue
		}
		if key, keyed := strings.CutPrefix(rest, "("); keyed && strings.HasSuffix(key, ")") {
			property, value, ok := parseKey(strings.TrimSuffix(key, ")"))
			if !ok || property != "" {
				return "", false
			}
			return guid(value)
		}
		if rest, found = strings.CutPrefix(rest, "/"); found {
			return guid(rest)
		}
	}
	return "", false
}
