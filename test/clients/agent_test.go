package clients

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cambio/test/realparts"
)

// besideAgent is a command line with `cambio agent` beside it.
func besideAgent(flags []string, argv ...string) []string {
	return slices.Concat([]string{shared.binary, "agent", "--source", "file", "--file", shared.good, "--authority", shared.server.BaseURL,
		"--tenant", shared.server.TenantID, "--client", shared.client.AppID, "--ca", shared.server.CAFile}, flags, []string{"--"}, argv)
}

// The clients that know managed identities.
const pythonManaged = `
import json, os
from azure.identity import ManagedIdentityCredential
credential, scope = ManagedIdentityCredential(), os.environ["SCOPE"]
first, second = credential.get_token(scope), credential.get_token(scope)
print(json.dumps({"ok": True, "access_token": first.token, "cached": first.token == second.token}))
`

// managedClients are programs that ask a managed identity for a token twice.
func managedClients(t *testing.T) map[string][]string {
	t.Helper()
	realparts.Needs(t, realparts.AzureCLI) // which brings azure-identity for Python
	return map[string][]string{
		"Go": {goProgram(t), "managed"}, "Node": {"node", nodeProgram(t), "managed"}, "Python": {"/usr/bin/python3", "-c", pythonManaged},
	}
}

// TestAgentAsAppService runs each SDK's ManagedIdentityCredential beside
// `cambio agent`, which tells it of an endpoint of App Service's shape.
func TestAgentAsAppService(t *testing.T) {
	for name, client := range managedClients(t) {
		t.Run(name, func(t *testing.T) {
			o := run(t, []string{"SCOPE=api://things-v2/.default"}, besideAgent(nil, client...)...)
			checkToken(t, o, shared.v2)
			if !o.Cached {
				t.Error("the second call was not served from the library's cache")
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		o := run(t, []string{"SCOPE=api://none/.default"}, besideAgent(nil, goProgram(t), "managed")...)
		if o.OK || !strings.Contains(o.Error, "AADSTS500011") {
			t.Errorf("%+v", o)
		}
	})
}

// TestAgentAsMachine runs those that can be told where the metadata service of
// machines is.
func TestAgentAsMachine(t *testing.T) {
	clients := managedClients(t)
	for _, name := range []string{"Node", "Python"} {
		t.Run(name, func(t *testing.T) {
			argv := slices.Concat([]string{"env", "-u", "IDENTITY_ENDPOINT", "-u", "IDENTITY_HEADER", "-u", "MSI_ENDPOINT", "-u", "MSI_SECRET"}, clients[name])
			checkToken(t, run(t, []string{"SCOPE=api://things-v2/.default"}, besideAgent([]string{"--listen", "127.0.0.1:0", "--imds"}, argv...)...), shared.v2)
		})
	}
}

// TestAgentKeepsAssertion runs SDKs that exchange the platform's token
// themselves, from the file that the agent keeps.
func TestAgentKeepsAssertion(t *testing.T) {
	env := []string{"SCOPE=api://things-v2/.default", "SSL_CERT_FILE=" + shared.server.CAFile, "NODE_EXTRA_CA_CERTS=" + shared.server.CAFile, "FROM_ENV=1", "DISABLE_INSTANCE_DISCOVERY=1"}
	file := filepath.Join(t.TempDir(), "assertion")
	for name, argv := range map[string][]string{"Go": {goProgram(t), "workload"}, "Node": {"node", nodeProgram(t), "workload"}} {
		t.Run(name, func(t *testing.T) {
			checkToken(t, run(t, env, besideAgent([]string{"--assertion-file", file}, argv...)...), shared.v2)
		})
	}
}

// TestAgentAzureCLI signs az in as a managed identity, as in App Service, and
// lets it use the management API and a resource.
func TestAgentAzureCLI(t *testing.T) {
	az := registeredCloud(t)
	az.env = append(az.env, "APPSETTING_WEBSITE_SITE_NAME=cambio") // this version looks for it
	az.beside = besideAgent(nil)
	az.must(t, "login --identity --allow-no-subscriptions --output none")
	az.want(t, shared.server.TenantID, "account show --query tenantId")
	checkToken(t, outcome{OK: true, AccessToken: az.get(t, "account get-access-token --query accessToken --resource api://things-v2")}, shared.v2)
}

// metadataNetwork is a network of its own with the address that programs know
// the metadata service of machines by, a server in it, and the agent at that
// address, beside whatever command follows.
const metadataNetwork = `
set -eu
ip link set lo up
ip addr add 169.254.169.254/32 dev lo
"$1" dev --state "$2" --listen 127.0.0.1:8443 --log-level error >/dev/null &
server=$!
trap 'kill $server' EXIT
until [ -s "$2/connection.json" ]; do sleep 0.05; done
binary=$1 state=$2
shift 2
"$binary" agent --state "$state" --listen 169.254.169.254:80 --imds -- env -u IDENTITY_ENDPOINT -u IDENTITY_HEADER -u MSI_ENDPOINT -u MSI_SECRET -u AZURE_POD_IDENTITY_AUTHORITY_HOST "$@"
`

// TestAgentAtTheMetadataAddress runs SDKs and az without anything in their
// environment, as on a machine of Azure.
func TestAgentAtTheMetadataAddress(t *testing.T) {
	if os.Getuid() != 0 || exec.Command("unshare", "--net", "true").Run() != nil {
		t.Skip("skipped: only root can make a network")
	}
	state := filepath.Join(t.TempDir(), "state")
	network := func(argv ...string) []string {
		return slices.Concat([]string{"unshare", "--net", "sh", "-c", metadataNetwork, "sh", shared.binary, state}, argv)
	}
	for name, client := range managedClients(t) {
		t.Run(name, func(t *testing.T) {
			o := run(t, []string{"SCOPE=api://cambio-dev/.default"}, network(client...)...)
			if !o.OK || !o.Cached || strings.Count(o.AccessToken, ".") != 2 {
				t.Errorf("%+v", o)
			}
		})
	}
	t.Run("az", func(t *testing.T) {
		az := newAzureCLI(t)
		az.register(t, "https://127.0.0.1:8443/")
		az.env = append(az.env, "REQUESTS_CA_BUNDLE="+filepath.Join(state, "ca.pem"))
		az.beside = network()
		az.must(t, "login --identity --allow-no-subscriptions --output none")
		if token := az.get(t, "account get-access-token --query accessToken --resource api://cambio-dev"); strings.Count(token, ".") != 2 {
			t.Errorf("token %q", token)
		}
	})
}
