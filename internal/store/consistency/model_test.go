package consistency

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

var variants = map[string]variant{
	"no validation":                          {noValidation: true},
	"stale looked for before applied":        {staleBeforeApplied: true},
	"applied advances before drops":          {advanceBeforeDrop: true},
	"old loads are stored":                   {storeOldLoads: true},
	"evicted records stay fresh":             {evictedStaysFresh: true},
	"second decision on the same records":    {retryWithoutReading: true},
	"second decision of any epoch":           {secondOfAnyEpoch: true},
	"caches outlive a failover":              {keepCaches: true},
	"writes without the lock":                {writeWithoutLock: true},
	"answers before the commit":              {answerBeforeCommit: true},
	"answers although the commit is unsure":  {answerWhenInDoubt: true},
	"new position before marks":              {positionBeforeMarks: true},
	"absence is shared":                      {shareAbsence: true},
	"absence of any epoch":                   {absenceOfAnyEpoch: true},
	"reads without confirmation":             {readUnconfirmed: true},
	"what was read before the first session": {keepFirst: true},
}

// schedules is how many random orders are tried: some in the usual test run,
// CAMBIO_SCHEDULES when it is asked for.
func schedules(t *testing.T) int {
	text := os.Getenv("CAMBIO_SCHEDULES")
	if text == "" {
		return 20_000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("CAMBIO_SCHEDULES=%q is no count", text)
	}
	return n
}

// TestProtocol: no schedule breaks a promise.
func TestProtocol(t *testing.T) {
	began, exchanges := time.Now(), 0
	n := schedules(t)
	for seed := range n {
		w := newWorld(uint64(seed), variant{})
		w.play()
		exchanges += len(w.exchanges)
		if problem := w.check(); problem != "" {
			t.Fatalf("seed %d: %s\n%s", seed, problem, replay(uint64(seed), variant{}))
		}
	}
	t.Logf("%d schedules with %d exchanges in %v", n, exchanges, time.Since(began).Round(time.Millisecond))
}

// TestPlantedMistakesAreFound: the check can fail.
func TestPlantedMistakesAreFound(t *testing.T) {
	for name, wrong := range variants {
		found := -1
		for seed := range 1_000_000 {
			w := newWorld(uint64(seed), wrong)
			w.play()
			if w.check() != "" {
				found = seed
				break
			}
		}
		if found < 0 {
			t.Errorf("%s: not found", name)
		} else {
			t.Logf("%s: found by schedule %d", name, found)
		}
	}
}

// replay runs a schedule again and writes it down.
func replay(seed uint64, wrong variant) string {
	w := newWorld(seed, wrong)
	w.tracing = true
	w.play()
	return strings.Join(w.trace, "\n")
}

func newWorld(seed uint64, wrong variant) *world {
	w := &world{random: rand.New(rand.NewPCG(seed, 0)), wrong: wrong}
	for o := range w.db.allowed {
		w.db.allowed[o] = true
		w.db.history[o] = []version{{0, true}}
		w.absent[o] = w.random.IntN(3) == 0
	}
	w.replicate()
	n := 2 + w.random.IntN(2)
	w.young, w.managed = w.random.IntN(4) == 0, w.random.IntN(4) == 0
	for i := range n {
		w.reps = append(w.reps, w.newReplica(fmt.Sprintf("replica %d", i)))
	}
	return w
}

// newReplica is a replica that was just started and has no sessions yet, or one
// that has been at work for a while.
func (w *world) newReplica(name string) *replica {
	r := &replica{name: name, applied: w.db.head, begun: !w.young || w.random.IntN(3) > 0}
	r.broken, r.unmanaged = !r.begun && !w.wrong.keepFirst, !r.begun && !w.wrong.keepFirst
	return r
}

// play runs a random schedule: what begins when, and who makes the next step.
// A replica that is not chosen for long is one that is paused.
func (w *world) play() {
	begun := 0
	paused, until := (*replica)(nil), 0
	calm := 50 + 150*w.random.IntN(2) // one step in so many, for each fault
	for begun < 12 || len(w.running) > 0 {
		if begun < 12 && (len(w.running) == 0 || w.random.IntN(6) == 0) {
			w.begin()
			begun++
		}
		switch w.random.IntN(calm) {
		case 0:
			w.crash()
		case 1, 5:
			r := w.reps[w.random.IntN(len(w.reps))]
			if w.random.IntN(2) == 0 {
				r.broken = true
				w.note(r.name + " loses the session of its decisions")
			} else {
				r.unmanaged = true
				w.note(r.name + " loses the session of its writes")
			}
		case 2:
			r := w.reps[w.random.IntN(len(w.reps))]
			w.note(r.name + " evicts a record")
			r.evict(object(w.random.IntN(objects)), w)
		case 3:
			if w.random.IntN(2) == 0 {
				w.failover()
			}
		case 4:
			paused, until = w.reps[w.random.IntN(len(w.reps))], w.now+w.random.IntN(200)
		}
		w.runExcept(paused, until)
	}
}

// runExcept makes a step of anybody but a paused replica, while it is paused
// and there is anybody else.
func (w *world) runExcept(paused *replica, until int) {
	for range 8 {
		if len(w.running) == 0 || paused == nil || w.now >= until {
			break
		}
		if i := w.random.IntN(len(w.running)); w.running[i].rep != paused {
			w.running[0], w.running[i] = w.running[i], w.running[0]
			first := w.running[:1]
			rest := w.running[1:]
			w.running = first
			w.run()
			w.running = append(w.running, rest...)
			return
		}
	}
	w.run()
}

func (w *world) begin() {
	r := w.reps[w.random.IntN(len(w.reps))]
	switch w.random.IntN(10) {
	case 0, 1, 2:
		o, allowed := object(w.random.IntN(objects)), w.random.IntN(2) == 0
		w.spawn(fmt.Sprintf("write %d of object %d, %v", w.now, o, allowed), r, func(p *process) { p.writeCode(o, allowed, func() {}) })
	case 3:
		if !w.managed {
			w.spawn("poll", r, func(p *process) { p.catchUp() })
			return
		}
		x := &reading{object: object(w.random.IntN(objects))}
		w.readings = append(w.readings, x)
		w.spawn(fmt.Sprintf("reading %d of object %d", len(w.readings)-1, x.object), r, func(p *process) { p.readCode(x) })
	default:
		x := new(exchange)
		w.exchanges = append(w.exchanges, x)
		w.spawn(fmt.Sprintf("exchange %d", len(w.exchanges)-1), r, func(p *process) { p.exchangeCode(x) })
	}
}

// crash ends a replica; what it had sent may still be committed.
func (w *world) crash() {
	i := w.random.IntN(len(w.reps))
	old := w.reps[i]
	old.life++
	w.note(old.name + " crashes")
	w.reps[i] = w.newReplica(old.name)
}

// check compares what was answered with what the database held: every decision
// must be one that could have been made on each object as it was at some
// moment between the request and its answer, and have exactly one record, of
// that decision.
func (w *world) check() string {
	count := map[*exchange]int{}
	said := map[*exchange]bool{}
	for _, r := range w.db.records {
		count[r.exchange]++
		said[r.exchange] = r.allowed
	}
	for n, x := range w.exchanges {
		if count[x] > 1 {
			return fmt.Sprintf("exchange %d has %d records", n, count[x])
		}
		if !x.answered {
			continue
		}
		if count[x] != 1 || said[x] != x.allowed {
			return fmt.Sprintf("exchange %d was answered %v and has %d records", n, x.allowed, count[x])
		}
		if x.allowed && (!w.was(0, true, x.began, x.ended) || !w.was(1, true, x.began, x.ended)) {
			return fmt.Sprintf("exchange %d, from step %d to %d, was allowed although it was not at any moment of it", n, x.began, x.ended)
		}
		if !x.allowed && !w.was(0, false, x.began, x.ended) && !w.was(1, false, x.began, x.ended) {
			return fmt.Sprintf("exchange %d, from step %d to %d, was refused although it was allowed at every moment of it", n, x.began, x.ended)
		}
	}
	for n, x := range w.readings {
		if x.answered && !w.was(x.object, x.allowed, x.began, x.ended) {
			return fmt.Sprintf("reading %d, from step %d to %d, found %v, which it was at no moment of it", n, x.began, x.ended, x.allowed)
		}
	}
	return ""
}

// was reports whether an object was in a state at some moment between two
// steps.
func (w *world) was(o object, allowed bool, began, ended int) bool {
	history := w.db.history[o]
	for i, v := range history {
		ends := w.now + 1
		if i+1 < len(history) {
			ends = history[i+1].from
		}
		if v.allowed == allowed && v.from <= ended && ends >= began {
			return true
		}
	}
	return false
}
