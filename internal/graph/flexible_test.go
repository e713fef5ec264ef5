package graph

import (
	"strings"
	"testing"

	"cambio/internal/directory"
)

const branches = "claims['sub'] matches 'repo:acme/*:ref:refs/heads/main'"

func flexibleBody(name, expression string) string {
	return `{"name":"` + name + `","issuer":"` + githubIssuer + `","audiences":["api://AzureADTokenExchange"],` +
		`"claimsMatchingExpression":{"languageVersion":1,"value":"` + expression + `"}}`
}

func (a answer) expression() (value string, version any) {
	e, _ := a.body["claimsMatchingExpression"].(map[string]any)
	value, _ = e["value"].(string)
	return value, e["languageVersion"]
}

// TestTerraformFlexible replays what the azuread provider does with a
// flexible credential.
func TestTerraformFlexible(t *testing.T) {
	f := newFixture(t, directory.Strict)
	app, _ := f.application(`{"displayName":"shop"}`)
	path := "/beta/applications/" + app + "/federatedIdentityCredentials"
	body := `{"@odata.type":"#microsoft.graph.federatedIdentityCredential","audiences":["api://AzureADTokenExchange"],` +
		`"claimsMatchingExpression":{"languageVersion":1,"value":"` + branches + `"},"description":null,"issuer":"` + githubIssuer + `","name":"gh-main"`
	made := f.do("POST", path, body+"}").want(201, "")
	id := made.string("id")
	for range 2 {
		got := f.do("GET", path+"/"+id, "").want(200, "")
		value, version := got.expression()
		if subject, there := got.body["subject"]; value != branches || version != 1.0 || subject != nil || !there {
			t.Fatalf("read: %s", got.text)
		}
	}
	update := strings.Replace(body, "heads/main", "heads/next", 1) + `,"id":"` + id + `"}`
	f.do("PATCH", path+"/"+id, update).want(204, "")
	if value, _ := f.do("GET", path+"/"+id, "").expression(); value != strings.Replace(branches, "main", "next", 1) {
		t.Errorf("after update: %s", value)
	}
	f.do("DELETE", path+"/"+id, "").want(204, "")
	f.do("GET", path+"/"+id, "").want(404, CodeNotFound)
}

// TestFlexibleOnV1: v1.0 shows a flexible credential without subject and
// without the expression, and never changes which tokens it takes.
func TestFlexibleOnV1(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	app, _ := f.application(`{"displayName":"shop"}`)
	v1, beta := "/v1.0/applications/"+app+"/federatedIdentityCredentials", "/beta/applications/"+app+"/federatedIdentityCredentials"
	f.do("POST", v1, credentialBody("exact", "s1")).want(201, "")
	f.do("POST", beta, flexibleBody("flexible", branches)).want(201, "")
	for _, got := range []map[string]any{f.do("GET", v1+"/flexible", "").want(200, "").body, f.do("GET", v1+"?$filter=name eq 'flexible'", "").want(200, "").values()[0]} {
		subject, there := got["subject"]
		if _, shown := got["claimsMatchingExpression"]; subject != nil || !there || shown || got["issuer"] != githubIssuer {
			t.Errorf("v1.0 shows %v", got)
		}
	}
	if got := f.do("GET", beta+"/exact", "").want(200, ""); got.string("subject") != "s1" || !strings.Contains(got.text, `"claimsMatchingExpression":null`) {
		t.Errorf("beta shows %s", got.text)
	}
	if got := f.do("GET", beta+"/flexible?$select=name,claimsMatchingExpression", "").want(200, ""); len(got.body) != 3 || got.string("name") != "flexible" {
		t.Errorf("selected: %s", got.text)
	}
	if got := f.do("GET", v1+"/$count", ""); got.text != "2" {
		t.Errorf("count: %s", got.text)
	}
	f.do("PATCH", v1+"/flexible", `{"description":"d","subject":null}`).want(204, "")
	if got := f.do("PATCH", v1+"/flexible", `{"subject":"s2"}`).want(400, CodeBadRequest); !strings.Contains(got.message(), "/beta") {
		t.Errorf("message %q", got.message())
	}
	for _, method := range []string{"POST", "PATCH"} {
		path := map[string]string{"POST": v1, "PATCH": v1 + "/exact"}[method]
		if got := f.do(method, path, strings.Replace(flexibleBody("exact", branches), `"name":"exact",`, "", 1)).want(400, CodeBadRequest); !strings.Contains(got.message(), "/beta") {
			t.Errorf("%s: message %q", method, got.message())
		}
	}
	got := f.do("GET", beta+"/flexible", "")
	if value, _ := got.expression(); value != branches || got.string("description") != "d" {
		t.Errorf("afterwards: %s", got.text)
	}
}

func TestSwitchBetweenSubjectAndExpression(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	app, _ := f.application(`{"displayName":"shop"}`)
	path := "/beta/applications/" + app + "/federatedIdentityCredentials(name='one')"
	const expression = `"claimsMatchingExpression":{"value":"claims['sub'] eq 'a'","languageVersion":1}`
	body := strings.Replace(credentialBody("one", "s1"), `"name":"one",`, "", 1)
	f.do("PATCH", path, body, "Prefer", "create-if-missing").want(201, "")
	for _, step := range []struct {
		name, body string
		status     int
		contains   string // of a refusal
		subject    any    // afterwards
		expression string
	}{
		{"expression alone", `{` + expression + `}`, 400, `"subject": null`, "s1", ""},
		{"both", `{"subject":"s2",` + expression + `}`, 400, "exclude each other", "s1", ""},
		{"neither", `{"subject":null}`, 400, "subject is required", "s1", ""},
		{"to expression", `{"subject":null,` + expression + `}`, 204, "", nil, "claims['sub'] eq 'a'"},
		{"description", `{"description":"d"}`, 204, "", nil, "claims['sub'] eq 'a'"},
		{"value alone is merged", `{"claimsMatchingExpression":{"value":"claims['sub'] eq 'b'"}}`, 204, "", nil, "claims['sub'] eq 'b'"},
		{"version 2", `{"claimsMatchingExpression":{"languageVersion":2}}`, 400, "languageVersion must be 1", nil, "claims['sub'] eq 'b'"},
		{"subject alone", `{"subject":"s3"}`, 400, `"claimsMatchingExpression": null`, nil, "claims['sub'] eq 'b'"},
		{"none at all", `{"claimsMatchingExpression":null}`, 400, "subject is required", nil, "claims['sub'] eq 'b'"},
		{"to subject", `{"subject":"s3","claimsMatchingExpression":null}`, 204, "", "s3", ""},
		{"both unchanged", `{"subject":"s3","claimsMatchingExpression":null,"name":"one"}`, 204, "", "s3", ""},
	} {
		got := f.do("PATCH", path, step.body, "Prefer", "create-if-missing")
		if got.status != step.status || !strings.Contains(got.message(), step.contains) {
			t.Errorf("%s: %d %s", step.name, got.status, got.text)
		}
		after := f.do("GET", path, "").want(200, "")
		if value, _ := after.expression(); value != step.expression || after.body["subject"] != step.subject {
			t.Errorf("%s: %s", step.name, after.text)
		}
	}
	upsert := strings.Replace(flexibleBody("x", branches), `"name":"x",`, "", 1)
	made := f.do("PATCH", strings.Replace(path, "one", "two", 1), upsert, "Prefer", "create-if-missing").want(201, "")
	if value, _ := made.expression(); value != branches || made.string("name") != "two" {
		t.Errorf("upsert: %s", made.text)
	}
}

func TestFlexibleRefusals(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	app, _ := f.application(`{"displayName":"shop"}`)
	path := "/beta/applications/" + app + "/federatedIdentityCredentials"
	f.do("POST", path, flexibleBody("gh-main", branches)).want(201, "")
	for name, tt := range map[string]struct{ body, code, contains string }{
		"same expression": {flexibleBody("second", branches), CodeInvalidCredential, "held by the federated identity credential 'gh-main'"},
		"in the words of Graph": {flexibleBody("second", branches), CodeInvalidCredential,
			"paramName: FederatedIdentityCredential.ClaimsMatchingExpression.Value, paramValue: " + branches + ", objectType: Application"},
		"syntax":             {flexibleBody("second", "claims['sub'] eq a"), CodeInvalidCredential, "character 18"},
		"empty":              {flexibleBody("second", ""), CodeInvalidCredential, "claimsMatchingExpression.value is required"},
		"match-all":          {flexibleBody("second", "claims['sub'] matches '*'"), CodeInvalidCredential, "every token of the issuer"},
		"no version":         {strings.Replace(flexibleBody("second", branches), `"languageVersion":1,`, "", 1), CodeBadRequest, "languageVersion must be 1; this one is 0"},
		"version as text":    {strings.Replace(flexibleBody("second", branches), `:1,`, `:"1",`, 1), CodeBadRequest, "'claimsMatchingExpression.languageVersion' must be a whole number"},
		"value as number":    {strings.Replace(flexibleBody("second", branches), `"`+branches+`"`, `1`, 1), CodeBadRequest, "'claimsMatchingExpression.value' must be a string"},
		"text":               {`{"name":"abc","claimsMatchingExpression":"x"}`, CodeBadRequest, "'claimsMatchingExpression' must be an object"},
		"duplicate member":   {`{"name":"abc","claimsMatchingExpression":{"value":"a","value":"b"}}`, CodeBadRequest, "duplicate"},
		"empty object":       {`{"name":"abc","issuer":"` + githubIssuer + `","claimsMatchingExpression":{}}`, CodeBadRequest, "languageVersion"},
		"beside the subject": {strings.Replace(flexibleBody("second", branches), `{`, `{"subject":"s",`, 1), CodeBadRequest, "exclude each other"},
	} {
		if got := f.do("POST", path, tt.body).want(400, tt.code); !strings.Contains(got.message(), tt.contains) {
			t.Errorf("%s: message %q does not hold %q", name, got.message(), tt.contains)
		}
	}
}
