package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cambio/test/httpclient"
	"cambio/test/realparts"
)

// azureCLI is one configuration folder of the Azure CLI.
type azureCLI struct {
	dir, path string
	env       []string
	beside    []string // the command line that az is appended to, if any
}

func newAzureCLI(t *testing.T) *azureCLI {
	t.Helper()
	realparts.Needs(t, realparts.AzureCLI)
	path, err := realparts.Find(realparts.AzureCLI)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return &azureCLI{dir: dir, path: path, env: []string{
		"PATH=/usr/bin:/bin", "HOME=" + dir, "AZURE_CONFIG_DIR=" + dir,
		"AZURE_CORE_COLLECT_TELEMETRY=no", "AZURE_CORE_NO_COLOR=1", "AZURE_CORE_ONLY_SHOW_ERRORS=1",
		"REQUESTS_CA_BUNDLE=" + shared.server.CAFile,
	}}
}

// registeredCloud tells the Azure CLI of a cloud whose every endpoint is the
// server. This version (Debian's) cannot switch instance discovery off, so the
// authority ends in /adfs.
func registeredCloud(t *testing.T) *azureCLI {
	t.Helper()
	az := newAzureCLI(t)
	az.register(t, shared.server.BaseURL+"/")
	return az
}

// register makes a server the cloud of the Azure CLI.
func (az *azureCLI) register(t *testing.T, base string) {
	t.Helper()
	file := az.write(t, "cloud.json", map[string]any{"suffixes": map[string]any{}, "endpoints": map[string]any{
		"activeDirectory":                base + "adfs",
		"activeDirectoryGraphResourceId": base,
		"activeDirectoryResourceId":      base,
		"management":                     base,
		"resourceManager":                base,
		"microsoftGraphResourceId":       base,
	}})
	az.must(t, "cloud register --name cambio --cloud-config", file)
	az.must(t, "cloud set --name cambio")
}

// metadataCloud lets the Azure CLI read the same from the server's own
// description, which it fetches with Python's trust, not that of requests.
func metadataCloud(t *testing.T) *azureCLI {
	t.Helper()
	az := newAzureCLI(t)
	az.env = append(az.env, "SSL_CERT_FILE="+shared.server.CAFile,
		"ARM_CLOUD_METADATA_URL="+shared.server.BaseURL+"/metadata/endpoints?api-version=2019-05-01")
	return az
}

// write writes a JSON file and returns the argument that names it.
func (az *azureCLI) write(t *testing.T, name string, content any) string {
	t.Helper()
	text, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(az.dir, name)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return "@" + file
}

// run runs one command, whose words are those of command and then args, and
// returns what it printed: on success standard output, otherwise the error
// text.
func (az *azureCLI) run(t *testing.T, command string, args ...string) (string, bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	args = append(strings.Fields(command), args...)
	argv := slices.Concat(az.beside, []string{az.path}, args)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = az.env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	err := cmd.Run()
	if i := len(args) - 1; args[i-1] == "--federated-token" {
		args[i] = "$TOKEN"
	}
	t.Logf("az %s (%.1f s)", strings.Join(args, " "), time.Since(start).Seconds())
	if err != nil {
		t.Logf("  %.500s", stderr.String())
		return stderr.String(), false
	}
	return strings.TrimSpace(stdout.String()), true
}

func (az *azureCLI) must(t *testing.T, command string, args ...string) string {
	t.Helper()
	out, ok := az.run(t, command, args...)
	if !ok {
		t.Fatalf("az %s failed: %s", command, out)
	}
	return out
}

// get returns the values that a command's --query asks for, separated by
// blanks.
func (az *azureCLI) get(t *testing.T, command string, args ...string) string {
	t.Helper()
	return strings.Join(strings.Fields(az.must(t, command, append(args, "--output", "tsv")...)), " ")
}

// want compares what get returns.
func (az *azureCLI) want(t *testing.T, want, command string, args ...string) {
	t.Helper()
	if got := az.get(t, command, args...); got != want {
		t.Errorf("az %s: got %q, want %q", command, got, want)
	}
}

// refused runs a command that has to fail with the text.
func (az *azureCLI) refused(t *testing.T, text, command string, args ...string) {
	t.Helper()
	if out, ok := az.run(t, command, args...); ok || !strings.Contains(out, text) {
		t.Fatalf("az %s: want a failure with %q, got ok=%t: %s", command, text, ok, out)
	}
}

// login is how a client signs in with a file's token.
func login(t *testing.T, clientID, tokenFile string) []string {
	t.Helper()
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		t.Fatal(err)
	}
	return []string{"--service-principal", "--username", clientID, "--tenant", shared.server.TenantID,
		"--allow-no-subscriptions", "--output", "none", "--federated-token", string(token)}
}

// TestAzureCLI signs in with a federated token and fetches access tokens.
func TestAzureCLI(t *testing.T) {
	az := registeredCloud(t)
	az.must(t, "login", login(t, shared.client.AppID, shared.good)...)
	for _, resource := range []struct {
		scope string
		app   httpclient.Application
	}{{"api://things-v1", shared.v1}, {"api://things-v2", shared.v2}, {"api://things-es256", shared.es256}} {
		token := az.get(t, "account get-access-token --query accessToken --scope", resource.scope+"/.default")
		checkToken(t, outcome{OK: true, AccessToken: token}, resource.app)
	}
}

// TestAzureCLIMended shows that nothing has to be waited for after a mistake
// is mended. The CLI keeps answers of status 400 on disk for a minute, and
// repeats them without asking again, unless the server forbids it.
func TestAzureCLIMended(t *testing.T) {
	az := registeredCloud(t)
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
	az.refused(t, "AADSTS700213", "login", signIn...) // 401
	mend(t, "/v1.0/applications/"+client.ID+"/federatedIdentityCredentials/"+credential, map[string]any{"subject": subject})
	az.must(t, "login", signIn...)

	mend(t, "/v1.0/servicePrincipals/"+client.PrincipalID, map[string]any{"accountEnabled": false})
	az.refused(t, "AADSTS7000112", "login", signIn...) // 400
	mend(t, "/v1.0/servicePrincipals/"+client.PrincipalID, map[string]any{"accountEnabled": true})
	az.must(t, "login", signIn...)

	const fetch = "account get-access-token --query accessToken --scope api://later/.default"
	az.refused(t, "AADSTS500011", fetch) // 400
	if _, err := shared.api.Register(ctx, httpclient.Registration{Name: "later", IdentifierURI: "api://later", TokenVersion: 2}); err != nil {
		t.Fatal(err)
	}
	az.must(t, fetch)
}

func mend(t *testing.T, path string, change map[string]any) {
	t.Helper()
	if err := shared.api.Do(t.Context(), "PATCH", path, change, nil); err != nil {
		t.Fatal(err)
	}
	t.Logf("mended: PATCH %s %v", path, change)
}
