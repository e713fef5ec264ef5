package replicas

import (
	"context"
	"sync"
	"testing"
	"time"

	"cambio/test/postgres"
)

// TestWhatIsReadSurvivesAFailover: a write is visible on the primary and is not
// on the standby, since the wait for it ended without an answer. Nobody may
// read it: the standby, which lacks it, takes over.
func TestWhatIsReadSurvivesAFailover(t *testing.T) {
	pair := &pair{primary: database(t)}
	t.Cleanup(pair.close)
	if err := pair.follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := start(t, 100*time.Millisecond, postgres.DSN(pair.primary.Port, pair.standby.Port))
	w, at := newWorld(t, c, 0), c.Replicas[0]
	if held, err := w.held(t.Context(), at); err != nil || held != 1 {
		t.Fatalf("%d assignments, %v; want 1", held, err)
	}
	if err := pair.standby.Kill(); err != nil {
		t.Fatal(err)
	}
	w.loseAWrite(pair.primary)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	before, unread := w.held(ctx, at)
	if err := pair.standby.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := pair.failover(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.eventually(t.Context(), at, "afterwards")
	after, err := w.held(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("assignments before the failover: %d, %v; after it: %d", before, unread, after)
	if unread == nil && before != after {
		t.Errorf("%d assignments were read before the failover and %d after it", before, after)
	}
}

// held counts the client's assignments.
func (w *world) held(ctx context.Context, at *Replica) (int, error) {
	var list struct{ Value []struct{ ID string } }
	err := at.Do(ctx, "GET", "/v1.0/servicePrincipals/"+w.client.PrincipalID+"/appRoleAssignments", nil, &list)
	return len(list.Value), err
}

// loseAWrite takes the role away while no standby is there to wait for, and
// lets the primary crash and start again meanwhile.
func (w *world) loseAWrite(primary *postgres.Server) {
	w.t.Helper()
	var group sync.WaitGroup
	group.Go(func() {
		if err := w.ungrant(w.t.Context(), w.Replicas[0]); !unavailable(err) {
			w.t.Errorf("a write that no standby has was answered with %v", err)
		}
	})
	const waiting = "SELECT 1 / count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query = 'COMMIT'" // fails while none is
	for deadline := time.Now().Add(10 * time.Second); primary.SQL(w.t.Context(), waiting) != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatal("the write does not wait for the standby")
		}
	}
	if err := primary.Kill(); err != nil {
		w.t.Fatal(err)
	}
	if err := primary.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	group.Wait()
}
