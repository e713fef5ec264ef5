package main

import (
	"context"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"cambio/internal/admin"
)

func whoamiCommand() *cobra.Command {
	var form string
	cmd := &cobra.Command{
		Use: "whoami", Short: "Show which server is meant, and whom it takes you for", Args: noArguments,
		Long: "Signs in, asks the server for its tenant, and shows the client, its object id, the roles of the management resource that it holds, and when its token ends.\n" +
			"A bootstrap token is not used up: it is only named.",
		Example: "  cambio whoami\n  cambio whoami --authority https://sts.example.net --tenant example.net --client-id ID --federated-token-file token",
	}
	c := connectionFlags(cmd)
	outputFlag(cmd, &form)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkForm(form); err != nil {
			return err
		}
		client, err := c.client(nil)
		if err != nil {
			return err
		}
		who, err := askWho(cmd.Context(), client)
		if err != nil {
			return err
		}
		t, err := who.table()
		if err != nil {
			return err
		}
		return printOne(cmd.OutOrStdout(), form, t)
	}
	return cmd
}

// caller is what `cambio whoami` shows.
type caller struct {
	Authority  string `json:"authority"`
	Connection string `json:"connection"`
	TenantName string `json:"tenantDisplayName"`
	admin.Identity
}

func askWho(ctx context.Context, client *admin.Client) (caller, error) {
	s := client.Settings()
	who := caller{Authority: s.Authority, Connection: s.From}
	if client.SingleUse() {
		who.Connection += ", with a bootstrap token: good for one request"
		return who, nil
	}
	var err error
	if who.Identity, err = client.Identity(ctx); err != nil {
		return who, err
	}
	t, err := client.Tenant(ctx)
	who.TenantName = t.DisplayName
	return who, err
}

func (w caller) table() (table, error) {
	raw, err := json.Marshal(w)
	expires := ""
	if !w.Expires.IsZero() {
		expires = w.Expires.Format(time.RFC3339)
	}
	return table{
		head: []string{"Authority", "Connection", "Tenant", "Tenant id", "Client id", "Object id", "Roles", "Token ends"},
		rows: [][]string{{w.Authority, w.Connection, w.TenantName, w.TenantID, w.ClientID, w.ObjectID, strings.Join(w.Roles, ", "), expires}},
		raw:  []jsontext.Value{raw},
	}, err
}
