package guides

import (
	"context"
	"fmt"
	"net"
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

// index is the page that every reader follows first; it begins each script.
const index = "README.md"

// needs are the real parts that a page's commands call.
var needs = map[string][]realparts.Part{
	"azure-cli.md": {realparts.AzureCLI},
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
	contents, err := os.ReadFile(filepath.Join(root, "docs", "guides", index))
	if err != nil {
		t.Fatal(err)
	}
	tools := t.TempDir()
	if err := build(t, root, tools); err != nil {
		t.Fatal(err)
	}
	for _, path := range pages {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".md"), func(t *testing.T) {
			t.Parallel()
			if name := filepath.Base(path); name != index && !strings.Contains(string(contents), "]("+name+")") {
				t.Errorf("%s does not name %s", index, name)
			}
			for _, part := range needs[filepath.Base(path)] {
				realparts.Needs(t, part)
			}
			guide, err := read(path)
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Base(path) != index {
				first, err := read(filepath.Join(filepath.Dir(path), index))
				if err != nil {
					t.Fatal(err)
				}
				guide = first.then(guide)
			}
			follow(t, tools, guide)
		})
	}
}

// build puts `cambio` into a folder for the path, whoever built it, and the
// stand-in for SPIRE.
func build(t *testing.T, root, tools string) error {
	authority := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(tools, "spiffe-authority"), "./test/spiffe/authority")
	authority.Dir = root
	if out, err := authority.CombinedOutput(); err != nil {
		return fmt.Errorf("go build ./test/spiffe/authority: %w\n%s", err, out)
	}
	binary, err := devserver.Build(t.Context(), tools)
	if err != nil || filepath.Dir(binary) == tools {
		return err
	}
	return os.Symlink(binary, filepath.Join(tools, "cambio"))
}

// follow starts a server as the guide has the reader do in another terminal,
// and runs its commands in an empty folder. The reader's connection variables
// are set, and PORT to one that a server of the guide's own may take. In the
// end everything that was registered must be gone again, so that the guides
// can be read one after the other.
func follow(t *testing.T, tools string, g guide) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	home := t.TempDir()
	state := filepath.Join(home, ".local", "state", "cambio", "dev") // where the reader's is
	server, err := devserver.Start(ctx, devserver.Config{Binary: filepath.Join(tools, "cambio"), StateDir: state, Args: g.server})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Kill()
	cmd := exec.CommandContext(ctx, "bash", "-c", g.script())
	cmd.Dir, cmd.WaitDelay = t.TempDir(), 5*time.Second
	cmd.Env = []string{"PATH=" + tools + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + t.TempDir(), "LANG=C.UTF-8", "PORT=" + freePort(t),
		"CAMBIO_AUTHORITY=" + server.BaseURL, "CAMBIO_CA_FILE=" + server.CAFile, "CAMBIO_ACCESS_TOKEN=" + server.AdminToken}
	before := registered(t, tools, cmd.Env)
	out, err := cmd.CombinedOutput()
	printed := strings.Split(string(out), separator)[1:]
	for i, text := range printed {
		if missing := firstMissing(text, g.steps[i].shown); missing != "" {
			t.Errorf("these commands:\n%sdo not print %q, but\n%s", g.steps[i].commands, missing, text)
		}
	}
	if err != nil {
		t.Fatalf("%v in these commands:\n%s%s", err, g.steps[len(printed)-1].commands, printed[len(printed)-1])
	}
	if after := registered(t, tools, cmd.Env); after != before {
		t.Errorf("the guide begins with\n%sand ends with\n%s", before, after)
	}
}

// registered lists the applications and managed identities.
func registered(t *testing.T, tools string, env []string) string {
	t.Helper()
	var all strings.Builder
	for _, kind := range []string{"app", "identity"} {
		list := exec.CommandContext(t.Context(), filepath.Join(tools, "cambio"), kind, "list", "-o", "tsv")
		list.Env = env
		out, err := list.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		all.Write(out)
	}
	return all.String()
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

// guide is what a page has the reader do.
type guide struct {
	server []string // arguments of `cambio dev` in the other terminal
	steps  []step
}

// step is a block of commands, and the lines that it is said to print.
type step struct {
	commands string
	refused  bool // the last command must fail
	shown    []string
}

// block is a fenced block of a page. Its kinds are:
//
//	sh           commands, all of which must succeed; one shell runs them all
//	sh refused   commands, the last of which must fail
//	sh server    `cambio dev` with arguments, for the other terminal
//	output       what the commands before it print: these lines, in this
//	             order; … stands for anything
//	yaml, text   what the reader writes elsewhere: nothing runs it
var block = regexp.MustCompile("(?ms)^```([a-z ]+)\n(.*?)^```$")

// unmarked is a line of commands or output that has no kind.
var unmarked = regexp.MustCompile(`(?m)^(    |\t).*`)

func read(path string) (guide, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return guide{}, err
	}
	return parse(string(text))
}

func parse(page string) (guide, error) {
	var g guide
	said := false // whether the last step's output was given
	blocks := block.FindAllStringSubmatch(page, -1)
	for _, m := range blocks {
		switch kind, text := m[1], m[2]; kind {
		case "sh", "sh refused":
			g.steps = append(g.steps, step{commands: text, refused: kind != "sh"})
			said = false
		case "sh server":
			args, ok := strings.CutPrefix(strings.TrimSpace(text), "cambio dev")
			if !ok {
				return guide{}, fmt.Errorf("a server is started by `cambio dev`, not by %q", text)
			}
			g.server = strings.Fields(args)
		case "output":
			if len(g.steps) == 0 || said {
				return guide{}, fmt.Errorf("this output is not that of a block of commands before it:\n%s", text)
			}
			g.steps[len(g.steps)-1].shown, said = strings.Split(strings.TrimSpace(text), "\n"), true
		case "yaml", "text":
		default:
			return guide{}, fmt.Errorf("a block is marked %q", kind)
		}
	}
	if line := unmarked.FindString(block.ReplaceAllString(page, "")); line != "" {
		return guide{}, fmt.Errorf("nobody runs %q: put it into a block", line)
	}
	if fences := strings.Count("\n"+page, "\n```"); fences != 2*len(blocks) {
		return guide{}, fmt.Errorf("%d fences make %d blocks", fences, len(blocks))
	}
	if len(g.steps) == 0 {
		return guide{}, fmt.Errorf("the page has no commands")
	}
	return g, nil
}

// then is another guide after this one. Its server is the one that counts.
func (g guide) then(next guide) guide {
	if next.server == nil {
		next.server = g.server
	}
	next.steps = append(append([]step(nil), g.steps...), next.steps...)
	return next
}

// separator is printed before each step's output.
const separator = "@@ next commands\n"

// script is what the shell runs: each step after a separator. Servers of the
// guide's own end with it.
func (g guide) script() string {
	var b strings.Builder
	b.WriteString("set -euo pipefail\nexec 2>&1\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n")
	for _, s := range g.steps {
		fmt.Fprintf(&b, "printf '%s'\n", strings.ReplaceAll(separator, "\n", `\n`))
		if s.refused {
			fmt.Fprintf(&b, "if\n%sthen echo 'this was not refused'; exit 1; fi\n", s.commands)
		} else {
			b.WriteString(s.commands)
		}
	}
	return b.String()
}

// firstMissing returns the first of the wanted lines that is not printed after
// those before it. Blanks count as one.
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

func TestParse(t *testing.T) {
	g, err := parse("# A\n\n```sh server\ncambio dev --compat strict\n```\n\n```sh\ntrue\n```\n\n```yaml\na: b\n```\n\n```sh refused\nfalse\n```\n```output\nno …\n```\n")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(g.server, " ") != "--compat strict" || len(g.steps) != 2 || g.steps[0].refused || !g.steps[1].refused || g.steps[1].shown[0] != "no …" {
		t.Errorf("%+v", g)
	}
	for _, bad := range []string{"", "```sh\ntrue\n", "```\ntrue\n```\n", "```output\na\n```\n", "```sh\ntrue\n```\n```output\na\n```\n```output\nb\n```\n",
		"```bash\ntrue\n```\n", "```sh server\nsleep 1\n```\n", "```sh\ntrue\n```\n\n    false\n"} {
		if g, err := parse(bad); err == nil {
			t.Errorf("%q was read as %+v", bad, g)
		}
	}
}
