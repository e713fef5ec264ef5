package replicas

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"cambio/test/realparts"
)

// TestPooler: what replicas promise holds through a pooler too, which gives
// them another connection for each transaction, and fewer than they have open.
func TestPooler(t *testing.T) {
	realparts.Needs(t, realparts.PgBouncer)
	pooler, err := database(t).Pooler(t.Context(), 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pooler.Close)
	c := start(t, 100*time.Millisecond, pooler.DSN(), pooler.DSN(), pooler.DSN())
	const workers = 3
	each := trials(t, 36) / workers
	var group, load sync.WaitGroup
	stop := make(chan struct{})
	for n := range workers {
		w := newWorld(t, c, n)
		w.background(stop, &load)
		group.Go(func() {
			for i := range each {
				accepted, err := w.revoke(restrictions[i%len(restrictions)], i)
				if err == nil {
					err = w.createThenExchange(i)
				}
				if err != nil {
					t.Error(fmt.Errorf("worker %d, trial %d (%d accepted): %w", n, i, accepted, err))
					return
				}
			}
		})
	}
	group.Wait()
	close(stop)
	load.Wait()
	t.Logf("%d restrictions and as many creations over %d replicas behind PgBouncer", workers*each, len(c.Replicas))
}
