package conformance

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/rogpeppe/go-internal/testscript"
)

// manage calls a management API with the admin token and returns the answer,
// which the script's commands see as well.
func (s *session) manage(ts *testscript.TestScript, method, path string, body any, header ...string) *response {
	text := ""
	header = append(header, "Authorization: Bearer "+cmp.Or(s.bearer, s.target.AdminToken))
	if body != nil {
		text = string(mustJSON(ts, body))
		header = append(header, "Content-Type: application/json")
	}
	return s.do(ts, s.request(ts, method, path, header, text))
}

// create is manage for a call that must succeed; it returns the answer's
// members.
func (s *session) create(ts *testscript.TestScript, method, path string, body any) map[string]any {
	r := s.manage(ts, method, path, body)
	if r.status/100 != 2 {
		ts.Fatalf("%s %s: %d %.600s", method, path, r.status, r.body)
	}
	var object map[string]any
	if len(r.body) > 0 {
		ts.Check(json.Unmarshal(r.body, &object))
	}
	return object
}

// register makes an application with a service principal and sets $NAME,
// $NAME_object, $NAME_sp and $NAME_name.
func (s *session) register(ts *testscript.TestScript, name string, extra map[string]any, withPrincipal bool) {
	shown := "conformance " + name + " " + strings.ToLower(rand.Text()[:8])
	body := map[string]any{"displayName": shown}
	for k, v := range extra {
		body[k] = v
	}
	app := s.create(ts, http.MethodPost, "/v1.0/applications", body)
	object, _ := app["id"].(string)
	appID, _ := app["appId"].(string)
	ts.Setenv(name, appID)
	ts.Setenv(name+"_object", object)
	ts.Setenv(name+"_name", shown)
	ts.Defer(func() { s.forget("/v1.0/applications/" + object) })
	if withPrincipal {
		sp := s.create(ts, http.MethodPost, "/v1.0/servicePrincipals", map[string]any{"appId": appID})
		id, _ := sp["id"].(string)
		ts.Setenv(name+"_sp", id)
	}
	s.last = nil
}

// forget deletes an object at the end of a script; what is gone already does
// not matter.
func (s *session) forget(path string) {
	req, err := http.NewRequest(http.MethodDelete, s.target.BaseURL+path, nil)
	if err != nil {
		return
	}
	req.Header.Set("Authorization", "Bearer "+s.target.AdminToken)
	if resp, err := s.target.http.Do(req); err == nil {
		_ = resp.Body.Close()
	}
}

// cmdApp registers a client: app NAME [-sp]. With -sp it gets no service
// principal.
func (s *session) cmdApp(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	if len(args) == 0 || len(args) > 2 || len(args) == 2 && args[1] != "-sp" {
		ts.Fatalf("usage: app NAME [-sp]")
	}
	s.register(ts, args[0], nil, len(args) == 1)
}

// cmdResource registers a protected resource: resource NAME [ROLE … |
// version=1|2 | suffix=TEXT | member:=JSON of api]. It sets $NAME_uri and for each role
// $NAME_ROLE, the role's id.
func (s *session) cmdResource(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	if len(args) == 0 {
		ts.Fatalf("usage: resource NAME [ROLE … | version=1|2 | suffix=TEXT]")
	}
	name := args[0]
	uri := "api://" + name + "-" + strings.ToLower(rand.Text()[:10])
	roles := []any{}
	api := map[string]any{}
	for _, arg := range args[1:] {
		key, value, isSetting := strings.Cut(arg, "=")
		switch {
		case key == "version":
			version, err := strconv.Atoi(value)
			ts.Check(err)
			api["requestedAccessTokenVersion"] = version
		case key == "suffix":
			uri += value
		case isSetting:
			api[key] = value
		default:
			id := uuid.NewString()
			ts.Setenv(name+"_"+arg, id)
			roles = append(roles, map[string]any{
				"id": id, "value": arg, "displayName": arg, "description": arg,
				"allowedMemberTypes": []string{"Application"}, "isEnabled": true,
			})
		}
	}
	ts.Setenv(name+"_uri", uri)
	s.register(ts, name, map[string]any{"identifierUris": []string{uri}, "appRoles": roles, "api": api}, true)
}

// cmdAssign gives a client a role of a resource: assign APP RESOURCE ROLE;
// the role "default" is the one of zeros.
func (s *session) cmdAssign(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	usage(ts, args, 3, "assign APP RESOURCE ROLE|default")
	role := "00000000-0000-0000-0000-000000000000"
	if args[2] != "default" {
		role = ts.Getenv(args[1] + "_" + args[2])
	}
	resource := ts.Getenv(args[1] + "_sp")
	s.create(ts, http.MethodPost, "/v1.0/servicePrincipals/"+resource+"/appRoleAssignedTo", map[string]any{
		"principalId": ts.Getenv(args[0] + "_sp"), "resourceId": resource, "appRoleId": role,
	})
	s.last = nil
}

// cmdCredential gives an application a federated identity credential:
// credential APP [name=…] [issuer=…] [subject=…] [audience=…] [expression@FILE].
// The defaults are what `mint` puts into a token; an expression takes the place
// of the subject. It sets $credential, the id.
func (s *session) cmdCredential(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	if len(args) == 0 {
		ts.Fatalf("usage: credential APP [name=…] [issuer=…] [subject=…] [audience=…] [expression@FILE]")
	}
	version := "/v1.0"
	body := map[string]any{
		"name": "c-" + strings.ToLower(rand.Text()[:10]), "issuer": ts.Getenv("ISSUER"),
		"subject": ts.Getenv("SUBJECT"), "audiences": []string{ts.Getenv("AUDIENCE")},
	}
	for _, arg := range args[1:] {
		if file, ok := strings.CutPrefix(arg, "expression@"); ok {
			version = "/beta"
			delete(body, "subject")
			body["claimsMatchingExpression"] = map[string]any{"value": literal(ts, file), "languageVersion": 1}
			continue
		}
		key, value, ok := strings.Cut(arg, "=")
		switch {
		case ok && key == "audience":
			body["audiences"] = []string{value}
		case ok && slices.Contains([]string{"name", "issuer", "subject"}, key):
			body[key] = value
		default:
			ts.Fatalf("unknown property %q", arg)
		}
	}
	made := s.create(ts, http.MethodPost, version+"/applications/"+ts.Getenv(args[0]+"_object")+"/federatedIdentityCredentials", body)
	id, _ := made["id"].(string)
	ts.Setenv("credential", id)
	s.last = nil
}

// cmdDeleteCredential deletes a credential by id or name: deletecredential
// APP [ID]; without an id, the one that was made last.
func (s *session) cmdDeleteCredential(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	if len(args) == 0 || len(args) > 2 {
		ts.Fatalf("usage: deletecredential APP [ID|NAME]")
	}
	id := ts.Getenv("credential")
	if len(args) == 2 {
		id = args[1]
	}
	s.create(ts, http.MethodDelete, "/v1.0/applications/"+ts.Getenv(args[0]+"_object")+"/federatedIdentityCredentials/"+id, nil)
	s.last = nil
}

// cmdGraph calls a management API and must succeed: graph METHOD PATH
// ['Header: value'…] [JSON | @FILE]. With "!" it must be refused, and the
// script looks at the answer.
func (s *session) cmdGraph(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: graph METHOD PATH ['Header: value' …] [JSON | @FILE]")
	}
	var body any
	var header []string
	for _, arg := range args[2:] {
		file, isFile := strings.CutPrefix(arg, "@")
		switch {
		case isFile:
			ts.Check(json.Unmarshal([]byte(literal(ts, file)), &body))
		case strings.HasPrefix(arg, "{"):
			ts.Check(json.Unmarshal([]byte(expand(ts, arg)), &body))
		default:
			header = append(header, expand(ts, arg))
		}
	}
	r := s.manage(ts, args[0], expandPath(ts, args[1]), body, header...)
	if ok := r.status/100 == 2; ok == neg {
		ts.Fatalf("%s %s: %d %.600s", args[0], args[1], r.status, r.body)
	}
}

// expandPath fills in the variables of a path in quotation marks; what is no
// variable is a name of OData's, such as $ref.
func expandPath(ts *testscript.TestScript, path string) string {
	return os.Expand(path, func(name string) string {
		if v := ts.Getenv(name); v != "" && name != "$" {
			return v
		}
		return "$" + strings.TrimPrefix(name, "$")
	})
}

// cmdAs makes the management calls that follow with another access token: as
// TOKEN, or as admin.
func (s *session) cmdAs(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	usage(ts, args, 1, "as TOKEN|admin")
	if s.bearer = args[0]; s.bearer == "admin" {
		s.bearer = ""
	}
}

// cmdCompat sets the tenant's compatibility level until the script ends:
// compat strict|relaxed.
func (s *session) cmdCompat(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	usage(ts, args, 1, "compat strict|relaxed")
	path := "/v1.0/organization/" + ts.Getenv("TENANT")
	ts.Defer(func() {
		body := strings.NewReader(`{"compat":"relaxed"}`)
		req, err := http.NewRequest(http.MethodPatch, s.target.BaseURL+path, body)
		if err != nil {
			return
		}
		req.Header.Set("Authorization", "Bearer "+s.target.AdminToken)
		req.Header.Set("Content-Type", "application/json")
		resp, err := s.target.http.Do(req)
		if err != nil {
			ts.Logf("the tenant was not switched back: %v", err)
			return
		}
		_ = resp.Body.Close()
	})
	s.create(ts, http.MethodPatch, path, map[string]any{"compat": args[0]})
	s.last = nil
}

// cmdIssuer starts an issuer: issuer NAME [N | KID:TYPE …]. $NAME is its URL.
func (s *session) cmdIssuer(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	if len(args) == 0 {
		ts.Fatalf("usage: issuer NAME [N | KID:TYPE …]")
	}
	if s.target.issuers == nil {
		ts.Fatalf("the server under test trusts no issuer of ours: start the script with [!issuers] skip")
	}
	keys, err := newKeys(args[1:])
	ts.Check(err)
	is := s.target.issuers.add(keys)
	s.issuers[args[0]] = is
	ts.Setenv(args[0], is.url)
}

func (s *session) issuer(ts *testscript.TestScript, name string) *issuer {
	is := s.issuers[name]
	if is == nil {
		ts.Fatalf("no issuer %s", name)
	}
	return is
}

// cmdBehave changes an issuer: behave NAME BEHAVIOUR.
func (s *session) cmdBehave(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	usage(ts, args, 2, "behave NAME BEHAVIOUR")
	if !slices.Contains(behaviours, args[1]) {
		ts.Fatalf("behaviour %q is none of %v", args[1], behaviours)
	}
	s.issuer(ts, args[0]).behave(args[1])
}

// cmdPublish puts a withdrawn key back: publish NAME KID.
func (s *session) cmdPublish(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	usage(ts, args, 2, "publish NAME KID")
	s.issuer(ts, args[0]).publish(args[1], true)
}

// cmdWithdraw takes a key out of an issuer's key set: withdraw NAME KID.
func (s *session) cmdWithdraw(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	usage(ts, args, 2, "withdraw NAME KID")
	s.issuer(ts, args[0]).publish(args[1], false)
}

// cmdFetches checks how often an issuer was asked: fetches NAME
// discovery|keys N.
func (s *session) cmdFetches(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	usage(ts, args, 3, "fetches NAME discovery|keys N")
	if got := fmt.Sprint(s.issuer(ts, args[0]).fetches(args[1])); got != args[2] {
		ts.Fatalf("%s of %s was fetched %s times, want %s", args[1], args[0], got, args[2])
	}
}
