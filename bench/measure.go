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
	concurrency int
	aim         float64 // of the ratio; 0: none
	server      []load.Result
	floor       []load.Result
}

// warmup comes before each measurement: connections, and the server's batches.
const warmup = time.Second

// measure starts the servers and measures them in turn.
func measure(ctx context.Context, opt options) ([]*row, error) {
	out, err := filepath.Abs(opt.out)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return nil, err
	}
	// Not in the system's temporary folder, which may be memory: the audit
	// trail is to be as durable as in production.
	dir, err := os.MkdirTemp(out, "run-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	server, bench, err := startServer(ctx, opt, dir)
	if err != nil {
		return nil, err
	}
	defer server.end()
	bench.Workloads = slices.DeleteFunc(bench.Workloads, func(w fixture.Workload) bool { return opt.only != "" && w.Algorithm != opt.only })
	if len(bench.Workloads) == 0 {
		return nil, fmt.Errorf("-only %s: there are RS256 and ES256", opt.only)
	}
	var rows []*row
	floors := map[string]*process{}
	for _, w := range bench.Workloads {
		if floors[w.Algorithm], err = startFloor(ctx, bench, w, dir); err != nil {
			return nil, err
		}
		defer floors[w.Algorithm].end()
	}
	for round := range opt.rounds {
		at := 0
		for _, c := range opt.concurrency {
			for _, w := range bench.Workloads {
				if round == 0 {
					rows = append(rows, newRow(w.Algorithm, c, c == opt.concurrency[0]))
				}
				if err := rows[at].round(ctx, opt, w, floors[w.Algorithm], server); err != nil {
					return nil, fmt.Errorf("%s: %w", rows[at].name, err)
				}
				at++
			}
		}
	}
	return rows, nil
}

func newRow(algorithm string, concurrency int, plain bool) *row {
	r := &row{name: "warm-rs256-" + strings.ToLower(algorithm), concurrency: concurrency}
	if plain {
		r.aim = map[string]float64{"RS256": 1.05, "ES256": 1.4}[algorithm]
	} else {
		r.name += fmt.Sprintf("-c%d", concurrency)
	}
	return r
}

// round measures the floor and the server together: a slice of the one, a
// slice of the other. Which is first changes from round to round.
func (r *row) round(ctx context.Context, opt options, w fixture.Workload, floor, server *process) error {
	server.url = w.URL
	pair := []*process{floor, server}
	first := len(r.server) % 2
	spec := load.Spec{FormFile: w.FormFile, Concurrency: r.concurrency, Warmup: warmup, Length: opt.length}
	for i := range pair {
		p := pair[(i+first)%2]
		spec.Targets = append(spec.Targets, load.Target{URL: p.url, CAFile: p.caFile, PID: p.cmd.Process.Pid})
	}
	results, err := load.Start(ctx, spec)
	if err != nil {
		return err
	}
	f, s := results[first], results[1-first]
	r.floor, r.server = append(r.floor, f), append(r.server, s)
	fmt.Fprintf(os.Stderr, "round %2d  %-22s floor %7.1f µs  server %7.1f µs  ratio %.3f  other load %.1f cores\n", len(r.server), r.name,
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

func startServer(ctx context.Context, opt options, dir string) (*process, *fixture.Bench, error) {
	binary := opt.server
	if binary == "" {
		binary = filepath.Join(dir, "cambio")
		build := exec.CommandContext(ctx, "go", "build", "-o", binary, "cambio/cmd/cambio")
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			return nil, nil, fmt.Errorf("building the server: %w", err)
		}
	}
	var instance fixture.Instance
	p, err := start(ctx, "the server", &instance, binary, "dev", "--json", "--listen", "127.0.0.1:0", "--state", filepath.Join(dir, "state"))
	if err != nil {
		return nil, nil, err
	}
	p.caFile = instance.CAFile
	bench, err := fixture.Prepare(ctx, instance, dir)
	if err != nil {
		p.end()
		return nil, nil, err
	}
	return p, bench, nil
}

func startFloor(ctx context.Context, b *fixture.Bench, w fixture.Workload, dir string) (*process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	spec := floor.Spec{Algorithm: w.Algorithm, KeySet: b.KeySet, Issuer: b.Instance.Provider.Issuer, Subject: fixture.Subject,
		Audience: fixture.Audience, ClientID: b.Instance.ClientID, SampleToken: w.SampleToken, SampleReply: w.SampleReply,
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
