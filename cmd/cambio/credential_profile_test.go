package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"cambio/internal/development"
	"cambio/internal/profile"
)

const githubIssuer = "https://token.actions.githubusercontent.com"

// platform is a server, and a provider that stands for every platform's
// issuer.
type platform struct {
	*development.Instance
	dir, app string
	client   *http.Client
}

func rehearse(t *testing.T, issuers ...string) *platform {
	t.Helper()
	p := &platform{dir: filepath.Join(t.TempDir(), "state")}
	var err error
	p.Instance, err = development.Start(context.Background(), development.Config{Dir: p.dir, Listen: "127.0.0.1:0", Rehearse: issuers, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = p.Close(ctx) // the test has said what there is to say
	})
	if err := writeWorkloadToken(p.Provider, filepath.Join(p.dir, tokenFile)); err != nil {
		t.Fatal(err)
	}
	if err := writeConnection(p.dir, p.Info); err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(p.Info.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	p.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}, Timeout: 20 * time.Second}
	p.app = p.newApp(t, "shop")
	return p
}

func (p *platform) newApp(t *testing.T, name string) string {
	t.Helper()
	var app struct {
		AppID string `json:"appId"`
	}
	if err := json.Unmarshal([]byte(p.run(t, "app", "create", name, "-o", "json")), &app); err != nil || app.AppID == "" {
		t.Fatal(app, err)
	}
	return app.AppID
}

// run executes a command line that must succeed and returns its results.
func (p *platform) run(t *testing.T, args ...string) string {
	t.Helper()
	out, notes, err := p.try(args...)
	if err != nil {
		t.Fatalf("cambio %s: %v\n%s", strings.Join(args, " "), err, notes)
	}
	return out
}

// try returns results and notes apart.
func (p *platform) try(args ...string) (out, notes string, err error) {
	var results, said bytes.Buffer
	root := rootCommand()
	root.SetOut(&results)
	root.SetErr(&said)
	root.SetIn(strings.NewReader(""))
	root.SetArgs(append(args, "--state", p.dir))
	err = root.ExecuteContext(context.Background())
	return results.String(), said.String(), err
}

// token mints a token of a platform.
func (p *platform) token(t *testing.T, claims string) string {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(claims), &members); err != nil {
		t.Fatal(err)
	}
	token, err := p.Provider.Mint(members, nil)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// exchange presents a token and returns the status and the refusal.
func (p *platform) exchange(t *testing.T, client, token string) (int, string) {
	t.Helper()
	resp, err := p.client.PostForm(p.Info.BaseURL+"/"+p.Info.TenantID+"/oauth2/v2.0/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {client},
		"scope": {p.Info.Scope}, "client_assertion": {token}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Refusal string `json:"error_description"`
	}
	if err := json.UnmarshalRead(resp.Body, &answer); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer.Refusal
}

func (p *platform) file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Every profile's command makes a credential that a token of the platform
// matches.
func TestCredentialOfEveryProfile(t *testing.T) {
	var issuers []string
	type made struct{ profile, example, issuer, subject, audience string }
	var all []made
	for _, pr := range profile.All() {
		for _, example := range pr.Examples {
			given := map[string]string{}
			for _, pair := range strings.Split(example, "--")[1:] {
				name, value, _ := strings.Cut(strings.TrimSpace(pair), " ")
				given[name] = value
			}
			out, err := pr.Propose(given)
			if err != nil {
				t.Fatalf("%s %s: %v", pr.Name, example, err)
			}
			c := out.Credential
			all = append(all, made{pr.Name, example, c.Issuer, c.Subject, c.Audiences[0]})
			issuers = append(issuers, c.Issuer)
		}
	}
	p := rehearse(t, issuers...)
	for n, m := range all {
		app := p.newApp(t, fmt.Sprint("app-", n)) // the examples of a profile have the same name
		token := p.token(t, fmt.Sprintf(`{"iss":%q,"sub":%q,"aud":%q}`, m.issuer, m.subject, m.audience))
		if status, _ := p.exchange(t, app, token); status == http.StatusOK {
			t.Fatalf("%s: accepted before there was a credential", m.profile)
		}
		args := append([]string{"credential", "create", m.profile, "--app", app}, strings.Fields(m.example)...)
		p.run(t, args...)
		if status, refusal := p.exchange(t, app, token); status != http.StatusOK {
			t.Errorf("%s %s: %d %s", m.profile, m.example, status, refusal)
		}
		if _, notes, err := p.try(args...); err != nil || !strings.Contains(notes, "Unchanged") {
			t.Errorf("%s: a second time: %v, %s", m.profile, err, notes)
		}
	}
}

var platformTokens = map[string]string{
	"github-acme-shop-prod":             `{"iss":"` + githubIssuer + `","sub":"repo:acme@1234567/shop@89012345:environment:prod","repository":"acme/shop","repository_id":"89012345","environment":"prod"}`,
	"kubernetes-shop-api":               `{"iss":"https://oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF","sub":"system:serviceaccount:shop:api","aud":["api://AzureADTokenExchange"],"kubernetes.io":{"namespace":"shop"}}`,
	"gitlab-20-main":                    `{"iss":"https://gitlab.com","sub":"project_id:20:ref_type:branch:ref:main","project_id":"20","ref":"main"}`,
	"terraform-acme-shop-prod-apply":    `{"iss":"https://app.terraform.io","sub":"organization:acme:project:Default Project:workspace:shop-prod:run_phase:apply"}`,
	"spiffe-td-example-ns-shop-sa-api":  `{"iss":"https://oidc.td.example","sub":"spiffe://td.example/ns/shop/sa/api"}`,
	"google-108273645091827364509":      `{"iss":"https://accounts.google.com","sub":"108273645091827364509","email":"ci@proj.iam.gserviceaccount.com"}`,
	"azure-pipelines-acme-My-Shop-prod": `{"iss":"https://vstoken.dev.azure.com/5c0e7d1a-1f2e-4b3c-8d4e-9a8b7c6d5e4f","sub":"sc://acme/My Shop/prod"}`,
	"build-agent-7":                     `{"iss":"https://idp.example.net/","sub":"build agent 7","aud":"cambio"}`,
}

// A token becomes a credential that it matches, and nothing happens before
// somebody says so.
func TestCredentialFromToken(t *testing.T) {
	var issuers []string
	for _, claims := range platformTokens {
		var c struct{ Iss string }
		if err := json.Unmarshal([]byte(claims), &c, json.MatchCaseInsensitiveNames(true)); err != nil {
			t.Fatal(err)
		}
		issuers = append(issuers, c.Iss)
	}
	p := rehearse(t, issuers...)
	for name, claims := range platformTokens {
		token := p.token(t, claims)
		file := p.file(t, token)
		create := []string{"credential", "create", "--app", p.app, "--from-token", file}
		out, notes, err := p.try(create...)
		if err != nil || !strings.Contains(out, "Proposed, not created") || !strings.Contains(out, name) || !strings.Contains(notes, "NOT VERIFIED") {
			t.Errorf("%s: %v\n%s\n%s", name, err, out, notes)
		}
		signature := token[strings.LastIndex(token, ".")+1:]
		if strings.Contains(out+notes, signature[:20]) {
			t.Errorf("%s: the signature was printed", name)
		}
		if status, _ := p.exchange(t, p.app, token); status == http.StatusOK {
			t.Fatalf("%s: accepted before it was created", name)
		}
		p.run(t, append(create, "--yes")...)
		if status, refusal := p.exchange(t, p.app, token); status != http.StatusOK {
			t.Errorf("%s: %d %s", name, status, refusal)
		}
	}
	// Another workload of the same platform is not let in.
	other := p.token(t, strings.Replace(platformTokens["github-acme-shop-prod"], "89012345:env", "89012346:env", 1))
	if status, refusal := p.exchange(t, p.app, other); status != http.StatusUnauthorized || !strings.Contains(refusal, "AADSTS700213") {
		t.Errorf("a repository of the same name: %d %s", status, refusal)
	}
}

// Managed identities have credentials as applications do.
func TestCredentialOfAnIdentity(t *testing.T) {
	const issuer = "https://k8s.example"
	p := rehearse(t, issuer)
	var identity struct {
		Properties struct {
			ClientID string `json:"clientId"`
		} `json:"properties"`
	}
	out := p.run(t, "identity", "create", "shop", "-g", "team-a", "-o", "json")
	if err := json.Unmarshal([]byte(out), &identity); err != nil || identity.Properties.ClientID == "" {
		t.Fatal(out, err)
	}
	_, notes, err := p.try("credential", "create", "kubernetes", "--identity", "shop", "-g", "team-a", "--issuer", issuer, "--namespace", "shop", "--service-account", "api")
	if err != nil || strings.Contains(notes, "description") { // nobody asked for one
		t.Errorf("%v\n%s", err, notes)
	}
	token := p.token(t, `{"iss":"`+issuer+`","sub":"system:serviceaccount:shop:api","aud":["api://AzureADTokenExchange"]}`)
	if status, refusal := p.exchange(t, identity.Properties.ClientID, token); status != http.StatusOK {
		t.Errorf("%d %s", status, refusal)
	}
	if _, notes, err := p.try("credential", "create", "--identity", "shop", "-g", "team-a", "--from-token", p.file(t, token), "--yes"); err != nil || !strings.Contains(notes, "Unchanged") {
		t.Errorf("%v\n%s", err, notes)
	}
}

// What -o json prints is what --parameters takes.
func TestProposalAsParameters(t *testing.T) {
	p := rehearse(t, githubIssuer)
	token := p.token(t, platformTokens["github-acme-shop-prod"])
	out := p.run(t, "credential", "create", "--from-token", p.file(t, token), "--name", "mine", "--description", "Made of a token", "-o", "json")
	var body struct {
		Name, Issuer, Subject, Description string
		Audiences                          []string
	}
	if err := json.Unmarshal([]byte(out), &body, json.RejectUnknownMembers(true), json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatal(err, out)
	}
	if body.Name != "mine" || body.Issuer != githubIssuer || body.Subject != "repo:acme@1234567/shop@89012345:environment:prod" || body.Description != "Made of a token" || len(body.Audiences) != 1 {
		t.Errorf("%+v", body)
	}
	p.run(t, "credential", "create", "--app", p.app, "--parameters", p.file(t, out))
	if status, refusal := p.exchange(t, p.app, token); status != http.StatusOK {
		t.Errorf("%d %s", status, refusal)
	}
}

// A token for another service becomes a credential that this token does not
// match, and one with a subject that anybody can have needs --force.
func TestDangerousTokens(t *testing.T) {
	p := rehearse(t, githubIssuer)
	shared := p.token(t, `{"iss":"`+githubIssuer+`","sub":"repo:acme@1/shop@2:pull_request","aud":"https://github.com/acme"}`)
	_, notes, err := p.try("credential", "create", "--app", p.app, "--from-token", p.file(t, shared), "--yes")
	if err != nil || !strings.Contains(notes, "this very token does not match") || !strings.Contains(notes, "read rights") || !strings.Contains(notes, "  --pull-request\n") {
		t.Errorf("%v\n%s", err, notes)
	}
	if status, refusal := p.exchange(t, p.app, shared); status != http.StatusUnauthorized || !strings.Contains(refusal, "AADSTS700212") {
		t.Errorf("%d %s", status, refusal)
	}
	anybody := p.token(t, `{"iss":"`+githubIssuer+`","sub":"environment:prod","repository":"acme/shop"}`)
	args := []string{"credential", "create", "--app", p.app, "--from-token", p.file(t, anybody), "--yes"}
	if _, notes, err = p.try(args...); !errors.Is(err, errBlocked) || !strings.Contains(notes, "DANGER") {
		t.Errorf("%v\n%s", err, notes)
	}
	if status, _ := p.exchange(t, p.app, anybody); status == http.StatusOK {
		t.Error("it was created")
	}
	p.run(t, append(args, "--force")...)
	if status, refusal := p.exchange(t, p.app, anybody); status != http.StatusOK {
		t.Errorf("with --force: %d %s", status, refusal)
	}
	// What a token says cannot steer a terminal.
	hostile := p.token(t, `{"iss":"https://idp.example.net","sub":"x\u202ey","note":"\u001b[2J\u009b31m\u202e","\u001b]0;x":"y"}`)
	out, notes, err := p.try("credential", "create", "--from-token", p.file(t, hostile))
	if err != nil || strings.ContainsAny(out+notes, "\x1b\u009b\u202e") {
		t.Errorf("%v\n%q\n%q", err, out, notes)
	}
}

func TestMistakesOfCredentialCreate(t *testing.T) {
	p := rehearse(t)
	token := p.token(t, platformTokens["github-acme-shop-prod"])
	good := p.file(t, token)
	for _, c := range []struct {
		args  []string
		want  string
		usage bool
	}{
		{[]string{"github", "--app", p.app, "--repo", "shop", "--branch", "main"}, "acme/shop", true},
		{[]string{"github", "--app", p.app, "--repo", "acme/shop"}, "give one of --environment", true},
		{[]string{"github", "--app", p.app, "--repo", "acme/shop", "--environment", "a:b"}, "%3A", true},
		{[]string{"github", "--repo", "acme/shop", "--environment", "prod"}, "--app APP or --identity IDENTITY", true},
		{[]string{"github", "--app", p.app, "--repo", "acme/shop", "--environment", "prod", "--name", "a b"}, "name may hold", true},
		{[]string{"github", "--app", p.app, "--repo", "acme/shop", "--environment", "prod", "--audience", ""}, "audiences is required", true},
		{[]string{"githb"}, "did you mean", true},
		{[]string{"--yes", "--app", p.app}, "go with --from-token", true},
		{[]string{"--from-token", good, "--yes"}, "--app APP or --identity IDENTITY", true},
		{[]string{"--from-token", good, "--subject", "x"}, "says issuer and subject", true},
		{[]string{"--from-token", good, "-o", "xml"}, "--output", true},
		{[]string{"--from-token", token}, "takes the name of a file", true},
		{[]string{"--from-token", filepath.Join(p.dir, "none")}, "none", true},
		{[]string{"--from-token", "-"}, "standard input: there is no token", true},
		{[]string{"--from-token", p.file(t, "ghs_abc")}, "id-token: write", true},
		{[]string{"--from-token", p.file(t, strings.Repeat("x", 70<<10))}, "64 KiB", true},
		{[]string{"--from-token", p.file(t, p.token(t, `{"iss":"kubernetes/serviceaccount"}`))}, "kubectl create token", false},
	} {
		out, notes, err := p.try(append([]string{"credential", "create"}, c.args...)...)
		var usage usageError
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.As(err, &usage) != c.usage {
			t.Errorf("%q: %v; want %q (usage: %v)\n%s%s", c.args, err, c.want, c.usage, out, notes)
		}
		if signature := token[strings.LastIndex(token, ".")+1:]; err != nil && strings.Contains(err.Error()+out+notes, signature[:20]) {
			t.Errorf("%q: the token was printed", c.args)
		}
	}
}

// The flags of a profile are no flags of all commands with another meaning.
func TestProfileFlagsAreFree(t *testing.T) {
	create, _, err := rootCommand().Find([]string{"credential", "create"})
	if err != nil {
		t.Fatal(err)
	}
	for _, pr := range profile.All() {
		cmd, _, err := create.Find([]string{pr.Name})
		if err != nil || cmd == create {
			t.Fatalf("no command for %s (%v)", pr.Name, err)
		}
		for _, param := range pr.Parameters {
			if cmd.InheritedFlags().Lookup(param.Name) != nil || create.InheritedFlags().Lookup(param.Name) != nil {
				t.Errorf("%s: --%s is a flag of the connection", pr.Name, param.Name)
			}
		}
	}
}
