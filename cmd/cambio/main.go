// Command cambio is the workload identity federation server and its tools. It
// parses arguments and starts what the internal packages do; it decides
// nothing about tokens.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"cambio/internal/config"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := rootCommand().ExecuteContext(ctx)
	if err == nil {
		return
	}
	code := exitCode(err)
	if errors.As(err, new(exitError)) {
		os.Exit(code) // the command itself has said why
	}
	if code == exitInterrupted {
		err = errors.New("interrupted")
	}
	fmt.Fprintln(os.Stderr, "cambio:", plain(err.Error()))
	os.Exit(code)
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "cambio",
		Short: "Workload identity federation: a platform's token in, an access token out",
		Long: "cambio exchanges the token that a workload's own platform gave it for an access token that a protected resource accepts.\n\n" +
			"Start with `cambio dev`: a server with everything in it, on this machine, in a second.",
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Args:          noArguments,

		SuggestionsMinimumDistance: 2,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath())}
	})
	root.SetUsageFunc(usage)
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.AddGroup(&cobra.Group{ID: groupManagement, Title: "Manage what is registered, over the network"}, &cobra.Group{ID: groupWorkload, Title: "Be a workload"}, &cobra.Group{ID: groupServer, Title: "Run a server"})
	addGroup(root, groupManagement, appCommand(), identityCommand(), resourceCommand(), credentialCommand(), roleCommand(), tenantCommand(), issuerCommand(), explainCommand(), whoamiCommand(), doctorCommand())
	addGroup(root, groupManagement, append(trustCommands(), lintCommand(), backtestCommand())...)
	addGroup(root, groupWorkload, tokenCommand(), agentCommand(), clientConfigCommand())
	addGroup(root, groupServer, devCommand(), serveCommand(), webhookCommand(), verifyCommand(), bootstrapCommand(), keysCommand(), auditCommand(), backupCommand(), restoreCommand(), migrateCommand(), loadCommand(), configCommand())
	root.AddCommand(versionCommand(), exitCodesTopic())
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		if c.Name() == "help" {
			c.Args = helpArguments
		}
	}
	return root
}

// helpArguments refuses what no help is about.
func helpArguments(cmd *cobra.Command, args []string) error {
	if target, rest, err := cmd.Root().Find(args); err != nil || len(rest) > 0 {
		return unknownCommand(target, rest)
	}
	return nil
}

func addGroup(root *cobra.Command, id string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = id
		root.AddCommand(c)
	}
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !cmd.HasAvailableSubCommands() {
		return usageError{fmt.Errorf("`%s` takes flags only, not %q; see `%[1]s --help`", cmd.CommandPath(), args[0])}
	}
	return unknownCommand(cmd, args)
}

// unknownCommand is what was taken for a command, with those that are alike.
func unknownCommand(cmd *cobra.Command, args []string) error {
	text := fmt.Sprintf("%q is not a command of `%s`", args[0], cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = max(cmd.SuggestionsMinimumDistance, 2) // cobra sets it for the root alone
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += fmt.Sprintf("; did you mean `%s`?", strings.Join(near, "` or `"))
	}
	return usageError{fmt.Errorf("%s; see `%s --help`", text, cmd.CommandPath())}
}

// logger writes to standard error, JSON unless text is asked for; standard
// output is for results.
func logger(cfg config.Log) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(cfg.Level)); err != nil {
		l = slog.LevelInfo // config.Validate rules this out
	}
	opt := &slog.HandlerOptions{Level: l}
	if cfg.Format == "text" {
		return slog.New(slog.NewTextHandler(os.Stderr, opt))
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, opt))
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "cambio", version())
			return err
		},
	}
}

// version is what the Go toolchain knows of this build.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "development"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v += " " + s.Value
		}
	}
	return v + " " + info.GoVersion
}
