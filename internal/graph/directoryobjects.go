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

// lookup returns the applications and service principals that have the given
// object ids, in lower case, with their types, by id. It takes a few queries,
// however many they are.
func (q *request) lookup(ids ...string) (map[string]object, error) {
	ctx, tenant := q.r.Context(), q.call.Tenant.ID
	principals, err := q.db.ServicePrincipalsAmong(ctx, tenant, ids)
	if err != nil {
		return nil, err
	}
	names := slices.Clone(ids)
	for _, sp := range principals {
		names = append(names, sp.AppID)
	}
	apps, err := q.db.ApplicationsAmong(ctx, tenant, names)
	if err != nil {
		return nil, err
	}
	found := make(map[string]object, len(ids))
	for _, id := range ids {
		if sp := principals[id]; sp != nil {
			found[id] = typed(typeServicePrincipal, servicePrincipalOf(sp, apps))
		} else if app := apps[id]; app != nil && app.ID == id {
			found[id] = typed(typeApplication, applicationObject(app, &q.call.Tenant, seconds(app.CreatedAt)))
		}
	}
	return found, nil
}

// lookupOne is lookup of one object, which must exist.
func (q *request) lookupOne(id string) (object, error) {
	found, err := q.lookup(id)
	if err == nil && found[id] == nil {
		err = notFound(id)
	}
	return found[id], err
}

// directoryObject answers for any object id with what it is.
func (q *request) directoryObject() error {
	id, ok := guid(q.call.Params["object"])
	if !ok {
		return notFound(q.call.Params["object"])
	}
	o, err := q.lookupOne(id)
	if err != nil {
		return err
	}
	selected, err := selection(q.r)
	if err != nil {
		return err
	}
	writeJSON(q.w, http.StatusOK, q.withContext("directoryObjects/$entity", o.pick(selected)))
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
	for i, text := range ids {
		var ok bool
		if ids[i], ok = guid(text); !ok {
			return badRequest("The property 'ids' must hold GUIDs; '" + shorten(text) + "' is none.")
		}
	}
	found, err := q.lookup(ids...)
	if err != nil {
		return err
	}
	values := []object{}
	for _, id := range ids {
		if o := found[id]; o != nil && ofType(o[0].value, types) {
			values = append(values, o)
		}
	}
	writeJSON(q.w, http.StatusOK, append(q.withContext("directoryObjects", nil), member{"value", values}))
	return nil
}

// ofType compares @odata.type, which is the first member of a typed object.
func ofType(kind any, types []string) bool {
	return len(types) == 0 || slices.ContainsFunc(types, func(t string) bool {
		return strings.EqualFold(t, "directoryObject") || strings.EqualFold("#microsoft.graph."+t, kind.(string))
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
	found, err := q.lookup(page.items...)
	if err != nil {
		return err
	}
	values := []object{}
	for _, id := range page.items {
		if o := found[id]; o != nil { // else it was deleted after the list was read
			values = append(values, o)
		}
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
