package clients

import (
	"os"
	"slices"
	"strings"
	"testing"

	"cambio/test/httpclient"
)

// environment is what every application here is told: its server, its trust
// and its identity. The tenant is named by its id or, where instance
// discovery cannot be switched off, by "adfs".
func environment(tenant string) []string {
	return []string{
		"BASE_URL=" + shared.server.BaseURL,
		"SSL_CERT_FILE=" + shared.server.CAFile,
		"NODE_EXTRA_CA_CERTS=" + shared.server.CAFile,
		"TENANT_ID=" + tenant,
		"CLIENT_ID=" + shared.client.AppID,
		"TOKEN_FILE=" + shared.good,
		"SCOPE=api://things-v2/.default",
	}
}

// azure is the environment that the workload identity webhook gives a pod, and
// all that DefaultAzureCredential gets.
func azure(tenant string) []string {
	return []string{
		"SSL_CERT_FILE=" + shared.server.CAFile,
		"NODE_EXTRA_CA_CERTS=" + shared.server.CAFile,
		"AZURE_AUTHORITY_HOST=" + shared.server.BaseURL + "/",
		"AZURE_TENANT_ID=" + tenant,
		"AZURE_CLIENT_ID=" + shared.client.AppID,
		"AZURE_FEDERATED_TOKEN_FILE=" + shared.good,
		"SCOPE=api://things-v2/.default",
		"FROM_ENV=1",
	}
}

// with adds to an environment; of two values for one name the last counts.
func with(env []string, more ...string) []string { return slices.Concat(env, more) }

// TestGoSDK runs azidentity and MSAL for Go. Each asks twice and has to be
// served from its own cache the second time.
func TestGoSDK(t *testing.T) {
	program := goProgram(t)
	tenant := shared.server.TenantID
	for _, test := range []struct {
		name, client string
		env          []string
		resource     httpclient.Application
	}{
		{"WorkloadIdentityCredential", "workload", with(environment(tenant), "DISABLE_INSTANCE_DISCOVERY=1"), shared.v2},
		{"WorkloadIdentityCredential with CAE", "workload", with(environment(tenant), "DISABLE_INSTANCE_DISCOVERY=1", "CAE=1"), shared.v2},
		{"WorkloadIdentityCredential for a v1.0 resource", "workload", with(environment(tenant), "DISABLE_INSTANCE_DISCOVERY=1", "SCOPE=api://things-v1/.default"), shared.v1},
		{"WorkloadIdentityCredential for an ES256 resource", "workload", with(environment(tenant), "DISABLE_INSTANCE_DISCOVERY=1", "SCOPE=api://things-es256/.default"), shared.es256},
		{"WorkloadIdentityCredential by environment", "workload", azure("adfs"), shared.v2},
		{"WorkloadIdentityCredential by environment with CAE", "workload", with(azure("adfs"), "CAE=1"), shared.v2},
		{"WorkloadIdentityCredential through the token proxy", "workload", tokenProxy(tenant), shared.v2},
		{"WorkloadIdentityCredential through the token proxy with CAE", "workload", with(tokenProxy(tenant), "CAE=1"), shared.v2},
		{"ClientAssertionCredential", "assertion", with(environment(tenant), "DISABLE_INSTANCE_DISCOVERY=1"), shared.v2},
		{"ClientAssertionCredential with CAE", "assertion", with(environment(tenant), "DISABLE_INSTANCE_DISCOVERY=1", "CAE=1"), shared.v2},
		{"ClientAssertionCredential, tenant adfs", "assertion", environment("adfs"), shared.v2},
		{"DefaultAzureCredential by environment", "default", azure("adfs"), shared.v2},
		{"DefaultAzureCredential by environment with CAE", "default", with(azure("adfs"), "CAE=1"), shared.v2},
		{"MSAL", "msal", with(environment(tenant), "DISABLE_INSTANCE_DISCOVERY=1"), shared.v2},
		{"MSAL, tenant adfs", "msal", environment("adfs"), shared.v2},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := run(t, test.env, program, test.client)
			checkToken(t, o, test.resource)
			if !o.Cached {
				t.Error("the second call was not served from the library's cache")
			}
		})
	}
}

// TestGoManagedIdentity does the same for a user-assigned managed identity,
// which is created through the ARM-shaped API and trusts by the same rules.
func TestGoManagedIdentity(t *testing.T) {
	program := goProgram(t)
	ctx, api := t.Context(), shared.api
	const version = "?api-version=2024-11-30"
	group := "/subscriptions/" + shared.server.TenantID + "/resourceGroups/" + shared.group
	path := group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/clients"
	var identity struct {
		Properties struct{ ClientID, PrincipalID string }
	}
	if err := api.Do(ctx, "PUT", path+version, map[string]any{"location": "here"}, &identity); err != nil {
		t.Fatal(err)
	}
	if err := api.Do(ctx, "PUT", path+"/federatedIdentityCredentials/clients"+version, map[string]any{"properties": map[string]any{
		"issuer": shared.server.IDP.Issuer, "subject": subject, "audiences": []string{"api://AzureADTokenExchange"},
	}}, nil); err != nil {
		t.Fatal(err)
	}
	client := httpclient.Application{AppID: identity.Properties.ClientID, PrincipalID: identity.Properties.PrincipalID}
	if err := api.Grant(ctx, client, shared.v2, role); err != nil {
		t.Fatal(err)
	}
	checkTokenOf(t, run(t, with(azure("adfs"), "AZURE_CLIENT_ID="+client.AppID), program, "default"), client, shared.v2, role)
	checkRefusal(t, run(t, with(azure("adfs"), "AZURE_CLIENT_ID="+client.AppID, "AZURE_FEDERATED_TOKEN_FILE="+shared.stranger), program, "default"))
}

// tokenProxy is the environment of AKS's identity bindings: the client sends
// everything, its question to login.microsoftonline.com included, to a proxy
// whose authority it is told of.
func tokenProxy(tenant string) []string {
	env := slices.DeleteFunc(azure(tenant), func(v string) bool { return strings.HasPrefix(v, "SSL_CERT_FILE=") })
	return with(env, "ENABLE_AZURE_PROXY=1",
		"AZURE_KUBERNETES_TOKEN_PROXY="+shared.server.BaseURL, "AZURE_KUBERNETES_CA_FILE="+shared.server.CAFile)
}

// TestGoOAuth2 runs golang.org/x/oauth2/clientcredentials at each token
// endpoint.
func TestGoOAuth2(t *testing.T) {
	program := goProgram(t)
	base := shared.server.BaseURL + "/"
	tenant := shared.server.TenantID
	for _, test := range []struct {
		name, path string
		env        []string
		resource   httpclient.Application
	}{
		{"v2.0", tenant + "/oauth2/v2.0/token", nil, shared.v2},
		{"v2.0, style found by trying", tenant + "/oauth2/v2.0/token", []string{"AUTO_DETECT=1"}, shared.v2},
		{"v2.0 for a v1.0 resource", tenant + "/oauth2/v2.0/token", []string{"SCOPE=api://things-v1/.default"}, shared.v1},
		{"v1", tenant + "/oauth2/token", []string{"RESOURCE=api://things-v1"}, shared.v1},
		{"v1, style found by trying", tenant + "/oauth2/token", []string{"RESOURCE=api://things-v1", "AUTO_DETECT=1"}, shared.v1},
		{"v1 for a v2.0 resource", tenant + "/oauth2/token", []string{"RESOURCE=api://things-v2"}, shared.v2},
		{"adfs", "adfs/oauth2/token", nil, shared.v2},
		{"upper-case tenant", strings.ToUpper(tenant) + "/oauth2/v2.0/token", nil, shared.v2},
	} {
		t.Run(test.name, func(t *testing.T) {
			env := with(environment(tenant), "TOKEN_URL="+base+test.path)
			checkToken(t, run(t, with(env, test.env...), program, "oauth2"), test.resource)
		})
	}
}

// TestGoOIDC has go-oidc verify issued tokens, given nothing but the issuer.
func TestGoOIDC(t *testing.T) {
	program := goProgram(t)
	verifyEach(t, func(t *testing.T, env []string) outcome { return run(t, env, program, "go-oidc") })
}

// verifyEach fetches a token for each resource and has a validator judge it,
// for its audience and for another one.
func verifyEach(t *testing.T, verify func(*testing.T, []string) outcome) {
	issuer, audience := shared.issuers()
	assertion, err := os.ReadFile(shared.good)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, scope, issuer, audience string }{
		{"v1.0 RS256", "api://things-v1", issuer[0], audience},
		{"v2.0 RS256", "api://things-v2", issuer[1], shared.v2.AppID},
		{"v2.0 ES256", "api://things-es256", issuer[1], shared.es256.AppID},
	} {
		t.Run(test.name, func(t *testing.T) {
			token, err := shared.api.Exchange(t.Context(), shared.client.AppID, test.scope+"/.default", string(assertion))
			if err != nil {
				t.Fatal(err)
			}
			env := []string{
				"SSL_CERT_FILE=" + shared.server.CAFile, "NODE_EXTRA_CA_CERTS=" + shared.server.CAFile,
				"ISSUER=" + test.issuer, "AUDIENCE=" + test.audience, "ACCESS_TOKEN=" + token,
			}
			if o := verify(t, env); !o.OK || o.Subject != shared.client.PrincipalID {
				t.Errorf("not accepted: %+v", o)
			}
			if o := verify(t, with(env, "AUDIENCE=api://another")); o.OK {
				t.Error("accepted for another audience")
			}
		})
	}
}

// TestGoRefusal shows what a developer reads when the subject is wrong.
func TestGoRefusal(t *testing.T) {
	program := goProgram(t)
	for _, client := range []string{"workload", "msal", "oauth2"} {
		t.Run(client, func(t *testing.T) {
			o := run(t, with(environment(shared.server.TenantID), "DISABLE_INSTANCE_DISCOVERY=1", "TOKEN_FILE="+shared.stranger,
				"TOKEN_URL="+shared.server.BaseURL+"/"+shared.server.TenantID+"/oauth2/v2.0/token"), program, client)
			checkRefusal(t, o)
		})
	}
}

func checkRefusal(t *testing.T, o outcome) {
	t.Helper()
	if o.OK || !strings.Contains(o.Error, "AADSTS700213") || !strings.Contains(o.Error, "somebody:else") {
		t.Errorf("want AADSTS700213 with the subject that was presented, got %+v", o)
	}
}
