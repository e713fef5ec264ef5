package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cambio/internal/admin"
)

// completionTimeout bounds what a person waits for after pressing TAB.
const completionTimeout = 3 * time.Second

// lister lists names that the server knows.
type lister func(context.Context, *admin.Client) ([]string, error)

// names completes an argument or a flag with names that the server knows. A
// name with characters that a shell would show as something else is left out.
func (c *connection) names(list lister) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
		defer cancel()
		client, err := c.client(nil)
		if err != nil || client.SingleUse() {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names, err := list(ctx, client)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		slices.Sort(names)
		names = slices.DeleteFunc(slices.Compact(names), func(n string) bool { return strings.ContainsFunc(n, isUnprintable) })
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// argumentNames completes the arguments of a command, each from a list of its
// own.
func (c *connection) argumentNames(lists ...lister) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= len(lists) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return c.names(lists[len(args)])(cmd, args, typed)
	}
}

// completeFlag completes a flag of the command.
func (c *connection) completeFlag(cmd *cobra.Command, flag string, list lister) {
	_ = cmd.RegisterFlagCompletionFunc(flag, c.names(list)) // the flag is there
}

// namesOf makes names of what was listed.
func namesOf[T any](all []T, err error, name func(T) string) ([]string, error) {
	var names []string
	for _, one := range all {
		names = append(names, name(one))
	}
	return names, err
}

func applicationNames(ctx context.Context, c *admin.Client) ([]string, error) {
	all, err := c.Applications(ctx)
	return namesOf(all, err, func(a admin.Application) string { return a.DisplayName })
}

func identityNames(ctx context.Context, c *admin.Client) ([]string, error) {
	all, err := c.ManagedIdentities(ctx, "")
	return namesOf(all, err, func(m admin.ManagedIdentity) string { return m.Name })
}

func groupNames(ctx context.Context, c *admin.Client) ([]string, error) {
	all, err := c.ManagedIdentities(ctx, "")
	return namesOf(all, err, func(m admin.ManagedIdentity) string { return m.Group() })
}

// clientNames are those of applications, and of managed identities if the
// caller may see them.
func clientNames(ctx context.Context, c *admin.Client) ([]string, error) {
	identities, _ := identityNames(ctx, c)
	applications, err := applicationNames(ctx, c)
	return append(applications, identities...), err
}

// roleNames are the app roles of the resource that a flag names.
func roleNames(resource *string) lister {
	return func(ctx context.Context, c *admin.Client) ([]string, error) {
		p, err := c.FindPrincipal(ctx, *resource)
		return namesOf(p.AppRoles, err, func(r admin.AppRole) string { return r.Value })
	}
}
