package platforms

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"cambio/conformance/devserver"
	"cambio/test/httpclient"
)

const gitLabSubject = "project_path:acme/shop:ref_type:branch:ref:main"

// gitLabClaims are those of a job on a protected branch.
var gitLabClaims = map[string]any{
	"namespace_id": "72", "namespace_path": "acme", "project_id": "20", "project_path": "acme/shop", "user_id": "1", "user_login": "dana",
	"pipeline_id": "574", "pipeline_source": "push", "job_id": "302", "ref": "main", "ref_type": "branch", "ref_path": "refs/heads/main",
	"ref_protected": "true", "runner_environment": "gitlab-hosted", "sha": "71f2c0de",
}

// gitLabJob is a job of the template.
type gitLabJob struct {
	Extends      string
	IDTokens     map[string]struct{ Aud string } `yaml:"id_tokens"`
	BeforeScript []string                        `yaml:"before_script"`
}

func gitLabTemplate(t *testing.T) map[string]gitLabJob {
	t.Helper()
	root, err := devserver.Root()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(root, "deploy", "gitlab", "cambio.gitlab-ci.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var jobs map[string]gitLabJob
	if err := yaml.Unmarshal(raw, &jobs); err != nil {
		t.Fatal(err)
	}
	return jobs
}

// run runs the job's script as a runner does: all lines in one shell, which
// ends with the first that fails.
func (j gitLabJob) run(t *testing.T, shell, token string, client httpclient.Application) (string, error) {
	cmd := exec.CommandContext(t.Context(), shell, "-e", "-c", strings.Join(j.BeforeScript, "\n")+"\necho \"$ACCESS_TOKEN\"")
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"PATH=" + shared.tools + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME=" + cmd.Dir, "CI=true", "GITLAB_CI=true",
		"CAMBIO_AUTHORITY=" + shared.server.BaseURL, "CAMBIO_TENANT=" + shared.server.TenantID, "CAMBIO_CLIENT_ID=" + client.AppID,
		"CAMBIO_SCOPE=api://orders/.default", "CAMBIO_CA_FILE=" + shared.server.CAFile, "CAMBIO_ID_TOKEN=" + token}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func TestGitLab(t *testing.T) {
	jobs, client := gitLabTemplate(t), trusting(t, gitLab, gitLabSubject)
	good := mint(t, gitLab, gitLabSubject, gitLabClaims, nil)
	branch := mint(t, gitLab, "project_path:acme/shop:ref_type:branch:ref:dev", gitLabClaims, nil)
	for _, name := range []string{".cambio-curl", ".cambio-token"} {
		job := jobs[name]
		if aud := jobs[job.Extends].IDTokens["CAMBIO_ID_TOKEN"].Aud; aud != audience {
			t.Errorf("%s asks for a token with the audience %q", name, aud)
		}
		for _, shell := range []string{"bash", "sh"} {
			t.Run(name+" in "+shell, func(t *testing.T) {
				out, err := job.run(t, shell, good, client)
				if err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				accepted(t, out, client)
				if out, err := job.run(t, shell, branch, client); err == nil || !strings.Contains(out, "AADSTS700213") {
					t.Errorf("another branch: %v, %s", err, out)
				}
				if out, err := job.run(t, shell, "", client); err == nil {
					t.Errorf("without a token of the job: %s", out)
				}
			})
		}
	}
}

// TestGitLabConfig runs the job that `cambio client-config gitlab` prints.
func TestGitLabConfig(t *testing.T) {
	client := trusting(t, gitLab, gitLabSubject)
	out, err := exec.CommandContext(t.Context(), filepath.Join(shared.tools, "cambio"), "client-config", "gitlab", "--authority", shared.server.BaseURL, "--tenant", shared.server.TenantID,
		"--ca", shared.server.CAFile, "--client-id", client.AppID, "--scope", "api://orders/.default").Output()
	if err != nil {
		t.Fatal(err)
	}
	var printed struct {
		Include struct{ Local string }
		Deploy  struct {
			Extends   string
			Variables map[string]string
			Script    []string
		}
	}
	if err := yaml.Unmarshal(out, &printed); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	job := printed.Deploy
	script := append(gitLabTemplate(t)[job.Extends].BeforeScript, strings.Replace(job.Script[0], "curl -sSf", "printf '%s\\n'", 1))
	cmd := exec.CommandContext(t.Context(), "sh", "-e", "-c", strings.Join(script, "\n"))
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "CI=true", "GITLAB_CI=true", "CAMBIO_ID_TOKEN=" + mint(t, gitLab, gitLabSubject, gitLabClaims, nil)}
	for name, value := range job.Variables {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	answer, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, answer)
	}
	_, header, _ := strings.Cut(string(answer), "Authorization: Bearer ")
	token, _, _ := strings.Cut(header, "\n")
	accepted(t, token, client)
	if printed.Include.Local != "cambio.gitlab-ci.yml" {
		t.Errorf("it includes %q", printed.Include.Local)
	}
}
