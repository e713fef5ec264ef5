package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"cambio/internal/admin"
	"cambio/internal/trail"
	"cambio/workload"
)

// Exit codes.
const (
	exitDone     = 0
	exitFailed   = 1
	exitUsage    = 2
	exitNotFound = 3
	exitDenied   = 4
	exitConflict = 5
	exitPending  = 6
	exitTampered = 7
	exitFindings = 8
	exitDiffers  = 9

	exitInterrupted = 130 // as shells have it for SIGINT
)

// usageError is a mistake on the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// exitCode is the exit code of an error.
func exitCode(err error) int {
	if err == nil {
		return exitDone
	}
	if ended := new(exitError); errors.As(err, ended) {
		return ended.code
	}
	if errors.Is(err, context.Canceled) {
		return exitInterrupted
	}
	var usage usageError
	var settings *admin.SettingsError
	var missing *workload.SettingsError
	if errors.As(err, &usage) || errors.As(err, &settings) || errors.As(err, &missing) {
		return exitUsage
	}
	if refused := (*workload.RefusedError)(nil); errors.As(err, &refused) && refused.Status < 500 {
		return exitDenied
	}
	if pending := new(pendingError); errors.As(err, pending) {
		return exitPending
	}
	if differs := new(differencesError); errors.As(err, differs) {
		return exitDiffers
	}
	if findings := new(findingsError); errors.As(err, findings) {
		return exitFindings
	}
	if tampered := (*trail.TamperedError)(nil); errors.Is(err, errTampered) || errors.As(err, &tampered) {
		return exitTampered
	}
	switch admin.KindOf(err) {
	case admin.NotFound:
		return exitNotFound
	case admin.Denied:
		return exitDenied
	case admin.Conflict:
		return exitConflict
	}
	return exitFailed
}

// exitCodesTopic is `cambio help exit-codes`.
func exitCodesTopic() *cobra.Command {
	return &cobra.Command{
		Use: "exit-codes", Short: "What the exit codes mean",
		Long: `Every command ends with one of these codes:

  0  done; also when there was nothing to do, because it is so already
  1  failed: the server cannot be reached, is busy, or refused for another reason
  2  usage: a flag, an argument, an environment variable or a file that one names is missing or wrong; nothing was changed
  3  not found: what was addressed does not exist
  4  denied: signing in was refused, or the caller lacks a role of the management resource
  5  conflict: it exists already and is not the same, or a name fits more than one object
  6  changes to apply: of cambio plan --detailed-exitcode only
  7  tampered with: the audit trail is not intact; of cambio audit verify and cambio audit checkpoint only
  8  findings: of cambio lint only; something is graded as --fail-on says
  9  differences: of cambio backtest only; a recorded decision would be another one
  130  interrupted (SIGINT or SIGTERM) before it was done; a request that was under way may have been carried out

cambio agent with a command ends with the code of that command.

Errors go to standard error, as "cambio: " and one line, or one for each mistake in a file; results go to standard output.`,
	}
}
