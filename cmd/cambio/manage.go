package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"cambio/internal/admin"
)

// operation is one run of a command that calls the management APIs.
type operation struct {
	*admin.Client
	out, notes io.Writer // results; what was done, for people
	in         io.Reader
	form       string
	dryRun     bool
	yes        bool
}

// note tells a person what was done; results go to op.out.
func (op *operation) note(format string, args ...any) {
	_, _ = fmt.Fprintln(op.notes, plain(fmt.Sprintf(format, args...))) // a closed terminal is nobody's error
}

// action is what a command does once it has a client.
type action func(ctx context.Context, op *operation, args []string) error

// reading completes a command that changes nothing.
func (c *connection) reading(cmd *cobra.Command, do action) *cobra.Command {
	op := &operation{}
	outputFlag(cmd, &op.form)
	return c.complete(cmd, op, do)
}

// writing completes a command that creates or changes objects.
func (c *connection) writing(cmd *cobra.Command, do action) *cobra.Command {
	op := &operation{}
	outputFlag(cmd, &op.form)
	dryRunFlag(cmd, op)
	return c.complete(cmd, op, do)
}

// writingQuietly completes a command that changes something and shows nothing.
func (c *connection) writingQuietly(cmd *cobra.Command, do action) *cobra.Command {
	op := &operation{form: formTable}
	dryRunFlag(cmd, op)
	return c.complete(cmd, op, do)
}

// deleting completes a command that deletes something.
func (c *connection) deleting(cmd *cobra.Command, do action) *cobra.Command {
	op := &operation{form: formTable}
	dryRunFlag(cmd, op)
	cmd.Flags().BoolVarP(&op.yes, "yes", "y", false, "do not ask; needed where there is no terminal")
	return c.complete(cmd, op, do)
}

func dryRunFlag(cmd *cobra.Command, op *operation) {
	cmd.Flags().BoolVar(&op.dryRun, "dry-run", false, "print the requests that would change something, and send none of them")
}

func (c *connection) complete(cmd *cobra.Command, op *operation, do action) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkForm(op.form); err != nil {
			return err
		}
		op.out, op.notes, op.in = cmd.OutOrStdout(), cmd.ErrOrStderr(), input(cmd)
		var plan io.Writer
		if op.dryRun {
			plan = plainRequests{op.out}
		}
		var err error
		if op.Client, err = c.client(plan); err != nil {
			return err
		}
		if op.SingleUse() && !isOneRequest(cmd) {
			return usageError{errors.New("a bootstrap token is good for one request, and this command may need more; use it for `cambio credential create --app CLIENT-ID`, and sign in with that credential afterwards")}
		}
		return do(cmd.Context(), op, args)
	}
	return cmd
}

// oneRequest marks a command that a bootstrap token is enough for, and those
// below it.
const oneRequest = "one-request"

func isOneRequest(cmd *cobra.Command) bool {
	for ; cmd != nil; cmd = cmd.Parent() {
		if cmd.Annotations[oneRequest] != "" {
			return true
		}
	}
	return false
}

// show prints an object that was created or changed. A dry run has printed
// its requests and has no object.
func (op *operation) show(t table, err error) error {
	if err != nil || op.dryRun {
		return err
	}
	return printOne(op.out, op.form, t)
}

// updated says what was changed, and shows it.
func (op *operation) updated(name string, t table, err error) error {
	if err == nil && !op.dryRun {
		op.note("Updated %s.", name)
	}
	return op.show(t, err)
}

// list prints objects, ordered by what their rows say.
func (op *operation) list(t table) error {
	order := make([]int, len(t.rows))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return slices.Compare(t.rows[a], t.rows[b]) })
	sorted := table{head: t.head, raw: []jsontext.Value{}} // an empty list is [], not null
	for _, i := range order {
		sorted.rows, sorted.raw = append(sorted.rows, t.rows[i]), append(sorted.raw, t.raw[i])
	}
	return printList(op.out, op.form, sorted)
}

// noteOwnedOnly says that a list is not one of everything.
func (op *operation) noteOwnedOnly() {
	if op.SeesOwnedOnly() {
		op.note("Note: these are the applications that you own; to list all takes Application.Read.All.")
	}
}

// nobodyToAsk refuses what a person should have been asked about.
func nobodyToAsk(done string) error {
	return usageError{fmt.Errorf("nothing was %s: standard input is no terminal, so there is nobody to ask; say --yes", done)}
}

// confirm asks before something is deleted. Who cannot be asked says --yes.
func (op *operation) confirm(what string) error {
	if op.yes || op.dryRun {
		return nil
	}
	if !isTerminal(op.in) {
		return nobodyToAsk("deleted")
	}
	op.note("Delete %s? [y/N]", what)
	if yes, err := saysYes(op.in); err != nil || yes {
		return err
	}
	return errors.New("nothing was deleted")
}

// deleted says what was deleted.
func (op *operation) deleted(what string, err error) error {
	if err == nil && !op.dryRun {
		op.note("Deleted %s.", what)
	}
	return err
}

func capitalised(word string) string { return strings.ToUpper(word[:1]) + word[1:] }

// nounCommand is a command that only has others below it.
func nounCommand(use, short, long string, aliases ...string) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Long: long, Aliases: aliases, Args: noArguments, SuggestionsMinimumDistance: 2,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
}

// oneArgument wants exactly one argument, which is called by its name.
func oneArgument(name string) cobra.PositionalArgs { return arguments(name) }

// arguments wants one argument for each name.
func arguments(names ...string) cobra.PositionalArgs {
	want := strings.Join(names, " and one ")
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) > len(names):
			return usageError{fmt.Errorf("name one %s, and no more: %q is too much (a name with blanks stands in quotation marks); see `%s --help`", want, args[len(names)], cmd.CommandPath())}
		case len(args) < len(names) || slices.Contains(args, ""):
			return usageError{fmt.Errorf("name one %s; see `%s --help`", want, cmd.CommandPath())}
		}
		return nil
	}
}

// required wants flags that have no default.
func required(flags ...[2]string) error {
	for _, f := range flags {
		if f[1] == "" {
			return usageError{fmt.Errorf("--%s is required", f[0])}
		}
	}
	return nil
}
