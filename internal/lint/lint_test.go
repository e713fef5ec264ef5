package lint

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"cambio/internal/directory"
)

const (
	gh      = "https://token.actions.githubusercontent.com"
	gitlab  = "https://gitlab.com"
	cluster = "https://k8s.example.net"
)

var now = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// sub and exp make credentials; roles go to the client.
func sub(issuer, subject string) directory.FederatedIdentityCredential {
	return directory.FederatedIdentityCredential{Name: "c", Issuer: issuer, Subject: subject, Audiences: []string{"api://AzureADTokenExchange"}}
}

func exp(issuer string, terms ...string) directory.FederatedIdentityCredential {
	c := sub(issuer, "")
	c.Expression = &directory.ClaimsMatchingExpression{Value: strings.Join(terms, " and "), LanguageVersion: 1}
	return c
}

func aud(audience string) directory.FederatedIdentityCredential {
	c := sub(cluster, "system:serviceaccount:shop:api")
	c.Audiences = []string{audience}
	return c
}

func eq(claim, text string) string    { return "claims['" + claim + "'] eq '" + text + "'" }
func match(claim, text string) string { return "claims['" + claim + "'] matches '" + text + "'" }

type example struct {
	credential directory.FederatedIdentityCredential
	roles      []string
	with       func(*Input) // further facts
	level      Level        // that it must have; empty: that of the rule
}

func (e example) input() *Input {
	in := &Input{Now: now, Own: []string{"https://sts.example.net/"}, Clients: []Client{{ID: "client", Name: "client", Credentials: []Credential{{FederatedIdentityCredential: e.credential}}}}}
	for _, r := range e.roles {
		in.Clients[0].Roles = append(in.Clients[0].Roles, Role{"orders", r})
	}
	if e.with != nil {
		e.with(in)
	}
	return in
}

func other(role string, c directory.FederatedIdentityCredential) func(*Input) {
	return func(in *Input) {
		in.Clients = append(in.Clients, Client{Name: "other", Credentials: []Credential{{FederatedIdentityCredential: c}}, Roles: []Role{{"orders", role}}})
	}
}

func beside(c directory.FederatedIdentityCredential) func(*Input) {
	c.Name = "beside"
	return func(in *Input) {
		in.Clients[0].Credentials = append(in.Clients[0].Credentials, Credential{FederatedIdentityCredential: c})
	}
}

func issuer(i Issuer) func(*Input) {
	i.Name = cluster
	return func(in *Input) { in.Issuers = []Issuer{i} }
}

func usage(u Usage) func(*Input) {
	u.Client, u.Credential = "client", "c"
	return func(in *Input) { in.Usage = []Usage{u} }
}

func used(claims ...ClaimUse) func(*Input) {
	return usage(Usage{Since: now.AddDate(0, -6, 0), Last: now, Count: 100, Claims: claims})
}

const (
	byName = "repo:acme/shop:environment:prod"
	byID   = "repo:acme@1234567/shop@89012345:environment:prod"
)

var api = sub(cluster, "system:serviceaccount:shop:api")

// examples break each rule in one way or more, and stay just within it.
var examples = map[string]struct{ breaks, keeps []example }{
	"L1": {
		breaks: []example{{credential: exp(gh, eq("environment", "prod"))}, {credential: sub(gh, "environment:prod")}, {credential: exp(gitlab, eq("ref", "main"))}, {credential: sub(gh, "x"), level: Warn}, {credential: exp(gh, eq("job_workflow_ref", "acme/ci/.github/workflows/deploy.yml@refs/heads/main")), level: Warn}, {credential: exp(gh, match("sub", "*"), eq("ref", "refs/heads/main"))}},
		keeps: []example{{credential: sub(gh, byName)}, {credential: sub(gh, byID)}, {credential: exp(gh, eq("repository_owner_id", "1234567"), eq("environment", "prod"))}, {credential: sub(gh, "repository_owner_id:1234567:environment:prod")},
			{credential: sub("https://agent.buildkite.com", "019c9e6f-0d8a-4a41-b0a9-2a8e9d0c7e11")}, {credential: exp("https://ghes.example.net/_services/token", eq("environment", "prod"))}},
	},
	"L2": {
		breaks: []example{{credential: exp(gh, match("sub", "repo:acme*"))}, {credential: exp(gh, match("sub", "repo:*"))}, {credential: exp(gh, match("repository_owner", "acme*"))}, {credential: exp(gitlab, match("sub", "project_path:acme*"))}, {credential: exp(gitlab, match("namespace_path", "acme*"))}},
		keeps:  []example{{credential: exp(gh, match("sub", "repo:acme/*"))}, {credential: exp(gh, match("sub", "repo:acme*"), eq("repository_owner_id", "1234567"))}, {credential: exp(gh, match("repository", "acme/*"))}},
	},
	"L3": {
		breaks: []example{{credential: exp(gh, match("sub", "repo:acme/*"))}, {credential: exp(gh, eq("repository_owner", "acme"))}, {credential: exp(gitlab, match("sub", "project_path:acme/*"))}, {credential: sub(gh, "repository_owner:acme:environment:prod")}},
		keeps:  []example{{credential: exp(gh, match("sub", "repo:acme/shop:*"))}, {credential: exp(gh, match("sub", "repo:acme/*"), eq("repository_id", "89012345"))}, {credential: sub(gh, byName)}},
	},
	"L4": {
		breaks: []example{{credential: sub(gh, byName)}, {credential: sub(gitlab, "project_path:acme/shop:ref_type:branch:ref:main")}},
		keeps:  []example{{credential: sub(gh, byID)}, {credential: exp(gh, eq("sub", byName), eq("repository_id", "89012345"))}, {credential: sub("https://ghes.example.net/_services/token", byName)}, {credential: sub(gitlab, "project_id:42:ref_type:branch:ref:main")}},
	},
	"L5": {
		breaks: []example{{credential: sub(gh, "repo:acme/shop:pull_request"), roles: []string{"Orders.Write"}}, {credential: exp(gh, match("sub", "repo:acme/shop:*"), eq("event_name", "pull_request")), roles: []string{"Deploy"}}, {credential: exp(gh, match("sub", "repo:acme/shop:*"), match("event_name", "pull_reques?")), roles: []string{"Deploy"}},
			{credential: exp(gh, match("sub", "repo:acme/shop:*")), roles: []string{"Orders.Write"}, level: Warn}},
		keeps: []example{{credential: sub(gh, "repo:acme/shop:pull_request"), roles: []string{"Orders.Read.All"}}, {credential: sub(gh, "repo:acme/shop:pull_request")}, {credential: exp(gh, match("sub", "repo:acme/shop:ref:refs/heads/*")), roles: []string{"Orders.Write"}}},
	},
	"L6": {
		breaks: []example{{credential: exp(gh, eq("repository_id", "1"), eq("event_name", "pull_request_target"))}, {credential: exp(gh, eq("repository_id", "1"), match("event_name", "pull_request*"))}},
		keeps:  []example{{credential: exp(gh, eq("repository_id", "1"), eq("event_name", "pull_request"))}, {credential: sub(gh, "repo:acme/shop:ref:refs/heads/main")}},
	},
	"L7": {
		breaks: []example{{credential: sub(gh, byName)}, {credential: exp(gh, eq("repository_id", "1"), eq("environment", "prod"))}},
		keeps:  []example{{credential: sub(gh, "repo:acme/shop:ref:refs/heads/main")}},
	},
	"L8": {
		breaks: []example{{credential: exp(gh, match("sub", "repo:acme/shop:ref:refs/heads/*")), roles: []string{"Orders.Write"}}, {credential: exp(gitlab, match("sub", "project_path:acme/shop:ref_type:branch:ref:*")), roles: []string{"Admin"}}},
		keeps:  []example{{credential: exp(gh, match("sub", "repo:acme/shop:ref:refs/heads/*")), roles: []string{"Orders.Read"}}, {credential: sub(gh, "repo:acme/shop:ref:refs/heads/main"), roles: []string{"Orders.Write"}}},
	},
	"L9": {
		breaks: []example{{credential: exp(gh, eq("repository_id", "1"), eq("job_workflow_ref", "acme/ci/.github/workflows/deploy.yml@refs/heads/main"))}, {credential: exp(gh, eq("repository_id", "1"), match("job_workflow_ref", "acme/ci/.github/workflows/deploy.yml@*"))}},
		keeps:  []example{{credential: exp(gh, eq("repository_id", "1"), eq("job_workflow_ref", "acme/ci/.github/workflows/deploy.yml@5f0c2b7e9d8a4f61c3b2a19087f6e5d4c3b2a190"))}},
	},
	"L10": {
		breaks: []example{{credential: sub(cluster, "system:serviceaccount:shop:default")}},
		keeps:  []example{{credential: sub(cluster, "system:serviceaccount:default:api")}},
	},
	"L11": {
		breaks: []example{{credential: exp(cluster, match("sub", "system:serviceaccount:*:api"))}, {credential: exp(cluster, match("sub", "system:serviceaccount:shop*"))}},
		keeps:  []example{{credential: exp(cluster, match("sub", "system:serviceaccount:shop:*"))}},
	},
	"L12": {
		breaks: []example{{credential: exp(gh, eq("actor", "dana"))}, {credential: exp(cluster, eq("email", "dana@example.net"))}},
		keeps:  []example{{credential: exp(gh, eq("actor", "dana"), eq("repository_id", "1"))}, {credential: exp(gh, eq("actor_id", "7654321"))}},
	},
	"L13": {
		breaks: []example{{credential: sub(gh, byName), roles: []string{"Deploy"}}},
		keeps:  []example{{credential: sub(gh, byName), roles: []string{"Orders.Read"}}, {credential: exp(gh, eq("sub", byName), eq("runner_environment", "github-hosted")), roles: []string{"Deploy"}}},
	},
	"L14": {
		breaks: []example{{credential: sub(gitlab, "project_path:acme/shop:ref_type:branch:ref:main"), roles: []string{"Deploy"}}, {credential: exp(gitlab, eq("project_id", "42"), eq("pipeline_source", "merge_request_event")), roles: []string{"Deploy"}}},
		keeps:  []example{{credential: exp(gitlab, eq("project_id", "42"), eq("ref_protected", "true")), roles: []string{"Deploy"}}, {credential: sub(gitlab, "project_path:acme/shop:ref_type:branch:ref:main"), roles: []string{"Orders.Read"}}},
	},
	"L15": {
		breaks: []example{{credential: aud("sts.amazonaws.com")}, {credential: aud("https://kubernetes.default.svc")}, {credential: aud("https://github.com/acme")}},
		keeps:  []example{{credential: aud("api://AzureADTokenExchange")}, {credential: aud("https://sts.example.net")}},
	},
	"L16": {
		breaks: []example{{credential: sub("https://*.example.net", "x")}, {credential: aud("api://*")}, {credential: exp(cluster, eq("sub", "x"), match("aud", "api*"))}},
		keeps:  []example{{credential: aud("api://AzureADTokenExchange")}, {credential: exp(cluster, eq("sub", "x"), eq("aud", "api"))}},
	},
	"L17": {
		breaks: []example{{credential: exp(gh, match("sub", "repo:acme/shop:ref:refs/heads/main|refs/heads/dev"))}, {credential: exp(gh, match("sub", "^repo:acme/shop:.*$"))}, {credential: exp(gh, match("sub", "repo:acme/(shop)*"))}},
		keeps:  []example{{credential: exp(gh, match("sub", "repo:acme/shop.*:ref:refs/heads/main"))}, {credential: sub(cluster, "a|b")}},
	},
	"L18": {
		breaks: []example{{credential: sub("http://idp.example.net", "x")}, {credential: sub("https://10.1.2.3", "x")}, {credential: sub("https://127.0.0.1:8443", "x")}, {credential: sub("https://sts.example.net/0b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77/v2.0", "x")}},
		keeps: []example{{credential: api}, {credential: sub("https://sts.example.net/idp", "x")}, {credential: sub("http://127.0.0.1:8443", "x"), with: func(in *Input) { in.Own = []string{"https://127.0.0.1:9000/"} }},
			{credential: sub("https://10.1.2.3", "x"), with: func(in *Input) { in.Issuers = []Issuer{{Name: "https://10.1.2.3", Private: true}} }}},
	},
	"L19": {
		breaks: []example{{credential: api, with: issuer(Issuer{PinnedAt: now.AddDate(-1, 0, 0)})}, {credential: api, with: issuer(Issuer{PinnedAt: now, LiveDiffers: true})}},
		keeps:  []example{{credential: api, with: issuer(Issuer{PinnedAt: now.AddDate(0, -1, 0)})}, {credential: api, with: issuer(Issuer{})}},
	},
	"L20": {
		breaks: []example{{credential: api, with: issuer(Issuer{KeyProblems: []string{"the key a has 1024 bits"}})}},
		keeps:  []example{{credential: api, with: issuer(Issuer{})}},
	},
	"L21": {
		breaks: []example{{credential: api, roles: []string{"Orders.Admin"}, with: other("Orders.Read", api)}},
		keeps:  []example{{credential: api, roles: []string{"Orders.Write"}, with: other("Orders.Read", api)}, {credential: api, roles: []string{"Orders.Admin"}, with: other("Orders.Read", sub(cluster, "else"))}},
	},
	"L22": {
		breaks: []example{{credential: api, with: usage(Usage{Since: now.AddDate(0, -6, 0), Last: now.AddDate(0, -4, 0)})}, {credential: api, with: usage(Usage{Since: now.AddDate(0, -1, 0)}), level: Info}},
		keeps:  []example{{credential: api, with: usage(Usage{Since: now.AddDate(0, -6, 0), Last: now})}, {credential: api, with: usage(Usage{})}, {credential: api, with: usage(Usage{Since: now.AddDate(0, 0, -3)})}, {credential: api}},
	},
	"L23": {
		breaks: []example{{credential: sub(gh, byName), with: used(ClaimUse{Name: "repository", Values: []string{"acme/shop"}, Count: 100}, ClaimUse{Name: "repository_id", Values: []string{"1", "2"}, Count: 100})}},
		keeps: []example{{credential: sub(gh, byName), with: used(ClaimUse{Name: "repository", Values: []string{"acme/shop"}, Count: 100}, ClaimUse{Name: "repository_id", Values: []string{"1"}, Count: 100})},
			{credential: exp(gh, match("sub", "repo:acme/*")), with: used(ClaimUse{Name: "repository", Values: []string{"acme/a", "acme/b"}, Count: 100}, ClaimUse{Name: "repository_id", Values: []string{"1", "2"}, Count: 100})}},
	},
	"L24": {
		breaks: []example{{credential: exp(gh, eq("sub", byName), eq("enviroment", "prod")), with: used(ClaimUse{Name: "environment", Values: []string{"prod"}, Count: 100})}},
		keeps:  []example{{credential: exp(gh, eq("sub", byName), eq("environment", "prod")), with: used(ClaimUse{Name: "environment", Values: []string{"prod"}, Count: 100})}},
	},
	"L25": {
		breaks: []example{{credential: sub(gh, "repo:acme/shop:ref:refs/heads/main"), with: used(ClaimUse{Name: "ref_protected", Values: []string{"true"}, Count: 100})}},
		keeps: []example{{credential: sub(gh, byName), with: used(ClaimUse{Name: "environment", Values: []string{"prod"}, Count: 100})},
			{credential: sub(gh, "repo:acme/shop:ref:refs/heads/main"), with: used(ClaimUse{Name: "ref_protected", Values: []string{"true", "false"}, Count: 100})}},
	},
	"L26": {
		breaks: []example{{credential: exp(gh, match("sub", "repo:acme/shop:*")), with: used(ClaimUse{Name: "sub", Values: []string{byName}, Count: 100})},
			{credential: exp(gh, match("sub", "repo:acme/*")), with: used(ClaimUse{Name: "sub", Values: []string{byName, "repo:acme/shop:ref:refs/heads/main"}, Count: 100})}},
		keeps: []example{{credential: exp(gh, match("sub", "repo:acme/shop:*")), with: used(ClaimUse{Name: "sub", Values: []string{byName, "repo:acme/shop:ref:refs/heads/main"}, Count: 100})},
			{credential: exp(gh, match("sub", "repo:acme/shop:*")), with: usage(Usage{Last: now, Count: 3, Claims: []ClaimUse{{Name: "sub", Values: []string{byName}, Count: 3}}})}},
	},
	"L27": {
		breaks: []example{{credential: sub(gh, byName), with: beside(exp(gh, match("sub", "repo:acme/shop:*")))}, {credential: exp(gh, match("sub", "repo:acme/shop:ref:*")), with: beside(exp(gh, match("sub", "repo:acme/*")))}},
		keeps:  []example{{credential: exp(gh, match("sub", "repo:acme/shop:*")), with: beside(sub(gh, byName))}, {credential: sub(gh, byName), with: beside(exp(gh, match("sub", "repo:acme/other:*")))}, {credential: exp(gh, match("sub", "repo:acme/shop:*")), with: beside(exp(gh, match("sub", "repo:acme/????:env?ronment")))}},
	},
}

func findings(in *Input, rule string) []Finding {
	var out []Finding
	for _, f := range Check(in) {
		if f.Rule == rule && f.Client == "client" && f.Credential == "c" {
			out = append(out, f)
		}
	}
	return out
}

func TestRules(t *testing.T) {
	if len(rules) != 27 || len(examples) != 27 {
		t.Fatalf("%d rules, %d with examples; the catalogue has 27", len(rules), len(examples))
	}
	for i, r := range rules {
		if r.ID != fmt.Sprintf("L%d", i+1) || r.Title == "" || r.Remedy == "" {
			t.Errorf("rule %d is %+v", i+1, r)
		}
		for j, e := range examples[r.ID].breaks {
			got := findings(e.input(), r.ID)
			want := r.Level
			if e.level != "" {
				want = e.level
			}
			if len(got) != 1 || got[0].Level != want || got[0].Message == "" || got[0].Field == "" {
				t.Errorf("%s, example %d that breaks it: %+v, want level %s", r.ID, j+1, got, want)
			}
		}
		for j, e := range examples[r.ID].keeps {
			if got := findings(e.input(), r.ID); len(got) != 0 {
				t.Errorf("%s, example %d that keeps it: %+v", r.ID, j+1, got)
			}
		}
	}
}

// TestDocumentedExamples holds the platforms' own examples, as their
// documentation has them, against the rules: none may be blocked.
func TestDocumentedExamples(t *testing.T) {
	for name, c := range map[string]directory.FederatedIdentityCredential{
		"AKS":                 sub("https://westeurope.oic.prod-aks.azure.com/7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77/0d9c/", "system:serviceaccount:shop:api"),
		"EKS":                 sub("https://oidc.eks.eu-west-1.amazonaws.com/id/0A1B", "system:serviceaccount:shop:api"),
		"GKE":                 sub("https://container.googleapis.com/v1/projects/p/locations/l/clusters/c", "system:serviceaccount:shop:api"),
		"GitHub environment":  sub(gh, byName),
		"GitHub immutable":    sub(gh, byID),
		"GitHub branch":       sub(gh, "repo:acme/shop:ref:refs/heads/main"),
		"GitHub tag":          sub(gh, "repo:acme/shop:ref:refs/tags/v1"),
		"GitHub enterprise":   sub(gh+"/acme", byName),
		"GHES":                sub("https://github.example.net/_services/token", byName),
		"GitHub customised":   sub(gh, "repository_id:89012345:environment:prod"),
		"GitHub workflow":     sub(gh, "job_workflow_ref:octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main"),
		"GitHub owner":        sub(gh, "environment:production:repository_owner:octo-org"),
		"GitHub reusable":     exp(gh, match("sub", "repo:contoso/contoso-repo:ref:refs/heads/*"), eq("job_workflow_ref", "foo-org/bar-repo/.github/workflows/foo-workflow.yml@refs/heads/main")),
		"GitHub pull request": sub(gh, "repo:acme/shop:pull_request"),
		"Entra's GitHub":      exp(gh, match("sub", "repo:contoso/contoso-repo:ref:refs/heads/*")),
		"Entra's GitLab":      exp(gitlab, match("sub", "project_path:contoso/contoso-project:ref_type:branch:ref:*")),
		"Entra's Terraform":   exp("https://app.terraform.io", match("sub", "organization:contoso-org:project:contoso-project:workspace:*:run_phase:*")),
		"Google":              sub("https://accounts.google.com", "108273645091827364509"),
		"Cognito":             sub("https://cognito-identity.amazonaws.com", "eu-west-1:1f2e0000-0000-4000-8000-000000000000"),
		"AWS":                 sub("https://5c0e0000-0000-4000-8000-000000000000.tokens.sts.global.api.aws", "arn:aws:iam::123456789012:role/ci"),
		"SPIFFE":              sub("https://oidc.td.example", "spiffe://td.example/ns/shop/sa/api"),
		"SPIFFE bundle":       sub("spiffe://td.example", "spiffe://td.example/ns/shop/sa/api"),
		"Azure Pipelines old": sub("https://vstoken.dev.azure.com/0b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77", "sc://acme/shop/prod"),
		"Azure Pipelines new": sub("https://login.microsoftonline.com/7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77/v2.0", "/eid1/c/pub/t/abc/a/def/sc/1/2"),
		"GitLab":              sub(gitlab, "project_path:acme/shop:ref_type:branch:ref:main"),
		"Terraform":           sub("https://app.terraform.io", "organization:acme:project:default:workspace:shop:run_phase:apply"),
		"Buildkite":           sub("https://agent.buildkite.com", "organization:acme:pipeline:shop:ref:refs/heads/main:commit:5f0c2b7e9d8a4f61c3b2a19087f6e5d4c3b2a190:step:deploy"),
		"Buildkite pipeline":  sub("https://agent.buildkite.com", "019c9e6f-0d8a-4a41-b0a9-2a8e9d0c7e11"),
		"CircleCI":            sub("https://oidc.circleci.com/org/0b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77", "org/0b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77/project/0b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a78/user/0b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a79"),
	} {
		roles := []string{"Deploy"}
		if name == "GitHub pull request" {
			roles = []string{"Orders.Read"} // what the page of L5 advises
		}
		for _, f := range Check(example{credential: c, roles: roles}.input()) {
			if f.Level == Block {
				t.Errorf("%s is blocked: %s %s", name, f.Rule, f.Message)
			}
		}
	}
}

func TestLevelsAndOverrides(t *testing.T) {
	in := example{credential: exp(gh, match("sub", "repo:acme*"))}.input()
	if f := findings(in, "L2"); !f[0].Blocks() {
		t.Error("L2 does not block")
	}
	in.Levels = Levels{"L2": Info}
	if f := findings(in, "L2"); f[0].Level != Info {
		t.Errorf("%+v", f)
	}
	in.Levels = Levels{"L2": Off}
	if f := findings(in, "L2"); len(f) != 0 {
		t.Errorf("%+v", f)
	}
	in.Levels, in.Clients[0].Credentials[0].Overrides = nil, map[string]string{"L2": "all of it is ours"}
	if f := findings(in, "L2"); f[0].Blocks() || f[0].Override != "all of it is ours" {
		t.Errorf("%+v", f)
	}
	for _, levels := range []Levels{{"L28": Warn}, {"L1": "error"}} {
		if CheckLevels(levels) == nil {
			t.Errorf("%v is accepted", levels)
		}
	}
	if err := CheckLevels(Levels{"L1": Warn, "L27": Off}); err != nil {
		t.Error(err)
	}
}

func TestPrivilege(t *testing.T) {
	for role, want := range map[string]Privilege{"Orders.Read": Read, "Orders.Read.All": Read, "Application.ReadWrite.All": Write, "orders:write": Write, "viewer": Read, "Deploy": Write, "": Write, "Cluster.Admin": Admin, "Orders.Administer": Write, "RoleManager": Admin} {
		if got := privilege(role); got != want {
			t.Errorf("%q: %s, want %s", role, got, want)
		}
	}
}
