package store

import (
	"container/list"
	"sync"
	"sync/atomic"

	"cambio/internal/directory"
)

// cacheKey is what a record is looked up by. kind is one of the
// directory.Key constants; name is a client id, an appId, an identifier URI,
// a tenant id, a domain …
type cacheKey struct{ kind, tenantID, name string }

// entry is one cached record. All but visited and old is immutable.
type entry struct {
	value   any           // *directory.TenantRecord, *ClientRecord or *ResourceRecord
	names   []cacheKey    // everything it is found by
	changed directory.Key // the change-feed key that makes it obsolete
	seq     int64         // the change-feed sequence it includes
	bytes   int           // what it counts against the bound
	parent  string        // of a client's credentials
	visited atomic.Bool   // looked up since the hand last passed
	old     atomic.Bool   // obsolete; kept for what of it is still true
	where   *list.Element // guarded by cache.mu
}

// loading is a load that several callers may wait for.
type loading struct {
	done       chan struct{} // closed when the fields below are set
	epoch      int64         // cache.epoch when the load began
	entry      *entry
	err        error
	superseded bool // a drop named the record while it was being loaded
}

// cache holds compiled records, bounded by bytes, with SIEVE eviction: a hit
// sets a mark and moves nothing, so that hits share a read lock. One lock is
// enough: a hit holds it for some 20 ns, of some 100 µs that an exchange
// takes.
type cache struct {
	limit int // bytes

	mu        sync.RWMutex
	entries   map[cacheKey]*entry
	order     *list.List    // of *entry, newest in front
	hand      *list.Element // where the search for a victim goes on
	bytes     int
	evictions int64
	loads     map[cacheKey]*loading
	epoch     int64                   // number of clears so far
	dropped   map[directory.Key]int64 // newest seq dropped, while loads are under way
}

func newCache(limit int) *cache {
	return &cache{
		limit:   limit,
		entries: make(map[cacheKey]*entry),
		order:   list.New(),
		loads:   make(map[cacheKey]*loading),
		dropped: make(map[directory.Key]int64),
	}
}

// get returns the entry of a key, or nil. It does not allocate.
func (c *cache) get(key cacheKey) *entry {
	c.mu.RLock()
	e := c.entries[key]
	c.mu.RUnlock()
	if e == nil || e.old.Load() {
		return nil
	}
	if !e.visited.Load() {
		e.visited.Store(true)
	}
	return e
}

// previous returns the last known state of a record that is obsolete, or nil.
func (c *cache) previous(key cacheKey) *entry {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if e := c.entries[key]; e != nil && e.old.Load() {
		return e
	}
	return nil
}

// begin joins the load of a key that is under way, or makes the caller the
// one who loads (first).
func (c *cache) begin(key cacheKey) (l *loading, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.loads[key]; l != nil {
		return l, false
	}
	l = &loading{done: make(chan struct{}), epoch: c.epoch}
	c.loads[key] = l
	return l, true
}

// finish ends a load: it stores what was loaded, unless a change that it does
// not include was published meanwhile, and wakes those who wait.
func (c *cache) finish(key cacheKey, l *loading, e *entry, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.entry, l.err = e, err
	if e != nil {
		if c.dropped[e.changed] > e.seq || l.epoch != c.epoch {
			l.superseded = true
			markStale(e.value)
		} else {
			c.store(e)
		}
	} else if before := c.entries[key]; before != nil && before.old.Load() && err == ErrNotFound {
		c.remove(before)
	}
	delete(c.loads, key)
	if len(c.loads) == 0 {
		clear(c.dropped)
	}
	close(l.done)
}

// usable reports whether a load that ended may be used by a caller who joined
// it. The state that was read can be older than a change, of another server
// too, that this caller knows of. A record that is, is marked when the change
// is published, before a decision on it is recorded; that there was none
// leaves nothing to mark. Errors are not shared either: they may come from the
// other caller's context.
func (l *loading) usable() bool { return l.err == nil && !l.superseded }

// store adds an entry; c.mu is held.
func (c *cache) store(e *entry) {
	for _, name := range e.names {
		if old := c.entries[name]; old != nil {
			if old.seq > e.seq {
				markStale(e.value)
				return // another load was faster and saw more
			}
			c.remove(old)
		}
	}
	if e.bytes > c.limit {
		markStale(e.value)
		return
	}
	for c.bytes+e.bytes > c.limit {
		c.evict()
	}
	for _, name := range e.names {
		c.entries[name] = e
	}
	c.bytes += e.bytes
	e.where = c.order.PushFront(e)
}

// evict removes one entry by SIEVE: from the oldest on, spare those looked up
// since the hand last passed. c.mu is held; there is an entry.
func (c *cache) evict() {
	at := c.hand
	if at == nil {
		at = c.order.Back()
	}
	for at.Value.(*entry).visited.Swap(false) {
		if at = at.Prev(); at == nil {
			at = c.order.Back()
		}
	}
	c.hand = at
	c.evictions++
	c.remove(at.Value.(*entry))
}

// remove takes an entry out under all its names; c.mu is held.
func (c *cache) remove(e *entry) {
	if e.where == nil {
		return
	}
	if c.hand == e.where {
		c.hand = e.where.Prev()
	}
	markStale(e.value) // from here on no drop can find it
	c.order.Remove(e.where)
	e.where = nil
	c.bytes -= e.bytes
	for _, name := range e.names {
		if c.entries[name] == e {
			delete(c.entries, name)
		}
	}
}

// drop removes the record that key names if it does not include seq, and
// keeps a load that is under way from storing such a one.
func (c *cache) drop(key directory.Key, seq int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.loads) > 0 {
		c.dropped[key] = max(c.dropped[key], seq)
	}
	e := c.entries[cacheKey{key.Kind, key.TenantID, key.ID}]
	if e == nil || e.seq >= seq {
		return
	}
	markStale(e.value)
	if record, ok := e.value.(*directory.ClientRecord); ok && len(record.Credentials) >= manyCredentials {
		e.old.Store(true)
		return
	}
	c.remove(e)
}

// clear drops every record, and keeps loads that are under way from storing
// one.
func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	for c.order.Len() > 0 {
		c.remove(c.order.Back().Value.(*entry))
	}
}

// stats returns how many entries were evicted, and the size of what is there.
func (c *cache) stats() (evictions int64, bytes int) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.evictions, c.bytes
}

// manyCredentials is from how many credentials on an obsolete client record
// is kept until it is loaded again, so that only the difference is read.
const manyCredentials = 64

// markStale tells those who hold a record that a later state was committed,
// or may be without their hearing of it, since the record is not in the cache.
func markStale(value any) {
	if record, ok := value.(interface{ MarkStale() }); ok {
		record.MarkStale()
	}
}
