package graph

import (
	"bytes"
	"compress/gzip"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"cambio/internal/directory"
)

const readRole = "1b4f816e-5eaf-48b9-8613-7923830595ad"

func TestServicePrincipalLifeCycle(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	app, appID := f.application(`{"displayName":"orders","identifierUris":["api://orders"]}`)
	made := f.do("POST", "/v1.0/servicePrincipals", `{"appId":"`+strings.ToUpper(appID)+`","accountEnabled":true,"tags":["x"],"owners@odata.bind":[]}`).want(201, "")
	id := made.string("id")
	names, _ := made.body["servicePrincipalNames"].([]any)
	if len(names) != 2 || names[0] != appID || names[1] != "api://orders" || made.string("servicePrincipalType") != "Application" ||
		made.string("appOwnerOrganizationId") != tenantID || made.header.Get("Location") != testBase+"/v1.0/servicePrincipals/"+id {
		t.Errorf("created: %s", made.text)
	}
	f.do("POST", "/v1.0/servicePrincipals", `{"appId":"`+appID+`"}`).want(409, CodeSameKeyValue)
	refused := f.do("POST", "/v1.0/servicePrincipals", `{"appId":"`+tenantID+`"}`).want(400, CodeBadRequest)
	if !strings.Contains(refused.message(), "does not reference a valid application object") {
		t.Errorf("Terraform retries on another text than %q", refused.message())
	}
	f.do("POST", "/v1.0/servicePrincipals", `{}`).want(400, CodeBadRequest)
	for filter, want := range map[string]int{
		"appId eq '" + appID + "'": 1, "appId eq 'x'": 0, "displayName eq 'orders'": 1, "startswith(displayName,'ord')": 1,
		"servicePrincipalNames/any(c:c eq 'api://orders')": 1, "servicePrincipalNames/any(c:c eq '" + appID + "')": 1,
		"servicePrincipalNames/any(c:c eq 'api://none')": 0, "servicePrincipalNames/any(c:c eq '')": 0,
	} {
		if got := f.do("GET", "/v1.0/servicePrincipals?$filter="+url.QueryEscape(filter), "").want(200, "").values(); len(got) != want {
			t.Errorf("%s gives %d, want %d", filter, len(got), want)
		}
	}
	f.do("PATCH", "/v1.0/servicePrincipals/"+id, `{"appRoleAssignmentRequired":true,"accountEnabled":false,"description":null}`).want(204, "")
	got := f.do("GET", "/beta/servicePrincipals(appId='"+appID+"')", "").want(200, "")
	if got.body["appRoleAssignmentRequired"] != true || got.body["accountEnabled"] != false {
		t.Errorf("after PATCH: %s", got.text)
	}
	if o := f.do("GET", "/v1.0/directoryObjects/"+id, "").want(200, ""); o.string("@odata.type") != "#microsoft.graph.servicePrincipal" {
		t.Errorf("directory object: %s", o.text)
	}
	if o := f.do("GET", "/v1.0/directoryObjects/"+app, "").want(200, ""); o.string("@odata.type") != "#microsoft.graph.application" {
		t.Errorf("directory object: %s", o.text)
	}
	f.do("GET", "/v1.0/directoryObjects/"+tenantID, "").want(404, CodeNotFound)
	f.do("DELETE", "/v1.0/servicePrincipals/"+id, "").want(204, "")
	f.do("GET", "/v1.0/servicePrincipals/"+id, "").want(404, CodeNotFound)
}

func TestAssignments(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	_, resourceAppID := f.application(`{"displayName":"orders","appRoles":[{"id":"` + readRole + `","displayName":"r","value":"Orders.Read","allowedMemberTypes":["Application"],"isEnabled":true}]}`)
	_, clientAppID := f.application(`{"displayName":"shop"}`)
	resource, client := f.servicePrincipal(resourceAppID), f.servicePrincipal(clientAppID)
	body := func(principal, resource, role string) string {
		return `{"principalId":"` + principal + `","resourceId":"` + resource + `","appRoleId":"` + role + `"}`
	}
	to := "/v1.0/servicePrincipals/" + resource + "/appRoleAssignedTo"
	of := "/v1.0/servicePrincipals(appId='" + clientAppID + "')/appRoleAssignments"
	made := f.do("POST", to, body(client, resource, readRole)).want(201, "")
	id := made.string("id")
	if made.string("principalDisplayName") != "shop" || made.string("resourceDisplayName") != "orders" || made.string("principalType") != "ServicePrincipal" ||
		made.header.Get("Location") != testBase+to+"/"+id {
		t.Errorf("created: %s", made.text)
	}
	f.do("POST", of, body(client, resource, directory.DefaultAppRoleID)).want(201, "")
	f.do("POST", to, body(client, resource, readRole)).want(400, CodeBadRequest)
	f.do("POST", to, body(client, resource, tenantID)).want(400, CodeBadRequest)
	f.do("POST", to, body(resource, client, readRole)).want(400, CodeBadRequest)
	f.do("POST", of, body(client, tenantID, readRole)).want(404, CodeNotFound)
	f.do("POST", to, body(tenantID, resource, readRole)).want(400, CodeBadRequest)
	f.do("POST", to, `{"principalId":1}`).want(400, CodeBadRequest)
	f.do("POST", to, body("x", resource, readRole)).want(400, CodeBadRequest)
	for _, path := range []string{to, of} {
		if list := f.do("GET", path, "").want(200, "").values(); len(list) != 2 {
			t.Errorf("%s has %d assignments", path, len(list))
		}
		f.do("GET", path+"/"+id, "").want(200, "")
	}
	f.do("GET", strings.Replace(to, resource, client, 1)+"/"+id, "").want(404, CodeNotFound)
	f.do("DELETE", strings.Replace(to, resource, client, 1)+"/"+id, "").want(404, CodeNotFound)
	f.do("DELETE", of+"/"+id, "").want(204, "")
	f.do("GET", to+"/"+id, "").want(404, CodeNotFound)
}

func TestOrganization(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	list := f.do("GET", "/v1.0/organization", "").want(200, "").values()
	if len(list) != 1 || list[0]["id"] != tenantID || list[0]["compat"] != "relaxed" || list[0]["tenantType"] != "AAD" {
		t.Errorf("organization: %v", list)
	}
	f.do("PATCH", "/v1.0/organization/"+tenantID, `{"compat":"strict"}`).want(204, "")
	if got := f.do("GET", "/v1.0/organization/"+tenantID, "").want(200, ""); got.string("compat") != "strict" {
		t.Errorf("after PATCH: %s", got.text)
	}
	f.do("PATCH", "/v1.0/organization/"+tenantID, `{"compat":"lax"}`).want(400, CodeBadRequest)
	f.do("PATCH", "/v1.0/organization/"+otherTenantID, `{"compat":"relaxed"}`).want(404, CodeNotFound)
	f.do("GET", "/v1.0/me", "").want(400, "BadRequest")
}

// TestOtherTenant: to another tenant, an object does not exist.
func TestOtherTenant(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	app, appID := f.application(`{"displayName":"shop"}`)
	sp := f.servicePrincipal(appID)
	fics := "/v1.0/applications/" + app + "/federatedIdentityCredentials"
	f.do("POST", fics, credentialBody("gh-main", "s")).want(201, "")
	assignments := "/v1.0/servicePrincipals/" + sp + "/appRoleAssignedTo"
	grant := `{"principalId":"` + sp + `","resourceId":"` + sp + `","appRoleId":"` + directory.DefaultAppRoleID + `"}`
	id := f.do("POST", assignments, grant).want(201, "").string("id")
	f.tenant = otherTenantID
	for _, r := range [][3]string{
		{"GET", "/v1.0/applications/" + app, ""}, {"GET", "/v1.0/applications(appId='" + appID + "')", ""}, {"PATCH", "/v1.0/applications/" + app, `{"displayName":"x"}`},
		{"DELETE", "/v1.0/applications/" + app, ""}, {"GET", fics, ""}, {"GET", fics + "/gh-main", ""}, {"POST", fics, credentialBody("x-1", "s")},
		{"PATCH", fics + "/gh-main", `{"subject":"x"}`}, {"DELETE", fics + "/gh-main", ""}, {"GET", fics + "/$count", ""}, {"GET", "/v1.0/servicePrincipals/" + sp, ""},
		{"PATCH", "/v1.0/servicePrincipals/" + sp, `{"tags":[]}`}, {"DELETE", "/v1.0/servicePrincipals/" + sp, ""}, {"GET", assignments, ""},
		{"GET", assignments + "/" + id, ""}, {"POST", assignments, grant}, {"DELETE", assignments + "/" + id, ""}, {"GET", "/v1.0/directoryObjects/" + sp, ""},
		{"GET", "/v1.0/organization/" + tenantID, ""},
	} {
		f.do(r[0], r[1], r[2]).want(404, CodeNotFound)
	}
	f.do("POST", "/v1.0/servicePrincipals", `{"appId":"`+appID+`"}`).want(400, CodeBadRequest)
}

func TestBodies(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	zip := func(text string) string {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Write([]byte(text))
		w.Close()
		return b.String()
	}
	const good = `{"displayName":"x"}`
	tests := []struct {
		name, body, contentType, encoding string
		status                            int
	}{
		{"plain", good, "application/json", "", 201},
		{"charset", good, "application/json; charset=UTF-8; odata.metadata=minimal", "", 201},
		{"gzip", zip(good), "application/json", "gzip", 201},
		{"white space around", " \n" + good + "\n", "application/json", "", 201},
		{"no content type", good, "", "", 400},
		{"text", good, "text/plain", "", 415},
		{"form", "displayName=x", "application/x-www-form-urlencoded", "", 415},
		{"other charset", good, "application/json; charset=utf-16", "", 415},
		{"brotli", good, "application/json", "br", 415},
		{"not gzip", good, "application/json", "gzip", 400},
		{"cut gzip", zip(good)[:20], "application/json", "gzip", 400},
		{"gzip bomb", zip(strings.Repeat(" ", 20<<20)), "application/json", "gzip", 413},
		{"too large", `{"displayName":"` + strings.Repeat("x", 1<<20) + `"}`, "application/json", "", 413},
		{"empty", "", "application/json", "", 400},
		{"two values", good + good, "application/json", "", 400},
		{"null", "null", "application/json", "", 400},
		{"deep", strings.Repeat("[", 10000), "application/json", "", 400},
		{"NUL in a name", "{\"displayName\":\"a\\u0000b\"}", "application/json", "", 400},
		{"lone surrogate", `{"displayName":"\ud800"}`, "application/json", "", 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", testBase+"/v1.0/applications", strings.NewReader(tt.body))
			if tt.contentType != "" {
				r.Header.Set("Content-Type", tt.contentType)
			}
			if tt.encoding != "" {
				r.Header.Set("Content-Encoding", tt.encoding)
			}
			if got := f.send(r); got.status != tt.status || got.status >= 400 && got.message() == "" {
				t.Errorf("got %d %s", got.status, got.text)
			}
		})
	}
}

// FuzzBody: no body makes the API fail, and what it accepts it can show.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{`{"displayName":"x"}`, credentialBody("abc", "s"), `{"displayName":"x","api":{"requestedAccessTokenVersion":2},"appRoles":[{"id":"` + readRole + `"}]}`,
		`{"displayName":"x","optionalClaims":{"accessToken":[{"name":"idtyp"}]},"identifierUris":["api://a"],"tags":null}`, `[]`, `{"displayName":1}`, ``} {
		f.Add(seed)
	}
	shared := newFixture(f, directory.Relaxed)
	app, _ := shared.application(`{"displayName":"x"}`)
	f.Fuzz(func(t *testing.T, body string) {
		fx := *shared
		fx.t = t
		for _, path := range []string{"/v1.0/applications", "/v1.0/applications/" + app + "/federatedIdentityCredentials"} {
			got := fx.do("POST", path, body)
			if got.status >= 500 {
				t.Fatalf("%s: %d %s", path, got.status, got.text)
			}
			if got.status == 201 {
				location := strings.TrimPrefix(got.header.Get("Location"), testBase)
				fx.do("GET", location, "").want(200, "")
				fx.do("DELETE", location, "").want(204, "")
			}
		}
		if got := fx.do("PATCH", "/v1.0/applications/"+app, body); got.status >= 500 {
			t.Fatalf("PATCH: %d %s", got.status, got.text)
		}
	})
}
