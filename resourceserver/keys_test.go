package resourceserver

import (
	"errors"
	"sync"
	"testing"
	"time"
)

// clock is a settable clock.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// TestRotation replaces the issuer's key: the first token of the new one is
// accepted at once, tokens of the old one as long as it is published.
func TestRotation(t *testing.T) {
	first, second, third := rsaKey(t, "1"), ecKey(t, "2"), rsaKey(t, "3")
	i := newIssuer(t, first)
	v := validator(t, i)
	c := &clock{now: time.Now()}
	v.now = c.read
	accepted := func(key signingKey) bool {
		t.Helper()
		_, err := v.Validate(t.Context(), sign(t, i, key, nil, nil))
		var invalid *InvalidTokenError
		if err != nil && !errors.As(err, &invalid) {
			t.Fatal(err)
		}
		return err == nil
	}
	if !accepted(first) || accepted(second) {
		t.Fatal("before the rotation")
	}
	c.advance(coolDown)
	i.set(func() { i.keys = []signingKey{first, second} })
	if !accepted(second) || !accepted(first) {
		t.Fatal("both keys are published")
	}
	i.set(func() { i.keys = []signingKey{second} })
	c.advance(refreshAfter)
	accepted(first) // still good, but it makes the keys be fetched again
	waitFor(t, func() bool { return !accepted(first) })
	if accepted(third) {
		t.Fatal("a key that was never published")
	}
}

// TestUnknownKeys counts: whoever sends tokens with invented key ids makes the
// issuer be asked once per cool-down, whatever their number.
func TestUnknownKeys(t *testing.T) {
	key := rsaKey(t, "1")
	i := newIssuer(t, key)
	v := validator(t, i)
	c := &clock{now: time.Now()}
	v.now = c.read
	token := sign(t, i, signingKey{"invented", key.alg, key.signer}, nil, nil)
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() { v.Validate(t.Context(), token) })
	}
	group.Wait()
	if n := i.fetches(); n < 1 || n > 2 {
		t.Errorf("50 tokens caused %d fetches", n)
	}
	c.advance(coolDown)
	before := i.fetches()
	for range 50 {
		v.Validate(t.Context(), token)
	}
	if n := i.fetches() - before; n != 1 {
		t.Errorf("after the cool-down, 50 tokens caused %d fetches", n)
	}
}

// TestIssuerDown keeps accepting for an hour, and then says that it cannot
// know.
func TestIssuerDown(t *testing.T) {
	key := rsaKey(t, "1")
	i := newIssuer(t, key)
	i.down = true
	v := validator(t, i)
	c := &clock{now: time.Now()}
	v.now = c.read
	validate := func() error {
		now := c.read().Unix()
		_, err := v.Validate(t.Context(), sign(t, i, key, nil, map[string]any{"nbf": now, "exp": now + 60}))
		return err
	}
	if err := validate(); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("down from the start: %v", err)
	}
	i.set(func() { i.down = false })
	if err := validate(); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("asked again within the cool-down: %v", err)
	}
	c.advance(coolDown)
	if err := validate(); err != nil {
		t.Fatal(err)
	}
	i.set(func() { i.down = true })
	c.advance(useAtMost - time.Second)
	if err := validate(); err != nil {
		t.Fatalf("keys younger than an hour: %v", err)
	}
	c.advance(time.Minute)
	if err := validate(); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("keys older than an hour: %v", err)
	}
}

// TestOtherIssuersDocument: a discovery document that names another issuer is
// not this issuer's.
func TestOtherIssuersDocument(t *testing.T) {
	key := rsaKey(t, "1")
	i := newIssuer(t, key)
	i.names = i.name() + "/"
	if _, err := validator(t, i).Validate(t.Context(), sign(t, i, key, nil, nil)); !errors.Is(err, ErrUnavailable) {
		t.Fatal(err)
	}
}

// waitFor waits for the effect of a fetch in the background.
func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for range 500 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("waited in vain")
}
