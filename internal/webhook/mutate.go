// Package webhook mutates pods as azure-workload-identity does, so that the
// SDKs in their containers find their token and this server: environment
// variables, a projected service account token, and a proxy where it is asked
// for. A pod that cannot be mutated is refused, never let through half done.
package webhook

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cambio/internal/kubernetes"
)

// Labels and annotations, all below one prefix.
const (
	prefix               = "azure.workload.identity/"
	UseLabel             = prefix + "use"       // on the pod: "true"
	ClientIDAnnotation   = prefix + "client-id" // on the service account
	tenantIDAnnotation   = prefix + "tenant-id"
	expirationAnnotation = prefix + "service-account-token-expiration" // seconds; the pod's counts before the service account's
	skipAnnotation       = prefix + "skip-containers"                  // names, separated by semicolons
	proxyAnnotation      = prefix + "inject-proxy-sidecar"             // its presence asks for the proxy
	proxyPortAnnotation  = prefix + "proxy-sidecar-port"
)

// Bounds of a token's life, in seconds.
const (
	defaultExpiration = 3600
	minExpiration     = 3600
	maxExpiration     = 86400
)

// The volume with the token, and where containers see it.
const (
	VolumeName = "azure-identity-token"
	mountPath  = "/var/run/secrets/azure/tokens"
	tokenName  = "azure-identity-token"
)

// Names of the proxy's containers, and its port unless the pod says otherwise.
const (
	proxyInitName    = "azwi-proxy-init"
	proxyName        = "azwi-proxy"
	defaultProxyPort = 8000
)

// Settings are what the webhook puts into every pod.
type Settings struct {
	Authority string // URL of the server; a slash at the end is added for the SDKs
	Tenant    string // unless the service account names one
	Audience  string // of the projected token

	// Where SDKs that know the token proxy send their requests (https), the
	// PEM of its certificate authority, and the name in its certificate if it
	// is not the URL's. Empty: the variables are not set.
	TokenProxy, TokenProxyCA, TokenProxySNI string

	// Images of the proxy for old SDKs and of the container that redirects to
	// it. Empty: pods that ask for the proxy are refused.
	ProxyImage, ProxyInitImage string
}

// Operation is one step of a JSON patch (RFC 6902); all of them add.
type Operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// Mutate returns the patch of a pod whose service account has the given
// annotations. A pod that was mutated before gets an empty one. An error says
// why the pod must be refused.
func (s Settings) Mutate(pod kubernetes.Pod, account map[string]string) ([]Operation, error) {
	expiration, err := expirationOf(pod.Metadata.Annotations, account)
	if err != nil {
		return nil, err
	}
	proxies, err := s.proxyContainers(pod)
	if err != nil {
		return nil, err
	}
	var patch []Operation
	env := s.environment(account)
	skipped := names(pod.Metadata.Annotations[skipAnnotation])
	for _, list := range []struct {
		path       string
		containers []kubernetes.Container
	}{{"/spec/initContainers", pod.Spec.InitContainers}, {"/spec/containers", pod.Spec.Containers}} {
		for i, c := range list.containers {
			if !slices.Contains(skipped, c.Name) && c.Name != proxyInitName {
				patch = append(patch, inContainer(fmt.Sprintf("%s/%d", list.path, i), c, env)...)
			}
		}
	}
	if !slices.ContainsFunc(pod.Spec.Volumes, func(v kubernetes.Named) bool { return v.Name == VolumeName }) {
		patch = append(patch, appendTo("/spec/volumes", len(pod.Spec.Volumes), []any{s.volume(expiration)})...)
	}
	// Last, and at the front: paths before them count the containers without.
	if len(proxies) > 0 {
		patch = append(patch, s.inject(pod, proxies, env)...)
	}
	return patch, nil
}

func expirationOf(pod, account map[string]string) (int, error) {
	where, text := "pod", pod[expirationAnnotation]
	if text == "" {
		where, text = "service account", account[expirationAnnotation]
	}
	if text == "" {
		return defaultExpiration, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < minExpiration || n > maxExpiration {
		return 0, fmt.Errorf("the annotation %s of the %s is %q; it must be a number of seconds from %d to %d", expirationAnnotation, where, text, minExpiration, maxExpiration)
	}
	return n, nil
}

func names(list string) []string {
	var all []string
	for name := range strings.SplitSeq(list, ";") {
		if name = strings.TrimSpace(name); name != "" {
			all = append(all, name)
		}
	}
	return all
}

type variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// environment are the variables that have a value.
func (s Settings) environment(account map[string]string) []variable {
	tenant := account[tenantIDAnnotation]
	if tenant == "" {
		tenant = s.Tenant
	}
	env := []variable{
		{"AZURE_CLIENT_ID", account[ClientIDAnnotation]},
		{"AZURE_TENANT_ID", tenant},
		{"AZURE_FEDERATED_TOKEN_FILE", mountPath + "/" + tokenName},
		{"AZURE_AUTHORITY_HOST", strings.TrimSuffix(s.Authority, "/") + "/"}, // kubelogin needs the slash
	}
	if s.TokenProxy != "" {
		env = append(env, variable{"AZURE_KUBERNETES_TOKEN_PROXY", s.TokenProxy}, variable{"AZURE_KUBERNETES_CA_DATA", s.TokenProxyCA}, variable{"AZURE_KUBERNETES_SNI_NAME", s.TokenProxySNI})
	}
	return slices.DeleteFunc(env, func(v variable) bool { return v.Value == "" })
}

type mount struct {
	Name      string `json:"name"`
	MountPath string `json:"mountPath"`
	ReadOnly  bool   `json:"readOnly"`
}

// inContainer adds what a container lacks. A variable that it sets itself
// stays, and so does whatever it mounted at the same place.
func inContainer(path string, c kubernetes.Container, env []variable) []Operation {
	var missing []any
	for _, v := range env {
		if !slices.ContainsFunc(c.Env, func(have kubernetes.Named) bool { return have.Name == v.Name }) {
			missing = append(missing, v)
		}
	}
	patch := appendTo(path+"/env", len(c.Env), missing)
	if slices.ContainsFunc(c.VolumeMounts, func(m kubernetes.Mount) bool { return m.MountPath == mountPath }) {
		return patch
	}
	return append(patch, appendTo(path+"/volumeMounts", len(c.VolumeMounts), []any{mount{VolumeName, mountPath, true}})...)
}

// appendTo adds values to the end of a list that may not exist.
func appendTo(path string, have int, values []any) []Operation {
	if len(values) == 0 {
		return nil
	}
	if have == 0 {
		return []Operation{{"add", path, values}}
	}
	var patch []Operation
	for _, v := range values {
		patch = append(patch, Operation{"add", path + "/-", v})
	}
	return patch
}

func (s Settings) volume(expiration int) any {
	return map[string]any{"name": VolumeName, "projected": map[string]any{"sources": []any{
		map[string]any{"serviceAccountToken": map[string]any{"audience": s.Audience, "expirationSeconds": expiration, "path": tokenName}},
	}}}
}
