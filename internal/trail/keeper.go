package trail

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
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
	Behind      int64     // records that are there and that the slowest export has not delivered, when it last looked
	Held        bool      // records are past their time but an export has not delivered them
	Tampered    bool      // the trail contradicts what was attested to, and no checkpoint is signed
}

// Keeper does what is due until its Run ends.
type Keeper struct {
	cfg        Config
	checkpoint atomic.Int64 // microseconds
	exported   atomic.Int64
	failing    atomic.Bool
	held       atomic.Bool
	tampered   atomic.Bool
	behind     atomic.Int64

	// Of the goroutine that keeps the trail.
	seen       *audit.SignedCheckpoint // the newest that was seen here; it must not be gone
	more       bool                    // the last round left records to attest to, or to let go, for the next one
	unfinished bool                    // the last round of exports left records for the next one
}

// New makes a Keeper.
func New(cfg Config) *Keeper { return &Keeper{cfg: cfg} }

// Stats returns the figures so far.
func (k *Keeper) Stats() Stats {
	s := Stats{Exported: k.exported.Load(), ExportError: k.failing.Load(), Behind: k.behind.Load(), Held: k.held.Load(), Tampered: k.tampered.Load()}
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
		switch {
		case err == nil && mine:
			err = k.Once(ctx)
		case err == nil: // another one knows
			k.behind.Store(0)
			k.tampered.Store(false)
			k.held.Store(false)
		}
		if err != nil && ctx.Err() == nil {
			k.cfg.Log.Error("the audit trail could not be kept; the next attempt follows", "error", err)
		}
		if mine && ctx.Err() == nil && (k.unfinished || k.more && err == nil) {
			continue
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
	due := k.cfg.Clock().Sub(time.UnixMicro(k.checkpoint.Load())) >= k.cfg.CheckpointEvery
	if k.cfg.CheckpointEvery > 0 && (due || k.more) {
		attested, failed := k.attest(ctx, attestAtOnce)
		if failed == nil && !k.more {
			failed = k.noteTampering(k.cfg.unlessRaced(ctx, attested, k.retain(ctx, attested)))
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
	if _, err := k.attest(ctx, attestAtOnce/10); err != nil {
		k.cfg.Log.Warn("no last checkpoint of the audit trail was signed", "error", err)
	}
}

// attest signs a checkpoint for so many records at most.
func (k *Keeper) attest(ctx context.Context, budget int) (audit.Attested, error) {
	attested, more, err := k.cfg.attest(ctx, budget, k.seen)
	if err = k.noteTampering(err); err != nil {
		return attested, err
	}
	k.more = more
	k.checkpoint.Store(k.cfg.Clock().UnixMicro())
	k.tampered.Store(false)
	if attested.Last.ID > 0 {
		k.seen = &attested.Last
	}
	return attested, nil
}

// noteTampering passes an error on.
func (k *Keeper) noteTampering(err error) error {
	if tampered := (*TamperedError)(nil); errors.As(err, &tampered) {
		k.tampered.Store(true)
	}
	return err
}
