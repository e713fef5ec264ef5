// Package operations checks what operators are given: alerts, a dashboard and
// a page that says what to do, against the metrics that there are.
package operations

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"cambio/conformance/devserver"
	"cambio/test/realparts"
	"cambio/test/replicas"
)

func root(t *testing.T) string {
	t.Helper()
	dir, err := devserver.Root()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(append([]string{root(t)}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

var metricName = regexp.MustCompile(`\bcambio_[a-z0-9_]+`)

// known are the metrics that docs/metrics.md lists, which a test of the whole
// tree compares with the program.
func known(t *testing.T) map[string]bool {
	names := map[string]bool{}
	for _, name := range metricName.FindAllString(read(t, "docs", "metrics.md"), -1) {
		for _, suffix := range []string{"", "_bucket", "_count", "_sum"} {
			names[name+suffix] = true
		}
	}
	return names
}

func TestMetricsInUseExist(t *testing.T) {
	names := known(t)
	if len(names) < 80 {
		t.Fatalf("only %d names in docs/metrics.md", len(names))
	}
	for _, file := range [][]string{{"deploy", "prometheus", "alerts.yml"}, {"deploy", "grafana", "cambio.json"}, {"docs", "operations.md"}} {
		for _, name := range metricName.FindAllString(read(t, file...), -1) {
			if !names[name] {
				t.Errorf("%s uses %s, which there is not", filepath.Join(file...), name)
			}
		}
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "deploy", "grafana", "cambio.json")), &dashboard); err != nil || len(dashboard.Panels) < 10 {
		t.Errorf("the dashboard has %d panels, %v", len(dashboard.Panels), err)
	}
}

// TestRunbooksExist: each alert leads to a heading of docs/operations.md.
func TestRunbooksExist(t *testing.T) {
	anchors := map[string]bool{}
	for line := range strings.Lines(read(t, "docs", "operations.md")) {
		if title, ok := strings.CutPrefix(strings.TrimSpace(line), "## "); ok {
			anchors[strings.ReplaceAll(strings.ToLower(title), " ", "-")] = true
		}
	}
	alerts := read(t, "deploy", "prometheus", "alerts.yml")
	links := regexp.MustCompile(`runbook: docs/operations\.md#(\S+)`).FindAllStringSubmatch(alerts, -1)
	if len(links) != strings.Count(alerts, "- alert:") {
		t.Errorf("%d alerts have %d runbooks", strings.Count(alerts, "- alert:"), len(links))
	}
	for _, link := range links {
		if !anchors[link[1]] {
			t.Errorf("docs/operations.md has no %q", link[1])
		}
	}
}

func promtool(t *testing.T, stdin io.Reader, args ...string) {
	t.Helper()
	realparts.Needs(t, realparts.Promtool)
	cmd := exec.Command("promtool", args...)
	cmd.Dir, cmd.Stdin = filepath.Join(root(t), "deploy", "prometheus"), stdin
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestAlerts(t *testing.T) {
	promtool(t, nil, "check", "rules", "alerts.yml")
	promtool(t, nil, "test", "rules", "alerts_test.yml")
}

// TestLiveMetrics: what a running server shows is well-formed, and all of it
// is in docs/metrics.md.
func TestLiveMetrics(t *testing.T) {
	ctx := t.Context()
	binary, err := devserver.Build(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close() // for the server to take
	dir := t.TempDir()
	c, err := replicas.Start(ctx, replicas.Options{Binary: binary, Dir: dir, DSNs: []string{filepath.Join(dir, "state", "cambio.db")}, Polling: time.Second, Operations: address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	resp, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	names := known(t)
	for _, name := range metricName.FindAllString(string(raw), -1) {
		if !names[name] {
			t.Errorf("docs/metrics.md lacks %s", name)
		}
	}
	if !strings.Contains(string(raw), "cambio_store_commits_total") {
		t.Errorf("no metrics:\n%s", raw)
	}
	promtool(t, strings.NewReader(string(raw)), "check", "metrics")
}
