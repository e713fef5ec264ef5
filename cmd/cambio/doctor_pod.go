package main

import (
	"github.com/spf13/cobra"

	"cambio/internal/webhook"
)

func doctorPodCommand() *cobra.Command {
	var f clusterFlags
	var namespace, form string
	cmd := &cobra.Command{
		Use: "pod NAME", Short: "Find out why a pod cannot exchange its token", Args: oneArgument("NAME"),
		Long: "Checks a pod of a Kubernetes cluster: its label, its service account and their annotations, the webhook's configuration and who it selects, and what the webhook added to each container. " +
			"It reads with a kubeconfig, and needs the right to get pods, service accounts, namespaces and endpoint slices, and to list mutating webhook configurations; what it may not read is said and skipped. It changes nothing, and ends with code 1 when a check fails.",
		Example: "  cambio doctor pod api-7d4b9 --namespace shop",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkForm(form); err != nil {
				return err
			}
			cluster, err := f.client()
			if err != nil {
				return err
			}
			if namespace == "" {
				namespace = cluster.Namespace()
			}
			return report(cmd.OutOrStdout(), form, webhook.Diagnose(cmd.Context(), cluster, namespace, args[0]))
		},
	}
	f.register(cmd)
	cmd.Flags().StringVarP(&namespace, "namespace", "n", "", "`NAMESPACE` of the pod (default: the context's)")
	outputFlag(cmd, &form)
	return cmd
}
