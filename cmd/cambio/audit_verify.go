package main

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"cambio/internal/audit"
	"cambio/internal/config"
	"cambio/internal/keys"
	"cambio/internal/store"
	"cambio/internal/trail"
)

type verifyFlags struct {
	auditSource
	file, checkpoint, publicKey, output string
}

func auditVerifyCommand() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use: "verify", Short: "Find out whether the audit trail was tampered with", Args: noArguments,
		Long: "Computes the hash of every record again and compares it with the stored one, with the record before, and with what the signed checkpoints attest to. It finds records that were changed, deleted, inserted or moved, chains that were cut off or removed, and checkpoints that were forged. It says how many records are newer than the last checkpoint: the end of those can be cut off without trace.\n\n" +
			"With --file it verifies exported lines instead: within them nothing was changed, and with --checkpoint also that their end is there.\n\n" +
			"It ends with 0 when the trail is intact, with 7 when it is not, and with another code when that could not be found out.",
		Example: "  cambio audit verify --config /etc/cambio/config.yaml --checkpoint /safe/checkpoint.json\n  cambio audit verify --file audit.jsonl --public-key MFIqrG… --checkpoint checkpoint.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f.flags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.file, "file", "", "`FILE` of exported records, in place of a database")
	flags.StringVar(&f.checkpoint, "checkpoint", "", "`FILE` with a checkpoint that was kept elsewhere, as `cambio audit checkpoint` prints it")
	flags.StringVar(&f.publicKey, "public-key", "", "`KEY` that `cambio audit key` prints; without it the key-encryption key of the configuration is used")
	flags.StringVarP(&f.output, "output", "o", "text", "`FORMAT` of the report: text or json")
	_ = errors.Join(cmd.MarkFlagFilename("file"), cmd.MarkFlagFilename("checkpoint")) // the flags are there
	return cmd
}

var errTampered = errors.New("the audit trail is not intact")

func (f *verifyFlags) run(ctx context.Context, out, notes io.Writer) error {
	if f.output != "text" && f.output != "json" {
		return usageError{fmt.Errorf("-o %q must be text or json", f.output)}
	}
	kept, err := f.kept()
	if err != nil {
		return err
	}
	var report trail.Report
	if f.file != "" {
		report, err = f.verifyFile(ctx, kept)
	} else {
		err = f.with(ctx, func(cfg config.Config, db *store.DB) error {
			key, err := f.key(cfg)
			if err == nil {
				p := &counter{out: notes, visible: isTerminal(notes), began: time.Now()}
				report, err = trail.Verify(ctx, db, key, kept, p.show)
				p.end()
			}
			return err
		})
	}
	if err != nil {
		return err
	}
	if err := f.print(out, &report); err != nil {
		return err
	}
	if len(report.Findings) > 0 {
		return errTampered
	}
	return nil
}

// kept reads the checkpoint that was kept elsewhere, nil if none is named.
func (f *verifyFlags) kept() (*audit.SignedCheckpoint, error) {
	if f.checkpoint == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(f.checkpoint)
	if err != nil {
		return nil, err
	}
	c := new(audit.SignedCheckpoint)
	if err := json.Unmarshal(raw, c, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%s is no checkpoint as `cambio audit checkpoint` prints it: %w", f.checkpoint, err)
	}
	return c, nil
}

func (f *verifyFlags) verifyFile(ctx context.Context, kept *audit.SignedCheckpoint) (trail.Report, error) {
	var key ed25519.PublicKey
	if kept != nil {
		cfg := config.Default()
		var err error
		if f.publicKey == "" {
			cfg, err = f.load()
		}
		if err == nil {
			key, err = f.key(cfg)
		}
		if err != nil {
			return trail.Report{}, err
		}
	}
	in, err := os.Open(f.file)
	if err != nil {
		return trail.Report{}, err
	}
	defer in.Close()
	return trail.VerifyLines(ctx, in, key, kept)
}

// key is the one that is named, or the configuration's.
func (f *verifyFlags) key(cfg config.Config) (ed25519.PublicKey, error) {
	if f.publicKey != "" {
		raw, err := base64.StdEncoding.DecodeString(f.publicKey)
		if err != nil || len(raw) != ed25519.PublicKeySize {
			return nil, usageError{errors.New("--public-key is not what `cambio audit key` prints")}
		}
		return raw, nil
	}
	key, err := auditKey(cfg)
	if err != nil {
		return nil, err
	}
	return key.Public().(ed25519.PublicKey), nil
}

func (f *verifyFlags) print(out io.Writer, r *trail.Report) error {
	if f.output == "json" {
		raw, err := json.Marshal(r, json.FormatNilSliceAsNull(false))
		if err == nil {
			_, err = fmt.Fprintf(out, "%s\n", raw)
		}
		return err
	}
	for _, finding := range r.Findings {
		_, _ = fmt.Fprintln(out, finding)
	}
	verdict := "Intact"
	if n := len(r.Findings); n > 0 {
		verdict = fmt.Sprintf("NOT intact (findings: %d)", n)
	}
	text := fmt.Sprintf("%s: %d records compared.", verdict, r.Rows)
	switch {
	case r.Checkpoint == 0:
		text += " No checkpoint attests to any of them: what was cut off at the end, or rewritten as a whole, cannot be noticed."
	default:
		text += fmt.Sprintf(" %d are newer than checkpoint %d.", r.Unattested, r.Checkpoint)
	}
	if r.Unchained > 0 {
		text += fmt.Sprintf(" %d are older than hash chains and can be neither confirmed nor doubted.", r.Unchained)
	}
	for _, b := range r.Anew {
		text += fmt.Sprintf(" The trail was begun anew with checkpoint %d at %s.", b.Checkpoint, b.At.UTC().Format(time.RFC3339))
	}
	if r.GivenUp > 0 {
		text += fmt.Sprintf(" %d records from before that were not compared: they were given up.", r.GivenUp)
	}
	_, err := fmt.Fprintln(out, text)
	return err
}

func auditKey(cfg config.Config) (ed25519.PrivateKey, error) {
	kek, err := keys.LoadEncryptionKey(cfg.Keys.EncryptionKeyFile)
	if err != nil {
		return nil, err
	}
	return kek.AuditKey()
}

func publicText(key ed25519.PrivateKey) string {
	return base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
}

func printCheckpoint(ctx context.Context, out io.Writer, cfg config.Config, db *store.DB) error {
	t, err := auditTrail(cfg, db)
	if err != nil {
		return err
	}
	c, err := trail.Checkpoint(ctx, t)
	if err != nil {
		return err
	}
	return writeCheckpoint(out, &c)
}

func beginAnew(ctx context.Context, out, notes io.Writer, cfg config.Config, db *store.DB) error {
	t, err := auditTrail(cfg, db)
	if err != nil {
		return err
	}
	g, err := trail.BeginAnew(ctx, t)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(notes, "The audit trail was begun anew with checkpoint %d. Given up: %d records in %d chains, which nobody vouches for any more, and what %d earlier checkpoints attest to.\n",
		g.Checkpoint.ID, g.Records, g.Chains, g.Checkpoints)
	return writeCheckpoint(out, &g.Checkpoint)
}

func writeCheckpoint(out io.Writer, c *audit.SignedCheckpoint) error {
	raw, err := json.Marshal(c)
	if err == nil {
		_, err = fmt.Fprintf(out, "%s\n", raw)
	}
	return err
}

// counter shows on a terminal how many records were compared, once it takes
// longer than a second.
type counter struct {
	out     io.Writer
	visible bool
	began   time.Time
	shown   time.Time
}

func (c *counter) show(rows int64) {
	now := time.Now()
	if c.visible && now.Sub(c.began) > time.Second && now.Sub(c.shown) > 200*time.Millisecond {
		c.shown = now
		_, _ = fmt.Fprintf(c.out, "\r%d records ", rows) // a closed terminal is nobody's error
	}
}

func (c *counter) end() {
	if !c.shown.IsZero() {
		_, _ = fmt.Fprint(c.out, "\r\033[K")
	}
}
