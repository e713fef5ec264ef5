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
	"cambio/internal/trail"
)

// auditSource says whose audit trail a command is about.
type auditSource struct{ config, state string }

func (s *auditSource) flags(cmd *cobra.Command) {
	configFlag(cmd, &s.config)
	cmd.Flags().StringVar(&s.state, "state", "", "state `folder` of a development server, instead of a configuration")
}

// load is the configuration that says where the trail and its key are.
func (s *auditSource) load() (config.Config, error) {
	cfg := config.Default()
	switch {
	case s.config != "" && s.state != "":
		return cfg, usageError{errors.New("--config and --state exclude each other")}
	case s.state != "":
		cfg.Database.Path = filepath.Join(s.state, "cambio.db")
		cfg.Keys.EncryptionKeyFile = filepath.Join(s.state, "key-encryption.key")
		return cfg, nil
	case s.config == "":
		return cfg, usageError{errors.New("say whose audit trail: --config FILE, or --state DIR of a development server")}
	}
	return loadConfig(s.config)
}

// with opens the database for do.
func (s *auditSource) with(ctx context.Context, do func(config.Config, *store.DB) error) error {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	if err := installed(ctx, cfg); err != nil {
		return err
	}
	db, err := store.Open(storeConfig(cfg, logger(config.Log{Level: "warn"})))
	if err != nil {
		return err
	}
	err = do(cfg, db)
	return errors.Join(err, db.Close())
}

type auditFlags struct {
	auditSource
	after  int64
	follow bool
}

func auditCommand() *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use: "audit", Short: "Print the audit trail as JSON lines", Args: noArguments,
		Long: "Prints one JSON object for each decision of the token endpoint and each management write: {\"id\", \"at\", \"kind\", \"hash\", \"detail\"}, chain by chain, each in its order.\n" +
			"It reads the database of the configuration, or of a development server's state folder, whether or not the server is running.",
		Example: "  cambio audit --config config.yaml --after 1099511629000\n  cambio audit --state ~/.local/state/cambio/dev --follow",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.with(cmd.Context(), func(_ config.Config, db *store.DB) error { return f.print(cmd.Context(), cmd.OutOrStdout(), db) })
		},
	}
	f.flags(cmd)
	cmd.Flags().Int64Var(&f.after, "after", 0, "begin after the record with this id")
	cmd.Flags().BoolVar(&f.follow, "follow", false, "go on with new records until interrupted")
	cmd.AddCommand(auditVerifyCommand(), auditCheckpointCommand(), auditKeyCommand())
	return cmd
}

func (f *auditFlags) print(ctx context.Context, out io.Writer, db *store.DB) error {
	write := func(records []store.AuditRecord) error {
		var lines []byte
		for i := range records {
			lines = trail.AppendLine(lines, &records[i])
		}
		_, err := out.Write(lines)
		return err
	}
	at := trail.Position{}
	for after := f.after; ; {
		records, err := db.AuditRecords(ctx, after, 1000)
		if err == nil && len(records) > 0 {
			after = records[len(records)-1].ID
			at.Pass(records)
			err = write(records)
		}
		if err != nil {
			return err
		}
		if len(records) == 0 {
			break
		}
	}
	if !f.follow {
		return nil
	}
	at.Skip(f.after)
	for {
		if err := trail.Follow(ctx, db, at, write); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// auditTrail is what signs checkpoints of a configuration's trail.
func auditTrail(cfg config.Config, db *store.DB) (trail.Config, error) {
	t := trail.Config{DB: db, Clock: time.Now, Log: logger(cfg.Log), CheckpointEvery: cfg.Audit.CheckpointEvery, Retain: cfg.Audit.Retain, MaxRecords: cfg.Audit.MaxRecords}
	key, err := auditKey(cfg)
	if err != nil {
		return t, err
	}
	t.Key = key
	t.Exports, err = auditExports(cfg.Audit)
	return t, err
}

// auditExports is where a configuration has the trail exported to.
func auditExports(cfg config.Audit) (exports []trail.Export, err error) {
	if cfg.ExportFile != "" {
		exports = append(exports, trail.ToFile(cfg.ExportFile))
	}
	if cfg.OTLPEndpoint != "" {
		roots, err := readPEM("audit.otlp_ca_file", cfg.OTLPCAFile)
		if err != nil {
			return nil, err
		}
		client, err := trail.NewOTLPClient(roots)
		if err != nil {
			return nil, err
		}
		exports = append(exports, trail.ToOTLP(cfg.OTLPEndpoint, client))
	}
	return exports, nil
}

// keepTrail keeps the audit trail until the returned function is called, which
// waits for the last checkpoint.
func keepTrail(ctx context.Context, cfg config.Config, db *store.DB) (k *trail.Keeper, stop func(), err error) {
	t, err := auditTrail(cfg, db)
	if err != nil {
		return nil, nil, err
	}
	k = trail.New(t)
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() { defer close(done); k.Run(ctx) }()
	return k, func() { cancel(); <-done }, nil
}

func auditCheckpointCommand() *cobra.Command {
	var source auditSource
	var anew bool
	cmd := &cobra.Command{
		Use: "checkpoint", Short: "Sign how far the audit trail has come, and print that", Args: noArguments,
		Long: "Signs a checkpoint, if there are new records since the last one, and prints the newest. Keep what is printed where those who can write to the database cannot: `cambio audit verify --checkpoint FILE` then finds out if the trail was put back to an earlier state.\n\n" +
			"It signs only what continues what was attested to before. If the trail does not, somebody changed it: nothing is signed, and it ends with 7.\n\n" +
			"--anew begins again once that was investigated: everything up to now is given up. Those records stay as long as records are kept, but nobody vouches for them any more; checkpoints from before do not count. What is given up is said, an audit record says that it was done, and each later verification says since when. Keep a copy of the database first. If a running server's records were changed, restart that server before.",
		Example: "  cambio audit checkpoint --config /etc/cambio/config.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return source.with(cmd.Context(), func(cfg config.Config, db *store.DB) error {
				if anew {
					return beginAnew(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), cfg, db)
				}
				return printCheckpoint(cmd.Context(), cmd.OutOrStdout(), cfg, db)
			})
		},
	}
	source.flags(cmd)
	cmd.Flags().BoolVar(&anew, "anew", false, "give up what was attested to up to now, and begin again")
	return cmd
}

func auditKeyCommand() *cobra.Command {
	var source auditSource
	cmd := &cobra.Command{
		Use: "key", Short: "Print the public key that checkpoints are verified with", Args: noArguments,
		Long: "Prints the public key (Ed25519, base64) that belongs to the key-encryption key. With it `cambio audit verify --public-key` works for somebody who does not have the key-encryption key.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := source.load()
			if err != nil {
				return err
			}
			key, err := auditKey(cfg)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), publicText(key))
			return err
		},
	}
	source.flags(cmd)
	return cmd
}
