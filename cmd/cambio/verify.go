package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cambio/internal/config"
	"cambio/internal/server"
	"cambio/resourceserver"
	"cambio/workload"
)

// gatewayFlags say whose access tokens are taken, and for what.
type gatewayFlags struct{ issuer, audience, caFile string }

func (f *gatewayFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.issuer, "issuer", "", "`URL` that is the iss of the tokens, as in https://sts.example.net/TENANT-ID/v2.0")
	flags.StringVar(&f.caFile, "ca", "", "PEM `FILE` with the certificate authority of the issuer (default: the system's)")
	_ = cmd.MarkFlagFilename("ca") // the flag is there
}

func (f *gatewayFlags) validator() (*resourceserver.Validator, error) {
	if err := required([2]string{"issuer", f.issuer}, [2]string{"audience", f.audience}); err != nil {
		return nil, err
	}
	client, err := workload.NewHTTPClient(f.caFile)
	if err != nil {
		return nil, usageError{err}
	}
	v, err := resourceserver.New(resourceserver.Config{Issuer: f.issuer, Audience: f.audience, HTTPClient: client})
	if err != nil {
		return nil, usageError{errors.New(strings.TrimPrefix(err.Error(), "resourceserver: "))}
	}
	return v, nil
}

func verifyCommand() *cobra.Command {
	var f gatewayFlags
	var listen string
	cmd := &cobra.Command{
		Use: "verify", Short: "Verify access tokens for a gateway in front of a protected resource", Args: noArguments,
		Long: "Answers gateways that ask whether a request may pass: nginx with auth_request, Caddy and others with forward_auth. GET /verify?role=ROLE with the request's Authorization header is answered with 200 and the headers " +
			resourceserver.SubjectHeader + ", " + resourceserver.ClientHeader + " and " + resourceserver.RolesHeader + "; with 401 without a valid access token, with 403 without the role (several are all needed, one at least has to be named), with 503 while the issuer's keys cannot be had. " +
			"Only the issuer's published documents are fetched. It stands beside the gateway, and listens on loopback only: tokens are sent to it without TLS. docs/gateways.md has whole configurations.",
		Example: "  cambio verify --issuer https://sts.example.net/7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77/v2.0 --audience 90d4c8f6-2b1e-4a3d-b7c5-1e9f8a6d4c02",
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := f.validator()
			if err != nil {
				return err
			}
			return serveVerify(cmd.Context(), v, listen)
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&f.audience, "audience", "", "`AUDIENCE` of the tokens: the resource's application id, or for version 1.0 what clients ask for")
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:9550", "loopback `ADDRESS` to listen on")
	cmd.AddCommand(verifyKeysCommand())
	return cmd
}

func serveVerify(ctx context.Context, v *resourceserver.Validator, listen string) error {
	address, err := netip.ParseAddrPort(listen)
	if err != nil || !address.Addr().IsLoopback() {
		return usageError{fmt.Errorf("--listen %q must be a loopback address with a port, as in 127.0.0.1:9550", listen)}
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	log := logger(config.Log{Level: "info"})
	mux := http.NewServeMux()
	mux.Handle("GET /verify", v.ForwardAuth())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	srv := server.NewHTTPServer(mux, log)
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(listener) }()
	log.Info("serving", "listen", listener.Addr().String(), "version", version())
	select {
	case <-ctx.Done():
		err = nil
	case err = <-failed:
	}
	return errors.Join(err, shutdown(10*time.Second, log, srv))
}

func verifyKeysCommand() *cobra.Command {
	var f gatewayFlags
	var dir string
	cmd := &cobra.Command{
		Use: "keys", Short: "Write the issuer's public keys as PEM, for gateways that take no key set", Args: noArguments,
		Long: "Writes each public key of the issuer to KEY-ID.pem in a folder, and prints the ids. Other files stay. " +
			"Run it daily, and load the gateway's configuration again when the ids change: a key is published two days before tokens are signed with it, unless the server's configuration says otherwise.",
		Example: "  cambio verify keys --issuer https://sts.example.net/7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77/v2.0 --dir /etc/haproxy/cambio",
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.audience = "any" // of no token here
			v, err := f.validator()
			if err != nil {
				return err
			}
			if dir == "" {
				return usageError{errors.New("--dir is required")}
			}
			keys, err := v.PEMKeys(cmd.Context())
			if err != nil {
				return err
			}
			return writeKeys(cmd.OutOrStdout(), dir, keys)
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&dir, "dir", "", "`FOLDER` for the files; it must exist")
	_ = cmd.MarkFlagDirname("dir") // the flag is there
	return cmd
}

// writeKeys writes the files, each at once.
func writeKeys(out io.Writer, dir string, keys []resourceserver.PEMKey) error {
	for _, k := range keys {
		if k.KeyID == "" || strings.ContainsAny(k.KeyID, `/\`+"\x00") || strings.HasPrefix(k.KeyID, ".") {
			return fmt.Errorf("the issuer publishes a key whose id %q is no name for a file", k.KeyID)
		}
		file := filepath.Join(dir, k.KeyID+".pem")
		if err := errors.Join(os.WriteFile(file+".new", k.PEM, 0o644), os.Rename(file+".new", file)); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, k.KeyID); err != nil {
			return err
		}
	}
	return nil
}
