package kubernetes

import "time"

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
