package profile

import (
	"maps"
	"strings"
	"testing"

	"cambio/internal/directory"
)

// Every profile loads, and every shape of it can be chosen by its parameters
// and read backwards.
func TestProfilesAreSound(t *testing.T) {
	if len(All()) != len(order) {
		t.Fatalf("%d profiles, want %d", len(All()), len(order))
	}
	for i, p := range All() {
		if p.Name != order[i] || Find(p.Name) != p {
			t.Errorf("%s is not found by its name", order[i])
		}
		for _, param := range p.Parameters {
			for _, value := range []string{param.Example, param.Default} {
				if value == "" || param.IsFlag() {
					continue
				}
				if err := param.check(value); err != nil {
					t.Errorf("%s: its own example: %v", p.Name, err)
				}
			}
			if !param.IsFlag() && param.Kind == kindText && param.Hint == "" {
				t.Errorf("%s: --%s does not say what a right value looks like", p.Name, param.Name)
			}
		}
	}
	if Find("gitea") != nil {
		t.Error("a profile that does not exist was found")
	}
}

func TestUnsoundProfilesAreRefused(t *testing.T) {
	const sound = "name: x\ntitle: X\nsummary: X\nparameters: [{name: a, description: A, pattern: '[a-z]+'}]\nissuers: [{template: 'https://x.example'}]\nsubjects: [{template: '{a}'}]\nnames: [{template: '{a}'}]\naudiences: [{template: aud}]\n"
	if _, err := load([]byte(sound)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"unknown key":        sound + "isuers: []\n",
		"second document":    sound + "---\nname: y\n",
		"missing issuers":    strings.Replace(sound, "issuers: [{template: 'https://x.example'}]\n", "", 1),
		"unknown parameter":  strings.Replace(sound, "subjects: [{template: '{a}'}]", "subjects: [{template: '{b}'}]", 1),
		"unknown part":       strings.Replace(sound, "subjects: [{template: '{a}'}]", "subjects: [{template: '{a.b}'}]", 1),
		"broken pattern":     strings.Replace(sound, "[a-z]+", "[a-z", 1),
		"capturing pattern":  strings.Replace(sound, "[a-z]+", "([a-z])+", 1),
		"unknown kind":       strings.Replace(sound, "pattern: '[a-z]+'", "kind: colour", 1),
		"unknown in a rule":  sound + "rules: [{one_of: [a, b]}]\n",
		"unknown in a note":  sound + "notes: [{level: info, text: x, when: [b]}]\n",
		"level of a note":    sound + "notes: [{level: loud, text: x}]\n",
		"source of a note":   sound + "notes: [{level: info, text: x, source: rumour}]\n",
		"match in a note":    sound + "notes: [{level: info, text: x, matches: {b: x}}]\n",
		"pattern in a note":  sound + "notes: [{level: info, text: x, matches: {a: '['}}]\n",
		"known issuer":       sound + "known_issuers: ['[']\n",
		"no description":     strings.Replace(sound, "description: A, ", "", 1),
		"pattern of refusal": strings.Replace(sound, "pattern: '[a-z]+'", "pattern: '[a-z]+', refuse: [{pattern: '[', why: x}]", 1),
	} {
		if _, err := load([]byte(text)); err == nil {
			t.Errorf("%s: loaded", name)
		}
	}
}

type given = map[string]string

// The scenarios of the wire contract: what each platform's tokens hold.
func TestPropose(t *testing.T) {
	const gh, gl = "https://token.actions.githubusercontent.com", "https://gitlab.com"
	for _, c := range []struct {
		profile               string
		given                 given
		issuer, subject, name string
		audience              string // default: DefaultAudience
		note                  string // part of a warning; "-" for no warning at all
	}{
		{"github", given{"repo": "acme/shop", "environment": "prod"}, gh, "repo:acme/shop:environment:prod", "github-acme-shop-prod", "", "use_immutable_subject"},
		{"github", given{"repo": "acme/shop", "owner-id": "1234567", "repo-id": "89012345", "environment": "prod"}, gh, "repo:acme@1234567/shop@89012345:environment:prod", "github-acme-shop-prod", "", "-"},
		{"github", given{"repo": "acme/shop", "branch": "feature/x"}, gh, "repo:acme/shop:ref:refs/heads/feature/x", "github-acme-shop-feature-x", "", "names only"},
		{"github", given{"repo": "acme/shop", "tag": "v1.0"}, gh, "repo:acme/shop:ref:refs/tags/v1.0", "github-acme-shop-tag-v1-0", "", ""},
		{"github", given{"repo": "acme/shop", "ref": "refs/heads/main"}, gh, "repo:acme/shop:ref:refs/heads/main", "github-acme-shop-refs-heads-main", "", ""},
		{"github", given{"repo": "acme/shop", "pull-request": "true"}, gh, "repo:acme/shop:pull_request", "github-acme-shop-pull-request", "", "pull request"},
		{"github", given{"repo": "acme/shop", "owner-id": "1234567", "repo-id": "89012345", "branch": "main"}, gh, "repo:acme@1234567/shop@89012345:ref:refs/heads/main", "github-acme-shop-main", "", "-"},
		{"github", given{"repo": "acme/shop", "owner-id": "1", "repo-id": "2", "tag": "v1"}, gh, "repo:acme@1/shop@2:ref:refs/tags/v1", "github-acme-shop-tag-v1", "", ""},
		{"github", given{"repo": "acme/shop", "owner-id": "1", "repo-id": "2", "ref": "refs/pull/7/merge"}, gh, "repo:acme@1/shop@2:ref:refs/pull/7/merge", "github-acme-shop-refs-pull-7-merge", "", "whose author"},
		{"github", given{"repo": "acme/shop", "owner-id": "1", "repo-id": "2", "pull-request": "true"}, gh, "repo:acme@1/shop@2:pull_request", "github-acme-shop-pull-request", "", "read rights"},
		{"github", given{"repo": "acme/shop", "environment": "prod%3Aeu"}, gh, "repo:acme/shop:environment:prod%3Aeu", "github-acme-shop-prod-3Aeu", "", ""},
		{"github", given{"repo": "acme/shop", "environment": "prod", "enterprise": "acme-corp"}, gh + "/acme-corp", "repo:acme/shop:environment:prod", "github-acme-shop-prod", "", ""},
		{"github", given{"repo": "acme/shop", "environment": "prod", "host": "github.acme.example"}, "https://github.acme.example/_services/token", "repo:acme/shop:environment:prod", "github-acme-shop-prod", "", "-"},
		{"kubernetes", given{"issuer": "https://westeurope.oic.prod-aks.azure.com/7b1c2f0e/0d9c/", "namespace": "shop", "service-account": "api"}, "https://westeurope.oic.prod-aks.azure.com/7b1c2f0e/0d9c/", "system:serviceaccount:shop:api", "kubernetes-shop-api", "", "-"},
		{"kubernetes", given{"issuer": "https://westeurope.oic.prod-aks.azure.com/7b1c2f0e/0d9c", "namespace": "shop", "service-account": "default"}, "https://westeurope.oic.prod-aks.azure.com/7b1c2f0e/0d9c", "system:serviceaccount:shop:default", "kubernetes-shop-default", "", "end in a slash"},
		{"kubernetes", given{"issuer": "https://kubernetes.default.svc.cluster.local", "namespace": "shop", "service-account": "api"}, "https://kubernetes.default.svc.cluster.local", "system:serviceaccount:shop:api", "kubernetes-shop-api", "", "service-account-issuer"},
		{"kubernetes", given{"issuer": "https://k8s.example", "namespace": "shop", "service-account": "default"}, "https://k8s.example", "system:serviceaccount:shop:default", "kubernetes-shop-default", "", "a service account of its own"},
		{"gitlab", given{"project": "acme/team/shop", "branch": "main"}, gl, "project_path:acme/team/shop:ref_type:branch:ref:main", "gitlab-acme-team-shop-main", "", "project-id"},
		{"gitlab", given{"project-id": "42", "tag": "v1"}, gl, "project_id:42:ref_type:tag:ref:v1", "gitlab-42-tag-v1", "", "-"},
		{"gitlab", given{"project-id": "42", "branch": "a/b", "host": "gitlab.acme.example:8443"}, "https://gitlab.acme.example:8443", "project_id:42:ref_type:branch:ref:a/b", "gitlab-42-a-b", "", "-"},
		{"gitlab", given{"project": "acme/shop", "tag": "v1"}, gl, "project_path:acme/shop:ref_type:tag:ref:v1", "gitlab-acme-shop-tag-v1", "", ""},
		{"google", given{"service-account-id": "108273645091827364509"}, "https://accounts.google.com", "108273645091827364509", "google-108273645091827364509", "", "-"},
		{"aws", given{"issuer": "https://5c0e7d1a.tokens.sts.global.api.aws", "arn": "arn:aws:iam::123456789012:role/ci"}, "https://5c0e7d1a.tokens.sts.global.api.aws", "arn:aws:iam::123456789012:role/ci", "aws-arn-aws-iam-123456789012-role-ci", "", "-"},
		{"aws", given{"identity-pool-id": "eu-west-1:9a8b7c6d-5e4f-4a3b-8c2d-1e0f9a8b7c6d", "identity-id": "eu-west-1:1f2e3d4c-5b6a-4978-8695-a4b3c2d1e0f9"}, "https://cognito-identity.amazonaws.com", "eu-west-1:1f2e3d4c-5b6a-4978-8695-a4b3c2d1e0f9", "cognito-eu-west-1-1f2e3d4c-5b6a-4978-8695-a4b3c2d1e0f9", "eu-west-1:9a8b7c6d-5e4f-4a3b-8c2d-1e0f9a8b7c6d", "-"},
		{"spiffe", given{"issuer": "https://oidc.td.example", "spiffe-id": "spiffe://td.example/ns/shop/sa/api"}, "https://oidc.td.example", "spiffe://td.example/ns/shop/sa/api", "spiffe-td-example-ns-shop-sa-api", "", "-"},
		{"spiffe", given{"spiffe-id": "spiffe://td.example/ns/shop/sa/api"}, "spiffe://td.example", "spiffe://td.example/ns/shop/sa/api", "spiffe-td-example-ns-shop-sa-api", "", "-"},
		{"azure-pipelines", given{"organization-id": "5c0e7d1a-1f2e-4b3c-8d4e-9a8b7c6d5e4f", "organization": "acme", "project": "My Shop", "service-connection": "prod"}, "https://vstoken.dev.azure.com/5c0e7d1a-1f2e-4b3c-8d4e-9a8b7c6d5e4f", "sc://acme/My Shop/prod", "azure-pipelines-acme-My-Shop-prod", "", "retires"},
		{"azure-pipelines", given{"organization-id": "5c0e7d1a-1f2e-4b3c-8d4e-9a8b7c6d5e4f", "organization": "acme", "project": "shop", "pipeline": "deploy"}, "https://vstoken.dev.azure.com/5c0e7d1a-1f2e-4b3c-8d4e-9a8b7c6d5e4f", "p://acme/shop/deploy", "azure-pipelines-acme-shop-deploy", "", "retires"},
		{"azure-pipelines", given{"tenant-id": "7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77", "federation-subject": "/eid1/c/pub/t/Dr8b/a/Gh4k/5f0c"}, "https://login.microsoftonline.com/7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77/v2.0", "/eid1/c/pub/t/Dr8b/a/Gh4k/5f0c", "azure-pipelines-eid1-c-pub-t-Dr8b-a-Gh4k-5f0c", "", "-"},
		{"terraform-cloud", given{"organization": "acme", "workspace": "shop-prod", "run-phase": "apply"}, "https://app.terraform.io", "organization:acme:project:Default Project:workspace:shop-prod:run_phase:apply", "terraform-acme-shop-prod-apply", "", "-"},
		{"terraform-cloud", given{"organization": "acme", "project": "Shop", "workspace": "w", "run-phase": "plan", "host": "app.eu.terraform.io"}, "https://app.eu.terraform.io", "organization:acme:project:Shop:workspace:w:run_phase:plan", "terraform-acme-w-plan", "", "Speculative"},
		{"terraform-cloud", given{"organization": "acme", "workspace": "w", "run-phase": "apply", "host": "tfe.acme.example"}, "https://tfe.acme.example", "organization:acme:project:Default Project:workspace:w:run_phase:apply", "terraform-acme-w-apply", "", "-"},
		{"buildkite", given{"pipeline-id": "0184990a-477b-4fa8-9968-496074483c12"}, "https://agent.buildkite.com", "0184990a-477b-4fa8-9968-496074483c12", "buildkite-0184990a-477b-4fa8-9968-496074483c12", "", "-"},
		{"buildkite", given{"organization": "acme", "pipeline": "shop", "ref": "refs/heads/main", "commit": strings.Repeat("a", 40), "step": "deploy"}, "https://agent.buildkite.com", "organization:acme:pipeline:shop:ref:refs/heads/main:commit:" + strings.Repeat("a", 40) + ":step:deploy", "buildkite-acme-shop-deploy", "", "--subject-claim pipeline_id"},
		{"circleci", given{"org-id": guidA, "project-id": guidB, "user-id": guidC}, "https://oidc.circleci.com/org/" + guidA, "org/" + guidA + "/project/" + guidB + "/user/" + guidC, "circleci-" + guidB + "-" + guidC, guidA, "each user"},
		{"circleci", given{"org-id": guidA, "project-id": guidB, "user-id": guidC, "vcs-origin": "github.com/acme/shop", "vcs-ref": "refs/heads/main"}, "https://oidc.circleci.com/org/" + guidA, "org/" + guidA + "/project/" + guidB + "/user/" + guidC + "/vcs-origin/github.com/acme/shop/vcs-ref/refs/heads/main", "circleci-" + guidB + "-refs-heads-main", guidA, ""},
		{"other", given{"issuer": "https://idp.example.net/", "subject": "x"}, "https://idp.example.net/", "x", "credential-x", "", "-"},
		{"other", given{"issuer": "https://idp.example.net", "subject": "repo:acme/*"}, "https://idp.example.net", "repo:acme/*", "repo-acme", "", "no wildcards"},
	} {
		out, err := Find(c.profile).Propose(c.given)
		if err != nil {
			t.Errorf("%s %v: %v", c.profile, c.given, err)
			continue
		}
		got := out.Credential
		if c.audience == "" {
			c.audience = DefaultAudience
		}
		if got.Issuer != c.issuer || got.Subject != c.subject || got.Name != c.name || len(got.Audiences) != 1 || got.Audiences[0] != c.audience {
			t.Errorf("%s %v:\n got %q %q %q %q\nwant %q %q %q %q", c.profile, c.given, got.Issuer, got.Subject, got.Name, got.Audiences, c.issuer, c.subject, c.name, c.audience)
		}
		if warnings := texts(out.Notes, Warning); c.note == "-" && warnings != "" || c.note != "-" && !strings.Contains(warnings, c.note) {
			t.Errorf("%s %v: warnings %q, want %q", c.profile, c.given, warnings, c.note)
		}
	}
}

const (
	guidA = "3b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77"
	guidB = "4c1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77"
	guidC = "5d1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77"
)

func texts(notes []Note, level Level) string {
	var out []string
	for _, n := range notes {
		if n.Level == level {
			out = append(out, n.Text)
		}
	}
	return strings.Join(out, "\n")
}

// with adds pairs of name and value.
func with(base given, more ...string) given {
	out := maps.Clone(base)
	for i := 0; i < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}

func TestMistakesOfParameters(t *testing.T) {
	repo := given{"repo": "acme/shop"}
	k8s := given{"issuer": "https://k8s.example", "namespace": "shop", "service-account": "api"}
	for _, c := range []struct {
		profile string
		given   given
		want    string
	}{
		{"github", given{"environment": "prod"}, "--repo is required"},
		{"github", repo, "give one of --environment, --branch"},
		{"github", with(repo, "environment", "prod", "branch", "main"), "--environment and --branch exclude each other"},
		{"github", given{"repo": "shop", "branch": "main"}, "acme/shop"},
		{"github", given{"repo": "https://github.com/acme/shop", "branch": "main"}, "without the address"},
		{"github", given{"repo": "acme/shop.git", "branch": "main"}, "without .git"},
		{"github", given{"repo": "acme/*", "branch": "main"}, "wildcard"},
		{"github", given{"repo": "acme/shop/x", "branch": "main"}, "owner/name"},
		{"github", with(repo, "environment", "prod:eu"), "%3A"},
		{"github", with(repo, "environment", "100%"), "percent-encodes"},
		{"github", with(repo, "environment", "prod*"), "wildcard"},
		{"github", with(repo, "environment", "pr\x1bod"), "as GitHub shows it"},
		{"github", with(repo, "environment", ""), "--environment is empty"},
		{"github", with(repo, "branch", "refs/heads/main"), "without refs/heads/"},
		{"github", with(repo, "branch", "release/*"), "wildcard"},
		{"github", with(repo, "branch", "a..b"), "git has no"},
		{"github", with(repo, "tag", "v 1"), "git has no"},
		{"github", with(repo, "ref", "main"), "full ref"},
		{"github", with(repo, "branch", "main", "repo-id", "7"), "--owner-id and --repo-id go together"},
		{"github", with(repo, "branch", "main", "repo-id", "x", "owner-id", "1"), "gh api"},
		{"github", with(repo, "branch", "main", "host", "github.com"), "leave it out"},
		{"github", with(repo, "branch", "main", "host", "acme.ghe.com"), "--from-token"},
		{"github", with(repo, "branch", "main", "host", "https://ghes.example"), "without https://"},
		{"github", with(repo, "branch", "main", "host", "ghes.example", "enterprise", "acme"), "exclude each other"},
		{"github", with(repo, "branch", "main", "host", "ghes.example", "owner-id", "1", "repo-id", "2"), "names only"},
		{"github", with(repo, "branch", "main", "colour", "red"), "no parameter --colour"},
		{"github", with(repo, "pull-request", "yes"), "takes no value"},
		{"github", with(repo, "branch", strings.Repeat("x", 601)), "longer than 600"},
		{"github", with(repo, "branch", strings.Repeat("x", 600)), "at most 600"},
		{"kubernetes", given{"issuer": "https://k8s.example"}, "--namespace is required"},
		{"kubernetes", with(k8s, "issuer", "k8s.example"), "must be a URL"},
		{"kubernetes", with(k8s, "issuer", "https://k8s.example/.well-known/openid-configuration"), "discovery document"},
		{"kubernetes", with(k8s, "issuer", "https://k8s.example "), "white space"},
		{"kubernetes", with(k8s, "issuer", "https://k8s.example/?a=b"), "no query"},
		{"kubernetes", with(k8s, "issuer", "https://u:p@k8s.example"), "no user name"},
		{"kubernetes", with(k8s, "issuer", "https://*.example"), "wildcard"},
		{"kubernetes", with(k8s, "service-account", "shop:api"), "--namespace"},
		{"kubernetes", with(k8s, "namespace", "Shop"), "lower-case"},
		{"gitlab", given{"branch": "main"}, "--project, --project-id"},
		{"gitlab", given{"project": "shop", "branch": "main"}, "group/project"},
		{"gitlab", given{"project": "acme/shop"}, "--branch, --tag"},
		{"gitlab", given{"project": "acme/*", "branch": "main"}, "wildcard"},
		{"google", given{"service-account-id": "ci@proj.iam.gserviceaccount.com"}, "uniqueId"},
		{"aws", given{"arn": "arn:aws:iam::123456789012:role/ci"}, "--issuer and --arn go together"},
		{"aws", given{"issuer": "https://a.example", "arn": "arn:aws:sts::123456789012:assumed-role/ci/x"}, "not that of a session"},
		{"aws", given{"identity-id": "eu-west-1:1f2e3d4c-5b6a-4978-8695-a4b3c2d1e0f9"}, "the pool is the audience"},
		{"spiffe", given{"issuer": "https://a.example", "spiffe-id": "spiffe://TD/x"}, "lower-case trust domain"},
		{"spiffe", given{"issuer": "https://a.example", "spiffe-id": "spiffe://td/x/"}, "slash at its end"},
		{"spiffe", given{"issuer": "https://a.example", "spiffe-id": "spiffe://td/../x"}, "SPIFFE-ID"},
		{"azure-pipelines", given{"organization-id": guidA, "organization": "acme", "project": "shop"}, "needs more to know the workload by"},
		{"azure-pipelines", given{"organization-id": guidA, "tenant-id": guidB}, "exclude each other"},
		{"azure-pipelines", given{"tenant-id": guidA, "federation-subject": "sc://a/b/c"}, "/eid1/"},
		{"azure-pipelines", given{"tenant-id": guidA, "federation-subject": "/eid1/c", "service-connection": "x"}, "holds no names"},
		{"terraform-cloud", given{"organization": "acme", "workspace": "w", "run-phase": "destroy"}, "plan or apply"},
		{"terraform-cloud", given{"organization": "acme", "workspace": "w"}, "--run-phase is required"},
		{"buildkite", given{"organization": "acme", "pipeline": "shop"}, "go together"},
		{"circleci", given{"org-id": guidA, "project-id": guidB, "user-id": guidC, "vcs-ref": "refs/heads/main"}, "go together"},
		{"other", given{"issuer": "https://a.example", "subject": "a\nb"}, "control characters"},
	} {
		if _, err := Find(c.profile).Propose(c.given); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %v: %v; want %q", c.profile, c.given, err, c.want)
		}
	}
}

// A value must be one part of the subject or issuer, and one that a token has.
func TestParametersStayWithinTheirPart(t *testing.T) {
	repo := given{"repo": "acme/shop"}
	for _, c := range []struct {
		profile string
		given   given
		want    string
	}{
		{"github", with(repo, "ref", "refs/heads/.."), "git has no"},
		{"github", with(repo, "ref", "refs/heads/*"), "wildcard"},
		{"github", with(repo, "ref", "refs/heads/a:environment:prod"), "git has no"},
		{"github", with(repo, "branch", "a/.b"), "git has no"},
		{"github", with(repo, "branch", "a.lock/b"), "git has no"},
		{"github", with(repo, "branch", "main:environment:prod"), "git has no"},
		{"github", with(repo, "branch", "main\n"), "git has no"},
		{"github", given{"repo": "acme/shop:ref:refs/heads/x", "branch": "main"}, "owner/name"},
		{"github", given{"repo": "acme/shop\n", "branch": "main"}, "owner/name"},
		{"github", given{"repo": "acme/..", "branch": "main"}, "no name of a repository"},
		{"github", given{"repo": "acme/.", "branch": "main"}, "no name of a repository"},
		{"github", with(repo, "branch", "main", "host", "ghes.example:99999"), "port"},
		{"github", with(repo, "branch", "main", "host", "ghes.example:0"), "port"},
		{"github", with(repo, "branch", "main", "host", "ghes..example"), "host alone"},
		{"gitlab", given{"project": "acme/shop", "branch": "main", "host": "gitlab.com:443"}, "without :443"},
		{"buildkite", given{"organization": "acme", "pipeline": "shop", "ref": "refs/heads/a..b", "commit": strings.Repeat("a", 40), "step": "s"}, "git has no"},
		{"circleci", given{"org-id": guidA, "project-id": guidB, "user-id": guidC, "vcs-origin": "github.com/acme/shop/vcs-ref/refs/heads/x", "vcs-ref": "refs/heads/main"}, "give the ref with --vcs-ref"},
	} {
		if _, err := Find(c.profile).Propose(c.given); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %v: %v; want %q", c.profile, c.given, err, c.want)
		}
	}
}

func TestNamesAreValid(t *testing.T) {
	long := strings.Repeat("very-long/", 30)
	for in, want := range map[string]string{"a": "credential-a", "": "credential", "_x_": "credential-x_", "Ünïcode/name": "n-code-name", "--a b--": "a-b", "abc": "abc", "x__y": "x__y"} {
		if got := fitName(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	one, two := fitName(long+"one"), fitName(long+"two")
	if one == two || len(one) != directory.MaxCredentialName {
		t.Errorf("%q and %q", one, two)
	}
}
