package hostiletest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"cambio/conformance/devserver"
)

// maxRSSPeak bounds the server's resident memory over the whole run, document
// bombs and endless bodies included.
const maxRSSPeak = 128 << 10 // KiB

// report is what this test reads of the driver's report.
type report struct {
	Counts    map[string]int `json:"counts"`
	RSSBefore int            `json:"rss_before_kb"`
	RSSAfter  int            `json:"rss_after_kb"`
	RSSPeak   int            `json:"rss_peak_kb"`
	Cases     []struct {
		ID     string   `json:"id"`
		Result string   `json:"result"`
		Exact  bool     `json:"exact"`
		Notes  []string `json:"notes"`
		Checks []struct {
			Name   string `json:"name"`
			Detail string `json:"detail"`
		} `json:"failed_checks"`
	} `json:"cases"`
}

// TestHostileInput runs every case of the driver, the slow ones included.
func TestHostileInput(t *testing.T) {
	if testing.Short() {
		t.Skip("the driver takes minutes; -short leaves it out")
	}
	dir := t.TempDir()
	driver := buildDriver(t, dir)
	caDir := filepath.Join(dir, "issuer-ca")
	if out, err := exec.Command(driver, "-issuer-ca-dir", caDir, "-only", "^$", "-tenant", "x", "-out", os.DevNull).CombinedOutput(); err != nil {
		t.Fatalf("making the issuers' CA: %v\n%s", err, out)
	}
	server := startServer(t, dir, filepath.Join(caDir, "issuer-ca.pem"))

	out := filepath.Join(dir, "report.json")
	run := exec.Command(driver, "-slow", "-base", server.BaseURL, "-ca", server.CAFile, "-tenant", server.TenantID,
		"-scope", server.Scope, "-issuer-ca-dir", caDir, "-pid", strconv.Itoa(server.PID()), "-out", out)
	run.Env = append(os.Environ(), "HOSTILE_ADMIN_TOKEN="+server.AdminToken)
	log, err := run.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) {
		t.Fatalf("the driver could not run: %v\n%s", err, tail(log))
	}
	judge(t, out)
}

// buildDriver builds the driver, which is a module of its own.
func buildDriver(t *testing.T, dir string) string {
	t.Helper()
	root, err := devserver.Root()
	if err != nil {
		t.Fatal(err)
	}
	driver := filepath.Join(dir, "hostile")
	build := exec.Command("go", "build", "-o", driver, ".")
	build.Dir = filepath.Join(root, "conformance", "hostile")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the driver: %v\n%s", err, out)
	}
	return driver
}

// startServer starts `cambio dev` and stops it at the end of the test.
func startServer(t *testing.T, dir, issuerCA string) *devserver.Server {
	t.Helper()
	binary, err := devserver.Build(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "server.log"))
	if err != nil {
		t.Fatal(err)
	}
	server, err := devserver.Start(context.Background(), devserver.Config{
		Binary: binary, StateDir: filepath.Join(dir, "state"), Stderr: log,
		IssuerCAFile: issuerCA, AllowIssuerAddress: []string{"127.0.0.1/32"},
	})
	if err != nil {
		text, _ := os.ReadFile(log.Name())
		t.Fatalf("%v\n%s", err, tail(text))
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Errorf("the server did not end in good order: %v", err)
		}
		_ = log.Close()
		if text, _ := os.ReadFile(log.Name()); strings.Contains(string(text), "panic") {
			t.Errorf("the server's log mentions a panic:\n%s", tail(text))
		}
	})
	return server
}

// judge reads the report: nothing but passed cases, and bounded memory.
func judge(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	inexact := 0
	for _, c := range r.Cases {
		if !c.Exact {
			inexact++
		}
		if c.Result == "pass" {
			continue
		}
		why := fmt.Sprint(c.Notes)
		for _, check := range c.Checks {
			why += "\n    " + check.Name + ": " + check.Detail
		}
		t.Errorf("%s: %s %s", c.ID, c.Result, why)
	}
	summary := fmt.Sprintf("%d cases: %d passed, %d failed, %d control-failed, %d skipped; %d passed with another status or code than the driver's first choice; resident memory %d KiB before, %d after, %d at the peak",
		len(r.Cases), r.Counts["pass"], r.Counts["fail"], r.Counts["control-failed"], r.Counts["skip"], inexact, r.RSSBefore, r.RSSAfter, r.RSSPeak)
	fmt.Println("hostile:", summary)
	if len(r.Cases) < 260 {
		t.Errorf("only %d cases ran", len(r.Cases))
	}
	if r.RSSPeak == 0 || r.RSSPeak >= maxRSSPeak {
		t.Errorf("the server's memory peaked at %d KiB; it must be measured and stay under %d", r.RSSPeak, maxRSSPeak)
	}
}

// tail is the end of a long text.
func tail(text []byte) string {
	return string(text[max(0, len(text)-4000):])
}
