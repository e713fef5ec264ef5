package profile

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

// token makes a token of a header and a claim set; nothing here is verified,
// so that its signature may be anything.
func token(header, claims string) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(header)) + "." + enc([]byte(claims)) + "." + enc([]byte("signature"))
}

const rs256 = `{"alg":"RS256","kid":"1","typ":"JWT"}`

// now is within the life of the samples.
var now = time.Unix(1793610700, 0)

const times = `"iat":1793610627,"nbf":1793610627,"exp":1793611227`

// Claim sets as the platforms send them.
var samples = []struct {
	name, claims string
	profile      string
	parameters   given // nil: the subject has no shape that is known
	credential   string
	audience     string // default: DefaultAudience
	note         string // part of a note; "-" for none that warns
}{
	{"github environment", `{"jti":"9b1e","sub":"repo:acme/shop:environment:prod","environment":"prod","aud":"api://AzureADTokenExchange","ref":"refs/heads/main","repository":"acme/shop","repository_owner":"acme","repository_owner_id":"1234567","repository_id":"89012345","event_name":"push","ref_protected":"true","job_workflow_ref":"acme/shop/.github/workflows/deploy.yml@refs/heads/main","iss":"https://token.actions.githubusercontent.com",` + times + `}`,
		"github", given{"repo": "acme/shop", "environment": "prod"}, "github-acme-shop-prod", "", "make the credential of a new token"},
	{"github ids", `{"sub":"repo:acme@1234567/shop@89012345:ref:refs/heads/main","aud":"api://AzureADTokenExchange","ref":"refs/heads/main","repository":"acme/shop","repository_owner_id":"1234567","repository_id":"89012345","iss":"https://token.actions.githubusercontent.com",` + times + `}`,
		"github", given{"repo": "acme/shop", "owner-id": "1234567", "repo-id": "89012345", "branch": "main"}, "github-acme-shop-main", "", "-"},
	{"github ids, environment with a colon", `{"sub":"repo:acme@1/shop@2:environment:prod%3Aeu","environment":"prod:eu","aud":["api://AzureADTokenExchange"],"repository":"acme/shop","iss":"https://token.actions.githubusercontent.com",` + times + `}`,
		"github", given{"repo": "acme/shop", "owner-id": "1", "repo-id": "2", "environment": "prod%3Aeu"}, "github-acme-shop-prod-3Aeu", "", "-"},
	{"github pull request, owner's audience", `{"sub":"repo:acme/shop:pull_request","aud":"https://github.com/acme","repository":"acme/shop","ref":"refs/pull/7/merge","iss":"https://token.actions.githubusercontent.com",` + times + `}`,
		"github", given{"repo": "acme/shop", "pull-request": "true"}, "github-acme-shop-pull-request", "", "does not match; request it"},
	{"github merge queue", `{"sub":"repo:acme/shop:ref:refs/gh-readonly-queue/main/pr-7","aud":"api://AzureADTokenExchange","ref":"refs/gh-readonly-queue/main/pr-7","iss":"https://token.actions.githubusercontent.com",` + times + `}`,
		"github", given{"repo": "acme/shop", "ref": "refs/gh-readonly-queue/main/pr-7"}, "github-acme-shop-refs-gh-readonly-queue-main-pr-7", "", ""},
	{"github enterprise", `{"sub":"repo:acme/shop:ref:refs/tags/v1","aud":"api://AzureADTokenExchange","iss":"https://token.actions.githubusercontent.com/acme-corp",` + times + `}`,
		"github", given{"repo": "acme/shop", "tag": "v1", "enterprise": "acme-corp"}, "github-acme-shop-tag-v1", "", ""},
	{"github server", `{"sub":"repo:acme/shop:environment:prod","aud":"api://AzureADTokenExchange","iss":"https://ghes.acme.example/_services/token",` + times + `}`,
		"github", given{"repo": "acme/shop", "environment": "prod", "host": "ghes.acme.example"}, "github-acme-shop-prod", "", "-"},
	{"github custom with ids", `{"sub":"repository_owner_id:1234567:repository_id:89012345:ref:refs/heads/main","aud":"api://AzureADTokenExchange","repository_owner_id":"1234567","repository_id":"89012345","iss":"https://token.actions.githubusercontent.com",` + times + `}`,
		"github", nil, "github-repository_owner_id-1234567-repository_id-89012345-ref-refs-heads-main", "", "customised"},
	{"github custom without a tenant", `{"sub":"environment:prod","aud":"api://AzureADTokenExchange","repository_owner_id":"1234567","repository":"acme/shop","iss":"https://token.actions.githubusercontent.com",` + times + `}`,
		"github", nil, "github-environment-prod", "", "Others can have tokens"},
	{"github contradiction", `{"sub":"repo:acme/shop:environment:prod","environment":"prod","repository":"evil/shop","aud":"api://AzureADTokenExchange","iss":"https://token.actions.githubusercontent.com",` + times + `}`,
		"github", given{"repo": "acme/shop", "environment": "prod"}, "github-acme-shop-prod", "", `claim repository says "evil/shop"`},
	{"kubernetes", `{"aud":["api://AzureADTokenExchange"],` + times + `,"iss":"https://westeurope.oic.prod-aks.azure.com/7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77/0d9c1e2f-4d7a-4c55-9a3e-2f1d0c9b8a77/","jti":"6c2b1f0a","kubernetes.io":{"namespace":"shop","node":{"name":"aks-np-1","uid":"f0"},"pod":{"name":"api-7d9f","uid":"a1"},"serviceaccount":{"name":"api","uid":"b2"}},"sub":"system:serviceaccount:shop:api"}`,
		"kubernetes", given{"issuer": "https://westeurope.oic.prod-aks.azure.com/7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77/0d9c1e2f-4d7a-4c55-9a3e-2f1d0c9b8a77/", "namespace": "shop", "service-account": "api"}, "kubernetes-shop-api", "", "-"},
	{"kubernetes, audience of the API server", `{"aud":["https://kubernetes.default.svc.cluster.local"],` + times + `,"iss":"https://oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF","sub":"system:serviceaccount:shop:default"}`,
		"kubernetes", given{"issuer": "https://oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF", "namespace": "shop", "service-account": "default"}, "kubernetes-shop-default", "", "does not match; request it"},
	{"gitlab", `{"namespace_id":"72","namespace_path":"acme","project_id":"20","project_path":"acme/shop","user_id":"1","ref":"main","ref_type":"branch","ref_path":"refs/heads/main","ref_protected":"true","iss":"https://gitlab.com",` + times + `,"sub":"project_path:acme/shop:ref_type:branch:ref:main","aud":"api://AzureADTokenExchange"}`,
		"gitlab", given{"project": "acme/shop", "branch": "main", "host": "gitlab.com"}, "gitlab-acme-shop-main", "", "--project-id"},
	{"gitlab of one's own, ids", `{"project_id":"42","project_path":"acme/shop","ref":"v1","iss":"https://gitlab.acme.example",` + times + `,"sub":"project_id:42:ref_type:tag:ref:v1","aud":"https://sts.acme.example"}`,
		"gitlab", given{"project-id": "42", "tag": "v1", "host": "gitlab.acme.example"}, "gitlab-42-tag-v1", "https://sts.acme.example", "-"},
	{"github in the clothes of another platform", `{"sub":"system:serviceaccount:shop:api","aud":"api://AzureADTokenExchange","repository":"acme/shop","iss":"https://token.actions.githubusercontent.com",` + times + `}`,
		"github", nil, "github-system-serviceaccount-shop-api", "", "Others can have tokens"},
	{"gitlab custom", `{"iss":"https://gitlab.com",` + times + `,"project_path":"acme/shop","sub":"ref_type:branch:ref:main","aud":"api://AzureADTokenExchange"}`,
		"gitlab", nil, "gitlab-ref_type-branch-ref-main", "", "Others can have tokens"},
	{"google", `{"aud":"api://AzureADTokenExchange","azp":"108273645091827364509","email":"ci@proj.iam.gserviceaccount.com","email_verified":true,` + times + `,"iss":"https://accounts.google.com","sub":"108273645091827364509"}`,
		"google", given{"service-account-id": "108273645091827364509"}, "google-108273645091827364509", "", "-"},
	{"aws outbound", `{"aud":"api://AzureADTokenExchange","sub":"arn:aws:iam::123456789012:role/ci","iss":"https://5c0e7d1a-1f2e-4b3c-8d4e-9a8b7c6d5e4f.tokens.sts.global.api.aws",` + times + `,"https://sts.amazonaws.com/":{"aws_account":"123456789012","principal_tags":{"team":"shop"}}}`,
		"aws", given{"issuer": "https://5c0e7d1a-1f2e-4b3c-8d4e-9a8b7c6d5e4f.tokens.sts.global.api.aws", "arn": "arn:aws:iam::123456789012:role/ci"}, "aws-arn-aws-iam-123456789012-role-ci", "", "-"},
	{"cognito", `{"sub":"eu-west-1:1f2e3d4c-5b6a-4978-8695-a4b3c2d1e0f9","aud":"eu-west-1:9a8b7c6d-5e4f-4a3b-8c2d-1e0f9a8b7c6d","amr":["authenticated","login.acme.ci"],"iss":"https://cognito-identity.amazonaws.com",` + times + `}`,
		"aws", given{"identity-id": "eu-west-1:1f2e3d4c-5b6a-4978-8695-a4b3c2d1e0f9", "identity-pool-id": "eu-west-1:9a8b7c6d-5e4f-4a3b-8c2d-1e0f9a8b7c6d"}, "cognito-eu-west-1-1f2e3d4c-5b6a-4978-8695-a4b3c2d1e0f9", "eu-west-1:9a8b7c6d-5e4f-4a3b-8c2d-1e0f9a8b7c6d", "-"},
	{"spiffe without iat", `{"aud":["api://AzureADTokenExchange"],"exp":1793610927,"iss":"https://oidc.td.example","sub":"spiffe://td.example/ns/shop/sa/api"}`,
		"spiffe", given{"issuer": "https://oidc.td.example", "spiffe-id": "spiffe://td.example/ns/shop/sa/api"}, "spiffe-td-example-ns-shop-sa-api", "", "issued_at_optional"},
	{"azure pipelines", `{"jti":"x","sub":"sc://acme/My Shop/prod","aud":"api://AzureADTokenExchange","iss":"https://vstoken.dev.azure.com/5c0e7d1a-1f2e-4b3c-8d4e-9a8b7c6d5e4f",` + times + `}`,
		"azure-pipelines", given{"organization-id": "5c0e7d1a-1f2e-4b3c-8d4e-9a8b7c6d5e4f", "organization": "acme", "project": "My Shop", "service-connection": "prod"}, "azure-pipelines-acme-My-Shop-prod", "", "retires"},
	{"azure pipelines, new issuer", `{"sub":"/eid1/c/pub/t/Dr8bekpN/a/Gh4kHK6m/5f0c","aud":"api://AzureADTokenExchange","tid":"7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77","iss":"https://login.microsoftonline.com/7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77/v2.0",` + times + `}`,
		"azure-pipelines", given{"tenant-id": "7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77", "federation-subject": "/eid1/c/pub/t/Dr8bekpN/a/Gh4kHK6m/5f0c"}, "azure-pipelines-eid1-c-pub-t-Dr8bekpN-a-Gh4kHK6m-5f0c", "", "-"},
	{"managed identity of Entra", `{"sub":"9d2e3f40-1f2e-4b3c-8d4e-9a8b7c6d5e4f","oid":"9d2e3f40-1f2e-4b3c-8d4e-9a8b7c6d5e4f","aud":"fb60f99c-7a34-4190-8149-302f77469936","tid":"7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77","iss":"https://login.microsoftonline.com/7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77/v2.0",` + times + `}`,
		"other", given{"issuer": "https://login.microsoftonline.com/7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77/v2.0", "subject": "9d2e3f40-1f2e-4b3c-8d4e-9a8b7c6d5e4f"}, "9d2e3f40-1f2e-4b3c-8d4e-9a8b7c6d5e4f", "fb60f99c-7a34-4190-8149-302f77469936", "-"},
	{"terraform", `{"aud":"aws.workload.identity","iss":"https://app.terraform.io",` + times + `,"sub":"organization:acme:project:Default Project:workspace:shop-prod:run_phase:plan","terraform_organization_id":"org-1","terraform_organization_name":"acme","terraform_workspace_name":"shop-prod","terraform_run_phase":"plan"}`,
		"terraform-cloud", given{"organization": "acme", "project": "Default Project", "workspace": "shop-prod", "run-phase": "plan", "host": "app.terraform.io"}, "terraform-acme-shop-prod-plan", "", "Speculative"},
	{"buildkite", `{"iss":"https://agent.buildkite.com","sub":"organization:acme:pipeline:shop:ref:refs/heads/main:commit:9f3182061f1e2cca4702c368cbc039b7dc9d4485:step:deploy","aud":"api://AzureADTokenExchange",` + times + `,"organization_slug":"acme","pipeline_slug":"shop","build_commit":"9f3182061f1e2cca4702c368cbc039b7dc9d4485","step_key":"deploy"}`,
		"buildkite", given{"organization": "acme", "pipeline": "shop", "ref": "refs/heads/main", "commit": "9f3182061f1e2cca4702c368cbc039b7dc9d4485", "step": "deploy"}, "buildkite-acme-shop-deploy", "", "no other"},
	{"buildkite by id", `{"iss":"https://agent.buildkite.com","sub":"0184990a-477b-4fa8-9968-496074483c12","pipeline_id":"0184990a-477b-4fa8-9968-496074483c12","aud":"api://AzureADTokenExchange",` + times + `}`,
		"buildkite", given{"pipeline-id": "0184990a-477b-4fa8-9968-496074483c12"}, "buildkite-0184990a-477b-4fa8-9968-496074483c12", "", "-"},
	{"buildkite without a step", `{"iss":"https://agent.buildkite.com","sub":"organization:acme:pipeline:shop:ref:refs/heads/main:commit:9f3182061f1e2cca4702c368cbc039b7dc9d4485:step:","organization_slug":"acme","aud":"api://AzureADTokenExchange","step_key":null,` + times + `}`,
		"buildkite", nil, "buildkite-organization-acme-pipeline-shop-ref-refs-heads-main-commit-9f3182061f1e2cca4702c368cbc039b7dc9d4485-step", "", "customised"},
	{"circleci", `{"aud":"` + guidA + `","iss":"https://oidc.circleci.com/org/` + guidA + `","sub":"org/` + guidA + `/project/` + guidB + `/user/` + guidC + `","oidc.circleci.com/project-id":"` + guidB + `",` + times + `}`,
		"circleci", given{"org-id": guidA, "project-id": guidB, "user-id": guidC}, "circleci-" + guidB + "-" + guidC, guidA, "each user"},
	{"circleci v2", `{"aud":"api://AzureADTokenExchange","iss":"https://oidc.circleci.com/org/` + guidA + `","sub":"org/` + guidA + `/project/` + guidB + `/user/` + guidC + `/vcs-origin/github.com/acme/shop/vcs-ref/refs/heads/main",` + times + `}`,
		"circleci", given{"org-id": guidA, "project-id": guidB, "user-id": guidC, "vcs-origin": "github.com/acme/shop", "vcs-ref": "refs/heads/main"}, "circleci-" + guidB + "-refs-heads-main", "", "each user"},
	{"circleci of another organization", `{"aud":"x","iss":"https://oidc.circleci.com/org/` + guidB + `","sub":"org/` + guidA + `/project/` + guidB + `/user/` + guidC + `",` + times + `}`,
		"circleci", nil, fitName("circleci-org/" + guidA + "/project/" + guidB + "/user/" + guidC), "x", "customised"},
	{"other", `{"iss":"https://idp.example.net","sub":"build agent 7","aud":["first","second"],` + times + `}`,
		"other", given{"issuer": "https://idp.example.net", "subject": "build agent 7"}, "build-agent-7", "first", "2 audiences"},
	{"other, audience of AWS", `{"iss":"https://idp.example.net","sub":"x","aud":"sts.amazonaws.com",` + times + `}`,
		"other", given{"issuer": "https://idp.example.net", "subject": "x"}, "credential-x", "", "other services take"},
}

func TestRecognize(t *testing.T) {
	for _, s := range samples {
		c, err := ParseToken(" " + token(rs256, s.claims) + "\n")
		if err != nil {
			t.Errorf("%s: %v", s.name, err)
			continue
		}
		out, err := Recognize(c, now)
		if err != nil {
			t.Errorf("%s: %v", s.name, err)
			continue
		}
		if out.Profile.Name != s.profile || !same(out.Parameters, s.parameters) {
			t.Errorf("%s: %s %v, want %s %v", s.name, out.Profile.Name, out.Parameters, s.profile, s.parameters)
		}
		if s.audience == "" {
			s.audience = DefaultAudience
		}
		got := out.Credential
		if got.Issuer != c.Issuer || got.Subject != c.Subject || got.Name != s.credential || got.Audiences[0] != s.audience || len(got.Audiences) != 1 {
			t.Errorf("%s: %+v, want name %q, audience %q", s.name, got, s.credential, s.audience)
		}
		warnings := texts(out.Notes, Warning) + texts(out.Notes, Block)
		if s.note == "-" && warnings != "" || s.note != "-" && !strings.Contains(warnings, s.note) {
			t.Errorf("%s: notes %q, want %q", s.name, warnings, s.note)
		}
		if blocked := texts(out.Notes, Block) != ""; blocked != strings.Contains(s.note, "Others can") {
			t.Errorf("%s: blocked: %v", s.name, blocked)
		}
	}
}

func same(a map[string]string, b given) bool {
	if len(a) != len(b) || (a == nil) != (b == nil) {
		return false
	}
	for k, v := range b {
		if a[k] != v {
			return false
		}
	}
	return true
}

func TestNoToken(t *testing.T) {
	good := samples[0].claims
	for name, c := range map[string]struct{ text, want string }{
		"empty":               {" \n", "empty"},
		"JSON answer":         {`{"count":4211,"value":"eyJ"}`, ".value"},
		"GitHub access token": {"ghs_0123456789", "id-token: write"},
		"GitLab access token": {"glpat-0123456789", "id_tokens"},
		"Google access token": {"ya29.a0Af.x", "identity endpoint"},
		"key":                 {"-----BEGIN PRIVATE KEY-----\nx", "key or certificate"},
		"bearer":              {"Bearer " + token(rs256, good), "leave out"},
		"two tokens":          {token(rs256, good) + "\n" + token(rs256, good), "white space within"},
		"JWE":                 {"a.b.c.d.e", "encrypted"},
		"one part":            {"c2VjcmV0", "1 parts"},
		"unsigned":            {"a.b", "2 parts"},
		"not base64":          {"a!.b.c", "no signed JWT"},
		"payload no JSON":     {token(rs256, "secret"), "cannot be read"},
		"payload a list":      {token(rs256, "[]"), "cannot be read"},
		"sub twice":           {token(rs256, `{"sub":"a","sub":"b"}`), "cannot be read"},
		"no iss":              {token(rs256, `{"sub":"spiffe://td/x","aud":"x"}`), "jwt_issuer"},
		"iss a number":        {token(rs256, `{"iss":7,"sub":"x","aud":"x"}`), "is no string"},
		"no sub":              {token(rs256, `{"iss":"https://a.example","aud":"x"}`), "no sub claim"},
		"no aud":              {token(rs256, `{"iss":"https://a.example","sub":"x"}`), "no aud claim"},
		"aud a number":        {token(rs256, `{"iss":"https://a.example","sub":"x","aud":7}`), "neither a string nor a list"},
	} {
		_, err := ParseToken(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), "c2ln") || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "c2VjcmV0")) {
			t.Errorf("%s: the error holds a part of the input: %v", name, err)
		}
	}
}

func TestTokensNobodyAccepts(t *testing.T) {
	base := `{"iss":"https://a.example","sub":"x","aud":"api://AzureADTokenExchange"`
	for name, c := range map[string]struct{ header, claims, want string }{
		"expired":        {rs256, base + `,"iat":1,"exp":2}`, "has expired"},
		"no exp":         {rs256, base + `}`, "no exp claim"},
		"long":           {rs256, base + `,"iat":1793610627,"exp":1793800000}`, "longer than 25 hours"},
		"text as a time": {rs256, base + `,"iat":"1","exp":2}`, "no numbers"},
		"look-alike":     {rs256, `{"iss":"https://a.example","sub":"аcme","aud":"api://AzureADTokenExchange",` + times + `}`, `\u0430`},
		"HS256":          {`{"alg":"HS256"}`, base + `,` + times + `}`, "HS256"},
	} {
		claims, err := ParseToken(token(c.header, c.claims))
		if err != nil {
			t.Fatal(err)
		}
		out, err := Recognize(claims, now)
		if err != nil || !strings.Contains(texts(out.Notes, Warning)+texts(out.Notes, Info), c.want) {
			t.Errorf("%s: %v, %v; want %q", name, err, out.Notes, c.want)
		}
	}
	for claims, want := range map[string]string{
		`{"iss":"kubernetes/serviceaccount","sub":"system:serviceaccount:shop:api","aud":"x"}`:               "kubectl create token",
		`{"iss":"accounts.google.com","sub":"1","aud":"x"}`:                                                  "must be a URL",
		`{"iss":"https://a.example","sub":"` + strings.Repeat("x", 601) + `","aud":"x"}`:                     "at most 600",
		`{"iss":"https://a.example","sub":"a\u0000b","aud":"x"}`:                                             "control character",
		`{"iss":"https://a.example ","sub":"x","aud":"x"}`:                                                   "white space",
		`{"iss":"https://a.example","sub":"x","aud":"` + strings.Repeat("x", 601) + `"}`:                     "at most 600",
		`{"iss":"https://token.actions.githubusercontent.com","sub":"repo:acme/shop:ref:\u2028","aud":"\t"}`: "control character",
	} {
		c, err := ParseToken(token(rs256, claims))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Recognize(c, now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", claims, err, want)
		}
	}
}

// Whatever a token says: the proposal is for this token and nothing else, and
// what it is made of makes it again.
func FuzzRecognize(f *testing.F) {
	for _, s := range samples {
		f.Add(s.claims)
	}
	f.Fuzz(func(t *testing.T, claims string) {
		c, err := ParseToken(token(rs256, claims))
		if err != nil {
			return
		}
		out, err := Recognize(c, now)
		if err != nil {
			return
		}
		got := out.Credential
		if got.Issuer != c.Issuer || got.Subject != c.Subject {
			t.Fatalf("proposed %q %q for %q %q", got.Issuer, got.Subject, c.Issuer, c.Subject)
		}
		if err := Validate(&got); err != nil {
			t.Fatalf("%q: %v", claims, err)
		}
		if len(got.Audiences) != 1 {
			t.Fatalf("audiences %q", got.Audiences)
		}
		if out.Parameters == nil {
			return
		}
		again, err := out.Profile.Propose(out.Parameters)
		if err != nil || again.Credential.Issuer != c.Issuer || again.Credential.Subject != c.Subject || again.Credential.Name != got.Name {
			t.Fatalf("%v made %+v (%v), not %+v", out.Parameters, again.Credential, err, got)
		}
	})
}

// FuzzParseToken reads any text as a token.
func FuzzParseToken(f *testing.F) {
	for _, s := range samples {
		f.Add(token(rs256, s.claims))
	}
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseToken(text)
		if err == nil && (c.Issuer == "" || c.Subject == "" || len(c.Audiences) == 0) {
			t.Fatalf("%q: %+v", text, c)
		}
	})
}
