package main

import (
	"cmp"
	"context"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// workload is WorkloadIdentityCredential.
func workload(ctx context.Context) (result, error) {
	cred, err := workloadCredential("")
	if err != nil {
		return result{}, err
	}
	return get(ctx, cred)
}

// workloadCredential makes a WorkloadIdentityCredential of the client, or of
// CLIENT_ID. With FROM_ENV=1 its options name nothing else: authority, tenant
// and token file come from AZURE_*.
func workloadCredential(client string) (azcore.TokenCredential, error) {
	o := &azidentity.WorkloadIdentityCredentialOptions{
		ClientID:                 client,
		DisableInstanceDiscovery: set("DISABLE_INSTANCE_DISCOVERY"),
		EnableAzureProxy:         set("ENABLE_AZURE_PROXY"),
	}
	if !set("FROM_ENV") {
		o.ClientOptions = authority()
		o.ClientID = cmp.Or(client, os.Getenv("CLIENT_ID"))
		o.TenantID, o.TokenFilePath = os.Getenv("TENANT_ID"), os.Getenv("TOKEN_FILE")
	}
	return azidentity.NewWorkloadIdentityCredential(o)
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

// pipelines is AzurePipelinesCredential: the job's token comes from
// SYSTEM_OIDCREQUESTURI.
func pipelines(ctx context.Context) (result, error) {
	cred, err := azidentity.NewAzurePipelinesCredential(os.Getenv("TENANT_ID"), os.Getenv("CLIENT_ID"),
		os.Getenv("SERVICE_CONNECTION_ID"), os.Getenv("SYSTEM_ACCESSTOKEN"),
		&azidentity.AzurePipelinesCredentialOptions{
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

// managedIdentity is ManagedIdentityCredential without any option.
func managedIdentity(ctx context.Context) (result, error) {
	cred, err := azidentity.NewManagedIdentityCredential(nil)
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
