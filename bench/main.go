// Command bench compares the CPU time of a token exchange with that of the
// floor: the least server that does the same work. README.md says how it
// measures and what the figures mean.
//
// It starts everything that it measures, on loopback addresses, and ends it
// again; it takes nothing from elsewhere.
//
//	go run ./bench         about fifteen minutes
//	go run ./bench plot    draws docs/performance.json
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
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
	credentials []int
	databases   []string
	variant     string
	settings    string // further lines of the server's configuration
	resume      bool
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
	if len(args) > 0 && args[0] == "clients" {
		return clientsMain(args[1:], os.Stdout)
	}
	if len(args) > 0 && args[0] == "plot" {
		return plotMain(args[1:])
	}
	opt, err := parse(args)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return runAll(ctx, opt)
}

// runAll measures one scenario after the other and keeps what is done.
func runAll(ctx context.Context, opt options) error {
	if err := os.MkdirAll(opt.out, 0o755); err != nil {
		return err
	}
	binary, err := build(ctx, opt)
	if err != nil {
		return err
	}
	file := filepath.Join(opt.out, "results.json")
	results, err := read(file)
	if err != nil {
		return fmt.Errorf("%s: %w; remove it to begin anew", file, err)
	}
	for _, s := range opt.scenarios() {
		name := s.name(opt, "", 0)
		if opt.resume && slices.ContainsFunc(results.Installations, func(i installed) bool { return i.Name == name }) {
			fmt.Fprintln(os.Stderr, name, "is measured already")
			continue
		}
		rows, of, err := measure(ctx, opt, binary, s)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		results.add(rows, *of)
		if err := results.write(file); err != nil {
			return err
		}
	}
	if err := results.print(os.Stdout); err != nil {
		return err
	}
	_, err = fmt.Println("Written to", file)
	return err
}

// scenarios are what the options ask for: everything with 1,000 credentials
// on each database, and the other numbers with the connections and the
// algorithm that show most.
func (o options) scenarios() (list []scenario) {
	both := []string{"RS256", "ES256"}
	for _, database := range o.databases {
		for _, n := range o.credentials {
			s := scenario{postgres: database == "postgresql", credentials: n, concurrency: []int{32}, algorithms: []string{"ES256"}}
			if n == 1000 || len(o.credentials) == 1 {
				s.concurrency, s.algorithms = o.concurrency, both
			}
			list = append(list, s)
		}
	}
	return list
}

// suffix tells builds apart in names.
func (o options) suffix() string {
	if o.variant == "" {
		return ""
	}
	return "-" + o.variant
}

func parse(args []string) (options, error) {
	opt := options{rounds: 3, length: 4 * time.Second}
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	flags.IntVar(&opt.rounds, "rounds", opt.rounds, "rounds; each measures server and floor once per row")
	flags.DurationVar(&opt.length, "d", opt.length, "how long each is measured in a round")
	concurrency := flags.String("c", "1,8,32,64", "connections, one row each")
	credentials := flags.String("credentials", "10,1000,100000", "numbers of registered credentials, up to 10000000; 1000 is measured in full, others with ES256 and 32 connections")
	databases := flags.String("databases", "sqlite,postgresql", "sqlite, postgresql or both")
	flags.StringVar(&opt.settings, "settings", "", "further lines of the server's configuration, as 'cache: {assertion_bytes: 0}'")
	flags.StringVar(&opt.variant, "variant", "", "a word for the names of the results, as boring for a build of another kind")
	flags.BoolVar(&opt.resume, "resume", false, "keep installations that results.json has already")
	flags.StringVar(&opt.out, "out", "bench/out", "folder for results.json and, meanwhile, the servers' state")
	flags.StringVar(&opt.server, "server", "", "cambio binary to measure (default: build ./cmd/cambio)")
	if err := flags.Parse(args); err != nil {
		return opt, err
	}
	var err error
	if opt.concurrency, err = numbers("-c", *concurrency, 1024); err != nil {
		return opt, err
	}
	if opt.credentials, err = numbers("-credentials", *credentials, 10_000_000); err != nil {
		return opt, err
	}
	opt.databases = strings.Split(*databases, ",")
	for _, database := range opt.databases {
		if database != "sqlite" && database != "postgresql" {
			return opt, fmt.Errorf("-databases %q: there are sqlite and postgresql", database)
		}
	}
	if opt.rounds < 1 || opt.rounds > 100 || opt.length < 100*time.Millisecond || opt.length > 5*time.Minute {
		return opt, fmt.Errorf("-rounds must be from 1 to 100 and -d from 100ms to 5m")
	}
	opt.out, err = filepath.Abs(opt.out)
	return opt, err
}

// numbers reads a list of numbers from 1 to most.
func numbers(name, text string, most int) (list []int, err error) {
	for word := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || n > most {
			return nil, fmt.Errorf("%s %q: each number must be from 1 to %d", name, text, most)
		}
		list = append(list, n)
	}
	return list, nil
}
