package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"cambio/internal/admin"
	"cambio/internal/directory"
)

func tenantPolicyCommand(c *connection) *cobra.Command {
	cmd := nounCommand("policy", "Which issuers the tenant allows, and which claims it requires",
		"Shows and changes what holds for every credential of the tenant: the issuers that are allowed, and the claims that tokens of an issuer must have. A rule is enforced, or only reported: then the audit record says `reportOnly`, and the token is issued.")
	cmd.AddCommand(tenantPolicyShowCommand(c), tenantPolicySetCommand(c))
	return cmd
}

func tenantPolicyShowCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "show", Short: "Show the tenant's policy", Args: noArguments, Example: "  cambio tenant policy show\n  cambio tenant policy show -o json"}
	return c.reading(cmd, func(ctx context.Context, op *operation, _ []string) error {
		t, err := op.Tenant(ctx)
		if err != nil {
			return err
		}
		return printOne(op.out, op.form, policyTable(t))
	})
}

// policyFlags say how the policy changes.
type policyFlags struct {
	issuers            []string
	anyIssuer          bool
	mode               string
	required, reported []string
	noRequired         bool
	lintMode           string
	lintLevels         []string
}

func tenantPolicySetCommand(c *connection) *cobra.Command {
	var f policyFlags
	cmd := &cobra.Command{
		Use: "set", Short: "Change the tenant's policy", Args: noArguments,
		Long: "Changes what is given, and nothing else. It counts on every server from the moment that the command returns.\n\n" +
			"--allow-issuer replaces the list of issuers; one that ends in /* stands for all below that path. Tokens of others are refused with AADSTS700238.\n" +
			"--require and --report-require replace the rules on claims. Tokens without the claim are refused with AADSTS7002381.\n" +
			"Try a rule with --issuers report-only or --report-require first; the metric cambio_policy_reports_total counts whom it would refuse.",
		Example: "  cambio tenant policy set --allow-issuer https://token.actions.githubusercontent.com --issuers report-only\n" +
			"  cambio tenant policy set --issuers enforce\n" +
			"  cambio tenant policy set --require 'https://token.actions.githubusercontent.com enterprise=acme'",
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.issuers, "allow-issuer", nil, "`ISSUER` that is allowed; repeatable")
	flags.BoolVar(&f.anyIssuer, "any-issuer", false, "allow every issuer again")
	flags.StringVar(&f.mode, "issuers", "", "`MODE` of the list of issuers: enforce or report-only")
	flags.StringArrayVar(&f.required, "require", nil, "`RULE` that is enforced, as \"ISSUER CLAIM=VALUE,VALUE\"; repeatable")
	flags.StringArrayVar(&f.reported, "report-require", nil, "`RULE` that is only reported, as \"ISSUER CLAIM=VALUE,VALUE\"; repeatable")
	flags.BoolVar(&f.noRequired, "no-required-claims", false, "require no claims any more")
	flags.StringVar(&f.lintMode, "lint", "", "`MODE` of lint when credentials are written: enforce refuses what a rule blocks, report-only does not")
	flags.StringArrayVar(&f.lintLevels, "lint-level", nil, "grade a rule of lint as `RULE=LEVEL`: block, warn, info or off; repeatable; replaces all grades")
	_ = cmd.RegisterFlagCompletionFunc("lint-level", completeLevels)                                                                                                             // the flag is there
	_ = cmd.RegisterFlagCompletionFunc("lint", cobra.FixedCompletions([]string{string(directory.Enforce), string(directory.ReportOnly)}, cobra.ShellCompDirectiveNoFileComp))    // likewise
	_ = cmd.RegisterFlagCompletionFunc("issuers", cobra.FixedCompletions([]string{string(directory.Enforce), string(directory.ReportOnly)}, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	return c.writing(cmd, func(ctx context.Context, op *operation, _ []string) error {
		if err := f.check(); err != nil {
			return usageError{err}
		}
		t, err := op.Tenant(ctx)
		if err != nil {
			return err
		}
		if err := f.apply(&t.FederationPolicy); err != nil {
			return usageError{err}
		}
		t, err = op.UpdateTenant(ctx, t, map[string]any{"federationPolicy": t.FederationPolicy})
		return op.updated(t.DisplayName, policyTable(t), err)
	})
}

func (f *policyFlags) check() error {
	rules := len(f.required) + len(f.reported)
	switch {
	case len(f.issuers) == 0 && !f.anyIssuer && f.mode == "" && rules == 0 && !f.noRequired && f.lintMode == "" && len(f.lintLevels) == 0:
		return errors.New("say what to change: --allow-issuer, --any-issuer, --issuers, --require, --report-require, --no-required-claims, --lint or --lint-level")
	case f.anyIssuer && len(f.issuers) > 0:
		return errors.New("--any-issuer and --allow-issuer exclude each other")
	case f.noRequired && rules > 0:
		return errors.New("--no-required-claims excludes --require and --report-require")
	case f.mode != "" && f.mode != string(directory.Enforce) && f.mode != string(directory.ReportOnly):
		return fmt.Errorf("--issuers %q must be enforce or report-only", f.mode)
	case f.lintMode != "" && f.lintMode != string(directory.Enforce) && f.lintMode != string(directory.ReportOnly):
		return fmt.Errorf("--lint %q must be enforce or report-only", f.lintMode)
	}
	return nil
}

func (f *policyFlags) apply(p *admin.FederationPolicy) error {
	if len(f.issuers) > 0 {
		p.AllowedIssuers.Issuers = f.issuers
	}
	if f.anyIssuer {
		p.AllowedIssuers = admin.AllowedIssuers{}
	}
	p.AllowedIssuers.Mode = cmp.Or(f.mode, p.AllowedIssuers.Mode)
	p.Lint.Mode = cmp.Or(f.lintMode, p.Lint.Mode)
	if len(f.lintLevels) > 0 {
		levels, err := parseLevels("--lint-level", f.lintLevels)
		if err != nil {
			return err
		}
		p.Lint.Levels = map[string]string{}
		for rule, level := range levels {
			p.Lint.Levels[rule] = string(level)
		}
	}
	if f.noRequired || len(f.required)+len(f.reported) > 0 {
		p.RequiredClaims = nil
	}
	return errors.Join(requireClaims(p, directory.Enforce, f.required), requireClaims(p, directory.ReportOnly, f.reported))
}

func requireClaims(p *admin.FederationPolicy, mode directory.Enforcement, texts []string) error {
	for _, text := range texts {
		rule, err := parseRequiredClaim(text)
		if err != nil {
			return err
		}
		rule.Mode = string(mode)
		p.RequiredClaims = append(p.RequiredClaims, rule)
	}
	return nil
}

func parseRequiredClaim(text string) (admin.RequiredClaim, error) {
	issuer, rest, _ := strings.Cut(text, " ")
	claim, values, ok := strings.Cut(strings.TrimSpace(rest), "=")
	if !ok || issuer == "" || claim == "" || values == "" {
		return admin.RequiredClaim{}, fmt.Errorf("%q is no rule: write it as \"ISSUER CLAIM=VALUE,VALUE\"", text)
	}
	return admin.RequiredClaim{Issuer: issuer, Claim: claim, Values: strings.Split(values, ",")}, nil
}

func policyTable(t admin.Tenant) table {
	federation := "enabled"
	if t.FederationPolicy.Disabled {
		federation = "disabled"
	}
	var raw struct {
		FederationPolicy jsontext.Value `json:"federationPolicy"`
	}
	_ = json.Unmarshal(t.Raw, &raw) // it was read before
	return table{
		head: []string{"Federation", "Allowed issuers", "Required claims", "Lint"},
		rows: [][]string{{federation, allowedIssuersText(t.FederationPolicy.AllowedIssuers), requiredClaimsText(t.FederationPolicy.RequiredClaims), lintText(t)}},
		raw:  []jsontext.Value{raw.FederationPolicy},
	}
}

// lintText says whether lint refuses, and the grades of the tenant's own.
func lintText(t admin.Tenant) string {
	p := t.FederationPolicy.Lint
	mode := p.Mode
	if mode == "" {
		mode = string(directory.Enforce)
		if t.Compat == string(directory.Strict) {
			mode = string(directory.ReportOnly)
		}
	}
	texts := []string{mode}
	for _, rule := range slices.Sorted(maps.Keys(p.Levels)) {
		texts = append(texts, rule+"="+p.Levels[rule])
	}
	return strings.Join(texts, " ")
}

func allowedIssuersText(a admin.AllowedIssuers) string {
	if len(a.Issuers) == 0 {
		return ""
	}
	return strings.Join(a.Issuers, " ") + reportOnlyText(a.Mode)
}

func requiredClaimsText(rules []admin.RequiredClaim) string {
	texts := make([]string, len(rules))
	for i, r := range rules {
		texts[i] = r.Claim + " of " + r.Issuer + " in " + strings.Join(r.Values, ", ") + reportOnlyText(r.Mode)
	}
	return strings.Join(texts, "; ")
}

func reportOnlyText(mode string) string {
	if mode == string(directory.ReportOnly) {
		return " (report-only)"
	}
	return ""
}
