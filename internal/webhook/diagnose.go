package webhook

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"cambio/internal/diagnosis"
	"cambio/internal/kubernetes"
)

// inspection is what is known of one pod.
type inspection struct {
	ctx       context.Context
	cluster   *kubernetes.Client
	namespace string
	pod       kubernetes.Pod
	account   map[string]string // annotations of its service account
}

const again = "create the pod again: delete it, or `kubectl rollout restart` what made it"

// Diagnose finds out why a pod cannot exchange its token: what the pod and its
// service account ask for, whether a webhook selects it, and what each of its
// containers got. It only reads.
func Diagnose(ctx context.Context, cluster *kubernetes.Client, namespace, name string) []diagnosis.Check {
	i := inspection{ctx: ctx, cluster: cluster, namespace: namespace}
	err := cluster.Get(ctx, &i.pod, "api", "v1", "namespaces", namespace, "pods", name)
	switch {
	case kubernetes.IsNotFound(err):
		return []diagnosis.Check{diagnosis.Failed("pod", fmt.Sprintf("there is no pod %s in namespace %s", name, namespace),
			"check --namespace. A pod that the webhook refused does not exist: the events of what makes it say why (`kubectl describe replicaset`)")}
	case err != nil:
		return []diagnosis.Check{diagnosis.Failed("pod", err.Error(), "check --kubeconfig and --context, and that you may get pods")}
	}
	checks := []diagnosis.Check{diagnosis.Passed("pod", fmt.Sprintf("%s/%s, created %s", namespace, name, i.pod.Metadata.CreationTimestamp.Format(time.RFC3339))), i.label()}
	checks = append(checks, i.serviceAccount()...)
	checks = append(checks, i.skipped()...)
	checks = append(checks, i.webhooks()...)
	return append(checks, i.containers()...)
}

func (i *inspection) label() diagnosis.Check {
	value, has := i.pod.Metadata.Labels[UseLabel]
	switch {
	case value == "true":
		return diagnosis.Passed("label", UseLabel+": \"true\"")
	case has:
		return diagnosis.Failed("label", fmt.Sprintf("%s is %q", UseLabel, value), "set it to \"true\", in lower case and in quotation marks; "+again)
	}
	return diagnosis.Failed("label", "the pod has no label "+UseLabel,
		"set it to \"true\" in the template of the pod (spec.template.metadata.labels of a Deployment): labels of the Deployment, the namespace or the service account do not count")
}

func (i *inspection) serviceAccount() []diagnosis.Check {
	name := accountOf(i.pod)
	var account kubernetes.Object
	err := i.cluster.Get(i.ctx, &account, "api", "v1", "namespaces", i.namespace, "serviceaccounts", name)
	switch {
	case kubernetes.IsNotFound(err):
		return []diagnosis.Check{diagnosis.Failed("account", fmt.Sprintf("there is no service account %s in namespace %s", name, i.namespace), "create it; the webhook refuses pods without")}
	case err != nil:
		return []diagnosis.Check{diagnosis.Skipped("account", err.Error())}
	}
	i.account = account.Metadata.Annotations
	checks := []diagnosis.Check{diagnosis.Passed("account", name), i.client(name)}
	if seconds, err := expirationOf(i.pod.Metadata.Annotations, i.account); err != nil {
		checks = append(checks, diagnosis.Failed("expiry", err.Error(), "correct the annotation; the webhook refuses such pods"))
	} else {
		checks = append(checks, diagnosis.Passed("expiry", fmt.Sprintf("the token is good for %d seconds, and renewed by the kubelet", seconds)))
	}
	return checks
}

// client checks the annotation with the client id.
func (i *inspection) client(account string) diagnosis.Check {
	id := i.account[ClientIDAnnotation]
	remedy := fmt.Sprintf("`kubectl annotate serviceaccount %s -n %s %s=ID`; %s", account, i.namespace, ClientIDAnnotation, again)
	if id == "" {
		found := "the service account has no annotation " + ClientIDAnnotation
		if i.pod.Metadata.Annotations[ClientIDAnnotation] != "" {
			found += "; that of the pod does not count"
		}
		return diagnosis.Doubtful("client", found, "unless the program sets its client id itself: "+remedy)
	}
	if _, err := uuid.Parse(id); err != nil || strings.TrimSpace(id) != id {
		return diagnosis.Failed("client", fmt.Sprintf("the annotation %s is %q, which is no client id", ClientIDAnnotation, id), "use the appId that `cambio app show` prints: "+remedy)
	}
	return diagnosis.Passed("client", id)
}

// skipped checks the list of containers that stay as they are.
func (i *inspection) skipped() []diagnosis.Check {
	skip := names(i.pod.Metadata.Annotations[skipAnnotation])
	if len(skip) == 0 {
		return nil
	}
	for _, name := range skip {
		if !slices.ContainsFunc(i.all(), func(c kubernetes.Container) bool { return c.Name == name }) {
			return []diagnosis.Check{diagnosis.Doubtful("skipped", fmt.Sprintf("%s names %q, and the pod has no such container", skipAnnotation, name), "correct the name; names are separated by semicolons")}
		}
	}
	return []diagnosis.Check{diagnosis.Passed("skipped", "left alone as asked for: "+strings.Join(skip, ", "))}
}

func (i *inspection) all() []kubernetes.Container {
	return slices.Concat(i.pod.Spec.InitContainers, i.pod.Spec.Containers)
}

// candidate is a webhook for workload identity, this one or another with the
// same path.
type candidate struct {
	kubernetes.Webhook
	configuration kubernetes.Metadata
}

// webhooks finds one that selects the pod, and checks that it can be reached.
func (i *inspection) webhooks() []diagnosis.Check {
	var list kubernetes.WebhookConfigurations
	if err := i.cluster.Get(i.ctx, &list, "apis", "admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations"); err != nil {
		return []diagnosis.Check{diagnosis.Skipped("webhook", err.Error())}
	}
	var namespace kubernetes.Object
	if err := i.cluster.Get(i.ctx, &namespace, "api", "v1", "namespaces", i.namespace); err != nil {
		return []diagnosis.Check{diagnosis.Skipped("webhook", err.Error())}
	}
	found := candidates(list)
	if len(found) == 0 {
		return []diagnosis.Check{diagnosis.Failed("webhook", "the cluster has no mutating webhook configuration for "+Path, "install it: deploy/kustomize or deploy/helm, docs/webhook.md")}
	}
	var reasons []string
	for _, c := range found {
		reason := c.passesOver(namespace.Metadata.Labels, i.pod.Metadata.Labels)
		if reason == "" {
			return i.chosen(c)
		}
		reasons = append(reasons, fmt.Sprintf("%s does not select the pod: %s", c.configuration.Name, reason))
	}
	return []diagnosis.Check{diagnosis.Failed("webhook", strings.Join(reasons, "; "), "change the label, or the selectors of the configuration")}
}

func candidates(list kubernetes.WebhookConfigurations) []candidate {
	var found []candidate
	for _, configuration := range list.Items {
		for _, w := range configuration.Webhooks {
			path := ""
			if w.ClientConfig.Service != nil {
				path = w.ClientConfig.Service.Path
			} else if u, err := url.Parse(w.ClientConfig.URL); err == nil {
				path = u.Path
			}
			if path == Path {
				found = append(found, candidate{w, configuration.Metadata})
			}
		}
	}
	return found
}

// passesOver says why the API server does not ask this webhook about a pod;
// empty if it does.
func (c candidate) passesOver(namespace, pod map[string]string) string {
	asked := false
	for _, r := range c.Rules {
		asked = asked || (slices.Contains(r.Operations, "CREATE") || slices.Contains(r.Operations, "*")) && (slices.Contains(r.Resources, "pods") || slices.Contains(r.Resources, "*"))
	}
	if !asked {
		return "its rules do not name the creation of pods"
	}
	if requirement, ok := c.NamespaceSelector.Selects(namespace); !ok {
		return "its namespaceSelector wants " + requirement
	}
	if requirement, ok := c.ObjectSelector.Selects(pod); !ok {
		return "its objectSelector wants " + requirement
	}
	return ""
}

// chosen checks the webhook that the API server asks.
func (i *inspection) chosen(c candidate) []diagnosis.Check {
	name := c.configuration.Name
	checks := []diagnosis.Check{diagnosis.Passed("webhook", name+" selects the pod")}
	switch {
	case len(c.ClientConfig.CABundle) == 0:
		checks[0] = diagnosis.Failed("webhook", name+" has no caBundle", "add the PEM, in base64, of the authority that issued the webhook's certificate")
	case c.FailurePolicy == "Ignore":
		checks[0] = diagnosis.Doubtful("webhook", name+" has failurePolicy: Ignore, so that pods are created without while it is down", "set failurePolicy: Fail; "+again)
	}
	if !i.mutated() && !i.pod.Metadata.CreationTimestamp.After(c.configuration.CreationTimestamp) { // both in whole seconds
		checks = append(checks, diagnosis.Failed("order", fmt.Sprintf("the pod was created before %s, which dates from %s", name, c.configuration.CreationTimestamp.Format(time.RFC3339)), again))
	}
	service := c.ClientConfig.Service
	if service == nil {
		return append(checks, diagnosis.Skipped("service", "the API server calls "+c.ClientConfig.URL+", which is not tried from here"))
	}
	var slices kubernetes.EndpointSlices
	if err := i.cluster.Get(i.ctx, &slices, "apis", "discovery.k8s.io", "v1", "namespaces", service.Namespace, "endpointslices"); err != nil {
		return append(checks, diagnosis.Skipped("service", err.Error()))
	}
	if ready := slices.Ready(service.Name); ready > 0 {
		return append(checks, diagnosis.Passed("service", fmt.Sprintf("%s/%s has %d ready", service.Namespace, service.Name, ready)))
	}
	return append(checks, diagnosis.Failed("service", fmt.Sprintf("no pod of the service %s/%s is ready", service.Namespace, service.Name), "`kubectl describe pods -n "+service.Namespace+"`, and the log of the webhook"))
}

// mutated tells whether the webhook, or whoever wrote the pod, gave it the
// volume with the token.
func (i *inspection) mutated() bool {
	return slices.ContainsFunc(i.pod.Spec.Volumes, func(v kubernetes.Named) bool { return v.Name == VolumeName })
}

// containers checks what each container got.
func (i *inspection) containers() []diagnosis.Check {
	if !i.mutated() {
		return []diagnosis.Check{diagnosis.Failed("volume", "the pod has no volume "+VolumeName+": it was not mutated", "once the checks above are right, "+again)}
	}
	checks := []diagnosis.Check{diagnosis.Passed("volume", VolumeName)}
	skip := names(i.pod.Metadata.Annotations[skipAnnotation])
	for _, c := range i.all() {
		if c.Name != proxyInitName && !slices.Contains(skip, c.Name) {
			checks = append(checks, container(c))
		}
	}
	return checks
}

// container says which values a container has, its own or the webhook's.
func container(c kubernetes.Container) diagnosis.Check {
	values := map[string]string{}
	for _, v := range c.Env {
		values[v.Name] = v.Value
	}
	for _, name := range []string{"AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST"} {
		if _, has := values[name]; !has {
			return diagnosis.Failed("container", fmt.Sprintf("%s has no %s", c.Name, name), again)
		}
	}
	if !slices.ContainsFunc(c.VolumeMounts, func(m kubernetes.Mount) bool {
		return m.MountPath == mountPath && m.Name == VolumeName
	}) {
		return diagnosis.Failed("container", fmt.Sprintf("%s does not see the token at %s", c.Name, mountPath), "mount nothing else there; "+again)
	}
	client := values["AZURE_CLIENT_ID"]
	if client == "" {
		client = "not set"
	}
	return diagnosis.Passed("container", fmt.Sprintf("%s: client %s, tenant %s, authority %s", c.Name, client, values["AZURE_TENANT_ID"], values["AZURE_AUTHORITY_HOST"]))
}
