package federation

import (
	"crypto/sha256"
	"sync"

	"cambio/internal/jose"
)

// verified remembers with which key an assertion verified, by the hash of the
// whole token, so that a workload which presents one token again and again
// costs one verification. That these bytes were signed by that key stays true.
// Everything else is asked anew each time: whether the issuer still publishes
// the key, the times, the credential, the policy. Nothing that was refused is
// remembered.
//
// It keeps two generations, each of at most half of the bound: when the newer
// one is full it becomes the older one, and what was not used since is
// forgotten. It is safe for concurrent use.
type verified struct {
	most int // assertions in one generation; 0: nothing is remembered

	mu           sync.RWMutex
	newer, older map[assertionHash]*jose.PublicKey
}

type assertionHash = [sha256.Size]byte

// rememberedBytes is the memory that one takes in a map.
const rememberedBytes = 100

// newVerified makes one that holds so many bytes, estimated.
func newVerified(bytes int) *verified {
	return &verified{most: bytes / 2 / rememberedBytes, newer: make(map[assertionHash]*jose.PublicKey)}
}

// by returns the key that an assertion verified with, nil if that is not
// remembered.
func (v *verified) by(hash assertionHash) *jose.PublicKey {
	if v.most == 0 {
		return nil
	}
	v.mu.RLock()
	key, newer := v.newer[hash]
	if !newer {
		key = v.older[hash]
	}
	v.mu.RUnlock()
	if key != nil && !newer {
		v.remember(hash, key)
	}
	return key
}

// remember notes that an assertion verified with a key.
func (v *verified) remember(hash assertionHash, key *jose.PublicKey) {
	if v.most == 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.newer) >= v.most {
		v.older, v.newer = v.newer, make(map[assertionHash]*jose.PublicKey)
	}
	v.newer[hash] = key
}
