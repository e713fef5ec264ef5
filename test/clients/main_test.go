package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cambio/conformance/devserver"
	"cambio/test/httpclient"
	"cambio/test/realparts"
)

// The subject that the client's credential names, and a role of the resources.
const (
	subject = "system:serviceaccount:demo:clients"
	role    = "Things.Read"
)

// world is what all tests share: one server, one registered client, and three
// protected resources that ask for different access tokens.
type world struct {
	server         *devserver.Server
	api            *httpclient.Client
	dir, binary    string
	client         httpclient.Application
	operator       httpclient.Application // trusts like client, and may manage the directory
	group          string                 // a resource group
	v1, v2, es256  httpclient.Application
	good, stranger string // files with an assertion: of the credential's subject, of another one
}

// shared is set by TestMain, before any test runs.
var shared world

func TestMain(m *testing.M) {
	code, err := shared.run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func (w *world) run(m *testing.M) (int, error) {
	ctx := context.Background()
	var err error
	if w.dir, err = os.MkdirTemp("", "cambio-clients"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(w.dir)
	if w.binary, err = devserver.Build(ctx, w.dir); err != nil {
		return 0, err
	}
	w.server, err = devserver.Start(ctx, devserver.Config{
		Binary: w.binary, StateDir: filepath.Join(w.dir, "state"), Stderr: os.Stderr,
	})
	if err != nil {
		return 0, err
	}
	defer w.server.Stop()
	if err := w.register(ctx); err != nil {
		return 0, fmt.Errorf("registering what the tests need: %w", err)
	}
	return m.Run(), nil
}

// register creates the client, the resources and the grants.
func (w *world) register(ctx context.Context) error {
	client, err := w.server.Client()
	if err != nil {
		return err
	}
	w.api = &httpclient.Client{
		BaseURL: w.server.BaseURL, TenantID: w.server.TenantID, AdminToken: w.server.AdminToken, HTTP: client,
	}
	if w.client, err = w.api.Register(ctx, httpclient.Registration{Name: "clients"}); err != nil {
		return err
	}
	if _, err := w.api.Trust(ctx, w.client, "clients", w.server.IDP.Issuer, subject); err != nil {
		return err
	}
	for _, resource := range []struct {
		app       *httpclient.Application
		uri       string
		version   int
		algorithm string
	}{{&w.v1, "api://things-v1", 1, ""}, {&w.v2, "api://things-v2", 2, ""}, {&w.es256, "api://things-es256", 2, "ES256"}} {
		*resource.app, err = w.api.Register(ctx, httpclient.Registration{
			Name: resource.uri, IdentifierURI: resource.uri, Roles: []string{role},
			TokenVersion: resource.version, Algorithm: resource.algorithm,
		})
		if err != nil {
			return err
		}
		if err := w.api.Grant(ctx, w.client, *resource.app, role); err != nil {
			return err
		}
	}
	if err := w.registerOperator(ctx); err != nil {
		return err
	}
	if w.good, err = w.mint(ctx, subject); err != nil {
		return err
	}
	w.stranger, err = w.mint(ctx, "somebody:else")
	return err
}

// mint has the built-in identity provider issue a token and returns the file
// that holds it.
func (w *world) mint(ctx context.Context, subject string) (string, error) {
	now := time.Now().Unix()
	body, err := json.Marshal(map[string]any{"header": map[string]any{}, "claims": map[string]any{
		"iss": w.server.IDP.Issuer, "sub": subject, "aud": "api://AzureADTokenExchange",
		"iat": now, "nbf": now, "exp": now + 3600,
	}})
	if err != nil {
		return "", err
	}
	response, err := w.api.HTTP.Post(w.server.IDP.MintURL, "application/json", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var answer struct{ Token string }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return "", fmt.Errorf("POST %s: %s: %w", w.server.IDP.MintURL, response.Status, err)
	}
	file := filepath.Join(w.dir, strings.NewReplacer(":", "-", "/", "-").Replace(subject)+".jwt")
	return file, os.WriteFile(file, []byte(answer.Token), 0o600)
}

// outcome is the line of JSON that the programs in go and node print.
type outcome struct {
	OK          bool   `json:"ok"`
	AccessToken string `json:"access_token"`
	Cached      bool   `json:"cached"`
	Error       string `json:"error"`
	Subject     string `json:"subject"`

	// Of the programs that register something: what it was, and how the server
	// refused it once its credential was deleted.
	ClientID    string `json:"client_id"`
	PrincipalID string `json:"principal_id"`
	ResourceID  string `json:"resource_id"`
	Refusal     string `json:"refusal"`
}

// run starts a program with nothing in its environment but what is given, and
// what no program can do without.
func run(t *testing.T, env []string, argv ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = slices.Concat([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	var o outcome
	if decode := json.Unmarshal(stdout, &o); decode != nil {
		t.Fatalf("%s: %v: %s%s", strings.Join(argv, " "), err, stdout, stderr.Bytes())
	}
	t.Logf("%s: ok=%t cached=%t subject=%q error=%.300q", filepath.Base(argv[len(argv)-1]), o.OK, o.Cached, o.Subject, o.Error)
	return o
}

// goProgram builds the program in go, once for all tests.
func goProgram(t *testing.T) string {
	t.Helper()
	realparts.Needs(t, realparts.GoClients)
	program := filepath.Join(shared.dir, "go-client")
	build := exec.Command("go", "build", "-trimpath", "-o", program, ".")
	build.Dir = "go"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

// nodeProgram is the command that runs the program in node.
func nodeProgram(t *testing.T) string {
	t.Helper()
	realparts.Needs(t, realparts.NodeClients)
	return filepath.Join("node", "client.mjs")
}
