package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"cambio/internal/store"
)

func migrateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "migrate", Short: "Move an installation to another kind of database", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(migrateToPostgresCommand())
	return cmd
}

func migrateToPostgresCommand() *cobra.Command {
	var file, from string
	cmd := &cobra.Command{
		Use: "sqlite-to-postgres", Short: "Copy an SQLite database to an empty one of PostgreSQL", Args: noArguments,
		Long: "Copies everything in an SQLite database to the PostgreSQL database that a configuration names: tenants, applications, identities, credentials, assignments, signing keys, the audit trail with its hashes. All of it is copied in one transaction, or nothing.\n\n" +
			"The server must be stopped, and the target must be empty. The key-encryption key stays what it is: give every server that uses the database the same one. The SQLite file is left as it was; keep it until the servers have run for a while.",
		Example: "  cambio migrate sqlite-to-postgres --from /var/lib/cambio/cambio.db --config /etc/cambio/postgres.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return migrateToPostgres(cmd.Context(), cmd.OutOrStdout(), file, from)
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().StringVar(&from, "from", "", "`FILE` of the SQLite database (required)")
	_ = cmd.MarkFlagFilename("from") // the flag is there
	return cmd
}

func migrateToPostgres(ctx context.Context, out io.Writer, file, from string) error {
	cfg, err := loadConfig(file)
	if err != nil {
		return err
	}
	if err := required([2]string{"from", from}); err != nil {
		return err
	}
	if cfg.Database.DSN == "" {
		return usageError{fmt.Errorf("%s names no PostgreSQL database; write database.dsn in place of database.path, or set CAMBIO_DATABASE_DSN", file)}
	}
	if there, err := store.Exists(ctx, store.Config{Path: from}); err != nil || !there {
		return errors.Join(err, fmt.Errorf("there is no database at %s", from))
	}
	var total int64
	err = store.Transfer(ctx, from, storeConfig(cfg, logger(cfg.Log)), func(table string, rows int64) {
		total += rows
		_, _ = fmt.Fprintf(out, "%-22s %10d\n", table, rows) // a closed terminal is nobody's error
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "Copied %d rows. Start servers with %s; %s is left as it was.\n", total, file, from)
	return err
}
