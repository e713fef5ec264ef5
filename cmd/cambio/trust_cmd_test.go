package main

import (
	"context"
	"encoding/xml"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cambio/cambiotest"
)

const trustFile = `version: 1
applications:
- uniqueName: shop
  displayName: Shop
  federatedIdentityCredentials:
  - {name: main, issuer: "https://i.example", subject: main, audiences: [a]}
`

const trustCases = `version: 1
cases:
- {name: good, client: shop, claims: {iss: "https://i.example", sub: main, aud: a}, credential: main}
- {name: bad, client: shop, claims: {iss: "https://i.example", sub: other, aud: a}, credential: main}
`

func TestTrustCommands(t *testing.T) {
	server, err := cambiotest.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close(context.Background()) })
	for name, value := range map[string]string{"CAMBIO_AUTHORITY": server.Info.BaseURL, "CAMBIO_CA_FILE": server.Info.CAFile,
		"CAMBIO_TENANT": server.Info.TenantID, "CAMBIO_ACCESS_TOKEN": server.Info.AdminToken} {
		t.Setenv(name, value)
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file, cases := write("trust.yaml", trustFile), write("tests.yaml", trustCases)
	more := write("more.json", `{"version":1,"applications":[{"uniqueName":"more","displayName":"More \u001b[31m"}]}`)
	exported := filepath.Join(dir, "exported.yaml")
	apps := write("apps.json", `[{"appId":"0b1c2d3e-0000-4000-8000-000000000003","displayName":"Old","signInAudience":"AzureADMyOrg","keyCredentials":[{}]}]`)
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"plan", exitUsage, "-f FILE"},
		{"plan -f " + filepath.Join(dir, "nothing"), exitUsage, "no such file"},
		{"plan -f " + file + " -o tsv", exitUsage, "must be one of table, json"},
		{"plan -f " + file, exitDone, "3 to create, 0 to change, 0 to delete."},
		{"plan -f " + file + " --detailed-exitcode", exitPending, `subject    "main"`},
		{"plan -f " + file + " -o json", exitDone, `"kind": "federatedIdentityCredential"`},
		{"plan -f " + file + " -f " + file, exitFailed, "named twice"},
		{"plan -f " + cases, exitUsage, "cases: unknown key"},
		{"plan -f " + more, exitFailed, "control character"},
		{"apply -f " + file + " --dry-run", exitDone, "3 to create"},
		{"apply -f " + file, exitUsage, "say --yes"},
		{"apply -f " + file + " --yes", exitDone, "3 created, 0 changed, 0 deleted."},
		{"apply -f " + file + " --yes", exitDone, "No changes"},
		{"plan -f " + file + " --detailed-exitcode", exitDone, "No changes"},
		{"plan -f " + file + " --prune", exitDone, "is kept: it holds app roles of the management resource"},
		{"export -o json", exitDone, `"uniqueName": "shop"`},
		{"export", exitDone, "# yaml-language-server: $schema=" + server.Info.BaseURL + "/trust/v1/schema\nversion: 1\n"},
		{"test -f " + file, exitUsage, "-t FILE"},
		{"test -f " + file + " -t " + cases, exitFailed, "FAIL  bad\n      - want  credential main\n      + got   AADSTS700213"},
		{"test -f " + file + " -t " + cases + " -o json", exitFailed, `"passed": false`},
		{"test -f " + cases + " -t " + cases, exitUsage, cases + ":2:1: cases: unknown key"},
		{"test -f " + file + " -t " + cases + " --compat lax", exitUsage, "compat must be"},
		{"import", exitUsage, "--graph and --arm"},
		{"import --graph " + apps, exitDone, "warning: application Old: 1 certificates have no counterpart here\nversion: 1\n"},
		{"import --graph " + file, exitUsage, "invalid JSON"},
	} {
		out, err := run(t.Context(), strings.Fields(c.args)...)
		if err != nil {
			out += err.Error()
		}
		if exitCode(err) != c.code || !strings.Contains(out, c.want) {
			t.Errorf("cambio %s ends with %d, want %d with %q:\n%s", c.args, exitCode(err), c.code, c.want, out)
		}
		if c.args == "export" {
			if err := os.WriteFile(exported, []byte(out), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if out, err := run(t.Context(), "plan", "-f", exported, "--prune", "--detailed-exitcode"); err != nil {
		t.Errorf("what was exported is another configuration: %v\n%s", err, out)
	}
	out, err := run(t.Context(), "test", "-f", file, "-t", cases, "-o", "junit")
	var suite junitSuite
	if xml.Unmarshal([]byte(out), &suite) != nil || suite.Tests != 2 || suite.Failures != 1 || suite.Cases[1].Failure == nil || err == nil {
		t.Errorf("the report is %+v, %v of\n%s", suite, err, out)
	}
}

// A bootstrap token is good for one request, which the plan would use up.
func TestApplyWithABootstrapToken(t *testing.T) {
	t.Setenv("CAMBIO_AUTHORITY", "https://127.0.0.1:1")
	t.Setenv("CAMBIO_ACCESS_TOKEN", "cambio-bootstrap-X")
	file := filepath.Join(t.TempDir(), "trust.yaml")
	if err := os.WriteFile(file, []byte(trustFile), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := run(t.Context(), "apply", "-f", file, "--dry-run")
	var usage usageError
	if !errors.As(err, &usage) || !strings.Contains(err.Error(), "good for one request") {
		t.Errorf("got %v", err)
	}
}
