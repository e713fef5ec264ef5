package graph

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"cambio/internal/directory"
)

func TestCredentialLifeCycle(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	app, appID := f.application(`{"displayName":"shop"}`)
	path := "/v1.0/applications/" + app + "/federatedIdentityCredentials"
	made := f.do("POST", path+"/", credentialBody("gh-main", "repo:acme/shop:ref:refs/heads/main")).want(201, "")
	id := made.string("id")
	wantContext := testBase + "/v1.0/$metadata#applications('" + app + "')/federatedIdentityCredentials"
	if made.string("@odata.context") != wantContext+"/$entity" || made.header.Get("Location") != testBase+path+"/"+id {
		t.Errorf("context %q, Location %q", made.string("@odata.context"), made.header.Get("Location"))
	}
	for name, want := range map[string]string{"OData-Version": "4.0", "request-id": "6d0f3b1a-2c4e-4f5a-8b7c-9d0e1f2a3b4c", "client-request-id": "client-id",
		"Cache-Control": "no-cache", "Content-Type": contentType} {
		if made.header.Get(name) != want {
			t.Errorf("header %s is %q, want %q", name, made.header.Get(name), want)
		}
	}
	if desc, there := made.body["description"]; desc != nil || !there {
		t.Errorf("description is %v", desc)
	}
	for _, address := range []string{path + "/" + id, path + "/gh-main", path + "(name='gh-main')",
		"/beta/applications(appId='" + appID + "')/federatedIdentityCredentials/" + strings.ToUpper(id)} {
		if got := f.do("GET", address, "").want(200, ""); got.string("id") != id || got.string("subject") != "repo:acme/shop:ref:refs/heads/main" {
			t.Errorf("%s: %s", address, got.text)
		}
	}
	list := f.do("GET", path, "").want(200, "")
	if list.string("@odata.context") != wantContext || len(list.values()) != 1 {
		t.Errorf("list: %s", list.text)
	}
	f.do("PATCH", path+"/gh-main", `{"description":"main"}`).want(204, "")
	if got := f.do("GET", path+"/"+id, ""); got.string("description") != "main" || got.string("issuer") != githubIssuer {
		t.Errorf("after PATCH: %s", got.text)
	}
	if count := f.do("GET", path+"/$count", ""); count.text != "1" || count.header.Get("Content-Type") != "text/plain" {
		t.Errorf("count: %q", count.text)
	}
	if gone := f.do("DELETE", path+"/gh-main", "").want(204, ""); gone.text != "" || gone.header.Get("Content-Type") != "" {
		t.Error("204 has a body")
	}
	f.do("DELETE", path+"/gh-main", "").want(404, CodeNotFound)
	f.do("GET", path+"/"+id, "").want(404, CodeNotFound)
}

func TestCredentialFilter(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	app, _ := f.application(`{"displayName":"shop"}`)
	path := "/v1.0/applications/" + app + "/federatedIdentityCredentials"
	f.do("POST", path, credentialBody("one", "it's")).want(201, "")
	f.do("POST", path, credentialBody("two", "repo:*")).want(201, "")
	for filter, want := range map[string]string{"name%20eq%20%27one%27": "one", "subject eq 'it''s'": "one", "subject+eq+'repo:*'": "two"} {
		if got := f.do("GET", path+"?%24filter="+filter, "").want(200, "").values(); len(got) != 1 || got[0]["name"] != want {
			t.Errorf("%s: %v", filter, got)
		}
	}
	if got := f.do("GET", path+"?$filter=subject eq 'repo:a'", "").want(200, "").values(); len(got) != 0 {
		t.Errorf("a star is a literal: %v", got)
	}
	refused := f.do("GET", path+"?$filter=issuer eq 'x'", "").want(400, CodeUnsupportedQuery)
	if !strings.Contains(refused.message(), "subject eq '…'") {
		t.Errorf("message names no alternative: %s", refused.message())
	}
}

// TestTerraform replays what the azuread provider does with a credential.
func TestTerraform(t *testing.T) {
	f := newFixture(t, directory.Strict)
	app, _ := f.application(`{"displayName":"shop"}`)
	f.do("GET", "/v1.0/applications/"+app, "").want(200, "")
	path := "/v1.0/applications/" + app + "/federatedIdentityCredentials"
	body := `{"@odata.type":"#microsoft.graph.federatedIdentityCredential","audiences":["api://AzureADTokenExchange"],"description":null,` +
		`"issuer":"` + githubIssuer + `","name":"gh-main","subject":"repo:a/b:ref:refs/heads/main"`
	id := f.do("POST", path, body+"}").want(201, "").string("id")
	for range 5 {
		f.do("GET", path+"/"+id, "").want(200, "")
	}
	update := strings.Replace(body, "heads/main", "heads/next", 1) + `,"id":"` + id + `"}`
	f.do("PATCH", path+"/"+id, update).want(204, "")
	if got := f.do("GET", path+"/"+id, ""); got.string("subject") != "repo:a/b:ref:refs/heads/next" {
		t.Errorf("after update: %s", got.text)
	}
	f.do("DELETE", path+"/"+id, "").want(204, "")
	for range 3 {
		f.do("GET", path+"/"+id, "").want(404, CodeNotFound)
	}
}

func TestCredentialRefusals(t *testing.T) {
	f := newFixture(t, directory.Strict)
	app, _ := f.application(`{"displayName":"shop"}`)
	path := "/v1.0/applications/" + app + "/federatedIdentityCredentials"
	id := f.do("POST", path, credentialBody("gh-main", "s1")).want(201, "").string("id")
	other := f.do("POST", path, credentialBody("gh-next", "s2")).want(201, "").string("id")
	tests := []struct {
		name, method, path, body string
		status                   int
		code, contains           string
	}{
		{"same name", "POST", path, credentialBody("gh-main", "s3"), 409, CodeSameKeyValue, "gh-main"},
		{"same trust", "POST", path, credentialBody("third", "s1"), 400, CodeInvalidCredential, "paramName: FederatedIdentityCredential.Subject, paramValue: s1"},
		{"same trust names its holder", "POST", path, credentialBody("third", "s1"), 400, CodeInvalidCredential, "gh-main"},
		{"identical", "POST", path, credentialBody("gh-main", "s1"), 409, CodeSameKeyValue, ""},
		{"trust by PATCH", "PATCH", path + "/" + other, `{"subject":"s1"}`, 400, CodeInvalidCredential, id},
		{"new name", "PATCH", path + "/" + id, `{"name":"renamed"}`, 400, CodeBadRequest, "name"},
		{"new id", "PATCH", path + "/" + id, `{"id":"` + other + `"}`, 400, CodeBadRequest, "id"},
		{"null subject", "PATCH", path + "/" + id, `{"subject":null}`, 400, CodeBadRequest, "subject"},
		{"no audiences", "PATCH", path + "/" + id, `{"audiences":[]}`, 400, CodeBadRequest, "audiences"},
		{"two audiences", "PATCH", path + "/" + id, `{"audiences":["a","b"]}`, 400, CodeBadRequest, "audiences"},
		{"audience as text", "PATCH", path + "/" + id, `{"audiences":"a"}`, 400, CodeBadRequest, "audiences"},
		{"issuer with blank", "PATCH", path + "/" + id, `{"issuer":"` + githubIssuer + ` "}`, 400, CodeBadRequest, "white space"},
		{"issuer refused", "PATCH", path + "/" + id, `{"issuer":"http://10.0.0.1"}`, 400, CodeBadRequest, "https://"},
		{"name of 2", "POST", path, credentialBody("ab", "s9"), 400, CodeBadRequest, "name"},
		{"name begins with hyphen", "POST", path, credentialBody("-abc", "s9"), 400, CodeBadRequest, "name"},
		{"name of 121", "POST", path, credentialBody(strings.Repeat("a", 121), "s9"), 400, CodeBadRequest, "name"},
		{"no name", "POST", path, `{"issuer":"` + githubIssuer + `","subject":"s9","audiences":["a"]}`, 400, CodeBadRequest, "name"},
		{"subject as number", "POST", path, `{"name":"abc","subject":1}`, 400, CodeBadRequest, "subject"},
		{"expression", "POST", path, `{"name":"abc","claimsMatchingExpression":{"value":"x","languageVersion":1}}`, 400, CodeBadRequest, "claimsMatchingExpression"},
		{"duplicate member", "POST", path, `{"name":"abc","name":"abd"}`, 400, CodeBadRequest, "duplicate"},
		{"array", "POST", path, `[]`, 400, CodeBadRequest, "object"},
		{"no JSON", "POST", path, `name=abc`, 400, CodeBadRequest, "JSON"},
		{"absent application", "POST", "/v1.0/applications/" + id + "/federatedIdentityCredentials", credentialBody("abc", "s9"), 404, CodeNotFound, id},
		{"absent, PATCH", "PATCH", path + "(name='nope')", `{"subject":"x"}`, 404, CodeNotFound, "nope"},
		{"unknown key", "GET", path + "(subject='s1')", "", 400, CodeBadRequest, "name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := f.do(tt.method, tt.path, tt.body).want(tt.status, tt.code)
			if !strings.Contains(got.message(), tt.contains) {
				t.Errorf("message %q does not hold %q", got.message(), tt.contains)
			}
		})
	}
}

func TestCredentialUpsert(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	app, _ := f.application(`{"displayName":"shop"}`)
	path := "/v1.0/applications/" + app + "/federatedIdentityCredentials(name='gh-main')"
	body := strings.Replace(credentialBody("x", "s1"), `"name":"x",`, "", 1)
	f.do("PATCH", path, body).want(404, CodeNotFound)
	made := f.do("PATCH", path, body, "Prefer", "return=minimal, create-if-missing").want(201, "")
	if made.string("name") != "gh-main" || made.header.Get("Location") == "" {
		t.Errorf("created: %s", made.text)
	}
	f.do("PATCH", path, `{"subject":"s2"}`, "Prefer", "create-if-missing").want(204, "")
	if got := f.do("GET", path, "").want(200, ""); got.string("subject") != "s2" || got.string("id") != made.string("id") {
		t.Errorf("after upsert: %s", got.text)
	}
	f.do("PATCH", strings.Replace(path, "gh-main", "other", 1), `{"name":"third"}`, "Prefer", "create-if-missing").want(400, CodeBadRequest)
}

func TestStrictLimit(t *testing.T) {
	f := newFixture(t, directory.Strict)
	app, _ := f.application(`{"displayName":"shop"}`)
	path := "/v1.0/applications/" + app + "/federatedIdentityCredentials"
	statuses := f.createAll(path, 50)
	if statuses[201] != directory.MaxStrictCredentials || statuses[400] != 30 {
		t.Errorf("50 parallel creations answered %v", statuses)
	}
}

// TestParallelCreation: writes to one application never answer 409 for being
// at the same time.
func TestParallelCreation(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	app, _ := f.application(`{"displayName":"shop"}`)
	path := "/v1.0/applications/" + app + "/federatedIdentityCredentials"
	if statuses := f.createAll(path, 100); statuses[201] != 100 {
		t.Fatalf("100 parallel creations answered %v", statuses)
	}
	seen := map[string]bool{}
	next := path + "?$top=30&$count=true"
	for pages := 0; next != ""; pages++ {
		page := f.do("GET", next, "").want(200, "")
		for _, c := range page.values() {
			seen[c["name"].(string)] = true
		}
		if page.body["@odata.count"] != 100.0 || pages > 3 {
			t.Fatalf("page %d: count %v", pages, page.body["@odata.count"])
		}
		next = strings.TrimPrefix(page.string("@odata.nextLink"), testBase)
	}
	if len(seen) != 100 {
		t.Errorf("the pages hold %d credentials", len(seen))
	}
}

// createAll creates n credentials at once and counts the statuses.
func (f *fixture) createAll(path string, n int) map[int]int {
	statuses := make(chan int, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			statuses <- f.do("POST", path, credentialBody(fmt.Sprintf("c-%d", i), fmt.Sprintf("s-%d", i))).status
		})
	}
	group.Wait()
	close(statuses)
	counts := map[int]int{}
	for status := range statuses {
		counts[status]++
	}
	return counts
}
