package profile

import (
	"strings"
	"testing"
)

func TestReview(t *testing.T) {
	const gh = "https://token.actions.githubusercontent.com"
	for _, c := range []struct{ issuer, subject, want string }{
		{gh, "repo:acme/shop:ref:refs/heads/main", ""},
		{gh, "repo:acme@1/shop@2:environment:prod", ""},
		{gh + "/acme-corp", "repo:acme/shop:pull_request", ""},
		{gh, "", ""},
		{gh + "/", "repo:acme/shop:ref:refs/heads/main", "is " + gh + ", without a slash"},
		{gh, "repo:acme/shop:ref:refs/heads/main ", "white space"},
		{gh, "repo:acme/*", "no wildcards"},
		{gh, "acme/shop", "GitHub Actions gives subjects of other shapes"},
		{gh, "repo:acme/shop:pull-request", "repo:{repo}:pull_request"},
		{"https://gitlab.com", "project_path:acme/shop:ref_type:branch:ref:main", ""},
		{"https://gitlab.com/", "project_path:acme/shop:ref_type:branch:ref:main", "without a slash"},
		{"https://accounts.google.com", "ci@proj.iam.gserviceaccount.com", "Google Cloud gives subjects of other shapes"},
		{"https://oidc.example.net/", "anything at all", ""},
		{"https://ghes.example/_services/token", "repo:acme/shop:environment:prod", ""},
		{"https://agent.buildkite.com", "0184990a-477b-4fa8-9968-496074483c12", ""},
		{"https://cognito-identity.amazonaws.com", "eu-west-1:1f2e3d4c-5b6a-4978-8695-a4b3c2d1e0f9", ""},
		{"https://5c0e7d1a.tokens.sts.global.api.aws", "arn:aws:iam::123456789012:role/ci", ""},
	} {
		var got []string
		for _, n := range Review(c.issuer, c.subject) {
			got = append(got, n.Text)
		}
		if text := strings.Join(got, "\n"); (text == "") != (c.want == "") || !strings.Contains(text, c.want) {
			t.Errorf("%s %q: %q; want %q", c.issuer, c.subject, text, c.want)
		}
	}
}
