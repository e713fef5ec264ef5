package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"cambio/internal/config"
	"cambio/internal/store"
)

type auditFlags struct {
	config, state string
	after         int64
	follow        bool
}

func auditCommand() *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use: "audit", Short: "Print the audit trail as JSON lines", Args: noArguments,
		Long: "Prints one JSON object for each decision of the token endpoint and each management write, oldest first: {\"id\", \"kind\", \"detail\"}.\n" +
			"It reads the database of the configuration, or of a development server's state folder, whether or not the server is running.",
		Example: "  cambio audit --config config.yaml --after 1200\n  cambio audit --state ~/.local/state/cambio/dev --follow",
		RunE:    func(cmd *cobra.Command, _ []string) error { return printAudit(cmd.Context(), cmd.OutOrStdout(), f) },
	}
	configFlag(cmd, &f.config)
	cmd.Flags().StringVar(&f.state, "state", "", "state folder of a development server, instead of a configuration")
	cmd.Flags().Int64Var(&f.after, "after", 0, "begin after the record with this id")
	cmd.Flags().BoolVar(&f.follow, "follow", false, "go on with new records until interrupted")
	return cmd
}

// database is the one that is asked for.
func (f *auditFlags) database() (config.Config, error) {
	cfg := config.Default()
	switch {
	case f.config != "" && f.state != "":
		return cfg, usageError{errors.New("--config and --state exclude each other")}
	case f.state != "":
		cfg.Database.Path = filepath.Join(f.state, "cambio.db")
		return cfg, nil
	case f.config == "":
		return cfg, usageError{errors.New("say whose audit trail: --config FILE, or --state DIR of a development server")}
	}
	return loadConfig(f.config)
}

func printAudit(ctx context.Context, out io.Writer, f auditFlags) error {
	cfg, err := f.database()
	if err != nil {
		return err
	}
	if err := installed(ctx, cfg); err != nil {
		return err
	}
	db, err := store.Open(storeConfig(cfg, logger("warn")))
	if err != nil {
		return err
	}
	err = copyAudit(ctx, out, db, f)
	return errors.Join(err, db.Close())
}

func copyAudit(ctx context.Context, out io.Writer, db *store.DB, f auditFlags) error {
	for after := f.after; ; {
		records, err := db.AuditRecords(ctx, after, 1000)
		if err != nil {
			return err
		}
		for _, r := range records {
			after = r.ID
			if _, err := fmt.Fprintf(out, "{\"id\":%d,\"kind\":%q,\"detail\":%s}\n", r.ID, r.Kind, r.Detail); err != nil {
				return err
			}
		}
		if len(records) > 0 {
			continue
		}
		if !f.follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}
