package clients

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"cambio/test/httpclient"
)

// TestAzureCLIManagement runs the commands that manage what the server holds,
// signed in as an operator. The sequences run side by side, for a command
// spends its time starting an interpreter.
func TestAzureCLIManagement(t *testing.T) {
	for name, sequence := range map[string]func(*testing.T){
		"account": azAccount, "applications": azApplications, "service principals": azServicePrincipals,
		"pages": azPages, "managed identities": azIdentities, "cloud from metadata": azFromMetadata,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sequence(t)
		})
	}
}

// operatorCLI signs the operator in at a cloud that was registered.
func operatorCLI(t *testing.T) *azureCLI {
	t.Helper()
	az := registeredCloud(t)
	az.must(t, "login", login(t, shared.operator.AppID, shared.good)...)
	return az
}

func azAccount(t *testing.T) {
	az := operatorCLI(t)
	tenant, base := shared.server.TenantID, shared.server.BaseURL
	az.want(t, tenant, "account list --query [].id")
	az.want(t, tenant+" Enabled "+shared.operator.AppID, "account show --query [tenantId,state,user.name]")
	az.must(t, "account set --subscription", tenant)
	az.want(t, "Bearer "+tenant, "account get-access-token --query [tokenType,tenant]")
	az.want(t, "Bearer", "account get-access-token --resource-type ms-graph --query tokenType")
	az.want(t, "Bearer", "account get-access-token --query tokenType --resource", base)
	az.want(t, shared.client.ID, "rest --method get --query id --url", base+"/v1.0/applications(appId='"+shared.client.AppID+"')")
	az.want(t, tenant, "rest --method get --query value[].subscriptionId --url", "/subscriptions?api-version=2019-11-01")
	az.want(t, "local", "account list-locations --query [].name")
	az.want(t, "Registered", "provider show --namespace Microsoft.ManagedIdentity --query registrationState")
	url := base + "/v1.0/applications"
	made := az.get(t, "rest --method post --query id --url", url, "--resource", base+"/", "--body", `{"displayName":"az-rest"}`)
	az.must(t, "rest --method patch --url", url+"/"+made, "--body", `{"tags":["az"]}`)
	az.want(t, "az-rest az", "rest --method get --query [displayName,tags[0]] --url", url+"/"+made)
	az.must(t, "rest --method delete --url", url+"/"+made)
	az.refused(t, "Request_ResourceNotFound", "rest --method get --url", url+"/"+made)
}

// azApplications registers an application, which signs in while it has a
// credential.
func azApplications(t *testing.T) {
	az := operatorCLI(t)
	app := az.get(t, "ad app create --display-name az-client --query appId")
	az.want(t, app, "ad app create --display-name az-client --query appId") // finds it
	id := az.get(t, "ad app show --query id --id", app)
	az.want(t, app, "ad app show --query appId --id", id)
	az.must(t, "ad app update --display-name az-renamed --id", app)
	az.must(t, "ad app update --set tags=[\"az\"] --id", app)
	az.must(t, "ad app update --identifier-uris api://az-client --id", app)
	az.want(t, "az-renamed az api://az-client", "ad app show --query [displayName,tags[0],identifierUris[0]] --id", app)
	az.want(t, app, "ad app show --id api://az-client --query appId")
	az.want(t, app, "ad app list --display-name az-re --query [].appId")
	az.want(t, app, "ad app list --identifier-uri api://az-client --query [].appId")
	az.want(t, id, "ad app list --query [].id --app-id", app)
	az.want(t, app, "ad app list --query [].appId --filter", "displayName eq 'az-renamed'")
	az.want(t, app, "ad app list --all --query [?displayName=='az-renamed'].appId")

	principal := az.get(t, "ad sp create --query id --id", app)
	client := httpclient.Application{AppID: app, PrincipalID: principal}
	azCredential(t, az, client)
	azOwners(t, az, app)
	az.must(t, "ad app delete --id", app)
	az.refused(t, "exists", "ad app show --id", app)
	az.want(t, "", "ad app list --display-name az-re --query [].appId")
	azRestore(t, az, id, app)
	az.refused(t, "/me request is only valid with delegated authentication flow", "ad app list --show-mine")
}

// azRestore brings a deleted application back; az has no command of its own
// for that.
func azRestore(t *testing.T, az *azureCLI, id, app string) {
	base := shared.server.BaseURL
	items := base + "/v1.0/directory/deletedItems/"
	az.want(t, app, "rest --method get --query value[].appId --resource", base+"/", "--url", items+"microsoft.graph.application?$filter=appId eq '"+app+"'")
	az.want(t, app, "rest --method post --query appId --resource", base+"/", "--url", items+id+"/restore")
	az.want(t, id, "ad app show --query id --id", app)
	az.want(t, app, "ad sp show --query appId --id", app)
	az.must(t, "ad app delete --id", app)
	az.must(t, "rest --method delete --resource", base+"/", "--url", items+id)
	az.refused(t, "Request_ResourceNotFound", "rest --method post --resource", base+"/", "--url", items+id+"/restore")
}

// azOwners makes another application's service principal an owner. The one
// that made the application is none, for it may write all of them.
func azOwners(t *testing.T, az *azureCLI, app string) {
	owner := shared.client.PrincipalID
	az.want(t, "", "ad app owner list --query [].id --id", app)
	az.must(t, "ad app owner add --owner-object-id "+owner+" --id", app)
	az.must(t, "ad app owner add --owner-object-id "+owner+" --id", app) // az looks first
	az.want(t, owner+" clients", "ad app owner list --query [].[id,displayName] --id", app)
	az.must(t, "ad app owner remove --owner-object-id "+owner+" --id", app)
	az.want(t, "", "ad app owner list --query [].id --id", app)
	az.want(t, "", "ad sp owner list --query [].id --id", app)
}

// azCredential gives an application a federated identity credential, lists,
// changes and deletes it. The name of two characters is refused by the server.
func azCredential(t *testing.T, az *azureCLI, client httpclient.Application) {
	const group = "ad app federated-credential "
	parameters := func(name, subject string) string {
		return az.write(t, name+".json", map[string]any{
			"name": name, "issuer": shared.server.IDP.Issuer, "subject": subject, "description": "by az",
			"audiences": []string{"api://AzureADTokenExchange"},
		})
	}
	az.refused(t, "3 to 120 characters", group+"create --id", client.AppID, "--parameters", parameters("ab", subject))
	az.want(t, "somebody:else", group+"create --query subject --id", client.AppID, "--parameters", parameters("az-1", "somebody:else"))
	checkExchange(t, client, "AADSTS700213")
	az.must(t, group+"update --federated-credential-id az-1 --id", client.AppID, "--parameters", `{"subject":"`+subject+`"}`)
	checkExchange(t, client, "")
	az.want(t, subject+" by az", group+"show --federated-credential-id az-1 --query [subject,description] --id", client.AppID)
	az.want(t, "az-1", group+"list --query [].name --id", client.AppID)
	az.must(t, group+"delete --federated-credential-id az-1 --id", client.AppID)
	az.refused(t, "exists", group+"show --federated-credential-id az-1 --id", client.AppID)
	az.want(t, "", group+"list --query [].name --id", client.AppID)
	checkExchange(t, client, "AADSTS70025")
}

// checkExchange has a client without roles present the good token, now. An
// empty code means that this works.
func checkExchange(t *testing.T, client httpclient.Application, code string) {
	t.Helper()
	assertion, err := os.ReadFile(shared.good)
	if err != nil {
		t.Fatal(err)
	}
	token, err := shared.api.Exchange(t.Context(), client.AppID, "api://things-v2/.default", string(assertion))
	switch {
	case code == "" && err != nil:
		t.Errorf("the exchange failed: %v", err)
	case code == "":
		checkTokenOf(t, outcome{OK: true, AccessToken: token}, client, shared.v2)
	case err == nil || !strings.Contains(err.Error(), code):
		t.Errorf("want the exchange refused with %s, got %v", code, err)
	}
}

// azPages lists more applications than a page holds.
func azPages(t *testing.T) {
	const count = 120
	for i := range count {
		if err := shared.api.Do(t.Context(), "POST", "/v1.0/applications", map[string]any{"displayName": fmt.Sprint("az-page-", i)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	az := operatorCLI(t)
	az.want(t, strconv.Itoa(count), "ad app list --display-name az-page- --query length(@)")
	az.want(t, strconv.Itoa(count), "ad app list --all --query length([?starts_with(displayName,'az-page-')])")
}

func azServicePrincipals(t *testing.T) {
	az := operatorCLI(t)
	roles := az.write(t, "roles.json", []map[string]any{{
		"id": "5f6f4f0a-37a6-4f6e-9d4f-0d2f0b1f7a01", "value": role, "displayName": role, "description": role,
		"allowedMemberTypes": []string{"Application"}, "isEnabled": true,
	}})
	app := az.get(t, "ad app create --display-name az-api --identifier-uris api://az-api --sign-in-audience AzureADMyOrg --query appId --app-roles", roles)
	principal := az.get(t, "ad sp create --query id --id", app)
	az.want(t, role, "ad sp show --query appRoles[].value --id", app)
	az.want(t, principal, "ad sp show --query id --id api://az-api")
	az.want(t, app, "ad sp show --query appId --id", principal)
	az.must(t, "ad sp update --set accountEnabled=false --id", app)
	az.want(t, "false", "ad sp show --query accountEnabled --id", app)
	az.want(t, principal, "ad sp list --spn api://az-api --query [].id")
	az.want(t, principal, "ad sp list --display-name az-a --query [].id")
	az.want(t, principal, "ad sp list --query [].id --filter", "displayName eq 'az-api'")
	az.want(t, principal, "ad sp list --all --query [?appDisplayName=='az-api'].id")
	az.must(t, "ad sp delete --id", app)
	az.want(t, "", "ad sp list --query [].id --spn", app)
	az.must(t, "ad app delete --id", app)
}

// azIdentities makes a resource group and a user-assigned managed identity in
// it, which signs in while it has a credential.
func azIdentities(t *testing.T) {
	az := operatorCLI(t)
	az.want(t, "az-group local Succeeded", "group create --name az-group --location local --tags stage=test --query [name,location,properties.provisioningState]")
	az.want(t, "true", "group exists --name az-group")
	az.want(t, "false", "group exists --name az-nothing")
	az.want(t, "test", "group show --name az-group --query tags.stage")
	az.want(t, "az-group", "group list --query [?name=='az-group'].name")
	az.want(t, "az-group", "group list --tag stage=test --query [].name")
	az.want(t, "2", "group update --name az-group --set tags.stage=2 --query tags.stage")

	az.want(t, "az-identity local", "identity create --resource-group az-group --name az-identity --tags stage=test --query [name,location]") // of its group
	const show = "identity show --resource-group az-group --name az-identity "
	client := httpclient.Application{AppID: az.get(t, show+"--query clientId"), PrincipalID: az.get(t, show+"--query principalId")}
	az.want(t, client.AppID, "identity create --resource-group az-group --name az-identity --location local --query clientId") // finds it
	az.want(t, client.AppID, "identity list --resource-group az-group --query [].clientId")
	az.want(t, client.AppID, "identity list --query [?name=='az-identity'].clientId")
	az.want(t, "az-identity", "resource list --resource-group az-group --query [].name")
	az.want(t, "", "identity list-resources --resource-group az-group --name az-identity --query [].id")
	az.want(t, "Microsoft.ManagedIdentity/userAssignedIdentities/read", "identity list-operations --query [0].name")
	azIdentityCredential(t, az, client)

	az.must(t, "identity delete --resource-group az-group --name az-identity")
	az.refused(t, "ResourceNotFound", show)
	az.must(t, "identity create --resource-group az-group --name az-left --query id")
	az.must(t, "group delete --yes --name az-group")
	az.want(t, "false", "group exists --name az-group")
	az.want(t, "", "identity list --query [?name=='az-left'].clientId")
}

func azIdentityCredential(t *testing.T, az *azureCLI, client httpclient.Application) {
	const group, of = "identity federated-credential ", "--resource-group az-group --identity-name az-identity "
	issuer := shared.server.IDP.Issuer
	az.refused(t, "3 to 120 characters", group+"create --name ab "+of+"--subject b --issuer", issuer)
	az.want(t, "somebody:else api://AzureADTokenExchange",
		group+"create --name az-1 "+of+"--subject somebody:else --query [subject,audiences[0]] --issuer", issuer)
	checkExchange(t, client, "AADSTS700213")
	az.want(t, subject, group+"update --name az-1 "+of+"--audiences api://AzureADTokenExchange --query subject --subject", subject, "--issuer", issuer)
	checkExchange(t, client, "")
	az.want(t, issuer+" "+subject, group+"show --name az-1 "+of+"--query [issuer,subject]")
	az.want(t, "az-1", group+"list "+of+"--query [].name")
	az.must(t, group+"delete --yes --name az-1 "+of)
	az.refused(t, "ResourceNotFound", group+"show --name az-1 "+of)
	az.want(t, "", group+"list "+of+"--query [].name")
	checkExchange(t, client, "AADSTS70025")
}

// azFromMetadata is the short list of the same, at a cloud that az knows from
// the server's description of itself.
func azFromMetadata(t *testing.T) {
	az := metadataCloud(t)
	az.want(t, "Cambio True", "cloud list --query [].[name,isActive]")
	az.must(t, "login", login(t, shared.operator.AppID, shared.good)...)
	app := az.get(t, "ad app create --display-name az-metadata --query appId")
	principal := az.get(t, "ad sp create --query id --id", app)
	az.want(t, "az-1", "ad app federated-credential create --query name --id", app, "--parameters", az.write(t, "credential.json", map[string]any{
		"name": "az-1", "issuer": shared.server.IDP.Issuer, "subject": subject, "audiences": []string{"api://AzureADTokenExchange"},
	}))
	checkExchange(t, httpclient.Application{AppID: app, PrincipalID: principal}, "")
	az.must(t, "ad app federated-credential delete --federated-credential-id az-1 --id", app)
	checkExchange(t, httpclient.Application{AppID: app, PrincipalID: principal}, "AADSTS70025")
	az.must(t, "ad app delete --id", app)

	az.want(t, "az-metadata", "identity create --location local --name az-metadata --query name --resource-group", shared.group)
	az.must(t, "identity delete --name az-metadata --resource-group", shared.group)
	az.want(t, "", "identity list --query [?name=='az-metadata'].name --resource-group", shared.group)
}
