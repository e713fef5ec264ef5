package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"cambio/internal/admin"
	"cambio/internal/directory"
)

func tenantCommand() *cobra.Command {
	cmd := nounCommand("tenant", "The tenant: its compatibility level and its policy",
		"Shows and changes the tenant that you belong to. `cambio bootstrap` makes tenants.", "organization")
	c := connectionFlags(cmd)
	cmd.AddCommand(tenantShowCommand(c), tenantUpdateCommand(c), tenantPolicyCommand(c))
	return cmd
}

func tenantShowCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "show", Short: "Show the tenant", Args: noArguments, Example: "  cambio tenant show\n  cambio tenant show -o json"}
	return c.reading(cmd, func(ctx context.Context, op *operation, _ []string) error {
		t, err := op.Tenant(ctx)
		if err != nil {
			return err
		}
		return printOne(op.out, op.form, tenantTable(t))
	})
}

func tenantUpdateCommand(c *connection) *cobra.Command {
	var compat, federation string
	cmd := &cobra.Command{
		Use: "update", Short: "Change the tenant's compatibility level, or stop federation", Args: noArguments,
		Long: "Changes what is given, and nothing else.\n\n" +
			"--compat strict adds Entra's own limits to what is registered from now on; docs/divergences.md lists them. What is registered already stays and works.\n" +
			"--federation disabled refuses every exchange of the tenant at once, with AADSTS700238; claims that the policy requires stay as they are.",
		Example: "  cambio tenant update --compat strict\n  cambio tenant update --federation disabled",
	}
	cmd.Flags().StringVar(&compat, "compat", "", "compatibility `LEVEL`: relaxed or strict")
	cmd.Flags().StringVar(&federation, "federation", "", "`STATE` of federation: enabled or disabled")
	for name, values := range map[string][]string{"compat": {string(directory.Relaxed), string(directory.Strict)}, "federation": {"enabled", "disabled"}} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // the flags are there
	}
	return c.writing(cmd, func(ctx context.Context, op *operation, _ []string) error {
		switch {
		case compat == "" && federation == "":
			return usageError{errors.New("say what to change: --compat or --federation")}
		case compat != "" && compat != string(directory.Relaxed) && compat != string(directory.Strict):
			return usageError{fmt.Errorf("--compat %q must be relaxed or strict", compat)}
		case federation != "" && federation != "enabled" && federation != "disabled":
			return usageError{fmt.Errorf("--federation %q must be enabled or disabled", federation)}
		}
		t, err := op.Tenant(ctx)
		if err != nil {
			return err
		}
		t, err = op.UpdateTenant(ctx, t, tenantProperties(t, compat, federation))
		return op.updated(t.DisplayName, tenantTable(t), err)
	})
}

// tenantProperties are those of a PATCH of organization. The policy is written
// whole, with what it requires now.
func tenantProperties(t admin.Tenant, compat, federation string) map[string]any {
	properties := map[string]any{}
	if compat != "" {
		properties["compat"] = compat
	}
	if federation != "" {
		policy := t.FederationPolicy
		policy.Disabled = federation == "disabled"
		properties["federationPolicy"] = policy
	}
	return properties
}

func tenantTable(t admin.Tenant) table {
	var domains []string
	for _, d := range t.Domains {
		domains = append(domains, d.Name)
	}
	federation := "enabled"
	if t.FederationPolicy.Disabled {
		federation = "disabled"
	}
	return table{
		head: []string{"Name", "Tenant id", "Domains", "Compat", "Federation", "Allowed issuers", "Required claims"},
		rows: [][]string{{t.DisplayName, t.ID, strings.Join(domains, " "), t.Compat, federation, allowedIssuersText(t.FederationPolicy.AllowedIssuers), requiredClaimsText(t.FederationPolicy.RequiredClaims)}},
		raw:  []jsontext.Value{t.Raw},
	}
}
