package jose

import (
	"errors"
	"slices"

	"cambio/internal/strictjson"
)

const (
	// maxCandidates bounds how many keys one token is tried against: a set of
	// many large keys with one kid must not make verification expensive.
	maxCandidates = 4
	// maxIgnored bounds how many refused keys are reported.
	maxIgnored = 100
)

// KeySet is the signature keys of one issuer. It is immutable.
type KeySet struct {
	Keys    []*PublicKey // in the order of the document
	Ignored []IgnoredKey // the first 100 keys that were not taken

	byKeyID map[string][]*PublicKey // the keys that have a kid; a kid may repeat
}

// IgnoredKey is a key of the document that was not taken, and why.
type IgnoredKey struct {
	Index  int    // position in the document, from 0
	KeyID  string // empty if it has none or one that cannot be used
	Reason string // from the fixed texts of this package
}

// NewKeySet makes a set of keys already checked.
func NewKeySet(keys []*PublicKey) *KeySet {
	set := &KeySet{Keys: keys, byKeyID: make(map[string][]*PublicKey, len(keys))}
	for _, key := range keys {
		if key.named {
			set.byKeyID[key.KeyID] = append(set.byKeyID[key.KeyID], key)
		}
	}
	return set
}

// ParseKeySet reads a JWK set (RFC 7517 §5) of at most 1 MiB. It takes the
// first maxKeys signature keys in document order; keys of another kind or with
// a fault are skipped and reported, they do not spoil the others. The set may
// be empty. The error is a *ParseError: the document is not a JWK set.
func ParseKeySet(doc []byte, maxKeys int) (*KeySet, error) {
	return parseKeySet(doc, maxKeys, parseJWK)
}

// ParseBundleKeys reads the keys of a SPIFFE bundle that JWT-SVIDs are verified
// with (SPIFFE Trust Domain and Bundle §4.2), as ParseKeySet does. Entries of
// another use are passed over; each of this one must have a kid.
func ParseBundleKeys(doc []byte, maxKeys int) (*KeySet, error) {
	return parseKeySet(doc, maxKeys, parseBundleJWK)
}

func parseKeySet(doc []byte, maxKeys int, parse func(entry []byte) (*PublicKey, string, error)) (*KeySet, error) {
	document, err := strictjson.ParseObject(doc, strictjson.Document)
	if err != nil {
		return nil, &ParseError{"key set", err.Error()}
	}
	entries, present, err := document.Array("keys")
	if err != nil || !present {
		return nil, &ParseError{"key set", "keys is not an array"}
	}
	var keys []*PublicKey
	var ignored []IgnoredKey
	for i, entry := range entries {
		if len(keys) >= maxKeys && len(ignored) >= maxIgnored {
			break
		}
		key, keyID, err := parse(entry)
		if errors.Is(err, errOtherUse) {
			continue
		}
		if err == nil && len(keys) < maxKeys {
			keys = append(keys, key)
			continue
		}
		reason := "beyond the largest number of keys"
		if err != nil {
			reason = err.Error()
		}
		if len(ignored) < maxIgnored {
			ignored = append(ignored, IgnoredKey{Index: i, KeyID: keyID, Reason: reason})
		}
	}
	set := NewKeySet(keys)
	set.Ignored = ignored
	return set, nil
}

// Candidates returns the keys that may have signed a token with header h, at
// most 4: those with its kid, or all if it has none, as far as they support
// its algorithm. Without a kid the caller decides whether more than one
// candidate is too many. known is false if the token names a kid that is not
// in the set, so that a newer set might help. The slice must not be changed.
func (s *KeySet) Candidates(h Header) (keys []*PublicKey, known bool) {
	keys, known = s.Keys, true
	if h.HasKeyID {
		keys = s.byKeyID[h.KeyID]
		known = len(keys) > 0
	}
	unfit := func(key *PublicKey) bool { return !key.Supports(h.Algorithm) }
	if slices.ContainsFunc(keys, unfit) {
		keys = slices.DeleteFunc(slices.Clone(keys), unfit)
	}
	return keys[:min(len(keys), maxCandidates):min(len(keys), maxCandidates)], known
}
