package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"cambio/internal/config"
	"cambio/internal/development"
	"cambio/internal/directory"
)

// tokenFile is where the development mode leaves a token of the seeded
// workload, as a platform would.
const tokenFile = "workload-token"

type devFlags struct {
	listen, state, issuerCA, compat, logLevel string
	json, svids                               bool
	allow, rehearse                           []string
}

func devCommand() *cobra.Command {
	var f devFlags
	cmd := &cobra.Command{
		Use: "dev", Short: "Run a development server with everything in it", Args: noArguments,
		Long: "Runs the real server on this machine with a certificate authority of its own, a seeded tenant, and an identity provider that mints any token.\n" +
			"It is for development and tests: whoever can reach it can obtain any token of it.",
		Example: "  cambio dev\n  cambio dev --json --listen 127.0.0.1:0 --state ./state --issuer-ca ca.pem --allow-issuer-address 127.0.0.1/32",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runDev(cmd.Context(), cmd.OutOrStdout(), f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8443", "address and port; port 0 takes a free one")
	flags.StringVar(&f.state, "state", "", "state folder, kept over restarts (default: cambio/dev in the user's state folder)")
	flags.BoolVar(&f.json, "json", false, "write one line of JSON when ready, instead of text")
	flags.StringVar(&f.issuerCA, "issuer-ca", "", "PEM file with certificate authorities of external issuers")
	flags.StringArrayVar(&f.allow, "allow-issuer-address", nil, "private or loopback address range (CIDR) that external issuers may be on; repeatable")
	flags.StringArrayVar(&f.rehearse, "rehearse-issuer", nil, "accept tokens of the built-in provider for this issuer, instead of fetching its keys; repeatable")
	flags.BoolVar(&f.svids, "spiffe-client-auth", false, "take SVIDs as the client's authentication, as public.spiffe_client_auth of a configuration does")
	flags.StringVar(&f.compat, "compat", "", "set the tenant's compatibility level: relaxed or strict (relaxed at first; kept over restarts)")
	flags.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error; logs go to standard error")
	return cmd
}

func (f *devFlags) config() (development.Config, error) {
	c := development.Config{Dir: f.state, Listen: f.listen, Compat: directory.Compat(f.compat), IssuerCAFile: f.issuerCA,
		Rehearse: f.rehearse, SPIFFEClientAuth: f.svids, Log: logger(config.Log{Level: f.logLevel})}
	if c.Compat != "" && c.Compat != directory.Relaxed && c.Compat != directory.Strict {
		return c, usageError{fmt.Errorf("--compat %q must be relaxed or strict", f.compat)}
	}
	if !config.ValidLevel(f.logLevel) {
		return c, usageError{fmt.Errorf("--log-level %q must be debug, info, warn or error", f.logLevel)}
	}
	if _, _, err := net.SplitHostPort(f.listen); err != nil {
		return c, usageError{fmt.Errorf("--listen %q must be an address and a port, as in 127.0.0.1:8443", f.listen)}
	}
	for _, a := range f.allow {
		p, err := netip.ParsePrefix(a)
		if err != nil {
			return c, usageError{fmt.Errorf("--allow-issuer-address %q is no address range; write it as in 127.0.0.1/32", a)}
		}
		c.AllowAddresses = append(c.AllowAddresses, p.Masked())
	}
	if c.Dir == "" {
		c.Dir = defaultStateDir()
	}
	if c.Dir == "" {
		return c, usageError{errors.New("there is no home folder to keep state in; name a folder with --state")}
	}
	var err error
	c.Dir, err = filepath.Abs(c.Dir)
	return c, err
}

// defaultStateDir is cambio/dev in the user's state folder (XDG base
// directories), so that the certificate authority stays the same.
func defaultStateDir() string {
	if base := os.Getenv("XDG_STATE_HOME"); base != "" {
		return filepath.Join(base, "cambio", "dev")
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".local", "state", "cambio", "dev")
	}
	return ""
}

func runDev(ctx context.Context, out io.Writer, f devFlags) error {
	started := time.Now()
	cfg, err := f.config()
	if err != nil {
		return err
	}
	tuneMemory(ctx)
	instance, err := development.Start(ctx, cfg)
	if err != nil {
		return err
	}
	file := filepath.Join(cfg.Dir, tokenFile)
	if err = writeWorkloadToken(instance.Provider, file); err == nil {
		err = writeConnection(cfg.Dir, instance.Info)
	}
	defer removeConnection(cfg.Dir)
	if err == nil {
		err = announce(out, f, instance.Info, file, time.Since(started))
	}
	if err == nil {
		err = waitDev(ctx, instance, file)
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if closeErr := instance.Close(closing); err == nil {
		err = closeErr
	}
	return err
}

// waitDev renews the workload's token file, as a platform would, and the
// administrator's token, until the program is told to stop.
func waitDev(ctx context.Context, instance *development.Instance, file string) error {
	renew := time.NewTicker(time.Hour)
	defer renew.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-instance.Failed():
			return err
		case <-renew.C:
			if err := renewDev(ctx, instance, file); err != nil {
				return err
			}
		}
	}
}

func renewDev(ctx context.Context, instance *development.Instance, file string) error {
	if err := writeWorkloadToken(instance.Provider, file); err != nil {
		return err
	}
	info := instance.Info
	var err error
	if info.AdminToken, err = instance.AdminToken(ctx); err != nil {
		return err
	}
	return writeConnection(filepath.Dir(file), info)
}

// writeWorkloadToken replaces the token file atomically. It ends without a
// line break, which would become part of the assertion in many a script.
func writeWorkloadToken(p *development.IdentityProvider, file string) error {
	token, err := p.Mint(map[string]any{"exp": time.Now().Add(12 * time.Hour).Unix()}, nil)
	if err != nil {
		return err
	}
	return replaceFile(file, []byte(token))
}

func announce(out io.Writer, f devFlags, info development.Info, file string, took time.Duration) error {
	if f.json {
		line, err := json.Marshal(info)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "%s\n", line)
		return err
	}
	_, err := fmt.Fprintf(out, announcement, took.Seconds(), info.BaseURL, info.TenantID, development.Domain, info.ClientID, info.Scope, quote(info.CAFile),
		info.IDP.Issuer, quote(file), info.IDP.MintURL, info.AdminToken, quote(filepath.Dir(file)), info.ResourceAppID, development.SampleRole, exposure(f.listen))
	return err
}

// announcement is what a developer needs; its places are in the order of
// announce's arguments.
const announcement = `cambio dev is ready (%.1[1]f s). Stop it with Ctrl-C.

  Authority   %[2]s
  Tenant      %[3]s  (or %[4]s)
  Client id   %[5]s  (holds every management role too)
  Scope       %[6]s  (the resource's appId is %[13]s, its role %[14]s)
  CA file     %[7]s
  Provider    %[8]s

Environment for Azure SDKs, ready to paste. The tenant "adfs" stands for this
tenant; with the id above, SDKs first ask Microsoft about an authority that they
do not know, unless the code turns instance discovery off. For this terminal the
CA variables replace the system's authorities. docs/clients.md has az and others.

  export AZURE_AUTHORITY_HOST=%[2]s/
  export AZURE_TENANT_ID=adfs
  export AZURE_CLIENT_ID=%[5]s
  export AZURE_FEDERATED_TOKEN_FILE=%[9]s
  export SSL_CERT_FILE=%[7]s NODE_EXTRA_CA_CERTS=%[7]s REQUESTS_CA_BUNDLE=%[7]s

Exchange the workload's token for an access token:

  curl -sS --cacert %[7]s \
    -d grant_type=client_credentials -d client_id=%[5]s \
    -d scope=%[6]s \
    -d client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer \
    --data-urlencode client_assertion@%[9]s \
    %[2]s/%[3]s/oauth2/v2.0/token

Mint a token of any shape, to see what is refused and why:

  curl -sS --cacert %[7]s -H 'Content-Type: application/json' \
    -d '{"claims":{"sub":"repo:acme/shop:ref:refs/heads/main"}}' %[10]s

Claims may name another issuer, too, such as GitHub's: started with
--rehearse-issuer https://token.actions.githubusercontent.com, the server
accepts the tokens of that name that were minted here.

Manage what is registered; the commands find this server by themselves, or
with --state %[12]s:

  cambio app list
  cambio whoami

Call the management APIs (Graph-shaped, %[2]s/v1.0) with:

  export CAMBIO_AUTHORITY=%[2]s CAMBIO_CA_FILE=%[7]s
  export CAMBIO_ACCESS_TOKEN=%[11]s

UNSAFE, for development only: the provider mints any token for whoever can
reach %[15]s, the administrator's token above is valid for 12 hours,
and the keys lie beside the database in %[12]s.
`

// exposure says who can reach a listener.
func exposure(listen string) string {
	host, _, _ := net.SplitHostPort(listen) // checked before
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return "this machine"
	}
	return listen + ", WHICH IS NOT LOOPBACK: everybody on your network"
}

// quote makes a path safe to paste into a shell.
func quote(path string) string {
	if strings.IndexFunc(path, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("/._-+@:,", r)
	}) < 0 {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
