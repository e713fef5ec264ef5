package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
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
	Database    string  `json:"database"`    // sqlite or postgresql
	Algorithm   string  `json:"algorithm"`   // of the access tokens
	Credentials int     `json:"credentials"` // registered
	Concurrency int     `json:"concurrency"`
	Rounds      int     `json:"rounds"`
	Exchanges   int64   `json:"exchanges"` // by the server, all rounds
	CPU         float64 `json:"cpu_us"`    // user and system time of the server process per exchange
	CPUMin      float64 `json:"cpu_us_min"`
	CPUMax      float64 `json:"cpu_us_max"`
	CPUSystem   float64 `json:"cpu_system_us"`   // the system's part of cpu_us
	DatabaseCPU float64 `json:"database_cpu_us"` // of all processes of PostgreSQL, per exchange
	Floor       float64 `json:"floor_us"`
	FloorMin    float64 `json:"floor_us_min"`
	FloorMax    float64 `json:"floor_us_max"`
	Ratio       float64 `json:"ratio"` // of the two servers within a round
	RatioMin    float64 `json:"ratio_min"`
	RatioMax    float64 `json:"ratio_max"`
	Aim         float64 `json:"aim,omitempty"` // of ratio; only for SQLite with 32 connections
	PerSecond   float64 `json:"per_second"`
	FloorRate   float64 `json:"floor_per_second"`
	P50         float64 `json:"p50_ms"`
	P99         float64 `json:"p99_ms"`
	FloorP50    float64 `json:"floor_p50_ms"`
	FloorP99    float64 `json:"floor_p99_ms"`
	ReplyBytes  int     `json:"reply_bytes"`
	FloorBytes  int     `json:"floor_reply_bytes"`
	PeakMiB     float64 `json:"peak_mib"`
	ResidentMiB float64 `json:"resident_mib"` // at the end of the last round
	OtherCores  float64 `json:"other_load_cores"`
	Cores       int     `json:"cores"`
	GoVersion   string  `json:"go"`
}

// perExchange is the server's CPU time per exchange in microseconds.
func perExchange(r load.Result) float64 { return r.CPU / float64(r.OK) * 1e6 }

func (r *row) figures() figures {
	cpu, floor := spread(r.server, perExchange), spread(r.floor, perExchange)
	ratios := make([]float64, len(r.server))
	f := figures{Name: r.name, Database: r.database, Algorithm: r.algorithm, Credentials: r.credentials, Concurrency: r.concurrency, Rounds: len(r.server), Aim: r.aim(), Cores: runtime.NumCPU(), GoVersion: runtime.Version(),
		CPUMin: cpu.min, CPU: cpu.median, CPUMax: cpu.max, FloorMin: floor.min, Floor: floor.median, FloorMax: floor.max,
		ReplyBytes: r.server[0].ReplyBytes, FloorBytes: r.floor[0].ReplyBytes}
	for i := range r.server {
		ratios[i] = perExchange(r.server[i]) / perExchange(r.floor[i])
		f.Exchanges += r.server[i].OK
		f.ResidentMiB = r.server[i].ResidentMiB
		f.PeakMiB = max(f.PeakMiB, r.server[i].PeakMiB)
	}
	ratio := spreadOf(ratios)
	f.RatioMin, f.Ratio, f.RatioMax = ratio.min, ratio.median, ratio.max
	f.CPUSystem = spread(r.server, func(r load.Result) float64 { return r.System / float64(r.OK) * 1e6 }).median
	f.DatabaseCPU = spread(r.server, func(r load.Result) float64 { return r.Others / float64(r.OK) * 1e6 }).median
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

func (r *row) aim() float64 {
	if r.database != "sqlite" || r.concurrency != 32 {
		return 0
	}
	return map[string]float64{"RS256": 1.03, "ES256": 1.25}[r.algorithm]
}

// installed is what was measured of a whole installation.
type installed struct {
	Name          string  `json:"name"`
	Database      string  `json:"database"`
	Credentials   int     `json:"credentials"`
	Clients       int     `json:"clients"`           // that have them
	LoadSeconds   float64 `json:"load_seconds"`      // to register them with cambio load
	FirstExchange float64 `json:"first_exchange_ms"` // from the start of the process; median of seven
	Touched       int     `json:"clients_touched"`   // that exchanged tokens before memory was read
	ResidentMiB   float64 `json:"resident_mib"`
}

// document is results.json.
type document struct {
	Rows          []figures   `json:"rows"`
	Installations []installed `json:"installations"`
}

// read reads the results so far; none are no error.
func read(file string) (d document, err error) {
	raw, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return d, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &d)
	}
	return d, err
}

// add puts results in place of earlier ones of the same names.
func (d *document) add(rows []figures, of installed) {
	for _, r := range rows {
		d.Rows = append(slices.DeleteFunc(d.Rows, func(old figures) bool { return old.Name == r.Name }), r)
	}
	d.Installations = append(slices.DeleteFunc(d.Installations, func(old installed) bool { return old.Name == of.Name }), of)
}

func (d *document) write(file string) error {
	raw, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(raw, '\n'), 0o644)
}

// mark says whether a figure is within its aim.
func mark(value, aim float64) string {
	switch {
	case aim == 0:
		return ""
	case value <= aim:
		return fmt.Sprintf("≤ %g pass", aim)
	}
	return fmt.Sprintf("≤ %g MISS", aim)
}

// print prints the tables.
func (d *document) print(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "\nname\tCPU µs per exchange\tdatabase's\tfloor µs\tratio\taim\tper second\tfloor\tp50 ms\tp99 ms\tp99/p50\taim\tMiB\tother load\t\n")
	for _, f := range d.Rows {
		tail := 0.0
		if f.Concurrency == 8 {
			tail = 3
		}
		fmt.Fprintf(table, "%s\t%.0f / %.0f / %.0f\t%.0f\t%.0f / %.0f / %.0f\t%.3f / %.3f / %.3f\t%s\t%.0f\t%.0f\t%.2f\t%.2f\t%.1f\t%s\t%.0f\t%.1f cores\t\n",
			f.Name, f.CPUMin, f.CPU, f.CPUMax, f.DatabaseCPU, f.FloorMin, f.Floor, f.FloorMax, f.RatioMin, f.Ratio, f.RatioMax, mark(f.Ratio, f.Aim),
			f.PerSecond, f.FloorRate, f.P50, f.P99, f.P99/f.P50, mark(f.P99/f.P50, tail), f.ResidentMiB, f.OtherCores)
	}
	fmt.Fprint(table, "\ninstallation\tcredentials\tclients\tload s\tfirst exchange ms\taim\tclients touched\tMiB\taim\t\n")
	for _, i := range d.Installations {
		memory := map[int]float64{100_000: 60, 10_000_000: 256}[i.Credentials]
		fmt.Fprintf(table, "%s\t%d\t%d\t%.1f\t%.0f\t%s\t%d\t%.0f\t%s\t\n", i.Name, i.Credentials, i.Clients, i.LoadSeconds, i.FirstExchange,
			mark(i.FirstExchange, 100), i.Touched, i.ResidentMiB, mark(i.ResidentMiB, memory))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	load, _ := os.ReadFile("/proc/loadavg") // only informs
	_, err := fmt.Fprintf(out, "\nMinimum / median / maximum of the rounds; other figures are medians. %s, %d cores, load average now %.14s.\n"+
		"Rates and latencies depend on what else the machine does; the ratio hardly does.\n", runtime.Version(), runtime.NumCPU(), strings.TrimSpace(string(load)))
	return err
}
