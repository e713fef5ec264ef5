package workload_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cambio/workload"
)

func TestAzurePipelines(t *testing.T) {
	const connection = "6f9d0b52-1c1e-4c55-a1b2-0c9d8e7f6a5b"
	answer := http.StatusOK
	s := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		body, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPost || r.URL.Path != "/oidctoken" || query.Get("api-version") != "7.1" || query.Get("serviceConnectionId") != connection ||
			query.Has("audience") || r.Header.Get("X-TFS-FedAuthRedirect") != "Suppress" || r.Header.Get("Authorization") != "Bearer system" || len(body) > 0 {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		if answer == http.StatusFound {
			w.Header().Set("Location", "https://spsprodcus1.vssps.visualstudio.com/_signin")
		}
		w.WriteHeader(answer)
		_, _ = fmt.Fprintf(w, `{"oidcToken":%q}`, mint(t, nil))
	})
	v := map[string]string{"TF_BUILD": "True", "SYSTEM_OIDCREQUESTURI": s.URL + "/oidctoken", "SYSTEM_ACCESSTOKEN": "system", "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID": connection}
	exchanged(t, variables(v), workload.Platforms(), "azure-pipelines")
	for status, text := range map[int]string{302: "is SYSTEM_ACCESSTOKEN mapped", 403: "may not use the service connection " + connection, 404: "there is no service connection"} {
		answer = status
		wantError(t, variables(v), "azure-pipelines", text)
	}
	delete(v, "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID")
	exchangedNot(t, v, "azure-pipelines", "AzureCLI@2")
	delete(v, "SYSTEM_ACCESSTOKEN")
	exchangedNot(t, v, "azure-pipelines", "$(System.AccessToken)")
	exchangedNot(t, map[string]string{"TF_BUILD": "True"}, "azure-pipelines", "SYSTEM_OIDCREQUESTURI is not set")
}

func TestGivenInAVariable(t *testing.T) {
	for _, c := range []struct{ name, mark, variable, missing string }{
		{"gitlab", "GITLAB_CI", "CAMBIO_ID_TOKEN", "id_tokens: {CAMBIO_ID_TOKEN: {aud: \"api://AzureADTokenExchange\"}}"},
		{"gitlab", "GITLAB_CI", "GITLAB_OIDC_TOKEN", "id_tokens"},
		{"terraform-cloud", "TFC_RUN_ID", "TFC_WORKLOAD_IDENTITY_TOKEN", "TFC_WORKLOAD_IDENTITY_AUDIENCE"},
	} {
		v := map[string]string{c.mark: "x", c.variable: mint(t, nil)}
		exchanged(t, variables(v), workload.Platforms(), c.name)
		delete(v, c.variable)
		exchangedNot(t, v, c.name, c.missing)
	}
	e := variables(map[string]string{"GITLAB_CI": "true", "CAMBIO_ID_TOKEN": "x", "TFC_WORKLOAD_IDENTITY_TOKEN_CAMBIO": mint(t, nil)})
	e.Variable = "TFC_WORKLOAD_IDENTITY_TOKEN_CAMBIO"
	exchanged(t, e, workload.Platforms(), "variable")
	e.Variable = "NONE"
	wantError(t, e, "variable", "the variable NONE is empty")
}

func TestCircleCI(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	v := map[string]string{"CIRCLECI": "true"}
	exchangedNot(t, v, "circleci", "give it a context")
	v["CIRCLE_OIDC_TOKEN_V2"] = mint(t, nil)
	exchangedNot(t, v, "circleci", "--variable CIRCLE_OIDC_TOKEN_V2")
	script := "#!/bin/sh\n[ \"$*\" = 'run oidc get --claims {\"aud\":\"api://AzureADTokenExchange\"}' ] && echo " + mint(t, nil) + "\n"
	if err := os.WriteFile(filepath.Join(dir, "circleci"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	exchanged(t, variables(v), workload.Platforms(), "circleci")
}

func TestBuildkite(t *testing.T) {
	s := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.Header.Get("Authorization") != "Token agent":
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, "{\"message\":\n\"Invalid access token\"}")
		case r.Method != http.MethodPost || r.URL.Path != "/v3/jobs/j1/oidc/tokens" || string(body) != `{"audience":"api://AzureADTokenExchange"}`:
			t.Errorf("%s %s %s", r.Method, r.URL, body)
		default:
			w.WriteHeader(http.StatusCreated)
			_, _ = fmt.Fprintf(w, `{"token":%q}`, mint(t, nil))
		}
	})
	v := map[string]string{"BUILDKITE": "true", "BUILDKITE_JOB_ID": "j1", "BUILDKITE_AGENT_ENDPOINT": s.URL + "/v3", "BUILDKITE_AGENT_ACCESS_TOKEN": "agent"}
	exchanged(t, variables(v), workload.Platforms(), "buildkite")
	v["BUILDKITE_AGENT_ACCESS_TOKEN"] = "old"
	wantError(t, variables(v), "buildkite", `status 401: the agent's access token is not accepted (it answered: {"message": "Invalid access token"})`)
	delete(v, "BUILDKITE_AGENT_ACCESS_TOKEN")
	exchangedNot(t, v, "buildkite", "propagate-environment")
}

func TestGoogle(t *testing.T) {
	status := http.StatusOK
	s := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Metadata-Flavor") != "Google" || r.URL.Path != "/computeMetadata/v1/instance/service-accounts/default/identity" || r.URL.Query().Get("audience") != audience {
			t.Errorf("%s %v", r.URL, r.Header)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, mint(t, nil))
	})
	// A proxy is never asked for a metadata server; this one refuses everything.
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	v := map[string]string{"GCE_METADATA_HOST": strings.TrimPrefix(s.URL, "http://")}
	exchanged(t, variables(v), workload.Platforms(), "google")
	status = http.StatusNotFound
	wantError(t, variables(v), "google", "the machine has no service account")

	e := variables(nil)
	e.ReadFile = func(name string) ([]byte, error) {
		if name != "/sys/class/dmi/id/product_name" {
			return nil, os.ErrNotExist
		}
		return []byte("Google Compute Engine\n"), nil
	}
	if p, _, err := workload.Detect(e, workload.Platforms()); err != nil || p.Name != "google" {
		t.Errorf("detected %q (%v)", p.Name, err)
	}
}
