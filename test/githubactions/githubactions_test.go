package githubactions

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"cambio/conformance/devserver"
	"cambio/resourceserver"
	"cambio/test/httpclient"
	"cambio/test/realparts"
)

// The two forms of GitHub's subjects.
const (
	names = "repo:acme/shop:environment:prod"
	ids   = "repo:acme@1234567/shop@89012345:environment:prod"
)

// world is a server at which the repository is trusted, and what stands around it.
type world struct {
	binary        string
	server        *devserver.Server
	tokens        *tokens
	api           *httpclient.Client
	client, quiet httpclient.Application // with a role of the resource, and with none
	resource      httpclient.Application
	orders        *httptest.Server
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ctx, dir := t.Context(), t.TempDir()
	binary, err := devserver.Build(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{}
	w.server, err = devserver.Start(ctx, devserver.Config{Binary: binary, StateDir: filepath.Join(dir, "state"), Stderr: os.Stderr, Args: []string{"--rehearse-issuer", gitHub}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.server.Kill)
	client, err := w.server.Client()
	if err != nil {
		t.Fatal(err)
	}
	w.api = &httpclient.Client{BaseURL: w.server.BaseURL, TenantID: w.server.TenantID, AdminToken: w.server.AdminToken, HTTP: client}
	w.binary = binary
	w.tokens = newTokens(t, w.server)
	w.resource = w.register(t, httpclient.Registration{Name: "orders", IdentifierURI: "api://orders", Roles: []string{"Orders.Read"}, TokenVersion: 2})
	w.client = w.register(t, httpclient.Registration{Name: "shop-ci"})
	w.quiet = w.register(t, httpclient.Registration{Name: "shop-docs"})
	for _, subject := range []string{names, ids} {
		name := strings.NewReplacer(":", "-", "/", "-", "@", "-").Replace(subject)
		if _, err := w.api.Trust(ctx, w.client, name, gitHub, subject); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.api.Grant(ctx, w.client, w.resource, "Orders.Read"); err != nil {
		t.Fatal(err)
	}
	w.orders = newOrders(t, w, client)
	return w
}

func (w *world) register(t *testing.T, r httpclient.Registration) httpclient.Application {
	t.Helper()
	app, err := w.api.Register(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return app
}

// newOrders is the protected resource.
func newOrders(t *testing.T, w *world, client *http.Client) *httptest.Server {
	t.Helper()
	api, err := resourceserver.New(resourceserver.Config{
		Issuer: w.server.BaseURL + "/" + w.server.TenantID + "/v2.0", Audience: w.resource.AppID, HTTPClient: client,
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /orders", resourceserver.RequireRole("Orders.Read", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, _ := resourceserver.FromContext(r.Context())
		fmt.Fprintf(w, "orders for client %s\n", caller.ClientID)
	})))
	orders := httptest.NewServer(api.Middleware(mux))
	t.Cleanup(orders.Close)
	return orders
}

// TestWorkflow runs testdata/deploy.yml in a repository of its own, once for
// each form of the subject.
func TestWorkflow(t *testing.T) {
	realparts.Needs(t, realparts.Act, realparts.Kubelogin, realparts.AzureCLI, realparts.NodeClients)
	w := newWorld(t)
	for form, subject := range map[string]string{"names": names, "ids": ids} {
		t.Run(form, func(t *testing.T) {
			results := w.run(t, subject, newRepository(t))
			if got, want := results("orders"), "orders for client "+w.client.AppID; got != want {
				t.Errorf("the protected resource answered %q, want %q", got, want)
			}
			for client, token := range map[string]string{"kubelogin": results("kubelogin"), "az": results("az")} {
				if _, encoded, ok := strings.Cut(token, `"token":"`); ok { // kubelogin prints an ExecCredential
					token, _, _ = strings.Cut(encoded, `"`)
				}
				claims, err := httpclient.Part(token, 1)
				if err != nil || claims["aud"] != w.resource.AppID || fmt.Sprint(claims["roles"]) != "[Orders.Read]" {
					t.Errorf("%s got a token with the claims %v (%v)", client, claims, err)
				}
			}
			job, err := httpclient.Part(results("toolkit"), 1)
			if err != nil || job["sub"] != subject || job["aud"] != "api://AzureADTokenExchange" {
				t.Errorf("GitHub's toolkit got a token with the claims %v (%v)", job, err)
			}
			file, mode, _ := strings.Cut(results("token-file"), " ")
			if _, err := os.Stat(file); mode != "600" || !os.IsNotExist(err) {
				t.Errorf("the file with the job's token had the mode %s, and afterwards: %v", mode, err)
			}
		})
	}
}

// run runs the workflow and returns a reader of what its steps left behind.
func (w *world) run(t *testing.T, subject, repository string) func(name string) string {
	t.Helper()
	w.tokens.subject.Store(subject)
	act, err := realparts.Find(realparts.Act)
	if err != nil {
		t.Fatal(err)
	}
	kubelogin, err := realparts.Find(realparts.Kubelogin)
	if err != nil {
		t.Fatal(err)
	}
	home, results := t.TempDir(), t.TempDir()
	args := []string{"push", "--workflows", ".github/workflows/deploy.yml", "--platform", "ubuntu-latest=-self-hosted"}
	for name, value := range map[string]string{"CAMBIO_AUTHORITY": w.server.BaseURL, "CAMBIO_TENANT": w.server.TenantID, "CAMBIO_CLIENT": w.client.AppID} {
		args = append(args, "--var", name+"="+value)
	}
	for _, variable := range append(w.tokens.variables(), "RESOURCE=api://orders", "ORDERS="+w.orders.URL, "RESULTS="+results,
		"CA="+w.server.CAFile, "NODE_EXTRA_CA_CERTS="+w.server.CAFile, "AZURE_CONFIG_DIR="+filepath.Join(home, "azure")) {
		args = append(args, "--env", variable)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, act, args...)
	cmd.Dir, cmd.WaitDelay = repository, 5*time.Second
	cmd.Env = []string{"PATH=" + filepath.Dir(kubelogin) + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME=" + home, "LANG=C.UTF-8"}
	start := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the workflow failed: %v\n%s", err, out)
	}
	t.Logf("the workflow took %.0f s", time.Since(start).Seconds())
	return func(name string) string {
		content, err := os.ReadFile(filepath.Join(results, name))
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return strings.TrimSpace(string(content))
	}
}

// TestConfig runs the workflow that `cambio client-config github-actions`
// prints.
func TestConfig(t *testing.T) {
	realparts.Needs(t, realparts.Act, realparts.Kubelogin, realparts.AzureCLI, realparts.NodeClients)
	w := newWorld(t)
	out, err := exec.CommandContext(t.Context(), w.binary, "client-config", "github-actions", "--authority", w.server.BaseURL, "--tenant", w.server.TenantID,
		"--client-id", w.client.AppID, "--scope", "api://orders/.default").Output()
	if err != nil {
		t.Fatal(err)
	}
	// The resource is this test's.
	workflow := strings.NewReplacer("https://orders.example.net/'", w.orders.URL+"/orders >"+`"$RESULTS/orders"`+"'").Replace(string(out))
	repository := newRepository(t)
	if err := os.WriteFile(filepath.Join(repository, ".github", "workflows", "deploy.yml"), []byte(workflow), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := w.run(t, ids, repository)("orders"), "orders for client "+w.client.AppID; got != want {
		t.Errorf("the protected resource answered %q, want %q", got, want)
	}
}

// newRepository is a git repository with the action, the workflow and the
// action that uses GitHub's toolkit.
func newRepository(t *testing.T) string {
	t.Helper()
	root, err := devserver.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for from, to := range map[string]string{
		filepath.Join(root, "action"):                                          ".github/actions/cambio",
		filepath.Join(root, "test", "githubactions", "testdata", "read-token"): "read-token",
		filepath.Join(root, "test", "githubactions", "testdata", "deploy.yml"): ".github/workflows/deploy.yml",
	} {
		to = filepath.Join(dir, to)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), "cp", "-r", from, to).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if err := os.Symlink(filepath.Join(root, "test", "clients", "node", "node_modules"), filepath.Join(dir, "read-token", "node_modules")); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"init", "-q", "-b", "main"}, {"remote", "add", "origin", "https://github.com/acme/shop"}, {"add", "-A"},
		{"-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "-q", "-m", "test"}} {
		cmd := exec.CommandContext(t.Context(), "git", command...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", command, err, out)
		}
	}
	return dir
}

// TestGuideShowsTheWorkflow compares what the guide has the reader write with
// what TestWorkflow runs.
func TestGuideShowsTheWorkflow(t *testing.T) {
	root, err := devserver.Root()
	if err != nil {
		t.Fatal(err)
	}
	guide, err := os.ReadFile(filepath.Join(root, "docs", "guides", "github-actions.md"))
	if err != nil {
		t.Fatal(err)
	}
	workflow, err := os.ReadFile(filepath.Join(root, "test", "githubactions", "testdata", "deploy.yml"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(string(guide), -1)
	shown := 0
	for _, block := range blocks {
		if strings.Contains(block[1], "./.github/actions/cambio") {
			shown++
			for part := range strings.SplitSeq(strings.TrimSuffix(block[1], "\n"), "…\n") {
				if !strings.Contains(string(workflow), part) {
					t.Errorf("no test runs this part of the guide:\n%s", part)
				}
			}
		}
	}
	if shown != 2 {
		t.Errorf("the guide shows %d workflows with the action, want 2", shown)
	}
}
