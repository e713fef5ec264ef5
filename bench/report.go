package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"cambio/bench/internal/load"
)

// figures is a row of results.json. Values without a suffix of their own are
// medians over the rounds.
type figures struct {
	Name        string  `json:"name"`
	Concurrency int     `json:"concurrency"`
	Rounds      int     `json:"rounds"`
	Exchanges   int64   `json:"exchanges"` // by the server, all rounds
	CPU         float64 `json:"cpu_us"`    // user and system time of the server process per exchange
	CPUMin      float64 `json:"cpu_us_min"`
	CPUMax      float64 `json:"cpu_us_max"`
	CPUSystem   float64 `json:"cpu_system_us"` // the system's part of cpu_us
	Floor       float64 `json:"floor_us"`
	FloorMin    float64 `json:"floor_us_min"`
	FloorMax    float64 `json:"floor_us_max"`
	Ratio       float64 `json:"ratio"` // of the two servers within a round
	RatioMin    float64 `json:"ratio_min"`
	RatioMax    float64 `json:"ratio_max"`
	Aim         float64 `json:"aim,omitempty"`
	PerSecond   float64 `json:"per_second"`
	FloorRate   float64 `json:"floor_per_second"`
	P50         float64 `json:"p50_ms"`
	P99         float64 `json:"p99_ms"`
	FloorP50    float64 `json:"floor_p50_ms"`
	FloorP99    float64 `json:"floor_p99_ms"`
	ReplyBytes  int     `json:"reply_bytes"`
	FloorBytes  int     `json:"floor_reply_bytes"`
	PeakMiB     float64 `json:"peak_mib"`
	OtherCores  float64 `json:"other_load_cores"`
	Cores       int     `json:"cores"`
	GoVersion   string  `json:"go"`
}

// perExchange is the server's CPU time per exchange in microseconds.
func perExchange(r load.Result) float64 { return r.CPU / float64(r.OK) * 1e6 }

func (r *row) figures() figures {
	cpu, floor := spread(r.server, perExchange), spread(r.floor, perExchange)
	ratios := make([]float64, len(r.server))
	f := figures{Name: r.name, Concurrency: r.concurrency, Rounds: len(r.server), Aim: r.aim, Cores: runtime.NumCPU(), GoVersion: runtime.Version(),
		CPUMin: cpu.min, CPU: cpu.median, CPUMax: cpu.max, FloorMin: floor.min, Floor: floor.median, FloorMax: floor.max,
		ReplyBytes: r.server[0].ReplyBytes, FloorBytes: r.floor[0].ReplyBytes}
	for i := range r.server {
		ratios[i] = perExchange(r.server[i]) / perExchange(r.floor[i])
		f.Exchanges += r.server[i].OK
		f.PeakMiB = max(f.PeakMiB, r.server[i].PeakMiB)
	}
	ratio := spreadOf(ratios)
	f.RatioMin, f.Ratio, f.RatioMax = ratio.min, ratio.median, ratio.max
	f.CPUSystem = spread(r.server, func(r load.Result) float64 { return r.System / float64(r.OK) * 1e6 }).median
	rate := func(r load.Result) float64 { return float64(r.OK) / r.Seconds }
	p50 := func(r load.Result) float64 { return r.P50 }
	p99 := func(r load.Result) float64 { return r.P99 }
	f.PerSecond, f.FloorRate = spread(r.server, rate).median, spread(r.floor, rate).median
	f.P50, f.FloorP50 = spread(r.server, p50).median, spread(r.floor, p50).median
	f.P99, f.FloorP99 = spread(r.server, p99).median, spread(r.floor, p99).median
	f.OtherCores = spread(slices.Concat(r.server, r.floor), func(r load.Result) float64 { return r.OtherCores }).median
	return f
}

// summary of a figure over the rounds.
type summary struct{ min, median, max float64 }

func spread(results []load.Result, value func(load.Result) float64) summary {
	values := make([]float64, len(results))
	for i, r := range results {
		values[i] = value(r)
	}
	return spreadOf(values)
}

func spreadOf(values []float64) summary {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return summary{sorted[0], (sorted[(n-1)/2] + sorted[n/2]) / 2, sorted[n-1]}
}

// report prints the table and writes results.json.
func report(out io.Writer, dir string, rows []*row) error {
	results := make([]figures, len(rows))
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "\nname\tclients\tCPU µs per exchange\t(system)\tfloor µs\tratio\taim\tper second\tfloor\tp50 ms\tfloor\tp99 ms\tfloor\tother load\t\n")
	for i, r := range rows {
		f := r.figures()
		results[i] = f
		aim := ""
		if f.Aim > 0 {
			aim = fmt.Sprintf("≤ %.2f", f.Aim)
		}
		fmt.Fprintf(table, "%s\t%d\t%.0f / %.0f / %.0f\t%.0f\t%.0f / %.0f / %.0f\t%.3f / %.3f / %.3f\t%s\t%.0f\t%.0f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f cores\t\n",
			f.Name, f.Concurrency, f.CPUMin, f.CPU, f.CPUMax, f.CPUSystem, f.FloorMin, f.Floor, f.FloorMax, f.RatioMin, f.Ratio, f.RatioMax, aim,
			f.PerSecond, f.FloorRate, f.P50, f.FloorP50, f.P99, f.FloorP99, f.OtherCores)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Fprintf(out, "\nMinimum / median / maximum of %d rounds; other figures are medians. Replies: %d and %d bytes (server, floor) for %s.\n"+
		"%s, %d cores, load average now %.14s. Rates depend on what else the machine does; the ratio hardly does.\n",
		results[0].Rounds, results[0].ReplyBytes, results[0].FloorBytes, results[0].Name,
		runtime.Version(), runtime.NumCPU(), strings.TrimSpace(string(load)))
	raw, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "results.json")
	if err := os.WriteFile(file, append(raw, '\n'), 0o644); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, "Written to", file)
	return err
}
