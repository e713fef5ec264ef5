package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"cambio/internal/lint"
)

func credentialUsageCommand(c *connection) *cobra.Command {
	var since string
	var unused bool
	cmd := &cobra.Command{Use: "usage", Short: "Show how credentials were used", Args: noArguments,
		Long: "Shows for each credential of the tenant, from the audit trail, how many tokens it matched, when the last one came, and which different values the claims of those tokens had, the claims that the credential ignores included. -o json has all values, up to 20 of each claim. It takes AuditLog.Read.All, and goes back as far as the trail does.\n\n" +
			"`cambio lint --since 90d` draws the conclusions: credentials that are not used, and narrower ones that would have been enough.",
		Example: "  cambio credential usage\n  cambio credential usage --since 90d --unused\n  cambio credential usage -o json"}
	cmd.Flags().StringVar(&since, "since", "90d", "how far back, as a `TIME` such as 7d, 12h or 2026-11-01T00:00:00Z")
	cmd.Flags().BoolVar(&unused, "unused", false, "only those that no token has matched")
	return c.reading(cmd, func(ctx context.Context, op *operation, _ []string) error {
		in := &lint.Input{Levels: lint.Levels{}}
		if err := ofTenant(ctx, op.Client, in); err != nil {
			return err
		}
		usage, err := usageOf(cmd, op.Client, since, in.Clients)
		if err != nil {
			return err
		}
		t, err := usageTable(usage, in.Clients, unused)
		if err != nil {
			return err
		}
		return printList(op.out, op.form, t)
	})
}

func usageTable(usage []lint.Usage, clients []lint.Client, unused bool) (table, error) {
	names := map[string]string{}
	for i := range clients {
		names[clients[i].ID] = clients[i].Name
	}
	t := table{head: []string{"Client", "Credential", "Tokens", "Last", "Claims"}}
	for i := range usage {
		u := &usage[i]
		if unused && u.Count > 0 {
			continue
		}
		raw, err := json.Marshal(u)
		if err != nil {
			return t, err
		}
		last := "never"
		if !u.Last.IsZero() {
			last = u.Last.Format(time.RFC3339)
		}
		t.raw = append(t.raw, jsontext.Value(raw))
		t.rows = append(t.rows, []string{names[u.Client], u.Credential, fmt.Sprint(u.Count), last, claimsText(u.Claims)})
	}
	return t, nil
}

// claimsText says the only value of a claim, or how many it had.
func claimsText(claims []lint.ClaimUse) string {
	var texts []string
	for _, c := range claims {
		switch {
		case len(c.Values) == 1 && !c.More:
			texts = append(texts, c.Name+"="+c.Values[0])
		case c.More:
			texts = append(texts, fmt.Sprintf("%s: more than %d", c.Name, len(c.Values)))
		default:
			texts = append(texts, fmt.Sprintf("%s: %d different", c.Name, len(c.Values)))
		}
	}
	return strings.Join(texts, ", ")
}
