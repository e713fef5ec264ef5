package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cambio/test/httpclient"
	"cambio/test/realparts"
)

// azureCLI is one configuration folder of the Azure CLI.
type azureCLI struct {
	dir, path string
}

// newAzureCLI tells the Azure CLI of a cloud whose every endpoint is the
// server. This version (Debian's) cannot switch instance discovery off, so the
// authority ends in /adfs.
func newAzureCLI(t *testing.T) *azureCLI {
	t.Helper()
	realparts.Needs(t, realparts.AzureCLI)
	path, err := realparts.Find(realparts.AzureCLI)
	if err != nil {
		t.Fatal(err)
	}
	az := &azureCLI{dir: t.TempDir(), path: path}
	base := shared.server.BaseURL + "/"
	cloud, err := json.Marshal(map[string]any{"suffixes": map[string]any{}, "endpoints": map[string]any{
		"activeDirectory":                base + "adfs",
		"activeDirectoryGraphResourceId": base,
		"activeDirectoryResourceId":      base,
		"management":                     base,
		"resourceManager":                base,
		"microsoftGraphResourceId":       base,
	}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(az.dir, "cloud.json")
	if err := os.WriteFile(file, cloud, 0o600); err != nil {
		t.Fatal(err)
	}
	az.must(t, "cloud", "register", "--name", "cambio", "--cloud-config", "@"+file)
	az.must(t, "cloud", "set", "--name", "cambio")
	return az
}

// run runs one command and returns what it printed: on success standard
// output, otherwise the error text.
func (az *azureCLI) run(t *testing.T, args ...string) (string, bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, az.path, args...)
	cmd.Env = []string{
		"PATH=/usr/bin:/bin", "HOME=" + az.dir, "AZURE_CONFIG_DIR=" + az.dir,
		"AZURE_CORE_COLLECT_TELEMETRY=no", "AZURE_CORE_NO_COLOR=1", "AZURE_CORE_ONLY_SHOW_ERRORS=1",
		"REQUESTS_CA_BUNDLE=" + shared.server.CAFile,
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	err := cmd.Run()
	shown := args
	if i := len(args) - 1; i > 0 && args[i-1] == "--federated-token" {
		shown = append(append([]string{}, args[:i]...), "$TOKEN")
	}
	t.Logf("az %s (%.1f s)", strings.Join(shown, " "), time.Since(start).Seconds())
	if err != nil {
		t.Logf("  %.500s", stderr.String())
		return stderr.String(), false
	}
	return strings.TrimSpace(stdout.String()), true
}

func (az *azureCLI) must(t *testing.T, args ...string) string {
	t.Helper()
	out, ok := az.run(t, args...)
	if !ok {
		t.Fatalf("az %s failed: %s", args[0], out)
	}
	return out
}

// refused runs a command that has to fail with the code.
func (az *azureCLI) refused(t *testing.T, code string, args ...string) {
	t.Helper()
	if out, ok := az.run(t, args...); ok || !strings.Contains(out, code) {
		t.Fatalf("want a failure with %s, got ok=%t: %s", code, ok, out)
	}
}

// login is the command that signs a client in with a file's token.
func login(t *testing.T, clientID, tokenFile string) []string {
	t.Helper()
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		t.Fatal(err)
	}
	return []string{"login", "--service-principal", "--username", clientID, "--tenant", shared.server.TenantID,
		"--allow-no-subscriptions", "--output", "none", "--federated-token", string(token)}
}

// TestAzureCLI signs in with a federated token and fetches access tokens.
func TestAzureCLI(t *testing.T) {
	az := newAzureCLI(t)
	az.must(t, login(t, shared.client.AppID, shared.good)...)
	for _, resource := range []struct {
		scope string
		app   httpclient.Application
	}{{"api://things-v1", shared.v1}, {"api://things-v2", shared.v2}, {"api://things-es256", shared.es256}} {
		token := az.must(t, "account", "get-access-token", "--scope", resource.scope+"/.default", "--query", "accessToken", "--output", "tsv")
		checkToken(t, outcome{OK: true, AccessToken: token}, resource.app)
	}
}

// TestAzureCLIMended shows that nothing has to be waited for after a mistake
// is mended. The CLI keeps answers of status 400 on disk for a minute, and
// repeats them without asking again, unless the server forbids it.
func TestAzureCLIMended(t *testing.T) {
	az := newAzureCLI(t)
	ctx := t.Context()
	client, err := shared.api.Register(ctx, httpclient.Registration{Name: "mended"})
	if err != nil {
		t.Fatal(err)
	}
	signIn := login(t, client.AppID, shared.good)
	credential, err := shared.api.Trust(ctx, client, "mended", shared.server.IDP.Issuer, "mistyped")
	if err != nil {
		t.Fatal(err)
	}
	az.refused(t, "AADSTS700213", signIn...) // 401
	mend(t, "/v1.0/applications/"+client.ID+"/federatedIdentityCredentials/"+credential, map[string]any{"subject": subject})
	az.must(t, signIn...)

	mend(t, "/v1.0/servicePrincipals/"+client.PrincipalID, map[string]any{"accountEnabled": false})
	az.refused(t, "AADSTS7000112", signIn...) // 400
	mend(t, "/v1.0/servicePrincipals/"+client.PrincipalID, map[string]any{"accountEnabled": true})
	az.must(t, signIn...)

	fetch := []string{"account", "get-access-token", "--scope", "api://later/.default", "--query", "accessToken", "--output", "tsv"}
	az.refused(t, "AADSTS500011", fetch...) // 400
	if _, err := shared.api.Register(ctx, httpclient.Registration{Name: "later", IdentifierURI: "api://later", TokenVersion: 2}); err != nil {
		t.Fatal(err)
	}
	az.must(t, fetch...)
}

func mend(t *testing.T, path string, change map[string]any) {
	t.Helper()
	if err := shared.api.Do(t.Context(), "PATCH", path, change, nil); err != nil {
		t.Fatal(err)
	}
	t.Logf("mended: PATCH %s %v", path, change)
}
