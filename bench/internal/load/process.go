package load

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Command is the first argument that makes a program of the benchmark run
// Main instead of its own work.
const Command = "load"

// Target is a server to measure.
type Target struct {
	URL    string // of the token endpoint
	CAFile string // its certificate authority, PEM
	PID    int
	Others []int // processes that work for it, as those of its database
}

// Spec is one measurement. The targets share it slice by slice, in turn.
type Spec struct {
	Targets     []Target
	FormFile    string // the forms to post, one a line
	Concurrency int
	Warmup      time.Duration // for each target, not counted
	Length      time.Duration // for each target; at most 5 minutes
}

// Start carries out a measurement in a process of its own: this program again,
// with Command as its first argument. There is one result for each target; an
// exchange that failed is an error.
func Start(ctx context.Context, s Spec) ([]Result, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program, Command, string(raw))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var results []Result
	if err := json.Unmarshal(out, &results); err != nil {
		return nil, err
	}
	for _, r := range results {
		if r.OK == 0 || r.Failed > 0 {
			return nil, errors.New("exchanges fail, the first with: " + r.FirstFailure)
		}
	}
	return results, nil
}

// Main is the process that Start starts: args holds a Spec, and the results
// are written to out.
func Main(args []string, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("usage: load SPEC")
	}
	var s Spec
	if err := json.Unmarshal([]byte(args[0]), &s); err != nil {
		return err
	}
	if s.Length <= 0 || s.Length > 5*time.Minute {
		return errors.New("the length must be from 0 to 5 minutes")
	}
	targets, err := open(s)
	if err != nil {
		return err
	}
	if err := take(targets, s.Warmup); err != nil {
		return err
	}
	for _, t := range targets {
		t.forget()
	}
	if err := take(targets, s.Length); err != nil {
		return err
	}
	var results []Result
	for _, t := range targets {
		t.close()
		results = append(results, t.result)
	}
	return json.NewEncoder(out).Encode(results)
}

// open prepares the targets.
func open(s Spec) ([]*target, error) {
	forms, err := os.ReadFile(s.FormFile)
	if err != nil {
		return nil, err
	}
	var bodies [][]byte
	for form := range strings.Lines(string(forms)) {
		bodies = append(bodies, []byte(strings.TrimSuffix(form, "\n")))
	}
	var targets []*target
	for _, spec := range s.Targets {
		authority, err := os.ReadFile(spec.CAFile)
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(authority) {
			return nil, errors.New(spec.CAFile + " holds no certificate")
		}
		t, err := newTarget(spec, &tls.Config{RootCAs: roots}, bodies, s.Concurrency)
		if err != nil {
			return nil, err
		}
		targets = append(targets, t)
	}
	return targets, nil
}
