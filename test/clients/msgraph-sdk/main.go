// Command msgraph-sdk is an operator's program with Microsoft Graph's SDK for
// Go, unmodified: it registers a protected resource and a client, lets the
// client trust ISSUER and SUBJECT, grants it a role, signs in as that client,
// and takes everything away again. It reports what came of it as one line of
// JSON, as ../go does, and prints tokens, so it is for tests only.
//
// It is a module of its own because building the SDK takes minutes and
// gigabytes of memory.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	sdk "github.com/microsoftgraph/msgraph-sdk-go"
)

// result is the line on stdout.
type result struct {
	OK          bool   `json:"ok"`
	AccessToken string `json:"access_token,omitempty"`
	Error       string `json:"error,omitempty"`

	// What was registered: its ids, and how the server refused it once its
	// credential was deleted.
	ClientID    string `json:"client_id,omitempty"`
	PrincipalID string `json:"principal_id,omitempty"`
	ResourceID  string `json:"resource_id,omitempty"`
	Refusal     string `json:"refusal,omitempty"`
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := manage(ctx)
	if r.OK = err == nil; err != nil {
		r.Error = err.Error()
	}
	json.NewEncoder(os.Stdout).Encode(r)
	if !r.OK {
		os.Exit(1)
	}
}

// operator holds the SDK's client and the names of what it makes.
type operator struct {
	graph *sdk.GraphServiceClient
	name  string
}

// newOperator points the SDK at BASE_URL: the credential may be sent to that
// host, and the adapter asks there instead of at Microsoft.
func newOperator() (*operator, error) {
	base := os.Getenv("BASE_URL")
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	cred, err := credential("")
	if err != nil {
		return nil, err
	}
	graph, err := sdk.NewGraphServiceClientWithCredentialsAndHosts(cred, []string{base + "/.default"}, []string{u.Hostname()})
	if err != nil {
		return nil, err
	}
	graph.GetAdapter().SetBaseUrl(base + "/v1.0")
	return &operator{graph: graph, name: os.Getenv("NAME")}, nil
}

// credential is that of a client, or of CLIENT_ID.
func credential(client string) (azcore.TokenCredential, error) {
	return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
		ClientOptions:            azcore.ClientOptions{Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: os.Getenv("BASE_URL")}},
		TenantID:                 os.Getenv("TENANT_ID"),
		ClientID:                 cmp.Or(client, os.Getenv("CLIENT_ID")),
		TokenFilePath:            os.Getenv("TOKEN_FILE"),
		DisableInstanceDiscovery: true,
	})
}

func manage(ctx context.Context) (result, error) {
	var r result
	o, err := newOperator()
	if err != nil {
		return r, err
	}
	resource, err := o.registerResource(ctx)
	if err != nil {
		return r, fmt.Errorf("resource: %w", err)
	}
	client, err := o.registerClient(ctx)
	if err != nil {
		return r, fmt.Errorf("client: %w", err)
	}
	r = result{ClientID: client.appID, PrincipalID: client.principal, ResourceID: resource.appID}
	if err := o.trust(ctx, client); err != nil {
		return r, fmt.Errorf("federated identity credential: %w", err)
	}
	grant, err := o.grant(ctx, client, resource)
	if err != nil {
		return r, fmt.Errorf("app role assignment: %w", err)
	}
	if r.AccessToken, err = o.signIn(ctx, client); err != nil {
		return r, fmt.Errorf("exchange: %w", err)
	}
	if err := o.distrust(ctx, client); err != nil {
		return r, fmt.Errorf("deleting the credential: %w", err)
	}
	if _, err = o.signIn(ctx, client); err == nil {
		return r, errors.New("the client signed in without a credential")
	}
	r.Refusal = err.Error()
	return r, o.remove(ctx, client, resource, grant)
}

// signIn is what the workload does that the client is for.
func (o *operator) signIn(ctx context.Context, client application) (string, error) {
	cred, err := credential(client.appID)
	if err != nil {
		return "", err
	}
	t, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"api://" + o.name + "/.default"}})
	return t.Token, err
}
