// Command bench compares the CPU time of a token exchange with that of the
// floor: the least server that does the same work. README.md says how it
// measures and what the figures mean.
//
// It starts everything that it measures, on loopback addresses, and ends it
// again; it takes nothing from elsewhere.
//
//	go run ./bench            about eight minutes
//	QUICK=1 go run ./bench    about two
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"cambio/bench/internal/floor"
	"cambio/bench/internal/load"
)

// options are the command line.
type options struct {
	rounds      int
	length      time.Duration
	concurrency []int
	only        string
	out         string
	server      string
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) > 0 && args[0] == load.Command {
		return load.Main(args[1:], os.Stdout)
	}
	if len(args) > 0 && args[0] == floor.Command {
		return floor.Main(args[1:], os.Stdout)
	}
	opt, err := parse(args)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	rows, err := measure(ctx, opt)
	if err != nil {
		return err
	}
	return report(os.Stdout, opt.out, rows)
}

func parse(args []string) (options, error) {
	opt := options{rounds: 5, length: 10 * time.Second}
	if os.Getenv("QUICK") != "" {
		opt.rounds, opt.length = 3, 4*time.Second
	}
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	flags.IntVar(&opt.rounds, "rounds", opt.rounds, "rounds; each measures every server once per row")
	flags.DurationVar(&opt.length, "d", opt.length, "how long each server is measured in a round")
	concurrency := flags.String("c", "32,8", "connections, one row each; the first has the plain names")
	flags.StringVar(&opt.only, "only", "", "measure only access tokens of this algorithm: RS256 or ES256")
	flags.StringVar(&opt.out, "out", "bench/out", "folder for results.json and, meanwhile, the server's state")
	flags.StringVar(&opt.server, "server", "", "cambio binary to measure (default: build ./cmd/cambio)")
	if err := flags.Parse(args); err != nil {
		return opt, err
	}
	for c := range strings.SplitSeq(*concurrency, ",") {
		n, err := strconv.Atoi(c)
		if err != nil || n < 1 || n > 1024 {
			return opt, fmt.Errorf("-c %q: each number must be from 1 to 1024", *concurrency)
		}
		opt.concurrency = append(opt.concurrency, n)
	}
	if opt.rounds < 1 || opt.rounds > 100 || opt.length < 100*time.Millisecond || opt.length > 5*time.Minute {
		return opt, fmt.Errorf("-rounds must be from 1 to 100 and -d from 100ms to 5m")
	}
	return opt, nil
}
