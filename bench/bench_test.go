package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSmoke measures something for a moment, so that the benchmark does not
// rot. What comes out means nothing.
func TestSmoke(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds and starts servers")
	}
	program := filepath.Join(t.TempDir(), "bench")
	command(t, "go", "build", "-o", program, ".")
	out := t.TempDir()
	command(t, program, "-rounds", "1", "-d", "250ms", "-c", "2", "-credentials", "20", "-databases", "sqlite", "-out", out)
	d, err := read(filepath.Join(out, "results.json"))
	if err != nil || len(d.Rows) != 2 || len(d.Installations) != 1 {
		t.Fatalf("%v: %+v", err, d)
	}
	for _, f := range d.Rows {
		if f.Exchanges == 0 || f.CPU <= 0 || f.Floor <= 0 || f.Ratio <= 0 || f.P99 < f.P50 || f.ResidentMiB <= 0 {
			t.Errorf("%+v", f)
		}
	}
	if i := d.Installations[0]; i.Clients != 2 || i.FirstExchange <= 0 {
		t.Errorf("%+v", i)
	}
}

// TestPlots: the committed plots are what the command draws of the committed
// results.
func TestPlots(t *testing.T) {
	d, err := read("../docs/performance.json")
	if err != nil || len(d.Rows) == 0 {
		t.Fatalf("docs/performance.json: %v, %d rows", err, len(d.Rows))
	}
	for _, c := range charts(&d) {
		raw, err := os.ReadFile(filepath.Join("../docs/performance", c.file))
		if err != nil || string(raw) != c.svg() {
			t.Errorf("%s is out of date (%v); run `make plots`", c.file, err)
		}
	}
}

func TestChartIsWellFormed(t *testing.T) {
	c := chart{title: "T", unit: "u", labels: []string{"1", "2"}, aim: 3, series: []series{{"a", []float64{1, math.NaN()}}, {"b", []float64{2, 4}}}}
	text := c.svg()
	if n := strings.Count(text, `fill="#`); n != 3+2 { // bars and legend
		t.Errorf("%d coloured things", n)
	}
	for decoder := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestNamesOfResultsDiffer(t *testing.T) {
	opt, err := parse([]string{"-variant", "boring"})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, s := range opt.scenarios() {
		for _, a := range s.algorithms {
			for _, c := range s.concurrency {
				if name := s.name(opt, a, c); seen[name] || !strings.HasSuffix(name, "-boring") {
					t.Errorf("%s", name)
				} else {
					seen[name] = true
				}
			}
		}
	}
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}
