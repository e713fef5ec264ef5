package load

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"sync"
	"time"
)

// slice is how long one server is measured before it is the next one's turn.
// It is short against the minutes over which a shared machine changes its
// speed, so that all servers of a run see the same machine, and long against
// an exchange.
const slice = time.Second

// target is a server under load, with what was measured of it so far.
type target struct {
	address  string
	pid      int
	others   []int
	requests [][]byte
	next     int64 // request to send, over all slices
	conns    []*conn
	result   Result
	delays   []time.Duration
	mu       sync.Mutex // guards next, result and delays during a slice
}

// Result is what was measured of one server. CPU times are of its slices
// alone.
type Result struct {
	OK           int64
	Failed       int64
	FirstFailure string
	Seconds      float64 // of all slices together
	CPU          float64 // of the server, user and system, in seconds
	System       float64 // the system's part
	Others       float64 // of the processes that work for it, in seconds
	P50, P99     float64 // in milliseconds
	ReplyBytes   int     // of the body of a good reply
	OtherCores   float64 // cores kept busy by neither the server nor the generator
	PeakMiB      float64 // of the server since it started
	ResidentMiB  float64 // of the server at the end
}

func newTarget(spec Target, config *tls.Config, bodies [][]byte, concurrency int) (*target, error) {
	u, err := url.Parse(spec.URL)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(u.Hostname()); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("%s is not on a loopback address", spec.URL)
	}
	if len(bodies) == 0 || concurrency < 1 || concurrency > 1024 {
		return nil, errors.New("there must be bodies, and from 1 to 1024 connections")
	}
	t := &target{address: u.Host, pid: spec.PID, others: spec.Others}
	for _, body := range bodies {
		head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: application/json\r\n"+
			"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n", u.RequestURI(), u.Host, len(body))
		t.requests = append(t.requests, append([]byte(head), body...))
	}
	for range concurrency {
		t.conns = append(t.conns, &conn{address: t.address, tls: config})
	}
	return t, nil
}

// take measures the targets slice by slice in turn, each for so long, and
// leaves the sums in them.
func take(targets []*target, length time.Duration) error {
	for range max(1, int(length/slice)) {
		for _, t := range targets {
			if err := t.slice(min(length, slice)); err != nil {
				return err
			}
		}
	}
	for _, t := range targets {
		r := &t.result
		r.OtherCores = max(0, r.OtherCores/r.Seconds)
		r.PeakMiB, r.ResidentMiB = memory(t.pid, "VmHWM:"), memory(t.pid, "VmRSS:")
		slices.Sort(t.delays)
		r.P50, r.P99 = quantile(t.delays, 0.50), quantile(t.delays, 0.99)
	}
	return nil
}

func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[min(len(sorted)-1, int(q*float64(len(sorted))))].Microseconds()) / 1000
}

// slice keeps every connection busy for so long and adds what that cost.
func (t *target) slice(length time.Duration) error {
	before, err := readMeters(t.pid, t.others)
	if err != nil {
		return err
	}
	start := time.Now()
	var workers sync.WaitGroup
	for _, c := range t.conns {
		workers.Go(func() { t.work(c, start.Add(length)) })
	}
	workers.Wait()
	took := time.Since(start).Seconds()
	after, err := readMeters(t.pid, t.others)
	if err != nil {
		return err
	}
	r := &t.result
	cpu := after.server - before.server
	r.Seconds += took
	r.CPU += cpu
	r.System += after.system - before.system
	r.Others += after.others - before.others
	r.OtherCores += after.machine - before.machine - cpu - (after.others - before.others) - (after.generator - before.generator)
	if r.Failed >= 100 {
		return errors.New("exchanges fail, the first with: " + r.FirstFailure)
	}
	return nil
}

// forget drops what was measured so far.
func (t *target) forget() { t.result, t.delays = Result{}, nil }

func (t *target) close() {
	for _, c := range t.conns {
		c.close()
	}
}

// work sends one request after the other. Every reply is looked at: only a
// 200 with an access token counts.
func (t *target) work(c *conn, end time.Time) {
	for now := time.Now(); now.Before(end); now = time.Now() {
		t.mu.Lock()
		request := t.requests[t.next%int64(len(t.requests))]
		t.next++
		broken := t.result.Failed >= 100
		t.mu.Unlock()
		if broken {
			return // do not hammer on it
		}
		status, err := c.do(request)
		delay := time.Since(now)
		good := err == nil && status == 200 && bytes.Contains(c.body, []byte(`"access_token":"ey`))
		t.mu.Lock()
		if good {
			t.result.OK++
			t.result.ReplyBytes = len(c.body)
			t.delays = append(t.delays, delay)
		} else {
			t.result.Failed++
			if t.result.FirstFailure == "" {
				t.result.FirstFailure = fmt.Sprintf("%d %v %.300s", status, err, c.body)
			}
		}
		t.mu.Unlock()
	}
}
