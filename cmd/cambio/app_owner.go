package main

import (
	"context"

	"github.com/spf13/cobra"

	"cambio/internal/admin"
)

func appOwnerCommand(c *connection) *cobra.Command {
	cmd := nounCommand("owner", "Owners of an application: who may manage it with Application.ReadWrite.OwnedBy",
		"Adds, lists and removes the owners of an application and of its service principal. Owners are clients: applications or managed identities.\n"+
			"A client that holds Application.ReadWrite.OwnedBy may manage what it owns, and nothing else.")
	cmd.AddCommand(
		ownerChangeCommand(c, ownerAdd(), (*admin.Client).AddOwner), ownerListCommand(c), ownerChangeCommand(c, ownerRemove(), (*admin.Client).RemoveOwner))
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

// ownerTexts are what the commands that add and remove owners say.
type ownerTexts struct{ verb, short, long, done string }

func ownerAdd() ownerTexts {
	return ownerTexts{"add", "Let a client manage an application",
		"Makes a client an owner of an application and of its service principal. Who is one already stays one.", "Added"}
}

func ownerRemove() ownerTexts {
	return ownerTexts{"remove", "Let a client manage an application no longer",
		"Ends a client's ownership of an application and of its service principal. Who is no owner is no error.", "Removed"}
}

func ownerChangeCommand(c *connection, say ownerTexts, change changeOwner) *cobra.Command {
	cmd := &cobra.Command{
		Use: say.verb + " APP OWNER", Short: say.short, Long: say.long, ValidArgsFunction: c.argumentNames(applicationNames, clientNames),
		Example: "  cambio app owner " + say.verb + " shop-api deployer",
		Args:    arguments("APP", "OWNER"),
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
			op.note("Unchanged: it is so already.")
		case !op.dryRun:
			op.note("%s: %s as an owner of %s.", say.done, owner.DisplayName, a.DisplayName)
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
