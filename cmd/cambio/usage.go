package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Groups of commands in the help of the root.
const (
	groupServer     = "server"
	groupManagement = "management"
	groupWorkload   = "workload"
)

// usage prints how a command is used: like cobra's own, with the connection
// flags in a group of their own.
func usage(cmd *cobra.Command) error {
	var b strings.Builder
	b.WriteString("Usage:\n")
	if cmd.Runnable() {
		fmt.Fprintf(&b, "  %s\n", cmd.UseLine())
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "  %s [command]\n", cmd.CommandPath())
	}
	if cmd.HasExample() {
		fmt.Fprintf(&b, "\nExamples:\n%s\n", cmd.Example)
	}
	usageCommands(&b, cmd)
	own, connecting := flagGroups(cmd)
	for _, g := range []struct {
		title string
		flags *pflag.FlagSet
	}{{"Flags", own}, {"Connection flags", connecting}} {
		if g.flags.HasAvailableFlags() {
			fmt.Fprintf(&b, "\n%s:\n%s\n", g.title, strings.TrimRight(g.flags.FlagUsages(), "\n"))
		}
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\nUse \"%s [command] --help\" for more about a command.\n", cmd.CommandPath())
	}
	_, err := io.WriteString(cmd.OutOrStderr(), b.String())
	return err
}

func usageCommands(b *strings.Builder, cmd *cobra.Command) {
	list := func(title string, in func(*cobra.Command) bool) {
		head := "\n" + title + ":\n"
		for _, c := range cmd.Commands() {
			if in(c) {
				fmt.Fprintf(b, "%s  %-*s %s\n", head, max(c.NamePadding(), 12), c.Name(), c.Short)
				head = ""
			}
		}
	}
	available := func(c *cobra.Command) bool { return c.IsAvailableCommand() || c.Name() == "help" }
	for _, g := range cmd.Groups() {
		list(g.Title, func(c *cobra.Command) bool { return available(c) && c.GroupID == g.ID })
	}
	title := "Commands"
	if len(cmd.Groups()) > 0 {
		title = "Other commands"
	}
	list(title, func(c *cobra.Command) bool { return available(c) && c.GroupID == "" })
	list("Help topics", func(c *cobra.Command) bool { return c.IsAdditionalHelpTopicCommand() })
}

// flagGroups parts the connection flags from the others.
func flagGroups(cmd *cobra.Command) (own, connecting *pflag.FlagSet) {
	own, connecting = pflag.NewFlagSet("own", pflag.ContinueOnError), pflag.NewFlagSet("connection", pflag.ContinueOnError)
	own.SortFlags = cmd.Flags().SortFlags
	add := func(f *pflag.Flag) {
		if len(f.Annotations[connectionGroup]) > 0 {
			connecting.AddFlag(f)
		} else {
			own.AddFlag(f)
		}
	}
	cmd.LocalFlags().VisitAll(add)
	cmd.InheritedFlags().VisitAll(add)
	return own, connecting
}
