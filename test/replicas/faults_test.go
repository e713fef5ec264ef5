package replicas

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cambio/test/postgres"
)

// outcomes counts what exchanges were answered.
type outcomes struct{ issued, refused, unavailable, other atomic.Int64 }

func (o *outcomes) add(err error) {
	switch {
	case err == nil:
		o.issued.Add(1)
	case refused(err):
		o.refused.Add(1)
	case unavailable(err):
		o.unavailable.Add(1)
	default:
		o.other.Add(1)
	}
}

func (o *outcomes) String() string {
	return fmt.Sprintf("%d issued, %d refused, %d unavailable, %d without an answer", o.issued.Load(), o.refused.Load(), o.unavailable.Load(), o.other.Load())
}

// remove deletes the world's credential, by the first replica that can.
func (w *world) remove(ctx context.Context, at *Replica) {
	w.t.Helper()
	if err := restrictions[0].apply(ctx, w, at); err != nil {
		w.t.Fatalf("deleting the credential: %v", err)
	}
}

// eventually waits until a replica issues again.
func (w *world) eventually(ctx context.Context, r *Replica, what string) {
	w.t.Helper()
	began := time.Now()
	for {
		_, err := w.exchange(ctx, r)
		if err == nil {
			w.t.Logf("%s: issues again after %v", what, time.Since(began).Round(time.Millisecond))
			return
		}
		if time.Since(began) > 60*time.Second {
			w.t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestPausedReplica: a replica is stopped where it stands, the credential is
// deleted, requests pile up at it, and it goes on.
func TestPausedReplica(t *testing.T) {
	db := database(t)
	for _, polling := range []time.Duration{100 * time.Millisecond, time.Hour} {
		t.Run(polling.String(), func(t *testing.T) {
			t.Cleanup(func() { _ = db.SQL(context.Background(), "DROP SCHEMA public CASCADE; CREATE SCHEMA public") })
			c := start(t, polling, db.DSN(), db.DSN(), db.DSN())
			w := newWorld(t, c, 0)
			var total outcomes
			for range trials(t, 8) {
				w.pauseOnce(&total)
				if err := restrictions[0].undo(t.Context(), w, c.Replicas[0]); err != nil {
					t.Fatal(err)
				}
			}
			t.Logf("requests that lay at a paused replica while the credential was deleted: %v", &total)
			if total.issued.Load() > 0 || total.refused.Load() == 0 {
				t.Errorf("after the deletion: %v", &total)
			}
		})
	}
}

func (w *world) pauseOnce(total *outcomes) {
	ctx, paused := w.t.Context(), w.Replicas[2]
	for _, r := range w.Replicas {
		if _, err := w.exchange(ctx, r); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := paused.Pause(); err != nil {
		w.t.Fatal(err)
	}
	w.remove(ctx, w.Replicas[0])
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			_, err := w.exchange(ctx, paused)
			total.add(err)
		})
	}
	time.Sleep(100 * time.Millisecond) // so that they lie there
	if err := paused.Resume(); err != nil {
		w.t.Fatal(err)
	}
	group.Wait()
}

// TestCutOffReplica: a replica that does not reach the database issues
// nothing, says so within its deadline, and goes on by itself.
func TestCutOffReplica(t *testing.T) {
	db := database(t)
	proxy, err := postgres.NewProxy(fmt.Sprintf("127.0.0.1:%d", db.Port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	c := start(t, 100*time.Millisecond, db.DSN(), db.DSN(), postgres.DSN(proxy.Port))
	for name, state := range map[string]postgres.State{"reset": postgres.Reset, "hole": postgres.Hole} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c, int(state))
			ctx, cut := t.Context(), c.Replicas[2]
			w.eventually(ctx, cut, "before")
			proxy.Set(state)
			w.remove(ctx, c.Replicas[0])
			var during outcomes
			var group sync.WaitGroup
			began := time.Now()
			for range 16 {
				group.Go(func() {
					_, err := w.exchange(ctx, cut)
					during.add(err)
				})
			}
			group.Wait()
			t.Logf("cut off (%s): %v, answered within %v", name, &during, time.Since(began).Round(time.Millisecond))
			if during.issued.Load() > 0 || during.unavailable.Load() != 16 {
				t.Errorf("a replica that is cut off: %v", &during)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("the answers took %v", took)
			}
			proxy.Set(postgres.Healthy)
			for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
				_, err := w.exchange(ctx, cut)
				if err == nil {
					t.Fatal("the deleted credential is accepted after the network came back")
				}
				if refused(err) {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("the replica does not recover: %v", err)
				}
			}
			if err := restrictions[0].undo(ctx, w, c.Replicas[0]); err != nil {
				t.Fatal(err)
			}
			w.eventually(ctx, cut, "healed")
		})
	}
}

// TestFrozenReplicaKeepsNobodyWaiting: replicas that stop in the middle of
// management writes hold the others up for some seconds at most.
func TestFrozenReplicaKeepsNobodyWaiting(t *testing.T) {
	db := database(t)
	c := start(t, 100*time.Millisecond, db.DSN(), db.DSN())
	w := newWorld(t, c, 0)
	ctx, frozen := t.Context(), c.Replicas[1]
	longest := time.Duration(0)
	for i := range min(trials(t, 5), 50) {
		var group sync.WaitGroup
		stop := make(chan struct{})
		for n := range 4 {
			group.Go(func() {
				for k := 0; ; k++ {
					select {
					case <-stop:
						return
					default:
						_, _ = frozen.Trust(ctx, w.client, fmt.Sprintf("frozen-%d-%d-%d", i, n, k), w.Issuer.Issuer(), fmt.Sprintf("frozen-%d-%d-%d", i, n, k))
					}
				}
			})
		}
		time.Sleep(50*time.Millisecond + time.Duration(i*13)*time.Millisecond)
		if err := frozen.Pause(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := c.Replicas[0].Trust(ctx, w.client, fmt.Sprintf("other-%d", i), w.Issuer.Issuer(), fmt.Sprintf("other-%d", i)); err != nil {
			t.Errorf("a write beside a frozen replica: %v", err)
		}
		longest = max(longest, time.Since(began))
		if _, err := w.exchange(ctx, c.Replicas[0]); err != nil {
			t.Errorf("an exchange beside a frozen replica: %v", err)
		}
		close(stop)
		if err := frozen.Resume(); err != nil {
			t.Fatal(err)
		}
		group.Wait()
	}
	t.Logf("a write of another replica waited %v at most", longest.Round(time.Millisecond))
	if longest > 15*time.Second {
		t.Errorf("a write waited %v for a frozen replica", longest)
	}
}

// TestDatabaseRestart: while the database is restarted nothing that was
// deleted is accepted, and replicas go on by themselves.
func TestDatabaseRestart(t *testing.T) {
	db := database(t)
	c := start(t, 100*time.Millisecond, db.DSN(), db.DSN(), db.DSN())
	for i := range min(trials(t, 3), 100) {
		w := newWorld(t, c, i)
		w.outage(func(ctx context.Context) error {
			if err := db.Stop(ctx, []string{"fast", "immediate"}[i%2]); err != nil {
				return err
			}
			return db.Start(ctx)
		})
	}
}

// TestFailover: the primary is lost and its synchronous standby takes over.
func TestFailover(t *testing.T) {
	primary := database(t)
	standby, err := primary.Standby(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(standby.Close)
	if err := primary.Set(t.Context(), "synchronous_standby_names", "*"); err != nil {
		t.Fatal(err)
	}
	dsn := postgres.DSN(primary.Port, standby.Port)
	c := start(t, 100*time.Millisecond, dsn, dsn, dsn)
	w := newWorld(t, c, 0)
	w.outage(func(ctx context.Context) error {
		if err := primary.Kill(); err != nil {
			return err
		}
		return standby.Promote(ctx)
	})
}

// outage deletes the credential under load while the database goes away and
// comes back; before it is gone or after, whenever the deletion succeeds.
func (w *world) outage(lose func(context.Context) error) {
	w.t.Helper()
	ctx := w.t.Context()
	for _, r := range w.Replicas {
		w.eventually(ctx, r, "before")
	}
	var group sync.WaitGroup
	stop := make(chan struct{})
	w.background(stop, &group)
	lost, over := make(chan error, 1), make(chan struct{})
	go func() { lost <- lose(ctx); close(over) }()
	// Until it is answered for. One whose answer was lost may be through.
	deadline := time.Now().Add(60 * time.Second)
	for restrictions[0].apply(ctx, w, w.Replicas[0]) != nil {
		if time.Now().After(deadline) {
			w.t.Fatal("the credential cannot be deleted")
		}
		if _, err := w.exchange(ctx, w.Replicas[0]); refused(err) {
			break // it is deleted
		}
		time.Sleep(5 * time.Millisecond)
	}
	var after outcomes
	for rounds := 0; rounds < 40; {
		for _, r := range w.Replicas {
			_, err := w.exchange(ctx, r)
			after.add(err)
		}
		select {
		case <-over:
			rounds++
		default: // the database is still away
		}
	}
	if err := <-lost; err != nil {
		w.t.Fatal(err)
	}
	close(stop)
	group.Wait()
	w.t.Logf("after the deletion: %v", &after)
	if after.issued.Load() > 0 {
		w.t.Errorf("the deleted credential was accepted: %v", &after)
	}
	for {
		err := restrictions[0].undo(ctx, w, w.Replicas[0])
		if err == nil || refused(err) && w.hasCredential(ctx) {
			break
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("no write succeeds: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	for _, r := range w.Replicas {
		w.eventually(ctx, r, "afterwards")
	}
}

// hasCredential reports whether a creation whose answer was lost took effect.
func (w *world) hasCredential(ctx context.Context) bool {
	return w.Replicas[0].Do(ctx, "GET", "/v1.0/applications/"+w.client.ID+"/federatedIdentityCredentials/main", nil, nil) == nil
}
