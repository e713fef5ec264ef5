package workload

import (
	"context"
	"net/http"
	"net/url"
)

func githubPlatform() Platform {
	return Platform{
		Name: "github-actions", Title: "GitHub Actions", Level: Job,
		Find: func(e Environment) (bool, string) {
			switch {
			case e.Env("ACTIONS_ID_TOKEN_REQUEST_URL") != "":
				return true, "ACTIONS_ID_TOKEN_REQUEST_URL is set"
			case e.Env("GITHUB_ACTIONS") != "":
				return true, "GITHUB_ACTIONS is set, but not ACTIONS_ID_TOKEN_REQUEST_URL"
			}
			return false, "neither ACTIONS_ID_TOKEN_REQUEST_URL nor GITHUB_ACTIONS is set"
		},
		Source: func(e Environment) Source {
			return func(ctx context.Context, audience string) (string, error) { return githubToken(ctx, e, audience) }
		},
	}
}

// githubToken asks the runner's token endpoint, whose URL has a query already,
// as GitHub's own toolkit does.
func githubToken(ctx context.Context, e Environment, audience string) (string, error) {
	endpoint, bearer := e.Env("ACTIONS_ID_TOKEN_REQUEST_URL"), e.Env("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
	if endpoint == "" || bearer == "" {
		return "", Settingsf("this job of GitHub Actions may not obtain a token: give the job (or the workflow) `permissions:` with `id-token: write` and, as naming one takes the others away, `contents: read`; a reusable workflow needs it from its caller too, and pull requests from forks never have it")
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", Settingsf("ACTIONS_ID_TOKEN_REQUEST_URL is no URL")
	}
	query := u.Query()
	query.Set("audience", audience)
	u.RawQuery = query.Encode()
	return askPlatform(ctx, e, platformRequest{
		platform: "GitHub Actions", method: http.MethodGet, url: u.String(), member: "value",
		header: http.Header{"Authorization": {"Bearer " + bearer}, "Accept": {"application/json"}},
		hints: map[int]string{
			http.StatusUnauthorized: "the job's request token is not accepted (any more): it ends with the job",
			http.StatusForbidden:    "the job may not obtain a token: give it `permissions: id-token: write`",
		},
	})
}
