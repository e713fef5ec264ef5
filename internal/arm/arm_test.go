package arm

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"cambio/internal/directory"
	"cambio/internal/management"
)

func TestSubscriptions(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	f.caller = management.NewCaller("", "", nil)
	list := f.do("GET", "/subscriptions?api-version=2019-11-01", "").want(200, "")
	s := list.values()[0]
	if s["id"] != subscription || s["subscriptionId"] != tenantID || s["tenantId"] != tenantID || s["state"] != "Enabled" || s["displayName"] != "Contoso" ||
		s["subscriptionPolicies"] == nil || s["authorizationSource"] != "RoleBased" || s["managedByTenants"] == nil {
		t.Errorf("subscriptions: %s", list.text)
	}
	for name, want := range map[string]string{"Cache-Control": "no-cache", "Pragma": "no-cache", "Expires": "-1", "X-Content-Type-Options": "nosniff",
		"x-ms-request-id": "request", "Content-Type": "application/json; charset=utf-8"} {
		if list.header.Get(name) != want {
			t.Errorf("header %s is %q", name, list.header.Get(name))
		}
	}
	if got := f.do("GET", strings.ToUpper(subscription)+version, "").want(200, ""); got.string("subscriptionId") != tenantID {
		t.Errorf("subscription: %s", got.text)
	}
	f.do("GET", "/subscriptions/"+otherTenantID+version, "").want(404, CodeSubscriptionNotFound)
	if got := f.do("GET", "/tenants"+version, "").want(200, "").values()[0]; got["tenantId"] != tenantID || got["defaultDomain"] != "contoso.example" {
		t.Errorf("tenants: %v", got)
	}
	if got := f.do("GET", subscription+"/providers"+version, "").want(200, "").values()[0]; got["registrationState"] != "Registered" {
		t.Errorf("providers: %v", got)
	}
	for query, code := range map[string]string{"": CodeMissingAPIVersion, "?api-version=": CodeMissingAPIVersion, "?api-version=latest": CodeInvalidAPIVersion,
		"?api-version=2024-11-3": CodeInvalidAPIVersion, "?api-version=2024-11-30-": CodeInvalidAPIVersion, "?api-version=2024-11-30&api-version=2024-11-30": CodeInvalidAPIVersion,
		"?%zz": CodeBadRequest} {
		f.do("GET", "/subscriptions"+query, "").want(400, code)
	}
	for _, query := range []string{"?api-version=2022-01-31-preview", "?api-version=2031-01-01"} {
		f.do("GET", "/subscriptions"+query, "").want(200, "")
	}
}

func TestResourceGroups(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	f.do("HEAD", group+version, "").want(404, CodeResourceGroupNotFound)
	made := f.do("PUT", strings.ToLower(group)+version, `{"location":"West Europe","tags":{"a":"b"}}`).want(201, "")
	if made.string("id") != group || made.string("type") != "Microsoft.Resources/resourceGroups" || made.property("provisioningState") != "Succeeded" {
		t.Errorf("created: %s", made.text)
	}
	tag := f.do("HEAD", group+version, "").want(204, "").header.Get("ETag")
	f.do("HEAD", group+version, "", "If-None-Match", tag).want(304, "")
	f.do("GET", group+version, "", "If-None-Match", tag).want(304, "")
	f.do("PUT", strings.ToUpper(group)+version, `{"location":"westeurope"}`).want(200, "")
	f.do("PUT", group+version, `{"location":"local"}`).want(409, CodeInvalidLocation)
	f.do("PUT", group+version, `{}`).want(400, CodeBadRequest)
	f.do("PUT", group+version, `{"location":1}`).want(400, CodeInvalidContent)
	f.do("PUT", subscription+"/resourceGroups/a%2Fb"+version, `{"location":"local"}`).want(400, CodeBadRequest)
	if got := f.do("GET", group+version, "").want(200, ""); got.string("name") != "rg1" || got.string("location") != "westeurope" {
		t.Errorf("group: %s", got.text)
	}
	f.do("PUT", identities+"/id1"+version, `{"location":"local"}`).want(201, "")
	if got := f.do("GET", subscription+"/resourcegroups"+version, "").want(200, "").values(); len(got) != 1 {
		t.Errorf("groups: %v", got)
	}
	f.do("DELETE", group+version, "").want(200, "")
	f.do("DELETE", group+version, "").want(404, CodeResourceGroupNotFound)
	f.do("GET", identities+"/id1"+version, "").want(404, CodeResourceGroupNotFound)
	f.do("GET", identities+version, "").want(404, CodeResourceGroupNotFound)
	if got := f.do("GET", subscription+"/providers/Microsoft.ManagedIdentity/userAssignedIdentities"+version, "").want(200, "").values(); len(got) != 0 {
		t.Errorf("identities outlive their group: %v", got)
	}
}

func TestIdentityLifeCycle(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	path := identities + "/id1"
	f.do("PUT", path+version, `{"location":"local"}`).want(404, CodeResourceGroupNotFound)
	f.do("PUT", group+version, `{"location":"local"}`).want(201, "")
	f.do("GET", path+version, "").want(404, CodeResourceNotFound)
	made := f.do("PUT", path+version, `{"location":"local","tags":{},"properties":{"isolationScope":"None"}}`).want(201, "")
	id := subscription + "/resourcegroups/rg1/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id1"
	if made.string("id") != id || made.header.Get("Location") != id || made.string("type") != identityType || made.property("tenantId") != tenantID ||
		!directory.IsGUID(fmt.Sprint(made.property("clientId"))) || !directory.IsGUID(fmt.Sprint(made.property("principalId"))) || made.property("isolationScope") != "None" {
		t.Errorf("created: %s", made.text)
	}
	again := f.do("PUT", strings.ToUpper(path)+version, `{"location":"LOCAL","tags":{"a":"b"}}`).want(200, "")
	if again.string("name") != "id1" || again.property("clientId") != made.property("clientId") || again.header.Get("Location") != "" {
		t.Errorf("updated: %s", again.text)
	}
	patched := f.do("PATCH", path+version, `{"properties":{"isolationScope":"Regional"}}`).want(200, "")
	if patched.property("isolationScope") != "Regional" || patched.body["tags"].(map[string]any)["a"] != "b" {
		t.Errorf("patched: %s", patched.text)
	}
	f.do("PATCH", path+version, `{"location":"elsewhere"}`).want(409, CodeInvalidLocation)
	f.do("PATCH", identities+"/none"+version, `{"tags":{}}`).want(404, CodeResourceNotFound)
	f.do("PUT", identities+"/-x"+version, `{"location":"local"}`).want(400, CodeBadRequest)
	f.do("PUT", path+version, `{"location":"local","tags":{"a":1}}`).want(400, CodeInvalidContent)
	f.do("PUT", path+version, "").want(400, CodeInvalidContent)
	f.do("DELETE", path+version, "").want(200, "")
	f.do("DELETE", path+version, "").want(204, "")
}

func TestIdentityPages(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	for i := range 5 {
		f.identity(fmt.Sprintf("id-%d", i))
	}
	for _, list := range []string{identities, subscription + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities"} {
		seen, next := 0, list+version+"&$top=2"
		for next != "" {
			page := f.do("GET", next, "").want(200, "")
			seen += len(page.values())
			next = strings.TrimPrefix(page.string("nextLink"), testBase)
		}
		if seen != 5 {
			t.Errorf("%s: the pages hold %d identities", list, seen)
		}
	}
	f.do("GET", identities+version+"&$top=0", "").want(400, CodeBadRequest)
	f.do("GET", identities+version+"&$skiptoken=AAAA", "").want(400, CodeBadRequest)
}

// TestCredentialLifeCycle replays what azurerm, armmsi and az do.
func TestCredentialLifeCycle(t *testing.T) {
	f := newFixture(t, directory.Strict)
	f.identity("id1")
	list := identities + "/id1/federatedIdentityCredentials"
	path := list + "/fic1" + version
	f.do("GET", path, "").want(404, CodeResourceNotFound)
	made := f.do("PUT", path, credentialOfSubject("system:serviceaccount:shop:api")).want(201, "")
	id := subscription + "/resourcegroups/rg1/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id1/federatedIdentityCredentials/fic1"
	if made.string("id") != id || made.header.Get("Location") != id || made.string("name") != "fic1" || made.string("type") != credentialType ||
		made.property("issuer") != "https://oidc.example/k8s/" || made.property("subject") != "system:serviceaccount:shop:api" {
		t.Errorf("created: %s", made.text)
	}
	f.do("PUT", path, made.text).want(200, "")
	f.do("PUT", strings.ToLower(list)+"/fic1"+version, credentialOfSubject("s2")).want(200, "")
	if got := f.do("GET", path, "").want(200, ""); got.property("subject") != "s2" {
		t.Errorf("after PUT: %s", got.text)
	}
	if got := f.do("GET", list+version+"&$top=10", "").want(200, ""); len(got.values()) != 1 || got.body["nextLink"] != nil {
		t.Errorf("list: %s", got.text)
	}
	if got := f.do("PUT", list+"/fic2"+version, credentialOfSubject("s2")).want(400, CodeBadRequest); !strings.Contains(got.text, "'fic1'") {
		t.Errorf("a trust that is held: %s", got.text)
	}
	if got := f.do("PUT", list+"/FIC1"+version, credentialOfSubject("s2")).want(200, ""); got.string("name") != "fic1" {
		t.Errorf("a name in other case: %s", got.text)
	}
	f.do("GET", list+"/Fic1"+version, "").want(200, "")
	f.do("PUT", list+"/a"+version, credentialOfSubject("s3")).want(400, CodeBadRequest)
	for _, body := range []string{`{}`, `{"properties":null}`, `{"properties":{}}`, strings.Replace(credentialOfSubject("s3"), `["api://AzureADTokenExchange"]`, `["a","b"]`, 1),
		`{"properties":{"issuer":"https://x","audiences":["a"],"claimsMatchingExpression":{"value":"x","languageVersion":1}}}`} {
		f.do("PUT", list+"/fic3"+version, body).want(400, CodeBadRequest)
	}
	f.do("PUT", list+"/fic3"+version, `{"properties":{"audiences":"a"}}`).want(400, CodeInvalidContent)
	f.do("PUT", identities+"/none/federatedIdentityCredentials/fic1"+version, credentialOfSubject("s")).want(404, CodeResourceNotFound)
	if gone := f.do("DELETE", path, "").want(200, ""); gone.text != "" {
		t.Errorf("DELETE has a body: %s", gone.text)
	}
	f.do("DELETE", path, "").want(204, "")
	f.do("DELETE", identities+"/none/federatedIdentityCredentials/fic1"+version, "").want(404, CodeResourceNotFound)
	f.do("GET", path, "").want(404, CodeResourceNotFound)
}

// TestParallelWrites: parallel PUTs to one identity are all carried out.
func TestParallelWrites(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	f.identity("id1")
	const n = 100
	statuses := make(chan int, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			path := fmt.Sprintf("%s/id1/federatedIdentityCredentials/fic-%d%s", identities, i, version)
			statuses <- f.do("PUT", path, credentialOfSubject(fmt.Sprintf("s-%d", i))).status
		})
	}
	group.Wait()
	for range n {
		if status := <-statuses; status != 201 {
			t.Fatalf("a parallel PUT answered %d", status)
		}
	}
	if got := f.do("GET", identities+"/id1/federatedIdentityCredentials"+version+"&$top=999", "").want(200, "").values(); len(got) != n {
		t.Errorf("%d credentials", len(got))
	}
}

// TestOtherTenant: the subscription of another tenant does not exist, and
// naming one's own finds nothing of the other's.
func TestOtherTenant(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	f.identity("id1")
	f.tenant = otherTenantID
	for _, path := range []string{subscription, group, identities, identities + "/id1", identities + "/id1/federatedIdentityCredentials"} {
		f.do("GET", path+version, "").want(404, CodeSubscriptionNotFound)
	}
	f.do("DELETE", identities+"/id1"+version, "").want(404, CodeSubscriptionNotFound)
	f.do("GET", strings.Replace(identities, tenantID, otherTenantID, 1)+"/id1"+version, "").want(404, CodeResourceGroupNotFound)
}

func TestPermissions(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	f.identity("id1")
	f.caller = management.NewCaller("", "", []string{"ManagedIdentity.Read.All"})
	f.do("GET", identities+"/id1"+version, "").want(200, "")
	if got := f.do("DELETE", identities+"/id1"+version, ""); got.status != 403 {
		t.Errorf("a reader deletes: %d", got.status)
	}
	f.caller = management.NewCaller("", "", []string{"Application.ReadWrite.All"})
	if got := f.do("GET", identities+"/id1"+version, ""); got.status != 403 {
		t.Errorf("an administrator of applications reads identities: %d", got.status)
	}
}

// FuzzCredentialBody: no body makes the API fail.
func FuzzCredentialBody(f *testing.F) {
	for _, seed := range []string{credentialOfSubject("s"), `{"properties":null}`, `{"properties":{"claimsMatchingExpression":1}}`, `{"location":"local","tags":{"a":null}}`, `[]`} {
		f.Add(seed)
	}
	shared := newFixture(f, directory.Relaxed)
	shared.identity("id1")
	f.Fuzz(func(t *testing.T, body string) {
		fx := *shared
		fx.t = t
		for _, path := range []string{identities + "/id1", identities + "/id1/federatedIdentityCredentials/fic1"} {
			if got := fx.do("PUT", path+version, body); got.status >= 500 {
				t.Fatalf("%s: %d %s", path, got.status, got.text)
			}
		}
	})
}
