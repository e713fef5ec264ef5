package store

import (
	"context"
	"time"

	"cambio/internal/directory"
)

// IssuerKey is a key that a managed issuer was seen to publish.
type IssuerKey struct {
	Thumbprint string // RFC 7638, SHA-256
	KeyID      string
	Algorithm  string // such as "RS256", or the kind of key if it serves several
	FirstSeen  time.Time
	LastSeen   time.Time // of a look whose outcome was recorded: at most an hour before the last one
	Current    bool      // among the keys that were seen last
}

func scanIssuerKey(s scanner) (k IssuerKey, err error) {
	var first, last int64
	err = s.Scan(&k.Thumbprint, &k.KeyID, &k.Algorithm, &first, &last, &k.Current)
	k.FirstSeen, k.LastSeen = fromMicros(first), fromMicros(last)
	return k, err
}

// IssuerKeys returns the history of a managed issuer's keys, the newest first.
func (r reads) IssuerKeys(ctx context.Context, issuerID string) ([]IssuerKey, error) {
	rows, err := r.q.QueryContext(ctx, "SELECT thumbprint, key_id, algorithm, first_seen, last_seen, current FROM issuer_keys"+
		" WHERE issuer_id = ? ORDER BY first_seen DESC, thumbprint", issuerID)
	return all(rows, err, scanIssuerKey)
}

// maxKeyHistory is how many keys of one issuer are remembered that it does not
// publish any more.
const maxKeyHistory = 1000

// seenEvery is how old the time at which a key was seen last may become while
// nothing else changes.
const seenEvery = time.Hour

// KeysChanged compares keys that were seen with what is recorded: which are
// new, or are there again, and which are gone. due says that something of it
// must be recorded.
func KeysChanged(recorded, seen []IssuerKey, now time.Time) (added, removed []IssuerKey, due bool) {
	current := make(map[string]IssuerKey, len(recorded))
	for _, k := range recorded {
		if k.Current {
			current[k.Thumbprint] = k
		}
	}
	counted := make(map[string]bool, len(seen))
	for _, k := range seen {
		if counted[k.Thumbprint] {
			continue // under several key ids
		}
		counted[k.Thumbprint] = true
		known, ok := current[k.Thumbprint]
		if !ok {
			added = append(added, k)
		}
		due = due || now.Sub(known.LastSeen) >= seenEvery
		delete(current, k.Thumbprint)
	}
	for _, k := range recorded {
		if _, gone := current[k.Thumbprint]; gone {
			removed = append(removed, k)
		}
	}
	return added, removed, due || len(added)+len(removed) > 0
}

// The audit actions of keys that an issuer began or ceased to publish.
const (
	ActionIssuerKeyAdded   = "issuer.key.added"
	ActionIssuerKeyRemoved = "issuer.key.removed"
)

// SeeIssuerKeys records which keys a managed issuer publishes, with an audit
// row for each that is new or gone, and returns those. It does not change what
// is accepted.
func (tx *Tx) SeeIssuerKeys(issuerID string, seen []IssuerKey) (added, removed []IssuerKey, err error) {
	recorded, err := tx.IssuerKeys(context.Background(), issuerID)
	if err != nil {
		return nil, nil, err
	}
	added, removed, _ = KeysChanged(recorded, seen, tx.now)
	for _, k := range seen {
		_, err := tx.exec("INSERT INTO issuer_keys (issuer_id, thumbprint, key_id, algorithm, first_seen, last_seen, current) VALUES (?1, ?2, ?3, ?4, ?5, ?5, TRUE)"+
			" ON CONFLICT (issuer_id, thumbprint) DO UPDATE SET key_id = ?3, algorithm = ?4, last_seen = ?5, current = TRUE",
			issuerID, k.Thumbprint, k.KeyID, k.Algorithm, tx.now.UnixMicro())
		if err != nil {
			return nil, nil, err
		}
	}
	for _, k := range removed {
		if _, err := tx.exec("UPDATE issuer_keys SET current = FALSE WHERE issuer_id = ? AND thumbprint = ?", issuerID, k.Thumbprint); err != nil {
			return nil, nil, err
		}
		tx.RecordDetail(ActionIssuerKeyRemoved, issuerID+"/"+k.Thumbprint)
	}
	for _, k := range added {
		tx.RecordDetail(ActionIssuerKeyAdded, issuerID+"/"+k.Thumbprint)
	}
	_, err = tx.exec("DELETE FROM issuer_keys WHERE issuer_id = ?1 AND current = FALSE AND thumbprint NOT IN"+
		" (SELECT thumbprint FROM issuer_keys WHERE issuer_id = ?1 AND current = FALSE ORDER BY last_seen DESC LIMIT ?2)", issuerID, maxKeyHistory)
	return added, removed, err
}

// SeenKeys are the keys of a managed issuer that are kept with it, as its
// history has them.
func SeenKeys(i *directory.Issuer) []IssuerKey {
	var seen []IssuerKey
	for _, k := range i.Compile().Keys.Keys {
		seen = append(seen, IssuerKey{Thumbprint: k.Thumbprint(), KeyID: k.KeyID, Algorithm: k.Serves()})
	}
	return seen
}
