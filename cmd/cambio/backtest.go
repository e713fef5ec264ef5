package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"cambio/internal/directory"
	"cambio/internal/rehearsal"
	"cambio/internal/trust"
)

// backtestFlags are those of `cambio backtest`.
type backtestFlags struct {
	files            []string
	prune            bool
	since            string
	records, current string
	form             string
}

func backtestCommand() *cobra.Command {
	var f backtestFlags
	cmd := &cobra.Command{
		Use: "backtest -f FILE", Short: "Try a changed trust configuration on the decisions of the past", Args: noArguments,
		Long: "Decides the recorded decisions of the audit trail again, as if the trust configuration had been applied before, and lists each that would differ: tokens that were accepted and would be refused, and the other way round. Nothing is changed. " +
			"It goes by issuers, subjects, expressions and audiences, and by whether the client can sign in; signature, times, ceilings, the tenant's policy and roles are taken as they were.\n\n" +
			"It needs AuditLog.Read.All and the right to export. --records and --current read the trail (`cambio audit`) and today's configuration (`cambio export`) from files instead, without a server. Ends with code 9 when a decision would differ.",
		Example: "  cambio backtest -f change.yaml\n  cambio backtest -f change.yaml --since 7d -o json\n  cambio backtest -f change.yaml --records audit.jsonl --current export.yaml",
	}
	filesFlag(cmd, &f.files)
	formFlag(cmd, &f.form, formTable, formTable, formJSON)
	flags := cmd.Flags()
	flags.BoolVar(&f.prune, "prune", false, "as with apply: clients that the files do not name would be gone")
	flags.StringVar(&f.since, "since", "30d", "how far back, as a `TIME` such as 7d, 12h or 2026-11-01T00:00:00Z")
	flags.StringVar(&f.records, "records", "", "`FILE` with records of the audit trail, as `cambio audit` prints them; - for standard input")
	flags.StringVar(&f.current, "current", "", "`FILE` with today's trust configuration, as `cambio export` prints it")
	_ = errors.Join(cmd.MarkFlagFilename("records"), cmd.MarkFlagFilename("current", "yaml", "yml", "json")) // the flags are there
	c := connectionFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		result, err := f.run(cmd, c)
		if err != nil {
			return err
		}
		if err := printBacktest(cmd.OutOrStdout(), f.form, result); err != nil {
			return err
		}
		if n := len(result.Differences); n > 0 {
			return differencesError{n}
		}
		return nil
	}
	return cmd
}

// differencesError is the end of a run that found decisions that would differ.
type differencesError struct{ count int }

func (e differencesError) Error() string { return counted(e.count, "decision") + " would differ" }

func (f *backtestFlags) run(cmd *cobra.Command, c *connection) (*rehearsal.Backtest, error) {
	since, err := parseSince(f.since, time.Now())
	if err != nil {
		return nil, usageError{err}
	}
	if (f.records == "") != (f.current == "") {
		return nil, usageError{errors.New("--records and --current go together: the recorded decisions, and the configuration that names their clients")}
	}
	change, err := readTrust(cmd, f.files)
	if err != nil {
		return nil, err
	}
	if f.records != "" {
		return f.fromFiles(cmd, change, since)
	}
	return f.fromServer(cmd, c, change, since)
}

// backtest prepares the comparison of a configuration with a change of it.
func (f *backtestFlags) backtest(current, change *trust.Document) (*rehearsal.Backtest, error) {
	today, err := current.Clients(directory.Relaxed)
	if err != nil {
		return nil, err
	}
	changed, err := current.Overlay(change, f.prune).Clients(directory.Relaxed)
	if err != nil {
		return nil, usageError{err}
	}
	return rehearsal.NewBacktest(today, changed), nil
}

func (f *backtestFlags) fromServer(cmd *cobra.Command, c *connection, change *trust.Document, since time.Time) (*rehearsal.Backtest, error) {
	client, err := c.client(nil)
	if err != nil {
		return nil, err
	}
	raw, err := client.TrustConfiguration(cmd.Context())
	if err != nil {
		return nil, err
	}
	current, err := trust.ParseJSON(raw)
	if err != nil {
		return nil, fmt.Errorf("the server's configuration cannot be read by this version of cambio: %w", err)
	}
	result, err := f.backtest(current, change)
	if err != nil {
		return nil, err
	}
	err = client.Decisions(cmd.Context(), func(record jsontext.Value) error { return result.Replay(record, since) }, recordsRead(cmd.ErrOrStderr()))
	return result, err
}

func (f *backtestFlags) fromFiles(cmd *cobra.Command, change *trust.Document, since time.Time) (*rehearsal.Backtest, error) {
	raw, err := readInput(input(cmd), f.current)
	if err != nil {
		return nil, err
	}
	current, err := trust.Parse(f.current, raw)
	if err != nil {
		return nil, usageError{err}
	}
	result, err := f.backtest(current, change)
	if err != nil {
		return nil, err
	}
	in := input(cmd)
	if f.records != "-" {
		file, err := os.Open(f.records)
		if err != nil {
			return nil, usageError{err}
		}
		defer file.Close()
		in = file
	}
	return result, replayLines(cmd.Context(), result, in, since)
}

// longestRecord bounds a line, in bytes; records are at most 16 KiB.
const longestRecord = 1 << 20

func replayLines(ctx context.Context, result *rehearsal.Backtest, in io.Reader, since time.Time) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, longestRecord)
	for n := 1; lines.Scan(); n++ {
		if len(lines.Bytes()) == 0 {
			continue
		}
		if err := result.Replay(lines.Bytes(), since); err != nil {
			return usageError{fmt.Errorf("--records: line %d: %w", n, err)}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return lines.Err()
}

// parseSince reads a point in time, or how long ago it was.
func parseSince(text string, now time.Time) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	if days, found := strings.CutSuffix(text, "d"); found {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("--since %q must be a time such as 7d, 12h or 2026-11-01T00:00:00Z", text)
}

func printBacktest(out io.Writer, form string, r *rehearsal.Backtest) error {
	if form == formJSON {
		raw, err := json.Marshal(r)
		if err != nil {
			return err
		}
		return printDocument(out, formJSON, raw)
	}
	var b strings.Builder
	for i := range r.Differences {
		d := &r.Differences[i]
		fmt.Fprintf(&b, "%s  %s  %s\n  subject  %s\n  issuer   %s\n  - was    %s\n  + would  %s\n", d.At.Format(time.RFC3339), d.CorrelationID, tsvCell(d.Client),
			tsvCell(d.Subject), tsvCell(d.Issuer), tsvCell(d.Was.String()), tsvCell(d.Would.String()))
		if d.AlreadyToday {
			b.WriteString("  today's configuration decides so already\n")
		}
	}
	fmt.Fprintf(&b, "%d replayed, %d would differ", r.Replayed, len(r.Differences))
	for _, left := range []struct {
		count int
		why   string
	}{{r.Other, "refused for other reasons"}, {r.Undecided, "not decided: the record lacks a claim that the change compares"}, {r.Unknown, "of clients that are not known"}} {
		if left.count > 0 {
			fmt.Fprintf(&b, "; %d %s", left.count, left.why)
		}
	}
	b.WriteString(".\n")
	_, err := io.WriteString(out, b.String())
	return err
}
