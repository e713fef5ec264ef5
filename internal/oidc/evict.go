package oidc

// evictionSample is how many entries are compared to find one that was not
// used lately. Exact order is not worth a lock on the warm path.
const evictionSample = 16

// entryCost is what an entry without keys counts for, in bytes.
const entryCost = 1024

// entry finds the entry of an issuer under terms or makes it.
func (k *KeySets) entry(issuer string, terms Terms) *entry {
	if e := k.known(issuer, terms); e != nil {
		return e
	}
	name := terms.under(issuer)
	rules := k.rulesUnder(issuer, terms)
	k.mu.Lock()
	defer k.mu.Unlock()
	if e := k.entries[name]; e != nil {
		return e
	}
	e := newEntry(issuer, rules, k.config.Cache)
	e.name, e.bundle = name, terms.Bundle
	e.touch(k.config.Clock())
	e.cost = entryCost
	k.entries[name] = e
	k.bytes += e.cost
	k.shrink(e)
	return e
}

// account notes the memory of an entry's new key set.
func (k *KeySets) account(e *entry, cost int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.entries[e.name] != e {
		return // evicted during the refresh; its waiters still hold it
	}
	k.bytes += cost + entryCost - e.cost
	e.cost = cost + entryCost
	k.shrink(e)
}

// shrink evicts entries until the bounds hold, never keep. k.mu is held.
func (k *KeySets) shrink(keep *entry) {
	for len(k.entries) > 1 &&
		(len(k.entries) > k.config.Cache.MaxIssuers || k.bytes > k.config.Cache.MaxCacheBytes) {
		var oldest *entry
		seen := 0
		for _, e := range k.entries { // begins at a random place
			if e != keep && (oldest == nil || e.usedAt.Load() < oldest.usedAt.Load()) {
				oldest = e
			}
			if seen++; seen >= evictionSample {
				break
			}
		}
		k.bytes -= oldest.cost
		delete(k.entries, oldest.name)
	}
}
