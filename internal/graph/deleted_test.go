package graph

import (
	"context"
	"testing"
	"time"

	"cambio/internal/directory"
	"cambio/internal/management"
	"cambio/internal/store"
)

const deletedItems = "/v1.0/directory/deletedItems/"

func TestDeletedItems(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	app, appID := f.application(`{"displayName":"shop","identifierUris":["api://shop"],"uniqueName":"shop"}`)
	sp := f.servicePrincipal(appID)
	path := "/v1.0/applications/" + app
	f.do("POST", path+"/federatedIdentityCredentials", credentialBody("own", "s")).want(201, "")
	f.do("DELETE", "/v1.0/servicePrincipals/"+sp, "").want(204, "")
	f.do("DELETE", path, "").want(204, "")
	for _, item := range [][3]string{{app, typeApplication, "application"}, {sp, typeServicePrincipal, "servicePrincipal"}} {
		got := f.do("GET", deletedItems+item[0], "").want(200, "")
		at, err := time.Parse(time.RFC3339, got.string("deletedDateTime"))
		if err != nil || time.Since(at) > time.Minute || got.string("@odata.type") != item[1] || got.string("id") != item[0] || got.string("appId") != appID {
			t.Errorf("deleted %s: %s", item[2], got.text)
		}
		for filter, want := range map[string]int{"": 1, "?$filter=appId eq '" + appID + "'": 1, "?$filter=startswith(displayName,'SH')": 1, "?$filter=displayName eq 'x'": 0, "?$filter=id eq '" + item[0] + "'&$top=1&$count=true": 1} {
			for _, cast := range []string{"microsoft.graph.", "graph."} {
				list := f.do("GET", deletedItems+cast+item[2]+filter, "").want(200, "")
				if values := list.values(); len(values) != want || want == 1 && (values[0]["id"] != item[0] || values[0]["deletedDateTime"] == nil) {
					t.Errorf("%s%s: %s", item[2], filter, list.text)
				}
			}
		}
	}
	f.do("GET", deletedItems+"microsoft.graph.application?$filter=subject eq 'x'", "").want(400, CodeUnsupportedQuery)
	f.do("GET", path, "").want(404, CodeNotFound)
	f.do("POST", deletedItems+sp+"/restore", "").want(400, CodeBadRequest) // its application is gone
	restored := f.do("POST", deletedItems+app+"/restore", `{}`).want(200, "")
	if restored.string("id") != app || restored.string("@odata.type") != typeApplication || restored.body["deletedDateTime"] != nil {
		t.Errorf("restored: %s", restored.text)
	}
	f.do("POST", deletedItems+sp+"/restore", "").want(200, "")
	f.do("GET", "/v1.0/applications(uniqueName='shop')/federatedIdentityCredentials/own", "").want(200, "")
	f.do("GET", "/v1.0/servicePrincipals(appId='"+appID+"')", "").want(200, "")
	f.do("POST", deletedItems+app+"/restore", "").want(404, CodeNotFound)
	f.do("DELETE", path, "").want(204, "")
	holder, _ := f.application(`{"displayName":"holder","identifierUris":["api://shop"]}`)
	f.do("POST", deletedItems+app+"/restore", "").want(409, CodeSameKeyValue)
	f.do("DELETE", "/v1.0/applications/"+holder, "").want(204, "")
	f.do("DELETE", deletedItems+app, "").want(204, "")
	for _, id := range []string{app, tenantID, "x"} {
		f.do("GET", deletedItems+id, "").want(404, CodeNotFound)
		f.do("DELETE", deletedItems+id, "").want(404, CodeNotFound)
		f.do("POST", deletedItems+id+"/restore", "").want(404, CodeNotFound)
	}
	f.tenant = otherTenantID
	f.do("GET", deletedItems+holder, "").want(404, CodeNotFound)
	f.do("POST", deletedItems+holder+"/restore", "").want(404, CodeNotFound)
}

// A caller with OwnedBy restores and ends what it owned when it was deleted.
func TestDeletedItemsOwnedBy(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	other, _ := f.application(`{"displayName":"other"}`)
	f.do("DELETE", "/v1.0/applications/"+other, "").want(204, "")
	_, asAdmin := f.ownedBy("pipeline")
	made := f.do("POST", "/v1.0/applications", `{"displayName":"own"}`).want(201, "")
	own := made.string("id")
	sp := f.do("POST", "/v1.0/servicePrincipals", `{"appId":"`+made.string("appId")+`"}`).want(201, "").string("id")
	f.do("DELETE", "/v1.0/servicePrincipals/"+sp, "").want(204, "")
	f.do("GET", deletedItems+sp, "").want(200, "")
	f.do("POST", deletedItems+sp+"/restore", "").want(200, "")
	f.do("DELETE", "/v1.0/applications/"+own, "").want(204, "")
	f.do("GET", deletedItems+own, "").want(200, "")
	f.do("POST", deletedItems+own+"/restore", "").want(200, "")
	f.do("PATCH", "/v1.0/applications/"+own, `{"description":"still mine"}`).want(204, "")
	f.do("DELETE", "/v1.0/applications/"+own, "").want(204, "")
	for _, r := range [][2]string{{"GET", ""}, {"DELETE", ""}, {"POST", "/restore"}} {
		f.do(r[0], deletedItems+other+r[1], "").want(403, CodeDenied)
	}
	f.do("GET", deletedItems+"microsoft.graph.application", "").want(403, "")

	// While the request arrives, an administrator takes the ownership away.
	f.stillAllowed = func(context.Context) error {
		f.stillAllowed = nil
		return f.db.Write(t.Context(), store.Change{}, func(tx *store.Tx) error {
			if _, err := tx.RestoreDeletedItem(tenantID, own); err != nil {
				return err
			}
			if err := tx.RemoveOwner(tenantID, own, f.caller.PrincipalID); err != nil {
				return err
			}
			return tx.DeleteApplication(tenantID, own)
		})
	}
	f.do("POST", deletedItems+own+"/restore", "").want(403, CodeDenied)
	f.do("DELETE", deletedItems+own, "").want(403, CodeDenied)
	f.caller = management.NewCaller(f.caller.PrincipalID, f.caller.AppID, nil)
	f.do("GET", deletedItems+own, "").want(403, "")
	asAdmin(func() { f.do("DELETE", deletedItems+own, "").want(204, "") })
}
