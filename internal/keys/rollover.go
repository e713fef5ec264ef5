package keys

import (
	"context"
	"fmt"
	"slices"
	"time"

	"cambio/internal/jose"
	"cambio/internal/store"
)

// step is one change that the schedule asks for.
type step struct {
	put    *store.SigningKeyRow // a new key, or the new state of one that exists
	remove string               // key id
}

// plan says what the policy asks for now. It is pure but for making the keys
// that are missing, which generate does.
func plan(rows []store.SigningKeyRow, p Policy, now time.Time, generate func(jose.Algorithm) (store.SigningKeyRow, error)) ([]step, error) {
	var steps []step
	for _, alg := range algorithms {
		active, published := find(rows, alg, Active), find(rows, alg, Published)
		switch {
		case active == nil && published != nil:
			steps = append(steps, activate(published, p, now))
		case active == nil:
			row, err := generate(alg)
			if err != nil {
				return nil, err
			}
			steps = append(steps, activate(&row, p, now))
		case published != nil && !now.Before(published.ActiveAt):
			steps = append(steps, retire(active, p, now), activate(published, p, now))
		case published == nil && !now.Before(active.RetireAt.Add(-p.PublishAhead)):
			row, err := generate(alg)
			if err != nil {
				return nil, err
			}
			steps = append(steps, publish(&row, latest(active.RetireAt, now.Add(p.PublishAhead))))
		}
	}
	for i := range rows {
		if rows[i].State == Retired && !now.Before(rows[i].RemoveAt) {
			steps = append(steps, step{remove: rows[i].KeyID})
		}
	}
	return steps, nil
}

func find(rows []store.SigningKeyRow, alg jose.Algorithm, state string) *store.SigningKeyRow {
	for i := range rows {
		if rows[i].Algorithm == string(alg) && rows[i].State == state {
			return &rows[i]
		}
	}
	return nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func publish(row *store.SigningKeyRow, at time.Time) step {
	k := *row
	k.State, k.ActiveAt = Published, at
	return step{put: &k}
}

func activate(row *store.SigningKeyRow, p Policy, now time.Time) step {
	k := *row
	k.State, k.ActiveAt, k.RetireAt = Active, now, now.Add(p.RotateEvery)
	return step{put: &k}
}

func retire(row *store.SigningKeyRow, p Policy, now time.Time) step {
	k := *row
	k.State, k.RetireAt, k.RemoveAt = Retired, now, now.Add(p.RetireAfter)
	return step{put: &k}
}

// Maintain does what the policy asks for now: makes missing keys, publishes
// successors, activates and retires, removes what has served. It is cheap
// when nothing is due and is called every few seconds.
func (r *Ring) Maintain(ctx context.Context) error {
	return r.change(ctx, "signingKey.maintain", func(rows []store.SigningKeyRow, now time.Time) ([]step, error) {
		return plan(rows, r.cfg.Policy, now, r.maker(now))
	})
}

func (r *Ring) maker(now time.Time) func(jose.Algorithm) (store.SigningKeyRow, error) {
	return func(alg jose.Algorithm) (store.SigningKeyRow, error) { return newRow(r.cfg.KEK, alg, now) }
}

// Rotate publishes a successor of every active key now; each signs after the
// policy's PublishAhead. A successor that is already published stays; published
// is false when that is so for every key.
func (r *Ring) Rotate(ctx context.Context) (published bool, err error) {
	err = r.change(ctx, "signingKey.rotate", func(rows []store.SigningKeyRow, now time.Time) ([]step, error) {
		var steps []step
		for _, alg := range algorithms {
			if find(rows, alg, Published) != nil {
				continue
			}
			row, err := newRow(r.cfg.KEK, alg, now)
			if err != nil {
				return nil, err
			}
			steps = append(steps, publish(&row, now.Add(r.cfg.Policy.PublishAhead)))
		}
		published = len(steps) > 0
		return steps, nil
	})
	return published, err
}

// Remove takes a key out at once: it no longer signs and is no longer
// published, so every token that it signed stops verifying. If it was active,
// its published successor, or a new key, signs from now on.
func (r *Ring) Remove(ctx context.Context, keyID string) error {
	return r.change(ctx, "signingKey.remove", func(rows []store.SigningKeyRow, now time.Time) ([]step, error) {
		var rest []store.SigningKeyRow
		for _, row := range rows {
			if row.KeyID != keyID {
				rest = append(rest, row)
			}
		}
		if len(rest) == len(rows) {
			return nil, fmt.Errorf("there is no signing key %q; `cambio keys list` shows them", keyID)
		}
		more, err := plan(rest, r.cfg.Policy, now, r.maker(now))
		return append([]step{{remove: keyID}}, more...), err
	})
}

// Discard deletes a key without reading any: the way out when a key cannot be
// unsealed, which keeps Open from succeeding. A running server makes a
// successor when it notices.
func Discard(ctx context.Context, db *store.DB, keyID string) error {
	return db.Write(ctx, store.Change{Via: "keys", Action: "signingKey.discard", Target: keyID}, func(tx *store.Tx) error {
		return tx.DeleteSigningKey(keyID)
	})
}

// change computes steps from the snapshot, writes them in one transaction if
// the database still holds what they were computed from, and reloads. Keys
// are generated outside the transaction: that takes a while.
func (r *Ring) change(ctx context.Context, action string, steps func([]store.SigningKeyRow, time.Time) ([]step, error)) error {
	for {
		rows := r.current.Load().rows
		todo, err := steps(rows, r.cfg.Clock())
		if err != nil || len(todo) == 0 {
			return err
		}
		raced := false
		err = r.cfg.DB.Write(ctx, store.Change{Via: "keys", Action: action}, func(tx *store.Tx) error {
			now, err := tx.SigningKeys(ctx)
			if err != nil {
				return err
			}
			if raced = !sameRows(rows, now); raced {
				return nil
			}
			return apply(tx, rows, todo)
		})
		if err != nil {
			return err
		}
		if err := r.Reload(ctx); err != nil || !raced {
			return err
		}
	}
}

func apply(tx *store.Tx, known []store.SigningKeyRow, steps []step) error {
	exists := func(id string) bool {
		return slices.ContainsFunc(known, func(r store.SigningKeyRow) bool { return r.KeyID == id })
	}
	for _, s := range steps {
		var err error
		switch {
		case s.put == nil:
			err = tx.DeleteSigningKey(s.remove)
		case exists(s.put.KeyID):
			err = tx.UpdateSigningKeyState(s.put)
		default:
			err = tx.PutSigningKey(s.put)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func sameRows(a, b []store.SigningKeyRow) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].KeyID != b[i].KeyID || a[i].State != b[i].State {
			return false
		}
	}
	return true
}
