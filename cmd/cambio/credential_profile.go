package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cambio/internal/admin"
	"cambio/internal/profile"
)

// addProfileCommands gives `cambio credential create` a command for each
// profile.
func addProfileCommands(create *cobra.Command, c *connection) {
	for _, p := range profile.All() {
		create.AddCommand(credentialProfileCommand(c, p))
	}
}

// profileFlags are the flags of one profile's command.
type profileFlags struct {
	holder     holderFlags
	existing   existingFlags
	overrides  overrideFlags
	parameters map[string]*string // texts, by name
	conditions map[string]*bool   // of those that are only given or not
}

// overrideFlags replace what a proposal says of itself.
type overrideFlags struct {
	name, description string
	audiences         []string
}

func (f *overrideFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.name, "name", "", "`NAME` of the credential, which never changes (default: made of the above)")
	flags.StringArrayVar(&f.audiences, "audience", nil, "`AUDIENCE` of the tokens, one of their aud; repeatable (default: the platform's, usually "+profile.DefaultAudience+")")
	flags.StringVar(&f.description, "description", "", "`TEXT` for people")
}

// apply makes the credential of a proposal. A managed identity's has the
// description that was asked for or none, since it keeps none.
func (f *overrideFlags) apply(p profile.Proposal, holder *holderFlags) (admin.Credential, error) {
	c := p.Credential
	if holder.identity != "" {
		c.Description = ""
	}
	if f.name != "" {
		c.Name = f.name
	}
	if len(f.audiences) > 0 {
		c.Audiences = f.audiences
	}
	if f.description != "" {
		c.Description = f.description
	}
	if err := profile.Validate(&c); err != nil {
		return admin.Credential{}, usageError{err}
	}
	return admin.Credential{Name: c.Name, Issuer: c.Issuer, Subject: c.Subject, Audiences: c.Audiences, Description: c.Description}, nil
}

func credentialProfileCommand(c *connection, p *profile.Profile) *cobra.Command {
	f := profileFlags{parameters: map[string]*string{}, conditions: map[string]*bool{}}
	cmd := &cobra.Command{Use: p.Name, Short: p.Summary, Args: noArguments, Long: profileHelp(p), Example: profileExamples(p)}
	cmd.Flags().SortFlags = false // the order of the profile, then what all have
	for i := range p.Parameters {
		f.add(cmd, &p.Parameters[i])
	}
	f.holder.add(cmd, c)
	f.overrides.add(cmd.Flags())
	f.existing.add(cmd)
	return c.writing(cmd, func(ctx context.Context, op *operation, _ []string) error {
		proposal, err := p.Propose(f.given(cmd))
		if err != nil {
			return usageError{fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath())}
		}
		want, err := f.overrides.apply(proposal, &f.holder)
		if err != nil {
			return err
		}
		op.noteProposal(proposal.Notes)
		return ensureCredential(ctx, op, &f.holder, &f.existing, want)
	})
}

// add makes a flag of a parameter.
func (f *profileFlags) add(cmd *cobra.Command, p *profile.Parameter) {
	if p.IsFlag() {
		f.conditions[p.Name] = cmd.Flags().Bool(p.Name, false, p.Description)
		return
	}
	usage := p.Description
	switch {
	case p.Required:
		usage += " (required)"
	case p.Default != "":
		usage += " (default " + strconv.Quote(p.Default) + ")"
	}
	f.parameters[p.Name] = new(string)
	cmd.Flags().Var(&parameterValue{f.parameters[p.Name], p.Name}, p.Name, usage)
}

// parameterValue is a parameter as a flag, which the help calls by its name.
type parameterValue struct {
	text *string
	name string
}

func (v *parameterValue) String() string {
	if v.text == nil {
		return "" // pflag asks a zero value for the default
	}
	return *v.text
}

func (v *parameterValue) Set(text string) error { *v.text = text; return nil }

func (v *parameterValue) Type() string { return strings.ToUpper(v.name) }

// given are the parameters on the command line.
func (f *profileFlags) given(cmd *cobra.Command) map[string]string {
	given := map[string]string{}
	for name, value := range f.parameters {
		if cmd.Flags().Changed(name) {
			given[name] = *value
		}
	}
	for name, set := range f.conditions {
		if *set {
			given[name] = "true"
		}
	}
	return given
}

func profileHelp(p *profile.Profile) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Trusts the tokens of %s. Issuer and subject are made of what is given:\n\n", lowerFirst(p.Summary))
	for _, group := range []struct {
		name string
		list []profile.Alternative
	}{{"Issuer", p.Issuers}, {"Subject", p.Subjects}, {"Audience", p.Audiences}} {
		for _, a := range group.list {
			fmt.Fprintf(&b, "  %-9s %s\n", group.name, a.Template)
		}
	}
	b.WriteString("\nThe first of each whose parts are given is meant. They are compared byte for byte with the token's; `cambio credential create --from-token` makes them of a token instead.")
	return b.String()
}

func lowerFirst(text string) string { return strings.ToLower(text[:1]) + text[1:] }

func profileExamples(p *profile.Profile) string {
	lines := make([]string, len(p.Examples))
	for i, e := range p.Examples {
		lines[i] = "  cambio credential create " + p.Name + " --app shop-api " + e
	}
	return strings.Join(lines, "\n")
}

// noteProposal tells a person what to know about a proposal.
func (op *operation) noteProposal(notes []profile.Note) {
	for _, n := range notes {
		op.note("%s", noteLine(n))
	}
}

func noteLine(n profile.Note) string {
	switch n.Level {
	case profile.Warning:
		return "Warning: " + n.Text
	case profile.Block:
		return "DANGER: " + n.Text
	}
	return "Note: " + n.Text
}

// errBlocked keeps a credential from being created that others could use.
var errBlocked = errors.New("not created: others can have tokens with this subject (see DANGER above); --force creates it all the same")
