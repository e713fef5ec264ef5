package keys

import (
	"bytes"
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cambio/internal/jose"
	"cambio/internal/store"
	"cambio/internal/store/storetest"
)

var policy = Policy{RotateEvery: 90 * 24 * time.Hour, PublishAhead: 48 * time.Hour, RetireAfter: 25 * time.Hour}

func newKEK(t *testing.T) *EncryptionKey {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kek")
	if created, err := CreateEncryptionKeyFile(path); err != nil || !created {
		t.Fatal(created, err)
	}
	k, err := LoadEncryptionKey(path)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// rig is a ring with a clock that the test sets.
type rig struct {
	*Ring
	now time.Time
	db  *store.DB
	kek *EncryptionKey
}

func openRig(t *testing.T) *rig {
	t.Helper()
	db, err := store.Open(storetest.Empty(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	r := &rig{now: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC), db: db, kek: newKEK(t)}
	r.Ring, err = Open(context.Background(), Config{DB: db, KEK: r.kek, Policy: policy, Clock: func() time.Time { return r.now }})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// states lists the states of an algorithm's keys.
func (r *rig) states(alg jose.Algorithm) string {
	var s []string
	for _, k := range r.Keys() {
		if k.Algorithm == string(alg) {
			s = append(s, k.State)
		}
	}
	return strings.Join(s, " ")
}

func (r *rig) pass(t *testing.T, d time.Duration) {
	t.Helper()
	r.now = r.now.Add(d)
	if err := r.Maintain(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) sign(t *testing.T) (*jose.JWS, string) {
	t.Helper()
	token, kid, err := r.Sign(nil, "RS256", "JWT", []byte(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	jws, err := jose.ParseCompact(string(token))
	if err != nil {
		t.Fatal(err)
	}
	return jws, kid
}

func TestLifeOfAKey(t *testing.T) {
	r := openRig(t)
	before, first := r.sign(t)
	for _, step := range []struct {
		after time.Duration
		want  string
	}{
		{0, "active"},
		{policy.RotateEvery - policy.PublishAhead - time.Hour, "active"},
		{2 * time.Hour, "active published"},
		{policy.PublishAhead - 2*time.Hour, "active published"},
		{2 * time.Hour, "retired active"},
		{policy.RetireAfter - time.Minute, "retired active"},
		{2 * time.Minute, "active"},
	} {
		r.pass(t, step.after)
		if got := r.states(jose.RS256); got != step.want {
			t.Fatalf("at %v: %q, want %q", r.now, got, step.want)
		}
		if retired := strings.Contains(step.want, "retired"); retired && !r.Verify(before) {
			t.Fatal("a token of the retired key does not verify, though it may be alive")
		}
	}
	if _, kid := r.sign(t); kid == first {
		t.Error("the first key still signs")
	}
	if r.Verify(before) {
		t.Error("the removed key still verifies")
	}
}

func TestRotateByCommandPublishesFirst(t *testing.T) {
	r := openRig(t)
	ctx := context.Background()
	_, first := r.sign(t)
	r.now = r.now.Add(time.Second)
	for n, want := range []bool{true, false} { // a second time changes nothing
		if published, err := r.Rotate(ctx); err != nil || published != want {
			t.Fatalf("time %d: published %v, %v", n+1, published, err)
		}
	}
	if got := r.states(jose.ES256); got != "active published" {
		t.Fatalf("got %q", got)
	}
	if _, kid := r.sign(t); kid != first {
		t.Error("the successor signs before verifiers can know it")
	}
	r.pass(t, policy.PublishAhead+time.Second)
	if _, kid := r.sign(t); kid == first {
		t.Error("the successor does not sign after it was published long enough")
	}
}

func TestRemoveIsImmediate(t *testing.T) {
	r := openRig(t)
	ctx := context.Background()
	token, kid := r.sign(t)
	if err := r.Remove(ctx, kid); err != nil {
		t.Fatal(err)
	}
	if r.Verify(token) || strings.Contains(string(r.JWKS()), kid) {
		t.Error("the removed key is still published")
	}
	if _, next := r.sign(t); next == kid {
		t.Error("the removed key still signs")
	}
	if err := r.Remove(ctx, kid); err == nil || !strings.Contains(err.Error(), "keys list") {
		t.Errorf("removing an unknown key: %v", err)
	}
}

func TestUnreadableKeyStops(t *testing.T) {
	r := openRig(t)
	_, err := Open(context.Background(), Config{DB: r.db, KEK: newKEK(t), Policy: policy, Clock: time.Now})
	if err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Fatalf("opened with the wrong key-encryption key: %v", err)
	}
	rows, err := r.db.SigningKeys(context.Background())
	if err != nil || len(rows) != 2 {
		t.Errorf("keys were replaced: %d rows, %v", len(rows), err)
	}
	// The way out is to discard what cannot be read.
	for _, row := range rows {
		if err := Discard(context.Background(), r.db, row.KeyID); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(context.Background(), Config{DB: r.db, KEK: newKEK(t), Policy: policy, Clock: time.Now}); err != nil {
		t.Error(err)
	}
}

// A sealed key opens in its own row only.
func TestSealIsBoundToTheRow(t *testing.T) {
	r := openRig(t)
	rows, err := r.db.SigningKeys(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	a, b := rows[0], rows[1]
	a.Sealed = b.Sealed
	if _, err := openRow(r.kek, &a); err == nil {
		t.Error("a sealed key opened in another row")
	}
	for i := range b.Sealed {
		c := b
		c.Sealed = append([]byte(nil), b.Sealed...)
		c.Sealed[i] ^= 1
		if _, err := openRow(r.kek, &c); err == nil {
			t.Fatalf("a key altered at byte %d opened", i)
		}
		if i > 40 {
			break
		}
	}
}

func TestPrivateKeysAreSealedAtRest(t *testing.T) {
	r := openRig(t)
	rows, err := r.db.SigningKeys(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		key, err := openRow(r.kek, &row)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := r.kek.open(row.Sealed, label(row.KeyID, row.Algorithm))
		if err != nil || len(plain) < 64 {
			t.Fatal(len(plain), err)
		}
		if strings.Contains(string(row.Sealed), string(plain[30:60])) || key.private == nil {
			t.Error("a private key lies open in its row")
		}
	}
	for _, k := range r.Keys() {
		if k.Sealed != nil {
			t.Error("the list of keys carries private parts")
		}
	}
}

func TestEncryptionKeyFileMustBePrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kek")
	if _, err := CreateEncryptionKeyFile(path); err != nil {
		t.Fatal(err)
	}
	if created, err := CreateEncryptionKeyFile(path); created || err != nil {
		t.Errorf("an existing key was replaced: %v, %v", created, err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadEncryptionKey(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others can read was taken: %v", err)
	}
	for _, text := range []string{"", "x", "YWJj", strings.Repeat("A", 100)} {
		if _, err := ParseEncryptionKey(text); err == nil {
			t.Errorf("%q was taken as a key", text)
		}
	}
}

func TestTwoProcessesDoNotFightOverARollover(t *testing.T) {
	r := openRig(t)
	other, err := Open(context.Background(), Config{DB: r.db, KEK: r.kek, Policy: policy, Clock: func() time.Time { return r.now }})
	if err != nil {
		t.Fatal(err)
	}
	r.now = r.now.Add(policy.RotateEvery - time.Hour)
	if err := r.Maintain(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := other.Maintain(context.Background()); err != nil { // its snapshot is from before
		t.Fatal(err)
	}
	if got := r.states(jose.RS256); got != "active published" {
		t.Errorf("got %q: one successor is enough", got)
	}
}

// TestDamagedKeyFile: a key-encryption key of which a bit flipped, or that was
// cut off, is refused or is the same key; no new signing keys are made.
func TestDamagedKeyFile(t *testing.T) {
	r := openRig(t)
	path := filepath.Join(t.TempDir(), "kek")
	if _, err := CreateEncryptionKeyFile(path); err != nil {
		t.Fatal(err)
	}
	text := []byte(base64.StdEncoding.EncodeToString(r.kek.raw) + "\n")
	before, refused := r.Active("RS256"), 0
	try := func(damaged []byte) {
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		kek, err := LoadEncryptionKey(path)
		if err == nil {
			err = Check(t.Context(), Config{DB: r.db, KEK: kek, Clock: time.Now})
		}
		if err != nil {
			refused++
		} else if !bytes.Equal(kek.raw, r.kek.raw) {
			t.Errorf("%q is accepted", damaged)
		}
	}
	for at := range text {
		try(text[:at])
		for bit := range 8 {
			damaged := slices.Clone(text)
			damaged[at] ^= 1 << bit
			try(damaged)
		}
	}
	if err := r.Reload(t.Context()); err != nil || r.Active("RS256") != before || refused < 8*len(text)*9/10 {
		t.Errorf("%d of %d refused; key %s, was %s; %v", refused, 9*len(text), r.Active("RS256"), before, err)
	}
}

// TestKeyIDsAreNoFlags: an id is an argument of commands.
func TestKeyIDsAreNoFlags(t *testing.T) {
	sum := [32]byte{0xf8, 0xfb, 1} // begins with "-Ps" in base64url
	if id := keyID(sum); id[0] == '-' || len(id) != 27 {
		t.Errorf("%q", id)
	}
}
