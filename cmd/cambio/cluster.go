package main

import (
	"os"

	"github.com/spf13/cobra"

	"cambio/internal/kubernetes"
)

// clusterFlags say which Kubernetes API server is asked.
type clusterFlags struct{ kubeconfig, context string }

func (f *clusterFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.kubeconfig, "kubeconfig", "", "`FILE` that says how the API server is reached (default: as a pod, or KUBECONFIG, or ~/.kube/config)")
	cmd.Flags().StringVar(&f.context, "context", "", "`NAME` of a context of --kubeconfig")
	_ = cmd.MarkFlagFilename("kubeconfig") // the flag is there
}

func (f *clusterFlags) client() (*kubernetes.Client, error) {
	if f.kubeconfig == "" && f.context == "" && os.Getenv("KUBERNETES_SERVICE_HOST") != "" {
		return kubernetes.InCluster()
	}
	return kubernetes.FromKubeconfig(f.kubeconfig, f.context)
}
