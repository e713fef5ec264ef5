package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cambio/internal/admin"
	"cambio/internal/development"
)

// connection is what the commands that call the management APIs have in
// common: how to reach a server, and as whom.
type connection struct {
	flags admin.Flags
}

// connectionGroup marks the flags of a connection; the help shows them apart.
const connectionGroup = "connection"

// connectionFlags gives a command and those below it the connection flags.
func connectionFlags(cmd *cobra.Command) *connection { return connectionFlagsIn(cmd.PersistentFlags()) }

// connectionFlagsIn adds the connection flags to a set.
func connectionFlagsIn(flags *pflag.FlagSet) *connection {
	c := &connection{}
	for _, f := range []struct {
		to          *string
		name, usage string
	}{
		{&c.flags.Authority, "authority", "`URL` of the server, an origin (CAMBIO_AUTHORITY, AZURE_AUTHORITY_HOST)"},
		{&c.flags.Tenant, "tenant", "`ID` or domain of the tenant (CAMBIO_TENANT, AZURE_TENANT_ID; default: the server's default tenant)"},
		{&c.flags.ClientID, "client-id", "client `ID` to sign in as (CAMBIO_CLIENT_ID, AZURE_CLIENT_ID)"},
		{&c.flags.FederatedTokenFile, "federated-token-file", "`FILE` with the token of your platform (CAMBIO_FEDERATED_TOKEN_FILE, AZURE_FEDERATED_TOKEN_FILE)"},
		{&c.flags.AccessTokenFile, "access-token-file", "`FILE` with an access token or bootstrap token, instead of signing in (CAMBIO_ACCESS_TOKEN holds the token itself)"},
		{&c.flags.CAFile, "ca", "PEM `FILE` with the certificate authority of the server (CAMBIO_CA_FILE; default: the system's, or SSL_CERT_FILE)"},
		{&c.flags.State, "state", "state folder (`DIR`) of a `cambio dev` server, which says all of the above (CAMBIO_STATE)"},
	} {
		flags.StringVar(f.to, f.name, "", f.usage)
		// The flag is there and the annotation is well-formed.
		_ = flags.SetAnnotation(f.name, connectionGroup, []string{"true"})
	}
	for _, name := range []string{"federated-token-file", "access-token-file", "ca"} {
		_ = cobra.MarkFlagFilename(flags, name) // the flag is there
	}
	_ = cobra.MarkFlagDirname(flags, "state")
	return c
}

// settings finds out which server is meant, and as whom it is called.
func (c *connection) settings() (admin.Settings, error) {
	return admin.Resolve(c.flags, os.Getenv, defaultStateDir())
}

// client makes the client for one run of a command. With a dry run, requests
// that would change something are written to it and not sent; nil sends them.
func (c *connection) client(dryRun io.Writer) (*admin.Client, error) {
	s, err := c.settings()
	if err != nil {
		return nil, err
	}
	return admin.New(admin.Config{Settings: s, DryRun: dryRun, Busy: sayBusy, UserAgent: "cambio/" + version()})
}

// sayBusy tells a person why nothing happens for a while.
func sayBusy(pause time.Duration) {
	if pause > time.Second {
		fmt.Fprintf(os.Stderr, "The server is busy; the request is sent again in %s.\n", pause)
	}
}

// writeConnection leaves in the state folder of a development server what the
// management commands need to reach it. removeConnection takes it away.
func writeConnection(dir string, info development.Info) error {
	state := admin.State{BaseURL: info.BaseURL, CAFile: info.CAFile, TenantID: info.TenantID,
		ClientID: info.ClientID, FederatedTokenFile: filepath.Join(dir, tokenFile), AccessToken: info.AdminToken}
	raw, err := json.Marshal(state)
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(dir, admin.StateFile), raw)
}

func removeConnection(dir string) { _ = os.Remove(filepath.Join(dir, admin.StateFile)) }

// replaceFile puts a private file in place as a whole.
func replaceFile(file string, content []byte) error {
	temporary := file + ".new"
	if err := os.WriteFile(temporary, content, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, file)
}
