// Command with runs a command beside a private PostgreSQL server, which it
// names in the environment variable CAMBIO_TEST_POSTGRES, and ends the server
// with it:
//
//	go run ./test/postgres/with go test ./internal/store
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"cambio/test/postgres"
)

func main() {
	status, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "with:", err)
	}
	os.Exit(status)
}

func run(args []string) (status int, err error) {
	if len(args) == 0 {
		return 2, errors.New("give the command to run")
	}
	if _, err := postgres.Find("initdb"); err != nil {
		if os.Getenv("CI") == "true" {
			return 1, fmt.Errorf("PostgreSQL is not on this machine (%w); test/realparts/install.sh installs it", err)
		}
		fmt.Fprintln(os.Stderr, "with: skipped: PostgreSQL is not on this machine; test/realparts/install.sh installs it")
		return 0, nil
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server, err := postgres.Start(ctx)
	if err != nil {
		return 1, err
	}
	defer server.Close()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "CAMBIO_TEST_POSTGRES="+server.DSN())
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil // it has said why itself
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}
