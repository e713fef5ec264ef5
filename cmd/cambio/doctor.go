package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"cambio/internal/diagnosis"
)

func doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "doctor", Short: "Find out why this machine cannot sign in", Args: noArguments,
		Long: "Checks step by step, from this machine, what a client needs: the settings, the server and its certificate, the clocks, discovery, the token, signing in, and the roles that it holds. " +
			"Each line says ok, warn or fail, and what to do. It changes nothing, and ends with code 1 when a check fails.",
		Example: "  cambio doctor\n  cambio doctor --authority https://sts.example.net --client-id ID --federated-token-file /var/run/secrets/tokens/cambio",
	}
	c := connectionFlagsIn(cmd.Flags()) // not those of `doctor pod`, which asks a cluster
	var form string
	outputFlag(cmd, &form)
	cmd.AddCommand(doctorPodCommand())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkForm(form); err != nil {
			return err
		}
		return diagnose(cmd.Context(), cmd.OutOrStdout(), form, c)
	}
	return cmd
}

func diagnose(ctx context.Context, out io.Writer, form string, c *connection) error {
	client, err := c.client(nil)
	if err != nil {
		return err
	}
	return report(out, form, client.Diagnose(ctx))
}

// report prints the checks, and is an error if any failed.
func report(out io.Writer, form string, checks []diagnosis.Check) error {
	if err := printChecks(out, form, checks); err != nil {
		return err
	}
	switch failed := diagnosis.Failures(checks); failed {
	case 0:
		return nil
	case 1:
		return errors.New("one check failed")
	default:
		return fmt.Errorf("%d checks failed", failed)
	}
}

func printChecks(out io.Writer, form string, checks []diagnosis.Check) error {
	if form != formTable {
		t := table{}
		for _, k := range checks {
			raw, err := json.Marshal(k)
			if err != nil {
				return err
			}
			t.raw = append(t.raw, jsontext.Value(raw))
			t.rows = append(t.rows, []string{k.Name, string(k.Result), k.Found, k.Remedy})
		}
		return printList(out, form, t)
	}
	for _, k := range checks {
		if _, err := fmt.Fprintf(out, "%-4s  %-9s  %s\n", k.Result, k.Name, cell(k.Found)); err != nil {
			return err
		}
		if k.Remedy != "" {
			if _, err := fmt.Fprintf(out, "%17s→ %s\n", "", cell(k.Remedy)); err != nil {
				return err
			}
		}
	}
	return nil
}
