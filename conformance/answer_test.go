package conformance

import (
	"fmt"
	"reflect"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/rogpeppe/go-internal/testscript"
)

// placeholders stand in expected answers for values that differ each time.
var placeholders = map[string]string{
	"<guid>":    `[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`,
	"<time>":    `\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ`,
	"<iso>":     `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z`,
	"<digits>":  `\d+`,
	"<seconds>": `\d+`,
	"<jwt>":     `[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+`,
	"<opaque>":  `[A-Za-z0-9._~-]{8,}`,
	"<text>":    `(?s:.+)`,
}

var placeholder = regexp.MustCompile(`<[a-z]+>`)

// pattern turns expected text with placeholders into an anchored expression.
func pattern(want string) (*regexp.Regexp, error) {
	var b strings.Builder
	b.WriteString("^")
	last := 0
	for _, at := range placeholder.FindAllStringIndex(want, -1) {
		expr, ok := placeholders[want[at[0]:at[1]]]
		if !ok {
			return nil, fmt.Errorf("unknown placeholder %s", want[at[0]:at[1]])
		}
		b.WriteString(regexp.QuoteMeta(want[last:at[0]]))
		b.WriteString("(?:" + expr + ")")
		last = at[1]
	}
	b.WriteString(regexp.QuoteMeta(want[last:]) + "$")
	return regexp.Compile(b.String())
}

func matches(want, got string) error {
	p, err := pattern(want)
	if err != nil {
		return err
	}
	if !p.MatchString(got) {
		return fmt.Errorf("is %q, want %q", got, want)
	}
	return nil
}

// cmdAnswer compares the whole answer: answer FILE. The first line is "HTTP
// STATUS"; then header lines ("!Name" for one that must be absent), an empty
// line, and the body as JSON, member for member. A member whose name ends in
// "?" may be absent. Headers that the file does not name are not compared.
func (s *session) cmdAnswer(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	usage(ts, args, 1, "answer FILE")
	got := s.answered(ts)
	head, body, _ := strings.Cut(expand(ts, ts.ReadFile(args[0])), "\n\n")
	lines := strings.Split(strings.TrimRight(head, "\n"), "\n")
	var wrong []string
	if want := "HTTP " + strconv.Itoa(got.status); lines[0] != want {
		wrong = append(wrong, fmt.Sprintf("status: got %q, want %q", want, lines[0]))
	}
	for _, line := range lines[1:] {
		if name, absent := strings.CutPrefix(line, "!"); absent {
			if v := got.header.Values(name); len(v) > 0 {
				wrong = append(wrong, fmt.Sprintf("%s: %q, want none", name, v))
			}
			continue
		}
		name, want, _ := strings.Cut(line, ": ")
		if err := matches(want, strings.Join(got.header.Values(name), ", ")); err != nil {
			wrong = append(wrong, name+" "+err.Error())
		}
	}
	if strings.TrimSpace(body) == "" {
		if len(got.body) != 0 {
			wrong = append(wrong, "the body is not empty")
		}
	} else {
		wrong = append(wrong, diff(ts, body, s.parsed(ts))...)
	}
	if len(wrong) > 0 {
		ts.Fatalf("%s\nbody: %.1200s", strings.Join(wrong, "\n"), got.body)
	}
}

// diff compares a JSON value with its expectation.
func diff(ts *testscript.TestScript, want string, got any) []string {
	var w any
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		ts.Fatalf("the expected body is not JSON: %v", err)
	}
	return compare("", w, got)
}

// compare returns one line for each difference.
func compare(path string, want, got any) []string {
	name := strings.TrimPrefix(path, ".")
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return []string{name + " is no object"}
		}
		return compareObjects(path, w, g)
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return []string{fmt.Sprintf("%s is %s, want %s", name, text(got), text(want))}
		}
		var wrong []string
		for i := range w {
			wrong = append(wrong, compare(path+"."+strconv.Itoa(i), w[i], g[i])...)
		}
		return wrong
	case string:
		return compareString(name, w, got)
	}
	if !reflect.DeepEqual(want, got) {
		return []string{fmt.Sprintf("%s is %s, want %s", name, text(got), text(want))}
	}
	return nil
}

// compareString also lets <seconds> stand for a JSON number.
func compareString(name, want string, got any) []string {
	if n, isNumber := got.(float64); isNumber && want == "<seconds>" && n > 0 && n == float64(int64(n)) {
		return nil
	}
	g, ok := got.(string)
	if !ok || want == "<seconds>" {
		return []string{fmt.Sprintf("%s is %s, want %s", name, text(got), want)}
	}
	if err := matches(want, g); err != nil {
		return []string{name + " " + err.Error()}
	}
	return nil
}

func compareObjects(path string, want, got map[string]any) []string {
	var wrong []string
	allowed := map[string]bool{}
	for name, w := range want {
		bare, optional := strings.CutSuffix(name, "?")
		allowed[bare] = true
		g, ok := got[bare]
		switch {
		case ok:
			wrong = append(wrong, compare(path+"."+bare, w, g)...)
		case !optional:
			wrong = append(wrong, strings.TrimPrefix(path+"."+bare, ".")+" is absent")
		}
	}
	for name := range got {
		if !allowed[name] {
			wrong = append(wrong, strings.TrimPrefix(path+"."+name, ".")+" is there, but not expected")
		}
	}
	sort.Strings(wrong)
	return wrong
}

// cmdRefused checks everything that all refusals have in common: refused
// STATUS ERROR CODE. The description must not repeat the assertion.
func (s *session) cmdRefused(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	usage(ts, args, 3, "refused STATUS ERROR CODE")
	got := s.answered(ts)
	var wrong []string
	check := func(what, want, value string) {
		if err := matches(want, value); err != nil {
			wrong = append(wrong, what+" "+err.Error())
		}
	}
	check("status", args[0], strconv.Itoa(got.status))
	check("Content-Type", "application/json; charset=utf-8", got.header.Get("Content-Type"))
	check("Cache-Control", "no-store, no-cache", got.header.Get("Cache-Control"))
	check("Pragma", "no-cache", got.header.Get("Pragma"))
	if args[0] == "400" {
		check("Retry-After", "0", got.header.Get("Retry-After"))
	}
	wrong = append(wrong, compare("", map[string]any{
		"error":             args[1],
		"error_description": "AADSTS" + args[2] + ": <text> Trace ID: <guid> Correlation ID: <guid> Timestamp: <time>",
		"error_codes":       []any{parseNumber(ts, args[2])},
		"timestamp":         "<time>", "trace_id": "<guid>", "correlation_id": "<guid>",
		"error_uri?": s.target.BaseURL + "/error?code=" + args[2],
	}, s.parsed(ts))...)
	if len(s.sent) > 60 && strings.Contains(string(got.body), s.sent[len(s.sent)-40:]) {
		wrong = append(wrong, "the answer repeats the assertion")
	}
	if len(wrong) > 0 {
		ts.Fatalf("%s\nbody: %.1200s", strings.Join(wrong, "\n"), got.body)
	}
}

func parseNumber(ts *testscript.TestScript, s string) float64 {
	n, err := strconv.ParseFloat(s, 64)
	ts.Check(err)
	return n
}
