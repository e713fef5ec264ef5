package githubactions

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cambio/conformance/devserver"
	"cambio/test/realparts"
)

// step is one step of a job that uses the action.
type step struct {
	inputs    map[string]string
	forbidden bool // the job has no "id-token: write"
	bearer    string
}

// do runs the action's first script as the runner would, and returns what it
// printed, what it left in the runner's files, and whether it succeeded.
func (w *world) do(t *testing.T, s step) (printed, left string, ok bool) {
	t.Helper()
	root, err := devserver.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join(root, "action", "exchange.mjs"))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "RUNNER_TEMP=" + dir}
	files := []string{"GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_STATE"}
	for _, name := range files {
		cmd.Env = append(cmd.Env, name+"="+filepath.Join(dir, name))
	}
	inputs := map[string]string{"authority": w.server.BaseURL, "tenant-id": w.server.TenantID, "client-id": w.client.AppID, "scope": "api://orders/.default",
		"sign-in": "false", "audience": "api://AzureADTokenExchange", "ca-file": w.server.CAFile}
	maps.Copy(inputs, s.inputs)
	for name, value := range inputs {
		cmd.Env = append(cmd.Env, "INPUT_"+strings.ToUpper(name)+"="+value)
	}
	if !s.forbidden {
		cmd.Env = append(cmd.Env, w.tokens.variables()...)
	}
	if s.bearer != "" {
		cmd.Env = append(cmd.Env, "ACTIONS_ID_TOKEN_REQUEST_TOKEN="+s.bearer)
	}
	out, err := cmd.CombinedOutput()
	for _, name := range files {
		content, _ := os.ReadFile(filepath.Join(dir, name))
		left += string(content)
	}
	return string(out), left, err == nil
}

// TestRefused makes each mistake that a workflow can make.
func TestRefused(t *testing.T) {
	realparts.Needs(t, realparts.NodeClients)
	w := newWorld(t)
	w.tokens.subject.Store(names)
	for name, c := range map[string]struct {
		step
		says []string
	}{
		"no permission":     {step{forbidden: true}, []string{"permissions:%0A    id-token: write", "forks"}},
		"GitHub refuses":    {step{bearer: "another"}, []string{"GitHub gave this job no token", "401"}},
		"no client":         {step{inputs: map[string]string{"client-id": ""}}, []string{"The input client-id is missing"}},
		"a path":            {step{inputs: map[string]string{"authority": w.server.BaseURL + "/tenant"}}, []string{"an origin was expected"}},
		"plain HTTP":        {step{inputs: map[string]string{"authority": "http://127.0.0.1"}}, []string{"an origin was expected"}},
		"no CA":             {step{inputs: map[string]string{"ca-file": ""}}, []string{"cannot be reached", "the input ca-file"}},
		"a CA that is not":  {step{inputs: map[string]string{"ca-file": "/nowhere"}}, []string{"ca-file cannot be read"}},
		"nothing to do":     {step{inputs: map[string]string{"scope": ""}}, []string{"set scope", "sign-in"}},
		"neither":           {step{inputs: map[string]string{"sign-in": "yes"}}, []string{"true or false"}},
		"no trust":          {step{inputs: map[string]string{"client-id": w.quiet.AppID}}, []string{"invalid_client", "AADSTS70025", `sub "` + names + `"`, "What it means"}},
		"a wrong audience":  {step{inputs: map[string]string{"audience": "api://another"}}, []string{"AADSTS700212", `aud "api://another"`}},
		"an unknown scope":  {step{inputs: map[string]string{"scope": "api://nothing/.default"}}, []string{"invalid_resource", "AADSTS500011"}},
		"an unknown tenant": {step{inputs: map[string]string{"tenant-id": "nobody.example"}}, []string{"AADSTS90002"}},
		"not a tenant":      {step{inputs: map[string]string{"tenant-id": "a/b"}}, []string{"a GUID or a name was expected"}},
	} {
		t.Run(name, func(t *testing.T) {
			printed, left, ok := w.do(t, c.step)
			if ok {
				t.Fatalf("succeeded and left %q", left)
			}
			for _, text := range c.says {
				if !strings.Contains(printed, text) {
					t.Errorf("does not say %q:\n%s", text, printed)
				}
			}
			if !strings.Contains(printed, "::error title=cambio::") || strings.Contains(printed, "exchange.mjs:") {
				t.Errorf("an error of its own, without a stack, was expected:\n%s", printed)
			}
			if left != "" {
				t.Errorf("left %q", left)
			}
			hidden(t, printed)
		})
	}
}

// TestBusy lets GitHub be busy twice.
func TestBusy(t *testing.T) {
	realparts.Needs(t, realparts.NodeClients)
	w := newWorld(t)
	w.tokens.subject.Store(ids)
	w.tokens.busy.Store(2)
	printed, left, ok := w.do(t, step{})
	if !ok || strings.Count(printed, "trying again") != 2 {
		t.Fatalf("succeeded: %t\n%s", ok, printed)
	}
	lines := strings.Fields(left)
	if len(lines) != 2 || !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "access-token=ey") }) {
		t.Errorf("left %q", left)
	}
	hidden(t, printed)
}

// printedToken is a token in the job's log.
var printedToken = regexp.MustCompile(`ey[\w-]+\.[\w-]+\.[\w-]+`)

// hidden checks that tokens are printed where the runner is told to hide them,
// and nowhere else.
func hidden(t *testing.T, printed string) {
	t.Helper()
	for line := range strings.Lines(printed) {
		if !strings.HasPrefix(line, "::add-mask::") && printedToken.MatchString(line) {
			t.Errorf("prints a token: %s", line)
		}
	}
}
