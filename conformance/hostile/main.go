// Command hostile drives the token endpoint of a workload-identity STS with
// hostile and broken inputs and reports one JSON verdict per case id of
// cases.yaml. It runs its own OIDC issuers on loopback and sends
// nothing anywhere else.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options are the command-line settings.
type Options struct {
	Base, CAFile, Tenant, Client, AdminToken, Scope, Audience string
	IssuerHost, IssuerCADir, CanaryHost                       string
	Only, Skip, Out, TokenPath                                string
	Slow, NonLoopback, List, Strict, Insecure                 bool
	Parallel, Flood, PID                                      int
	MaxFetch, MinRefresh, MaxFast                             time.Duration
}

// Env is shared by all cases.
type Env struct {
	o      Options
	http   *http.Client
	pool   *x509.CertPool
	reg    Registrar
	issuer *IssuerServer
	keys   *Keys
}

func main() {
	o := parseOptions()
	all := allCases()
	if o.List {
		for _, id := range slices.Sorted(maps.Keys(all)) {
			fmt.Println(id, strings.Join(all[id].Needs, ","))
		}
		return
	}
	os.Exit(run(o, all))
}

// parseOptions reads the command line.
func parseOptions() Options {
	var o Options
	o.serverFlags()
	o.runFlags()
	flag.Parse()
	o.Flood = min(o.Flood, 5000)
	return o
}

// serverFlags say where the server under test is and what it knows.
func (o *Options) serverFlags() {
	flag.StringVar(&o.Base, "base", "https://127.0.0.1:8443", "base URL of the server under test (loopback only)")
	flag.StringVar(&o.CAFile, "ca", "", "PEM file that the server's certificate chains to")
	flag.BoolVar(&o.Insecure, "insecure-http", false, "allow an http:// base URL")
	flag.StringVar(&o.Tenant, "tenant", "", "tenant id")
	flag.StringVar(&o.Client, "client", "", "appId of an existing application to attach credentials to; empty: create one per worker")
	flag.StringVar(&o.AdminToken, "admin-token", os.Getenv("HOSTILE_ADMIN_TOKEN"), "bearer token for the management API")
	flag.StringVar(&o.Scope, "scope", "https://graph.microsoft.com/.default", "scope that the application may ask for")
	flag.StringVar(&o.Audience, "audience", "api://AzureADTokenExchange", "audience of the federated credentials")
	flag.StringVar(&o.TokenPath, "token-path", "/{tenant}/oauth2/v2.0/token", "path of the token endpoint")
	flag.StringVar(&o.IssuerHost, "issuer-host", "127.0.0.1:0", "loopback address of the hostile issuer; the server must be allowed to reach this IP address (any port) and no other internal one")
	flag.StringVar(&o.CanaryHost, "canary-host", "127.0.0.2", "loopback address that the server must never contact")
	flag.StringVar(&o.IssuerCADir, "issuer-ca-dir", "", "directory with (or for) issuer-ca.pem and issuer-ca.key; the server must trust issuer-ca.pem for outbound TLS")
	flag.IntVar(&o.PID, "pid", 0, "process id of the server, to bound its memory growth (same machine only)")
}

// runFlags say which cases run, and within which bounds.
func (o *Options) runFlags() {
	flag.StringVar(&o.Only, "only", "", "regular expression of case ids to run")
	flag.StringVar(&o.Skip, "skip", "", "regular expression of case ids to leave out")
	flag.StringVar(&o.Out, "out", "", "file for the JSON report (default stdout)")
	flag.BoolVar(&o.Slow, "slow", false, "also run cases that take up to 40 s")
	flag.BoolVar(&o.NonLoopback, "allow-nonloopback", false, "after a non-loopback issuer was accepted at creation, also try the exchange")
	flag.BoolVar(&o.List, "list", false, "list the case ids and stop")
	flag.BoolVar(&o.Strict, "strict", false, "fail a case whose status or error code is not the first choice of the catalogue")
	flag.IntVar(&o.Parallel, "parallel", 4, "workers")
	flag.IntVar(&o.Flood, "flood", 300, "requests in a flood case (bounded to 5000)")
	flag.DurationVar(&o.MaxFetch, "max-fetch", 6*time.Second, "longest allowed answer when an issuer misbehaves")
	flag.DurationVar(&o.MinRefresh, "min-refresh", 10*time.Second, "shortest interval between JWKS refreshes of one issuer")
	flag.DurationVar(&o.MaxFast, "max-fast", 1500*time.Millisecond, "longest allowed answer when no issuer misbehaves")
}

// selected returns the cases that the options ask for, in the order of their
// ids.
func (o *Options) selected(all catalogue) ([]Case, error) {
	only, err := regexp.Compile(o.Only)
	if err != nil {
		return nil, err
	}
	skip, err := regexp.Compile(o.Skip)
	if err != nil {
		return nil, err
	}
	var picked []Case
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if !only.MatchString(id) || o.Skip != "" && skip.MatchString(id) || !o.Slow && has(all[id].Needs, "slow") {
			continue
		}
		picked = append(picked, all[id])
	}
	return picked, nil
}

// run plays the cases and writes the report. The result is the exit status:
// 0 all passed, 1 something failed, 2 the run could not be made.
func run(o Options, all catalogue) int {
	broken := func(what string, err error) int {
		fmt.Fprintln(os.Stderr, "hostile:", what, err)
		return 2
	}
	picked, err := o.selected(all)
	if err != nil {
		return broken("-only or -skip:", err)
	}
	e, err := newEnv(o)
	if err != nil {
		return broken("cannot start:", err)
	}
	defer e.issuer.Close()
	before := rssOf(o.PID)
	results, err := e.play(picked)
	if err != nil {
		return broken("cannot get an application:", err)
	}
	rep := Report{Base: o.Base, When: time.Now().UTC().Format(time.RFC3339), Counts: map[string]int{}, Cases: results, RSSBeforeKB: before, RSSAfterKB: rssOf(o.PID), RSSPeakKB: hwmOf(o.PID)}
	for _, r := range results {
		rep.Counts[r.Result]++
	}
	if err := rep.write(o.Out); err != nil {
		return broken("the report:", err)
	}
	failed := len(results) - rep.Counts["pass"] - rep.Counts["skip"]
	fmt.Fprintf(os.Stderr, "%d passed, %d failed, %d skipped\n", rep.Counts["pass"], failed, rep.Counts["skip"])
	if failed > 0 {
		return 1
	}
	return 0
}

// play runs the cases on the workers and returns the results by id. Without
// cases it needs no server.
func (e *Env) play(picked []Case) ([]Result, error) {
	jobs := make(chan Case)
	var mu sync.Mutex
	var results []Result // guarded by mu until the workers ended
	var wg sync.WaitGroup
	var failed error
	for w := range min(max(1, e.o.Parallel), len(picked)) {
		app, err := e.workerApp(w)
		if err != nil {
			failed = err
			break
		}
		wg.Go(func() {
			defer e.releaseApp(app)
			for c := range jobs {
				r := e.runCase(c, app)
				mu.Lock()
				results = append(results, r)
				mu.Unlock()
				fmt.Fprintf(os.Stderr, "%-8s %-12s %5d ms %s\n", c.ID, r.Result, r.DurationMS, r.firstFailure())
			}
		})
	}
	if failed == nil {
		for _, c := range picked {
			jobs <- c
		}
	}
	close(jobs)
	wg.Wait()
	slices.SortFunc(results, func(a, b Result) int { return strings.Compare(a.ID, b.ID) })
	return results, failed
}

// Report is the JSON output.
type Report struct {
	Base        string         `json:"base"`
	When        string         `json:"when"`
	Counts      map[string]int `json:"counts"`
	RSSBeforeKB int            `json:"rss_before_kb,omitempty"`
	RSSAfterKB  int            `json:"rss_after_kb,omitempty"`
	RSSPeakKB   int            `json:"rss_peak_kb,omitempty"`
	Cases       []Result       `json:"cases"`
}

// write puts the report into a file, or on the standard output.
func (r *Report) write(file string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if file == "" {
		_, err = fmt.Println(string(b))
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

// Result is the verdict on one case.
type Result struct {
	ID         string   `json:"id"`
	Result     string   `json:"result"` // pass, fail, skip, control-failed
	DurationMS int64    `json:"duration_ms"`
	Checks     []Check  `json:"failed_checks,omitempty"`
	Answers    []string `json:"answers,omitempty"`
	Discovery  int64    `json:"discovery_fetches"`
	JWKS       int64    `json:"jwks_fetches"`
	Canary     int64    `json:"canary_hits"`
	Exact      bool     `json:"exact"` // first-choice status and error code each time
	Notes      []string `json:"notes,omitempty"`
}

func (r Result) firstFailure() string {
	if len(r.Checks) > 0 {
		return r.Checks[0].Name + ": " + r.Checks[0].Detail
	}
	return ""
}

// Check is one failed expectation.
type Check struct {
	Name   string `json:"name"`
	Detail string `json:"detail"`
}

func newEnv(o Options) (*Env, error) {
	if err := loopbackOnly(o.Base, o.Insecure); err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if o.CAFile != "" {
		b, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, err
		}
		if !pool.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("no certificate in %s", o.CAFile)
		}
	}
	e := &Env{o: o, pool: pool, keys: newKeys()}
	bombOnce()
	e.http = &http.Client{
		Timeout:       45 * time.Second,
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 64, Proxy: nil},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	e.reg = &graphRegistrar{base: strings.TrimRight(o.Base, "/"), token: o.AdminToken, http: e.http}
	var err error
	e.issuer, err = newIssuerServer(o.IssuerHost, o.IssuerCADir)
	return e, err
}

func has(l []string, s string) bool {
	for _, x := range l {
		if x == s {
			return true
		}
	}
	return false
}
