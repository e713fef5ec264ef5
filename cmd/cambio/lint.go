package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"cambio/internal/admin"
	"cambio/internal/lint"
	"cambio/internal/trust"
)

const formSARIF = "sarif"

// lintFlags are those of `cambio lint`.
type lintFlags struct {
	files, levels []string
	form, failOn  string
	since         string
	checkIssuers  bool
	check         checkOptions
}

func lintCommand() *cobra.Command {
	var f lintFlags
	cmd := &cobra.Command{
		Use: "lint [-f FILE]", Short: "Find credentials that trust too much, or nobody", Args: noArguments,
		Long: "Holds credentials against the rules of docs/lint.md: those of a trust configuration, without a server, or all of the tenant. Findings are graded block, warn and info; --level grades a rule otherwise. " +
			"Ends with code 8 when there is a finding of the grade of --fail-on or a more important one.",
		Example: "  cambio lint -f trust.yaml\n  cambio lint\n  cambio lint -f trust.yaml --fail-on warn --level L7=off -o sarif",
	}
	filesFlag(cmd, &f.files)
	formFlag(cmd, &f.form, formTable, formTable, formJSON, formSARIF)
	cmd.Flags().StringArrayVar(&f.levels, "level", nil, "grade a rule as `RULE=LEVEL`: block, warn, info or off; repeatable")
	cmd.Flags().StringVar(&f.failOn, "fail-on", string(lint.Block), "least `LEVEL` of a finding that ends the command with code 8: block, warn, info, or off for none")
	cmd.Flags().StringVar(&f.since, "since", "", "look also at what was seen in use since a `TIME` such as 90d: adds L22 to L26, and takes AuditLog.Read.All")
	cmd.Flags().BoolVar(&f.checkIssuers, "check-issuers", false, "look at the keys of each issuer, from this machine: adds L20, and whether pinned keys are those published (L19)")
	cmd.Flags().StringVar(&f.check.caFile, "ca-file", "", "PEM `FILE` with further certificate authorities, for --check-issuers")
	cmd.Flags().StringSliceVar(&f.check.addresses, "allow-address", nil, "private address `RANGE` that issuers may be on, for --check-issuers; may be repeated")
	_ = cmd.RegisterFlagCompletionFunc("fail-on", cobra.FixedCompletions([]string{"block", "warn", "info", "off"}, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	_ = cmd.RegisterFlagCompletionFunc("level", completeLevels)                                                                                         // likewise
	c := connectionFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		in, err := f.input(cmd, c)
		if err == nil && f.checkIssuers {
			err = f.lookAtIssuers(cmd.Context(), in)
		}
		if err != nil {
			return err
		}
		findings := lint.Check(in)
		if err := printFindings(cmd.OutOrStdout(), f.form, findings); err != nil {
			return err
		}
		if n := f.failing(findings); n > 0 {
			return findingsError{n}
		}
		return nil
	}
	return cmd
}

func completeLevels(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var list []string
	for _, r := range lint.Rules() {
		for _, level := range []lint.Level{lint.Block, lint.Warn, lint.Info, lint.Off} {
			list = append(list, r.ID+"="+string(level)+"\t"+r.Title)
		}
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}

// findingsError is the end of a run that found something.
type findingsError struct{ count int }

func (e findingsError) Error() string {
	return counted(e.count, "finding") + " must be dealt with; docs/lint.md says how"
}

// input reads what is looked at: files, or the tenant.
func (f *lintFlags) input(cmd *cobra.Command, c *connection) (*lint.Input, error) {
	if !slices.Contains([]lint.Level{lint.Block, lint.Warn, lint.Info, lint.Off}, lint.Level(f.failOn)) {
		return nil, usageError{fmt.Errorf("--fail-on %q must be block, warn, info or off", f.failOn)}
	}
	levels, err := parseLevels("--level", f.levels)
	if err != nil {
		return nil, usageError{err}
	}
	in := &lint.Input{Now: time.Now(), Levels: levels}
	if len(f.files) > 0 {
		d, err := readTrust(cmd, f.files)
		if err != nil {
			return nil, err
		}
		in.Clients = lint.Clients(d, managementRoles())
		if f.since != "" {
			return nil, usageError{errors.New("--since looks at the tenant's audit trail; it does not go with -f")}
		}
		return in, nil
	}
	client, err := c.client(nil)
	if err != nil {
		return nil, errors.Join(err, errors.New("or name a trust configuration with -f FILE, which needs no server"))
	}
	if err := ofTenant(cmd.Context(), client, in); err != nil || f.since == "" {
		return in, err
	}
	in.Usage, err = usageOf(cmd, client, f.since, in.Clients)
	return in, err
}

// usageOf adds up what the audit trail says of credentials in use.
func usageOf(cmd *cobra.Command, client *admin.Client, since string, clients []lint.Client) ([]lint.Usage, error) {
	at, err := parseSince(since, time.Now())
	if err != nil {
		return nil, usageError{err}
	}
	seen := lint.NewCollector(at)
	err = client.Decisions(cmd.Context(), func(record jsontext.Value) error { return seen.Record(record) }, recordsRead(cmd.ErrOrStderr()))
	return seen.Usage(clients), err
}

// recordsRead tells a person every two seconds how many records were read.
func recordsRead(notes io.Writer) func(read int) {
	said := time.Now()
	return func(read int) {
		if time.Since(said) > 2*time.Second {
			said = time.Now()
			fmt.Fprintf(notes, "%d records read …\n", read)
		}
	}
}

// parseLevels reads grades, RULE=LEVEL each.
func parseLevels(flag string, texts []string) (lint.Levels, error) {
	levels := lint.Levels{}
	for _, text := range texts {
		rule, level, found := strings.Cut(text, "=")
		if !found {
			return nil, fmt.Errorf("%s %q must be RULE=LEVEL, as in L7=off", flag, text)
		}
		levels[rule] = lint.Level(level)
	}
	if err := lint.CheckLevels(levels); err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return levels, nil
}

// ofTenant fills in what a server has. Grades of the tenant's policy count
// where the command line has none.
func ofTenant(ctx context.Context, client *admin.Client, in *lint.Input) error {
	tenant, err := client.Tenant(ctx)
	if err != nil {
		return err
	}
	for rule, level := range tenant.FederationPolicy.Lint.Levels {
		if _, given := in.Levels[rule]; !given {
			in.Levels[rule] = lint.Level(level)
		}
	}
	raw, err := client.TrustConfiguration(ctx)
	if err != nil {
		return err
	}
	d, err := trust.ParseJSON(raw)
	if err != nil {
		return fmt.Errorf("the server's configuration cannot be read by this version of cambio: %w", err)
	}
	in.Clients = lint.Clients(d, managementRoles())
	in.Own = []string{strings.TrimSuffix(client.Settings().Authority, "/") + "/"}
	issuers, err := client.Issuers(ctx)
	if err != nil {
		return err
	}
	for _, i := range issuers {
		known := lint.Issuer{Name: i.Issuer, Private: len(i.AllowAddresses) > 0}
		if i.Mode == "pin" {
			known.PinnedAt, _ = time.Parse(time.RFC3339, i.KeysAt) // not set: no keys yet
			known.Pinned = i.KeySet
		}
		in.Issuers = append(in.Issuers, known)
	}
	return nil
}

// failing counts the findings that end the command with an error.
func (f *lintFlags) failing(findings []lint.Finding) int {
	order := []lint.Level{lint.Block, lint.Warn, lint.Info}
	least := slices.Index(order, lint.Level(f.failOn)) // off: -1, which none reaches
	n := 0
	for i := range findings {
		if findings[i].Override == "" && slices.Index(order, findings[i].Level) <= least {
			n++
		}
	}
	return n
}

func printFindings(out io.Writer, form string, findings []lint.Finding) error {
	switch form {
	case formJSON:
		if findings == nil {
			findings = []lint.Finding{}
		}
		raw, err := json.Marshal(findings)
		if err != nil {
			return err
		}
		return printDocument(out, formJSON, raw)
	case formSARIF:
		raw, err := lint.SARIF(findings, version())
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "%s\n", escaped(string(raw), jsonEscape))
		return err
	}
	var b strings.Builder
	count := map[lint.Level]int{}
	for i := range findings {
		x := &findings[i]
		count[x.Level]++
		where := x.Client + "/" + x.Credential
		if x.Place.File != "" {
			where = fmt.Sprintf("%s:%d: %s", x.Place.File, x.Place.Line, where)
		}
		fmt.Fprintf(&b, "%-5s  %-3s  %s\n            %s\n", x.Level, x.Rule, tsvCell(where), tsvCell(x.Message))
		if x.Override != "" {
			fmt.Fprintf(&b, "            let pass: %s\n", tsvCell(x.Override))
			continue
		}
		fmt.Fprintf(&b, "            → %s\n", tsvCell(x.Remedy))
	}
	fmt.Fprintf(&b, "%d block, %d warn, %d info.\n", count[lint.Block], count[lint.Warn], count[lint.Info])
	_, err := io.WriteString(out, b.String())
	return err
}
