package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// loading is an installation without a running server, with its tenant.
type loading struct {
	*installation
	tenant string
}

func newLoading(t *testing.T) *loading {
	i := install(t)
	out, err := run(context.Background(), "bootstrap", "--config", i.config, "--name", "Example", "--domain", "example.net", "--issuer", i.provider.Issuer(), "--subject", "ops")
	if err != nil {
		t.Fatal(err, out)
	}
	return &loading{i, field(t, out, `Tenant +`+guid)}
}

// load loads lines from a file.
func (l *loading) load(t *testing.T, lines ...string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "clients.jsonl")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return run(context.Background(), "load", "--config", l.config, "--tenant", "example.net", "--file", file)
}

func clientID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// line is a client with a credential for the subject job-n.
func (l *loading) line(n int) string {
	return fmt.Sprintf(`{"displayName":"job %d","appId":%q,"credentials":[{"name":"platform","issuer":%q,"subject":"job-%d","audiences":["api://AzureADTokenExchange"]}]}`,
		n, clientID(n), l.provider.Issuer(), n)
}

// What was loaded works like what was created, an interrupted input is gone on
// with, and one that was changed meanwhile is refused.
func TestLoad(t *testing.T) {
	l := newLoading(t)
	var lines []string
	for n := range 9000 { // more than one transaction
		lines = append(lines, l.line(n))
	}
	broken := append(lines[:8999:8999], `{"displayName":"no","secret":"x"}`)
	out, err := l.load(t, broken...)
	if err == nil || !strings.Contains(err.Error(), `line 9000: the member "secret"`) || strings.Contains(out, "Loaded 0 ") {
		t.Fatalf("a mistake in the last line: %v %s", err, out)
	}
	if out, err = l.load(t, lines...); err != nil || strings.Contains(out, "; 0 lines") {
		t.Fatal(err, out)
	}
	if out, err = l.load(t, lines...); err != nil || !strings.Contains(out, "Loaded 0 applications, 0 credentials and 0 assignments") || !strings.Contains(out, "9000 lines") {
		t.Errorf("the same again: %v %s", err, out)
	}
	changed := append([]string{lines[0], l.line(20000)}, lines[2:]...)
	if _, err = l.load(t, changed...); err == nil || !strings.Contains(err.Error(), "differ now") {
		t.Errorf("a changed input: %v", err)
	}
	stop := l.serving(t)
	defer func() { _ = stop() }()
	for _, n := range []int{0, 4711, 8999} {
		status, answer := l.token(t, l.tenant, clientID(n), fmt.Sprintf("job-%d", n))
		if status != http.StatusOK {
			t.Errorf("client %d: %d %v", n, status, answer)
		}
	}
	trail, err := run(context.Background(), "audit", "--config", l.config)
	if err != nil || !strings.Contains(trail, "clients.load") || !strings.Contains(trail, "lines 1-") {
		t.Errorf("the trail says nothing of it: %v %.2000s", err, trail)
	}
}

func TestLoadRefuses(t *testing.T) {
	l := newLoading(t)
	credential := func(name, subject string) string {
		return fmt.Sprintf(`{"name":%q,"issuer":%q,"subject":%q,"audiences":["a"]}`, name, l.provider.Issuer(), subject)
	}
	for name, c := range map[string]struct{ line, says string }{
		"no JSON":          {`displayName: a`, "line 1: "},
		"empty line":       {``, "line 1 is empty"},
		"twice a member":   {`{"displayName":"a","displayName":"b"}`, "line 1: "},
		"no name":          {`{}`, "displayName"},
		"appId":            {`{"displayName":"a","appId":"1"}`, "appId must be a GUID"},
		"issuer":           {`{"displayName":"a","credentials":[{"name":"abc","issuer":"http://x","subject":"s","audiences":["a"]}]}`, "credentials[0]: issuer"},
		"own issuer":       {`{"displayName":"a","credentials":[{"name":"abc","issuer":"` + l.base + `/x","subject":"s","audiences":["a"]}]}`, "credentials[0]: "},
		"same trust":       {`{"displayName":"a","credentials":[` + credential("one", "s") + `,` + credential("two", "s") + `]}`, "credentials[1]: "},
		"same name":        {`{"displayName":"a","credentials":[` + credential("one", "s") + `,` + credential("one", "t") + `]}`, "credentials[1]: "},
		"unknown member":   {`{"displayName":"a","credentials":[{"Name":"x"}]}`, `the member "Name"`},
		"unknown resource": {`{"displayName":"a","assignments":[{"resource":"api://none","role":"R"}]}`, "api://none"},
		"same appId":       {l.line(1) + "\n" + l.line(1), "is in use"},
		"same unique name": {`{"displayName":"a","uniqueName":"u"}` + "\n" + `{"displayName":"b","uniqueName":"u"}`, "given to two"},
		"both subject and expression": {`{"displayName":"a","credentials":[{"name":"abc","issuer":"` + l.provider.Issuer() +
			`","subject":"s","claimsMatchingExpression":{"value":"claims['sub'] eq 'a'","languageVersion":1},"audiences":["a"]}]}`, "credentials[0]: "},
	} {
		if out, err := l.load(t, c.line); err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(out, "Loaded 0 applications") {
			t.Errorf("%s: %v %s", name, err, out)
		}
	}
}
