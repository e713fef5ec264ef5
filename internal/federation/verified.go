package federation

import (
	"crypto/sha256"
	"sync"

	"cambio/internal/jose"
)

// verified remembers assertions whose signature verified, by the hash of the
// whole token, so that a workload which presents one token again and again
// costs one verification. What is remembered is that these bytes were signed
// by that key, and how they read, both of which stay true. Everything else is
// asked anew each time: whether the issuer still publishes the key, the times,
// the credential, the policy. Nothing that was refused is remembered.
//
// It keeps two generations, each of at most half of the bound: when the newer
// one is full it becomes the older one, and what was not used since is
// forgotten. It is safe for concurrent use.
type verified struct {
	most int // bytes of one generation; 0: nothing is remembered

	mu           sync.RWMutex
	newer, older map[[sha256.Size]byte]*Assertion
	bytes        int // of newer
}

// newVerified makes one that holds so many bytes, estimated.
func newVerified(bytes int) *verified {
	return &verified{most: bytes / 2, newer: make(map[[sha256.Size]byte]*Assertion)}
}

// get returns a remembered assertion, or nil. It must not be changed.
func (v *verified) get(hash [sha256.Size]byte) *Assertion {
	if v.most == 0 {
		return nil
	}
	v.mu.RLock()
	a, old := v.newer[hash], false
	if a == nil {
		a = v.older[hash]
		old = a != nil
	}
	v.mu.RUnlock()
	if old {
		v.put(a)
	}
	return a
}

// remember notes that a key verified an assertion.
func (v *verified) remember(a *Assertion, key *jose.PublicKey) {
	if v.most == 0 || a.verifiedBy == key {
		return
	}
	known := *a // others may be reading the one that is remembered
	known.verifiedBy = key
	v.put(&known)
}

func (v *verified) put(a *Assertion) {
	size := a.size()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.bytes+size > v.most {
		v.older, v.newer, v.bytes = v.newer, make(map[[sha256.Size]byte]*Assertion), 0
	}
	if v.newer[a.Hash] == nil {
		v.bytes += size
	}
	v.newer[a.Hash] = a
}

// size estimates the memory of a parsed assertion: the token, its decoded
// payload, and the members of that.
func (a *Assertion) size() int {
	const fixed = 1024
	return fixed + 4*len(a.jws.Payload)
}
