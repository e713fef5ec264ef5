package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"cambio/internal/bulk"
	"cambio/internal/server"
	"cambio/internal/store"
)

func loadCommand() *cobra.Command {
	var file, tenant, from string
	cmd := &cobra.Command{
		Use: "load", Short: "Register very many clients at once", Args: noArguments,
		Long: "Reads applications as lines of JSON and writes them to the database of a configuration, each with its service principal, its credentials and its app role assignments. For thousands of clients `cambio apply` is better; this is for millions: it takes minutes where requests take days.\n\n" +
			"A line has displayName; optionally appId, uniqueName, description, tags; credentials, each with name, issuer, subject (or claimsMatchingExpression with value and languageVersion), audiences and optionally description; assignments, each with resource (an identifier URI or appId) and role (its value; empty for default access). Resources must be there already. Values are held to the same rules as in the management APIs; nothing that exists is changed.\n\n" +
			"On SQLite the server must be stopped. On PostgreSQL servers may go on; a transaction of some 20,000 objects keeps their other management writes waiting for about a second. After an interruption the same command goes on where it stopped: how far an input was loaded is kept in the database. Each transaction has one audit record, with the lines, the counts and the SHA-256 of the input up to there, in place of one record for each object: those would be half of the database. Keep the input: together they say what was registered.",
		Example: "  cambio load --config /etc/cambio/config.yaml --tenant example.net --file clients.jsonl",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required([2]string{"tenant", tenant}, [2]string{"file", from}); err != nil {
				return err
			}
			in := cmd.InOrStdin()
			if from != "-" {
				f, err := os.Open(from)
				if err != nil {
					return err
				}
				defer f.Close()
				in = f
			}
			return load(cmd.Context(), in, cmd.OutOrStdout(), cmd.ErrOrStderr(), file, tenant)
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().StringVar(&tenant, "tenant", "", "`ID` or domain of the tenant (required)")
	cmd.Flags().StringVar(&from, "file", "", "`FILE` of lines of JSON; - reads standard input (required)")
	return cmd
}

func load(ctx context.Context, in io.Reader, out, progress io.Writer, file, tenant string) error {
	cfg, err := loadConfig(file)
	if err != nil {
		return err
	}
	if err := installed(ctx, cfg); err != nil {
		return err
	}
	issuers, _, err := issuerConfig(cfg.Issuers)
	if err != nil {
		return err
	}
	allowed, err := server.IssuerCheck(cfg.BaseURL, issuers)
	if err != nil {
		return err
	}
	lock, err := lockDatabase(cfg)
	if err != nil {
		return err
	}
	defer lock.Close()
	db, err := store.Open(storeConfig(cfg, logger(cfg.Log)))
	if err != nil {
		return err
	}
	began, shown := time.Now(), time.Now()
	loader, err := bulk.New(ctx, db, tenant, allowed, func(t bulk.Total) {
		if time.Since(shown) > 5*time.Second {
			shown = time.Now()
			_, _ = fmt.Fprintf(progress, "%d applications, %d credentials, %.0f s\n", t.Lines, t.Credentials, time.Since(began).Seconds()) // a closed terminal is nobody's error
		}
	})
	if err != nil {
		return errors.Join(err, db.Close())
	}
	total, err := loader.Load(ctx, in)
	err = errors.Join(err, db.Close())
	_, printErr := fmt.Fprintf(out, "Loaded %d applications, %d credentials and %d assignments in %.0f s; %d lines were loaded before.\n",
		total.Lines-total.Skipped, total.Credentials, total.Assignments, time.Since(began).Seconds(), total.Skipped)
	if err != nil {
		return fmt.Errorf("%w\nWhat was loaded stays; mend the input after line %d and run the same command again", err, total.Lines)
	}
	return printErr
}
