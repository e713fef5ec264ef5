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
)

// verifier is a protected API: it keeps the key set for as long as it may, and
// does not ask earlier, not even for a key that it does not know.
type verifier struct {
	cluster *Cluster
	asks    int // which replica it asks next

	until time.Time
	set   jose.JSONWebKeySet
}

func (v *verifier) verify(ctx context.Context, token string) error {
	if time.Now().After(v.until) {
		set, age, err := v.cluster.keySet(ctx, v.cluster.Replicas[v.asks%len(v.cluster.Replicas)])
		if err != nil {
			return err
		}
		v.asks++
		v.set, v.until = set, time.Now().Add(age)
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
	if err != nil {
		w.t.Fatal(err)
	}
	if keyOf(w.t, token) == key {
		return true
	}
	return len(set.Key(key)) > 0
}
