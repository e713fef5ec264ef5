package kubernetes

import (
	"fmt"
	"os/exec"
	"testing"
)

// printed applies what `cambio client-config k8s` prints, and exchanges the
// token that a pod of the deployment would have.
func (w *webhookTest) printed(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), w.binary, "client-config", "k8s", "--authority", w.server.BaseURL, "--client-id", w.worker.AppID, "--name", "api")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	w.apply(t, string(out), "-n", "shop", "--validate=strict", "-f", "-")
	const template = "{.spec.template.spec"
	get := func(path string) string {
		t.Helper()
		out, err := w.cluster.Kubectl(t.Context(), "", "-n", "shop", "get", "deployment", "api", "-o", "jsonpath="+template+path+"}")
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	variable := func(name string) string {
		t.Helper()
		return get(fmt.Sprintf(".containers[0].env[?(@.name=='%s')].value", name))
	}
	if file, mounted := variable("AZURE_FEDERATED_TOKEN_FILE"), get(".containers[0].volumeMounts[0].mountPath")+"/"+get(".volumes[0].projected.sources[0].serviceAccountToken.path"); file != mounted {
		t.Errorf("the variable names %q, the token is at %q", file, mounted)
	}
	if got := variable("AZURE_AUTHORITY_HOST"); got != w.server.BaseURL+"/" {
		t.Errorf("the authority is %q", got)
	}
	assertion, err := w.cluster.Kubectl(t.Context(), "", "-n", "shop", "create", "token", get(".serviceAccountName"), "--audience", get(".volumes[0].projected.sources[0].serviceAccountToken.audience"))
	if err != nil {
		t.Fatal(err)
	}
	access, err := w.api.Exchange(t.Context(), variable("AZURE_CLIENT_ID"), "api://cluster/.default", assertion)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.cluster.KubectlWithToken(t.Context(), access, "-n", "shop", "get", "pods"); err != nil {
		t.Errorf("the role was kept out: %v", err)
	}
}
