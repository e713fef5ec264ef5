package arm

import (
	"fmt"
	"strings"
	"testing"

	"cambio/internal/directory"
)

// TestProviders replays what azurerm and az ask about resource providers.
func TestProviders(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	list := f.do("GET", subscription+"/providers?api-version=2022-09-01", "").want(200, "").values()
	if len(list) != 2 || list[0]["namespace"] != namespace || list[1]["namespace"] != "Microsoft.Resources" {
		t.Errorf("providers: %v", list)
	}
	for _, p := range list {
		if p["registrationState"] != "Registered" || p["id"] != subscription+"/providers/"+p["namespace"].(string) {
			t.Errorf("provider: %v", p)
		}
	}
	for _, name := range []string{namespace, "microsoft.managedidentity", "Microsoft.Resources"} {
		path := subscription + "/providers/" + name
		if got := f.do("GET", path+version, "").want(200, ""); got.string("registrationState") != "Registered" {
			t.Errorf("%s: %s", name, got.text)
		}
		if got := f.do("POST", path+"/register"+version, "{}").want(200, ""); got.string("registrationState") != "Registered" {
			t.Errorf("register %s: %s", name, got.text)
		}
		f.do("POST", path+"/unregister"+version, "").want(400, CodeNotSupported)
	}
	for method, path := range map[string]string{"GET": "", "POST": "/register"} {
		if got := f.do(method, subscription+"/providers/Microsoft.Compute"+path+version, "").want(404, CodeInvalidNamespace); !strings.Contains(got.text, namespace) {
			t.Errorf("another provider: %s", got.text)
		}
	}
	f.do("POST", subscription+"/providers/Microsoft.Compute/unregister"+version, "").want(404, CodeInvalidNamespace)
	if got := f.do("GET", subscription+"/locations"+version, "").want(200, "").values(); len(got) != 1 || got[0]["name"] != location || got[0]["id"] != subscription+"/locations/local" {
		t.Errorf("locations: %v", got)
	}
	if got := f.do("GET", "/providers/Microsoft.ManagedIdentity/operations"+version, "").want(200, "").values(); len(got) != 6 || got[0]["name"] != identityType+"/read" {
		t.Errorf("operations: %v", got)
	}
}

// TestVersions: each version that clients are known to send is answered.
func TestVersions(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	f.identity("id1")
	for i, v := range providers[0].versions {
		query := "?api-version=" + v
		f.do("PUT", identities+"/id1"+query, `{"location":"local"}`).want(200, "")
		credential := fmt.Sprintf("%s/id1/federatedIdentityCredentials/fic-%d%s", identities, i, query)
		f.do("PUT", credential, credentialOfSubject(v)).want(201, "")
		if got := f.do("GET", credential, "").want(200, ""); got.property("subject") != v {
			t.Errorf("%s: %s", v, got.text)
		}
	}
}

func TestIdentityActions(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	f.identity("id1")
	if got := f.do("POST", identities+"/id1/listAssociatedResources?api-version=2022-01-31-preview", "{}").want(200, ""); got.text != `{"totalCount":0,"value":[]}` {
		t.Errorf("associated resources: %s", got.text)
	}
	if got := f.do("POST", identities+"/id1/revokeTokens?api-version=2023-07-31-preview", "").want(400, CodeNotSupported); !strings.Contains(got.text, "until it expires") {
		t.Errorf("revocation: %s", got.text)
	}
	for _, action := range []string{"/listAssociatedResources", "/revokeTokens"} {
		f.do("POST", identities+"/none"+action+version, "").want(404, CodeResourceNotFound)
	}
	for _, scope := range []string{subscription, group, group + "/providers/Microsoft.Compute/virtualMachines/vm1"} {
		f.do("GET", scope+"/providers/Microsoft.ManagedIdentity/identities/default"+version, "").want(404, CodeResourceNotFound)
	}
}

// TestRefusedContent: what is not stored is not accepted either.
func TestRefusedContent(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	f.identity("id1")
	path := identities + "/id1" + "?api-version=2026-05-31"
	for _, method := range []string{"PUT", "PATCH"} {
		if got := f.do(method, path, `{"location":"local","properties":{"assignmentRestrictions":{"providers":["Microsoft.Compute"]}}}`).want(400, CodeBadRequest); !strings.Contains(got.text, "assignmentRestrictions") {
			t.Errorf("restrictions: %s", got.text)
		}
		for _, body := range []string{`{"assignmentRestrictions":null}`, `{"assignmentRestrictions":{"providers":[]}}`, `{"assignmentRestrictions":{}}`} {
			f.do(method, path, `{"location":"local","properties":`+body+`}`).want(200, "")
		}
		f.do(method, group+version, `{"location":"local","managedBy":"/subscriptions/x"}`).want(400, CodeBadRequest)
		f.do(method, group+version, `{"location":"local","managedBy":null}`).want(200, "")
	}
}

func TestPatchGroup(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	f.do("PATCH", group+version, `{"tags":{}}`).want(404, CodeResourceGroupNotFound)
	f.do("PUT", group+version, `{"location":"local","tags":{"a":"b"}}`).want(201, "")
	got := f.do("PATCH", strings.ToLower(group)+version, `{"properties":{}}`).want(200, "")
	if got.string("id") != group || got.body["tags"].(map[string]any)["a"] != "b" {
		t.Errorf("nothing changed: %s", got.text)
	}
	f.do("PATCH", group+version, `{"tags":{"c":"d"}}`).want(200, "")
	f.do("PATCH", group+version, `{"location":"elsewhere"}`).want(409, CodeInvalidLocation)
	f.do("PATCH", group+version, `{"tags":{"":"x"}}`).want(400, CodeBadRequest)
	if got := f.do("GET", group+version, ""); got.text == "" || len(got.body["tags"].(map[string]any)) != 1 || got.body["tags"].(map[string]any)["c"] != "d" {
		t.Errorf("patched: %s", got.text)
	}
}

// TestSamePutTwice: a PUT of what is there changes nothing that anybody would
// have to read again.
func TestSamePutTwice(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	f.identity("id1")
	credential := identities + "/id1/federatedIdentityCredentials/fic1"
	for path, body := range map[string]string{
		group:               `{"location":"local","tags":{"a":"b"}}`,
		identities + "/id1": `{"location":"local","tags":{"a":"b"},"properties":{"isolationScope":"None"}}`,
		credential:          credentialOfSubject("s1"),
	} {
		f.do("PUT", path+version, body)
		before := f.feed()
		if got := f.do("PUT", path+version, body).want(200, ""); got.header.Get("Location") != "" {
			t.Errorf("%s: the second PUT has a Location", path)
		}
		if after := f.feed(); after != before {
			t.Errorf("%s: the second PUT moved the change feed from %d to %d", path, before, after)
		}
	}
	before := f.feed()
	f.do("PUT", credential+version, credentialOfSubject("s2")).want(200, "")
	if f.feed() == before {
		t.Error("a PUT of another subject did not move the change feed")
	}
	before = f.feed()
	f.do("PATCH", identities+"/id1"+version, `{"properties":{"isolationScope":"Regional"}}`).want(200, "")
	if f.feed() == before {
		t.Error("another isolation scope did not move the change feed")
	}
}

func (f *fixture) feed() int64 {
	f.t.Helper()
	position, err := f.db.FeedPosition(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return position
}

func TestCreatedHeaders(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	made := f.do("PUT", group+version, `{"location":"local"}`).want(201, "")
	if made.header.Get("Location") != group || made.header.Get("x-ms-ratelimit-remaining-subscription-writes") == "" {
		t.Errorf("headers: %v", made.header)
	}
}
