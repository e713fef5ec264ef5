package trail

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"cambio/internal/audit"
	"cambio/internal/store"
)

// Config is what a Keeper needs. DB, Key, Clock and Log are required.
type Config struct {
	DB    *store.DB
	Key   ed25519.PrivateKey
	Clock func() time.Time
	Log   *slog.Logger

	CheckpointEvery time.Duration // 0: none are made
	Retain          time.Duration // how long records are kept; 0: for ever
	MaxRecords      int64         // how many are kept; 0: any number
	Exports         []Export
}

// Stats are figures about the trail, of the process that keeps it.
type Stats struct {
	Checkpoint  time.Time // when the last one was made here
	Exported    int64     // records delivered from here
	ExportError bool      // the last delivery failed
	Held        bool      // records are past their time but an export has not delivered them
}

// Keeper does what is due until its Run ends.
type Keeper struct {
	cfg        Config
	checkpoint atomic.Int64 // microseconds
	exported   atomic.Int64
	failing    atomic.Bool
	held       atomic.Bool
}

// New makes a Keeper.
func New(cfg Config) *Keeper { return &Keeper{cfg: cfg} }

// Stats returns the figures so far.
func (k *Keeper) Stats() Stats {
	s := Stats{Exported: k.exported.Load(), ExportError: k.failing.Load(), Held: k.held.Load()}
	if us := k.checkpoint.Load(); us > 0 {
		s.Checkpoint = time.UnixMicro(us)
	}
	return s
}

// duty is how long the process that keeps the trail keeps it without doing
// anything: when it ends, another one takes over within this time.
const duty = 30 * time.Second

// Run does what is due until ctx ends, and then signs a last checkpoint.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(duty / 3)
	defer tick.Stop()
	for {
		mine, err := k.cfg.DB.Duty(ctx, "audit", duty)
		if err == nil && mine {
			err = k.Once(ctx)
		}
		if err != nil && ctx.Err() == nil {
			k.cfg.Log.Error("the audit trail could not be kept; the next attempt follows", "error", err)
		}
		select {
		case <-ctx.Done():
			k.last(context.WithoutCancel(ctx))
			return
		case <-tick.C:
		}
	}
}

// Once does what is due now: exports, and from time to time a checkpoint and
// the removal of what is past its time.
func (k *Keeper) Once(ctx context.Context) error {
	err := k.export(ctx)
	if now := k.cfg.Clock(); k.cfg.CheckpointEvery > 0 && now.Sub(time.UnixMicro(k.checkpoint.Load())) >= k.cfg.CheckpointEvery {
		_, failed := Checkpoint(ctx, k.cfg)
		k.made(failed)
		if failed == nil {
			failed = k.retain(ctx)
		}
		err = errors.Join(err, failed)
	}
	return err
}

// last signs what came since the last checkpoint, as far as that goes quickly.
func (k *Keeper) last(ctx context.Context) {
	if k.cfg.CheckpointEvery <= 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, err := Checkpoint(ctx, k.cfg)
	k.made(err)
}

func (k *Keeper) made(err error) {
	if err == nil {
		k.checkpoint.Store(k.cfg.Clock().UnixMicro())
	}
}

// completeEvery is how many checkpoints are read at most to know what is
// attested.
const completeEvery = 256

// Checkpoint signs how far every chain has come, if that is anything new, and
// returns the newest checkpoint.
func Checkpoint(ctx context.Context, cfg Config) (audit.SignedCheckpoint, error) {
	checkpoints, err := cfg.DB.AuditCheckpoints(ctx, true)
	if err != nil {
		return audit.SignedCheckpoint{}, err
	}
	attested, problems := audit.Attest(checkpoints, cfg.Key.Public().(ed25519.PublicKey))
	chains, err := cfg.DB.AuditChains(ctx)
	if err != nil {
		return audit.SignedCheckpoint{}, err
	}
	c := audit.Checkpoint{ID: attested.Last.ID + 1, At: cfg.Clock().UTC()}
	if c.ID > 1 {
		c.Previous = attested.Last.Hash()
	}
	c.Complete = c.ID%completeEvery == 0
	for _, chain := range chains {
		known, ok := attested.Chains[chain.ID]
		if ok && known.LastID > chain.LastID {
			problems = append(problems, fmt.Sprintf("records of chain %d are missing", chain.ID))
			continue
		}
		if (known != chain || c.Complete) && chain.LastID >= audit.RowID(chain.ID, 1) {
			c.Chains = append(c.Chains, chain)
		}
	}
	if len(problems) > 0 {
		// What was tampered with is not attested to: a verification must find it.
		return attested.Last, fmt.Errorf("the audit trail is not intact (%s); run `cambio audit verify`", problems[0])
	}
	if !slices.ContainsFunc(c.Chains, func(s audit.ChainState) bool { return attested.Chains[s.ID] != s }) {
		return attested.Last, nil
	}
	return cfg.sign(ctx, c)
}

// sign signs a checkpoint, stores it, and tells the log, which is elsewhere.
func (cfg *Config) sign(ctx context.Context, c audit.Checkpoint) (audit.SignedCheckpoint, error) {
	signed, err := c.Sign(cfg.Key)
	if err != nil {
		return signed, err
	}
	err = cfg.DB.Maintain(ctx, func(tx *store.Tx) error {
		for _, chain := range c.Chains {
			if err := tx.SetAuditStart(chain); err != nil {
				return err
			}
		}
		return tx.AddAuditCheckpoint(&c, signed)
	})
	if err == nil {
		hash := signed.Hash()
		text, _ := hash.MarshalText() // never fails
		cfg.Log.Info("audit checkpoint", "id", c.ID, "hash", string(text), "chains", len(c.Chains))
	}
	return signed, err
}

// removeAtOnce is how many records one transaction removes: exchanges wait for
// it.
const removeAtOnce = 500

// retain removes the records that are past their time. First a checkpoint
// attests to where each chain is cut, then the records before are removed.
func (k *Keeper) retain(ctx context.Context) error {
	chains, err := k.cfg.DB.AuditChains(ctx)
	if err != nil {
		return err
	}
	cuts, removed, err := k.cuts(ctx, chains)
	if err != nil {
		return err
	}
	if removed > 0 {
		if err := k.attestCuts(ctx, cuts); err != nil {
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
func (k *Keeper) attestCuts(ctx context.Context, chains []audit.ChainState) error {
	last, err := Checkpoint(ctx, k.cfg) // what is there is intact
	if err != nil {
		return err
	}
	c := audit.Checkpoint{ID: last.ID + 1, At: k.cfg.Clock().UTC(), Previous: last.Hash(), Complete: true, Chains: chains}
	if _, err := k.cfg.sign(ctx, c); err != nil {
		return err
	}
	return k.cfg.DB.Maintain(ctx, func(tx *store.Tx) error { return tx.RemoveAuditCheckpoints(c.ID) })
}

// cuts finds how far each chain is past its time, oldest chain first, and how
// many records that are.
func (k *Keeper) cuts(ctx context.Context, chains []audit.ChainState) (cut []audit.ChainState, removed int64, err error) {
	var total int64
	for _, c := range chains {
		total += c.LastID - c.FirstID + 1
	}
	before := time.Time{}
	if k.cfg.Retain > 0 {
		before = k.cfg.Clock().Add(-k.cfg.Retain)
	}
	delivered, err := k.delivered(ctx)
	if err != nil {
		return nil, 0, err
	}
	k.held.Store(false)
	for _, c := range chains {
		excess := int64(0)
		if k.cfg.MaxRecords > 0 {
			excess = total - removed - k.cfg.MaxRecords
		}
		n, err := k.cutChain(ctx, &c, before, excess, delivered)
		if err != nil {
			return nil, 0, err
		}
		removed += n
		if c.LastID >= audit.RowID(c.ID, 1) {
			cut = append(cut, c)
		}
	}
	return cut, removed, nil
}

// cutChain moves the start of a chain past the records that are too old or too
// many, but not past one that an export still has to deliver.
func (k *Keeper) cutChain(ctx context.Context, c *audit.ChainState, before time.Time, excess int64, delivered func(chain int64) int64) (removed int64, err error) {
	limit := delivered(c.ID)
	for {
		records, err := k.cfg.DB.AuditRecords(ctx, c.FirstID-1, removeAtOnce)
		if err != nil {
			return removed, err
		}
		for _, r := range records {
			chain, _ := audit.Chain(r.ID)
			if chain != c.ID || !r.At.Before(before) && removed >= excess {
				return removed, nil
			}
			if r.ID > limit {
				k.held.Store(true)
				return removed, nil
			}
			c.FirstID, removed = r.ID+1, removed+1
			copy(c.Anchor[:], r.Hash)
		}
		if len(records) < removeAtOnce {
			return removed, nil
		}
	}
}
