package clients

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"cambio/test/httpclient"
)

// registerOperator registers a client that may manage applications,
// assignments and managed identities, and makes a resource group.
func (w *world) registerOperator(ctx context.Context) error {
	var err error
	if w.operator, err = w.api.Register(ctx, httpclient.Registration{Name: "operator"}); err != nil {
		return err
	}
	if _, err = w.api.Trust(ctx, w.operator, "operator", w.server.IDP.Issuer, subject); err != nil {
		return err
	}
	var found struct {
		Value []struct {
			ID       string
			AppRoles []struct{ ID, Value string }
		}
	}
	path := "/v1.0/servicePrincipals?$filter=" + url.PathEscape("displayName eq 'cambio management'")
	if err := w.api.Do(ctx, "GET", path, nil, &found); err != nil {
		return err
	}
	management := httpclient.Application{RoleIDs: map[string]string{}}
	for _, principal := range found.Value {
		management.PrincipalID = principal.ID
		for _, r := range principal.AppRoles {
			management.RoleIDs[r.Value] = r.ID
		}
	}
	for _, role := range []string{"Application.ReadWrite.All", "AppRoleAssignment.ReadWrite.All", "ManagedIdentity.ReadWrite.All"} {
		if err := w.api.Grant(ctx, w.operator, management, role); err != nil {
			return err
		}
	}
	w.group = "clients"
	return w.api.Do(ctx, "PUT", "/subscriptions/"+w.server.TenantID+"/resourceGroups/"+w.group+"?api-version=2021-04-01",
		map[string]any{"location": "here"}, nil)
}

// operation is the environment of an operator's program, which registers
// objects of this name that trust the built-in provider.
func operation(env []string, name string) []string {
	return with(env,
		"BASE_URL="+shared.server.BaseURL, "CLIENT_ID="+shared.operator.AppID, "AZURE_CLIENT_ID="+shared.operator.AppID,
		"SUBSCRIPTION_ID="+shared.server.TenantID, "RESOURCE_GROUP="+shared.group, "NAME="+name,
		"ISSUER="+shared.server.IDP.Issuer, "SUBJECT="+subject, "ROLE="+role)
}

// byEnvironment and byOptions are the two ways in which the SDKs' credentials
// learn of the server.
func byEnvironment() []string { return with(azure("adfs"), "CREDENTIAL=default") }

func byOptions() []string {
	return with(environment(shared.server.TenantID), "CREDENTIAL=workload", "DISABLE_INSTANCE_DISCOVERY=1")
}

// TestGoARM manages identities with armmsi.
func TestGoARM(t *testing.T) {
	program := goProgram(t)
	t.Run("DefaultAzureCredential", func(t *testing.T) {
		checkIdentity(t, run(t, operation(byEnvironment(), "armmsi-default"), program, "armmsi"))
	})
	t.Run("WorkloadIdentityCredential", func(t *testing.T) {
		checkIdentity(t, run(t, operation(byOptions(), "armmsi-workload"), program, "armmsi"))
	})
}

// TestNodeARM manages identities with @azure/arm-msi.
func TestNodeARM(t *testing.T) {
	program := nodeProgram(t)
	t.Run("DefaultAzureCredential", func(t *testing.T) {
		checkIdentity(t, run(t, operation(byEnvironment(), "arm-msi-default"), "node", program, "arm-msi"))
	})
	t.Run("WorkloadIdentityCredential", func(t *testing.T) {
		checkIdentity(t, run(t, operation(byOptions(), "arm-msi-workload"), "node", program, "arm-msi"))
	})
}

// checkIdentity checks what an operator's program did with a managed
// identity, which held no roles: the token that it got, and that it got none
// without its credential. It had two others, of other subjects.
func checkIdentity(t *testing.T, o outcome) {
	t.Helper()
	checkTokenOf(t, o, httpclient.Application{AppID: o.ClientID, PrincipalID: o.PrincipalID}, shared.v2)
	checkDistrusted(t, o.Refusal, "AADSTS700213")
}

// TestNodeGraph manages applications, credentials and assignments with
// @microsoft/microsoft-graph-client.
func TestNodeGraph(t *testing.T) {
	program := nodeProgram(t)
	checkApplication(t, run(t, operation(byOptions(), "graph-client"), "node", program, "graph"))
}

// checkApplication checks what an operator's program did with an application
// that held a role of another one.
func checkApplication(t *testing.T, o outcome) {
	t.Helper()
	checkTokenOf(t, o, httpclient.Application{AppID: o.ClientID, PrincipalID: o.PrincipalID}, httpclient.Application{AppID: o.ResourceID}, role)
	checkDistrusted(t, o.Refusal, "AADSTS70025")
}

func checkDistrusted(t *testing.T, refusal, code string) {
	t.Helper()
	if !strings.Contains(refusal, code) {
		t.Errorf("without its credential: want %s, got %q", code, refusal)
	}
}
