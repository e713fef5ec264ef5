package trail

import (
	"context"

	"cambio/internal/store"
)

// OnceOn is Once after the database was opened again.
func (k *Keeper) OnceOn(ctx context.Context, db *store.DB) error {
	k.cfg.DB = db
	return k.Once(ctx)
}

// AttestSome is Checkpoint for so many records at most.
func AttestSome(ctx context.Context, cfg Config, budget int) (more bool, err error) {
	_, more, err = cfg.attest(ctx, budget, nil)
	return more, err
}
