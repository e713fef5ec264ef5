package main

import (
	"context"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// workload is WorkloadIdentityCredential. With FROM_ENV=1 its options name
// nothing: authority, tenant, client and token file come from AZURE_*.
func workload(ctx context.Context) (result, error) {
	o := &azidentity.WorkloadIdentityCredentialOptions{
		DisableInstanceDiscovery: set("DISABLE_INSTANCE_DISCOVERY"),
		EnableAzureProxy:         set("ENABLE_AZURE_PROXY"),
	}
	if !set("FROM_ENV") {
		o.ClientOptions = authority()
		o.TenantID, o.ClientID, o.TokenFilePath = os.Getenv("TENANT_ID"), os.Getenv("CLIENT_ID"), os.Getenv("TOKEN_FILE")
	}
	cred, err := azidentity.NewWorkloadIdentityCredential(o)
	if err != nil {
		return result{}, err
	}
	return get(ctx, cred)
}

// assertion is ClientAssertionCredential with a callback that reads TOKEN_FILE.
func assertion(ctx context.Context) (result, error) {
	cred, err := azidentity.NewClientAssertionCredential(os.Getenv("TENANT_ID"), os.Getenv("CLIENT_ID"), token,
		&azidentity.ClientAssertionCredentialOptions{
			ClientOptions:            authority(),
			DisableInstanceDiscovery: set("DISABLE_INSTANCE_DISCOVERY"),
		})
	if err != nil {
		return result{}, err
	}
	return get(ctx, cred)
}

// defaultCredential is DefaultAzureCredential without any option.
func defaultCredential(ctx context.Context) (result, error) {
	cred, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		return result{}, err
	}
	return get(ctx, cred)
}

func authority() azcore.ClientOptions {
	return azcore.ClientOptions{Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: os.Getenv("BASE_URL")}}
}

// get asks twice: the second answer has to come out of the library's cache.
func get(ctx context.Context, cred azcore.TokenCredential) (result, error) {
	o := policy.TokenRequestOptions{Scopes: []string{os.Getenv("SCOPE")}, EnableCAE: set("CAE")}
	first, err := cred.GetToken(ctx, o)
	if err != nil {
		return result{}, err
	}
	second, err := cred.GetToken(ctx, o)
	return result{AccessToken: first.Token, Cached: first.Token == second.Token}, err
}
