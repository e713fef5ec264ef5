package kubernetes

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// doctor has `cambio doctor pod` find out what is wrong with pods that the
// webhook did not mutate, or not as their author meant.
func (w *webhookTest) doctor(t *testing.T) {
	w.apply(t, unlucky, "-f", "-")
	for pod, want := range map[string][]string{
		"good":      {"ok pod", "ok label", "ok account", "ok client " + w.worker.AppID, "ok expiry the token is good for 7200", "ok webhook cambio-webhook selects", "skip service", "ok volume", "ok container prepare: client " + w.worker.AppID + ", tenant adfs", "ok container api: client " + w.worker.AppID + ", tenant own"},
		"early":     {"ok label", "warn client the service account has no annotation", "ok webhook", "fail order the pod was created before cambio-webhook", "fail volume"},
		"unlabeled": {"fail label the pod has no label", "fail webhook cambio-webhook does not select the pod: its objectSelector wants azure.workload.identity/use=true", "fail volume"},
		"shouting":  {"fail label azure.workload.identity/use is \"True\"", "fail volume"},
		"skipping":  {"ok label", "warn skipped azure.workload.identity/skip-containers names \"apl\"", "ok container api"},
		"mounted":   {"fail container api does not see the token"},
		"nobody":    {"fail pod there is no pod nobody in namespace shop"},
	} {
		out, err := exec.CommandContext(t.Context(), w.binary, "doctor", "pod", pod, "-n", "shop", "--kubeconfig", w.cluster.path("kubeconfig"), "-o", "json").Output()
		var checks []struct{ Check, Result, Found, Remedy string }
		if e := json.Unmarshal(out, &checks); e != nil {
			t.Errorf("%s: %s, %v, %v", pod, out, e, err)
			continue
		}
		var lines []string
		failed := false
		for _, k := range checks {
			lines = append(lines, k.Result+" "+k.Check+" "+k.Found)
			failed = failed || k.Result == "fail"
			if (k.Result == "fail" || k.Result == "warn") && k.Remedy == "" {
				t.Errorf("%s: %s has no remedy", pod, k.Check)
			}
		}
		if failed != (err != nil) {
			t.Errorf("%s: failed %t, exit %v", pod, failed, err)
		}
		all := "\n" + strings.Join(lines, "\n")
		for _, line := range want {
			if !strings.Contains(all, "\n"+line) {
				t.Errorf("%s: no %q in%s", pod, line, all)
			}
		}
	}
}

// Pods as people get them wrong.
const unlucky = `
apiVersion: v1
kind: Pod
metadata: {name: unlabeled, namespace: shop, annotations: {azure.workload.identity/use: "true"}}
spec: {serviceAccountName: api, containers: [{name: api, image: example.invalid/a}]}
---
apiVersion: v1
kind: Pod
metadata: {name: shouting, namespace: shop, labels: {azure.workload.identity/use: "True"}}
spec: {serviceAccountName: api, containers: [{name: api, image: example.invalid/a}]}
---
apiVersion: v1
kind: Pod
metadata: {name: skipping, namespace: shop, labels: {azure.workload.identity/use: "true"}, annotations: {azure.workload.identity/skip-containers: apl}}
spec: {serviceAccountName: api, containers: [{name: api, image: example.invalid/a}]}
---
apiVersion: v1
kind: Pod
metadata: {name: mounted, namespace: shop, labels: {azure.workload.identity/use: "true"}}
spec:
  serviceAccountName: api
  volumes: [{name: own, emptyDir: {}}]
  containers: [{name: api, image: example.invalid/a, volumeMounts: [{name: own, mountPath: /var/run/secrets/azure/tokens}]}]
`
