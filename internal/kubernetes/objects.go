package kubernetes

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Metadata are the members of an object's metadata that are read.
type Metadata struct {
	Name              string            `json:"name"`
	Namespace         string            `json:"namespace"`
	Labels            map[string]string `json:"labels"`
	Annotations       map[string]string `json:"annotations"`
	CreationTimestamp time.Time         `json:"creationTimestamp,omitzero"`
}

// Object is any object of which only the metadata matter: a service account, a
// namespace.
type Object struct {
	Metadata Metadata `json:"metadata"`
}

// Pod has the members of a pod that decide how it is mutated.
type Pod struct {
	Metadata Metadata `json:"metadata"`
	Spec     struct {
		ServiceAccountName string      `json:"serviceAccountName"`
		HostNetwork        bool        `json:"hostNetwork"`
		InitContainers     []Container `json:"initContainers"`
		Containers         []Container `json:"containers"`
		Volumes            []Named     `json:"volumes"`
	} `json:"spec"`
}

// Container is one of a pod.
type Container struct {
	Name         string  `json:"name"`
	Env          []Named `json:"env"`
	VolumeMounts []Mount `json:"volumeMounts"`
}

// Mount is where a container sees a volume.
type Mount struct {
	Name      string `json:"name"`
	MountPath string `json:"mountPath"`
}

// Named is an entry of a list, known by its name.
type Named struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// WebhookConfigurations is the list of mutating webhook configurations
// (admissionregistration.k8s.io/v1).
type WebhookConfigurations struct {
	Items []struct {
		Metadata Metadata  `json:"metadata"`
		Webhooks []Webhook `json:"webhooks"`
	} `json:"items"`
}

// Webhook says where a mutating webhook is, and whom it selects.
type Webhook struct {
	Name         string `json:"name"`
	ClientConfig struct {
		URL      string `json:"url"`
		CABundle []byte `json:"caBundle"`
		Service  *struct {
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
			Path      string `json:"path"`
		} `json:"service"`
	} `json:"clientConfig"`
	Rules []struct {
		Operations []string `json:"operations"`
		Resources  []string `json:"resources"`
	} `json:"rules"`
	FailurePolicy     string   `json:"failurePolicy"`
	NamespaceSelector Selector `json:"namespaceSelector"`
	ObjectSelector    Selector `json:"objectSelector"`
}

// Selector is a label selector; an empty one selects everything.
type Selector struct {
	MatchLabels      map[string]string `json:"matchLabels"`
	MatchExpressions []struct {
		Key      string   `json:"key"`
		Operator string   `json:"operator"` // In, NotIn, Exists, DoesNotExist
		Values   []string `json:"values"`
	} `json:"matchExpressions"`
}

// Selects tells whether labels fulfil the selector; if not, it returns the
// first requirement that they do not.
func (s Selector) Selects(labels map[string]string) (requirement string, ok bool) {
	for _, key := range slices.Sorted(maps.Keys(s.MatchLabels)) {
		if value, has := labels[key]; !has || value != s.MatchLabels[key] {
			return key + "=" + s.MatchLabels[key], false
		}
	}
	for _, e := range s.MatchExpressions {
		value, has := labels[e.Key]
		listed := has && slices.Contains(e.Values, value)
		// Labels that are not there fulfil NotIn, and an operator that is not
		// known fulfils nothing.
		fulfilled := map[string]bool{"In": listed, "NotIn": !listed, "Exists": has, "DoesNotExist": !has}[e.Operator]
		if !fulfilled {
			return strings.TrimSpace(e.Key + " " + e.Operator + " " + strings.Join(e.Values, ", ")), false
		}
	}
	return "", true
}

// EndpointSlices is the list of a namespace's endpoint slices
// (discovery.k8s.io/v1).
type EndpointSlices struct {
	Items []struct {
		Metadata  Metadata `json:"metadata"`
		Endpoints []struct {
			Conditions struct {
				Ready *bool `json:"ready"` // not set: ready
			} `json:"conditions"`
		} `json:"endpoints"`
	} `json:"items"`
}

// ServiceNameLabel names the service that an endpoint slice is of.
const ServiceNameLabel = "kubernetes.io/service-name"

// Ready counts the endpoints of a service that are ready.
func (e EndpointSlices) Ready(service string) int {
	ready := 0
	for _, slice := range e.Items {
		if slice.Metadata.Labels[ServiceNameLabel] != service {
			continue
		}
		for _, endpoint := range slice.Endpoints {
			if endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready {
				ready++
			}
		}
	}
	return ready
}
