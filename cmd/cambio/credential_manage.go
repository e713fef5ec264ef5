package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"cambio/internal/admin"
	"cambio/internal/profile"
)

func credentialListCommand(c *connection) *cobra.Command {
	var holder holderFlags
	cmd := &cobra.Command{Use: "list", Short: "List the credentials of an application or managed identity", Args: noArguments,
		Example: "  cambio credential list --app shop-api\n  cambio credential list --identity shop -o json"}
	holder.add(cmd, c)
	return c.reading(cmd, func(ctx context.Context, op *operation, _ []string) error {
		h, err := holder.find(ctx, op.Client)
		if err != nil {
			return err
		}
		all, err := op.Credentials(ctx, h)
		if err != nil {
			return err
		}
		t := table{head: []string{"NAME", "ISSUER", "SUBJECT OR EXPRESSION"}}
		for _, cr := range all {
			rule := cr.Subject
			if cr.Expression != nil {
				rule = cr.Expression.Value
			}
			t.rows = append(t.rows, []string{cr.Name, cr.Issuer, rule})
			t.raw = append(t.raw, cr.Raw)
		}
		return op.list(t)
	})
}

// credentialNames completes the names of the credentials of the holder that
// the flags name.
func credentialNames(holder *holderFlags) lister {
	return func(ctx context.Context, c *admin.Client) ([]string, error) {
		h, err := holder.find(ctx, c)
		if err != nil {
			return nil, err
		}
		all, err := c.Credentials(ctx, h)
		return namesOf(all, err, func(cr admin.Credential) string { return cr.Name })
	}
}

func credentialShowCommand(c *connection) *cobra.Command {
	var holder holderFlags
	cmd := &cobra.Command{Use: "show NAME", Short: "Show a credential", Args: oneArgument("NAME"), ValidArgsFunction: c.argumentNames(credentialNames(&holder)),
		Example: "  cambio credential show main --app shop-api"}
	holder.add(cmd, c)
	return c.reading(cmd, func(ctx context.Context, op *operation, args []string) error {
		h, err := holder.find(ctx, op.Client)
		if err != nil {
			return err
		}
		cr, err := op.Credential(ctx, h, args[0])
		return op.show(credentialTable(cr), err)
	})
}

func credentialUpdateCommand(c *connection) *cobra.Command {
	var holder holderFlags
	var definition definitionFlags
	var ceilings ceilingFlags
	var override reasonsFlag
	cmd := &cobra.Command{Use: "update NAME", Short: "Change a credential", Args: oneArgument("NAME"), ValidArgsFunction: c.argumentNames(credentialNames(&holder)),
		Long: "Changes the properties that are given, and no others. --audience replaces all audiences; --subject and --claims-matching-expression replace each other.\n\n" +
			"--disable, --report-only, --not-before, --not-after, --roles, --resources, --max-lifetime and --source are ceilings: they bound what the credential can be used for, whatever its client may do. An empty value lifts one.",
		Example: "  cambio credential update main --app shop-api --subject repo:acme/shop:environment:prod"}
	holder.add(cmd, c)
	definition.add(cmd)
	ceilings.add(cmd)
	override.add(cmd)
	return c.writing(cmd, func(ctx context.Context, op *operation, args []string) error {
		if err := override.give(op.Client); err != nil {
			return err
		}
		h, err := holder.find(ctx, op.Client)
		if err != nil {
			return err
		}
		have, err := op.Credential(ctx, h, args[0])
		if err != nil {
			return err
		}
		want, err := definition.change(cmd, have, h)
		if err != nil {
			return err
		}
		if err := ceilings.change(cmd, &want); err != nil {
			return err
		}
		op.noteProposal(profile.Review(want.Issuer, want.Subject))
		now, outcome, err := op.UpdateCredential(ctx, h, have, want)
		if err == nil && outcome == admin.Unchanged {
			op.note("Unchanged: the credential is like this already.")
			return op.show(credentialTable(now), nil)
		}
		return op.updated("the credential "+now.Name, credentialTable(now), err)
	})
}

// change applies the flags that were given to a credential.
func (f *definitionFlags) change(cmd *cobra.Command, have admin.Credential, h admin.Holder) (admin.Credential, error) {
	want, changed := have, cmd.Flags().Changed
	if !changed("issuer") && !changed("issuer-set") && !changed("subject") && !changed("audience") && !changed("description") && !changed("claims-matching-expression") && !ceilingsChanged(cmd) {
		return want, usageError{errors.New("say what to change: --issuer, --subject, --claims-matching-expression, --audience, --description or a ceiling such as --disable")}
	}
	if changed("subject") && changed("claims-matching-expression") {
		return want, usageError{errors.New("--subject and --claims-matching-expression exclude each other")}
	}
	if changed("description") && !h.HasDescription() {
		return want, usageError{errors.New("credentials of managed identities have no description")}
	}
	if changed("issuer") || changed("issuer-set") {
		issuer, err := f.issuerOrSet()
		if err != nil {
			return want, err
		}
		want.Issuer = issuer
	}
	if changed("subject") {
		want.Subject, want.Expression = f.subject, nil
	}
	if changed("claims-matching-expression") {
		want.Subject, want.Expression = "", &admin.Expression{Value: f.expression, LanguageVersion: 1}
	}
	if changed("audience") {
		want.Audiences = f.audiences
	}
	if changed("description") {
		want.Description = f.description
	}
	return want, nil
}

func credentialDeleteCommand(c *connection) *cobra.Command {
	var holder holderFlags
	cmd := &cobra.Command{Use: "delete NAME", Short: "Trust these tokens no longer", Args: oneArgument("NAME"), ValidArgsFunction: c.argumentNames(credentialNames(&holder)),
		Long:    "Deletes a credential. No exchange that begins after it returned succeeds with it; access tokens that were issued before live until they end.",
		Example: "  cambio credential delete main --app shop-api --yes"}
	holder.add(cmd, c)
	return c.deleting(cmd, func(ctx context.Context, op *operation, args []string) error {
		h, err := holder.find(ctx, op.Client)
		if err != nil {
			return err
		}
		what := fmt.Sprintf("the credential %s of %s", args[0], h.Name)
		if err := op.confirm(what); err != nil {
			return err
		}
		return op.deleted(what, op.DeleteCredential(ctx, h, args[0]))
	})
}
