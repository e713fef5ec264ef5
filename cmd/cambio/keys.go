package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"cambio/internal/config"
	"cambio/internal/keys"
	"cambio/internal/store"
)

func keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "keys", Short: "List, roll over and remove the signing keys", Args: noArguments,
		Long: "Works on the database of the configuration directly, whether or not the server is running. A running server takes a change over within a second.",
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(keysListCommand(), keysRotateCommand(), keysRemoveCommand())
	return cmd
}

func keysListCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "list", Short: "List the signing keys", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withKeys(cmd.Context(), file, func(ring *keys.Ring) error { return printKeys(cmd.OutOrStdout(), ring.Keys()) })
		},
	}
	configFlag(cmd, &file)
	return cmd
}

func keysRotateCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "rotate", Short: "Publish a successor of every key now", Args: noArguments,
		Long: "Publishes a new key beside every active one. It begins to sign after keys.publish_ahead, when verifiers know it; the old key stays published until its last token has expired.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withKeys(cmd.Context(), file, func(ring *keys.Ring) error {
				published, err := ring.Rotate(cmd.Context())
				if err != nil {
					return err
				}
				if !published {
					_, _ = fmt.Fprintln(cmd.OutOrStdout(), "Every key has a published successor already; nothing changed.")
				}
				return printKeys(cmd.OutOrStdout(), ring.Keys())
			})
		},
	}
	configFlag(cmd, &file)
	return cmd
}

func keysRemoveCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "remove KEY-ID", Short: "Remove a key at once",
		Long: "Takes a key out for good: it signs no more and is published no more, so every token that it signed stops verifying as soon as verifiers read the key set again. A successor signs at once.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{errors.New("name one key id; `cambio keys list` shows them")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return removeKey(cmd.Context(), cmd.OutOrStdout(), file, args[0])
		},
	}
	configFlag(cmd, &file)
	return cmd
}

func removeKey(ctx context.Context, out io.Writer, file, id string) error {
	cfg, err := loadConfig(file)
	if err != nil {
		return err
	}
	err = withDatabase(cfg, func(cfg keys.Config) error {
		ring, err := keys.Open(ctx, cfg)
		if err != nil {
			// A key that cannot be read keeps the ring from opening, and may
			// be the one to remove.
			return keys.Discard(ctx, cfg.DB, id)
		}
		return ring.Remove(ctx, id)
	})
	if err == nil {
		_, err = fmt.Fprintf(out, "Removed %s. Every token that it signed stops verifying, as soon as verifiers read the key set again.\n", id)
	}
	return err
}

func withKeys(ctx context.Context, file string, do func(*keys.Ring) error) error {
	cfg, err := loadConfig(file)
	if err != nil {
		return err
	}
	return withDatabase(cfg, func(cfg keys.Config) error {
		ring, err := keys.Open(ctx, cfg)
		if err != nil {
			return err
		}
		return do(ring)
	})
}

// withDatabase opens what the keys of a configuration are made of.
func withDatabase(cfg config.Config, do func(keys.Config) error) error {
	kek, err := keys.LoadEncryptionKey(cfg.Keys.EncryptionKeyFile)
	if err != nil {
		return err
	}
	db, err := store.Open(storeConfig(cfg, logger(cfg.Log)))
	if err != nil {
		return err
	}
	err = do(keys.Config{DB: db, KEK: kek, Policy: keyPolicy(cfg), Clock: time.Now})
	return errors.Join(err, db.Close())
}

func printKeys(out io.Writer, rows []store.SigningKeyRow) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "KEY ID\tALGORITHM\tSTATE\tSIGNS FROM\tUNTIL\tPUBLISHED UNTIL")
	for _, k := range rows {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.KeyID, k.Algorithm, k.State, moment(k.ActiveAt), moment(k.RetireAt), moment(k.RemoveAt))
	}
	return w.Flush()
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04Z")
}
