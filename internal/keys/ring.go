package keys

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"cambio/internal/jose"
	"cambio/internal/store"
)

// Policy is when keys roll over.
type Policy struct {
	RotateEvery  time.Duration // how long a key signs
	PublishAhead time.Duration // how long it is published before it signs
	RetireAfter  time.Duration // how long it stays published afterwards: at least the longest token lifetime
}

// Config is what a Ring needs. All members are required.
type Config struct {
	DB     *store.DB
	KEK    *EncryptionKey
	Policy Policy
	Clock  func() time.Time
}

// Ring is the set of signing keys. Signing reads an immutable snapshot, which
// is replaced as a whole. It is safe for concurrent use.
type Ring struct {
	cfg     Config
	reload  sync.Mutex               // held by Reload, so that an older state never replaces a newer one
	current atomic.Pointer[snapshot] // replaced by Reload
}

type snapshot struct {
	version int64     // of the database's, not later than the state that was read
	readAt  time.Time // not later than the state that was read, on the wall clock
	rows    []store.SigningKeyRow
	active  map[jose.Algorithm]*signingKey
	set     *jose.KeySet
	jwks    []byte
}

// Open loads the keys, makes those that are missing, and fails on any key
// that cannot be read.
func Open(ctx context.Context, cfg Config) (*Ring, error) {
	r := &Ring{cfg: cfg}
	if err := r.Reload(ctx); err != nil {
		return nil, err
	}
	return r, r.Maintain(ctx)
}

// Check reports whether every key can be read, and changes nothing.
func Check(ctx context.Context, cfg Config) error { return (&Ring{cfg: cfg}).Reload(ctx) }

// reloadTime bounds a Reload: a connection that leads nowhere must not keep the
// next one from being tried.
const reloadTime = 10 * time.Second

// Reload reads the keys from the database. On an error the ring keeps what it
// had.
func (r *Ring) Reload(ctx context.Context) error {
	r.reload.Lock()
	defer r.reload.Unlock()
	return r.read(ctx)
}

// read is Reload; r.reload is held.
func (r *Ring) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reloadTime)
	defer cancel()
	version := r.cfg.DB.SigningKeysVersion()
	// Without the monotonic clock, which stands still while a machine is
	// suspended.
	readAt := r.cfg.Clock().Round(0)
	rows, err := r.cfg.DB.SigningKeys(ctx)
	if err != nil {
		return err
	}
	s := &snapshot{version: version, readAt: readAt, rows: rows, active: map[jose.Algorithm]*signingKey{}}
	var jwks bytes.Buffer
	jwks.WriteString(`{"keys":[`)
	for i := range rows {
		key, err := openRow(r.cfg.KEK, &rows[i])
		if err != nil {
			return err
		}
		if rows[i].State == Active {
			s.active[key.algorithm] = key
		}
		if i > 0 {
			jwks.WriteByte(',')
		}
		jwks.Write(rows[i].PublicJWK)
	}
	jwks.WriteString(`]}`)
	s.jwks = jwks.Bytes()
	if s.set, err = jose.ParseKeySet(s.jwks, len(rows)); err != nil && len(rows) > 0 {
		return fmt.Errorf("the stored public keys are damaged: %w", err)
	}
	r.current.Store(s)
	return nil
}

// JWKS is the published key set (RFC 7517 §5). The caller must not change it.
func (r *Ring) JWKS() []byte { return r.current.Load().jwks }

// Holds reports whether a key is among those of the database, as far as its
// changes are known here: it reads them again when there were some.
func (r *Ring) Holds(ctx context.Context, keyID string) (bool, error) {
	s := r.current.Load()
	if s.version != r.cfg.DB.SigningKeysVersion() {
		if err := r.renew(ctx); err != nil {
			return false, err
		}
		s = r.current.Load()
	}
	for i := range s.rows {
		if s.rows[i].KeyID == keyID {
			return true, nil
		}
	}
	return false, nil
}

// renew reloads unless somebody else has.
func (r *Ring) renew(ctx context.Context) error {
	r.reload.Lock()
	defer r.reload.Unlock()
	if r.current.Load().version == r.cfg.DB.SigningKeysVersion() {
		return nil
	}
	return r.read(ctx)
}

// GoodFor is how long the key set holds every key that may sign, on this server
// and on others: a key that was published after it was read here does not sign
// before PublishAhead. It is negative when the database was out of reach for
// longer than that.
func (r *Ring) GoodFor() time.Duration {
	return r.current.Load().readAt.Add(r.cfg.Policy.PublishAhead).Sub(r.cfg.Clock().Round(0))
}

// Keys lists the keys without their private parts.
func (r *Ring) Keys() []store.SigningKeyRow {
	rows := append([]store.SigningKeyRow(nil), r.current.Load().rows...)
	for i := range rows {
		rows[i].Sealed = nil
	}
	return rows
}

// errNoKey cannot happen after Open; it keeps a zero Ring from panicking.
var errNoKey = errors.New("keys: no active key for the algorithm")

// Sign appends the compact JWS of claims to dst, signed with the active key
// of the algorithm. Typ is "JWT" or "at+jwt".
func (r *Ring) Sign(dst []byte, algorithm, typ string, claims []byte) (token []byte, keyID string, err error) {
	key := r.current.Load().active[jose.Algorithm(algorithm)]
	if key == nil || key.headers[typ] == "" {
		return nil, "", errNoKey
	}
	start := len(dst)
	dst = append(dst, key.headers[typ]...)
	dst = base64.RawURLEncoding.AppendEncode(dst, claims)
	var space [256]byte // an RSA-2048 signature
	signature, err := jose.Sign(key.algorithm, key.private, dst[start:], space[:0])
	if err != nil {
		return nil, "", err
	}
	dst = append(dst, '.')
	return base64.RawURLEncoding.AppendEncode(dst, signature), key.id, nil
}

// Active is the id of the key that signs with an algorithm now.
func (r *Ring) Active(algorithm string) string {
	if key := r.current.Load().active[jose.Algorithm(algorithm)]; key != nil {
		return key.id
	}
	return ""
}

// Verify reports whether a token was signed with a published key of the ring.
// It checks the signature only.
func (r *Ring) Verify(token *jose.JWS) bool {
	keys, _ := r.current.Load().set.Candidates(token.Header)
	for _, k := range keys {
		if token.Verify(k) == nil {
			return true
		}
	}
	return false
}
