package guides

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"cambio/conformance/devserver"
	"cambio/test/realparts"
)

// A page's commands stand in blocks marked sh and are run in order by one
// shell. A block marked output shows what the commands before it print: its
// lines must be printed in this order, where … stands for anything.
var blocks = regexp.MustCompile("(?ms)^```(sh|output)\n(.*?)^```$")

// needs are the real parts that a page's commands call.
var needs = map[string][]realparts.Part{
	"az.md": {realparts.AzureCLI},
}

func TestGuides(t *testing.T) {
	root, err := devserver.Root()
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(root, "docs", "guides", "*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("no guides: %v", err)
	}
	tools := t.TempDir()
	if _, err := devserver.Build(t.Context(), tools); err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		t.Run(strings.TrimSuffix(filepath.Base(page), ".md"), func(t *testing.T) {
			for _, part := range needs[filepath.Base(page)] {
				realparts.Needs(t, part)
			}
			run(t, tools, page)
		})
	}
}

// run starts a server for the page, as `cambio dev` would in the reader's
// other terminal, and runs its commands in an empty folder.
func run(t *testing.T, tools, page string) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	state, home := t.TempDir(), t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	server, err := devserver.Start(ctx, devserver.Config{Binary: filepath.Join(tools, "cambio"), StateDir: state})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Kill()
	script, shown := script(string(text))
	if len(shown) == 0 {
		t.Fatal("the page has no commands")
	}
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = home
	cmd.Env = []string{"PATH=" + tools + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + t.TempDir(),
		"CAMBIO_STATE=" + state, "BASE=" + server.BaseURL, "CA=" + server.CAFile, "TENANT=" + server.TenantID}
	out, err := cmd.CombinedOutput()
	printed := strings.Split(string(out), separator)[1:]
	for i, want := range shown {
		if i >= len(printed) {
			break // the error below says why
		}
		if missing := firstMissing(printed[i], want); missing != "" {
			t.Errorf("commands %d do not print %q, but\n%s", i+1, missing, printed[i])
		}
	}
	if err != nil {
		t.Fatalf("commands %d of %d: %v\n%s", len(printed), len(shown), err, printed[len(printed)-1])
	}
}

// separator is printed before each block's output.
const separator = "@@ next block\n"

// script puts the blocks of commands together, and returns what the page says
// of the output of each.
func script(page string) (text string, shown [][]string) {
	var b strings.Builder
	b.WriteString("set -euo pipefail\nexec 2>&1\n")
	for _, m := range blocks.FindAllStringSubmatch(page, -1) {
		switch m[1] {
		case "sh":
			fmt.Fprintf(&b, "printf '%%s' '%s'\n%s\n", separator, m[2])
			shown = append(shown, nil)
		case "output":
			shown[len(shown)-1] = strings.Split(strings.TrimSpace(m[2]), "\n")
		}
	}
	return b.String(), shown
}

// firstMissing returns the first of the wanted lines that is not printed after
// those before it.
func firstMissing(printed string, want []string) string {
	lines := strings.Split(printed, "\n")
	for _, w := range want {
		parts := strings.Split(strings.Join(strings.Fields(w), " "), "…")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		wanted := regexp.MustCompile("^" + strings.Join(parts, ".*") + "$")
		found := -1
		for i, line := range lines {
			if wanted.MatchString(strings.Join(strings.Fields(line), " ")) {
				found = i
				break
			}
		}
		if found < 0 {
			return w
		}
		lines = lines[found+1:]
	}
	return ""
}

func TestFirstMissing(t *testing.T) {
	const printed = "NAME   ID\nshop   123\n\ndone\n"
	for _, c := range []struct{ want, missing string }{
		{"NAME ID\nshop …", ""},
		{"shop …\ndone", ""},
		{"done\nshop …", "shop …"},
		{"sho", "sho"},
		{"…", ""},
	} {
		if got := firstMissing(printed, strings.Split(c.want, "\n")); got != c.missing {
			t.Errorf("%q: missing %q, want %q", c.want, got, c.missing)
		}
	}
}
