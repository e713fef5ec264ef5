package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/net/netutil"

	"cambio/internal/config"
	"cambio/internal/keys"
	"cambio/internal/limit"
	"cambio/internal/oidc"
	"cambio/internal/server"
	"cambio/internal/store"
	"cambio/internal/tracing"
	"cambio/internal/tracing/otlp"
)

func serveCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the server", Args: noArguments,
		Long:    "Runs the server from a configuration file until it is told to stop (SIGTERM or SIGINT); requests under way are finished first.",
		Example: "  cambio serve --config /etc/cambio/config.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(file)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), cfg)
		},
	}
	configFlag(cmd, &file)
	return cmd
}

func configFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "config", "", "configuration file (YAML); docs/config.md lists the keys")
}

func loadConfig(file string) (config.Config, error) {
	if file == "" {
		return config.Config{}, usageError{errors.New("--config FILE is required")}
	}
	return config.Load(file)
}

// serve runs until ctx ends or a listener fails.
func serve(ctx context.Context, cfg config.Config) error {
	log := logger(cfg.Log)
	tuneMemory(ctx)
	// Nothing needs reloading: a new certificate is found by itself. A hang-up
	// that was meant to say so must not end the server.
	signal.Ignore(syscall.SIGHUP)
	certificate, err := server.LoadCertificate(cfg.Public.CertificateFile, cfg.Public.KeyFile, log)
	if err != nil {
		return fmt.Errorf("public.certificate_file %s and public.key_file %s: %w", cfg.Public.CertificateFile, cfg.Public.KeyFile, err)
	}
	if err := installed(ctx, cfg); err != nil {
		return err
	}
	lock, err := lockDatabase(cfg)
	if err != nil {
		return err
	}
	defer lock.Close()
	db, err := store.Open(storeConfig(cfg, log))
	if err != nil {
		return err
	}
	defer func() {
		if err := db.Close(); err != nil {
			log.Error("the database did not close cleanly", "error", err)
		}
	}()
	opt, err := options(cfg, db, log)
	if err != nil {
		return err
	}
	opt.CertificateExpiry = certificate.Expiry
	tracer, stopTracing, err := startTracing(ctx, cfg.Tracing, log)
	if err != nil {
		return err
	}
	defer stopTracing()
	opt.Tracer = tracer
	s, err := server.New(ctx, opt)
	if err != nil {
		return err
	}
	defer s.Close()
	keeper, stopTrail, err := keepTrail(ctx, cfg, db)
	if err != nil {
		return err
	}
	defer stopTrail()
	s.MeasureAudit(cfg.Audit.CheckpointEvery > 0, func() server.AuditFigures {
		st := keeper.Stats()
		return server.AuditFigures{Checkpoint: st.Checkpoint, Exported: st.Exported, Behind: st.Behind, ExportFailing: st.ExportError, Held: st.Held, Tampered: st.Tampered}
	})
	public := server.NewHTTPServer(s.Handler(), log)
	public.TLSConfig = certificate.Config()
	if cfg.Public.SPIFFEClientAuth {
		server.AskForCertificates(public.TLSConfig)
	}
	listener, err := net.Listen("tcp", cfg.Public.Listen)
	if err != nil {
		return fmt.Errorf("public.listen: %w", err)
	}
	failed := make(chan error, 2)
	limited := server.LimitSources(netutil.LimitListener(listener, cfg.Public.MaxConnections), cfg.Limits.ConnectionsPerSource, opt.TrustedProxies)
	go func() { failed <- public.ServeTLS(limited, "", "") }()
	operations, err := serveOperations(cfg.Operations.Listen, s, log, failed)
	if err != nil {
		return errors.Join(err, public.Close())
	}
	log.Info("serving", "base_url", cfg.BaseURL, "listen", listener.Addr().String(), "version", version())
	select {
	case <-ctx.Done():
		err = nil
	case err = <-failed:
	}
	return errors.Join(err, shutdown(cfg.Public.ShutdownTimeout, log, public, operations))
}

// serveOperations opens the operations listener, if there is to be one.
func serveOperations(listen string, s *server.Server, log *slog.Logger, failed chan<- error) (*http.Server, error) {
	operations := server.NewHTTPServer(s.OperationsHandler(), log)
	if listen == "" {
		return operations, nil
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("operations.listen: %w", err)
	}
	go func() { failed <- operations.Serve(listener) }()
	return operations, nil
}

func shutdown(timeout time.Duration, log *slog.Logger, servers ...*http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	log.Info("stopping; requests under way are finished first")
	var err error
	for _, s := range servers {
		err = errors.Join(err, s.Shutdown(ctx))
	}
	return err
}

// startTracing sends traces, if they are to be sent, until the returned
// function is called, which sends what is left.
func startTracing(ctx context.Context, cfg config.Tracing, log *slog.Logger) (*tracing.Tracer, func(), error) {
	if cfg.Endpoint == "" {
		return nil, func() {}, nil
	}
	roots, err := readPEM("tracing.ca_file", cfg.CAFile)
	if err != nil {
		return nil, nil, err
	}
	t, closing, err := otlp.Open(ctx, otlp.Config{Endpoint: cfg.Endpoint, RootsPEM: roots, SampleRatio: cfg.SampleRatio, Version: version(), Log: log})
	if err != nil {
		return nil, nil, fmt.Errorf("tracing: %w", err)
	}
	return t, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := closing(ctx); err != nil {
			log.Warn("the last spans could not be sent", "error", err)
		}
	}, nil
}

// options turns the configuration into what the server is made of.
func options(cfg config.Config, db *store.DB, log *slog.Logger) (server.Options, error) {
	kek, err := keys.LoadEncryptionKey(cfg.Keys.EncryptionKeyFile)
	if err != nil {
		return server.Options{}, err
	}
	issuers, optional, err := issuerConfig(cfg.Issuers)
	if err != nil {
		return server.Options{}, err
	}
	proxies, err := config.Prefixes(cfg.Public.TrustedProxies)
	if err != nil {
		return server.Options{}, err
	}
	delegated, err := config.Prefixes(cfg.Issuers.TenantAddresses)
	if err != nil {
		return server.Options{}, err
	}
	return server.Options{
		TenantAddresses: delegated, Proxies: proxiesOf(cfg.Issuers),
		Refusals:       limit.Refusals{Source: cfg.Limits.RefusalsPerSource, Client: cfg.Limits.RefusalsPerClient, Issuer: cfg.Limits.RefusalsPerIssuer, All: cfg.Limits.Refusals},
		TrustedProxies: proxies, Version: version(), LogRequests: requestLog[cfg.Log.Requests],
		AssertionBytes: int(cfg.Cache.AssertionBytes), ShareTokens: cfg.Cache.ShareTokens,
		BaseURL: cfg.BaseURL, DB: db, KEK: kek, Keys: keyPolicy(cfg), Issuers: issuers, IssuedAtOptional: optional,
		Management: server.ManagementLimits{Reads: cfg.Management.ReadsPerSecond, Writes: cfg.Management.WritesPerSecond},
		Records:    store.RecordsConfig{Bytes: int(cfg.Cache.RecordBytes)}, Clock: time.Now, Log: log,
		LifetimeMin: cfg.Tokens.LifetimeMin, LifetimeMax: cfg.Tokens.LifetimeMax, SPIFFEClientAuth: cfg.Public.SPIFFEClientAuth,
	}, nil
}

// requestLog reads log.requests.
var requestLog = map[string]server.RequestLog{"all": server.LogAll, "refused": server.LogRefused, "none": server.LogNone}

// keyPolicy keeps a retired key published for longer than any token may live,
// whatever the lifetime was when it signed.
func keyPolicy(cfg config.Config) keys.Policy {
	return keys.Policy{RotateEvery: cfg.Keys.RotateEvery, PublishAhead: cfg.Keys.PublishAhead, RetireAfter: 25 * time.Hour}
}

func issuerConfig(c config.Issuers) (out oidc.Config, issuedAtOptional []string, err error) {
	out.MaxKeys = c.MaxKeys
	if out.ExtraRootsPEM, err = readPEM("issuers.ca_file", c.CAFile); err != nil {
		return out, nil, err
	}
	if out.AllowedPrefixes, err = config.Prefixes(c.AllowAddresses); err != nil {
		return out, nil, err
	}
	proxies := proxiesOf(c)
	for _, r := range c.Rules {
		policy := oidc.IssuerPolicy{Issuer: r.Issuer, AllowHTTP: r.AllowHTTP, MaxKeys: r.MaxKeys, Proxy: proxies[r.Proxy]}
		if policy.RootsPEM, err = readPEM("ca_file of issuer "+r.Issuer, r.CAFile); err != nil {
			return out, nil, err
		}
		if policy.AllowPrefixes, err = config.Prefixes(r.AllowAddresses); err != nil {
			return out, nil, err
		}
		out.Issuers = append(out.Issuers, policy)
		if r.IssuedAtOptional {
			issuedAtOptional = append(issuedAtOptional, r.Issuer)
		}
	}
	return out, issuedAtOptional, nil
}

// proxiesOf are the proxies of a configuration that was checked, by name.
func proxiesOf(c config.Issuers) map[string]*url.URL {
	proxies := make(map[string]*url.URL, len(c.Proxies))
	for _, p := range c.Proxies {
		if u, err := url.Parse(p.URL); err == nil {
			proxies[p.Name] = u
		}
	}
	return proxies
}

func readPEM(key, file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return raw, nil
}

// checkFiles looks at the files that a configuration names, as serve would.
func checkFiles(ctx context.Context, cfg config.Config) error {
	certErr := checkCertificate(cfg, time.Now())
	issuers, _, issuersErr := issuerConfig(cfg.Issuers)
	if issuersErr == nil {
		_, issuersErr = server.IssuerCheck(cfg.BaseURL, issuers)
	}
	_, tracingErr := readPEM("tracing.ca_file", cfg.Tracing.CAFile)
	_, auditErr := auditExports(cfg.Audit)
	filesErr := errors.Join(certErr, issuersErr, tracingErr, auditErr)
	if err := installed(ctx, cfg); err != nil {
		_, kekErr := keys.LoadEncryptionKey(cfg.Keys.EncryptionKeyFile)
		return errors.Join(filesErr, kekErr, err)
	}
	keysErr := withDatabase(cfg, func(c keys.Config) error {
		_, err := keys.Open(ctx, c)
		return err
	})
	return errors.Join(filesErr, keysErr)
}

// checkCertificate also finds what only clients would notice.
func checkCertificate(cfg config.Config, now time.Time) error {
	pair, err := tls.LoadX509KeyPair(cfg.Public.CertificateFile, cfg.Public.KeyFile)
	if err != nil {
		return fmt.Errorf("public.certificate_file %s and public.key_file %s: %w", cfg.Public.CertificateFile, cfg.Public.KeyFile, err)
	}
	origin, err := url.Parse(cfg.BaseURL)
	if err != nil {
		return err // Validate rules this out
	}
	if err := pair.Leaf.VerifyHostname(origin.Hostname()); err != nil {
		return fmt.Errorf("public.certificate_file %s is not for the host of base_url: %w", cfg.Public.CertificateFile, err)
	}
	if now.After(pair.Leaf.NotAfter) || now.Before(pair.Leaf.NotBefore) {
		return fmt.Errorf("public.certificate_file %s is valid from %s to %s", cfg.Public.CertificateFile, pair.Leaf.NotBefore.UTC().Format(time.RFC3339), pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}
