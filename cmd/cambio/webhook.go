package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cambio/internal/config"
	"cambio/internal/server"
	"cambio/internal/webhook"
	"cambio/workload"
)

// webhookFlags are those of `cambio webhook`.
type webhookFlags struct {
	settings           webhook.Settings
	proxyCAFile        string
	listen, operations string
	certFile, keyFile  string
	cluster            clusterFlags
	log                config.Log
}

func webhookCommand() *cobra.Command {
	var f webhookFlags
	cmd := &cobra.Command{
		Use: "webhook", Short: "Give pods of a Kubernetes cluster what they need to exchange their token", Args: noArguments,
		Long: "A mutating admission webhook. Pods with the label azure.workload.identity/use: \"true\" get a projected token, the variables that Azure SDKs read, and the address of the server; " +
			"labels and annotations are those of azure-workload-identity. A pod that cannot be mutated is refused. docs/webhook.md says how a cluster is told of it.",
		Example: "  cambio webhook --authority https://sts.example.net --certificate-file /tls/tls.crt --key-file /tls/tls.key",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.complete(); err != nil {
				return err
			}
			return f.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.settings.Authority, "authority", "", "`URL` of the server, as pods reach it")
	flags.StringVar(&f.settings.Tenant, "tenant", "adfs", "`ID` of the tenant, unless a service account names one; adfs is the server's default tenant, for SDKs without further settings")
	flags.StringVar(&f.settings.Audience, "audience", workload.DefaultAudience, "`AUDIENCE` of the projected token")
	flags.StringVar(&f.settings.TokenProxy, "token-proxy", "", "`URL` that SDKs with the token proxy option send their requests to (default: not set)")
	flags.StringVar(&f.proxyCAFile, "token-proxy-ca", "", "PEM `FILE` with the certificate authority of --token-proxy")
	flags.StringVar(&f.settings.TokenProxySNI, "token-proxy-sni", "", "`NAME` in the certificate of --token-proxy, if it is not that of its URL")
	flags.StringVar(&f.settings.ProxyImage, "proxy-image", "", "`IMAGE` of the proxy that pods may ask for")
	flags.StringVar(&f.settings.ProxyInitImage, "proxy-init-image", "", "`IMAGE` that redirects to the proxy")
	flags.StringVar(&f.listen, "listen", ":9443", "`ADDRESS` for the API server's reviews (TLS 1.3)")
	flags.StringVar(&f.operations, "operations-listen", ":9440", "`ADDRESS` of /healthz, /readyz and /metrics")
	flags.StringVar(&f.certFile, "certificate-file", "", "PEM `FILE` with the certificate; a new one is found by itself")
	flags.StringVar(&f.keyFile, "key-file", "", "PEM `FILE` with its key")
	f.cluster.register(cmd)
	for _, name := range []string{"token-proxy-ca", "certificate-file", "key-file"} {
		_ = cmd.MarkFlagFilename(name) // the flag is there
	}
	f.log.Level = "info"
	return cmd
}

// complete checks the flags and reads the files that they name.
func (f *webhookFlags) complete() error {
	if f.certFile == "" || f.keyFile == "" {
		return usageError{errors.New("--certificate-file FILE and --key-file FILE are required")}
	}
	if err := checkOrigin("--authority", f.settings.Authority); err != nil {
		return err
	}
	if f.settings.TokenProxy == "" {
		if f.proxyCAFile != "" || f.settings.TokenProxySNI != "" {
			return usageError{errors.New("--token-proxy-ca and --token-proxy-sni need --token-proxy")}
		}
		return nil
	}
	if err := checkOrigin("--token-proxy", f.settings.TokenProxy); err != nil {
		return err
	}
	ca, err := readPEM("--token-proxy-ca", f.proxyCAFile)
	f.settings.TokenProxyCA = string(ca)
	return err
}

// checkOrigin refuses what SDKs would: they take https only, without user
// information, query or fragment.
func checkOrigin(flag, text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return usageError{fmt.Errorf("%s %q must be an https URL without a path, as in https://sts.example.net", flag, text)}
	}
	return nil
}

// run serves until ctx ends or a listener fails.
func (f *webhookFlags) run(ctx context.Context) error {
	log := logger(f.log)
	certificate, err := server.LoadCertificate(f.certFile, f.keyFile, log)
	if err != nil {
		return fmt.Errorf("--certificate-file %s and --key-file %s: %w", f.certFile, f.keyFile, err)
	}
	cluster, err := f.cluster.client()
	if err != nil {
		return err
	}
	hook := webhook.New(f.settings, cluster, log)
	reviews, operations := server.NewHTTPServer(hook.Handler(), log), server.NewHTTPServer(hook.OperationsHandler(), log)
	reviews.TLSConfig = certificate.Config()
	reviews.TLSConfig.MinVersion = tls.VersionTLS13
	reviewListener, err := net.Listen("tcp", f.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	operationsListener, err := net.Listen("tcp", f.operations)
	if err != nil {
		return errors.Join(fmt.Errorf("--operations-listen: %w", err), reviewListener.Close())
	}
	failed := make(chan error, 2)
	go func() { failed <- reviews.ServeTLS(reviewListener, "", "") }()
	go func() { failed <- operations.Serve(operationsListener) }()
	log.Info("serving", "listen", reviewListener.Addr().String(), "operations", operationsListener.Addr().String(), "authority", f.settings.Authority, "version", version())
	select {
	case <-ctx.Done():
		err = nil
	case err = <-failed:
	}
	return errors.Join(err, shutdown(10*time.Second, log, reviews, operations))
}
