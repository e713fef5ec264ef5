package store

import (
	"time"

	"golang.org/x/time/rate"
)

// lingering is what a writer knows of the jobs that come to it.
type lingering struct {
	// How many jobs the last full wait brought together, 0 before there was
	// one, and how many batches were committed since.
	expected, sinceProbe int
	// Jobs a second in the last window, and those of the present one.
	rate   float64
	window time.Time
	jobs   int

	refusals *rate.Limiter // of commits of nothing but refusals
}

// rateWindow is how long jobs are counted for the rate: one batch says little.
const rateWindow = 25 * time.Millisecond

// probeEvery is how many batches are committed as soon as they have the
// expected size before one waits for the full time again, to see whether more
// callers have come.
const probeEvery = 16

// worthWaiting is how many jobs must be likely to come during a full wait for
// it to be worth anything. The few who come would have to wait for nobody.
const worthWaiting = 4

// worthLingering reports whether there are so many callers that a batch should
// wait for more of them.
func (w *writer) worthLingering() bool {
	return w.db.cfg.Linger > 0 && (w.expected > 0 || len(w.batch) > 1) && w.rate*w.db.cfg.Linger.Seconds() >= worthWaiting
}

// refusalsEvery is how often nothing but refusals is committed, once a second's
// worth of such commits was used up.
const refusalsEvery = 25 * time.Millisecond

func newRefusalCommits() *rate.Limiter {
	return rate.NewLimiter(rate.Every(refusalsEvery), int(time.Second/refusalsEvery))
}

// awaitCompany keeps refusals from being committed by themselves too often:
// those who are issued tokens would wait for it, and refusals come in floods;
// so they wait for something to share a commit with.
func (w *writer) awaitCompany() {
	if !w.onlyRefusals() || w.refusals.Allow() {
		return
	}
	w.lingerer.Reset(refusalsEvery)
	defer w.lingerer.Stop()
	for len(w.batch) < w.db.cfg.MaxBatch && w.onlyRefusals() {
		select {
		case j, ok := <-w.queue:
			if !ok {
				return
			}
			w.add(j)
		case <-w.lingerer.C:
			return
		}
	}
}

// onlyRefusals reports whether the batch holds no more than refused decisions.
func (w *writer) onlyRefusals() bool {
	for _, j := range w.batch {
		if j.fn != nil || j.row.Code == 0 {
			return false
		}
	}
	return len(w.batch) > 0
}

// measure counts a batch that was committed.
func (l *lingering) measure(jobs int, now time.Time) {
	l.jobs += jobs
	if took := now.Sub(l.window); took >= rateWindow {
		l.rate, l.window, l.jobs = float64(l.jobs)/took.Seconds(), now, 0
	}
}

// linger waits for more jobs while callers are many: a commit costs as much
// CPU as ten rows, most of it the kernel's part of fsync. A caller that is
// alone never waits, and a batch as large as the last full wait made one is
// committed at once: those who are to come have come.
//
// Measured with BenchmarkRecordDecision on two cores (µs of CPU per row, rows
// per commit in brackets), callers working 400 µs between their records:
//
//	             no linger    1 ms        2 ms
//	 1 caller    133 (1)      132 (1)     140 (1)
//	 8 callers    49 (3.2)     27 (7.7)    36 (7.8)
//	64 callers    43 (8.1)     36 (12)     10 (28)
//
// and without work in between 8 callers 41 (4.0) against 25 (8.0), in less
// time for each, since a full batch does not wait.
//
// The default is 5 ms, by the whole server (bench, 32 connections, GOGC=400):
// an exchange then costs 1.081 times the floor with RS256 and 1.150 times with
// ES256. The wait rarely lasts that long, since the expected number ends it.
func (w *writer) linger() {
	w.sinceProbe++
	probe := w.expected == 0 || w.sinceProbe >= probeEvery
	if !probe && len(w.batch) >= w.expected {
		w.expected = len(w.batch)
		return
	}
	if probe {
		w.sinceProbe = 0
	}
	w.lingerer.Reset(w.db.cfg.Linger)
	defer w.lingerer.Stop()
	for len(w.batch) < w.db.cfg.MaxBatch && (probe || len(w.batch) < w.expected) {
		select {
		case j, ok := <-w.queue:
			if !ok {
				return
			}
			w.add(j)
		case <-w.lingerer.C:
			w.expected = len(w.batch)
			return
		}
	}
	w.expected = len(w.batch)
}
