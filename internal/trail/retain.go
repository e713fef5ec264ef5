package trail

import (
	"context"
	"strconv"
	"time"

	"cambio/internal/audit"
	"cambio/internal/store"
)

const (
	// removeAtOnce is how many records one transaction removes: exchanges wait
	// for it.
	removeAtOnce = 500

	// cutAtOnce is how many records one checkpoint lets go, about: exports and
	// the next checkpoint wait for it.
	cutAtOnce = 100_000
)

// retain removes the records that are past their time. First a checkpoint
// attests to where each chain is cut, then the records before are removed.
// Only records that are attested to are, once they were compared with that.
func (k *Keeper) retain(ctx context.Context, attested audit.Attested) error {
	chains, err := k.cfg.DB.AuditChains(ctx)
	if err != nil {
		return err
	}
	cuts, removed, err := k.cuts(ctx, attested, states(chains))
	if err != nil {
		return err
	}
	if removed > 0 {
		if err := k.attestCuts(ctx, attested, cuts); err != nil {
			return err
		}
		change := store.Change{Via: "retention", Action: "audit.retain", Target: strconv.FormatInt(removed, 10) + " records"}
		if err := k.cfg.DB.Write(ctx, change, func(*store.Tx) error { return nil }); err != nil {
			return err
		}
	}
	for _, chain := range chains {
		for n := int64(removeAtOnce); n == removeAtOnce; {
			err := k.cfg.DB.Maintain(ctx, func(tx *store.Tx) (err error) {
				n, err = tx.RemoveAuditRecords(chain.ID, removeAtOnce)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// attestCuts signs a checkpoint that names every chain, and removes those
// before it.
func (k *Keeper) attestCuts(ctx context.Context, attested audit.Attested, chains []audit.ChainState) error {
	c := audit.Checkpoint{ID: attested.Last.ID + 1, At: k.cfg.Clock().UTC(), Previous: attested.Last.Hash(), Complete: true, Anew: attested.Anew, Chains: chains}
	signed, err := k.cfg.sign(ctx, &c, func(tx *store.Tx) error {
		for _, state := range chains {
			if state.GivenUp {
				continue
			}
			if err := tx.SetAuditStart(state); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	k.seen = &signed
	return k.cfg.DB.Maintain(ctx, func(tx *store.Tx) error { return tx.RemoveAuditCheckpoints(c.ID) })
}

// cuts finds how far each chain is past its time, oldest chain first, and how
// many records that are. there is where the database has them begin.
func (k *Keeper) cuts(ctx context.Context, attested audit.Attested, there map[int64]audit.ChainState) (cut []audit.ChainState, removed int64, err error) {
	r := retention{k: k}
	if k.cfg.Retain > 0 {
		r.before = k.cfg.Clock().Add(-k.cfg.Retain)
	}
	cut = sorted(attested.Chains)
	if k.cfg.MaxRecords > 0 {
		r.excess = -k.cfg.MaxRecords
		for _, c := range cut {
			r.excess += c.LastID - min(c.FirstID, there[c.ID].FirstID) + 1
		}
	}
	if r.delivered, err = k.delivered(ctx); err != nil {
		return nil, 0, err
	}
	for i := range cut {
		if cut[i].GivenUp {
			if err := r.cutGivenUp(ctx, &cut[i], there[cut[i].ID].FirstID); err != nil {
				return nil, 0, err
			}
		}
		if !cut[i].GivenUp {
			if err := r.cutChain(ctx, &cut[i]); err != nil {
				return nil, 0, err
			}
		}
	}
	k.held.Store(r.held)
	k.more = r.removed >= cutAtOnce
	return cut, r.removed, nil
}

// retention is what is found out about records that are past their time.
type retention struct {
	k         *Keeper
	before    time.Time // records before are too old
	excess    int64     // how many are too many
	delivered func(chain int64) int64

	removed int64
	held    bool // an export still has to deliver some
}

// past reports whether a record is past its time and may go.
func (r *retention) past(record *store.AuditRecord, chain int64) bool {
	if !record.At.Before(r.before) && r.removed >= r.excess || r.removed >= cutAtOnce {
		return false
	}
	if record.ID > r.delivered(chain) {
		r.held = true
		return false
	}
	return true
}

// cutChain moves the start of a chain past the records that are too old or too
// many, but not past one that an export still has to deliver. Each must be the
// one that is attested to, and so must the first one that stays.
func (r *retention) cutChain(ctx context.Context, c *audit.ChainState) error {
	for c.FirstID <= c.LastID {
		records, err := r.k.cfg.DB.AuditRecords(ctx, c.FirstID-1, removeAtOnce)
		if err != nil {
			return err
		}
		if len(records) == 0 {
			return &TamperedError{[]audit.Finding{{Chain: c.ID, Text: "its end is missing"}}}
		}
		for i := range records {
			next, record := *c, &records[i]
			if c.FirstID > c.LastID {
				return nil
			}
			if text := next.Cut(record.Row(), hashOf(record)); text != "" {
				return &TamperedError{[]audit.Finding{{Chain: c.ID, ID: record.ID, Text: text}}}
			}
			if !r.past(record, c.ID) {
				return nil
			}
			*c, r.removed = next, r.removed+1
		}
	}
	return nil
}

// cutGivenUp lets go of the records of a chain from before the trail was begun
// anew, once the last of them is past its time.
func (r *retention) cutGivenUp(ctx context.Context, c *audit.ChainState, first int64) error {
	last, err := r.k.cfg.DB.AuditRecords(ctx, c.FirstID-2, 1)
	if err != nil {
		return err
	}
	n := c.FirstID - first
	if len(last) > 0 && last[0].ID == c.FirstID-1 {
		old, tooMany := last[0].At.Before(r.before), r.removed+n <= r.excess
		if !old && !tooMany {
			return nil
		}
		if r.delivered(c.ID) < last[0].ID {
			r.held = true
			return nil
		}
	}
	c.GivenUp = false
	r.removed += n
	return nil
}
