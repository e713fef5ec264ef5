package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
)

// Checkpoint attests, under a signature, how far chains had come at a moment.
// Checkpoints form a chain of their own. One says only what is new: the state
// of a chain is what the last checkpoint that names it says, back to one that
// names all.
type Checkpoint struct {
	ID       int64        `json:"id"` // counts from 1
	At       time.Time    `json:"at"`
	Previous Hash         `json:"previous"`          // SHA-256 of the body before it; zeros for the first
	Complete bool         `json:"complete,omitzero"` // names every chain that has rows
	Anew     []Beginning  `json:"anew,omitzero"`     // of a complete one: when the trail was begun anew, oldest first
	Chains   []ChainState `json:"chains"`
}

// Beginning says that with a checkpoint a trail was begun anew: nothing that
// earlier ones attested to counts from there on. It is an operator's act, once
// tampering was investigated.
type Beginning struct {
	Checkpoint int64     `json:"checkpoint"` // its number
	At         time.Time `json:"at"`
}

// beginsAnew reports whether this is a checkpoint that a trail was begun anew
// with.
func (c *Checkpoint) beginsAnew() bool {
	return c.Complete && len(c.Anew) > 0 && c.Anew[len(c.Anew)-1].Checkpoint == c.ID
}

// ChainState is how far a chain has come: of its rows those from FirstID to
// LastID are kept. The hash of the row FirstID continues Anchor, and that of
// LastID is LastHash. When none is kept FirstID is greater than LastID.
type ChainState struct {
	ID       int64 `json:"id"`
	FirstID  int64 `json:"firstId"`
	Anchor   Hash  `json:"anchor"`
	LastID   int64 `json:"lastId"`
	LastHash Hash  `json:"lastHash"`

	// GivenUp: rows before FirstID may be there, which nobody vouches for since
	// the trail was begun anew.
	GivenUp bool `json:"givenUp,omitzero"`
}

// SignedCheckpoint is a checkpoint as it is stored: what was signed, and the
// signature.
type SignedCheckpoint struct {
	ID        int64  `json:"id"`
	Body      []byte `json:"body"`
	Signature []byte `json:"signature"`
}

// MarshalText writes a hash in hexadecimal.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText reads what MarshalText writes.
func (h *Hash) UnmarshalText(text []byte) error {
	raw, err := hex.DecodeString(string(text))
	if err == nil && len(raw) != len(h) {
		err = errors.New("a hash has 64 hexadecimal digits")
	}
	copy(h[:], raw)
	return err
}

// signedAs keeps a signature from meaning anything elsewhere.
const signedAs = "cambio audit checkpoint\n"

// Sign makes the stored form of a checkpoint.
func (c *Checkpoint) Sign(key ed25519.PrivateKey) (SignedCheckpoint, error) {
	body, err := json.Marshal(c, json.Deterministic(true), json.FormatNilSliceAsNull(false))
	if err != nil {
		return SignedCheckpoint{}, err
	}
	return SignedCheckpoint{ID: c.ID, Body: body, Signature: ed25519.Sign(key, append([]byte(signedAs), body...))}, nil
}

// Open checks the signature of a checkpoint and reads it.
func (s *SignedCheckpoint) Open(key ed25519.PublicKey) (Checkpoint, error) {
	var c Checkpoint
	if !ed25519.Verify(key, append([]byte(signedAs), s.Body...), s.Signature) {
		return c, fmt.Errorf("the signature of checkpoint %d is wrong", s.ID)
	}
	if err := json.Unmarshal(s.Body, &c, json.RejectUnknownMembers(true)); err != nil {
		return c, fmt.Errorf("checkpoint %d cannot be read: %w", s.ID, err)
	}
	if c.ID != s.ID {
		return c, fmt.Errorf("checkpoint %d stands in the place of checkpoint %d", c.ID, s.ID)
	}
	return c, nil
}

// Hash is what the next checkpoint has as Previous.
func (s *SignedCheckpoint) Hash() Hash { return sha256.Sum256(s.Body) }

// Attested is what checkpoints say together.
type Attested struct {
	Last   SignedCheckpoint // the newest; ID 0: there is none
	At     time.Time        // of the newest
	Anew   []Beginning
	Chains map[int64]ChainState
}

// Attest reads checkpoints in their order, oldest first, of which older ones
// may have been removed. The problems are what must not be; what can be read
// is in the result nevertheless. What is wrong before the trail was begun anew
// is no problem any more.
func Attest(checkpoints []SignedCheckpoint, key ed25519.PublicKey) (Attested, []string) {
	a := Attested{Chains: map[int64]ChainState{}}
	var problems []string
	for i := range checkpoints {
		s := &checkpoints[i]
		c, err := s.Open(key)
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		if c.beginsAnew() {
			clear(a.Chains)
			problems = nil
		} else {
			problems = append(problems, a.contradictions(&c)...)
		}
		for _, state := range c.Chains {
			a.Chains[state.ID] = state
		}
		if c.Complete {
			a.Anew = c.Anew
		}
		a.Last, a.At = *s, c.At
	}
	return a, problems
}

// contradictions are what in a checkpoint does not follow from those before.
func (a *Attested) contradictions(c *Checkpoint) (problems []string) {
	switch {
	case a.Last.ID == 0 && c.ID > 1 && !c.Complete:
		return []string{fmt.Sprintf("checkpoints before %d are missing", c.ID)}
	case a.Last.ID == 0:
		return nil
	case c.ID != a.Last.ID+1:
		problems = append(problems, fmt.Sprintf("checkpoints between %d and %d are missing", a.Last.ID, c.ID))
	case c.Previous != a.Last.Hash():
		problems = append(problems, fmt.Sprintf("checkpoint %d does not follow checkpoint %d", c.ID, a.Last.ID))
	}
	named := 0
	for _, state := range c.Chains {
		if before, ok := a.Chains[state.ID]; ok {
			named++
			if !before.precedes(state) {
				problems = append(problems, fmt.Sprintf("checkpoint %d contradicts an earlier one about chain %d", c.ID, state.ID))
			}
		}
	}
	if c.Complete && named < len(a.Chains) {
		problems = append(problems, fmt.Sprintf("checkpoint %d leaves out chains that earlier ones name", c.ID))
	}
	return problems
}
