package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"cambio/internal/admin"
)

func appOwnerCommand(c *connection) *cobra.Command {
	cmd := nounCommand("owner", "Owners of an application: who may manage it with Application.ReadWrite.OwnedBy",
		"Adds, lists and removes the owners of an application and of its service principal. Owners are clients: applications or managed identities.\n"+
			"A client that holds Application.ReadWrite.OwnedBy may manage what it owns, and nothing else.")
	cmd.AddCommand(
		ownerChangeCommand(c, "add", "Let a client manage an application", "added", (*admin.Client).AddOwner),
		ownerListCommand(c),
		ownerChangeCommand(c, "remove", "Let a client manage an application no longer", "removed", (*admin.Client).RemoveOwner))
	return cmd
}

func ownerListCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "list APP", Short: "List the owners of an application", Args: oneArgument("APP"), ValidArgsFunction: c.argumentNames(applicationNames),
		Example: "  cambio app owner list shop-api"}
	return c.reading(cmd, func(ctx context.Context, op *operation, args []string) error {
		a, err := op.FindApplication(ctx, args[0])
		if err != nil {
			return err
		}
		owners, err := op.Owners(ctx, a.Path())
		if err != nil {
			return err
		}
		t := table{head: []string{"NAME", "TYPE", "APP ID", "OBJECT ID"}}
		for _, p := range owners {
			t.rows = append(t.rows, []string{p.DisplayName, p.Type, p.AppID, p.ID})
			t.raw = append(t.raw, p.Raw)
		}
		return op.list(t)
	})
}

// changeOwner adds or removes an owner of the object at a path.
type changeOwner func(c *admin.Client, ctx context.Context, path string, owner admin.ServicePrincipal) (bool, error)

func ownerChangeCommand(c *connection, verb, short, done string, change changeOwner) *cobra.Command {
	cmd := &cobra.Command{
		Use: verb + " APP OWNER", Short: short, ValidArgsFunction: c.argumentNames(applicationNames),
		Long:    short + ", and its service principal. What is so already is left as it is.",
		Example: "  cambio app owner " + verb + " shop-api deployer",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usageError{fmt.Errorf("name an APP and an OWNER; see `%s --help`", cmd.CommandPath())}
			}
			return nil
		},
	}
	op := &operation{form: formTable}
	dryRunFlag(cmd, op)
	return c.complete(cmd, op, func(ctx context.Context, op *operation, args []string) error {
		a, err := op.FindApplication(ctx, args[0])
		if err != nil {
			return err
		}
		owner, err := op.FindPrincipal(ctx, args[1])
		if err != nil {
			return err
		}
		changed, err := changeOwners(ctx, op, a, owner, change)
		switch {
		case err != nil:
			return err
		case !changed:
			op.note("Unchanged: nothing to be %s.", done)
		case !op.dryRun:
			op.note("%s: %s as an owner of %s.", capitalised(done), owner.DisplayName, a.DisplayName)
		}
		return nil
	})
}

// changeOwners changes the owners of an application and of its service
// principal, if it has one.
func changeOwners(ctx context.Context, op *operation, a admin.Application, owner admin.ServicePrincipal, change changeOwner) (bool, error) {
	changed, err := change(op.Client, ctx, a.Path(), owner)
	if err != nil {
		return changed, err
	}
	p, err := op.PrincipalOf(ctx, a.AppID)
	if admin.IsNotFound(err) {
		return changed, nil
	}
	if err != nil {
		return changed, err
	}
	also, err := change(op.Client, ctx, p.Path(), owner)
	return changed || also, err
}
