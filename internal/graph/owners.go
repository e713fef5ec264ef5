package graph

import (
	"errors"
	"net/http"
	"slices"

	"cambio/internal/directory"
	"cambio/internal/management"
	"cambio/internal/store"
)

// Audit actions on owners.
const (
	actionAddApplicationOwner         = "application.owner.add"
	actionRemoveApplicationOwner      = "application.owner.remove"
	actionAddServicePrincipalOwner    = "servicePrincipal.owner.add"
	actionRemoveServicePrincipalOwner = "servicePrincipal.owner.remove"
)

// ownersBind names the owners of a new object (OData 4.01 JSON §8.5).
const ownersBind = "owners@odata.bind"

const ownersAreChanged = "owners of an object that exists are added with POST …/owners/$ref and removed with DELETE …/owners/{id}/$ref."

// ownerFilters has what clients ask to learn whether somebody is an owner.
var ownerFilters = forms{{"id", opEqual}}

// owned is the kind of object whose owners a route is about.
type owned struct {
	set         string // as in its address
	add, remove string // audit actions
	// find returns the addressed object if the caller, who holds all or owns
	// it, may touch it.
	find func(q *request, all management.Permission) (touched, error)
}

func ownedApplication() owned {
	return owned{"applications", actionAddApplicationOwner, actionRemoveApplicationOwner,
		func(q *request, all management.Permission) (touched, error) {
			app, err := q.findApplication(all)
			return touchedApplication(&app), err
		}}
}

func ownedServicePrincipal() owned {
	return owned{"servicePrincipals", actionAddServicePrincipalOwner, actionRemoveServicePrincipalOwner,
		func(q *request, all management.Permission) (touched, error) {
			sp, err := q.servicePrincipal(all)
			return touchedServicePrincipal(&sp), err
		}}
}

func ownerRoutes(s *surface, parent string, kind owned) []management.Route {
	const write = management.ApplicationReadWriteOwnedBy
	owners := parent + "/owners"
	return []management.Route{
		s.read(owners, management.ApplicationReadOwned, listOwners(kind)),
		s.read(owners+"/$ref", management.ApplicationReadOwned, listOwnerRefs(kind)),
		s.change("POST", owners+"/$ref", write, kind.add, addOwner(kind)),
		s.change("DELETE", owners+"/{owner}/$ref", write, kind.remove, removeOwner(kind)),
	}
}

// owners reads a page of the owners of the addressed object.
func (q *request) owners(kind owned) (opts query, page pageOf[directory.ServicePrincipal], err error) {
	of, err := kind.find(q, management.ApplicationReadAll)
	if err != nil {
		return opts, page, err
	}
	if opts, err = q.parseQuery(q.r, q.call, ownerFilters); err != nil {
		return opts, page, err
	}
	page, err = readPage(opts, func(l store.ListQuery) ([]directory.ServicePrincipal, bool, error) {
		return q.db.Owners(q.r.Context(), q.call.Tenant.ID, of.id, l)
	}, func(sp *directory.ServicePrincipal) string { return sp.ID })
	return opts, page, err
}

func listOwners(kind owned) func(*request) error {
	return func(q *request) error {
		opts, page, err := q.owners(kind)
		if err != nil {
			return err
		}
		values := make([]object, len(page.items))
		for i := range page.items {
			if values[i], err = q.describeOwner(&page.items[i]); err != nil {
				return err
			}
		}
		return q.page("directoryObjects", opts, values, page.next, page.total)
	}
}

// describeOwner shows no more than the id of an owner that the caller may not
// read, as Graph does in lists of objects of which some are out of reach: it
// could make anybody an owner of what it owns, to see more.
func (q *request) describeOwner(sp *directory.ServicePrincipal) (object, error) {
	o := object{{"id", sp.ID}}
	err := q.mayTouch(q.db.Owns, touchedServicePrincipal(sp), management.ApplicationReadAll)
	if err == nil {
		o, err = q.describe(sp)
	} else if isProblem(err, CodeDenied) {
		err = nil
	}
	return typed(typeServicePrincipal, o), err
}

// listOwnerRefs lists the addresses of the owners (OData 4.01 protocol §11.2.8).
func listOwnerRefs(kind owned) func(*request) error {
	return func(q *request) error {
		opts, page, err := q.owners(kind)
		if err != nil {
			return err
		}
		values := make([]object, len(page.items))
		for i := range page.items {
			values[i] = object{{"@odata.id", q.baseURL + "/" + q.version + "/directoryObjects/" + page.items[i].ID}}
		}
		return q.page("Collection($ref)", opts, values, page.next, page.total)
	}
}

func addOwner(kind owned) func(*request) error {
	return func(q *request) error {
		of, err := kind.find(q, management.ApplicationReadWriteAll)
		if err != nil {
			return err
		}
		b, err := readBody(q.w, q.r)
		if err != nil {
			return err
		}
		owner, ok := q.reference(b.text("@odata.id"))
		if b.err == nil && !ok {
			b.err = badReference("@odata.id")
		}
		if b.err != nil {
			return b.err
		}
		if q.isManagementResource(of.appID) {
			return managementResourceKept()
		}
		err = q.writeTo(of, kind.add, kind.set+"/"+of.id+"/owners/"+owner, func(tx *store.Tx) error {
			return tx.AddOwner(q.call.Tenant.ID, of.id, owner)
		})
		var rule *directory.Error
		if errors.As(err, &rule) && rule.Kind == directory.ReferenceAbsent {
			return &Problem{http.StatusNotFound, CodeNotFound, rule.Message}
		}
		if err != nil {
			return ownerProblem(err)
		}
		return q.noContent()
	}
}

func removeOwner(kind owned) func(*request) error {
	return func(q *request) error {
		of, err := kind.find(q, management.ApplicationReadWriteAll)
		if err != nil {
			return err
		}
		owner, ok := guid(q.call.Params["owner"])
		if !ok {
			return notFound(q.call.Params["owner"])
		}
		err = q.writeTo(of, kind.remove, kind.set+"/"+of.id+"/owners/"+owner, func(tx *store.Tx) error {
			return tx.RemoveOwner(q.call.Tenant.ID, of.id, owner)
		})
		if err != nil {
			return err
		}
		return q.noContent()
	}
}

// boundOwners returns the object ids of the owners that the body of a new
// object names. What is wrong with them is the body's error.
func (q *request) boundOwners(b *body) []string {
	var references []string
	b.setStrings(ownersBind, &references)
	owners := make([]string, len(references))
	for i, text := range references {
		var ok bool
		if owners[i], ok = q.reference(text); !ok && b.err == nil {
			b.err = badReference(ownersBind)
		}
	}
	return owners
}

// addOwners gives a new object its owners: those that the request names, and
// the caller if it may touch only what it owns.
func (q *request) addOwners(tx *store.Tx, id string, owners []string) error {
	caller := q.call.Caller
	if !caller.Holds(management.ApplicationReadWriteAll) && !slices.Contains(owners, caller.PrincipalID) {
		owners = append(owners, caller.PrincipalID)
	}
	for _, owner := range owners {
		if err := tx.AddOwner(q.call.Tenant.ID, id, owner); err != nil {
			return ownerProblem(err)
		}
	}
	return nil
}

func badReference(property string) *Problem {
	return badRequest("Invalid URL format specified in '" + property + "'. Refer to a service principal of this tenant as {this server}/v1.0/directoryObjects/{id}.")
}

// ownerProblem puts the refusal of an owner whom an object has already into
// the words that clients look for.
func ownerProblem(err error) error {
	var rule *directory.Error
	if errors.As(err, &rule) && rule.Kind == directory.NameTaken {
		return badRequest("One or more added object references already exist for the following modified properties: 'owners'.")
	}
	return err
}
