package trail

import (
	"context"
	"crypto/ed25519"

	"cambio/internal/audit"
	"cambio/internal/store"
)

// Report is the outcome of a verification.
type Report struct {
	Rows       int64           `json:"records"`
	Unchained  int64           `json:"unchained"`  // older than chains
	Unattested int64           `json:"unattested"` // newer than the last checkpoint
	Retired    int64           `json:"retired"`    // about to be removed
	GivenUp    int64           `json:"givenUp"`    // from before the trail was begun anew; not compared
	Checkpoint int64           `json:"checkpoint"` // number of the last one; 0: none
	Findings   []audit.Finding `json:"findings"`

	Anew []audit.Beginning `json:"anew"` // when the trail was begun anew
}

// verifyAtOnce is how many records are read at once.
const verifyAtOnce = 2000

// Verify compares every record of the trail with the one before it and with
// the checkpoints, and those with their signatures. kept, which may be nil, is
// a checkpoint that was kept elsewhere: the trail must go on from it. progress
// is told how many records were compared; it may be nil.
//
// If there are findings while a process removes records that are past their
// time, it looks again.
func Verify(ctx context.Context, db *store.DB, key ed25519.PublicKey, kept *audit.SignedCheckpoint, progress func(rows int64)) (Report, error) {
	for again := 0; ; again++ {
		r, attested, err := verify(ctx, db, key, kept, progress)
		if err != nil || len(r.Findings) == 0 || again == 2 {
			return r, err
		}
		recent, err := db.AuditCheckpoints(ctx, true)
		if err != nil {
			return r, err
		}
		now, problems := audit.Attest(recent, key)
		if len(problems) > 0 || !cutSince(attested, now) {
			return r, nil
		}
	}
}

// cutSince reports whether records were let go that had to be there before.
func cutSince(before, now audit.Attested) bool {
	for id, state := range before.Chains {
		if now.Chains[id].FirstID > state.FirstID {
			return true
		}
	}
	return false
}

func verify(ctx context.Context, db *store.DB, key ed25519.PublicKey, kept *audit.SignedCheckpoint, progress func(rows int64)) (Report, audit.Attested, error) {
	var r Report
	// What is attested is read before the records: they may become more.
	checkpoints, err := db.AuditCheckpoints(ctx, false)
	if err != nil {
		return r, audit.Attested{}, err
	}
	attested, problems := audit.Attest(checkpoints, key)
	if kept != nil {
		problems = append(problems, goesOn(checkpoints, key, kept)...)
	}
	for _, text := range problems {
		r.Findings = append(r.Findings, audit.Finding{Text: text})
	}
	chains, err := db.AuditChains(ctx)
	if err != nil {
		return r, attested, err
	}
	starts := make([]audit.ChainStart, len(chains))
	for i, c := range chains {
		starts[i] = audit.ChainStart{ID: c.ID, FirstID: c.FirstID, Anchor: c.Anchor}
	}
	v := audit.NewVerifier(attested, starts)
	if err := rows(ctx, db, v, progress); err != nil {
		return r, attested, err
	}
	r.Findings = append(r.Findings, v.Findings()...)
	r.Rows, r.Unchained, r.Unattested, r.Retired, r.GivenUp = v.Rows, v.Unchained, v.Unattested, v.Retired, v.GivenUp
	r.Checkpoint, r.Anew = attested.Last.ID, attested.Anew
	return r, attested, nil
}

func rows(ctx context.Context, db *store.DB, v *audit.Verifier, progress func(int64)) error {
	for after := int64(0); ; {
		records, err := db.AuditRecords(ctx, after, verifyAtOnce)
		if err != nil {
			return err
		}
		for i := range records {
			v.Row(records[i].Row(), hashOf(&records[i]))
			after = records[i].ID
		}
		if progress != nil {
			progress(v.Rows)
		}
		if len(records) < verifyAtOnce {
			return nil
		}
	}
}

// goesOn looks for a checkpoint that was kept elsewhere among those that are
// there: it is the same, or older than all of them.
func goesOn(checkpoints []audit.SignedCheckpoint, key ed25519.PublicKey, kept *audit.SignedCheckpoint) []string {
	if _, err := kept.Open(key); err != nil {
		return []string{"the checkpoint that was kept: " + err.Error()}
	}
	newest := int64(0)
	for _, c := range checkpoints {
		newest = c.ID
		if c.ID == kept.ID && c.Hash() != kept.Hash() {
			return []string{"the checkpoint that was kept is not the one in the database with its number: the trail was put back to an earlier state, or is of another database"}
		}
	}
	if newest < kept.ID {
		return []string{"the checkpoint that was kept is newer than the last one in the database: the trail was put back to an earlier state"}
	}
	return nil
}
