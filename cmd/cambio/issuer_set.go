package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"cambio/internal/admin"
)

func issuerSetCommand(c *connection) *cobra.Command {
	cmd := nounCommand("set", "Sets of issuers, which a credential can name in place of one",
		"Manages named sets of issuers. A credential that names one (`cambio credential create --issuer-set NAME`) trusts the tokens of each member, within the member's time: a cluster that is rebuilt under another issuer is one edit.")
	cmd.AddCommand(issuerSetListCommand(c), issuerSetPutCommand(c), issuerSetDeleteCommand(c))
	return cmd
}

func issuerSetListCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the sets of issuers", Args: noArguments, Example: "  cambio issuer set list"}
	return c.reading(cmd, func(ctx context.Context, op *operation, _ []string) error {
		sets, err := op.IssuerSets(ctx)
		if err != nil {
			return err
		}
		t := table{head: []string{"Name", "Members"}, raw: []jsontext.Value{}}
		for _, s := range sets {
			var members []string
			for _, m := range s.Members {
				members = append(members, memberText(m))
			}
			t.rows, t.raw = append(t.rows, []string{s.Name, strings.Join(members, " ")}), append(t.raw, s.Raw)
		}
		return op.list(t)
	})
}

func issuerSetPutCommand(c *connection) *cobra.Command {
	var texts []string
	cmd := &cobra.Command{
		Use: "put NAME", Short: "Make a set of issuers, or replace its members", Args: oneArgument("set"),
		Long: "Makes a set with exactly these members, or replaces the members of one that exists, in one step: no exchange fails between, and none of a member that was removed succeeds after this returned.\n\n" +
			"A member is an issuer, byte for byte. Behind commas it can have a time: notBefore=TIME and notAfter=TIME, as 2027-01-31T12:00:00Z.",
		Example: "  cambio issuer set put clusters --member https://cluster-1.example.net --member https://cluster-2.example.net\n" +
			"  cambio issuer set put clusters --member https://cluster-1.example.net,notAfter=2027-01-31T12:00:00Z --member https://cluster-2.example.net",
	}
	cmd.Flags().StringArrayVar(&texts, "member", nil, "`ISSUER` of the set; repeatable; without any the set is empty")
	return c.writingQuietly(cmd, func(ctx context.Context, op *operation, args []string) error {
		var members []admin.IssuerSetMember
		for _, text := range texts {
			m, err := parseMember(text)
			if err != nil {
				return err
			}
			members = append(members, m)
		}
		err := op.PutIssuerSet(ctx, args[0], members)
		if err == nil && !op.dryRun {
			op.note("The set %s has %d members now.", args[0], len(members))
		}
		return err
	})
}

func issuerSetDeleteCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "Delete a set of issuers", Args: oneArgument("set"),
		Long:    "Deletes a set. Credentials that name it stay, and trust nobody.",
		Example: "  cambio issuer set delete clusters --yes",
	}
	return c.deleting(cmd, func(ctx context.Context, op *operation, args []string) error {
		if err := op.confirm("the set of issuers " + args[0] + "; credentials that name it trust nobody then"); err != nil {
			return err
		}
		return op.deleted("the set of issuers "+args[0], op.DeleteIssuerSet(ctx, args[0]))
	})
}

// parseMember reads ISSUER[,notBefore=TIME][,notAfter=TIME]. An issuer with a
// comma is read whole as long as what follows is no such time.
func parseMember(text string) (m admin.IssuerSetMember, err error) {
	for {
		at := strings.LastIndexByte(text, ',')
		if at < 0 {
			break
		}
		name, value, isTime := strings.Cut(text[at+1:], "=")
		switch {
		case isTime && name == "notBefore" && m.NotBefore == "":
			m.NotBefore = value
		case isTime && name == "notAfter" && m.NotAfter == "":
			m.NotAfter = value
		case isTime:
			return m, usageError{fmt.Errorf("--member %q: behind an issuer stand notBefore=TIME and notAfter=TIME, each once", text)}
		default:
			m.Issuer = text
			return m, nil
		}
		text = text[:at]
	}
	m.Issuer = text
	return m, nil
}

func memberText(m admin.IssuerSetMember) string {
	text := m.Issuer
	if m.NotBefore != "" {
		text += ",notBefore=" + m.NotBefore
	}
	if m.NotAfter != "" {
		text += ",notAfter=" + m.NotAfter
	}
	return text
}
