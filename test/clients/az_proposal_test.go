package clients

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"cambio/conformance/devserver"
	"cambio/test/httpclient"
)

// TestAzureCLITakesProposals gives az what `cambio credential create
// --from-token -o json` proposes for the workload's token, unchanged.
func TestAzureCLITakesProposals(t *testing.T) {
	az := operatorCLI(t)
	binary, err := devserver.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	proposal, err := exec.CommandContext(t.Context(), binary, "credential", "create", "--from-token", shared.good, "--output", "json").Output()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(az.dir, "proposal.json")
	if err := os.WriteFile(file, proposal, 0o600); err != nil {
		t.Fatal(err)
	}
	app := az.get(t, "ad app create --display-name az-proposal --query appId")
	principal := az.get(t, "ad sp create --query id --id", app)
	az.want(t, "kubernetes-demo-clients "+subject, "ad app federated-credential create --query [name,subject] --id", app, "--parameters", "@"+file)
	checkExchange(t, httpclient.Application{AppID: app, PrincipalID: principal}, "")
	az.must(t, "ad app delete --id", app)
}
