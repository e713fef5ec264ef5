package consistency

import (
	"cmp"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
)

// object is what a decision rests on: a client's record, or a resource's.
type object int

const objects = 2

// world is one run: a database, replicas, and everything under way.
type world struct {
	random  *rand.Rand
	wrong   variant
	db      database
	reps    []*replica
	standby database // what a failover leaves
	running []*process
	trace   []string // what happened, when it is asked for
	tracing bool
	now     int           // number of steps so far
	absent  [objects]bool // an object that allows nothing is one that does not exist
	young   bool          // replicas may have no sessions yet
	managed bool          // somebody reads by the management APIs

	exchanges []*exchange
	readings  []*reading
}

// variant is a protocol with a mistake. The zero value is the protocol.
type variant struct {
	noValidation        bool // records are trusted until the poller hears of a change
	staleBeforeApplied  bool // stale records are looked for before the position is read
	advanceBeforeDrop   bool // the position advances before the records are dropped
	storeOldLoads       bool // a load stores what a change published meanwhile made obsolete
	evictedStaysFresh   bool // a record that left the cache is not marked
	secondOfAnyEpoch    bool // the second decision may rest on what a failover lost
	retryWithoutReading bool // the second decision rests on the same records
	keepCaches          bool // what was known counts after a lost session
	writeWithoutLock    bool // writes number themselves without the lock
	answerBeforeCommit  bool // the answer leaves before its record is durable
	answerWhenInDoubt   bool // an answer leaves although its commit is in doubt
	positionBeforeMarks bool // what was known is forgotten after the new position is taken
	absenceOfAnyEpoch   bool // a refusal may rest on the absence of what a failover brought back
	shareAbsence        bool // who joins a load takes from it that there is no such object
	readUnconfirmed     bool // what was read is told although no standby may have it
	keepFirst           bool // what was read before the first session counts
}

// database is what is committed. A commit is visible in one step; in another
// one the standby has it, and only then it is answered for.
type database struct {
	term    int // counts failovers
	head    int
	allowed [objects]bool
	changed [objects]int // sequence of the newest change: the change feed
	locked  *process     // who holds the row change_head

	history [objects][]version // what was in force, and from which step on
	records []record           // the audit trail
}

type version struct {
	from    int
	allowed bool
}

type record struct {
	exchange *exchange
	allowed  bool
}

// replica is one process of the server.
type replica struct {
	name    string
	life    int // counts its crashes
	applied int
	epoch   int
	cache   [objects]*entry
	dropped [objects]int // newest change published while loads are under way
	loads   int
	loading [objects]*loading // that others may join
	cleared int               // counts how often the cache was emptied

	broken    bool     // the session of the writer of decisions is lost, or there was none yet
	writing   *process // whose record that writer has in hand
	unmanaged bool     // the session of the other writer is, likewise
	managing  *process // whose write that one has in hand
	forgets   *process // who is about to forget everything
	begun     bool     // something was recorded
}

// loading is a load that others may join.
type loading struct {
	ended bool
	entry *entry
	ok    bool
}

// entry is a compiled record.
type entry struct {
	allowed bool
	seq     int
	absent  bool // nothing was found: this is in no cache, and nothing marks it
	stale   bool
}

// exchange is a token request, for the comparison afterwards.
type exchange struct {
	began, ended int
	answered     bool // with a decision; not 503, not lost in a crash
	allowed      bool
}

// reading is a management request that reads, for the comparison afterwards.
type reading struct {
	began, ended int
	object       object
	answered     bool
	allowed      bool
}

// process is one thing under way. Its code runs until it yields, which is one
// step.
type process struct {
	name  string
	rep   *replica
	life  int
	next  func() (string, bool)
	stop  func()
	yield func(string) bool
	w     *world
}

// crashed ends the code of a process whose replica has crashed.
type crashed struct{}

// step ends a step, and says what the next one does.
func (p *process) step(what string) {
	if !p.yield(what) || p.rep != nil && p.rep.life != p.life {
		panic(crashed{})
	}
}

// spawn starts a process of a replica.
func (w *world) spawn(name string, rep *replica, code func(*process)) {
	p := &process{name: name, rep: rep, w: w, life: rep.life}
	p.next, p.stop = iter.Pull(func(yield func(string) bool) {
		p.yield = yield
		defer func() {
			if r := recover(); r != nil {
				if _, ok := r.(crashed); !ok {
					panic(r)
				}
			}
			w.db.unlock(p)
		}()
		code(p)
	})
	w.running = append(w.running, p)
}

// run runs one step of a random process, if there is any left.
func (w *world) run() bool {
	if len(w.running) == 0 {
		return false
	}
	i := w.random.IntN(len(w.running))
	p := w.running[i]
	w.now++
	what, more := p.next()
	w.note(p.rep.name + ", " + p.name + ": " + cmp.Or(what, "end"))
	if !more {
		w.running = slices.Delete(w.running, i, i+1)
	}
	return true
}

// note writes down what happens, when it is asked for.
func (w *world) note(what string) {
	if w.tracing {
		w.trace = append(w.trace, fmt.Sprintf("%4d %s", w.now, what))
	}
}

// replicate lets the standby have everything that is visible, in its order.
func (w *world) replicate() {
	term := w.db.term
	w.standby = w.db
	w.standby.term = term
	for o := range w.standby.history {
		w.standby.history[o] = slices.Clone(w.db.history[o])
	}
	w.standby.records = slices.Clone(w.db.records)
}

// failover makes the standby the database. Every session ends.
func (w *world) failover() {
	w.note("the standby takes over")
	term := w.db.term + 1
	w.db = w.standby
	w.db.term, w.db.locked = term, nil
	w.replicate()
	for _, r := range w.reps {
		if w.wrong.keepFirst && !r.begun {
			continue // it has no session that could be lost
		}
		r.broken, r.unmanaged = true, true
	}
}

func (db *database) unlock(p *process) {
	if db.locked == p {
		db.locked = nil
	}
}

// commit makes a change durable.
func (db *database) commit(o object, allowed bool, now int) {
	db.head++
	db.allowed[o] = allowed
	db.changed[o] = db.head
	db.history[o] = append(db.history[o], version{now, allowed})
}
