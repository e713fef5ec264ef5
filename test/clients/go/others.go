package main

import (
	"context"
	"net/url"
	"os"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// msal is MSAL for Go's confidential client.
func msal(ctx context.Context) (result, error) {
	cred := confidential.NewCredFromAssertionCallback(
		func(ctx context.Context, _ confidential.AssertionRequestOptions) (string, error) { return token(ctx) })
	client, err := confidential.New(os.Getenv("BASE_URL")+"/"+os.Getenv("TENANT_ID"), os.Getenv("CLIENT_ID"), cred,
		confidential.WithInstanceDiscovery(!set("DISABLE_INSTANCE_DISCOVERY")))
	if err != nil {
		return result{}, err
	}
	first, err := client.AcquireTokenByCredential(ctx, []string{os.Getenv("SCOPE")})
	if err != nil {
		return result{}, err
	}
	second, err := client.AcquireTokenByCredential(ctx, []string{os.Getenv("SCOPE")})
	return result{AccessToken: first.AccessToken, Cached: first.AccessToken == second.AccessToken}, err
}

// clientCredentials is golang.org/x/oauth2/clientcredentials with an RFC 7523
// client assertion, at whatever TOKEN_URL says. RESOURCE makes it a request of
// the v1 endpoint's shape.
func clientCredentials(ctx context.Context) (result, error) {
	assertion, err := token(ctx)
	if err != nil {
		return result{}, err
	}
	c := clientcredentials.Config{
		ClientID:  os.Getenv("CLIENT_ID"),
		TokenURL:  os.Getenv("TOKEN_URL"),
		AuthStyle: oauth2.AuthStyleInParams,
		EndpointParams: url.Values{
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
			"client_assertion":      {assertion},
		},
	}
	if resource := os.Getenv("RESOURCE"); resource != "" {
		c.EndpointParams.Set("resource", resource)
	} else {
		c.Scopes = []string{os.Getenv("SCOPE")}
	}
	if set("AUTO_DETECT") {
		c.AuthStyle = oauth2.AuthStyleAutoDetect
	}
	t, err := c.Token(ctx)
	if err != nil {
		return result{}, err
	}
	return result{AccessToken: t.AccessToken}, nil
}

// verify is go-oidc as a resource server: everything it knows of ISSUER comes
// from discovery.
func verify(ctx context.Context) (result, error) {
	provider, err := oidc.NewProvider(ctx, os.Getenv("ISSUER"))
	if err != nil {
		return result{}, err
	}
	t, err := provider.VerifierContext(ctx, &oidc.Config{ClientID: os.Getenv("AUDIENCE")}).Verify(ctx, os.Getenv("ACCESS_TOKEN"))
	if err != nil {
		return result{}, err
	}
	return result{Subject: t.Subject}, nil
}
