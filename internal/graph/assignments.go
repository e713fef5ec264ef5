package graph

import (
	"slices"
	"strings"
	"time"

	"cambio/internal/directory"
	"cambio/internal/management"
	"cambio/internal/store"
)

// Audit actions on app role assignments.
const (
	actionCreateAssignment = "appRoleAssignment.create"
	actionDeleteAssignment = "appRoleAssignment.delete"
)

// side is one of the two lists in which an assignment stands: under its
// resource (appRoleAssignedTo) or under its principal (appRoleAssignments).
type side struct {
	name string
	of   func(*directory.AppRoleAssignment) string // the service principal that the list belongs to
	list func(*request, string, store.ListQuery) ([]directory.AppRoleAssignment, bool, error)
}

func assignedTo() side {
	return side{
		name: "appRoleAssignedTo",
		of:   func(a *directory.AppRoleAssignment) string { return a.ResourceID },
		list: func(q *request, id string, l store.ListQuery) ([]directory.AppRoleAssignment, bool, error) {
			return q.db.AssignmentsTo(q.r.Context(), q.call.Tenant.ID, id, l)
		},
	}
}

func assignments() side {
	return side{
		name: "appRoleAssignments",
		of:   func(a *directory.AppRoleAssignment) string { return a.PrincipalID },
		list: func(q *request, id string, l store.ListQuery) ([]directory.AppRoleAssignment, bool, error) {
			return q.db.AssignmentsOf(q.r.Context(), q.call.Tenant.ID, id, l)
		},
	}
}

func (s side) context(sp *directory.ServicePrincipal) string {
	return "servicePrincipals(" + odataKey(sp.ID) + ")/" + s.name
}

// assignmentObjects are assignments as Graph shows them. form writes the time
// of creation.
func (q *request) assignmentObjects(list []directory.AppRoleAssignment, form func(time.Time) string) ([]object, error) {
	ids := make([]string, 0, 2*len(list))
	for i := range list {
		ids = append(ids, list[i].PrincipalID, list[i].ResourceID)
	}
	principals, err := q.db.ServicePrincipalsAmong(q.r.Context(), q.call.Tenant.ID, ids)
	if err != nil {
		return nil, err
	}
	name := func(id string) string {
		if sp := principals[id]; sp != nil {
			return sp.DisplayName
		}
		return "" // deleted after the assignment was read
	}
	objects := make([]object, len(list))
	for i := range list {
		a := &list[i]
		objects[i] = assignmentObject(a, name(a.PrincipalID), name(a.ResourceID), form(a.CreatedAt))
	}
	return objects, nil
}

func assignmentObject(a *directory.AppRoleAssignment, principal, resource, createdAt string) object {
	return object{
		{"id", a.ID},
		{"deletedDateTime", nil},
		{"appRoleId", a.AppRoleID},
		{"createdDateTime", createdAt},
		{"principalDisplayName", principal},
		{"principalId", a.PrincipalID},
		{"principalType", "ServicePrincipal"},
		{"resourceDisplayName", resource},
		{"resourceId", a.ResourceID},
	}
}

func listAssignments(s side) func(*request) error {
	return func(q *request) error {
		sp, err := q.findServicePrincipal()
		if err != nil {
			return err
		}
		opts, err := q.parseQuery(q.r, q.call, nil)
		if err != nil {
			return err
		}
		page, err := readPage(opts, func(l store.ListQuery) ([]directory.AppRoleAssignment, bool, error) {
			return s.list(q, sp.ID, l)
		}, func(a *directory.AppRoleAssignment) string { return a.ID })
		if err != nil {
			return err
		}
		values, err := q.assignmentObjects(page.items, seconds)
		if err != nil {
			return err
		}
		return q.page(s.context(&sp), opts, values, page.next, page.total)
	}
}

// assignment returns the addressed assignment if it stands in this list.
// Permission to see or change assignments was checked with the route; owning
// an application gives none.
func (q *request) assignment(s side) (sp directory.ServicePrincipal, a directory.AppRoleAssignment, err error) {
	sp, err = q.findServicePrincipal()
	if err != nil {
		return sp, a, err
	}
	id := q.call.Params["assignment"]
	a, err = q.db.Assignment(q.r.Context(), q.call.Tenant.ID, id)
	if store.IsNotFound(err) || err == nil && s.of(&a) != sp.ID {
		err = notFound(id)
	}
	return sp, a, err
}

func getAssignment(s side) func(*request) error {
	return func(q *request) error {
		sp, a, err := q.assignment(s)
		if err != nil {
			return err
		}
		o, err := q.assignmentObjects([]directory.AppRoleAssignment{a}, seconds)
		if err != nil {
			return err
		}
		return q.entity(s.context(&sp), o[0])
	}
}

func createAssignment(s side) func(*request) error {
	return func(q *request) error {
		sp, err := q.findServicePrincipal()
		if err != nil {
			return err
		}
		a, err := q.readAssignment()
		if err != nil {
			return err
		}
		if s.of(a) != sp.ID {
			return badRequest("The body does not assign a role to or of the service principal in the address: " + s.name + " of '" + sp.ID + "'.")
		}
		err = q.write(actionCreateAssignment, "", func(tx *store.Tx) error {
			if err := q.checkRole(tx, a); err != nil {
				return err
			}
			if err := tx.CreateAssignment(a); err != nil {
				return err
			}
			tx.SetTarget("appRoleAssignments/" + a.ID)
			return nil
		})
		if isProblem(err, CodeSameKeyValue) {
			return badRequest("Permission being assigned already exists on the object: " + err.Error())
		}
		if err != nil {
			return err
		}
		o, err := q.assignmentObjects([]directory.AppRoleAssignment{*a}, created)
		if err != nil {
			return err
		}
		return q.created(s.context(&sp), "/servicePrincipals/"+sp.ID+"/"+s.name+"/"+a.ID, o[0])
	}
}

func (q *request) readAssignment() (*directory.AppRoleAssignment, error) {
	b, err := readBody(q.w, q.r)
	if err != nil {
		return nil, err
	}
	a := &directory.AppRoleAssignment{TenantID: q.call.Tenant.ID}
	for name, to := range map[string]*string{"principalId": &a.PrincipalID, "resourceId": &a.ResourceID, "appRoleId": &a.AppRoleID} {
		id, ok := guid(b.text(name))
		if !ok {
			b.fail(name, "a GUID")
		}
		*to = id
	}
	return a, b.err
}

// checkRole checks that the role exists, is enabled and is meant for
// applications. The role of all zeros means access without a role.
func (q *request) checkRole(tx *store.Tx, a *directory.AppRoleAssignment) error {
	resource, err := tx.ServicePrincipal(q.r.Context(), q.call.Tenant.ID, store.Ref{ID: a.ResourceID})
	if store.IsNotFound(err) {
		return notFound(a.ResourceID)
	}
	if err != nil || a.AppRoleID == directory.DefaultAppRoleID {
		return err
	}
	app, err := tx.Application(q.r.Context(), q.call.Tenant.ID, store.Ref{AppID: resource.AppID})
	if err != nil && !store.IsNotFound(err) {
		return err
	}
	if err == nil {
		for i := range app.AppRoles {
			r := &app.AppRoles[i]
			if strings.EqualFold(r.ID, a.AppRoleID) && r.IsEnabled && slices.Contains(r.AllowedMemberTypes, "Application") {
				return nil
			}
		}
	}
	return badRequest("Permission being assigned was not found on application: the resource has no enabled app role '" + a.AppRoleID + "' that applications may hold.")
}

func deleteAssignment(s side) func(*request) error {
	return func(q *request) error {
		_, a, err := q.assignment(s)
		if err != nil {
			return err
		}
		err = q.write(actionDeleteAssignment, "appRoleAssignments/"+a.ID, func(tx *store.Tx) error {
			return tx.DeleteAssignment(q.call.Tenant.ID, a.ID)
		})
		if err != nil {
			return err
		}
		return q.noContent()
	}
}

func assignmentRoutes(s *surface, parent string) []management.Route {
	var rows []management.Route
	for _, list := range []side{assignedTo(), assignments()} {
		all, one := parent+"/"+list.name, parent+"/"+list.name+"/{assignment}"
		rows = append(rows,
			s.read(all, management.ApplicationReadAll, listAssignments(list)),
			s.read(one, management.ApplicationReadAll, getAssignment(list)),
			s.change("POST", all, management.AppRoleAssignmentReadWrite, actionCreateAssignment, createAssignment(list)),
			s.change("DELETE", one, management.AppRoleAssignmentReadWrite, actionDeleteAssignment, deleteAssignment(list)),
		)
	}
	return rows
}
