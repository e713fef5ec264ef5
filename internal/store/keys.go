package store

import (
	"context"
	"time"

	"cambio/internal/directory"
)

// States of a signing key.
const (
	KeyPublished = "published" // in the key set, not yet used for signing
	KeyActive    = "active"    // signs
	KeyRetired   = "retired"   // in the key set until the last token has expired
)

// SigningKeyRow is one of our signing keys. Times that are not set are zero.
type SigningKeyRow struct {
	KeyID     string
	Algorithm string
	State     string // KeyPublished, KeyActive or KeyRetired
	Sealed    []byte // private key, encrypted by package keys
	PublicJWK []byte
	CreatedAt time.Time
	ActiveAt  time.Time // from when it signs
	RetireAt  time.Time // from when it signs no more
	RemoveAt  time.Time // from when it is not published any more
}

const signingKeyColumns = "key_id, algorithm, state, sealed, public_jwk, created_at, active_at, retire_at, remove_at"

// SigningKeys returns all signing keys, oldest first.
func (r reads) SigningKeys(ctx context.Context) ([]SigningKeyRow, error) {
	rows, err := r.q.QueryContext(ctx, "SELECT "+signingKeyColumns+" FROM signing_keys ORDER BY created_at, key_id")
	return all(rows, err, func(s scanner) (SigningKeyRow, error) {
		var k SigningKeyRow
		var created, active, retire, remove int64
		err := s.Scan(&k.KeyID, &k.Algorithm, &k.State, &k.Sealed, &k.PublicJWK, &created, &active, &retire, &remove)
		k.CreatedAt, k.ActiveAt, k.RetireAt, k.RemoveAt = fromMicros(created), fromMicros(active), fromMicros(retire), fromMicros(remove)
		return k, err
	})
}

// PutSigningKey adds a signing key. Its KeyID must be new.
func (tx *Tx) PutSigningKey(k *SigningKeyRow) error {
	if err := checkKeyState(k.State); err != nil {
		return err
	}
	tx.created(&k.CreatedAt)
	n, err := tx.exec("INSERT INTO signing_keys ("+signingKeyColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		k.KeyID, k.Algorithm, k.State, k.Sealed, k.PublicJWK,
		toMicros(k.CreatedAt), toMicros(k.ActiveAt), toMicros(k.RetireAt), toMicros(k.RemoveAt))
	if err == nil && n == 0 {
		err = directory.Errorf(directory.NameTaken, "kid", "A signing key with id '%s' exists.", k.KeyID)
	}
	tx.touch(directory.KeySigningKeys, "", "")
	return err
}

// UpdateSigningKeyState sets the state and the times ActiveAt, RetireAt and
// RemoveAt of the key k.KeyID; nothing else of k is used.
func (tx *Tx) UpdateSigningKeyState(k *SigningKeyRow) error {
	if err := checkKeyState(k.State); err != nil {
		return err
	}
	n, err := tx.exec("UPDATE signing_keys SET state = ?, active_at = ?, retire_at = ?, remove_at = ? WHERE key_id = ?",
		k.State, toMicros(k.ActiveAt), toMicros(k.RetireAt), toMicros(k.RemoveAt), k.KeyID)
	return tx.changedKey(k.KeyID, n, err)
}

// DeleteSigningKey removes a signing key with its sealed private half.
func (tx *Tx) DeleteSigningKey(keyID string) error {
	n, err := tx.exec("DELETE FROM signing_keys WHERE key_id = ?", keyID)
	return tx.changedKey(keyID, n, err)
}

func (tx *Tx) changedKey(keyID string, changed int64, err error) error {
	if err == nil && changed == 0 {
		err = directory.Errorf(directory.NotFound, "kid", "Signing key '%s' does not exist.", keyID)
	}
	tx.touch(directory.KeySigningKeys, "", "")
	return err
}

func checkKeyState(state string) error {
	switch state {
	case KeyPublished, KeyActive, KeyRetired:
		return nil
	}
	return directory.Errorf(directory.Invalid, "state", "'%s' is not a state of a signing key.", state)
}

// BootstrapToken is a single-use token that lets the first administrator in.
// Only its hash is stored.
type BootstrapToken struct {
	Hash        [32]byte // SHA-256 of the token
	TenantID    string
	PrincipalID string
	ExpiresAt   time.Time
	UsedAt      time.Time // zero: not used
}

// CreateBootstrapToken stores a token of a service principal of the tenant.
func (tx *Tx) CreateBootstrapToken(t *BootstrapToken) error {
	if _, err := tx.assignmentSide(t.TenantID, "principalId", t.PrincipalID); err != nil {
		return err
	}
	_, err := tx.exec("INSERT INTO bootstrap_tokens (hash, tenant_id, principal_id, expires_at, used_at) VALUES (?, ?, ?, ?, 0)",
		t.Hash[:], t.TenantID, t.PrincipalID, toMicros(t.ExpiresAt))
	return err
}

// HasBootstrapToken reports whether a token was ever stored and its service
// principal still exists.
func (r reads) HasBootstrapToken(ctx context.Context, hash [32]byte) (has bool, err error) {
	err = r.q.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM bootstrap_tokens WHERE hash = ?)", hash[:]).Scan(&has)
	return has, err
}

// ConsumeBootstrapToken marks the token as used and returns it, for one
// caller ever. A token that is unknown, used or expired at now is a
// *directory.Error of kind NotFound with the same text, so that guessing
// teaches nothing.
func (tx *Tx) ConsumeBootstrapToken(hash [32]byte, now time.Time) (BootstrapToken, error) {
	t := BootstrapToken{Hash: hash, UsedAt: now.UTC()}
	n, err := tx.exec("UPDATE bootstrap_tokens SET used_at = ?1 WHERE hash = ?2 AND used_at = 0 AND expires_at > ?1", toMicros(now), hash[:])
	if err != nil {
		return t, err
	}
	if n == 0 {
		return t, directory.Errorf(directory.NotFound, "", "The bootstrap token is unknown, used or expired. Make a new one with the bootstrap command.")
	}
	var expires int64
	err = tx.q.QueryRowContext(context.Background(), "SELECT tenant_id, principal_id, expires_at FROM bootstrap_tokens WHERE hash = ?", hash[:]).
		Scan(&t.TenantID, &t.PrincipalID, &expires)
	t.ExpiresAt = fromMicros(expires)
	return t, err
}
