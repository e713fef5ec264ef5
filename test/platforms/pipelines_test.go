package platforms

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"cambio/conformance/devserver"
	"cambio/test/httpclient"
	"cambio/test/realparts"
)

// The two forms of a service connection's issuer and subject.
var connections = map[string]struct{ issuer, subject string }{
	"sc":   {pipelines, "sc://acme/shop/orders"},
	"eid1": {entra, "/eid1/c/pub/t/Di8ce01KVUyaPi8dDJuKdw/a/AbCdEf0123456789abcdef/6f1d2c3b/0a1b2c3d"},
}

const (
	connectionID = "0f9e8d7c-6b5a-4948-8372-6150a1b2c3d4"
	jobToken     = "System.AccessToken of the job"
)

// oidcRequests plays the endpoint at which a job asks for the token of a
// service connection.
type oidcRequests struct {
	*httptest.Server
	authorities string       // file with the certificates of this endpoint and of the server
	token       atomic.Value // string
}

func newOIDCRequests(t *testing.T) *oidcRequests {
	e := &oidcRequests{}
	e.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		switch {
		case r.Method != http.MethodPost, r.URL.Path != "/acme/shop/_apis/distributedtask/hubs/build/plans/p/jobs/j/oidctoken", query.Get("api-version") != "7.1":
			w.WriteHeader(http.StatusBadRequest)
		case r.Header.Get("Authorization") != "Bearer "+jobToken:
			if r.Header.Get("X-TFS-FedAuthRedirect") == "Suppress" {
				w.WriteHeader(http.StatusUnauthorized)
			} else {
				http.Redirect(w, r, "https://signin.example/", http.StatusFound)
			}
		case query.Get("serviceConnectionId") != connectionID:
			w.WriteHeader(http.StatusNotFound)
		default:
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			_ = json.NewEncoder(w).Encode(map[string]string{"oidcToken": e.token.Load().(string)})
		}
	}))
	t.Cleanup(e.Close)
	authorities, err := os.ReadFile(shared.server.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	authorities = append(authorities, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.Certificate().Raw})...)
	e.authorities = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(e.authorities, authorities, 0o600); err != nil {
		t.Fatal(err)
	}
	return e
}

// variables are what a step has that maps the job's access token, and what its
// client is told.
func (e *oidcRequests) variables(client httpclient.Application) []string {
	return []string{"TF_BUILD=True", "SYSTEM_OIDCREQUESTURI=" + e.URL + "/acme/shop/_apis/distributedtask/hubs/build/plans/p/jobs/j/oidctoken",
		"SYSTEM_ACCESSTOKEN=" + jobToken, "SERVICE_CONNECTION_ID=" + connectionID, "CAMBIO_SERVICE_CONNECTION_ID=" + connectionID,
		"BASE_URL=" + shared.server.BaseURL, "SSL_CERT_FILE=" + e.authorities, "NODE_EXTRA_CA_CERTS=" + e.authorities,
		"CAMBIO_AUTHORITY=" + shared.server.BaseURL, "CAMBIO_CA_FILE=" + shared.server.CAFile,
		"TENANT_ID=" + shared.server.TenantID, "CLIENT_ID=" + client.AppID, "DISABLE_INSTANCE_DISCOVERY=1", "SCOPE=api://orders/.default",
		"CAMBIO_CLIENT_ID=" + client.AppID, "CAMBIO_TENANT=" + shared.server.TenantID, "CAMBIO_SCOPE=api://orders/.default"}
}

// TestAzurePipelines signs in with AzurePipelinesCredential of Go and of
// JavaScript, and with cambio token, for both forms.
func TestAzurePipelines(t *testing.T) {
	realparts.Needs(t, realparts.GoClients, realparts.NodeClients)
	root, err := devserver.Root()
	if err != nil {
		t.Fatal(err)
	}
	clients := filepath.Join(root, "test", "clients")
	program := filepath.Join(t.TempDir(), "go-client")
	build := exec.Command("go", "build", "-trimpath", "-o", program, ".")
	build.Dir = filepath.Join(clients, "go")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	programs := map[string][]string{
		"azidentity":      {program, "pipelines"},
		"@azure/identity": {"node", filepath.Join(clients, "node", "client.mjs"), "pipelines"},
		"cambio token":    {filepath.Join(shared.tools, "cambio"), "token", "-o", "json"},
	}
	endpoint := newOIDCRequests(t)
	for form, c := range connections {
		for name, argv := range programs {
			t.Run(form+" "+name, func(t *testing.T) {
				client := trusting(t, c.issuer, c.subject)
				endpoint.token.Store(mint(t, c.issuer, c.subject, nil, nil))
				token, said := run(t, endpoint.variables(client), argv...)
				if token == "" {
					t.Fatal(said)
				}
				accepted(t, token, client)
				endpoint.token.Store(mint(t, c.issuer, c.subject+"2", nil, nil))
				if token, said := run(t, endpoint.variables(client), argv...); token != "" || !strings.Contains(said, "AADSTS700213") {
					t.Errorf("another service connection: %s", said)
				}
				if token, said := run(t, append(endpoint.variables(client), "SYSTEM_ACCESSTOKEN=of another job"), argv...); token != "" {
					t.Errorf("another job: %s", said)
				}
			})
		}
	}
}

// run runs a program that prints an access token as a member of JSON, with
// these variables alone, and returns the token and all that was printed.
func run(t *testing.T, env []string, argv ...string) (token, said string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err == nil {
		err = json.Unmarshal(stdout.Bytes(), &answer)
	}
	said = stdout.String() + stderr.String()
	if err != nil {
		said = err.Error() + ": " + said
	}
	return answer.AccessToken, said
}
