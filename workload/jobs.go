package workload

import (
	"context"
	"net/http"
	"net/url"
	"os/exec"

	"github.com/go-json-experiment/json"
)

func pipelinesPlatform() Platform {
	return Platform{
		Name: "azure-pipelines", Title: "Azure Pipelines", Level: Job,
		Find: func(e Environment) (bool, string) {
			switch {
			case e.Env("SYSTEM_OIDCREQUESTURI") != "":
				return true, "SYSTEM_OIDCREQUESTURI is set"
			case e.Env("TF_BUILD") != "":
				return true, "TF_BUILD is set, but not SYSTEM_OIDCREQUESTURI"
			}
			return false, "neither SYSTEM_OIDCREQUESTURI nor TF_BUILD is set"
		},
		Source: func(e Environment) Source {
			return func(ctx context.Context, audience string) (string, error) { return pipelinesToken(ctx, e, audience) }
		},
	}
}

// pipelinesToken asks for the token of a service connection, as azidentity
// does. The audience is only sent when it is not what the service gives anyway.
func pipelinesToken(ctx context.Context, e Environment, audience string) (string, error) {
	endpoint, bearer := e.Env("SYSTEM_OIDCREQUESTURI"), e.Env("SYSTEM_ACCESSTOKEN")
	connection := e.Env("CAMBIO_SERVICE_CONNECTION_ID")
	if connection == "" {
		connection = e.Env("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID")
	}
	switch {
	case endpoint == "":
		return "", Settingsf("SYSTEM_OIDCREQUESTURI is not set: this agent of Azure Pipelines gives no tokens to jobs; it is too old, or the step runs in a container without the variables of the job")
	case bearer == "":
		return "", Settingsf("SYSTEM_ACCESSTOKEN is not set: map it in the step with `env: {SYSTEM_ACCESSTOKEN: $(System.AccessToken)}`, as Azure Pipelines gives it to no script by itself")
	case connection == "":
		return "", Settingsf("the service connection is not known: run the step with AzureCLI@2 or AzurePowerShell@5, which set AZURESUBSCRIPTION_SERVICE_CONNECTION_ID, or set CAMBIO_SERVICE_CONNECTION_ID to its id")
	}
	query := url.Values{"api-version": {"7.1"}, "serviceConnectionId": {connection}}
	if audience != DefaultAudience {
		query.Set("audience", audience)
	}
	const refused = "the job's access token is not accepted; is SYSTEM_ACCESSTOKEN mapped to $(System.AccessToken), and of this job?"
	return askPlatform(ctx, e, platformRequest{
		platform: "Azure Pipelines", method: http.MethodPost, url: endpoint + "?" + query.Encode(), member: "oidcToken",
		header: http.Header{"Authorization": {"Bearer " + bearer}, "Content-Type": {"application/json"}, "Accept": {"application/json"},
			"X-TFS-FedAuthRedirect": {"Suppress"}}, // or it answers with a page to sign in
		hints: map[int]string{
			http.StatusFound:        refused,
			http.StatusUnauthorized: refused,
			http.StatusForbidden:    "the pipeline may not use the service connection " + connection + ": permit it under Project settings, Service connections, Security",
			http.StatusNotFound:     "there is no service connection " + connection + " in this project, or it is not one of workload identity federation",
		},
	})
}

// given is a platform that hands its token to the job in a variable.
func given(name, title, mark, missing string, variables ...string) Platform {
	first := func(e Environment) string {
		for _, v := range variables {
			if e.Env(v) != "" {
				return v
			}
		}
		return ""
	}
	return Platform{
		Name: name, Title: title, Level: Job,
		Find: func(e Environment) (bool, string) {
			if v := first(e); v != "" && e.Env(mark) != "" {
				return true, mark + " and " + v + " are set"
			}
			if e.Env(mark) != "" {
				return true, mark + " is set, but no variable with a token"
			}
			return false, mark + " is not set"
		},
		Source: func(e Environment) Source {
			return func(context.Context, string) (string, error) {
				v := first(e)
				if v == "" {
					return "", Settingsf("%s", missing)
				}
				return oneToken([]byte(e.Env(v)), "the variable "+v)
			}
		},
	}
}

func gitlabPlatform() Platform {
	return given("gitlab", "GitLab CI", "GITLAB_CI",
		"this job of GitLab CI has no token: give it `id_tokens: {CAMBIO_ID_TOKEN: {aud: \""+DefaultAudience+"\"}}`; for a variable of another name, --variable NAME",
		"CAMBIO_ID_TOKEN", "GITLAB_OIDC_TOKEN")
}

func terraformPlatform() Platform {
	return given("terraform-cloud", "HCP Terraform", "TFC_RUN_ID",
		"this run of HCP Terraform has no token: set the environment variable TFC_WORKLOAD_IDENTITY_AUDIENCE of the workspace to "+DefaultAudience+"; with a tag, name its variable with --variable TFC_WORKLOAD_IDENTITY_TOKEN_TAG",
		"TFC_WORKLOAD_IDENTITY_TOKEN")
}

func circlePlatform() Platform {
	p := given("circleci", "CircleCI", "CIRCLECI", "", "CIRCLE_OIDC_TOKEN_V2", "CIRCLE_OIDC_TOKEN")
	p.Source = func(e Environment) Source {
		return func(ctx context.Context, audience string) (string, error) { return circleToken(ctx, e, audience) }
	}
	return p
}

// circleToken asks the program that CircleCI puts into each job, as the token
// in the variables has the organization's id as its audience.
func circleToken(ctx context.Context, e Environment, audience string) (string, error) {
	if e.Env("CIRCLE_OIDC_TOKEN_V2") == "" && e.Env("CIRCLE_OIDC_TOKEN") == "" {
		return "", Settingsf("this job of CircleCI has no token: give it a context (`context:` in the workflow), without which CircleCI makes none")
	}
	program, err := exec.LookPath("circleci")
	if err != nil {
		return "", Settingsf("the program circleci, which obtains a token for the audience %s, is not on the PATH; use the token for your organization with --variable CIRCLE_OIDC_TOKEN_V2, and its id as the audience of the credential", audience)
	}
	claims, err := json.Marshal(map[string]string{"aud": audience})
	if err != nil {
		return "", err
	}
	return runForToken(ctx, program, "run", "oidc", "get", "--claims", string(claims))
}

func buildkitePlatform() Platform {
	return Platform{
		Name: "buildkite", Title: "Buildkite", Level: Job,
		Find: func(e Environment) (bool, string) {
			if e.Env("BUILDKITE") != "" && e.Env("BUILDKITE_JOB_ID") != "" {
				return true, "BUILDKITE and BUILDKITE_JOB_ID are set"
			}
			return false, "BUILDKITE is not set"
		},
		Source: func(e Environment) Source {
			return func(ctx context.Context, audience string) (string, error) { return buildkiteToken(ctx, e, audience) }
		},
	}
}

// buildkiteToken asks what `buildkite-agent oidc request-token` asks, so that
// containers without that program obtain tokens too.
func buildkiteToken(ctx context.Context, e Environment, audience string) (string, error) {
	endpoint, job, access := e.Env("BUILDKITE_AGENT_ENDPOINT"), e.Env("BUILDKITE_JOB_ID"), e.Env("BUILDKITE_AGENT_ACCESS_TOKEN")
	if endpoint == "" {
		endpoint = "https://agent.buildkite.com/v3"
	}
	if job == "" || access == "" {
		return "", Settingsf("BUILDKITE_JOB_ID or BUILDKITE_AGENT_ACCESS_TOKEN is not set: pass both, and BUILDKITE_AGENT_ENDPOINT, into the container of the step (`propagate-environment: true` of the docker plugin)")
	}
	body, err := json.Marshal(map[string]string{"audience": audience})
	if err != nil {
		return "", err
	}
	return askPlatform(ctx, e, platformRequest{
		platform: "Buildkite", method: http.MethodPost, url: endpoint + "/jobs/" + url.PathEscape(job) + "/oidc/tokens", body: body, member: "token",
		header: http.Header{"Authorization": {"Token " + access}, "Content-Type": {"application/json"}, "Accept": {"application/json"}},
		hints: map[int]string{
			http.StatusUnauthorized:        "the agent's access token is not accepted",
			http.StatusUnprocessableEntity: "the job may not obtain a token now: only a running job can",
		},
	})
}
