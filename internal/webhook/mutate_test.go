package webhook

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"cambio/internal/kubernetes"
)

var settings = Settings{Authority: "https://sts.example.net", Tenant: "adfs", Audience: "api://AzureADTokenExchange", ProxyImage: "proxy", ProxyInitImage: "init"}

func mutated(t *testing.T, s Settings, pod string, account map[string]string) (string, error) {
	t.Helper()
	var p kubernetes.Pod
	if err := json.Unmarshal([]byte(pod), &p); err != nil {
		t.Fatal(err)
	}
	patch, err := s.Mutate(p, account)
	text, marshalErr := json.Marshal(patch, json.Deterministic(true))
	if marshalErr != nil {
		t.Fatal(marshalErr)
	}
	return string(text), err
}

func TestSkippedContainersAndAccountWithoutClient(t *testing.T) {
	patch, err := mutated(t, settings, `{"metadata": {"annotations": {"azure.workload.identity/skip-containers": "mesh; log"}},
		"spec": {"containers": [{"name": "mesh"}, {"name": "api"}, {"name": "log"}]}}`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(patch, "containers/0") || strings.Contains(patch, "containers/2") || !strings.Contains(patch, "/spec/containers/1/env") {
		t.Errorf("skipped containers: %s", patch)
	}
	if strings.Contains(patch, "AZURE_CLIENT_ID") || !strings.Contains(patch, "AZURE_TENANT_ID") || strings.Contains(patch, "TOKEN_PROXY") {
		t.Errorf("variables without a value: %s", patch)
	}
}

func TestMutatedPodStaysAsItIs(t *testing.T) {
	patch, err := mutated(t, settings, `{"metadata": {"annotations": {"azure.workload.identity/inject-proxy-sidecar": ""}}, "spec": {
		"initContainers": [{"name": "azwi-proxy-init"}, {"name": "azwi-proxy", "env": [{"name": "AZURE_TENANT_ID"}, {"name": "AZURE_FEDERATED_TOKEN_FILE"}, {"name": "AZURE_AUTHORITY_HOST"}],
			"volumeMounts": [{"name": "azure-identity-token", "mountPath": "/var/run/secrets/azure/tokens"}]}],
		"volumes": [{"name": "azure-identity-token"}]}}`, nil)
	if err != nil || patch != "[]" {
		t.Errorf("%s, %v", patch, err)
	}
}

func TestProxy(t *testing.T) {
	const asking = `{"metadata": {"annotations": {"azure.workload.identity/inject-proxy-sidecar": "true", "azure.workload.identity/proxy-sidecar-port": "PORT"}},
		"spec": {"hostNetwork": HOST, "containers": [{"name": "api"}], "initContainers": [{"name": "prepare"}]}}`
	fill := strings.NewReplacer("PORT", "8080", "HOST", "false").Replace
	patch, err := mutated(t, settings, fill(asking), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"path":"/spec/initContainers/0"`, `--proxy-port=8080`, `"path":"/spec/initContainers/1"`, `"restartPolicy":"Always"`} {
		if !strings.Contains(patch, want) {
			t.Errorf("no %s in %s", want, patch)
		}
	}
	if strings.Index(patch, "/spec/initContainers/0/env") > strings.Index(patch, "azwi-proxy-init") {
		t.Errorf("the proxy comes before what is patched by place: %s", patch)
	}
	for name, c := range map[string]struct {
		settings          Settings
		port, host, error string
	}{
		"host network": {settings, "8080", "true", "hostNetwork"},
		"port":         {settings, "0", "false", "port from 1 to 65535"},
		"no image":     {Settings{}, "8080", "false", "--proxy-image"},
	} {
		_, err := mutated(t, c.settings, strings.NewReplacer("PORT", c.port, "HOST", c.host).Replace(asking), nil)
		if err == nil || !strings.Contains(err.Error(), c.error) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestExpiration(t *testing.T) {
	for _, c := range []struct{ pod, account, want string }{
		{"", "", `"expirationSeconds":3600`},
		{"", "86400", `"expirationSeconds":86400`},
		{"3600", "86400", `"expirationSeconds":3600`},
		{"", "3599", ""},
		{"86401", "3600", ""},
		{"x", "", ""},
	} {
		patch, err := mutated(t, settings, `{"metadata": {"annotations": {"azure.workload.identity/service-account-token-expiration": "`+c.pod+`"}}}`,
			map[string]string{"azure.workload.identity/service-account-token-expiration": c.account})
		if (err != nil) != (c.want == "") || !strings.Contains(patch, c.want) {
			t.Errorf("%+v: %s, %v", c, patch, err)
		}
	}
}
