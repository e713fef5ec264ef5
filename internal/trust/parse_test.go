package trust

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"cambio/internal/directory"
)

const full = `# a comment
version: 1
resourceGroups:
- {name: rg1, location: West Europe, tags: {a: "1", b: ""}}
managedIdentities:
- resourceGroup: rg1
  name: id1
  clientId: 0B1C2D3E-0000-4000-8000-000000000001
  principalId: 0b1c2d3e-0000-4000-8000-000000000002
  location: westeurope
  isolationScope: Regional
  tags: {}
  servicePrincipal: {accountEnabled: true, appRoleAssignmentRequired: false, tags: [x]}
  federatedIdentityCredentials: []
  appRoleAssignments: [{resource: orders}]
applications:
- uniqueName: orders
  appId: 0b1c2d3e-0000-4000-8000-000000000003
  id: 0b1c2d3e-0000-4000-8000-000000000004
  displayName: "Orders: 100 %"
  description: null
  identifierUris: ["api://orders", https://orders.example]
  signInAudience: AzureADMyOrg
  tags: ["true", "1", ~tilde, "null"]
  isDisabled: false
  api: {requestedAccessTokenVersion: 2, accessTokenSigningAlgorithm: ES256, accessTokenProfile: null}
  optionalClaims: {accessToken: [{name: idtyp}]}
  appRoles:
  - {id: 0b1c2d3e-0000-4000-8000-000000000005, value: Orders.Read, displayName: Read, description: Reads, allowedMemberTypes: [Application, User], isEnabled: true}
  owners: [rg1/id1]
  servicePrincipal: {id: 0b1c2d3e-0000-4000-8000-000000000006, owners: []}
  federatedIdentityCredentials:
  - {name: main, issuer: "https://i.example", subject: "*", audiences: ["a"], description: d}
  - {name: flexible, issuer: "https://i.example", claimsMatchingExpression: {value: "claims['sub'] matches 'a:*'", languageVersion: 1}, audiences: ["a"]}
  appRoleAssignments: [{resource: "api://orders", role: Orders.Read}]
- appId: 0b1c2d3e-0000-4000-8000-000000000007
  servicePrincipal: null
`

// What is written can be read, in both forms, and says the same.
func TestRoundTrip(t *testing.T) {
	d, err := Parse("full.yaml", []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	if d.ManagedIdentities[0].ClientID != "0b1c2d3e-0000-4000-8000-000000000001" || *d.Applications[0].Description != "" || d.Applications[1].Tags != nil ||
		!d.Applications[1].NoServicePrincipal || d.Applications[0].Credentials[0].at.Line != 33 {
		t.Errorf("read %+v", d)
	}
	asYAML, err := d.YAML("trust.schema.json")
	if err != nil || !bytes.HasPrefix(asYAML, []byte("# yaml-language-server: $schema=trust.schema.json\nversion: 1\n")) {
		t.Errorf("%v\n%s", err, asYAML)
	}
	for _, text := range [][]byte{asYAML, d.JSON(), d.IndentedJSON()} {
		again, err := Parse("again", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if !bytes.Equal(again.JSON(), d.JSON()) {
			t.Errorf("%s\nbecame\n%s", d.JSON(), again.JSON())
		}
	}
}

// mistakes are documents that are refused, each with where and why.
var mistakes = map[string]string{
	"":                                    "the document is empty",
	"# nothing":                           "the document is empty",
	"- 1":                                 "1:1: must be an object, but is a list",
	"version: 1\n---\nversion: 1":         "2:1: a second document begins here",
	"version: 1\nversion: 1":              `2:1: the key "version" stands in line 1 already`,
	"version: '1'":                        "1:10: version: must be 1",
	"version: 1.0":                        "1:10: version: must be 1",
	"applications: []":                    "1:1: the key version is required",
	"version: 1\nVersion: 1":              "2:1: Version: unknown key",
	"version: 1\napplications:\n- {a: 1}": "3:4: applications[0].a: unknown key; known here: uniqueName, appId",
	"version: 1\napplications:":           "2:14: applications: must be a list, but is nothing (null)",
	"version: 1\napplications: {}":        "applications: must be a list",
	"version: 1\napplications: [{tags: [1]}]":                                     `applications[0].tags[0]: must be a text, but is a number; put it in quotes: "1"`,
	"version: 1\napplications: [{tags: [yes, no, true]}]":                         `tags[2]: must be a text, but is true or false; put it in quotes: "true"`,
	"version: 1\napplications: [{isDisabled: yes}]":                               "isDisabled: must be true or false, but is a text",
	"version: 1\napplications: [{appId: x}]":                                      "appId: must be a GUID",
	"version: 1\napplications: [{signInAudience: x}]":                             "signInAudience: must be one of AzureADMyOrg",
	"version: 1\napplications: [{displayName: null}]":                             "displayName: must be a text, but is nothing (null); leave the key out",
	"version: 1\napplications: [{displayName: ''}]":                               "displayName: must have at least 1 characters",
	"version: 1\napplications: [{displayName: " + strings.Repeat("é", 257) + "}]": "may have at most 256 characters; this one has 257",
	"version: 1\napplications: [{federatedIdentityCredentials: [{name: one}]}]":   "federatedIdentityCredentials[0]: the key issuer is required",
	"version: 1\nresourceGroups: [{name: a, tags: {b: 1}}]":                       "resourceGroups[0].tags.b: must be a text",
	"version: 1\nx: &a [1]":                                                       "2:4: anchors and aliases are not taken",
	"version: 1\na: &a {b: 1}\nc: {<<: *a}":                                       "anchors",
	"version: !!int 1":                                                            "1:10: the tag !!int is not taken",
	"version: 1\napplications: !!binary aGk=":                                     "the tag !!binary is not taken",
	"? [a]\n: 1": "a key must be a plain name",
	"version: 1\nresourceGroups: " + strings.Repeat("[", 40) + strings.Repeat("]", 40): "nested deeper than 16 levels",
	"version: [":          "not YAML",
	"version: 1\n\tx: 1":  "2: not YAML",
	"version: 1\nx: \xff": "not UTF-8",
	"a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c]\ne: [*d,*d,*d,*d]\n": "anchors and aliases are not taken",
	`{"version":1,"version":1}`:                             "duplicate",
	`{"version":1} {}`:                                      "invalid JSON",
	"{\n \"version\": 1,\n \"applications\": [{\"x\": 1}]}": "3:20: applications[0].x: unknown key",
	"{\"version\": 1,}":                                     "invalid JSON",
	`{"version":1, "a":"\u"}`:                               "invalid JSON",
}

func TestMistakesAreRefusedWithTheirPlace(t *testing.T) {
	for text, want := range mistakes {
		d, err := Parse("", []byte(text))
		var problems Problems
		if d != nil || !errors.As(err, &problems) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.200q gives %v, %v; want %q", text, d, err, want)
		}
	}
	many := "version: 1\napplications:\n" + strings.Repeat("- {x: 1}\n", 100)
	if _, err := Parse("f.yaml", []byte(many)); strings.Count(err.Error(), "\n") != MaxProblems-1 || !strings.HasPrefix(err.Error(), "f.yaml:3:4: ") {
		t.Errorf("got %v", err)
	}
	if _, err := Parse("", make([]byte, MaxBytes+1)); err == nil || !strings.Contains(err.Error(), "16 MiB") {
		t.Errorf("a large document: %v", err)
	}
	if _, err := ParseJSON([]byte("version: 1")); err == nil {
		t.Error("YAML is taken for JSON")
	}
}

func schema(t *testing.T, raw []byte) *jsonschema.Schema {
	t.Helper()
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", parsed); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What the strict decoder takes and refuses, the published schema takes and
// refuses, too: for every property of a full document, a dozen values.
func TestSchemaAgreesWithTheDecoder(t *testing.T) {
	s := schema(t, Schema())
	d, err := Parse("", []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	var whole any
	if err := json.Unmarshal(d.JSON(), &whole); err != nil {
		t.Fatal(err)
	}
	taken, refused := 0, 0
	check := func() {
		text, err := json.Marshal(whole, json.Deterministic(true))
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		_, decoded := Parse("", text)
		bySchema := s.Validate(value)
		if (decoded == nil) != (bySchema == nil) {
			t.Errorf("%s\ndecoder: %v\nschema: %v", text, decoded, bySchema)
		}
		if decoded == nil {
			taken++
		} else {
			refused++
		}
	}
	values := []any{nil, true, "", "x", "Regional", 0.0, 1.0, 1.5, -1.0, []any{}, []any{"a"}, []any{1.0}, map[string]any{}, map[string]any{"a": "b"},
		map[string]any{"a": 1.0}, "0b1c2d3e-0000-4000-8000-00000000000f", strings.Repeat("é", 256), strings.Repeat("é", 601), strings.Repeat("é", 1025)}
	check()
	mutate(whole, func(container map[string]any, key string) {
		was := container[key]
		for _, v := range values {
			container[key] = v
			check()
		}
		delete(container, key)
		check()
		container[key] = was
		container[key+"x"] = was
		check()
		delete(container, key+"x")
	})
	if taken < 50 || refused < 500 {
		t.Errorf("only %d documents were taken and %d refused; the test has lost its sense", taken, refused)
	}
}

// mutate calls fn for every member of every object.
func mutate(v any, fn func(map[string]any, string)) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			mutate(item, fn)
		}
	case map[string]any:
		var keys []string
		for k := range v {
			keys = append(keys, k)
		}
		for _, k := range keys {
			mutate(v[k], fn)
			fn(v, k)
		}
	}
}

func TestCases(t *testing.T) {
	const good = "version: 1\nrequiredClaims: [{issuer: i, claim: c, values: [v]}]\ncases:\n- {name: a, client: b, claims: {iss: x, n: 1, t: True, l: [1, null]}, credential: c}\n" +
		"- {name: d, client: e, claims: {}, refused: 700213, message: m}\n"
	c, err := ParseCases("t.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(c.List[0].Claims); got != `{"iss":"x","n":1,"t":true,"l":[1,null]}` || *c.List[1].Refused != 700213 {
		t.Errorf("read %s, %+v", got, c)
	}
	if s := schema(t, CasesSchema()); s == nil {
		t.Error("no schema")
	}
	for text, want := range map[string]string{
		"version: 1": "the key cases is required",
		"version: 1\ncases: [{name: a, client: b, claims: {}}]":                                                                 "say either",
		"version: 1\ncases: [{name: a, client: b, claims: {}, credential: c, refused: 700213}]":                                 "say either",
		"version: 1\ncases: [{name: a, client: b, claims: {}, credential: c, message: x}]":                                      "needs the key refused",
		"version: 1\ncases: [{name: a, client: b, claims: [], credential: c}]":                                                  "must be an object",
		"version: 1\ncases: [{name: a, client: b, claims: {x: 0x1F}, credential: c}]":                                           "write numbers as JSON does",
		"version: 1\ncases: [{name: a, client: b, claims: {x: .inf}, credential: c}]":                                           "write numbers as JSON does",
		"version: 1\ncases: [{name: a, client: b, claims: {}, refused: AADSTS700213}]":                                          "must be the number of a refusal",
		"version: 1\ncases: [{name: a, client: b, claims: {}, refused: 7}]":                                                     "must be the number of a refusal",
		"version: 1\ncases: [{name: a, client: b, claims: {}, credential: c}, {name: a, client: b, claims: {}, credential: c}]": "used twice",
	} {
		if _, err := ParseCases("", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gives %v; want %q", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	for text := range mistakes {
		if len(text) < 1<<16 {
			f.Add([]byte(text))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := ParseCases("f", raw); err != nil && err.Error() == "" {
			t.Fatal("an error without a text")
		}
		d, err := Parse("f", raw)
		if err != nil {
			if len(err.Error()) > 64<<10 {
				t.Fatalf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		text, err := d.YAML("")
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("f", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if !bytes.Equal(again.JSON(), d.JSON()) {
			t.Fatalf("%s\nbecame\n%s", d.JSON(), again.JSON())
		}
		// Whatever it says, a comparison ends, and what it gives is stable.
		o := Options{Tenant: directory.Tenant{ID: "7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77", Compat: directory.Relaxed}, Prune: true,
			CheckIssuer: func(string) error { return nil }}
		plan, err := Diff(&directory.Contents{}, d, o)
		if err != nil {
			return
		}
		for i := range plan.Result.Assignments {
			plan.Result.Assignments[i].ID = fmt.Sprint("assigned-", i)
		}
		if again, err := Diff(plan.Result, d, o); err != nil || len(again.Changes) > 0 {
			t.Fatalf("a second time: %v, %v\n%s", again, err, text)
		}
	})
}

func FuzzEntra(f *testing.F) {
	f.Add([]byte(`[{"appId":"a","signInAudience":"AzureADMyOrg","passwordCredentials":[{}]}]`))
	f.Add([]byte(`{"@odata.context":"x#applications('id')/federatedIdentityCredentials","value":[{"issuer":"i","audiences":["a"]}]}`))
	f.Add([]byte(`{"type":"Microsoft.ManagedIdentity/userAssignedIdentities","id":"/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		e := &Entra{}
		if err := e.Add("f", "", raw); err == nil {
			_ = e.Document().JSON()
		}
	})
}
