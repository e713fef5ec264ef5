package consistency

// exchangeCode is Endpoint.exchange: decide, record, and decide once more if
// the record was refused as outdated.
func (p *process) exchangeCode(x *exchange) {
	x.began = p.w.now
	since := p.rep.epoch
	entries, ok := p.lookup()
	if !ok {
		return // 503
	}
	allowed := decide(entries)
	if p.w.wrong.answerBeforeCommit {
		p.answer(x, allowed)
	}
	switch p.record(x, allowed, entries, !p.w.wrong.noValidation, since) {
	case recorded:
		p.answer(x, allowed)
	case outdated:
		since = p.rep.epoch
		p.step("decide again")
		if !p.w.wrong.retryWithoutReading {
			if entries, ok = p.lookup(); !ok {
				return
			}
		}
		allowed = decide(entries)
		if p.record(x, allowed, entries, false, since) == recorded {
			p.answer(x, allowed)
		}
	case unknown:
		if p.w.wrong.answerWhenInDoubt {
			p.answer(x, allowed)
		}
	}
}

func (p *process) answer(x *exchange, allowed bool) {
	x.answered, x.allowed, x.ended = true, allowed, p.w.now
}

func decide(entries [objects]*entry) bool { return entries[0].allowed && entries[1].allowed }

// lookup is Records.Client and Records.Resource.
func (p *process) lookup() (entries [objects]*entry, ok bool) {
	for o := range entries {
		p.step("look into the cache")
		if e := p.rep.cache[o]; e != nil {
			entries[o] = e
			continue
		}
		if entries[o], ok = p.load(object(o)); !ok {
			return entries, false
		}
	}
	return entries, true
}

// load is Records.load: it joins a load that is under way, or leads one.
func (p *process) load(o object) (*entry, bool) {
	l := p.rep.loading[o]
	if l == nil {
		return p.lead(o)
	}
	p.step("join a load")
	for !l.ended {
		p.step("wait for a load")
	}
	if l.ok && !l.entry.stale && (!l.entry.absent || p.w.wrong.shareAbsence) {
		return l.entry, true
	}
	e, ok := p.read(o)
	if ok && !e.absent {
		e.stale = true // it is not cached
	}
	return e, ok
}

// read is Records.read.
func (p *process) read(o object) (*entry, bool) {
	known := p.rep.applied
	p.step("begin to read")
	db := &p.w.db
	e := &entry{allowed: db.allowed[o], seq: db.head, absent: p.w.absent[o] && !db.allowed[o]}
	p.step("read a snapshot")
	return e, e.seq >= known // otherwise of a server that another one took over from
}

// lead is Records.lead and cache.finish.
func (p *process) lead(o object) (*entry, bool) {
	r, l, cleared := p.rep, new(loading), p.rep.cleared
	r.loading[o] = l
	r.loads++
	p.step("begin to load")
	e, ok := p.read(o)
	if ok && !e.absent {
		p.store(o, e, cleared)
	}
	l.ended, l.entry, l.ok = true, e, ok
	r.loading[o] = nil
	if r.loads--; r.loads == 0 {
		r.dropped = [objects]int{}
	}
	p.step("end the load")
	return e, ok
}

// store puts a record into the cache, unless it is obsolete.
func (p *process) store(o object, e *entry, cleared int) {
	r := p.rep
	if !p.w.wrong.storeOldLoads && (r.dropped[o] > e.seq || r.cleared != cleared) {
		e.stale = true
	} else if before := r.cache[o]; before != nil && before.seq > e.seq {
		e.stale = true // another load was faster and saw more
	} else {
		r.evict(o, p.w)
		r.cache[o] = e
	}
}

// evict is cache.remove: who holds the record cannot be told of changes any
// more.
func (r *replica) evict(o object, w *world) {
	if e := r.cache[o]; e != nil {
		e.stale = !w.wrong.evictedStaysFresh
		r.cache[o] = nil
	}
}

// drop is cache.drop.
func (r *replica) drop(o object, seq int) {
	if r.loads > 0 {
		r.dropped[o] = max(r.dropped[o], seq)
	}
	if e := r.cache[o]; e != nil && e.seq < seq {
		e.stale = true
		r.cache[o] = nil
	}
}

type outcome int

const (
	recorded outcome = iota
	outdated
	unavailable
	unknown // the commit's answer was lost
)

func stale(entries [objects]*entry) bool { return entries[0].stale || entries[1].stale }

// record is the writer: tryDecisions, and transact when that cannot be. With
// validate the decision must rest on what the database holds; in any case it
// must be of the epoch.
func (p *process) record(x *exchange, allowed bool, entries [objects]*entry, validate bool, epoch int) outcome {
	r, db := p.rep, &p.w.db
	p.step("hand the record to the writer")
	for r.writing != nil { // there is one, for one batch at a time
		p.step("wait for the writer")
	}
	r.writing = p
	defer func() { r.writing = nil }()
	if r.broken {
		p.reopen(&r.broken)
	}
	r.begun = true
	if !validate && r.epoch != epoch && !p.w.wrong.secondOfAnyEpoch {
		return unavailable
	}
	stale := func(entries [objects]*entry) bool {
		return stale(entries) || r.epoch != epoch && !p.w.wrong.absenceOfAnyEpoch && !p.w.wrong.keepCaches
	}
	old := validate && p.w.wrong.staleBeforeApplied && stale(entries)
	if p.w.wrong.staleBeforeApplied {
		p.step("look for stale records, too early")
	}
	position := r.applied
	p.step("read the position")
	if !p.w.wrong.staleBeforeApplied {
		old = validate && stale(entries)
	}
	p.step("look for stale records")
	if !old {
		if r.broken {
			return unavailable
		}
		if db.head == position || !validate {
			return p.commitRecord(x, allowed)
		}
		p.step("find the position changed")
	}
	if r.broken {
		return unavailable
	}
	head, term := db.head, db.term
	p.step("begin a transaction")
	if head != r.applied && !p.catchUp() {
		return unavailable
	}
	if validate && stale(entries) {
		return outdated
	}
	p.step("look for stale records again")
	if r.broken || db.term != term {
		return unavailable
	}
	return p.commitRecord(x, allowed)
}

// commitRecord makes the record durable. The answer to that can be lost.
func (p *process) commitRecord(x *exchange, allowed bool) outcome {
	lost := p.w.random.IntN(20) == 0
	if lost && p.w.random.IntN(2) == 0 {
		p.rep.broken = true
		p.step("lose the commit of the record")
		return unknown
	}
	term := p.w.db.term
	p.w.db.records = append(p.w.db.records, record{x, allowed})
	p.step("wait for the standby")
	if p.w.db.term != term {
		return unknown
	}
	p.w.replicate()
	if lost {
		p.rep.broken = true
		p.step("lose the answer to the commit of the record")
		return unknown
	}
	p.step("commit the record")
	return recorded
}

// catchUp is feed.catchUp. It reports false if the database shows an older
// state than it did before.
func (p *process) catchUp() bool {
	r, db := p.rep, &p.w.db
	epoch, applied := r.epoch, r.applied
	head, changed := db.head, db.changed
	p.step("read the change feed")
	if head < applied {
		return false
	}
	if p.w.wrong.advanceBeforeDrop {
		p.advance(epoch, head)
		p.step("advance, too early")
	}
	for o, seq := range changed {
		if seq > applied {
			r.drop(object(o), seq)
			p.step("publish a change")
		}
	}
	p.advance(epoch, head)
	p.step("advance")
	return true
}

// advance is feed.advance.
func (p *process) advance(epoch, seq int) {
	for p.rep.forgets != nil { // it holds the lock
		p.step("wait to advance")
	}
	if p.rep.epoch == epoch {
		p.rep.applied = max(p.rep.applied, seq)
	}
}

// reopen is writer.open after a session was lost, and feed.forget: nothing
// that was known before counts. There are two writers.
func (p *process) reopen(lost *bool) {
	r := p.rep
	*lost = false
	head := p.w.db.head
	p.step("open a session")
	for r.forgets != nil {
		p.step("wait to forget")
	}
	r.forgets = p
	r.epoch++
	p.step("begin an epoch")
	if p.w.wrong.positionBeforeMarks {
		r.applied = head
		p.step("take the new position, too early")
	}
	if !p.w.wrong.keepCaches {
		r.cleared++
		for o := range r.cache {
			r.evict(object(o), p.w)
		}
	}
	p.step("forget everything")
	r.applied = head
	r.forgets = nil
	p.step("take the new position")
}

// writeCode is a management write: DB.Write.
func (p *process) writeCode(o object, allowed bool, returned func()) {
	r, db := p.rep, &p.w.db
	for r.managing != nil { // there is one writer of these
		p.step("wait for the other writer")
	}
	r.managing = p
	defer func() { r.managing = nil }()
	if r.unmanaged {
		p.reopen(&r.unmanaged)
	}
	for db.locked != nil && !p.w.wrong.writeWithoutLock {
		p.step("wait for the lock")
	}
	db.locked = p
	head, term := db.head, db.term
	p.step("lock the head")
	if head != r.applied && !p.catchUp() {
		return
	}
	if db.term != term || r.unmanaged {
		return
	}
	if p.w.wrong.writeWithoutLock {
		p.commitOutOfOrder(o, allowed)
	} else {
		if p.w.random.IntN(20) == 0 {
			r.unmanaged = true
			p.step("lose the commit of a write")
			return
		}
		db.commit(o, allowed, p.w.now)
	}
	seq := db.head
	db.unlock(p)
	p.step("commit a write, and wait for the standby")
	if db.term != term {
		return
	}
	p.w.replicate()
	if p.w.random.IntN(20) == 0 {
		r.unmanaged = true
		return // the answer is lost: nobody knows
	}
	r.drop(o, seq)
	p.step("publish the write")
	p.advance(r.epoch, seq)
	p.step("advance past the write")
	returned()
}

// readCode is a management request that reads: Server.confirmed and DB.Confirm.
// What it confirms by is a write of nothing.
func (p *process) readCode(x *reading) {
	r, db := p.rep, &p.w.db
	x.began = p.w.now
	since := r.epoch
	p.step("begin to read for a manager")
	allowed := db.allowed[x.object]
	p.step("read for a manager")
	if p.w.wrong.readUnconfirmed {
		x.answered, x.allowed, x.ended = true, allowed, p.w.now
		return
	}
	for r.managing != nil {
		p.step("wait for the other writer, to confirm")
	}
	r.managing = p
	defer func() { r.managing = nil }()
	if r.unmanaged {
		p.reopen(&r.unmanaged)
	}
	for db.locked != nil {
		p.step("wait for the lock, to confirm")
	}
	db.locked = p
	term := db.term
	p.step("lock the head, to confirm")
	if r.epoch != since || db.term != term || r.unmanaged {
		return
	}
	db.unlock(p)
	p.step("wait for the standby, to confirm")
	if db.term != term {
		return
	}
	p.w.replicate()
	x.answered, x.allowed, x.ended = true, allowed, p.w.now
	p.step("confirm")
}

// commitOutOfOrder is what happens without the lock: two writes number
// themselves one way and become visible the other way.
func (p *process) commitOutOfOrder(o object, allowed bool) {
	db := &p.w.db
	db.head++
	seq := db.head
	p.step("take a number")
	db.allowed[o] = allowed
	db.changed[o] = seq
	db.history[o] = append(db.history[o], version{p.w.now, allowed})
}
