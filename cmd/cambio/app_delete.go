package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"cambio/internal/admin"
)

func appDeleteCommand(c *connection) *cobra.Command {
	return deleteCommand(c, &cobra.Command{Use: "delete APP", Short: "Delete an application", Args: oneArgument("APP"), ValidArgsFunction: c.argumentNames(applicationNames),
		Long: "Deletes an application with its service principal, credentials and role assignments. When it returns, nobody signs in as it any more. " +
			"For 30 days `cambio app restore` brings all of it back.",
		Example: "  cambio app delete shop-api --yes\n  cambio app delete shop-api --permanently"})
}

// deleteCommand completes a command that deletes an application.
func deleteCommand(c *connection, cmd *cobra.Command) *cobra.Command {
	var permanently bool
	cmd.Flags().BoolVar(&permanently, "permanently", false, "delete it for good, so that nobody, its owners included, can restore it")
	return c.deleting(cmd, func(ctx context.Context, op *operation, args []string) error {
		a, err := op.FindApplication(ctx, args[0])
		if err != nil {
			return err
		}
		what := fmt.Sprintf("the application %s (appId %s)", a.DisplayName, a.AppID)
		if permanently {
			what += " for good"
		}
		if err := op.confirm(what); err != nil {
			return err
		}
		err = op.deleted(what, op.DeleteApplication(ctx, a, permanently))
		if err == nil && !op.dryRun && !permanently {
			op.note("Note: for 30 days, `cambio app restore %s` brings it back.", a.ID)
		}
		return err
	})
}

func appRestoreCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "restore APP", Short: "Undo the deletion of an application", Args: oneArgument("APP"), ValidArgsFunction: c.argumentNames(deletedNames),
		Long: "Brings back an application that was deleted within the last 30 days, with its service principal, credentials, owners and role assignments, as far as what they refer to still exists. " +
			"APP is its object id, appId or display name; an owner who lacks Application.Read.All names it by its object id, which the deletion prints.",
		Example: "  cambio app restore shop-api"}
	return c.writing(cmd, func(ctx context.Context, op *operation, args []string) error {
		a, err := op.FindDeletedApplication(ctx, args[0])
		if err != nil {
			return err
		}
		a, err = op.RestoreApplication(ctx, a)
		if err == nil && !op.dryRun {
			op.note("Restored %s.", a.DisplayName)
		}
		return op.show(applicationTable(a), err)
	})
}

func deletedNames(ctx context.Context, c *admin.Client) ([]string, error) {
	all, err := c.DeletedApplications(ctx)
	return namesOf(all, err, func(a admin.Application) string { return a.DisplayName })
}
