package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// series is one line or group of bars of a chart.
type series struct {
	name   string
	values []float64 // NaN: not measured
}

// chart is a bar chart: for each label a bar of each series.
type chart struct {
	file, title, unit string
	labels            []string
	series            []series
	aim               float64 // a line across; 0: none
}

// colours are told apart by people who see few of them, on light and on dark.
var colours = []string{"#3b82c4", "#d97706", "#2e9e77", "#b45cb8"}

const (
	chartWidth, chartHeight      = 720.0, 380.0
	left, right, ceiling, bottom = 70.0, 20.0, 56.0, 90.0
)

// svg draws the chart.
func (c *chart) svg() string {
	top := c.aim
	for _, s := range c.series {
		for _, v := range s.values {
			if !math.IsNaN(v) {
				top = max(top, v)
			}
		}
	}
	step := niceStep(top / 5)
	top = math.Ceil(top*1.02/step) * step
	y := func(v float64) float64 { return chartHeight - bottom - v/top*(chartHeight-ceiling-bottom) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" role="img" aria-label="%s" font-family="system-ui, sans-serif" font-size="12">`+"\n", chartWidth, chartHeight, c.title)
	b.WriteString("<style>text{fill:#333}.grid{stroke:#8886;stroke-width:1}.aim{stroke:#c2410c;stroke-width:2;stroke-dasharray:6 4}@media(prefers-color-scheme:dark){text{fill:#ddd}}</style>\n")
	fmt.Fprintf(&b, "<title>%s</title>\n<text x=\"%.0f\" y=\"22\" font-size=\"16\">%s</text>\n<text x=\"%.0f\" y=\"42\">%s</text>\n", c.title, left, c.title, left, c.unit)
	for v := 0.0; v <= top+step/2; v += step {
		fmt.Fprintf(&b, "<line class=\"grid\" x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/><text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
			left, chartWidth-right, y(v), y(v), left-8, y(v)+4, math.Round(v*1000)/1000)
	}
	c.bars(&b, y)
	if c.aim > 0 {
		fmt.Fprintf(&b, "<line class=\"aim\" x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/><text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">aim %g</text>\n",
			left, chartWidth-right, y(c.aim), y(c.aim), chartWidth-right, y(c.aim)-5, c.aim)
	}
	for i, s := range c.series {
		x := left + float64(i)*160
		fmt.Fprintf(&b, "<rect x=\"%.0f\" y=\"%.0f\" width=\"12\" height=\"12\" fill=\"%s\"/><text x=\"%.0f\" y=\"%.0f\">%s</text>\n",
			x, chartHeight-26, colours[i%len(colours)], x+18, chartHeight-16, s.name)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// bars draws the bars, each with its value, and the labels below them.
func (c *chart) bars(b *strings.Builder, y func(float64) float64) {
	group := (chartWidth - left - right) / float64(max(1, len(c.labels)))
	width := group * 0.8 / float64(max(1, len(c.series)))
	for l, label := range c.labels {
		x := left + group*float64(l)
		fmt.Fprintf(b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n", x+group/2, chartHeight-bottom+18, label)
		for i, s := range c.series {
			v := s.values[l]
			if math.IsNaN(v) {
				continue
			}
			at := x + group*0.1 + width*float64(i)
			fmt.Fprintf(b, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\" font-size=\"10\">%.3g</text>\n",
				at, y(v), width*0.94, y(0)-y(v), colours[i%len(colours)], at+width*0.47, y(v)-3, v)
		}
	}
}

// niceStep is the least of 1, 2, 5 times a power of ten that is not smaller.
func niceStep(v float64) float64 {
	if v <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= v {
			return m * power
		}
	}
	return 10 * power
}

// charts are drawn from results.
func charts(d *document) []chart {
	full := slices.DeleteFunc(slices.Clone(d.Rows), func(f figures) bool { return f.Credentials != 1000 })
	scale := slices.DeleteFunc(slices.Clone(d.Rows), func(f figures) bool { return f.Concurrency != 32 || f.Algorithm != "ES256" })
	connections := func(f figures) int { return f.Concurrency }
	credentials := func(f figures) int { return f.Credentials }
	return []chart{
		by(full, connections, chart{file: "ratio.svg", title: "CPU time of an exchange, by connections", unit: "times the floor's"}, func(f figures) float64 { return f.Ratio }),
		by(full, connections, chart{file: "throughput.svg", title: "Throughput, by connections", unit: "exchanges per second, generator and floor on the same cores"}, func(f figures) float64 { return f.PerSecond }),
		by(full, connections, chart{file: "tail.svg", title: "99th percentile of latency, by connections", unit: "milliseconds"}, func(f figures) float64 { return f.P99 }),
		by(scale, credentials, chart{file: "scale.svg", title: "CPU time of an exchange, by registered credentials", unit: "times the floor's; 32 connections"}, func(f figures) float64 { return f.Ratio }),
	}
}

// by fills a chart: a label for each key, a series for each kind of row.
func by(rows []figures, key func(figures) int, c chart, value func(figures) float64) chart {
	var keys []int
	var kinds []string
	kind := func(f figures) string {
		name, _, _ := strings.Cut(f.Name, "-c")
		_, variant, _ := strings.Cut(f.Name, fmt.Sprintf("-n%d", f.Credentials))
		return name + variant
	}
	for _, f := range rows {
		if !slices.Contains(keys, key(f)) {
			keys = append(keys, key(f))
		}
		if !slices.Contains(kinds, kind(f)) {
			kinds = append(kinds, kind(f))
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		c.labels = append(c.labels, fmt.Sprint(k))
	}
	for _, name := range kinds {
		s := series{name: name, values: make([]float64, len(keys))}
		for i := range s.values {
			s.values[i] = math.NaN()
		}
		for _, f := range rows {
			if kind(f) == name {
				s.values[slices.Index(keys, key(f))] = value(f)
			}
		}
		c.series = append(c.series, s)
	}
	return c
}

// plotMain is `bench plot`: it draws docs/performance.json, or another file of
// results, into docs/performance.
func plotMain(args []string) error {
	from, to := "docs/performance.json", "docs/performance"
	if len(args) == 2 {
		from, to = args[0], args[1]
	}
	if _, err := os.Stat(from); err != nil {
		return err
	}
	d, err := read(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, c := range charts(&d) {
		if err := os.WriteFile(filepath.Join(to, c.file), []byte(c.svg()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
