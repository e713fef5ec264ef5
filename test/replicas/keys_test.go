package replicas

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"cambio/test/httpclient"
	"cambio/test/postgres"
)

// verifier is a protected API: it keeps the key set for as long as it may, and
// does not ask earlier, not even for a key that it does not know.
type verifier struct {
	cluster *Cluster
	asks    int  // which replica it asks next
	patient bool // asks another one when that does not answer

	until time.Time
	set   jose.JSONWebKeySet
}

func (v *verifier) verify(ctx context.Context, token string) error {
	if time.Now().After(v.until) {
		if err := v.renew(ctx); err != nil {
			return err
		}
	}
	jws, err := jose.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256, jose.RS256})
	if err != nil {
		return err
	}
	id := jws.Signatures[0].Header.KeyID
	keys := v.set.Key(id)
	if len(keys) != 1 {
		return fmt.Errorf("the key set, good until %v, has %d keys %q", v.until.Format(time.TimeOnly), len(keys), id)
	}
	_, err = jws.Verify(keys[0])
	return err
}

// renew takes the key set of the next replica.
func (v *verifier) renew(ctx context.Context) (err error) {
	for range v.cluster.Replicas {
		replica := v.cluster.Replicas[v.asks%len(v.cluster.Replicas)]
		v.asks++
		var set jose.JSONWebKeySet
		var age time.Duration
		asked, cancel := context.WithTimeout(ctx, 2*time.Second)
		set, age, err = v.cluster.keySet(asked, replica)
		cancel()
		if err == nil {
			v.set, v.until = set, time.Now().Add(age)
			return nil
		}
		if !v.patient {
			return err
		}
	}
	return err
}

// keySet reads what a replica publishes, and how long it may be kept.
func (c *Cluster) keySet(ctx context.Context, r *Replica) (set jose.JSONWebKeySet, age time.Duration, err error) {
	request, err := http.NewRequestWithContext(ctx, "GET", r.BaseURL+"/"+c.TenantID+"/discovery/v2.0/keys", nil)
	if err != nil {
		return set, 0, err
	}
	response, err := r.HTTP.Do(request)
	if err != nil {
		return set, 0, err
	}
	defer response.Body.Close()
	var seconds int
	if _, err := fmt.Sscanf(response.Header.Get("Cache-Control"), "public, max-age=%d", &seconds); err != nil {
		return set, 0, fmt.Errorf("HTTP %d, Cache-Control %q: %w", response.StatusCode, response.Header.Get("Cache-Control"), err)
	}
	return set, time.Duration(seconds) * time.Second, json.NewDecoder(response.Body).Decode(&set)
}

// keyOf is the id of the key that signed a token.
func keyOf(t *testing.T, token string) string {
	t.Helper()
	header, err := httpclient.Part(token, 0)
	if err != nil {
		t.Fatal(err)
	}
	id, _ := header["kid"].(string)
	return id
}

// fastKeys lets keys roll over in seconds; verifiers may keep them for one.
const fastKeys = ", publish_ahead: 4s, rotate_every: 8s"

// TestKeysRollOver: while keys roll over, on schedule and by command, every
// token of every replica verifies with what any replica published before, and
// again at the end.
func TestKeysRollOver(t *testing.T) {
	db := database(t)
	for name, polling := range map[string]time.Duration{"polling": 100 * time.Millisecond, "without polling": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() { _ = db.SQL(context.Background(), "DROP SCHEMA public CASCADE; CREATE SCHEMA public") })
			c := startWith(t, Options{DSNs: []string{db.DSN(), db.DSN(), db.DSN()}, Polling: polling, Keys: fastKeys})
			w := newWorld(t, c, 0)
			wanted := min(trials(t, 2), 60)
			signers := signers{byKey: map[string]string{}}
			ctx, stop := context.WithTimeout(t.Context(), time.Duration(wanted+5)*8*time.Second)
			defer stop()
			var group sync.WaitGroup
			for n := range 2 * len(c.Replicas) {
				v := &verifier{cluster: c, asks: n}
				group.Go(func() {
					for ctx.Err() == nil && signers.count() <= wanted {
						if !signers.once(ctx, t, w, v, c.Replicas[n%len(c.Replicas)]) {
							return
						}
					}
				})
			}
			for i := 0; ctx.Err() == nil && signers.count() <= wanted && !t.Failed(); i++ {
				if _, err := c.Command(t.Context(), i%3, "keys", "rotate"); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Second)
			}
			group.Wait()
			if signers.count() <= wanted && !t.Failed() {
				t.Errorf("%d keys have signed in %d rollovers' time", signers.count(), wanted)
			}
			for key, token := range signers.byKey {
				if err := (&verifier{cluster: c}).verify(t.Context(), token); err != nil {
					t.Errorf("a token of key %s, which has not expired: %v", key, err)
				}
			}
			t.Logf("%d tokens of %d keys over %d replicas verified", signers.verified, signers.count(), len(c.Replicas))
		})
	}
}

// signers keeps a token of each key that has signed.
type signers struct {
	mu       sync.Mutex
	byKey    map[string]string
	verified int
}

func (s *signers) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byKey)
}

// once gets a token from a replica and verifies it.
func (s *signers) once(ctx context.Context, t *testing.T, w *world, v *verifier, r *Replica) bool {
	token, err := r.Exchange(ctx, w.client.AppID, w.scope(), w.assertion)
	if err == nil {
		err = v.verify(ctx, token)
	}
	if ctx.Err() != nil {
		return false
	}
	if err != nil {
		t.Error(err)
		return false
	}
	key := keyOf(t, token)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byKey[key] = token
	s.verified++
	return true
}

// TestRemovedKey: a key that was removed by command is neither published nor
// used by any replica a second later.
func TestRemovedKey(t *testing.T) {
	db := database(t)
	c := start(t, 100*time.Millisecond, db.DSN(), db.DSN(), db.DSN())
	w := newWorld(t, c, 0)
	ctx, longest := t.Context(), time.Duration(0)
	n := min(trials(t, 3), 30)
	for i := range n {
		token, err := c.Replicas[0].Exchange(ctx, w.client.AppID, w.scope(), w.assertion)
		if err != nil {
			t.Fatal(err)
		}
		key := keyOf(t, token)
		if _, err := c.Command(ctx, i%3, "keys", "remove", key); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for _, r := range c.Replicas {
			for w.knows(r, key) {
				if time.Since(began) > 5*time.Second {
					t.Fatalf("replica %s goes on with a removed key", r.BaseURL)
				}
				time.Sleep(5 * time.Millisecond)
			}
		}
		longest = max(longest, time.Since(began))
	}
	t.Logf("%d keys removed: gone from every replica %v later at most", n, longest.Round(time.Millisecond))
}

// knows reports whether a replica publishes or uses a key.
func (w *world) knows(r *Replica, key string) bool {
	w.t.Helper()
	set, _, err := w.keySet(w.t.Context(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	token, err := r.Exchange(w.t.Context(), w.client.AppID, w.scope(), w.assertion)
	if unavailable(err) {
		return true // it found out when it had signed
	}
	if err != nil {
		w.t.Fatal(err)
	}
	if keyOf(w.t, token) == key {
		return true
	}
	return len(set.Key(key)) > 0
}

// TestKeysRollOverWithoutAReplica: keys roll over while one replica stands still
// or does not reach the database, for longer than a key is published before it
// signs. Every token of every replica verifies with what any replica
// published, and the one that knows no better publishes nothing.
func TestKeysRollOverWithoutAReplica(t *testing.T) {
	db := database(t)
	proxy, err := postgres.NewProxy(fmt.Sprintf("127.0.0.1:%d", db.Port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	c := startWith(t, Options{DSNs: []string{db.DSN(), db.DSN(), postgres.DSN(proxy.Port)}, Polling: 100 * time.Millisecond, Keys: fastKeys})
	w := newWorld(t, c, 0)
	const ahead = 4 * time.Second
	lonely := c.Replicas[2]
	signers := signers{byKey: map[string]string{}}
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for n := range 2 * len(c.Replicas) {
		v := &verifier{cluster: c, asks: n, patient: true}
		group.Go(func() {
			for ctx.Err() == nil && signers.perhaps(ctx, t, w, v, c.Replicas[n%len(c.Replicas)]) {
			}
		})
	}
	faults := []struct {
		name       string
		begin, end func() error
		mayBeAsked bool
	}{
		{"paused", lonely.Pause, lonely.Resume, false},
		{"hole", set(proxy, postgres.Hole), set(proxy, postgres.Healthy), true},
		{"reset", set(proxy, postgres.Reset), set(proxy, postgres.Healthy), true},
	}
	for i := range min(trials(t, 2), 30) {
		fault := faults[i%len(faults)]
		if err := fault.begin(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Command(t.Context(), i%2, "keys", "rotate"); err != nil {
			t.Error(err)
		}
		time.Sleep(ahead + 2*time.Second)
		if fault.mayBeAsked {
			if set, age, err := c.keySet(t.Context(), lonely); err == nil {
				t.Errorf("%s for longer than %v: it publishes %d keys, for %v", fault.name, ahead, len(set.Keys), age)
			}
		}
		if err := fault.end(); err != nil {
			t.Fatal(err)
		}
		w.eventually(t.Context(), lonely, fault.name)
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if _, _, err := c.keySet(t.Context(), lonely); err == nil {
				break
			} else if time.Now().After(deadline) {
				t.Fatalf("%s: it does not publish keys again: %v", fault.name, err)
			}
		}
	}
	stop()
	group.Wait()
	for key, token := range signers.byKey {
		if err := (&verifier{cluster: c}).verify(t.Context(), token); err != nil {
			t.Errorf("a token of key %s, which has not expired: %v", key, err)
		}
	}
	t.Logf("%d tokens of %d keys verified", signers.verified, signers.count())
	if signers.count() < 2 {
		t.Error("no key rolled over")
	}
}

func set(proxy *postgres.Proxy, state postgres.State) func() error {
	return func() error { proxy.Set(state); return nil }
}

// perhaps gets a token from a replica, if that answers, and verifies it.
func (s *signers) perhaps(ctx context.Context, t *testing.T, w *world, v *verifier, r *Replica) bool {
	asked, cancel := context.WithTimeout(ctx, 3*time.Second)
	token, err := r.Exchange(asked, w.client.AppID, w.scope(), w.assertion)
	cancel()
	if err != nil {
		if refused(err) {
			t.Error(err)
		}
		return !refused(err)
	}
	if err := v.verify(ctx, token); err != nil {
		if ctx.Err() == nil {
			t.Error(err)
		}
		return false
	}
	key := keyOf(t, token)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byKey[key] = token
	s.verified++
	return true
}

// TestKeyRemovedFromAPausedReplica: a replica that stood still while a key was
// removed issues no token of that key when it goes on, and accepts none.
func TestKeyRemovedFromAPausedReplica(t *testing.T) {
	db := database(t)
	c := start(t, time.Hour, db.DSN(), db.DSN(), db.DSN())
	w := newWorld(t, c, 0)
	ctx, paused := t.Context(), c.Replicas[2]
	var after outcomes
	for range min(trials(t, 5), 100) {
		w.eventually(ctx, paused, "before")
		removed, err := c.keyIDs(ctx, c.Replicas[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := paused.Pause(); err != nil {
			t.Fatal(err)
		}
		for id := range removed {
			if _, err := c.Command(ctx, 0, "keys", "remove", id); err != nil {
				t.Fatal(err)
			}
		}
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				token, err := paused.Exchange(ctx, w.client.AppID, w.scope(), w.assertion)
				after.add(err)
				if err == nil && removed[keyOf(t, token)] {
					t.Error("a token of a removed key was issued")
				}
			})
			group.Go(func() {
				if err := paused.Do(ctx, "GET", "/v1.0/applications", nil, nil); err == nil {
					t.Error("a token of a removed key was accepted")
				}
			})
		}
		time.Sleep(100 * time.Millisecond) // so that they lie there
		if err := paused.Resume(); err != nil {
			t.Fatal(err)
		}
		group.Wait()
		w.eventually(ctx, c.Replicas[0], "afterwards")
		if err := c.signIn(ctx); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("requests that lay at a paused replica while the keys were removed: %v", &after)
	if after.refused.Load() > 0 || after.other.Load() > 0 {
		t.Errorf("answered otherwise than with a token or 503: %v", &after)
	}
}

// keyIDs are the keys that a replica publishes.
func (c *Cluster) keyIDs(ctx context.Context, r *Replica) (map[string]bool, error) {
	set, _, err := c.keySet(ctx, r)
	ids := map[string]bool{}
	for _, key := range set.Keys {
		ids[key.KeyID] = true
	}
	return ids, err
}
