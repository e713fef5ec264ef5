package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"cambio/internal/config"
	"cambio/internal/keys"
	"cambio/internal/store"
)

func backupCommand() *cobra.Command {
	var file, to string
	var force bool
	cmd := &cobra.Command{
		Use: "backup", Short: "Copy the database to a file, while the server runs", Args: noArguments,
		Long: "Writes the database of the configuration to one file, as it is at one moment, whether or not the server is running. The file has mode 0600, is checked, and appears under its name only when it is complete and durable.\n\n" +
			"The key-encryption key is not in it. Keep a copy of that apart from the backups: without it a backup's signing keys cannot be read.",
		Example: "  cambio backup --config /etc/cambio/config.yaml --to /backup/cambio-2026-10-31.db",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(file)
			if err != nil {
				return err
			}
			if err := required([2]string{"to", to}); err != nil {
				return err
			}
			if err := onlySQLite(cfg, "Back that up with pg_dump or pg_basebackup, as docs/backup.md says."); err != nil {
				return err
			}
			return runBackup(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), cfg, to, force)
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().StringVar(&to, "to", "", "`FILE` to write (required)")
	cmd.Flags().BoolVar(&force, "force", false, "replace the file if it exists")
	_ = cmd.MarkFlagFilename("to") // the flag is there
	return cmd
}

func runBackup(ctx context.Context, out, notes io.Writer, cfg config.Config, to string, force bool) error {
	p := &progress{out: notes, visible: isTerminal(notes), began: time.Now()}
	s, err := store.Backup(ctx, cfg.Database.Path, to, store.BackupOptions{Overwrite: force, Progress: p.show})
	p.end()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "Wrote %s: %s, schema version %d, change %d.\nThe key-encryption key (%s) is not in it; keep a copy of it apart from the backups.\n",
		to, size(s.Bytes), s.Schema, s.Feed, keySource(cfg))
	return err
}

// keySource is where the key-encryption key comes from.
func keySource(cfg config.Config) string {
	if cfg.Keys.EncryptionKeyFile == "" {
		return keys.EncryptionKeyEnv
	}
	return cfg.Keys.EncryptionKeyFile
}

type restoreFlags struct {
	config, from string
	skipKeys     bool
}

func restoreCommand() *cobra.Command {
	var f restoreFlags
	cmd := &cobra.Command{
		Use: "restore", Short: "Put a backup in the place of the database", Args: noArguments,
		Long: "Puts a file that `cambio backup` wrote in the place of the database of the configuration. The server must be stopped. The backup is copied and checked first, all of it, and so is that the key-encryption key reads its signing keys; the database that was there is kept beside the restored one.\n\n" +
			"What was changed since the backup is undone: a credential that was deleted since is trusted again. The audit trail of the database that was kept aside says what that is.",
		Example: "  cambio restore --config /etc/cambio/config.yaml --from /backup/cambio-2026-10-31.db",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(f.config)
			if err != nil {
				return err
			}
			if err := required([2]string{"from", f.from}); err != nil {
				return err
			}
			if err := onlySQLite(cfg, "Restore that with pg_restore, as docs/backup.md says."); err != nil {
				return err
			}
			return f.run(cmd.Context(), cmd.OutOrStdout(), cfg)
		},
	}
	configFlag(cmd, &f.config)
	cmd.Flags().StringVar(&f.from, "from", "", "`FILE` that `cambio backup` wrote (required)")
	cmd.Flags().BoolVar(&f.skipKeys, "skip-key-check", false, "restore although the key-encryption key may not read the signing keys; cambio keys remove then takes them out")
	_ = cmd.MarkFlagFilename("from") // the flag is there
	return cmd
}

func (f *restoreFlags) run(ctx context.Context, out io.Writer, cfg config.Config) error {
	r, err := store.PrepareRestore(ctx, f.from, cfg.Database.Path)
	if err != nil {
		return err
	}
	if err := f.finish(ctx, cfg, r.Path); err != nil {
		return errors.Join(err, r.Close())
	}
	aside, err := r.Install(time.Now())
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "Restored %s from %s: %s, schema version %d, change %d.\n", cfg.Database.Path, f.from, size(r.Snapshot.Bytes), r.Snapshot.Schema, r.Snapshot.Feed)
	if err == nil && aside != "" {
		_, err = fmt.Fprintf(out, "The database that was there is kept as %s; what was changed since the backup is in it alone. Remove it when nobody needs it.\n", aside)
	}
	return err
}

// finish opens the copy as the server will, which brings its schema up to
// date, checks that its keys can be read, and records the restoration in its
// audit trail: the one thing that is not as it was.
func (f *restoreFlags) finish(ctx context.Context, cfg config.Config, path string) error {
	db, err := store.Open(store.Config{Path: path, Logger: logger(cfg.Log)})
	if err != nil {
		return err
	}
	if !f.skipKeys {
		err = checkKeys(ctx, cfg, db)
	}
	if err == nil {
		err = db.Write(ctx, store.Change{Via: "restore", Action: "database.restore", Target: f.from}, func(*store.Tx) error { return nil })
	}
	return errors.Join(err, db.Close())
}

func checkKeys(ctx context.Context, cfg config.Config, db *store.DB) error {
	kek, err := keys.LoadEncryptionKey(cfg.Keys.EncryptionKeyFile)
	if err == nil {
		err = keys.Check(ctx, keys.Config{DB: db, KEK: kek, Clock: time.Now})
	}
	if err != nil {
		return fmt.Errorf("nothing was changed: the key-encryption key (%s) does not read the signing keys of this backup: %w. If no copy of that key is left, restore with --skip-key-check", keySource(cfg), err)
	}
	return nil
}

// size writes a number of bytes for people.
func size(bytes int64) string {
	const mebi = 1 << 20
	if bytes < mebi {
		return fmt.Sprintf("%d KiB", (bytes+1023)/1024)
	}
	return fmt.Sprintf("%.1f MiB", float64(bytes)/mebi)
}

// progress shows on a terminal how far a copy has come, once it takes longer
// than a second.
type progress struct {
	out     io.Writer
	visible bool
	began   time.Time
	shown   time.Time
}

func (p *progress) show(done, total int64) {
	now := time.Now()
	if !p.visible || total == 0 || now.Sub(p.began) < time.Second || now.Sub(p.shown) < 200*time.Millisecond {
		return
	}
	p.shown = now
	_, _ = fmt.Fprintf(p.out, "\r%3d %% of %s ", done*100/total, size(total)) // a closed terminal is nobody's error
}

// end clears the line.
func (p *progress) end() {
	if !p.shown.IsZero() {
		_, _ = fmt.Fprint(p.out, "\r\033[K")
	}
}
