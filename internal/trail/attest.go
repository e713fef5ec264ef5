package trail

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"slices"

	"cambio/internal/audit"
	"cambio/internal/store"
)

// TamperedError says what in a trail contradicts what checkpoints attest to.
// Nothing was signed.
type TamperedError struct{ Findings []audit.Finding }

func (e *TamperedError) Error() string {
	return fmt.Sprintf("the audit trail is not intact, and no checkpoint was signed (%s); run `cambio audit verify`", e.Findings[0])
}

// errRaced says that another process signed a checkpoint meanwhile.
var errRaced = errors.New("another checkpoint was signed at the same time")

const (
	// completeEvery is how many checkpoints are read at most to know what is
	// attested.
	completeEvery = 256

	// attestAtOnce is how many records one checkpoint adds to what is attested,
	// and readAtOnce how many of them are read at once. They bound how long it
	// takes, and the memory.
	attestAtOnce = 100_000
	readAtOnce   = 500
)

// Checkpoint signs how far every chain has come, if that is anything new, and
// returns the newest checkpoint. It signs only what provably continues what
// was attested before: otherwise the error is a *TamperedError. It reads the
// records since then, and no older ones.
func Checkpoint(ctx context.Context, cfg Config) (audit.SignedCheckpoint, error) {
	for {
		attested, more, err := cfg.attest(ctx, attestAtOnce, nil)
		if err != nil || !more {
			return attested.Last, err
		}
	}
}

// attest is Checkpoint for budget records at most; more says that there are
// further ones. seen, which may be nil, is a checkpoint that must not be gone.
func (cfg *Config) attest(ctx context.Context, budget int, seen *audit.SignedCheckpoint) (attested audit.Attested, more bool, err error) {
	public := cfg.Key.Public().(ed25519.PublicKey)
	checkpoints, err := cfg.DB.AuditCheckpoints(ctx, true)
	if err != nil {
		return attested, false, err
	}
	attested, problems := audit.Attest(checkpoints, public)
	if seen != nil && !begunAnewSince(attested, seen, public) {
		problems = append(problems, goesOn(checkpoints, public, seen)...)
	}
	chains, err := cfg.DB.AuditChains(ctx)
	if err != nil {
		return attested, false, err
	}
	a := attesting{cfg: cfg, known: attested.Chains, budget: budget}
	for _, text := range problems {
		a.findings = append(a.findings, audit.Finding{Text: text})
	}
	if err := a.read(ctx, chains); err != nil {
		return attested, false, err
	}
	if len(a.findings) > 0 {
		return attested, false, cfg.unlessRaced(ctx, attested, &TamperedError{a.findings})
	}
	if len(a.changed) == 0 {
		return attested, false, nil
	}
	c := audit.Checkpoint{ID: attested.Last.ID + 1, At: cfg.Clock().UTC(), Chains: a.changed}
	if c.ID > 1 {
		c.Previous = attested.Last.Hash()
	}
	maps.Copy(attested.Chains, states(a.changed))
	if c.ID%completeEvery == 0 {
		c.Complete, c.Anew, c.Chains = true, attested.Anew, sorted(attested.Chains)
	}
	attested.Last, err = cfg.sign(ctx, &c, nil)
	attested.At = c.At
	return attested, a.budget <= 0, err
}

// unlessRaced passes an error on, unless it is about tampering and another
// process signed a checkpoint meanwhile: then it means nothing.
func (cfg *Config) unlessRaced(ctx context.Context, attested audit.Attested, err error) error {
	if tampered := (*TamperedError)(nil); !errors.As(err, &tampered) {
		return err
	}
	again, failed := cfg.DB.AuditCheckpoints(ctx, true)
	if failed != nil {
		return failed
	}
	if now, problems := audit.Attest(again, cfg.Key.Public().(ed25519.PublicKey)); len(problems) == 0 && now.Last.ID > attested.Last.ID {
		return errRaced
	}
	return err
}

// begunAnewSince reports whether the trail was begun anew after a checkpoint.
func begunAnewSince(attested audit.Attested, seen *audit.SignedCheckpoint, key ed25519.PublicKey) bool {
	c, err := seen.Open(key)
	return err == nil && len(attested.Anew) > 0 && attested.Anew[len(attested.Anew)-1].At.After(c.At)
}

func states(list []audit.ChainState) map[int64]audit.ChainState {
	m := make(map[int64]audit.ChainState, len(list))
	for _, s := range list {
		m[s.ID] = s
	}
	return m
}

func sorted(m map[int64]audit.ChainState) []audit.ChainState {
	list := make([]audit.ChainState, 0, len(m))
	for _, id := range slices.Sorted(maps.Keys(m)) {
		list = append(list, m[id])
	}
	return list
}

// attesting compares chains with what is known of them.
type attesting struct {
	cfg    *Config
	known  map[int64]audit.ChainState
	budget int // how many more records may be read

	changed  []audit.ChainState // as they may be attested to
	findings []audit.Finding
}

func (a *attesting) find(chain, id int64, text string) {
	a.findings = append(a.findings, audit.Finding{Chain: chain, ID: id, Text: text})
}

// read follows every chain from where it is known to where it is now.
func (a *attesting) read(ctx context.Context, chains []audit.ChainState) error {
	there := states(chains)
	for _, known := range sorted(a.known) {
		if _, ok := there[known.ID]; !ok {
			a.find(known.ID, 0, "it is missing as a whole")
		}
	}
	for _, now := range chains {
		known, ok := a.known[now.ID]
		if !ok { // it must have its beginning
			known = audit.ChainState{ID: now.ID, FirstID: audit.RowID(now.ID, 1), Anchor: now.Anchor, LastID: audit.RowID(now.ID, 0), LastHash: now.Anchor}
		}
		if text := known.Contradiction(now); text != "" {
			a.find(now.ID, 0, text)
			continue
		}
		state, err := a.follow(ctx, known, now.LastID)
		if err != nil {
			return err
		}
		if state != known {
			a.changed = append(a.changed, state)
		}
	}
	return nil
}

// follow moves the end of a chain up to last, or as far as the budget goes.
func (a *attesting) follow(ctx context.Context, known audit.ChainState, last int64) (audit.ChainState, error) {
	state := known
	if known.LastID >= last {
		return state, nil
	}
	if there, err := a.standsAt(ctx, known); err != nil || !there {
		return known, err
	}
	for state.LastID < last && a.budget > 0 {
		records, err := a.cfg.DB.AuditRecords(ctx, state.LastID, int(min(readAtOnce, int64(a.budget), last-state.LastID)))
		if err != nil {
			return state, err
		}
		if len(records) == 0 {
			a.find(state.ID, 0, fmt.Sprintf("records from id %d to %d are missing", state.LastID+1, last))
			return known, nil
		}
		a.budget -= len(records)
		for i := range records {
			if text := state.Extend(records[i].Row(), hashOf(&records[i])); text != "" {
				a.find(state.ID, records[i].ID, text)
				return known, nil
			}
		}
	}
	return state, nil
}

// standsAt reports whether the record that is attested to last is still the
// one that it was.
func (a *attesting) standsAt(ctx context.Context, known audit.ChainState) (bool, error) {
	if known.LastID < known.FirstID {
		return true, nil // it was let go
	}
	records, err := a.cfg.DB.AuditRecords(ctx, known.LastID-1, 1)
	if err != nil {
		return false, err
	}
	if len(records) == 0 || records[0].ID != known.LastID || hashOf(&records[0]) != known.LastHash {
		a.find(known.ID, known.LastID, "a checkpoint attests to another record here")
		return false, nil
	}
	return true, nil
}

func hashOf(r *store.AuditRecord) (h audit.Hash) {
	copy(h[:], r.Hash)
	return h
}

// sign signs a checkpoint, stores it together with what else is to be done,
// which may be nil, and tells the log, which is elsewhere.
func (cfg *Config) sign(ctx context.Context, c *audit.Checkpoint, also func(*store.Tx) error) (audit.SignedCheckpoint, error) {
	signed, err := c.Sign(cfg.Key)
	if err != nil {
		return signed, err
	}
	err = cfg.DB.Maintain(ctx, func(tx *store.Tx) error {
		if also != nil {
			if err := also(tx); err != nil {
				return err
			}
		}
		return tx.AddAuditCheckpoint(c, signed)
	})
	if err == nil {
		cfg.announce(c, &signed)
	}
	return signed, err
}

func (cfg *Config) announce(c *audit.Checkpoint, signed *audit.SignedCheckpoint) {
	hash := signed.Hash()
	text, _ := hash.MarshalText() // never fails
	cfg.Log.Info("audit checkpoint", "id", c.ID, "hash", string(text), "chains", len(c.Chains))
}
