package kubernetes

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cambio/conformance/devserver"
	"cambio/test/realparts"
)

// TestChart has Helm install, upgrade and remove the webhook's chart on a real
// API server. Only when asked for: Helm's build takes four minutes of two cores.
func TestChart(t *testing.T) {
	if os.Getenv("CAMBIO_HELM") != "1" {
		t.Skip("skipped: `make helm` runs it")
	}
	realparts.Needs(t, realparts.Etcd, realparts.KubeAPIServer, realparts.Kubectl)
	root, err := devserver.Root()
	if err != nil {
		t.Fatal(err)
	}
	helm := buildHelm(t, root)
	c, err := New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	if err := c.Start(t.Context(), Trust{}); err != nil {
		t.Fatal(err)
	}
	chart := filepath.Join(root, "deploy", "helm", "cambio-webhook")
	run := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), helm, args...)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+c.path("kubeconfig"), "HELM_CACHE_HOME="+c.path("helm"), "HELM_CONFIG_HOME="+c.path("helm"), "HELM_DATA_HOME="+c.path("helm"))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	must := func(args ...string) string {
		t.Helper()
		out, err := run(args...)
		if err != nil {
			t.Fatalf("helm %s: %v\n%s", args, err, out)
		}
		return out
	}
	install := []string{chart, "--namespace", "identity", "--set", "authority=https://sts.example.net"}

	must("lint", "--strict", chart, "--set", "authority=https://sts.example.net")
	if out, err := run("template", "hook", chart, "--set", "authority=http://sts.example.net"); err == nil || !strings.Contains(out, "/authority") {
		t.Errorf("an authority without TLS: %v %s", err, out)
	}
	if out, err := run("template", "hook", chart, "--set", "authority=https://sts.example.net,tls.existingSecret=mine"); err == nil || !strings.Contains(out, "caBundle") {
		t.Errorf("a secret without its authority: %v %s", err, out)
	}
	must(append([]string{"install", "hook", "--create-namespace"}, install...)...)
	get := func(what, path string) string {
		t.Helper()
		out, err := c.Kubectl(t.Context(), "", "-n", "identity", "get", what, "-o", "jsonpath="+path)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	authority := get("secret/hook-cambio-webhook-tls", "{.data.ca\\.crt}")
	if bundle := get("mutatingwebhookconfiguration/hook-cambio-webhook", "{.webhooks[0].clientConfig.caBundle}"); bundle == "" || bundle != authority {
		t.Errorf("the configuration trusts %q, the secret has %q", bundle, authority)
	}
	if key := get("secret/hook-cambio-webhook-tls", "{.data.tls\\.key}"); key == "" {
		t.Error("the secret has no key")
	}
	must(append([]string{"upgrade", "hook", "--set", "replicas=1,tokenProxy.url=https://sts.example.net", "--set-file", "tokenProxy.ca=" + c.CAFile}, install...)...)
	if after := get("secret/hook-cambio-webhook-tls", "{.data.ca\\.crt}"); after != authority {
		t.Error("an upgrade made another authority")
	}
	if arguments := get("deployment/hook-cambio-webhook", "{.spec.template.spec.containers[0].args}"); !strings.Contains(arguments, "--token-proxy=https://sts.example.net") {
		t.Errorf("arguments %s", arguments)
	}
	must("uninstall", "hook", "--namespace", "identity")
	if left := get("mutatingwebhookconfigurations,clusterroles", "{.items[?(@.metadata.name=='hook-cambio-webhook')].kind}"); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func buildHelm(t *testing.T, root string) string {
	t.Helper()
	cache, err := realparts.Cache()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cache, "tools", "helm", "helm")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "helm.sh/helm/v4/cmd/helm")
	build.Dir, build.Env = filepath.Join(root, "test", "realparts", "helm"), append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}
