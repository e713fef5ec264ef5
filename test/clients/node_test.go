package clients

import (
	"testing"

	"cambio/test/httpclient"
)

// TestNodeSDK runs @azure/identity and MSAL Node.
func TestNodeSDK(t *testing.T) {
	program := nodeProgram(t)
	tenant := shared.server.TenantID
	for _, test := range []struct {
		name, client string
		env          []string
		resource     httpclient.Application
	}{
		{"WorkloadIdentityCredential", "workload", with(environment(tenant), "DISABLE_INSTANCE_DISCOVERY=1"), shared.v2},
		{"WorkloadIdentityCredential by environment", "workload", azure("adfs"), shared.v2},
		{"WorkloadIdentityCredential for a v1.0 resource", "workload", with(azure("adfs"), "SCOPE=api://things-v1/.default"), shared.v1},
		{"ClientAssertionCredential", "assertion", with(environment(tenant), "DISABLE_INSTANCE_DISCOVERY=1"), shared.v2},
		{"DefaultAzureCredential by environment", "default", azure("adfs"), shared.v2},
		{"MSAL, knownAuthorities", "msal", with(environment(tenant), "MSAL_MODE=known"), shared.v2},
		{"MSAL, authorityMetadata", "msal", with(environment(tenant), "MSAL_MODE=metadata"), shared.v2},
		{"MSAL, cloudDiscoveryMetadata", "msal", with(environment(tenant), "MSAL_MODE=cloudmeta"), shared.v2},
		{"MSAL, protocolMode OIDC v2.0", "msal", oidcMode(tenant+"/v2.0", "api://things-es256"), shared.es256},
		{"MSAL, protocolMode OIDC v1", "msal", oidcMode(tenant+"/", "api://things-v1"), shared.v1},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := run(t, test.env, "node", program, test.client)
			checkToken(t, o, test.resource)
			if !o.Cached {
				t.Error("the second call was not served from the library's cache")
			}
		})
	}
	t.Run("refusal", func(t *testing.T) {
		checkRefusal(t, run(t, with(environment(tenant), "DISABLE_INSTANCE_DISCOVERY=1", "TOKEN_FILE="+shared.stranger),
			"node", program, "workload"))
	})
}

func oidcMode(issuer, resource string) []string {
	return with(environment(shared.server.TenantID), "MSAL_MODE=oidc",
		"OIDC_AUTHORITY="+shared.server.BaseURL+"/"+issuer, "SCOPE="+resource+"/.default")
}

// TestNodeJose has npm jose verify issued tokens, given nothing but the issuer.
func TestNodeJose(t *testing.T) {
	program := nodeProgram(t)
	verifyEach(t, func(t *testing.T, env []string) outcome { return run(t, env, "node", program, "jose") })
}
