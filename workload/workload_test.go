package workload_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cambio/cambiotest"
	"cambio/workload"
)

const audience = "api://AzureADTokenExchange"

var server *cambiotest.Server

// TestMain starts one server for all tests: a real exchange ends each of them.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "workload")
	if err != nil {
		panic(err)
	}
	if server, err = cambiotest.Start(context.Background(), dir); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = server.Close(context.Background())
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// variables is an environment of these variables, without files of its own.
func variables(v map[string]string) workload.Environment {
	return workload.Environment{
		Getenv:   func(name string) string { return v[name] },
		ReadFile: func(name string) ([]byte, error) { return nil, os.ErrNotExist },
	}
}

// mint is a token of the workload that the server trusts.
func mint(t *testing.T, claims map[string]any) string {
	t.Helper()
	token, err := server.Provider.Mint(claims, nil)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// client exchanges at the server.
func client(t *testing.T, source workload.Source) *workload.Client {
	t.Helper()
	c, err := workload.New(workload.Config{Authority: server.Info.BaseURL, Tenant: server.Info.TenantID, ClientID: server.Info.ClientID,
		Scope: server.Info.Scope, CAFile: server.Info.CAFile, Source: source})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// exchanged wants the platform to be recognised and its token to be exchanged.
func exchanged(t *testing.T, e workload.Environment, platforms []workload.Platform, name string) {
	t.Helper()
	p, looks, err := workload.Detect(e, platforms)
	if err != nil || p.Name != name {
		t.Fatalf("detected %q (%v), want %q: %+v", p.Name, err, name, looks)
	}
	token, err := client(t, p.Source(e)).Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(token.AccessToken, ".") != 2 || time.Until(token.Expires) < 50*time.Minute {
		t.Errorf("token %+v", token)
	}
}

func TestFileAndKubernetes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(mint(t, nil)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := variables(map[string]string{"CAMBIO_FEDERATED_TOKEN_FILE": file})
	e.ReadFile = nil
	exchanged(t, e, workload.Platforms(), "file")
	e = variables(map[string]string{"AZURE_FEDERATED_TOKEN_FILE": file})
	e.ReadFile = nil
	exchanged(t, e, workload.Platforms(), "kubernetes")
	// Where the webhook mounts it.
	e = variables(nil)
	e.ReadFile = func(name string) ([]byte, error) {
		if name != "/var/run/secrets/azure/tokens/azure-identity-token" {
			return nil, os.ErrNotExist
		}
		return os.ReadFile(file)
	}
	exchanged(t, e, workload.Platforms(), "kubernetes")
}

func TestCommand(t *testing.T) {
	e := variables(nil)
	e.Command = []string{"printf", "%s\n", mint(t, nil)}
	exchanged(t, e, workload.Platforms(), "command")
	e.Command = []string{"sh", "-c", "echo first >&2; echo no session >&2; exit 3"}
	wantError(t, e, "command", "sh gave no token: exit status 3: no session")
	e.Command = []string{"echo", "two words"}
	wantError(t, e, "command", "what echo printed holds more than one word")
}

// wantError wants a source to fail with a text.
func wantError(t *testing.T, e workload.Environment, name, text string) {
	t.Helper()
	p, err := workload.ByName(name, workload.Platforms())
	if err != nil {
		t.Fatal(err)
	}
	if _, err = p.Source(e)(t.Context(), audience); err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v, want %q", name, err, text)
	}
}

// endpoint serves a platform's endpoint and the environment's client for it.
func endpoint(t *testing.T, serve http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(serve)
	t.Cleanup(s.Close)
	return s
}

func TestGitHubActions(t *testing.T) {
	var asked atomic.Int32
	s := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		if r.Header.Get("Authorization") != "Bearer runner" || query.Get("api-version") != "2.0" || query.Get("audience") != audience {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		if asked.Add(1) == 1 { // busy at first
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintf(w, `{"count":4211,"value":%q}`, mint(t, nil))
	})
	v := map[string]string{"GITHUB_ACTIONS": "true", "ACTIONS_ID_TOKEN_REQUEST_URL": s.URL + "/token?api-version=2.0", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "runner"}
	exchanged(t, variables(v), workload.Platforms(), "github-actions")
	if asked.Load() != 2 {
		t.Errorf("asked %d times, want a repetition", asked.Load())
	}
	v["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = "another"
	wantError(t, variables(v), "github-actions", "GitHub Actions gave no token: status 403: the job may not obtain a token: give it `permissions: id-token: write`")
	exchangedNot(t, map[string]string{"GITHUB_ACTIONS": "true"}, "github-actions", "`id-token: write`")
}

// exchangedNot wants the platform to be recognised and to say what is missing.
func exchangedNot(t *testing.T, v map[string]string, name, text string) {
	t.Helper()
	p, _, err := workload.Detect(variables(v), workload.Platforms())
	if err != nil || p.Name != name {
		t.Errorf("detected %q (%v), want %q", p.Name, err, name)
	}
	wantError(t, variables(v), name, text)
	var settings *workload.SettingsError
	if _, err := p.Source(variables(v))(t.Context(), audience); !errors.As(err, &settings) {
		t.Errorf("%s: %v is no mistake in the settings", name, err)
	}
}

func TestDetectionIsInOrder(t *testing.T) {
	v := map[string]string{"GITHUB_ACTIONS": "true", "AZURE_FEDERATED_TOKEN_FILE": "f", "CAMBIO_FEDERATED_TOKEN_FILE": "g"}
	for _, name := range []string{"CAMBIO_FEDERATED_TOKEN_FILE", "AZURE_FEDERATED_TOKEN_FILE", "GITHUB_ACTIONS"} {
		p, _, err := workload.Detect(variables(v), workload.Platforms())
		want := map[string]string{"CAMBIO_FEDERATED_TOKEN_FILE": "file", "AZURE_FEDERATED_TOKEN_FILE": "kubernetes", "GITHUB_ACTIONS": "github-actions"}[name]
		if err != nil || p.Name != want {
			t.Errorf("%v: detected %q (%v), want %q", v, p.Name, err, want)
		}
		delete(v, name)
	}
	if _, looks, err := workload.Detect(variables(nil), workload.Platforms()); err == nil || len(looks) != len(workload.Platforms()) {
		t.Errorf("nothing is there: %v, %d looks", err, len(looks))
	}
}

func TestTokensAreKept(t *testing.T) {
	asked := 0
	source := func(context.Context, string) (string, error) { asked++; return mint(t, nil), nil }
	now := time.Now()
	c, err := workload.New(workload.Config{Authority: server.Info.BaseURL + "/", ClientID: server.Info.ClientID, Scope: server.Info.Scope,
		CAFile: server.Info.CAFile, Source: source, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	first, err := c.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	now = first.Expires.Add(-5*time.Minute - time.Second)
	if again, err := c.Token(t.Context()); err != nil || again != first || asked != 1 {
		t.Errorf("a token that lives on was replaced: %v, asked %d times", err, asked)
	}
	now = now.Add(2 * time.Second)
	if again, err := c.Token(t.Context()); err != nil || !again.Expires.After(first.Expires) || asked != 2 {
		t.Errorf("a token that is about to end was kept: %v, asked %d times", err, asked)
	}
}

func TestRefusalsAreExplained(t *testing.T) {
	c := client(t, func(context.Context, string) (string, error) { return mint(t, map[string]any{"sub": "someone"}), nil })
	_, err := c.Token(t.Context())
	var refused *workload.RefusedError
	if !errors.As(err, &refused) || refused.Status != 401 || refused.Code != "invalid_client" || !strings.HasPrefix(refused.Description, "AADSTS700213:") ||
		refused.TraceID == "" || strings.Contains(refused.Error(), "Trace ID") {
		t.Errorf("%+v", err)
	}
	c, err = workload.New(workload.Config{Authority: server.Info.BaseURL, ClientID: "c", Scope: "s", Source: func(context.Context, string) (string, error) { return "x", nil }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Token(t.Context()); err == nil || !strings.Contains(err.Error(), "name the certificate authority with --ca FILE") {
		t.Errorf("an unknown certificate authority: %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	source := func(context.Context, string) (string, error) { return "x", nil }
	for text, cfg := range map[string]workload.Config{
		"must be an https URL":         {Authority: "http://sts.example.net", ClientID: "c", Source: source},
		"without path":                 {Authority: "https://sts.example.net/tenant", ClientID: "c", Source: source},
		"the client id is missing":     {Authority: "https://sts.example.net", Source: source},
		"the source of the platform's": {Authority: "https://sts.example.net", ClientID: "c"},
		"cannot be read":               {Authority: "https://sts.example.net", ClientID: "c", Source: source, CAFile: "none"},
	} {
		var settings *workload.SettingsError
		if _, err := workload.New(cfg); !errors.As(err, &settings) || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %q", err, text)
		}
	}
}
