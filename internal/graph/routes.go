package graph

import (
	"slices"

	"cambio/internal/management"
)

// Routes is the route table: the same rows under /v1.0 and /beta.
//
// A caller with Application.ReadWrite.OwnedBy may make applications, and may
// read and write its own application, those that it owns and their service
// principals; which those are, the handler decides. It may list nothing but
// what it owns.
func Routes(a *API) []management.Route {
	var rows []management.Route
	for _, version := range []string{"v1.0", "beta"} {
		s := &surface{API: a, version: version}
		rows = slices.Concat(rows, s.applications(), s.servicePrincipals(), s.directoryObjects(), s.deletedItems(), s.organization())
	}
	return rows
}

func (s *surface) read(pattern string, p management.Permission, step func(*request) error) management.Route {
	return management.Route{Method: "GET", Pattern: "/" + s.version + pattern, Permission: p, Rate: management.RateRead, Handler: s.handle(step)}
}

func (s *surface) change(method, pattern string, p management.Permission, action string, step func(*request) error) management.Route {
	return management.Route{Method: method, Pattern: "/" + s.version + pattern, Permission: p, Action: action, Rate: management.RateWrite, Handler: s.handle(step)}
}

func (s *surface) applications() []management.Route {
	const owned = management.ApplicationReadWriteOwnedBy
	rows := []management.Route{
		s.read("/applications", management.ApplicationReadAll, (*request).listApplications),
		s.change("POST", "/applications", owned, actionCreateApplication, (*request).createApplication),
	}
	for _, app := range []string{"/applications/{application}", "/applications({applicationKey})"} {
		fics := app + "/federatedIdentityCredentials"
		rows = append(rows,
			s.read(app, management.ApplicationReadOwned, (*request).getApplication).Guarded(),
			s.change("PATCH", app, owned, actionUpdateApplication, (*request).updateApplication).Guarded(),
			s.change("DELETE", app, owned, actionDeleteApplication, (*request).deleteApplication).Guarded(),
			s.read(fics, management.ApplicationReadOwned, (*request).listCredentials),
			s.read(fics+"/$count", management.ApplicationReadOwned, (*request).countCredentials),
			s.change("POST", fics, owned, actionCreateCredential, (*request).createCredential),
		)
		rows = append(rows, ownerRoutes(s, app, ownedApplication())...)
		for _, fic := range []string{fics + "/{credential}", fics + "({credentialKey})"} {
			rows = append(rows,
				s.read(fic, management.ApplicationReadOwned, (*request).getCredential).Guarded(),
				s.change("PATCH", fic, owned, actionUpdateCredential, (*request).updateCredential).Guarded(),
				s.change("DELETE", fic, owned, actionDeleteCredential, (*request).deleteCredential).Guarded(),
			)
		}
	}
	return rows
}

func (s *surface) servicePrincipals() []management.Route {
	const owned = management.ApplicationReadWriteOwnedBy
	rows := []management.Route{
		s.read("/servicePrincipals", management.ApplicationReadAll, (*request).listServicePrincipals),
		s.change("POST", "/servicePrincipals", owned, actionCreateServicePrincipal, (*request).createServicePrincipal),
	}
	for _, sp := range []string{"/servicePrincipals/{servicePrincipal}", "/servicePrincipals({servicePrincipalKey})"} {
		rows = append(rows,
			s.read(sp, management.ApplicationReadOwned, (*request).getServicePrincipal).Guarded(),
			s.change("PATCH", sp, owned, actionUpdateServicePrincipal, (*request).updateServicePrincipal).Guarded(),
			s.change("DELETE", sp, owned, actionDeleteServicePrincipal, (*request).deleteServicePrincipal).Guarded(),
		)
		rows = append(rows, assignmentRoutes(s, sp)...)
		rows = append(rows, ownerRoutes(s, sp, ownedServicePrincipal())...)
		rows = append(rows,
			s.read(sp+"/ownedObjects", management.ApplicationReadOwned, (*request).listOwnedObjects),
			s.read(sp+"/memberOf", management.ApplicationReadOwned, (*request).listMemberOf),
			s.read(sp+"/transitiveMemberOf", management.ApplicationReadOwned, (*request).listMemberOf),
		)
	}
	return rows
}

func (s *surface) directoryObjects() []management.Route {
	byIDs := s.read("/directoryObjects/getByIds", management.ApplicationReadAll, (*request).directoryObjectsByID)
	byIDs.Method = "POST" // it reads all the same
	return []management.Route{
		s.read("/directoryObjects/{object}", management.ApplicationReadAll, (*request).directoryObject),
		byIDs,
	}
}

func (s *surface) organization() []management.Route {
	return []management.Route{
		s.read("/organization", management.Authenticated, (*request).listOrganization),
		s.read("/organization/{organization}", management.Authenticated, (*request).getOrganization).Guarded(),
		s.change("PATCH", "/organization/{organization}", management.OrganizationReadWriteAll, actionUpdateOrganization, (*request).updateOrganization).Guarded(),
		s.read("/me", management.Authenticated, (*request).me),
		s.read("/me/ownedObjects", management.Authenticated, (*request).me),
	}
}
