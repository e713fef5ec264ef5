package main

import (
	"context"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"cambio/internal/admin"
)

// Where managed identities are put that nobody says anything about.
const (
	defaultGroup    = "default"
	defaultLocation = "local"
)

func identityCommand() *cobra.Command {
	cmd := nounCommand("identity", "User-assigned managed identities",
		"Creates, shows and deletes user-assigned managed identities. IDENTITY is a name, or a client id or principal id.\n"+
			"Without --resource-group a name is looked for in every resource group.")
	c := connectionFlags(cmd)
	cmd.AddCommand(identityCreateCommand(c), identityListCommand(c), identityShowCommand(c), identityDeleteCommand(c))
	return cmd
}

func groupFlag(cmd *cobra.Command, c *connection, to *string, usage string) {
	cmd.Flags().StringVarP(to, "resource-group", "g", "", usage)
	c.completeFlag(cmd, "resource-group", groupNames)
}

func identityCreateCommand(c *connection) *cobra.Command {
	var group, location string
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a managed identity", Args: oneArgument("NAME"),
		Long: "Creates a user-assigned managed identity, and its resource group when there is none.\n" +
			"An identity of that name that exists already in the resource group is left as it is.",
		Example: "  cambio identity create shop\n  cambio identity create shop --resource-group team-a --location westeurope",
	}
	groupFlag(cmd, c, &group, "resource `GROUP` (default \""+defaultGroup+"\")")
	cmd.Flags().StringVar(&location, "location", defaultLocation, "`REGION` that it is recorded with")
	return c.writing(cmd, func(ctx context.Context, op *operation, args []string) error {
		if group == "" {
			group = defaultGroup
		}
		have, err := op.FindManagedIdentity(ctx, group, args[0])
		if err == nil {
			op.note("Unchanged: there is an identity %s in resource group %s already.", have.Name, have.Group())
			return op.show(identityTable(have), nil)
		}
		if !admin.IsNotFound(err) {
			return err
		}
		return createIdentity(ctx, op, group, args[0], location)
	})
}

func createIdentity(ctx context.Context, op *operation, group, name, location string) error {
	made, err := op.EnsureGroup(ctx, group, location)
	if err != nil {
		return err
	}
	m, err := op.PutManagedIdentity(ctx, group, name, location)
	if err == nil && !op.dryRun {
		if made {
			op.note("Created the resource group %s.", group)
		}
		op.note("Created %s.", m.Name)
	}
	return op.show(identityTable(m), err)
}

func identityListCommand(c *connection) *cobra.Command {
	var group string
	cmd := &cobra.Command{Use: "list", Short: "List the managed identities", Args: noArguments, Example: "  cambio identity list\n  cambio identity list -g team-a -o json"}
	groupFlag(cmd, c, &group, "only those of this resource `GROUP`")
	return c.reading(cmd, func(ctx context.Context, op *operation, _ []string) error {
		all, err := op.ManagedIdentities(ctx, group)
		if err != nil {
			return err
		}
		t := table{head: []string{"NAME", "RESOURCE GROUP", "CLIENT ID", "PRINCIPAL ID", "LOCATION"}}
		for _, m := range all {
			t.rows = append(t.rows, []string{m.Name, m.Group(), m.Properties.ClientID, m.Properties.PrincipalID, m.Location})
			t.raw = append(t.raw, m.Raw)
		}
		return op.list(t)
	})
}

func identityTable(m admin.ManagedIdentity) table {
	return table{
		head: []string{"Name", "Resource group", "Client id", "Principal id", "Location", "Resource id"},
		rows: [][]string{{m.Name, m.Group(), m.Properties.ClientID, m.Properties.PrincipalID, m.Location, m.ID}},
		raw:  []jsontext.Value{m.Raw},
	}
}

func identityShowCommand(c *connection) *cobra.Command {
	var group string
	cmd := &cobra.Command{Use: "show IDENTITY", Short: "Show a managed identity", Args: oneArgument("IDENTITY"), ValidArgsFunction: c.argumentNames(identityNames),
		Example: "  cambio identity show shop\n  cambio identity show shop -g team-a -o yaml"}
	groupFlag(cmd, c, &group, "resource `GROUP`")
	return c.reading(cmd, func(ctx context.Context, op *operation, args []string) error {
		m, err := op.FindManagedIdentity(ctx, group, args[0])
		return op.show(identityTable(m), err)
	})
}

func identityDeleteCommand(c *connection) *cobra.Command {
	var group string
	cmd := &cobra.Command{Use: "delete IDENTITY", Short: "Delete a managed identity", Args: oneArgument("IDENTITY"), ValidArgsFunction: c.argumentNames(identityNames),
		Long:    "Deletes a managed identity with its credentials and role assignments; its resource group stays. When it returns, nobody signs in as it any more. It cannot be restored: one that is created again has other ids.",
		Example: "  cambio identity delete shop --yes"}
	groupFlag(cmd, c, &group, "resource `GROUP`")
	return c.deleting(cmd, func(ctx context.Context, op *operation, args []string) error {
		m, err := op.FindManagedIdentity(ctx, group, args[0])
		if err != nil {
			return err
		}
		what := fmt.Sprintf("the managed identity %s in resource group %s (client id %s)", m.Name, m.Group(), m.Properties.ClientID)
		if err := op.confirm(what); err != nil {
			return err
		}
		return op.deleted(what, op.DeleteManagedIdentity(ctx, m))
	})
}
