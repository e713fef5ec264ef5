package graph

import (
	"context"
	"slices"
	"strings"
	"testing"

	"cambio/internal/directory"
	"cambio/internal/management"
	"cambio/internal/store"
)

// ownedBy makes a client, and lets the rest of the test be called by it with
// nothing but Application.ReadWrite.OwnedBy. It returns its service principal
// and a function that makes the administrator call for one step.
func (f *fixture) ownedBy(name string) (sp string, asAdmin func(func())) {
	f.t.Helper()
	_, appID := f.application(`{"displayName":"` + name + `"}`)
	sp = f.servicePrincipal(appID)
	admin := f.caller
	f.caller = management.NewCaller(sp, appID, []string{"Application.ReadWrite.OwnedBy"})
	return sp, func(step func()) {
		caller := f.caller
		f.caller = admin
		defer func() { f.caller = caller }()
		step()
	}
}

func TestOwnedBy(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	own, ownAppID := f.application(`{"displayName":"own"}`)
	ownSP := f.servicePrincipal(ownAppID)
	other, otherAppID := f.application(`{"displayName":"other"}`)
	otherSP := f.servicePrincipal(otherAppID)
	admin := f.caller
	f.caller = management.NewCaller(ownSP, ownAppID, []string{"Application.ReadWrite.OwnedBy"})
	fics := "/federatedIdentityCredentials"
	f.do("GET", "/v1.0/applications/"+own, "").want(200, "")
	f.do("PATCH", "/v1.0/applications/"+own, `{"description":"mine"}`).want(204, "")
	f.do("POST", "/v1.0/applications/"+own+fics, credentialBody("own", "s")).want(201, "")
	f.do("GET", "/v1.0/applications(appId='"+ownAppID+"')"+fics+"/own", "").want(200, "")
	f.do("GET", "/v1.0/servicePrincipals/"+ownSP, "").want(200, "")
	for _, r := range [][3]string{
		{"GET", "/v1.0/applications/" + other, ""}, {"PATCH", "/v1.0/applications/" + other, `{"description":"x"}`}, {"DELETE", "/v1.0/applications/" + other, ""},
		{"POST", "/v1.0/applications/" + other + fics, credentialBody("own", "s")}, {"GET", "/v1.0/applications/" + other + fics, ""},
		{"GET", "/v1.0/applications/" + other + fics + "/$count", ""}, {"PATCH", "/v1.0/servicePrincipals/" + otherSP, `{"tags":[]}`},
		{"DELETE", "/v1.0/servicePrincipals(appId='" + otherAppID + "')", ""}, {"POST", "/v1.0/servicePrincipals", `{"appId":"` + otherAppID + `"}`},
		{"POST", "/v1.0/applications/" + other + "/owners/$ref", reference(ownSP)}, {"GET", "/v1.0/applications/" + other + "/owners", ""},
		{"POST", "/v1.0/servicePrincipals/" + otherSP + "/owners/$ref", reference(ownSP)}, {"GET", "/v1.0/servicePrincipals/" + otherSP + "/ownedObjects", ""},
		{"DELETE", "/v1.0/applications/" + other + "/owners/" + otherSP + "/$ref", ""}, {"GET", "/v1.0/servicePrincipals/" + otherSP + "/memberOf", ""},
	} {
		f.do(r[0], r[1], r[2], "Prefer", "create-if-missing").want(403, CodeDenied)
	}
	for _, path := range []string{"/v1.0/applications", "/v1.0/servicePrincipals", "/v1.0/servicePrincipals/" + ownSP + "/appRoleAssignments"} {
		f.do("GET", path, "").want(403, "")
	}
	f.caller = management.NewCaller(ownSP, ownAppID, nil)
	for _, path := range []string{"/v1.0/applications/" + own, "/v1.0/applications/" + tenantID, "/v1.0/servicePrincipals/" + ownSP, "/v1.0/applications/" + own + fics} {
		f.do("GET", path, "").want(403, "") // by the route's permission
	}
	f.caller = admin
	f.do("GET", "/v1.0/applications/"+other, "").want(200, "")
}

// What a caller with OwnedBy makes, it owns; what it owns, it may change and
// delete, with credentials and service principals.
func TestOwnedByCreates(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	caller, asAdmin := f.ownedBy("pipeline")
	made := []string{
		f.do("POST", "/v1.0/applications", `{"displayName":"one"}`).want(201, "").string("id"),
		f.do("POST", "/v1.0/applications", `{"displayName":"two","owners@odata.bind":["/v1.0/directoryObjects/`+caller+`"]}`).want(201, "").string("id"),
		f.do("PATCH", "/v1.0/applications(uniqueName='three')", `{"displayName":"three"}`, "Prefer", "create-if-missing").want(201, "").string("id"),
	}
	for _, id := range made {
		path := "/v1.0/applications/" + id
		if got := f.do("GET", path+"/owners", "").want(200, "").ids(typeServicePrincipal); !slices.Equal(got, []string{caller}) {
			t.Errorf("owners %v, want the caller", got)
		}
		appID := f.do("GET", path, "").want(200, "").string("appId")
		f.do("PATCH", path, `{"description":"mine"}`).want(204, "")
		f.do("POST", path+"/federatedIdentityCredentials", credentialBody("own", "s")).want(201, "")
		f.do("DELETE", path+"/federatedIdentityCredentials/own", "").want(204, "")
		sp := f.do("POST", "/v1.0/servicePrincipals", `{"appId":"`+appID+`"}`).want(201, "").string("id")
		f.do("PATCH", "/v1.0/servicePrincipals/"+sp, `{"tags":["t"]}`).want(204, "")
		if got := f.do("GET", "/v1.0/servicePrincipals/"+caller+"/ownedObjects", "").want(200, "").values(); len(got) < 2 {
			t.Errorf("owned objects: %v", got)
		}
		f.do("GET", "/v1.0/servicePrincipals/"+sp+"/ownedObjects", "").want(403, CodeDenied)
		f.do("DELETE", "/v1.0/servicePrincipals/"+sp, "").want(204, "")
		f.do("DELETE", path, "").want(204, "")
	}
	asAdmin(func() {
		id, _ := f.application(`{"displayName":"administrator's"}`)
		if got := f.do("GET", "/v1.0/applications/"+id+"/owners", "").values(); len(got) != 0 {
			t.Errorf("a caller that needs no ownership got one: %v", got)
		}
	})
}

// Owning a service principal gives nothing of its application: who may write
// the application's credentials can act as it.
func TestOwnerOfServicePrincipalOnly(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	app, appID := f.application(`{"displayName":"privileged"}`)
	sp := f.servicePrincipal(appID)
	caller, asAdmin := f.ownedBy("pipeline")
	asAdmin(func() { f.do("POST", "/v1.0/servicePrincipals/"+sp+"/owners/$ref", reference(caller)).want(204, "") })
	f.do("PATCH", "/v1.0/servicePrincipals/"+sp, `{"tags":["t"]}`).want(204, "")
	f.do("GET", "/v1.0/servicePrincipals/"+sp+"/owners", "").want(200, "")
	for _, r := range [][3]string{
		{"GET", "/v1.0/applications/" + app, ""}, {"PATCH", "/v1.0/applications/" + app, `{"description":"x"}`},
		{"POST", "/v1.0/applications/" + app + "/federatedIdentityCredentials", credentialBody("own", "s")},
		{"POST", "/v1.0/applications/" + app + "/owners/$ref", reference(caller)},
	} {
		f.do(r[0], r[1], r[2]).want(403, CodeDenied)
	}
	f.do("DELETE", "/v1.0/servicePrincipals/"+sp, "").want(204, "")
	f.do("POST", "/v1.0/servicePrincipals", `{"appId":"`+appID+`"}`).want(403, CodeDenied)
}

// An owner that is removed while its request arrives writes nothing.
func TestOwnershipEndsWhileTheBodyArrives(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	app, appID := f.application(`{"displayName":"owned"}`)
	sp := f.servicePrincipal(appID)
	fics := "/v1.0/applications/" + app + "/federatedIdentityCredentials"
	f.do("POST", fics, credentialBody("first", "first")).want(201, "")
	caller, _ := f.ownedBy("pipeline")
	own := func(change func(*store.Tx, string) error) {
		err := f.db.Write(t.Context(), store.Change{}, func(tx *store.Tx) error {
			for _, id := range []string{app, sp} {
				if err := change(tx, id); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range [][3]string{
		{"PATCH", "/v1.0/applications/" + app, `{"description":"x"}`}, {"DELETE", "/v1.0/applications/" + app, ""},
		{"POST", fics, credentialBody("own", "s")}, {"PATCH", fics + "/first", `{"subject":"s"}`}, {"DELETE", fics + "/first", ""},
		{"PATCH", "/v1.0/servicePrincipals/" + sp, `{"tags":["t"]}`}, {"DELETE", "/v1.0/servicePrincipals/" + sp, ""},
		{"POST", "/v1.0/applications/" + app + "/owners/$ref", reference(sp)}, {"DELETE", "/v1.0/applications/" + app + "/owners/" + caller + "/$ref", ""},
		{"POST", "/v1.0/servicePrincipals/" + sp + "/owners/$ref", reference(sp)},
	} {
		own(func(tx *store.Tx, id string) error { return tx.AddOwner(tenantID, id, caller) })
		f.stillAllowed = func(context.Context) error {
			own(func(tx *store.Tx, id string) error { return tx.RemoveOwner(tenantID, id, caller) })
			return nil
		}
		f.do(r[0], r[1], r[2]).want(403, CodeDenied)
	}
}

// Who may not read an application does not learn of it by asking for its names.
func TestOwnedByDoesNotLearnWhoHoldsAName(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	secret, _ := f.application(`{"displayName":"Secret","uniqueName":"taken","identifierUris":["api://taken"]}`)
	_, asAdmin := f.ownedBy("pipeline")
	own, _ := f.application(`{"displayName":"own","uniqueName":"own"}`)
	refused := func(a answer) {
		t.Helper()
		a.want(409, CodeSameKeyValue)
		if told := strings.Contains(a.text, "Secret") || strings.Contains(a.text, secret); told != f.caller.Holds(management.ApplicationReadAll) {
			t.Errorf("told %v: %s", told, a.text)
		}
	}
	for _, body := range []string{`{"displayName":"x","uniqueName":"taken"}`, `{"displayName":"x","identifierUris":["api://taken"]}`} {
		refused(f.do("POST", "/v1.0/applications", body))
		asAdmin(func() { refused(f.do("POST", "/v1.0/applications", body)) })
	}
	refused(f.do("PATCH", "/v1.0/applications/"+own, `{"identifierUris":["api://taken"]}`))
	f.do("DELETE", "/v1.0/applications/"+own, "").want(204, "")
	asAdmin(func() {
		f.do("PATCH", "/v1.0/applications/"+secret, `{"uniqueName":"taken","identifierUris":["api://own"]}`).want(204, "")
	})
	asAdmin(func() { f.application(`{"displayName":"Secret","uniqueName":"own"}`) })
	refused(f.do("POST", deletedItems+own+"/restore", ""))
}

// Making somebody an owner of one's own application is no way to read it.
func TestOwnedBySeesOnlyTheIDsOfOtherOwners(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	_, appID := f.application(`{"displayName":"Secret","identifierUris":["api://secret"]}`)
	secret := f.servicePrincipal(appID)
	caller, asAdmin := f.ownedBy("pipeline")
	own, _ := f.application(`{"displayName":"own"}`)
	path := "/v1.0/applications/" + own + "/owners"
	f.do("GET", "/v1.0/servicePrincipals/"+secret, "").want(403, CodeDenied)
	f.do("POST", path+"/$ref", reference(secret)).want(204, "")
	names := func() map[string]any {
		t.Helper()
		found := map[string]any{}
		for _, owner := range f.do("GET", path, "").want(200, "").values() {
			if owner["@odata.type"] != typeServicePrincipal {
				t.Errorf("owner %v", owner)
			}
			found[owner["id"].(string)] = owner["displayName"]
		}
		return found
	}
	if got := names(); len(got) != 2 || got[secret] != nil || got[caller] != "pipeline" {
		t.Errorf("the caller sees %v", got)
	}
	asAdmin(func() {
		if got := names(); got[secret] != "Secret" || got[caller] != "pipeline" {
			t.Errorf("the administrator sees %v", got)
		}
	})
}
