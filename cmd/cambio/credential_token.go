package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"cambio/internal/admin"
	"cambio/internal/profile"
)

// maxTokenFile bounds what is read of --from-token, in bytes.
const maxTokenFile = 64 << 10

// tokenFlags make a credential of a token.
type tokenFlags struct {
	file       string
	yes, force bool

	proposed *admin.Credential // set by propose when it is to be created
}

func (f *tokenFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.file, "from-token", "", "`FILE` with a token of the workload, or - for standard input: shows what it says and proposes the credential that it would match")
	flags.BoolVarP(&f.yes, "yes", "y", false, "create what --from-token proposes without asking")
	flags.BoolVar(&f.force, "force", false, "create what --from-token proposes although others could use it")
	_ = cmd.MarkFlagFilename("from-token") // the flag is there
}

// wrap lets a token be looked at before a server is: a proposal needs none.
func (f *tokenFlags) wrap(cmd *cobra.Command, d *definitionFlags, holder *holderFlags) *cobra.Command {
	create := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.file == "" {
			if f.yes || f.force {
				return usageError{errors.New("--yes and --force go with --from-token")}
			}
			return create(cmd, args)
		}
		if err := f.propose(cmd, d, holder); err != nil || f.proposed == nil {
			return err
		}
		return create(cmd, args)
	}
	return cmd
}

// propose shows the token's claims and what is proposed, and decides whether
// it is created: told to, or confirmed on a terminal.
func (f *tokenFlags) propose(cmd *cobra.Command, d *definitionFlags, holder *holderFlags) error {
	if d.issuer != "" || d.subject != "" || d.expression != "" || d.parameters != "" {
		return usageError{errors.New("--from-token says issuer and subject; leave out --issuer, --subject, --claims-matching-expression and --parameters")}
	}
	form, dryRun := cmd.Flag("output").Value.String(), cmd.Flag("dry-run").Value.String() == "true"
	if err := checkForm(form); err != nil {
		return err
	}
	if f.yes || dryRun {
		if err := holder.check(); err != nil {
			return err
		}
	}
	claims, err := f.read(input(cmd))
	if err != nil {
		return err
	}
	proposal, err := profile.Recognize(claims, time.Now())
	if err != nil {
		return fmt.Errorf("--from-token: no credential can match this token: %w", err)
	}
	overrides := overrideFlags{name: d.name, audiences: d.audiences, description: d.description}
	want, err := overrides.apply(proposal, holder)
	if err != nil {
		return err
	}
	notes := cmd.ErrOrStderr()
	if err := showToken(notes, claims, proposal); err != nil {
		return err
	}
	blocked := !f.force && slices.ContainsFunc(proposal.Notes, func(n profile.Note) bool { return n.Level == profile.Block })
	if (f.yes || dryRun) && blocked {
		return errBlocked
	}
	create := f.yes || dryRun
	if !create && !blocked && holder.check() == nil && f.file != "-" {
		if create, err = confirmed(input(cmd), notes, want); err != nil {
			return err
		}
	}
	if create {
		f.proposed = &want
		return nil
	}
	return printProposal(cmd.OutOrStdout(), form, want)
}

// read reads the token.
func (f *tokenFlags) read(in io.Reader) (profile.Claims, error) {
	if strings.HasPrefix(f.file, "eyJ") {
		return profile.Claims{}, usageError{errors.New("--from-token takes the name of a file and not the token itself, which others could see in the list of processes; write - and give it to standard input")}
	}
	if f.file != "-" {
		file, err := os.Open(f.file)
		if err != nil {
			return profile.Claims{}, usageError{fmt.Errorf("--from-token: %w", err)}
		}
		defer file.Close()
		in = file
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxTokenFile+1))
	if err != nil {
		return profile.Claims{}, fmt.Errorf("--from-token: %w", err)
	}
	if len(raw) > maxTokenFile {
		return profile.Claims{}, usageError{fmt.Errorf("--from-token: %s has more than %d KiB; that is no token", argumentName(f.file), maxTokenFile>>10)}
	}
	claims, err := profile.ParseToken(string(raw))
	if err != nil {
		return claims, usageError{fmt.Errorf("--from-token: %s: %w", argumentName(f.file), err)}
	}
	return claims, nil
}

// showToken prints what a token says. All of it comes from whoever made the
// token, so that nothing of it reaches the terminal as it is.
func showToken(out io.Writer, c profile.Claims, p profile.Proposal) error {
	var b strings.Builder
	b.WriteString("The token says (NOT VERIFIED: anybody can write such a token; make sure where it comes from):\n\n")
	width := 0
	for name := range c.Object.All() {
		width = min(max(width, len(printable(name))), 28)
	}
	for name, value := range c.Object.All() {
		fmt.Fprintf(&b, "  %-*s  %s\n", width, printable(name), claimText(name, string(value)))
	}
	for _, name := range []string{"exp", "iat"} {
		if _, there := c.Object.Raw(name); !there {
			fmt.Fprintf(&b, "  %-*s  MISSING\n", width, name)
		}
	}
	fmt.Fprintf(&b, "\nPlatform: %s (%s)\n", p.Profile.Title, p.Profile.Name)
	for i := range p.Profile.Parameters {
		parameter := &p.Profile.Parameters[i]
		switch value := p.Parameters[parameter.Name]; {
		case value == "" || p.Profile.Name == "other":
		case parameter.IsFlag():
			fmt.Fprintf(&b, "  --%s\n", parameter.Name)
		default:
			fmt.Fprintf(&b, "  --%s %s\n", parameter.Name, printable(value))
		}
	}
	b.WriteString("\n")
	for _, n := range p.Notes {
		b.WriteString(noteLine(n) + "\n")
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// claimText is a claim's value in one line; times are said in words too.
func claimText(name, value string) string {
	const longest = 300 // runes
	text := printable(value)
	if cut := []rune(text); len(cut) > longest {
		text = string(cut[:longest]) + "…"
	}
	if name == "exp" || name == "iat" || name == "nbf" {
		if seconds, err := strconv.ParseInt(value, 10, 64); err == nil && seconds > 0 && seconds < 1<<36 {
			text += "  (" + time.Unix(seconds, 0).UTC().Format(time.RFC3339) + ")"
		}
	}
	return text
}

// printable writes what a terminal could obey, or a reader could not see, as
// an escape.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "\\u%04x", r)
		}
	}
	return b.String()
}

// confirmed asks on a terminal whether to create the credential.
func confirmed(in io.Reader, notes io.Writer, want admin.Credential) (bool, error) {
	if !isTerminal(in) {
		return false, nil
	}
	_, _ = fmt.Fprintf(notes, "\nCreate the credential %s for issuer %s, subject %s, audience %s? [y/N] ", want.Name, printable(want.Issuer), printable(want.Subject), printable(strings.Join(want.Audiences, " ")))
	return saysYes(in)
}

// printProposal prints a credential that was not created; as JSON it is what
// `az ad app federated-credential create --parameters` takes.
func printProposal(out io.Writer, form string, want admin.Credential) error {
	raw, err := json.Marshal(want)
	if err != nil {
		return err
	}
	if form == formTable {
		if _, err := fmt.Fprintln(out, "Proposed, not created (--yes creates it):"); err != nil {
			return err
		}
	}
	return printOne(out, form, table{
		head: []string{"Name", "Issuer", "Subject", "Audiences", "Description"},
		rows: [][]string{{want.Name, want.Issuer, want.Subject, strings.Join(want.Audiences, " "), want.Description}},
		raw:  []jsontext.Value{raw},
	})
}
