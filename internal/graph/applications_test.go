package graph

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"testing"

	"cambio/internal/directory"
)

func TestApplicationLifeCycle(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	made := f.do("POST", "/v1.0/applications", `{"displayName":"demo","keyCredentials":[],"web":{"redirectUris":["https://x"]},"description":null,"unknown":1}`).want(201, "")
	id, appID := made.string("id"), made.string("appId")
	if made.string("signInAudience") != "AzureADMyOrg" || made.header.Get("Location") != testBase+"/v1.0/applications/"+id ||
		made.string("@odata.context") != testBase+"/v1.0/$metadata#applications/$entity" || made.string("publisherDomain") != "contoso.example" {
		t.Errorf("created: %s", made.text)
	}
	for _, name := range []string{"identifierUris", "tags", "appRoles", "keyCredentials", "passwordCredentials", "requiredResourceAccess"} {
		if _, ok := made.body[name].([]any); !ok {
			t.Errorf("%s is not an array: %v", name, made.body[name])
		}
	}
	f.do("PATCH", "/v1.0/applications/"+id, `{"uniqueName":"demo-app","identifierUris":["api://demo"],"api":{"requestedAccessTokenVersion":2,"accessTokenSigningAlgorithm":"ES256","accessTokenProfile":"rfc9068"},
		"optionalClaims":{"accessToken":[{"name":"idtyp"},{"name":"other"}]},"isDisabled":true}`).want(204, "")
	for _, address := range []string{"/v1.0/applications/" + id, "/v1.0/applications/" + strings.ToUpper(id), "/beta/applications(appId='" + appID + "')",
		"/v1.0/applications(uniqueName='demo-app')", "/v1.0/applications('" + id + "')"} {
		got := f.do("GET", address, "").want(200, "")
		api, _ := got.body["api"].(map[string]any)
		if got.string("id") != id || api["requestedAccessTokenVersion"] != 2.0 || api["accessTokenSigningAlgorithm"] != "ES256" || api["accessTokenProfile"] != "rfc9068" ||
			got.body["optionalClaims"] == nil || got.body["isDisabled"] != true {
			t.Errorf("%s: %s", address, got.text)
		}
	}
	f.do("PATCH", "/v1.0/applications/"+id, `{"api":null,"optionalClaims":{},"id":"`+id+`","appId":"`+appID+`"}`).want(204, "")
	got := f.do("GET", "/v1.0/applications/"+id+"?$select=id,api,nothing", "").want(200, "")
	if len(got.body) != 3 || got.body["api"].(map[string]any)["requestedAccessTokenVersion"] != nil {
		t.Errorf("selection: %s", got.text)
	}
	f.do("DELETE", "/v1.0/applications/"+id, "").want(204, "")
	f.do("GET", "/v1.0/applications/"+id, "").want(404, CodeNotFound)
	f.do("DELETE", "/v1.0/applications/"+id, "").want(404, CodeNotFound)
}

// TestRequiredResourceAccess: what an application wants is kept and shown, and
// null, an empty list or another list replaces it.
func TestRequiredResourceAccess(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	id, _ := f.application(`{"displayName":"demo","notes":"n","serviceManagementReference":"r"}`)
	path := "/v1.0/applications/" + id
	const wanted = `[{"resourceAppId":"C5D3119C-8030-4c84-b836-81944b06c951","resourceAccess":[{"id":"5d2f3b5e-6f0e-4e0c-9d52-6f1b0f6f4a06","type":"Role","x":1}]},` +
		`{"resourceAppId":"5d2f3b5e-6f0e-4e0c-9d52-6f1b0f6f4a06"}]`
	shown := func() string { return f.do("GET", path+"?$select=requiredResourceAccess", "").want(200, "").text }
	f.do("PATCH", path, `{"requiredResourceAccess":`+wanted+`}`).want(204, "")
	if got, want := shown(), `[{"resourceAppId":"c5d3119c-8030-4c84-b836-81944b06c951","resourceAccess":[{"id":"5d2f3b5e-6f0e-4e0c-9d52-6f1b0f6f4a06","type":"Role"}]},`+
		`{"resourceAppId":"5d2f3b5e-6f0e-4e0c-9d52-6f1b0f6f4a06","resourceAccess":[]}]`; !strings.Contains(got, want) {
		t.Errorf("shown: %s\nwant %s", got, want)
	}
	for _, bad := range []string{`{}`, `"x"`, `[{"resourceAppId":"x"}]`, `[{"resourceAppId":1}]`, `[{"resourceAppId":"c5d3119c-8030-4c84-b836-81944b06c951","resourceAccess":[{"id":"x","type":"Role"}]}]`} {
		f.do("PATCH", path, `{"requiredResourceAccess":`+bad+`}`).want(400, CodeBadRequest)
	}
	f.do("PATCH", path, `{"notes":null}`).want(204, "")
	got := f.do("GET", path, "").want(200, "")
	if got.body["notes"] != nil || got.string("serviceManagementReference") != "r" || len(got.body["requiredResourceAccess"].([]any)) != 2 {
		t.Errorf("after a change of the notes: %s", got.text)
	}
	for _, none := range []string{"null", "[]"} {
		f.do("PATCH", path, `{"requiredResourceAccess":`+wanted+`}`).want(204, "")
		f.do("PATCH", path, `{"requiredResourceAccess":`+none+`}`).want(204, "")
		if got := shown(); !strings.Contains(got, `"requiredResourceAccess":[]`) {
			t.Errorf("after %s: %s", none, got)
		}
	}
}

func TestApplicationLists(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	_, appID := f.application(`{"displayName":"demo one","identifierUris":["api://one"],"uniqueName":"first"}`)
	f.application(`{"displayName":"demo two"}`)
	f.application(`{"displayName":"other"}`)
	for filter, want := range map[string]int{
		"appId eq '" + appID + "'": 1, "appId eq 'x'": 0, "displayName eq 'demo two'": 1, "startswith(displayName,'demo')": 2,
		"identifierUris/any(s:s eq 'api://one')": 1, "identifierUris/any(s:s eq 'api://two')": 0, "uniqueName eq 'first'": 1, "uniqueName eq ''": 0,
		"startswith(displayName,'%')": 0,
	} {
		if got := f.do("GET", "/v1.0/applications?$filter="+url.QueryEscape(filter), "").want(200, "").values(); len(got) != want {
			t.Errorf("%s gives %d, want %d", filter, len(got), want)
		}
	}
	page := f.do("GET", "/v1.0/applications?$top=2&$select=displayName", "").want(200, "")
	next := strings.TrimPrefix(page.string("@odata.nextLink"), testBase)
	if len(page.values()) != 2 || len(page.values()[0]) != 1 || !strings.Contains(next, "%24top=2") {
		t.Fatalf("first page: %s", page.text)
	}
	if last := f.do("GET", next, "").want(200, ""); len(last.values()) != 1 || last.string("@odata.nextLink") != "" {
		t.Errorf("last page: %s", last.text)
	}
	token := next[strings.Index(next, "skiptoken=")+len("skiptoken="):]
	for _, bad := range []string{"/v1.0/applications?$skiptoken=AAAA", "/v1.0/applications?$skiptoken=", "/v1.0/servicePrincipals?$skiptoken=" + token,
		"/v1.0/applications?$filter=startswith(displayName,'d')&$skiptoken=" + token, "/v1.0/applications?$top=0", "/v1.0/applications?$top=1000000000",
		"/v1.0/applications?$top=-1", "/v1.0/applications?$count=maybe", "/v1.0/applications?$top=1&$top=2", "/v1.0/applications?%zz", "/v1.0/applications?$select=a;b"} {
		f.do("GET", bad, "").want(400, CodeBadRequest)
	}
	f.do("GET", "/v1.0/applications?$expand=owners", "").want(400, CodeUnsupportedQuery)
	f.do("GET", "/v1.0/applications?$orderby=displayName", "").want(400, CodeUnsupportedQuery)
	f.tenant = otherTenantID
	f.do("GET", next, "").want(400, CodeBadRequest)
	if got := f.do("GET", "/v1.0/applications", "").want(200, "").values(); len(got) != 0 {
		t.Errorf("another tenant sees %d applications", len(got))
	}
}

func TestApplicationRefusals(t *testing.T) {
	f := newFixture(t, directory.Strict)
	id, appID := f.application(`{"displayName":"one","appRoles":[{"id":"1b4f816e-5eaf-48b9-8613-7923830595ad","displayName":"r","description":"d","value":"Read","allowedMemberTypes":["Application"],"isEnabled":true}]}`)
	f.do("PATCH", "/v1.0/applications/"+id, `{"identifierUris":["api://`+appID+`"]}`).want(204, "")
	tests := []struct{ name, method, path, body, code string }{
		{"no name", "POST", "/v1.0/applications", `{}`, CodeBadRequest},
		{"chosen appId", "POST", "/v1.0/applications", `{"displayName":"x","appId":"` + appID + `"}`, CodeBadRequest},
		{"secret", "POST", "/v1.0/applications", `{"displayName":"x","passwordCredentials":[{"displayName":"s"}]}`, CodeBadRequest},
		{"foreign identifier", "PATCH", "/v1.0/applications/" + id, `{"identifierUris":["https://login.example/x"]}`, CodeHostNotVerified},
		{"version 0", "PATCH", "/v1.0/applications/" + id, `{"api":{"requestedAccessTokenVersion":0}}`, CodeBadRequest},
		{"version 2.0", "PATCH", "/v1.0/applications/" + id, `{"api":{"requestedAccessTokenVersion":2.0}}`, CodeBadRequest},
		{"PS256", "PATCH", "/v1.0/applications/" + id, `{"api":{"accessTokenSigningAlgorithm":"PS256"}}`, CodeBadRequest},
		{"enabled role removed", "PATCH", "/v1.0/applications/" + id, `{"appRoles":[]}`, CodeEntitlementEnabled},
		{"roles as object", "PATCH", "/v1.0/applications/" + id, `{"appRoles":{}}`, CodeBadRequest},
		{"other id", "PATCH", "/v1.0/applications/" + id, `{"id":"` + appID + `"}`, CodeBadRequest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { f.do(tt.method, tt.path, tt.body).want(400, tt.code) })
	}
	f.do("PATCH", "/v1.0/applications/"+id, `{"uniqueName":"one"}`).want(204, "")
	f.do("PATCH", "/v1.0/applications/"+id, `{"uniqueName":"two"}`).want(400, CodeBadRequest)
	f.do("POST", "/v1.0/applications", `{"displayName":"x","uniqueName":"one"}`).want(409, CodeSameKeyValue)
	f.do("POST", "/v1.0/applications", `{"displayName":"x","identifierUris":["https://api.contoso.example"]}`).want(201, "")
	f.do("POST", "/v1.0/applications", `{"displayName":"x","identifierUris":["https://api.contoso.example"]}`).want(409, CodeSameKeyValue)
	f.do("GET", "/v1.0/applications(displayName='one')", "").want(400, CodeBadRequest)
	f.do("GET", "/v1.0/applications/appId='"+appID+"'", "").want(404, CodeNotFound)
	disabled := `{"appRoles":[{"id":"1b4f816e-5eaf-48b9-8613-7923830595ad","displayName":"r","value":"Read","allowedMemberTypes":["Application"],"isEnabled":false}]}`
	f.do("PATCH", "/v1.0/applications/"+id, disabled).want(204, "")
	f.do("PATCH", "/v1.0/applications/"+id, `{"appRoles":[]}`).want(204, "")
}

func TestApplicationUpsert(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	path := "/v1.0/applications(uniqueName='svc')"
	f.do("PATCH", path, `{"displayName":"service"}`).want(404, CodeNotFound)
	made := f.do("PATCH", path, `{"displayName":"service"}`, "Prefer", "create-if-missing").want(201, "")
	f.do("PATCH", path, `{"displayName":"renamed"}`, "Prefer", "create-if-missing").want(204, "")
	if got := f.do("GET", path, ""); got.string("id") != made.string("id") || got.string("displayName") != "renamed" {
		t.Errorf("after upsert: %s", got.text)
	}
	f.do("PATCH", "/v1.0/applications(appId='"+tenantID+"')", `{"displayName":"x"}`, "Prefer", "create-if-missing").want(404, CodeNotFound)
}

func TestManagementResourceIsKept(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	id, appID := f.application(`{"displayName":"management","identifierUris":["https://sts.example.net"]}`)
	sp := f.servicePrincipal(appID)
	f.managementAppID = appID
	f.do("DELETE", "/v1.0/applications/"+id, "").want(400, CodeBadRequest)
	f.do("DELETE", "/v1.0/applications(appId='"+appID+"')", "").want(400, CodeBadRequest)
	f.do("DELETE", "/v1.0/servicePrincipals/"+sp, "").want(400, CodeBadRequest)
	f.do("PATCH", "/v1.0/servicePrincipals/"+sp, `{"accountEnabled":false}`).want(400, CodeBadRequest)
	for _, body := range []string{`{"identifierUris":[]}`, `{"appRoles":null}`, `{"isDisabled":true}`, `{"api":{}}`} {
		f.do("PATCH", "/v1.0/applications/"+id, body).want(400, CodeBadRequest)
	}
	f.do("PATCH", "/v1.0/applications/"+id, `{"displayName":"renamed"}`).want(204, "")
	if got := f.do("GET", "/v1.0/servicePrincipals/"+sp, "").want(200, ""); got.string("displayName") != "renamed" {
		t.Error("the service principal kept its old name")
	}
}

// Two requests that create what they update never meet in a 409.
func TestUpsertsAtTheSameTime(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	const path = "/v1.0/applications(uniqueName='shop')"
	upsert := func(body string) answer { return f.do("PATCH", path, body, "Prefer", "create-if-missing") }
	var other sync.Once
	f.stillAllowed = func(context.Context) error {
		f.stillAllowed = nil
		other.Do(func() { upsert(`{"displayName":"first","description":"kept"}`).want(201, "") })
		return nil
	}
	upsert(`{"displayName":"second"}`).want(204, "")
	if got := f.do("GET", path, "").want(200, ""); got.string("displayName") != "second" || got.string("description") != "kept" {
		t.Errorf("after both: %s", got.text)
	}
	f.application(`{"displayName":"x","identifierUris":["api://x"]}`)
	refused := f.do("PATCH", "/v1.0/applications(uniqueName='other')", `{"displayName":"x","identifierUris":["api://x"]}`, "Prefer", "create-if-missing")
	refused.want(409, CodeSameKeyValue)
}
