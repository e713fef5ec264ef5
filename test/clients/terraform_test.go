package clients

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"cambio/conformance/devserver"
	"cambio/test/httpclient"
)

// TestTerraform applies the configuration of docs/clients.md with Terraform
// and its azuread provider, plans it again, uses what it made, and destroys
// it. It runs when told where the provider is: no package manager has that,
// and building it takes minutes.
func TestTerraform(t *testing.T) {
	provider := os.Getenv("CAMBIO_TERRAFORM_AZUREAD")
	if provider == "" {
		t.Skip("skipped: set CAMBIO_TERRAFORM_AZUREAD to the folder with a built terraform-provider-azuread")
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "main.tf"), documented(t, "## Terraform", "terraform {"))
	terraform := terraformIn(t, dir, provider)
	terraform("apply", "-auto-approve")
	terraform("plan", "-detailed-exitcode") // fails unless nothing is left to do

	client := output(t, dir, "client_id")
	exchange := func() (string, error) {
		file, err := shared.mint(t.Context(), "repo:acme/shop:ref:refs/heads/main")
		if err != nil {
			t.Fatal(err)
		}
		assertion, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return shared.api.Exchange(t.Context(), client, "api://orders/.default", string(assertion))
	}
	token, err := exchange()
	if err != nil {
		t.Fatal(err)
	}
	if claims, err := httpclient.Part(token, 1); err != nil || !reflect.DeepEqual(claims["roles"], []any{"Orders.Read"}) {
		t.Errorf("the workload's token: %v, %v", claims, err)
	}
	terraform("destroy", "-auto-approve")
	if _, err := exchange(); err == nil {
		t.Error("the workload still gets a token")
	}
}

// terraformIn runs Terraform in a folder, signed in as the operator. A command
// that fails ends the test.
func terraformIn(t *testing.T, dir, provider string) func(args ...string) {
	settings := filepath.Join(dir, "cli.tfrc")
	write(t, settings, fmt.Sprintf("provider_installation {\n  dev_overrides {\n    %q = %q\n  }\n}\n", "registry.terraform.io/hashicorp/azuread", provider))
	return func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "terraform", append(args, "-no-color")...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+settings, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1",
			"ARM_METADATA_HOSTNAME="+strings.TrimPrefix(shared.server.BaseURL, "https://"), "ARM_TENANT_ID="+shared.server.TenantID,
			"ARM_CLIENT_ID="+shared.operator.AppID, "ARM_OIDC_TOKEN_FILE_PATH="+shared.good, "SSL_CERT_FILE="+shared.server.CAFile,
			"TF_VAR_issuer="+shared.server.IDP.Issuer)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("terraform %s: %v\n%s", args[0], err, out)
		}
	}
}

// output reads one output of the state in a folder.
func output(t *testing.T, dir, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "terraform.tfstate"))
	if err != nil {
		t.Fatal(err)
	}
	var state struct {
		Outputs map[string]struct{ Value string }
	}
	if err := json.Unmarshal(raw, &state); err != nil || state.Outputs[name].Value == "" {
		t.Fatalf("no output %s: %v", name, err)
	}
	return state.Outputs[name].Value
}

// documented returns the first example of docs/clients.md that begins with
// this line, below this heading. Examples are indented by four blanks.
func documented(t *testing.T, heading, first string) string {
	t.Helper()
	root, err := devserver.Root()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "clients.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n"+heading+"\n")
	_, rest, found := strings.Cut(section, "\n    "+first+"\n")
	if !found {
		t.Fatalf("docs/clients.md has no example %q under %q", first, heading)
	}
	example := []string{first}
	for _, line := range strings.Split(rest, "\n") {
		code, indented := strings.CutPrefix(line, "    ")
		if !indented && line != "" {
			break
		}
		example = append(example, code)
	}
	return strings.Join(example, "\n")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
