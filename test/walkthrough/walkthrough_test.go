package walkthrough

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"cambio/conformance/devserver"
)

var block = regexp.MustCompile("(?s)```sh\n(.*?)```")

func TestEveryCommandOfThePage(t *testing.T) {
	follow(t, "walkthrough.md", 7, "orders for client ", "AADSTS700213: ", "'repo:acme/shop:ref:refs/heads/dev'")
}

func TestEveryCommandOfTheTrustGuide(t *testing.T) {
	out := follow(t, "guides/trust-file.md", 9, "2 passed, 0 failed.", "10 created, 0 changed, 0 deleted.", "0 created, 1 changed, 0 deleted.",
		`"repo:acme/shop:ref:refs/heads/main" → "repo:acme/shop:ref:refs/heads/release"`, "warning: application Billing: 1 client secrets have no counterpart here")
	if n := strings.Count(out, "No changes: the tenant is as the configuration says."); n != 2 {
		t.Errorf("%d times there was nothing to change, want 2:\n%s", n, out)
	}
}

// follow runs the commands of a page, one after the other, and checks what
// they print.
func follow(t *testing.T, page string, least int, wants ...string) string {
	t.Helper()
	root, err := devserver.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	binary, err := devserver.Build(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	server, err := devserver.Start(ctx, devserver.Config{Binary: binary, StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Kill()
	script := "set -euo pipefail\n"
	blocks := block.FindAllStringSubmatch(string(text), -1)
	for _, b := range blocks {
		script += b[1]
	}
	if len(blocks) < least {
		t.Fatalf("only %d blocks of commands found", len(blocks))
	}
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "BASE="+server.BaseURL, "CA="+server.CAFile, "TENANT="+server.TenantID, "CAMBIO_ACCESS_TOKEN="+server.AdminToken,
		"CAMBIO_AUTHORITY="+server.BaseURL, "CAMBIO_CA_FILE="+server.CAFile, "CAMBIO_TENANT="+server.TenantID,
		"API_PORT="+freePort(t), "TMPDIR="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range wants {
		if !strings.Contains(string(out), want) {
			t.Errorf("the commands did not print %q:\n%s", want, out)
		}
	}
	return string(out)
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
