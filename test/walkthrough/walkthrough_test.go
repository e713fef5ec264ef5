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
	root, err := devserver.Root()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "walkthrough.md"))
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
	blocks := block.FindAllStringSubmatch(string(page), -1)
	for _, b := range blocks {
		script += b[1]
	}
	if len(blocks) < 7 {
		t.Fatalf("only %d blocks of commands found", len(blocks))
	}
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "BASE="+server.BaseURL, "CA="+server.CAFile, "TENANT="+server.TenantID, "CAMBIO_ACCESS_TOKEN="+server.AdminToken,
		"API_PORT="+freePort(t), "TMPDIR="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"orders for client ", "AADSTS700213: ", "'repo:acme/shop:ref:refs/heads/dev'"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the commands did not print %q:\n%s", want, out)
		}
	}
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
