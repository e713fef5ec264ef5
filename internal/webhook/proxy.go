package webhook

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"cambio/internal/kubernetes"
)

// proxyContainers are the init container that redirects the metadata address
// and the native sidecar (Kubernetes 1.29) that answers there. A pod that does
// not ask for them, or has them, gets none.
func (s Settings) proxyContainers(pod kubernetes.Pod) ([]map[string]any, error) {
	if _, asked := pod.Metadata.Annotations[proxyAnnotation]; !asked {
		return nil, nil
	}
	if s.ProxyImage == "" || s.ProxyInitImage == "" {
		return nil, fmt.Errorf("the pod asks for the proxy (%s), but the webhook was started without --proxy-image and --proxy-init-image", proxyAnnotation)
	}
	if pod.Spec.HostNetwork {
		return nil, errors.New("the proxy cannot be injected into a pod with hostNetwork: it would redirect the node's own traffic")
	}
	port := defaultProxyPort
	if text := pod.Metadata.Annotations[proxyPortAnnotation]; text != "" {
		var err error
		if port, err = strconv.Atoi(text); err != nil || port < 1 || port > 65535 {
			return nil, fmt.Errorf("the annotation %s is %q; it must be a port from 1 to 65535", proxyPortAnnotation, text)
		}
	}
	if slices.ContainsFunc(pod.Spec.InitContainers, func(c kubernetes.Container) bool { return c.Name == proxyName }) {
		return nil, nil
	}
	argument := fmt.Sprintf("--proxy-port=%d", port)
	redirect := map[string]any{
		"name": proxyInitName, "image": s.ProxyInitImage, "imagePullPolicy": "IfNotPresent",
		"env": []variable{{"PROXY_PORT", strconv.Itoa(port)}},
		"securityContext": map[string]any{"allowPrivilegeEscalation": false, "privileged": false, "runAsNonRoot": false, "runAsUser": 0,
			"capabilities": map[string]any{"add": []string{"NET_ADMIN"}, "drop": []string{"ALL"}}},
	}
	sidecar := map[string]any{
		"name": proxyName, "image": s.ProxyImage, "imagePullPolicy": "IfNotPresent", "restartPolicy": "Always",
		"args": []string{argument}, "ports": []any{map[string]any{"containerPort": port}},
		"lifecycle": map[string]any{"postStart": map[string]any{"exec": map[string]any{"command": []string{"/proxy", argument, "--probe"}}}},
		"securityContext": map[string]any{"allowPrivilegeEscalation": false, "privileged": false, "runAsNonRoot": true, "readOnlyRootFilesystem": true,
			"capabilities": map[string]any{"drop": []string{"ALL"}}},
	}
	return []map[string]any{redirect, sidecar}, nil
}

// inject puts the proxy before the pod's own init containers, complete with
// the environment that it needs itself.
func (s Settings) inject(pod kubernetes.Pod, proxies []map[string]any, env []variable) []Operation {
	sidecar := proxies[len(proxies)-1]
	sidecar["env"], sidecar["volumeMounts"] = env, []mount{{VolumeName, mountPath, true}}
	if len(pod.Spec.InitContainers) == 0 {
		return []Operation{{"add", "/spec/initContainers", proxies}}
	}
	var patch []Operation
	for i, c := range proxies {
		patch = append(patch, Operation{"add", fmt.Sprintf("/spec/initContainers/%d", i), c})
	}
	return patch
}
