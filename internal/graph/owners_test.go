package graph

import (
	"slices"
	"strings"
	"testing"

	"cambio/internal/directory"
)

func reference(id string) string {
	return `{"@odata.id":"` + testBase + `/v1.0/directoryObjects/` + id + `"}`
}

// ids are the ids of a list's objects, and everyone has the given type.
func (a answer) ids(kind string) (ids []string) {
	a.t.Helper()
	for _, v := range a.values() {
		if v["@odata.type"] != kind {
			a.t.Errorf("type %v, want %s", v["@odata.type"], kind)
		}
		ids = append(ids, v["id"].(string))
	}
	return ids
}

func TestOwners(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	app, appID := f.application(`{"displayName":"owned","uniqueName":"owned"}`)
	sp := f.servicePrincipal(appID)
	_, ownerAppID := f.application(`{"displayName":"owner"}`)
	owner := f.servicePrincipal(ownerAppID)
	for _, object := range []string{
		"/v1.0/applications/" + app, "/beta/applications(appId='" + appID + "')", "/v1.0/applications(uniqueName='owned')",
		"/beta/servicePrincipals/" + sp, "/v1.0/servicePrincipals(appId='" + appID + "')",
	} {
		owners := object + "/owners"
		f.do("POST", owners+"/$ref", reference(strings.ToUpper(owner))).want(204, "")
		again := f.do("POST", owners+"/$ref", reference(owner)).want(400, CodeBadRequest)
		if again.message() != "One or more added object references already exist for the following modified properties: 'owners'." {
			t.Errorf("%s: %s", owners, again.message())
		}
		list := f.do("GET", owners+"?$select=displayName,id&$top=1&$count=true", "").want(200, "")
		if got := list.ids("#microsoft.graph.servicePrincipal"); !slices.Equal(got, []string{owner}) || len(list.values()[0]) != 3 || list.body["@odata.count"] != 1.0 {
			t.Errorf("%s: %s", owners, list.text)
		}
		refs := f.do("GET", owners+"/$ref", "").want(200, "").values()
		if len(refs) != 1 || !strings.HasSuffix(refs[0]["@odata.id"].(string), "/directoryObjects/"+owner) {
			t.Errorf("%s: %v", owners, refs)
		}
		f.do("DELETE", owners+"/"+owner+"/$ref", "").want(204, "")
		f.do("DELETE", owners+"/"+owner+"/$ref", "").want(404, CodeNotFound)
		f.do("DELETE", owners+"/x/$ref", "").want(404, CodeNotFound)
		f.do("POST", owners+"/$ref", reference(app)).want(404, CodeNotFound) // not a service principal
		for _, body := range []string{`{}`, `{"@odata.id":null}`, `{"@odata.id":7}`, reference("x"), `{"@odata.id":"https://graph.example/v1.0/directoryObjects/` + owner + `"}`} {
			f.do("POST", owners+"/$ref", body).want(400, CodeBadRequest)
		}
	}
	f.do("PATCH", "/v1.0/applications/"+app, `{"owners@odata.bind":["`+testBase+`/v1.0/directoryObjects/`+owner+`"]}`).want(400, CodeBadRequest)
	f.do("PATCH", "/v1.0/servicePrincipals/"+sp, `{"owners@odata.bind":["`+testBase+`/v1.0/directoryObjects/`+owner+`"]}`).want(400, CodeBadRequest)
	f.managementAppID = appID
	f.do("POST", "/v1.0/applications/"+app+"/owners/$ref", reference(owner)).want(400, CodeBadRequest)
	f.do("POST", "/v1.0/servicePrincipals/"+sp+"/owners/$ref", reference(owner)).want(400, CodeBadRequest)
}

func TestOwnersAtCreation(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	var owners []string
	for _, name := range []string{"one", "two"} {
		_, appID := f.application(`{"displayName":"` + name + `"}`)
		owners = append(owners, f.servicePrincipal(appID))
	}
	slices.Sort(owners)
	bind := `"owners@odata.bind":["` + testBase + `/v1.0/directoryObjects/` + owners[0] + `","/beta/servicePrincipals('` + owners[1] + `')"]`
	app, appID := f.application(`{"displayName":"owned",` + bind + `}`)
	sp := f.do("POST", "/v1.0/servicePrincipals", `{"appId":"`+appID+`",`+bind+`}`).want(201, "").string("id")
	for _, object := range []string{"/v1.0/applications/" + app, "/v1.0/servicePrincipals/" + sp} {
		first := f.do("GET", object+"/owners?$top=1", "").want(200, "")
		rest := f.do("GET", strings.TrimPrefix(first.string("@odata.nextLink"), testBase), "").want(200, "")
		if got := append(first.ids(typeServicePrincipal), rest.ids(typeServicePrincipal)...); !slices.Equal(got, owners) || rest.string("@odata.nextLink") != "" {
			t.Errorf("%s: owners %v, want %v", object, got, owners)
		}
	}
	mine := f.do("GET", "/v1.0/servicePrincipals/"+owners[0]+"/ownedObjects", "").want(200, "")
	kinds := map[string]any{}
	for _, v := range mine.values() {
		kinds[v["id"].(string)] = v["@odata.type"]
	}
	if len(kinds) != 2 || kinds[app] != typeApplication || kinds[sp] != typeServicePrincipal {
		t.Errorf("owned objects: %s", mine.text)
	}
	before := len(f.do("GET", "/v1.0/applications", "").want(200, "").values())
	for _, bind := range []string{`["` + testBase + `/v1.0/directoryObjects/` + app + `"]`, `["nobody"]`, `"x"`, `["/v1.0/directoryObjects/` + owners[0] + `","/v1.0/directoryObjects/` + owners[0] + `"]`} {
		f.do("POST", "/v1.0/applications", `{"displayName":"x","owners@odata.bind":`+bind+`}`).want(400, CodeBadRequest)
	}
	if after := len(f.do("GET", "/v1.0/applications", "").values()); after != before {
		t.Errorf("a refused creation left %d applications", after-before)
	}
}

func TestDirectoryObjects(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	app, appID := f.application(`{"displayName":"one"}`)
	sp := f.servicePrincipal(appID)
	if got := f.do("GET", "/v1.0/directoryObjects/"+app+"?$select=id", "").want(200, ""); got.string("@odata.type") != typeApplication || len(got.body) != 3 {
		t.Errorf("application: %s", got.text)
	}
	if got := f.do("GET", "/beta/directoryObjects/"+sp, "").want(200, ""); got.string("@odata.type") != typeServicePrincipal || got.string("appId") != appID {
		t.Errorf("service principal: %s", got.text)
	}
	f.do("GET", "/v1.0/directoryObjects/"+tenantID, "").want(404, CodeNotFound)
	byIDs := func(body string) answer { return f.do("POST", "/v1.0/directoryObjects/getByIds", body) }
	all := byIDs(`{"ids":["`+app+`","`+sp+`","`+tenantID+`"]}`).want(200, "")
	if len(all.values()) != 2 {
		t.Errorf("getByIds: %s", all.text)
	}
	if got := byIDs(`{"ids":["` + app + `","` + sp + `"],"types":["servicePrincipal","user"]}`).ids(typeServicePrincipal); !slices.Equal(got, []string{sp}) {
		t.Errorf("getByIds of service principals: %v", got)
	}
	for _, body := range []string{`{}`, `{"ids":[]}`, `{"ids":["x"]}`, `{"ids":"` + app + `"}`, `{"ids":["` + app + strings.Repeat(`","`+app, 1000) + `"]}`} {
		byIDs(body).want(400, CodeBadRequest)
	}
	for _, list := range []string{"memberOf", "transitiveMemberOf"} {
		if got := f.do("GET", "/v1.0/servicePrincipals/"+sp+"/"+list, "").want(200, "").values(); len(got) != 0 {
			t.Errorf("%s: %v", list, got)
		}
	}
	f.do("GET", "/v1.0/me/ownedObjects", "").want(400, "BadRequest")
}

func TestReferences(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	a := New(Config{DB: f.db, BaseURL: testBase})
	for text, want := range map[string]bool{
		testBase + "/v1.0/directoryObjects/" + tenantID: true, testBase + "//beta/servicePrincipals/" + tenantID: true, "HTTPS://STS.example.net/v1.0/directoryObjects/" + tenantID: true,
		"/v1.0/directoryObjects/" + tenantID: true, "directoryObjects/" + strings.ToUpper(tenantID): true, "directoryObjects('" + tenantID + "')": true,
		tenantID: false, testBase + ".evil.example/v1.0/directoryObjects/" + tenantID: false, "https://graph.example/v1.0/directoryObjects/" + tenantID: false,
		testBase + "/v1.0/directoryObjects/" + tenantID + "/": false, "directoryObjects" + tenantID: false, "directoryObjects(appId='" + tenantID + "')": false,
		"/v2.0/directoryObjects/" + tenantID: false, "users/" + tenantID: false, "": false, testBase: false,
	} {
		if id, ok := a.reference(text); ok != want || ok && id != tenantID {
			t.Errorf("%q: %q, %v", text, id, ok)
		}
	}
}

func FuzzReference(f *testing.F) {
	a := New(Config{BaseURL: testBase})
	f.Add(testBase + "/v1.0/directoryObjects/" + tenantID)
	f.Add("servicePrincipals('" + tenantID + "')")
	f.Fuzz(func(t *testing.T, text string) {
		id, ok := a.reference(text)
		if ok && (!directory.IsGUID(id) || !strings.Contains(strings.ToLower(text), id)) {
			t.Fatalf("%q gave %q", text, id)
		}
	})
}
