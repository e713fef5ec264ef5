package trail

import (
	"context"
	"crypto/ed25519"
	"fmt"

	"cambio/internal/audit"
	"cambio/internal/store"
)

// GivenUp says what was given up when a trail was begun anew.
type GivenUp struct {
	Checkpoint  audit.SignedCheckpoint // that it was begun anew with
	Chains      int                    // that there were
	Records     int64                  // that may be there and that nobody vouches for any more
	Checkpoints int                    // that do not count any more
}

// BeginAnew signs a checkpoint that gives up everything before it: the records
// stay for as long as records are kept, and nobody vouches for them. It is for
// an operator who found out what became of a trail that was tampered with. An
// audit record says that it was done, and each later verification does.
func BeginAnew(ctx context.Context, cfg Config) (GivenUp, error) {
	var g GivenUp
	checkpoints, err := cfg.DB.AuditCheckpoints(ctx, false)
	if err != nil {
		return g, err
	}
	attested, _ := audit.Attest(checkpoints, cfg.Key.Public().(ed25519.PublicKey))
	c := audit.Checkpoint{ID: attested.Last.ID + 1, At: cfg.Clock().UTC(), Complete: true}
	if attested.Last.ID > 0 {
		c.Previous = attested.Last.Hash()
	}
	for _, s := range checkpoints { // those that cannot be read have numbers, too
		c.ID = max(c.ID, s.ID+1)
	}
	c.Anew = append(attested.Anew, audit.Beginning{Checkpoint: c.ID, At: c.At})
	if err := cfg.DB.Maintain(ctx, func(tx *store.Tx) error { return tx.AdoptAuditChains() }); err != nil {
		return g, err
	}
	chains, err := cfg.DB.AuditChains(ctx)
	if err != nil {
		return g, err
	}
	g.Checkpoints = len(checkpoints)
	for _, now := range chains {
		if now.LastID < audit.RowID(now.ID, 1) {
			continue // it has not begun
		}
		g.Chains, g.Records = g.Chains+1, g.Records+now.LastID-now.FirstID+1
		c.Chains = append(c.Chains, audit.ChainState{ID: now.ID, FirstID: now.LastID + 1, Anchor: now.LastHash, LastID: now.LastID, LastHash: now.LastHash, GivenUp: true})
	}
	if g.Checkpoint, err = c.Sign(cfg.Key); err != nil {
		return g, err
	}
	change := store.Change{Via: "cli", Action: "audit.anew", Target: fmt.Sprintf("checkpoint %d", c.ID)}
	err = cfg.DB.Write(ctx, change, func(tx *store.Tx) error { return tx.AddAuditCheckpoint(&c, g.Checkpoint) })
	if err == nil {
		cfg.announce(&c, &g.Checkpoint)
	}
	return g, err
}
