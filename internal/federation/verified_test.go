package federation

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"cambio/internal/directory"
	"cambio/internal/jose"
	"cambio/internal/oauth"
)

// changingKeys is an issuer whose keys a test changes.
type changingKeys struct{ keys []*jose.PublicKey }

func (c *changingKeys) Lookup(context.Context, string, *directory.IssuerRecord, jose.Header) ([]*jose.PublicKey, error) {
	if len(c.keys) == 0 {
		return nil, ErrUnknownKey
	}
	return c.keys, nil
}

func (c *changingKeys) Renew(context.Context, string, *directory.IssuerRecord, jose.Header, []*jose.PublicKey) []*jose.PublicKey {
	return nil
}

// remembering is a verifier that remembers, with its issuer and its clock.
type remembering struct {
	*Verifier
	p    *provider
	keys *changingKeys
	now  time.Time
}

func newRemembering(t testing.TB, bytes int) *remembering {
	p := newProvider(t)
	r := &remembering{p: p, keys: &changingKeys{[]*jose.PublicKey{p.public}}, now: now}
	r.Verifier = New(Config{Keys: r.keys, Clock: func() time.Time { return r.now }, Own: func(string) bool { return false }, Remember: bytes})
	return r
}

func (r *remembering) present(t testing.TB, token string) *oauth.Error {
	t.Helper()
	a, refusal := Parse(token)
	if refusal != nil {
		return refusal
	}
	return r.Prove(t.Context(), a, directory.Relaxed, nil)
}

// known reports whether a token is remembered.
func (r *remembering) known(token string) bool {
	a, _ := Parse(token)
	return a != nil && r.verified.by(a.Hash) != nil
}

// TestVerifiedAssertionsAreAskedAnew: what is remembered is that the bytes were
// signed, and nothing that can change.
func TestVerifiedAssertionsAreAskedAnew(t *testing.T) {
	r := newRemembering(t, 1<<20)
	token := r.p.token(nil)
	for range 3 {
		if refusal := r.present(t, token); refusal != nil {
			t.Fatal(refusal)
		}
	}
	if !r.known(token) {
		t.Fatal("a verified assertion is not remembered")
	}
	r.now = now.Add(2 * time.Hour)
	if refusal := r.present(t, token); refusal == nil || refusal.Code != oauth.AssertionOutsideValidity {
		t.Errorf("expired: %v", refusal)
	}
	r.now = now
	r.keys.keys = nil
	if refusal := r.present(t, token); refusal == nil || refusal.Code != oauth.SigningKeyNotFound {
		t.Errorf("a key that was withdrawn: %v", refusal)
	}
	r.keys.keys = []*jose.PublicKey{newProvider(t).public} // another key under its kid
	if refusal := r.present(t, token); refusal == nil || refusal.Code != oauth.SignatureInvalid {
		t.Errorf("a key that was replaced: %v", refusal)
	}
	again, err := jose.NewPublicKey(r.p.private.Public(), "k1", jose.EdDSA) // as a new fetch gives it
	if err != nil {
		t.Fatal(err)
	}
	r.keys.keys = []*jose.PublicKey{again}
	if refusal := r.present(t, token); refusal != nil {
		t.Errorf("after another fetch: %v", refusal)
	}
	if a, _ := Parse(token); r.verified.by(a.Hash) != again {
		t.Error("it is not remembered under the key as it was fetched last")
	}
}

// TestOnlyWhatVerifiedIsRemembered: not what was refused, nor another token
// that says the same.
func TestOnlyWhatVerifiedIsRemembered(t *testing.T) {
	r := newRemembering(t, 1<<20)
	good := r.p.token(nil)
	forged := good[:len(good)-8] + "AAAAAAAA"
	if refusal := r.present(t, forged); refusal == nil || r.known(forged) {
		t.Errorf("forged: %v, remembered: %v", refusal, r.known(forged))
	}
	if refusal := r.present(t, good); refusal != nil {
		t.Fatal(refusal)
	}
	for range 2 {
		if refusal := r.present(t, forged); refusal == nil || refusal.Code != oauth.SignatureInvalid {
			t.Errorf("the forged one beside the good one: %v", refusal)
		}
	}
}

func TestVerifiedAssertionsAreBounded(t *testing.T) {
	const most = 40 // in two generations
	r := newRemembering(t, most*rememberedBytes)
	first := r.p.token(map[string]string{"jti": quote("first")})
	for i := range 500 {
		for _, token := range []string{first, r.p.token(map[string]string{"jti": quote(fmt.Sprint(i))})} {
			if refusal := r.present(t, token); refusal != nil {
				t.Fatal(refusal)
			}
		}
	}
	if n := len(r.verified.newer) + len(r.verified.older); n > most || n < most/2 {
		t.Errorf("%d are remembered, %d may be", n, most)
	}
	if !r.known(first) {
		t.Error("one that is presented all the time was forgotten")
	}
	off := newRemembering(t, 0)
	if refusal := off.present(t, off.p.token(nil)); refusal != nil || len(off.verified.newer) != 0 {
		t.Errorf("without room: %v, %d are remembered", refusal, len(off.verified.newer))
	}
}

func TestVerifiedAssertionsInParallel(t *testing.T) {
	r := newRemembering(t, 32*rememberedBytes)
	tokens := make([]string, 40)
	for i := range tokens {
		tokens[i] = r.p.token(map[string]string{"jti": quote(fmt.Sprint(i))})
	}
	var group sync.WaitGroup
	for n := range 8 {
		group.Go(func() {
			for i := range 400 {
				if refusal := r.present(t, tokens[(i*7+n)%len(tokens)]); refusal != nil {
					t.Error(refusal)
				}
			}
		})
	}
	group.Wait()
}

func BenchmarkProve(b *testing.B) {
	for name, bytes := range map[string]int{"remembered": 1 << 20, "anew": 0} {
		b.Run(name, func(b *testing.B) {
			r := newRemembering(b, bytes)
			token := r.p.token(nil)
			b.ReportAllocs()
			for b.Loop() {
				if refusal := r.present(b, token); refusal != nil {
					b.Fatal(refusal)
				}
			}
		})
	}
}
