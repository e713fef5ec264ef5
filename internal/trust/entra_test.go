package trust

import (
	"strings"
	"testing"

	"cambio/internal/directory"
)

// What az and Graph print of a tenant, with what has no counterpart.
var entraFiles = []struct{ file, parent, text string }{
	{"apps.json", "", `[{"id":"AAAAAAAA-0000-4000-8000-000000000001","appId":"AAAAAAAA-0000-4000-8000-000000000002","displayName":"Orders","uniqueName":null,
		"identifierUris":["api://orders"],"signInAudience":"AzureADMyOrg","description":null,"tags":[],"api":{"requestedAccessTokenVersion":2,"oauth2PermissionScopes":[{}]},
		"appRoles":[{"id":"AAAAAAAA-0000-4000-8000-000000000003","value":"Orders.Read","displayName":"Read","description":"Read","allowedMemberTypes":["Application"],"isEnabled":true,"origin":"Application"}],
		"optionalClaims":{"accessToken":[{"name":"idtyp"},{"name":"email"}],"idToken":[]},"passwordCredentials":[{"keyId":"x"}],"keyCredentials":[{},{}],"web":{"redirectUris":["https://x"]}},
		{"id":"aaaaaaaa-0000-4000-8000-000000000004","appId":"aaaaaaaa-0000-4000-8000-000000000005","displayName":"Shop","signInAudience":"AzureADMyOrg","identifierUris":[]}]`},
	{"sps.json", "", `{"value":[{"id":"aaaaaaaa-0000-4000-8000-000000000006","appId":"aaaaaaaa-0000-4000-8000-000000000002","servicePrincipalType":"Application","accountEnabled":true,"appRoleAssignmentRequired":true,"tags":["t"]},
		{"id":"aaaaaaaa-0000-4000-8000-000000000007","appId":"aaaaaaaa-0000-4000-8000-000000000005","servicePrincipalType":"Application","accountEnabled":true},
		{"id":"aaaaaaaa-0000-4000-8000-000000000008","appId":"00000003-0000-0000-c000-000000000000","displayName":"Microsoft Graph","servicePrincipalType":"Application"}]}`},
	{"page.json", "", `{"@odata.context":"https://graph.microsoft.com/v1.0/$metadata#applications('aaaaaaaa-0000-4000-8000-000000000004')/federatedIdentityCredentials","@odata.nextLink":"https://graph.microsoft.com/next",
		"value":[{"id":"x","name":"main","issuer":"https://token.actions.githubusercontent.com","subject":"repo:acme/shop:ref:refs/heads/main","description":"d","audiences":["api://AzureADTokenExchange"]},
		{"id":"y","name":"flexible","issuer":"https://token.actions.githubusercontent.com","subject":null,"audiences":["a"],"claimsMatchingExpression":{"value":"claims['sub'] matches 'repo:acme/shop:*'","languageVersion":1}}]}`},
	{"az.json", "AAAAAAAA-0000-4000-8000-000000000005", `[{"name":"another","issuer":"https://i.example","subject":"s","audiences":["a"],"claimsMatchingExpression":null}]`},
	{"nobody.json", "", `[{"name":"lost","issuer":"https://i.example","subject":"s","audiences":["a"]}]`},
	{"grants.json", "", `{"value":[{"id":"g","appRoleId":"aaaaaaaa-0000-4000-8000-000000000003","principalId":"aaaaaaaa-0000-4000-8000-000000000007","resourceId":"aaaaaaaa-0000-4000-8000-000000000006","resourceDisplayName":"Orders"},
		{"appRoleId":"9A5D68DD-52b0-4cc2-bd40-abcf44ac3a30","principalId":"aaaaaaaa-0000-4000-8000-000000000007","resourceId":"aaaaaaaa-0000-4000-8000-000000000008","resourceDisplayName":"Microsoft Graph"},
		{"appRoleId":"11111111-52b0-4cc2-bd40-abcf44ac3a30","principalId":"aaaaaaaa-0000-4000-8000-000000000007","resourceId":"aaaaaaaa-0000-4000-8000-000000000008"},
		{"appRoleId":"9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30","principalId":"aaaaaaaa-0000-4000-8000-000000000007","resourceId":"bbbbbbbb-0000-4000-8000-000000000001","resourceDisplayName":"Microsoft Graph"}]}`},
	{"identities.json", "", `[{"clientId":"aaaaaaaa-0000-4000-8000-000000000009","principalId":"aaaaaaaa-0000-4000-8000-00000000000a","name":"id1","location":"westeurope","tags":{},"type":"Microsoft.ManagedIdentity/userAssignedIdentities",
		"resourceGroup":"rg1","id":"/subscriptions/s/resourcegroups/rg1/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id1"}]`},
	{"arm.json", "", `{"value":[{"id":"/subscriptions/s/resourceGroups/RG1/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id1/federatedIdentityCredentials/fic1","name":"fic1",
		"type":"Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials","properties":{"issuer":"https://oidc.example","subject":"s","audiences":["a"]}}]}`},
	{"other.json", "", `{"userPrincipalName":"x"}`},
}

func TestImport(t *testing.T) {
	e := &Entra{ManagementRoles: map[string]string{"9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30": "Application.Read.All"}}
	for _, f := range entraFiles {
		if err := e.Add(f.file, f.parent, []byte(f.text)); err != nil {
			t.Fatal(err)
		}
	}
	d := e.Document()
	got := string(d.JSON())
	const want = `{"version":1,"resourceGroups":[{"name":"rg1","location":"westeurope"}],"managedIdentities":[{"resourceGroup":"rg1","name":"id1","clientId":"aaaaaaaa-0000-4000-8000-000000000009",` +
		`"principalId":"aaaaaaaa-0000-4000-8000-00000000000a","location":"westeurope","tags":{},"federatedIdentityCredentials":[{"name":"fic1","issuer":"https://oidc.example","subject":"s","audiences":["a"]}]}],` +
		`"applications":[{"appId":"aaaaaaaa-0000-4000-8000-000000000002","id":"aaaaaaaa-0000-4000-8000-000000000001","displayName":"Orders","identifierUris":["api://orders"],"signInAudience":"AzureADMyOrg","tags":[],` +
		`"api":{"requestedAccessTokenVersion":2},"optionalClaims":{"accessToken":[{"name":"idtyp"}]},"appRoles":[{"id":"aaaaaaaa-0000-4000-8000-000000000003","value":"Orders.Read","displayName":"Read","description":"Read",` +
		`"allowedMemberTypes":["Application"],"isEnabled":true}],"servicePrincipal":{"id":"aaaaaaaa-0000-4000-8000-000000000006","accountEnabled":true,"appRoleAssignmentRequired":true,"tags":["t"]}},` +
		`{"appId":"aaaaaaaa-0000-4000-8000-000000000005","id":"aaaaaaaa-0000-4000-8000-000000000004","displayName":"Shop","identifierUris":[],"signInAudience":"AzureADMyOrg","appRoles":[],` +
		`"servicePrincipal":{"id":"aaaaaaaa-0000-4000-8000-000000000007","accountEnabled":true,"appRoleAssignmentRequired":false},"federatedIdentityCredentials":[` +
		`{"name":"another","issuer":"https://i.example","subject":"s","audiences":["a"]},{"name":"flexible","issuer":"https://token.actions.githubusercontent.com",` +
		`"claimsMatchingExpression":{"value":"claims['sub'] matches 'repo:acme/shop:*'","languageVersion":1},"audiences":["a"]},{"name":"main","issuer":"https://token.actions.githubusercontent.com","subject":"repo:acme/shop:ref:refs/heads/main",` +
		`"audiences":["api://AzureADTokenExchange"],"description":"d"}],"appRoleAssignments":[{"resource":"00000003-0000-0000-c000-000000000000","role":"Application.Read.All"},` +
		`{"resource":"aaaaaaaa-0000-4000-8000-000000000002","role":"aaaaaaaa-0000-4000-8000-000000000003"}]}]}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	warnings := strings.Join(e.Warnings, "\n")
	for _, want := range []string{"1 client secrets", "2 certificates", "1 delegated permissions", "1 redirect URIs", "optional claim email", "federated credential lost does not say whose it is", "page.json: it has a link to another page", "app role 11111111-52b0-4cc2-bd40-abcf44ac3a30 of Microsoft Graph has no counterpart",
		"for bbbbbbbb-0000-4000-8000-000000000001 (Microsoft Graph) is left out", "other.json: an object is neither"} {
		if !strings.Contains(warnings, want) {
			t.Errorf("no warning of %q in:\n%s", want, warnings)
		}
	}
	if len(e.Warnings) != 10 {
		t.Errorf("%d warnings:\n%s", len(e.Warnings), warnings)
	}
	// It applies to an empty tenant, but for the management resource.
	parsed, err := ParseJSON([]byte(got))
	if err != nil {
		t.Fatal(err)
	}
	parsed.Applications[1].Assignments = parsed.Applications[1].Assignments[1:]
	_, err = Diff(&directory.Contents{}, parsed, Options{Tenant: directory.Tenant{ID: someTenant, Compat: directory.Relaxed}, CheckIssuer: func(string) error { return nil }})
	if err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "[", "1", `{"value":1}`, `[{"appId":"a","appId":"b"}]`, `[1]`, `[{"appId":{},"signInAudience":"x"}]`} {
		if err := new(Entra).Add("bad.json", "", []byte(bad)); err == nil || !strings.HasPrefix(err.Error(), "bad.json: ") {
			t.Errorf("%s gives %v", bad, err)
		}
	}
}

const someTenant = "7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77"

// What az prints of service principals and wanted permissions is carried; a
// managed identity that is disabled must not come back enabled.
func TestImportCarriesServicePrincipals(t *testing.T) {
	e := &Entra{}
	for _, text := range []string{
		`[{"id":"aaaaaaaa-0000-4000-8000-000000000001","appId":"AAAAAAAA-0000-4000-8000-000000000002","displayName":"Orders","signInAudience":"AzureADMyOrg",
			"requiredResourceAccess":[{"resourceAppId":"00000003-0000-0000-C000-000000000000","resourceAccess":[{"id":"AAAAAAAA-0000-4000-8000-000000000003","type":"Role"}]}]}]`,
		`[{"id":"aaaaaaaa-0000-4000-8000-000000000004","appId":"aaaaaaaa-0000-4000-8000-000000000005","servicePrincipalType":"ManagedIdentity","accountEnabled":false,"description":null},
			{"id":"aaaaaaaa-0000-4000-8000-000000000006","appId":"aaaaaaaa-0000-4000-8000-000000000002","servicePrincipalType":"Application","accountEnabled":true,"description":"d","notes":"n"},
			{"id":"aaaaaaaa-0000-4000-8000-000000000007","appId":"aaaaaaaa-0000-4000-8000-000000000008","displayName":"Foreign","servicePrincipalType":"Application"}]`,
		`[{"clientId":"aaaaaaaa-0000-4000-8000-000000000005","principalId":"aaaaaaaa-0000-4000-8000-000000000004","name":"id1","location":"l","type":"Microsoft.ManagedIdentity/userAssignedIdentities",
			"id":"/subscriptions/s/resourcegroups/rg1/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id1"}]`,
	} {
		if err := e.Add("f", "", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	got := string(e.Document().JSON())
	for _, want := range []string{
		`"location":"l","servicePrincipal":{"accountEnabled":false,"appRoleAssignmentRequired":false}`,
		`"servicePrincipal":{"id":"aaaaaaaa-0000-4000-8000-000000000006","accountEnabled":true,"appRoleAssignmentRequired":false,"description":"d","notes":"n"}`,
		`"requiredResourceAccess":[{"resourceAppId":"00000003-0000-0000-c000-000000000000","resourceAccess":[{"id":"aaaaaaaa-0000-4000-8000-000000000003","type":"Role"}]}]`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	if len(e.Warnings) != 1 || !strings.HasPrefix(e.Warnings[0], "1 service principals are left out") {
		t.Errorf("warnings: %q", e.Warnings)
	}
	if _, err := ParseJSON([]byte(got)); err != nil {
		t.Error(err)
	}
}
