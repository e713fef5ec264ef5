package kubernetes

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cambio/conformance/devserver"
	"cambio/test/httpclient"
	"cambio/test/pki"
	"cambio/test/realparts"
)

const webhookObjects = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: api, namespace: shop, annotations: {azure.workload.identity/client-id: %q}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: outsider, namespace: shop}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: pod-reader, namespace: shop}
rules: [{apiGroups: [""], resources: [pods], verbs: [get, list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: pod-readers, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: pod-reader}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: "cambio:Pods.Read"}]
`

const pod = `
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: shop, labels: {azure.workload.identity/use: "true"}, annotations: {azure.workload.identity/service-account-token-expiration: %q}}
spec:
  serviceAccountName: %s
  initContainers: [{name: prepare, image: example.invalid/a}]
  containers: [{name: api, image: example.invalid/a, env: [{name: AZURE_TENANT_ID, value: own}]}]
`

// Created before anything mutates pods.
const earlyPod = `
apiVersion: v1
kind: Pod
metadata: {name: early, namespace: shop, labels: {azure.workload.identity/use: "true"}}
spec: {serviceAccountName: outsider, containers: [{name: api, image: example.invalid/a}]}
`

// TestWebhook has a real API server ask the webhook about pods, plays the
// kubelet for the one that it let through, and exchanges the pod's token for
// an access token which that API server accepts.
func TestWebhook(t *testing.T) {
	realparts.Needs(t, realparts.Etcd, realparts.KubeAPIServer, realparts.Kubectl)
	w := startWebhook(t)
	w.apply(t, "", "-k", filepath.Join(w.root, "deploy", "kustomize"), "--dry-run=server", "--validate=strict")

	w.apply(t, fmt.Sprintf(pod, "good", "7200", "api"), "-f", "-")
	projected := w.get(t, "{.spec.volumes[?(@.name=='azure-identity-token')].projected.sources[0].serviceAccountToken}")
	if want := `{"audience":"api://AzureADTokenExchange","expirationSeconds":7200,"path":"azure-identity-token"}`; projected != want {
		t.Errorf("projected token %s, want %s", projected, want)
	}
	for path, want := range map[string]string{
		"{.spec.containers[0].env[?(@.name=='AZURE_CLIENT_ID')].value}":                   w.worker.AppID,
		"{.spec.containers[0].env[?(@.name=='AZURE_TENANT_ID')].value}":                   "own", // as the pod has it
		"{.spec.initContainers[0].env[?(@.name=='AZURE_TENANT_ID')].value}":               "adfs",
		"{.spec.containers[0].env[?(@.name=='AZURE_AUTHORITY_HOST')].value}":              w.server.BaseURL + "/",
		"{.spec.containers[0].env[?(@.name=='AZURE_KUBERNETES_TOKEN_PROXY')].value}":      w.server.BaseURL,
		"{.spec.containers[0].env[?(@.name=='AZURE_FEDERATED_TOKEN_FILE')].value}":        "/var/run/secrets/azure/tokens/azure-identity-token",
		"{.spec.containers[0].volumeMounts[?(@.name=='azure-identity-token')].mountPath}": "/var/run/secrets/azure/tokens",
	} {
		if got := w.get(t, path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	for name, c := range map[string]struct{ expiration, account, want string }{
		"short":  {"3599", "api", "from 3600 to 86400"},
		"long":   {"86401", "api", "from 3600 to 86400"},
		"number": {"1h", "api", "from 3600 to 86400"},
	} {
		_, err := w.cluster.Kubectl(t.Context(), fmt.Sprintf(pod, name, c.expiration, c.account), "apply", "-f", "-")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want a refusal with %q", name, err, c.want)
		}
	}
	w.roles(t)
	w.doctor(t)
	w.printed(t)
	w.stop()
	if _, err := w.cluster.Kubectl(t.Context(), fmt.Sprintf(pod, "late", "3600", "api"), "apply", "-f", "-"); err == nil || !strings.Contains(err.Error(), "failed calling webhook") {
		t.Errorf("a pod was let through, or kept out for another reason, while the webhook was down: %v", err)
	}
}

// roles exchanges tokens of both service accounts, and shows them to the API
// server. The token of the worker is bound to the pod, as the kubelet has it.
func (w *webhookTest) roles(t *testing.T) {
	uid := w.get(t, "{.metadata.uid}")
	for account, client := range map[string]httpclient.Application{"api": w.worker, "outsider": w.outsider} {
		args := []string{"-n", "shop", "create", "token", account, "--audience", "api://AzureADTokenExchange"}
		if account == "api" {
			args = append(args, "--bound-object-kind", "Pod", "--bound-object-name", "good", "--bound-object-uid", uid)
		}
		assertion, err := w.cluster.Kubectl(t.Context(), "", args...)
		if err != nil {
			t.Fatal(err)
		}
		access, err := w.api.Exchange(t.Context(), client.AppID, "api://cluster/.default", assertion)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.cluster.KubectlWithToken(t.Context(), access, "-n", "shop", "get", "pods")
		if account == "api" && err != nil {
			t.Errorf("the role was kept out: %v", err)
		}
		if account == "outsider" && (err == nil || !strings.Contains(err.Error(), "forbidden")) {
			t.Errorf("without the role: %v", err)
		}
	}
}

// webhookTest is a cluster with cambio and its webhook.
type webhookTest struct {
	root, binary     string
	cluster          *Cluster
	server           *devserver.Server
	api              *httpclient.Client
	worker, outsider httpclient.Application
	stop             func()
}

func startWebhook(t *testing.T) *webhookTest {
	t.Helper()
	w, dir := &webhookTest{}, t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	w.root, err = devserver.Root()
	must(err)
	w.cluster, err = New(dir)
	must(err)
	binary, err := devserver.Build(t.Context(), dir)
	must(err)
	w.server, err = devserver.Start(t.Context(), devserver.Config{Binary: binary, StateDir: filepath.Join(dir, "state"), Stderr: io.Discard,
		IssuerCAFile: w.cluster.CAFile, AllowIssuerAddress: []string{"127.0.0.1/32"}})
	must(err)
	t.Cleanup(func() { w.server.Stop() })
	client, err := w.server.Client()
	must(err)
	w.api = &httpclient.Client{BaseURL: w.server.BaseURL, TenantID: w.server.TenantID, AdminToken: w.server.AdminToken, HTTP: client}
	resource, err := w.api.Register(t.Context(), httpclient.Registration{Name: "Cluster", IdentifierURI: "api://cluster", Roles: []string{"Pods.Read"}, TokenVersion: 2})
	must(err)
	for account, app := range map[string]*httpclient.Application{"api": &w.worker, "outsider": &w.outsider} {
		*app, err = w.api.Register(t.Context(), httpclient.Registration{Name: account})
		must(err)
		_, err = w.api.Trust(t.Context(), *app, "cluster", w.cluster.Issuer, "system:serviceaccount:shop:"+account)
		must(err)
	}
	must(w.api.Grant(t.Context(), w.worker, resource, "Pods.Read"))
	t.Cleanup(w.cluster.Stop)
	must(w.cluster.Start(t.Context(), Trust{URL: w.server.BaseURL + "/" + w.server.TenantID + "/v2.0", CAFile: w.server.CAFile, Audience: resource.AppID, TenantID: w.server.TenantID}))
	kustomize := filepath.Join(w.root, "deploy", "kustomize")
	w.apply(t, "", "-f", filepath.Join(kustomize, "namespace.yaml"), "-f", filepath.Join(kustomize, "access.yaml"))
	w.apply(t, fmt.Sprintf(webhookObjects, w.worker.AppID), "-f", "-")
	w.apply(t, earlyPod, "-f", "-")
	w.binary = binary
	w.run(t)
	return w
}

// run starts the webhook with the rights of its own service account, and tells
// the API server of it.
func (w *webhookTest) run(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	files, err := pki.Loopback(dir, "webhook")
	if err != nil {
		t.Fatal(err)
	}
	token, err := w.cluster.Kubectl(t.Context(), "", "-n", "cambio", "create", "token", "cambio-webhook")
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(dir, "kubeconfig")
	text := strings.Replace(w.cluster.kubeconfig(), w.cluster.admin, token, 1)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, w.binary, "webhook", "--authority", w.server.BaseURL, "--token-proxy", w.server.BaseURL, "--token-proxy-ca", w.server.CAFile,
		"--listen", "127.0.0.1:0", "--operations-listen", "127.0.0.1:0", "--certificate-file", files.Certificate, "--key-file", files.Key, "--kubeconfig", kubeconfig)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.stop = func() { cancel(); cmd.Wait() }
	t.Cleanup(w.stop)
	var line struct{ Msg, Listen string }
	first, err := bufio.NewReader(log).ReadBytes('\n')
	if err != nil || json.Unmarshal(first, &line) != nil || line.Msg != "serving" {
		t.Fatalf("the webhook said %s, %v", first, err)
	}
	go io.Copy(io.Discard, log)
	ca, err := os.ReadFile(files.CA)
	if err != nil {
		t.Fatal(err)
	}
	configuration, err := os.ReadFile(filepath.Join(w.root, "deploy", "kustomize", "configuration.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	where := fmt.Sprintf("clientConfig: {url: %q, caBundle: %s}", "https://"+line.Listen+"/mutate-v1-pod", base64.StdEncoding.EncodeToString(ca))
	w.apply(t, strings.Replace(string(configuration), "clientConfig: {service: {name: cambio-webhook, namespace: cambio, path: /mutate-v1-pod}}", where, 1), "-f", "-")
	w.untilCalled(t)
}

// untilCalled waits for the API server to know the webhook: it learns of a
// configuration a moment after it was stored.
func (w *webhookTest) untilCalled(t *testing.T) {
	t.Helper()
	for range 100 {
		out, err := w.cluster.Kubectl(t.Context(), fmt.Sprintf(pod, "probe", "3600", "api"), "apply", "--dry-run=server", "-o", "yaml", "-f", "-")
		if err == nil && strings.Contains(out, "azure-identity-token") {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("the API server does not call the webhook")
}

func (w *webhookTest) apply(t *testing.T, stdin string, args ...string) {
	t.Helper()
	if out, err := w.cluster.Kubectl(t.Context(), stdin, append([]string{"apply"}, args...)...); err != nil {
		t.Fatalf("kubectl apply %s: %v\n%s", args, err, out)
	}
}

// get reads a member of the pod that was let through.
func (w *webhookTest) get(t *testing.T, path string) string {
	t.Helper()
	out, err := w.cluster.Kubectl(t.Context(), "", "-n", "shop", "get", "pod", "good", "-o", "jsonpath="+path)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
