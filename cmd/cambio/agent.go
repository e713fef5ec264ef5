package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"cambio/internal/agent"
	"cambio/internal/config"
	"cambio/workload"
)

// agentFlags are those of `cambio agent`.
type agentFlags struct {
	workloadFlags
	tokenFile, assertionFile, envFile, listen, logLevel string

	imds    bool
	command []string // to run beside it
}

func agentCommand() *cobra.Command {
	var f agentFlags
	cmd := &cobra.Command{
		Use: "agent [flags] [-- COMMAND [ARGUMENT…]]", Short: "Keep a workload's tokens fresh while it runs",
		Long: "Stands beside a workload: it keeps files with its tokens fresh, obtaining the platform's short-lived token anew each time, and answers on loopback as App Service's and machines' metadata endpoints do, so that ManagedIdentityCredential and `az login --identity` work.\n" +
			"With a command it runs that, tells it by its environment where the tokens are, and ends with it and its exit code. Otherwise it runs until it is stopped; --env-file is there when the tokens are.",
		Example: "  cambio agent --scope api://orders/.default --token-file orders.token\n" +
			"  cambio agent --assertion-file assertion -- ./long-job\n" +
			"  cambio agent --listen 127.0.0.1:4004 --imds --env-file agent.env",
		Args: func(cmd *cobra.Command, args []string) error {
			if n := cmd.ArgsLenAtDash(); n > 0 || n < 0 && len(args) > 0 {
				return usageError{fmt.Errorf("put -- before the command that the agent runs: cambio agent [flags] -- %s", args[0])}
			}
			return nil
		},
	}
	f.bind(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.tokenFile, "token-file", "", "`FILE` that always holds a good access token for --scope")
	flags.StringVar(&f.assertionFile, "assertion-file", "", "`FILE` that always holds a good token of the platform, for SDKs that exchange it themselves")
	flags.StringVar(&f.listen, "listen", "", "loopback `ADDRESS` of the metadata endpoints, as in 127.0.0.1:0 (default with a command and no file: 127.0.0.1:0)")
	flags.BoolVar(&f.imds, "imds", false, "answer as the metadata service of machines, too, which asks for no secret: every program that can reach the address gets tokens")
	flags.StringVar(&f.envFile, "env-file", "", "`FILE` for the environment of programs, written when everything is ready (mode 0600)")
	flags.StringVar(&f.logLevel, "log-level", "warn", "debug, info, warn or error; logs go to standard error")
	for _, name := range []string{"token-file", "assertion-file", "env-file"} {
		_ = cmd.MarkFlagFilename(name) // the flag is there
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f.command = args
		return f.run(cmd.Context())
	}
	return cmd
}

func (f *agentFlags) check() error {
	if f.listen == "" && f.tokenFile == "" && f.assertionFile == "" {
		if len(f.command) == 0 {
			return usageError{errors.New("nothing is to be kept: give --token-file, --assertion-file, --listen, or a command after --")}
		}
		f.listen = "127.0.0.1:0"
	}
	if f.imds && f.listen == "" {
		return usageError{errors.New("--imds needs --listen")}
	}
	if !config.ValidLevel(f.logLevel) {
		return usageError{fmt.Errorf("--log-level %q must be debug, info, warn or error", f.logLevel)}
	}
	for _, file := range []*string{&f.tokenFile, &f.assertionFile, &f.envFile} {
		if *file != "" {
			absolute, err := filepath.Abs(*file)
			if err != nil {
				return err
			}
			*file = absolute
		}
	}
	if f.listen == "" {
		return nil
	}
	return agent.CheckListen(f.listen)
}

func (f *agentFlags) run(ctx context.Context) error {
	if err := f.check(); err != nil {
		return err
	}
	p, err := f.plan()
	if err != nil {
		return err
	}
	client, err := p.client()
	if err != nil {
		return err
	}
	log := logger(config.Log{Level: f.logLevel, Format: "text"})
	a := agent.New(agent.Config{Client: client, TokenFile: f.tokenFile, AssertionFile: f.assertionFile, Log: log})
	if err := a.Start(ctx); err != nil {
		return fmt.Errorf("with the token of %s: %w", p.platform.Title, err)
	}
	env := f.environment(p)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan error, 1)
	if f.listen != "" {
		more, err := f.serve(ctx, p, client, failed)
		if err != nil {
			return err
		}
		env = append(env, more...)
	}
	if f.envFile != "" {
		if err := agent.ReplaceFile(f.envFile, exports(env)); err != nil {
			return err
		}
		defer os.Remove(f.envFile)
	}
	go a.Run(ctx)
	if len(f.command) > 0 {
		return runBeside(ctx, f.command, env)
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// environment tells SDKs that exchange the platform's token themselves.
func (f *agentFlags) environment(p plan) []string {
	var env []string
	if f.assertionFile != "" {
		env = append(env, "AZURE_AUTHORITY_HOST="+p.server.Authority+"/", "AZURE_CLIENT_ID="+p.server.ClientID, "AZURE_FEDERATED_TOKEN_FILE="+f.assertionFile, "AZURE_TENANT_ID="+p.server.Tenant)
	}
	if f.tokenFile != "" {
		env = append(env, "ACCESS_TOKEN_FILE="+f.tokenFile)
	}
	return env
}

// serve answers as metadata endpoints do until the context ends.
func (f *agentFlags) serve(ctx context.Context, p plan, client *workload.Client, failed chan<- error) ([]string, error) {
	listener, err := net.Listen("tcp", f.listen)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	m := &agent.Metadata{Client: client, ClientID: p.server.ClientID, Hosts: agent.HostsOf(listener.Addr()), Secret: rand.Text(), IMDS: f.imds}
	server := &http.Server{Handler: m.Handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	context.AfterFunc(ctx, func() { _ = server.Close() }) // nobody is told of it
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}()
	return m.Environment(listener.Addr().String()), nil
}

// exports is an environment for a shell to read.
func exports(env []string) string {
	var b strings.Builder
	for _, v := range env {
		name, value, _ := strings.Cut(v, "=")
		b.WriteString("export " + name + "=" + quote(value) + "\n")
	}
	return b.String()
}

// exitError is the exit code of a command that was run.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("the command ended with exit code %d", e.code) }

// runBeside runs a command, which is told to end when the context does.
func runBeside(ctx context.Context, command, env []string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = slices.Concat(os.Environ(), env)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exitError{exit.ExitCode()}
	}
	if errors.Is(err, exec.ErrNotFound) {
		return usageError{err}
	}
	return err
}
