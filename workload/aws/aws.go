// Package aws obtains the tokens of workloads in AWS, for cambio/workload: of
// outbound identity federation (STS GetWebIdentityToken) and of Cognito
// identity pools. It needs the AWS SDK, which finds credentials, region,
// endpoints, proxies and certificate authorities (AWS_CA_BUNDLE) in the
// process's own environment.
package aws

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentity"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"cambio/workload"
)

// vendorFile is what the firmware of the machine says of its maker.
const vendorFile = "/sys/class/dmi/id/sys_vendor"

// marks are variables that AWS sets where it gives a role.
var marks = []string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_LAMBDA_FUNCTION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ACCESS_KEY_ID"}

// Variables of the source aws-cognito.
const (
	poolVariable  = "CAMBIO_COGNITO_IDENTITY_POOL_ID"
	loginVariable = "CAMBIO_COGNITO_LOGIN"
)

// Platforms are aws-cognito, which CAMBIO_COGNITO_IDENTITY_POOL_ID and
// CAMBIO_COGNITO_LOGIN choose, and aws, for any principal of AWS.
func Platforms() []workload.Platform {
	return []workload.Platform{
		{
			Name: "aws-cognito", Title: "an AWS Cognito identity pool", Level: workload.Given,
			Find: func(e workload.Environment) (bool, string) {
				if e.Env(poolVariable) == "" {
					return false, poolVariable + " is not set"
				}
				return true, poolVariable + " is set"
			},
			Source: func(e workload.Environment) workload.Source {
				return func(ctx context.Context, _ string) (string, error) { return fromCognito(ctx, e) }
			},
		},
		{
			Name: "aws", Title: "AWS", Level: workload.Machine, Find: find,
			Source: func(workload.Environment) workload.Source { return fromSTS },
		},
	}
}

func find(e workload.Environment) (bool, string) {
	for _, name := range marks {
		if e.Env(name) != "" {
			return true, name + " is set"
		}
	}
	if raw, err := e.Read(vendorFile); err == nil && strings.HasPrefix(string(raw), "Amazon") {
		return true, "the machine is one of Amazon's (" + vendorFile + ")"
	}
	return false, "none of " + strings.Join(marks, ", ") + " is set and the machine is not one of Amazon's"
}

func load(ctx context.Context) (sdk.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithEC2IMDSRegion())
	if err != nil {
		return cfg, workload.Settingsf("the configuration of AWS cannot be loaded; outside of EC2 set AWS_REGION: %w", err)
	}
	return cfg, nil
}

// fromSTS asks the regional endpoint of STS, signed with SigV4, for a token
// that lives for five minutes. RS256 is what every authority accepts.
func fromSTS(ctx context.Context, audience string) (string, error) {
	cfg, err := load(ctx)
	if err != nil {
		return "", err
	}
	out, err := sts.NewFromConfig(cfg).GetWebIdentityToken(ctx, &sts.GetWebIdentityTokenInput{
		Audience: []string{audience}, SigningAlgorithm: sdk.String("RS256"), DurationSeconds: sdk.Int32(300)})
	if err != nil {
		return "", explain("AWS STS", "sts:GetWebIdentityToken", err)
	}
	return sdk.ToString(out.WebIdentityToken), nil
}

// fromCognito asks for the token of a user of the developer's own provider. Its
// audience is the pool's id, whatever is asked for.
func fromCognito(ctx context.Context, e workload.Environment) (string, error) {
	pool := e.Env(poolVariable)
	provider, user, ok := strings.Cut(e.Env(loginVariable), "=")
	if pool == "" || !ok || provider == "" || user == "" {
		return "", workload.Settingsf("the source aws-cognito needs %s (region:guid) and %s (PROVIDER=USER, as in login.acme.ci=build)", poolVariable, loginVariable)
	}
	cfg, err := load(ctx)
	if err != nil {
		return "", err
	}
	if region, _, ok := strings.Cut(pool, ":"); ok {
		cfg.Region = region
	}
	out, err := cognitoidentity.NewFromConfig(cfg).GetOpenIdTokenForDeveloperIdentity(ctx, &cognitoidentity.GetOpenIdTokenForDeveloperIdentityInput{
		IdentityPoolId: &pool, Logins: map[string]string{provider: user}, TokenDuration: sdk.Int64(900)})
	if err != nil {
		return "", explain("AWS Cognito", "cognito-identity:GetOpenIdTokenForDeveloperIdentity", err)
	}
	return sdk.ToString(out.Token), nil
}

// explain says what is missing, if that can be told.
func explain(service, action string, err error) error {
	var api smithy.APIError
	var unreachable net.Error
	refused := &workload.PlatformError{Platform: service}
	switch {
	case errors.As(err, &api) && strings.HasPrefix(api.ErrorCode(), "OutboundWebIdentityFederationDisabled"):
		refused.Hint = "outbound identity federation is off in this account: `aws iam enable-outbound-web-identity-federation` turns it on, once, and prints the account's issuer"
	case errors.As(err, &api) && strings.HasPrefix(api.ErrorCode(), "AccessDenied"):
		refused.Hint = "the role may not call it: permit " + action + " in a policy of the role"
	case errors.As(err, &api) && strings.HasPrefix(api.ErrorCode(), "ExpiredToken"):
		refused.Hint = "the credentials of AWS have expired"
	case errors.As(err, &api):
	case errors.As(err, &unreachable):
		return fmt.Errorf("%s gave no token: its endpoint cannot be reached: %w", service, unreachable)
	default:
		return workload.Settingsf("%s gave no token: %w; has this workload a role, or credentials of AWS?", service, err)
	}
	if api != nil {
		refused.Answer = api.ErrorCode() + ": " + api.ErrorMessage()
	}
	return refused
}
