// Command profile shows where the CPU time of a token exchange goes: it runs
// a development server in its own process under Go's profiler, with the load
// from another process, so that the profile holds the server alone.
//
// The product has no profiling endpoint; this is the way to look inside.
//
//	go run ./bench/profile -algorithm ES256 -o /tmp/cpu.prof
//	go tool pprof -top -cum /tmp/cpu.prof
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"time"

	"cambio/bench/internal/fixture"
	"cambio/bench/internal/load"
	"cambio/cambiotest"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "profile:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) > 0 && args[0] == load.Command {
		return load.Main(args[1:], os.Stdout)
	}
	flags := flag.NewFlagSet("profile", flag.ExitOnError)
	algorithm := flags.String("algorithm", "ES256", "of the access tokens: RS256 or ES256")
	concurrency := flags.Int("c", 32, "connections")
	length := flags.Duration("d", 10*time.Second, "length")
	cpuFile := flags.String("o", "bench/out/cpu.prof", "CPU profile")
	heapFile := flags.String("heap", "", "also write a profile of all allocations")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *heapFile != "" {
		runtime.MemProfileRate = 4096
	}
	ctx := context.Background()
	if err := os.MkdirAll("bench/out", 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("bench/out", "profile-") // on the disk: the audit trail is to be durable
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	server, err := cambiotest.Start(ctx, dir)
	if err != nil {
		return err
	}
	defer server.Close(ctx)
	w, err := prepare(ctx, server, *algorithm, dir)
	if err != nil {
		return err
	}
	spec := load.Spec{FormFile: w.FormFile, Concurrency: *concurrency, Warmup: time.Second, Length: *length,
		Targets: []load.Target{{URL: w.URL, CAFile: server.Info.CAFile, PID: os.Getpid()}}}
	r, err := profiled(ctx, spec, *cpuFile)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d exchanges, %.1f µs CPU per exchange (%.1f in the kernel), profile in %s\n", *algorithm, r.OK,
		r.CPU/float64(r.OK)*1e6, r.System/float64(r.OK)*1e6, *cpuFile)
	if *heapFile == "" {
		return nil
	}
	return write(*heapFile, func(f *os.File) error { return pprof.Lookup("allocs").WriteTo(f, 0) })
}

// prepare sets the server up and picks the workload of an algorithm.
func prepare(ctx context.Context, server *cambiotest.Server, algorithm, dir string) (fixture.Workload, error) {
	raw, err := json.Marshal(server.Info)
	if err != nil {
		return fixture.Workload{}, err
	}
	var instance fixture.Instance
	if err := json.Unmarshal(raw, &instance); err != nil {
		return fixture.Workload{}, err
	}
	b, err := fixture.Prepare(ctx, instance, dir)
	if err != nil {
		return fixture.Workload{}, err
	}
	for _, w := range b.Workloads {
		if w.Algorithm == algorithm {
			return w, nil
		}
	}
	return fixture.Workload{}, fmt.Errorf("-algorithm %s: there are RS256 and ES256", algorithm)
}

// profiled measures with the profiler on.
func profiled(ctx context.Context, spec load.Spec, file string) (r load.Result, err error) {
	err = write(file, func(f *os.File) error {
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
		results, err := load.Start(ctx, spec)
		if err == nil {
			r = results[0]
		}
		return err
	})
	return r, err
}

func write(file string, fill func(*os.File) error) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := fill(f); err != nil {
		_ = f.Close() // the first error tells more
		return err
	}
	return f.Close()
}
