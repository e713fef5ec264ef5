package clients

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"cambio/resourceserver"
	"cambio/test/httpclient"
	"cambio/test/realparts"
)

const configScope = "api://things-v2/.default"

// clientConfig is what `cambio client-config` prints for the registered
// client.
func clientConfig(t *testing.T, name string, more ...string) string {
	t.Helper()
	args := append([]string{"client-config", name, "--authority", shared.server.BaseURL, "--tenant", shared.server.TenantID, "--ca", shared.server.CAFile,
		"--client-id", shared.client.AppID, "--token-file", shared.good, "--scope", configScope}, more...)
	cmd := exec.CommandContext(t.Context(), shared.binary, args...)
	cmd.Env = []string{"HOME=" + t.TempDir()}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cambio %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

// script writes a file for a shell and returns its name.
func script(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pasted.sh")
	write(t, file, text)
	return file
}

func checkAccess(t *testing.T, token string) {
	t.Helper()
	claims, err := httpclient.Part(token, 1)
	if err != nil || claims["aud"] != shared.v2.AppID || claims["azp"] != shared.client.AppID {
		t.Errorf("the access token: %v, %v", claims, err)
	}
}

// TestConfigOfAzureSDKs pastes the environment into a shell, and starts
// unmodified programs in it.
func TestConfigOfAzureSDKs(t *testing.T) {
	pasted := script(t, clientConfig(t, "azure-sdk"))
	for name, argv := range map[string][]string{"Go": {goProgram(t), "default"}, "Node": {"node", nodeProgram(t), "default"}} {
		t.Run(name, func(t *testing.T) {
			got := run(t, []string{"SCOPE=" + configScope, "FROM_ENV=1"}, append([]string{"sh", "-c", `. "$0"; exec "$@"`, pasted}, argv...)...)
			if !got.OK {
				t.Fatal(got.Error)
			}
			checkAccess(t, got.AccessToken)
		})
	}
	t.Run("as a file", func(t *testing.T) {
		env := strings.Split(strings.TrimSpace(clientConfig(t, "env")), "\n")
		got := run(t, append(env, "SCOPE="+configScope, "FROM_ENV=1"), goProgram(t), "default")
		if !got.OK {
			t.Fatal(got.Error)
		}
		checkAccess(t, got.AccessToken)
	})
}

// TestConfigOfAzureCLI runs the commands in a shell.
func TestConfigOfAzureCLI(t *testing.T) {
	az := newAzureCLI(t)
	cmd := exec.CommandContext(t.Context(), "sh", "-e", script(t, clientConfig(t, "az")))
	cmd.Env = slices.DeleteFunc(slices.Clone(az.env), func(v string) bool { return strings.HasPrefix(v, "REQUESTS_CA_BUNDLE=") })
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.Bytes())
	}
	var got struct{ AccessToken string }
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	checkAccess(t, got.AccessToken)
}

// TestConfigOfKubelogin runs what the user of the kubeconfig file names, as
// kubectl does.
func TestConfigOfKubelogin(t *testing.T) {
	realparts.Needs(t, realparts.Kubelogin)
	kubelogin, err := realparts.Find(realparts.Kubelogin)
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Users []struct {
			User struct {
				Exec struct {
					APIVersion string `yaml:"apiVersion"`
					Command    string
					Args       []string
					Env        []struct{ Name, Value string }
				}
			}
		}
	}
	if err := yaml.Unmarshal([]byte(clientConfig(t, "kubelogin")), &config); err != nil {
		t.Fatal(err)
	}
	plugin := config.Users[0].User.Exec
	if plugin.Command != "kubelogin" || plugin.APIVersion != "client.authentication.k8s.io/v1" {
		t.Fatalf("%+v", plugin)
	}
	cmd := exec.CommandContext(t.Context(), kubelogin, plugin.Args...)
	cmd.Env = []string{"HOME=" + t.TempDir(), `KUBERNETES_EXEC_INFO={"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"interactive":false}}`}
	for _, v := range plugin.Env {
		cmd.Env = append(cmd.Env, v.Name+"="+v.Value)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.Bytes())
	}
	var credential struct{ Status struct{ Token string } }
	if err := json.Unmarshal(out, &credential); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	checkAccess(t, credential.Status.Token)
}

// TestConfigOfTerraform plans a configuration with the printed provider block.
// As TestTerraform, it runs when told where the provider is.
func TestConfigOfTerraform(t *testing.T) {
	provider := os.Getenv("CAMBIO_TERRAFORM_AZUREAD")
	if provider == "" {
		t.Skip("skipped: set CAMBIO_TERRAFORM_AZUREAD to the folder with a built terraform-provider-azuread")
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "main.tf"), `terraform {
  required_providers {
    azuread = { source = "hashicorp/azuread" }
  }
}
data "azuread_client_config" "me" {}
`+clientConfig(t, "terraform", "--client-id", shared.operator.AppID))
	terraformIn(t, dir, provider)("plan")
}

// TestConfigOfGoogle lets Google's library for Go read the credential file.
// Google's own endpoint is played by one that takes the access token as
// Google would: as a JWT that verifies with the server's published keys.
func TestConfigOfGoogle(t *testing.T) {
	program := goProgram(t)
	access := filepath.Join(t.TempDir(), "access-token")
	assertion, err := os.ReadFile(shared.good)
	if err != nil {
		t.Fatal(err)
	}
	token, err := shared.api.Exchange(t.Context(), shared.client.AppID, configScope, string(assertion))
	if err != nil {
		t.Fatal(err)
	}
	write(t, access, token)
	const pool = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/cambio"
	verifier, err := resourceserver.New(resourceserver.Config{Issuer: shared.server.BaseURL + "/" + shared.server.TenantID + "/v2.0", Audience: shared.v2.AppID, HTTPClient: shared.api.HTTP})
	if err != nil {
		t.Fatal(err)
	}
	sts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, want := range map[string]string{"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "audience": pool,
			"subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "subject_token": token, "requested_token_type": "urn:ietf:params:oauth:token-type:access_token"} {
			if got := r.PostFormValue(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		if _, err := verifier.Validate(r.Context(), r.PostFormValue("subject_token")); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"access_token":"google's","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":3600}`))
	}))
	defer sts.Close()
	cmd := exec.CommandContext(t.Context(), shared.binary, "client-config", "google-external-account", "--google-audience", pool, "--token-file", access)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	const google = "https://sts.googleapis.com/v1/token"
	if !strings.Contains(string(out), google) {
		t.Fatalf("%s", out)
	}
	file := filepath.Join(t.TempDir(), "google.json")
	write(t, file, strings.Replace(string(out), google, sts.URL, 1))
	got := run(t, []string{"GOOGLE_APPLICATION_CREDENTIALS=" + file}, program, "google")
	if !got.OK || got.AccessToken != "google's" {
		t.Fatalf("%+v", got)
	}
}
