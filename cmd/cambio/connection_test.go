package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cambio/internal/admin"
)

// A development server can be managed without flags as long as it runs, and
// what says how is for its owner alone.
func TestDevIsFoundWhileItRuns(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_STATE_HOME", home)
	file := filepath.Join(home, "cambio", "dev", admin.StateFile)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		_, err := run(ctx, "dev", "--listen", "127.0.0.1:0", "--log-level", "error")
		ended <- err
	}()
	deadline := time.Now().Add(20 * time.Second)
	for !exists(file) {
		if time.Now().After(deadline) {
			t.Fatal("cambio dev did not say how to reach it")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v, %v", file, info.Mode(), err)
	}
	out, err := run(context.Background(), "app", "list", "-o", "tsv")
	if err != nil || !strings.Contains(out, "Sample workload\t") {
		t.Errorf("app list: %v\n%s", err, out)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if exists(file) {
		t.Error("the file outlived the server")
	}
	if _, err := run(context.Background(), "app", "list"); exitCode(err) != exitUsage || !strings.Contains(err.Error(), "no server is named") {
		t.Errorf("after the end: %v", err)
	}
}

// The first command after `cambio bootstrap`: the bootstrap token creates the
// administrator's credential, and then the administrator signs in with it.
func TestBootstrapTokenCreatesACredential(t *testing.T) {
	i := install(t)
	ctx := context.Background()
	out, err := run(ctx, "bootstrap", "--config", i.config, "--name", "Example", "--domain", "example.net")
	if err != nil {
		t.Fatal(err, out)
	}
	client := field(t, out, `Administrator +`+guid)
	if !strings.Contains(out, "cambio credential create --authority "+i.base) || !strings.Contains(out, "--app "+client) {
		t.Errorf("bootstrap does not say what to do next:\n%s", out)
	}
	stop := i.serving(t)
	defer func() { _ = stop() }()
	t.Setenv("CAMBIO_AUTHORITY", i.base)
	t.Setenv("CAMBIO_CA_FILE", i.path("tls.crt"))
	t.Setenv("CAMBIO_ACCESS_TOKEN", field(t, out, `(cambio-bootstrap-\w+)`))
	create := func() (string, error) {
		return run(ctx, "credential", "create", "--app", client, "--name", "administrator", "--issuer", i.provider.Issuer(), "--subject", "ops")
	}
	if out, err := create(); err != nil || !strings.Contains(out, "Created the credential administrator") {
		t.Fatalf("create: %v\n%s", err, out)
	}
	if _, err := create(); exitCode(err) != exitDenied || !strings.Contains(err.Error(), "works once") {
		t.Errorf("a bootstrap token worked twice: %v", err)
	}
	t.Setenv("CAMBIO_ACCESS_TOKEN", "")
	token, err := i.provider.Mint(map[string]any{"sub": "ops"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err = run(ctx, "whoami", "--tenant", "example.net", "--client-id", client, "--federated-token-file", i.write(t, "token", token), "-o", "tsv")
	if err != nil || !strings.Contains(out, "Example\t") || !strings.Contains(out, "Application.ReadWrite.All") {
		t.Errorf("whoami: %v\n%s", err, out)
	}
	if out, err := run(ctx, "doctor", "--tenant", "example.net", "--client-id", client, "--federated-token-file", i.path("token")); err != nil {
		t.Errorf("doctor: %v\n%s", err, out)
	}
}

// A person at a terminal is asked; a script is not. The null device is not a
// person.
func TestWhoIsAsked(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "input"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if isTerminal(null) || isTerminal(file) || isTerminal(strings.NewReader("y\n")) {
		t.Error("a file, the null device or a pipe is taken for a person")
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
