package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"cambio/bench/internal/fixture"
	"cambio/bench/internal/floor"
	"cambio/bench/internal/load"
)

// row is one line of the table: what was measured of the server and the floor
// in each round.
type row struct {
	name        string
	database    string
	algorithm   string
	credentials int
	concurrency int
	server      []load.Result
	floor       []load.Result
}

// warmup comes before each measurement: connections, and the server's batches.
const warmup = time.Second

// scenario is an installation to measure.
type scenario struct {
	postgres    bool
	credentials int
	concurrency []int
	algorithms  []string
}

func (s scenario) database() string {
	if s.postgres {
		return "postgresql"
	}
	return "sqlite"
}

// name is the name of a row, or without algorithm that of the installation.
func (s scenario) name(opt options, algorithm string, c int) string {
	name := s.database()
	if algorithm != "" {
		name += fmt.Sprintf("-%s-c%d", strings.ToLower(algorithm), c)
	}
	return name + "-n" + strconv.Itoa(s.credentials) + opt.suffix()
}

// measure sets one scenario up and measures it.
func measure(ctx context.Context, opt options, binary string, s scenario) ([]figures, *installed, error) {
	// Not in the system's temporary folder, which may be memory: the audit
	// trail is to be as durable as in production.
	dir, err := os.MkdirTemp(opt.out, "run-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	i, err := install(ctx, binary, dir, opt.settings, s)
	if err != nil {
		return nil, nil, err
	}
	defer i.remove()
	of := &installed{Name: s.name(opt, "", 0), Database: s.database(), Credentials: s.credentials, Clients: i.clients, LoadSeconds: i.loadSeconds}
	if of.FirstExchange, err = i.starts(ctx); err != nil {
		return nil, nil, fmt.Errorf("starting: %w", err)
	}
	server, _, err := i.serve(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer server.end()
	bench, err := fixture.Prepare(ctx, i.instance, dir)
	if err != nil {
		return nil, nil, err
	}
	rows, err := measureRows(ctx, opt, s, i, bench, server)
	if err != nil {
		return nil, nil, err
	}
	results := make([]figures, len(rows))
	for n, r := range rows {
		results[n] = r.figures()
		of.ResidentMiB = results[n].ResidentMiB
	}
	of.Touched = len(i.instance.Clients)
	return results, of, nil
}

// starts is how long a start takes to the first exchange: the median of seven,
// in milliseconds.
func (i *installation) starts(ctx context.Context) (float64, error) {
	var all []float64
	for range 7 {
		took, err := i.firstExchange(ctx)
		if err != nil {
			return 0, err
		}
		all = append(all, float64(took.Microseconds())/1000)
	}
	return spreadOf(all).median, nil
}

// measureRows measures the server with each algorithm and each number of
// connections, beside the floor.
func measureRows(ctx context.Context, opt options, s scenario, i *installation, bench *fixture.Bench, server *process) ([]*row, error) {
	var rows []*row
	for _, w := range bench.Workloads {
		if !slices.Contains(s.algorithms, w.Algorithm) {
			continue
		}
		floor, err := startFloor(ctx, bench, w, i.dir)
		if err != nil {
			return nil, err
		}
		defer floor.end()
		for _, c := range s.concurrency {
			r := &row{name: s.name(opt, w.Algorithm, c), database: s.database(), algorithm: w.Algorithm, credentials: s.credentials, concurrency: c}
			rows = append(rows, r)
			for range opt.rounds {
				if err := r.round(ctx, opt, w, floor, server, i.helpers()); err != nil {
					return nil, fmt.Errorf("%s: %w", r.name, err)
				}
			}
		}
	}
	return rows, nil
}

// round measures the floor and the server together: a slice of the one, a
// slice of the other. Which is first changes from round to round.
func (r *row) round(ctx context.Context, opt options, w fixture.Workload, floor, server *process, helpers []int) error {
	targets := []load.Target{{URL: floor.url, CAFile: floor.caFile, PID: floor.cmd.Process.Pid},
		{URL: w.URL, CAFile: server.caFile, PID: server.cmd.Process.Pid, Others: helpers}}
	first := len(r.server) % 2
	spec := load.Spec{FormFile: w.FormFile, Concurrency: r.concurrency, Warmup: warmup, Length: opt.length,
		Targets: []load.Target{targets[first], targets[1-first]}}
	results, err := load.Start(ctx, spec)
	if err != nil {
		return err
	}
	f, s := results[first], results[1-first]
	r.floor, r.server = append(r.floor, f), append(r.server, s)
	fmt.Fprintf(os.Stderr, "round %2d  %-34s floor %7.1f µs  server %7.1f µs  ratio %.3f  other load %.1f cores\n", len(r.server), r.name,
		perExchange(f), perExchange(s), perExchange(s)/perExchange(f), (f.OtherCores+s.OtherCores)/2)
	return nil
}

// process is a server under measurement.
type process struct {
	name   string
	cmd    *exec.Cmd
	url    string // of the token endpoint
	caFile string
}

func (p *process) end() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait() // how it ends no longer matters
}

// start starts a server and reads the line of JSON that it writes when it is
// ready.
func start(ctx context.Context, name string, ready any, program string, args ...string) (*process, error) {
	p := &process{name: name, cmd: exec.CommandContext(ctx, program, args...)}
	p.cmd.Stderr = os.Stderr
	pipe, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReaderSize(pipe, 1<<20).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, ready)
	}
	if err != nil {
		p.end()
		return nil, fmt.Errorf("%s did not start: %w", name, err)
	}
	return p, nil
}

// build builds the server, unless one was given.
func build(ctx context.Context, opt options) (string, error) {
	if opt.server != "" {
		return filepath.Abs(opt.server)
	}
	binary := filepath.Join(opt.out, "cambio")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, "cambio/cmd/cambio")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("building the server: %w", err)
	}
	return binary, nil
}

func startFloor(ctx context.Context, b *fixture.Bench, w fixture.Workload, dir string) (*process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	trust, err := json.Marshal(b.Instance.Clients)
	if err != nil {
		return nil, err
	}
	trustFile := filepath.Join(dir, "floor-trust.json")
	if err := os.WriteFile(trustFile, trust, 0o600); err != nil {
		return nil, err
	}
	spec := floor.Spec{Algorithm: w.Algorithm, KeySet: b.KeySet, Issuer: b.Instance.Provider.Issuer, TrustFile: trustFile,
		Audience: fixture.Audience, SampleToken: w.SampleToken, SampleReply: w.SampleReply,
		CAFile: filepath.Join(dir, "floor-"+w.Algorithm+".pem")}
	raw, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	var ready floor.Ready
	p, err := start(ctx, "the floor", &ready, program, floor.Command, string(raw))
	if err != nil {
		return nil, err
	}
	p.url, p.caFile = ready.URL, spec.CAFile
	return p, nil
}
