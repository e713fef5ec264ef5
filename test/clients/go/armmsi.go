package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/msi/armmsi"
)

// operator manages one user-assigned managed identity with armmsi.
type operator struct {
	identities  *armmsi.UserAssignedIdentitiesClient
	credentials *armmsi.FederatedIdentityCredentialsClient
	operations  *armmsi.OperationsClient
	system      *armmsi.SystemAssignedIdentitiesClient
	group, name string
}

// manageIdentities creates, changes, lists and deletes an identity of
// RESOURCE_GROUP and its credentials, and signs in as that identity while it
// trusts ISSUER and SUBJECT and after it does no longer. The operator itself
// signs in with CREDENTIAL, which is default or workload.
func manageIdentities(ctx context.Context) (result, error) {
	o, err := newOperator()
	if err != nil {
		return result{}, err
	}
	if err := o.lookAround(ctx); err != nil {
		return result{}, err
	}
	r, err := o.create(ctx)
	if err != nil {
		return r, fmt.Errorf("identity: %w", err)
	}
	if err := o.trust(ctx); err != nil {
		return r, fmt.Errorf("federated identity credential: %w", err)
	}
	if r.AccessToken, err = signIn(ctx, r.ClientID); err != nil {
		return r, fmt.Errorf("exchange: %w", err)
	}
	if err := o.distrust(ctx); err != nil {
		return r, fmt.Errorf("deleting federated identity credentials: %w", err)
	}
	if _, err = signIn(ctx, r.ClientID); err == nil {
		return r, errors.New("the identity signed in without a credential")
	}
	r.Refusal = err.Error()
	if err := o.remove(ctx); err != nil {
		return r, fmt.Errorf("deleting the identity: %w", err)
	}
	return r, nil
}

func newOperator() (*operator, error) {
	base := os.Getenv("BASE_URL")
	options := &arm.ClientOptions{ClientOptions: azcore.ClientOptions{Cloud: cloud.Configuration{
		ActiveDirectoryAuthorityHost: base,
		Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
			cloud.ResourceManager: {Endpoint: base, Audience: base},
		},
	}}}
	var cred azcore.TokenCredential
	var err error
	if os.Getenv("CREDENTIAL") == "default" {
		cred, err = azidentity.NewDefaultAzureCredential(nil)
	} else {
		cred, err = workloadCredential("")
	}
	if err != nil {
		return nil, err
	}
	factory, err := armmsi.NewClientFactory(os.Getenv("SUBSCRIPTION_ID"), cred, options)
	if err != nil {
		return nil, err
	}
	return &operator{
		identities: factory.NewUserAssignedIdentitiesClient(), credentials: factory.NewFederatedIdentityCredentialsClient(),
		operations: factory.NewOperationsClient(), system: factory.NewSystemAssignedIdentitiesClient(),
		group: os.Getenv("RESOURCE_GROUP"), name: os.Getenv("NAME"),
	}, nil
}

// lookAround lists the provider's operations, and looks in vain for the
// group's system-assigned identity.
func (o *operator) lookAround(ctx context.Context) error {
	list, err := collect(ctx, o.operations.NewListPager(nil),
		func(p armmsi.OperationsClientListResponse) []*armmsi.Operation { return p.Value })
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(list, func(op *armmsi.Operation) bool {
		return *op.Name == "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write"
	}) {
		return fmt.Errorf("none of %d operations writes a federated identity credential", len(list))
	}
	scope := "/subscriptions/" + os.Getenv("SUBSCRIPTION_ID") + "/resourceGroups/" + o.group
	if _, err := o.system.GetByScope(ctx, scope, nil); !isNotFound(err) {
		return fmt.Errorf("reading a system-assigned identity: %w", errors.Join(errors.New("want 404"), err))
	}
	return nil
}

// create makes the identity, changes its tags and finds it in both lists.
func (o *operator) create(ctx context.Context) (result, error) {
	made, err := o.identities.CreateOrUpdate(ctx, o.group, o.name, armmsi.Identity{
		Location: to.Ptr("local"), Tags: map[string]*string{"made-by": to.Ptr("armmsi")},
	}, nil)
	if err != nil {
		return result{}, err
	}
	r := result{ClientID: *made.Properties.ClientID, PrincipalID: *made.Properties.PrincipalID}
	if _, err := o.identities.Update(ctx, o.group, o.name, armmsi.IdentityUpdate{Tags: map[string]*string{"stage": to.Ptr("test")}}, nil); err != nil {
		return r, err
	}
	got, err := o.identities.Get(ctx, o.group, o.name, nil)
	if err != nil {
		return r, err
	}
	if *got.Properties.ClientID != r.ClientID || *got.Location != "local" || got.Tags["stage"] == nil || *got.Tags["stage"] != "test" {
		return r, fmt.Errorf("read back: client %s, location %s, tags %v", *got.Properties.ClientID, *got.Location, got.Tags)
	}
	return r, o.listed(ctx, true)
}

// listed checks that the identity is, or is not, in the lists of its resource
// group and of its subscription.
func (o *operator) listed(ctx context.Context, want bool) error {
	inGroup, err := collect(ctx, o.identities.NewListByResourceGroupPager(o.group, nil),
		func(p armmsi.UserAssignedIdentitiesClientListByResourceGroupResponse) []*armmsi.Identity {
			return p.Value
		})
	if err != nil {
		return err
	}
	inSubscription, err := collect(ctx, o.identities.NewListBySubscriptionPager(nil),
		func(p armmsi.UserAssignedIdentitiesClientListBySubscriptionResponse) []*armmsi.Identity {
			return p.Value
		})
	if err != nil {
		return err
	}
	for where, list := range map[string][]*armmsi.Identity{"resource group": inGroup, "subscription": inSubscription} {
		if slices.ContainsFunc(list, func(i *armmsi.Identity) bool { return *i.Name == o.name }) != want {
			return fmt.Errorf("%s's list of %d identities: %s in it must be %t", where, len(list), o.name, want)
		}
	}
	return nil
}

// trust makes three credentials, the one that counts first with another
// subject, and pages through them one by one.
func (o *operator) trust(ctx context.Context) error {
	for _, c := range []struct{ name, subject string }{
		{"first", "somebody:else"}, {"second", "second"}, {"third", "third"}, {"first", os.Getenv("SUBJECT")},
	} {
		if err := o.put(ctx, c.name, c.subject); err != nil {
			return err
		}
	}
	got, err := o.credentials.Get(ctx, o.group, o.name, "first", nil)
	if err != nil {
		return err
	}
	if p := got.Properties; *p.Subject != os.Getenv("SUBJECT") || *p.Issuer != os.Getenv("ISSUER") || len(p.Audiences) != 1 {
		return fmt.Errorf("read back: issuer %s, subject %s, %d audiences", *p.Issuer, *p.Subject, len(p.Audiences))
	}
	return o.names(ctx, "first", "second", "third")
}

func (o *operator) put(ctx context.Context, name, subject string) error {
	_, err := o.credentials.CreateOrUpdate(ctx, o.group, o.name, name, armmsi.FederatedIdentityCredential{
		Properties: &armmsi.FederatedIdentityCredentialProperties{
			Issuer: to.Ptr(os.Getenv("ISSUER")), Subject: &subject, Audiences: []*string{to.Ptr("api://AzureADTokenExchange")},
		},
	}, nil)
	return err
}

// names checks the names of the identity's credentials, one on each page.
func (o *operator) names(ctx context.Context, want ...string) error {
	pages := 0
	list, err := collect(ctx, o.credentials.NewListPager(o.group, o.name, &armmsi.FederatedIdentityCredentialsClientListOptions{Top: to.Ptr[int32](1)}),
		func(p armmsi.FederatedIdentityCredentialsClientListResponse) []*armmsi.FederatedIdentityCredential {
			pages++
			return p.Value
		})
	if err != nil {
		return err
	}
	var names []string
	for _, c := range list {
		names = append(names, *c.Name)
	}
	if slices.Sort(names); !slices.Equal(names, want) || pages != len(want) {
		return fmt.Errorf("the credentials are %q on %d pages, want %q", names, pages, want)
	}
	return nil
}

// distrust deletes the credential that counts, twice as the interface allows.
func (o *operator) distrust(ctx context.Context) error {
	for range 2 {
		if _, err := o.credentials.Delete(ctx, o.group, o.name, "first", nil); err != nil {
			return err
		}
	}
	if _, err := o.credentials.Get(ctx, o.group, o.name, "first", nil); !isNotFound(err) {
		return fmt.Errorf("reading a deleted credential: %w", errors.Join(errors.New("want 404"), err))
	}
	return o.names(ctx, "second", "third")
}

func (o *operator) remove(ctx context.Context) error {
	if _, err := o.identities.Delete(ctx, o.group, o.name, nil); err != nil {
		return err
	}
	if _, err := o.identities.Get(ctx, o.group, o.name, nil); !isNotFound(err) {
		return fmt.Errorf("reading a deleted identity: %w", errors.Join(errors.New("want 404"), err))
	}
	return o.listed(ctx, false)
}

func isNotFound(err error) bool {
	var response *azcore.ResponseError
	return errors.As(err, &response) && response.StatusCode == 404 && response.ErrorCode == "ResourceNotFound"
}

// signIn is what the workload does that the identity is for.
func signIn(ctx context.Context, client string) (string, error) {
	cred, err := workloadCredential(client)
	if err != nil {
		return "", err
	}
	t, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{os.Getenv("SCOPE")}})
	return t.Token, err
}

// collect reads a list to its end.
func collect[P, V any](ctx context.Context, pager *runtime.Pager[P], values func(P) []V) ([]V, error) {
	var all []V
	for pager.More() {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, values(page)...)
	}
	return all, nil
}
