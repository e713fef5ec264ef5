package graph

import (
	"testing"

	"cambio/internal/directory"
)

// What an answer shows of the application is part of a service principal's
// entity tag: a client that keeps the old one must not be told that nothing
// changed.
func TestServicePrincipalTagFollowsItsApplication(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	app, appID := f.application(`{"displayName":"api"}`)
	sp := "/v1.0/servicePrincipals/" + f.servicePrincipal(appID)
	tag := f.do("GET", sp, "").header.Get("ETag")
	if got := f.do("GET", sp, "", "If-None-Match", tag).want(304, "").header.Get("ETag"); got != tag {
		t.Errorf("304 with the tag %s, want %s", got, tag)
	}
	f.do("PATCH", "/v1.0/applications/"+app, `{"identifierUris":["api://shop"],
		"appRoles":[{"id":"11111111-1111-1111-1111-111111111111","displayName":"r","value":"r","allowedMemberTypes":["Application"]}]}`).want(204, "")
	f.do("GET", sp, "", "If-None-Match", tag).want(200, "")
	f.do("PATCH", sp, `{"accountEnabled":false}`, "If-Match", tag).want(412, "PreconditionFailed")
	tag = f.do("GET", sp, "").header.Get("ETag")
	f.do("PATCH", sp, `{"accountEnabled":false}`, "If-Match", tag).want(204, "")
	f.do("DELETE", sp, "", "If-Match", tag).want(412, "PreconditionFailed")
	f.do("DELETE", sp, "", "If-Match", f.do("GET", sp, "").header.Get("ETag")).want(204, "")
	made := f.do("POST", "/v1.0/servicePrincipals", `{"appId":"`+appID+`"}`).want(201, "")
	if got := f.do("GET", "/v1.0/servicePrincipals/"+made.string("id"), "").header.Get("ETag"); got != made.header.Get("ETag") {
		t.Errorf("shown with the tag %s, made with %s", got, made.header.Get("ETag"))
	}
}

func TestErrorsHaveNoTag(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	app, appID := f.application(`{"displayName":"api"}`)
	for _, path := range []string{"/v1.0/applications/" + app, "/v1.0/servicePrincipals/" + f.servicePrincipal(appID)} {
		tag := f.do("GET", path, "").header.Get("ETag")
		for _, query := range []string{"?$expand=owners", "?$select=,"} {
			for _, r := range []answer{f.do("GET", path+query, ""), f.do("GET", path+query, "", "If-None-Match", tag)} {
				if r.status != 400 || r.header.Get("ETag") != "" {
					t.Errorf("%s%s: %d with the tag %s", path, query, r.status, r.header.Get("ETag"))
				}
			}
		}
	}
}
