package replicas

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cambio/test/httpclient"
	"cambio/test/postgres"
)

// fleet is what clients know of the replicas: where each was last.
type fleet struct {
	mu      sync.RWMutex
	clients []httpclient.Client
}

func newFleet(c *Cluster) *fleet {
	f := &fleet{}
	for _, r := range c.Replicas {
		f.clients = append(f.clients, r.Client)
	}
	return f
}

// at returns a replica for one request.
func (f *fleet) at(i int) *Replica {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return &Replica{Client: f.clients[i%len(f.clients)]}
}

// patient is a client that asks again, elsewhere, when it got no answer or was
// told to come again.
type patient struct {
	*world
	fleet *fleet
	turn  int
	asks  int // most often; it waits before all but the first two times
	*answers
}

// answers are what happened to all clients' requests.
type answers struct{ requests, retries, failed atomic.Int64 }

func (a *answers) String() string {
	return fmt.Sprintf("%d requests, %d of them asked again, %d without an answer even so", a.requests.Load(), a.retries.Load(), a.failed.Load())
}

// try sends a request. If an earlier answer was lost, done tells by a later
// one's error whether the request had taken effect by then.
func (p *patient) try(send func(at *Replica) error, done func(err error) bool) (err error) {
	p.requests.Add(1)
	for n := range p.asks {
		if n == 1 {
			p.retries.Add(1)
		} else if n > 1 {
			time.Sleep(50 * time.Millisecond)
		}
		p.turn++
		before := err
		err = send(p.fleet.at(p.turn))
		switch {
		case err == nil || n > 0 && done(err):
			return nil
		case refused(err):
			return err
		case before != nil && n+1 == p.asks:
			p.failed.Add(1)
			return fmt.Errorf("%w, and before: %w", err, before)
		}
	}
	return err
}

func never(error) bool { return false }

func status(code int) func(error) bool {
	return func(err error) bool {
		var r *httpclient.Refusal
		return errors.As(err, &r) && r.Status == code
	}
}

// cycle takes the credential and the role away and gives them back, and looks
// after each step whether the token endpoint knows. Nobody else changes the
// world, so its history has one order and each exchange one right answer.
func (p *patient) cycle(ctx context.Context, i int) error {
	name := fmt.Sprintf("cycle-%d", i)
	steps := []struct {
		send  func(at *Replica) error
		done  func(error) bool
		roles []string // that the next exchanges must find
		works bool     // whether they are to be answered with a token
	}{
		{func(at *Replica) error { return p.ungrant(ctx, at) }, status(http.StatusNotFound), nil, true},
		{func(at *Replica) error { return p.Cluster.grant(ctx, at, p.world) }, refused, []string{"Read"}, true},
		{func(at *Replica) error { return at.Do(ctx, "DELETE", credentialPath(p.world), nil, nil) }, status(http.StatusNotFound), nil, false},
		{func(at *Replica) (err error) {
			p.credential, err = at.Trust(ctx, p.client, name, p.Issuer.Issuer(), p.subject)
			return err
		}, status(http.StatusConflict), []string{"Read"}, true},
	}
	for n, step := range steps {
		if err := p.try(step.send, step.done); err != nil {
			return fmt.Errorf("cycle %d, step %d: %w", i, n, err)
		}
		if p.credential == "" {
			p.credential = name // Graph takes a name in place of an id
		}
		for range 4 {
			var roles []string
			err := p.try(func(at *Replica) (err error) { roles, err = p.exchange(ctx, at); return err }, never)
			if step.works != (err == nil) || err == nil && !slices.Equal(roles, step.roles) {
				return fmt.Errorf("cycle %d, after step %d: roles %v, %v; want roles %v, a token: %v", i, n, roles, err, step.roles, step.works)
			}
		}
	}
	return nil
}

// grant assigns the world's role unless it is assigned already.
func (c *Cluster) grant(ctx context.Context, at *Replica, w *world) error {
	var list struct{ Value []struct{ ID string } }
	if err := at.Do(ctx, "GET", "/v1.0/servicePrincipals/"+w.client.PrincipalID+"/appRoleAssignments", nil, &list); err != nil {
		return err
	}
	if len(list.Value) > 0 {
		return nil
	}
	return at.Grant(ctx, w.client, w.resource, "Read")
}

// clients starts some, in worlds from the first on, that live through cycles
// until end is called.
func clients(t *testing.T, c *Cluster, fleet *fleet, first, asks int) (seen *answers, end func()) {
	t.Helper()
	seen = &answers{}
	var group sync.WaitGroup
	stop := make(chan struct{})
	for n := first; n < first+4; n++ {
		p := &patient{world: newWorld(t, c, n), fleet: fleet, turn: n, asks: asks, answers: seen}
		group.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := p.cycle(t.Context(), i); err != nil {
					t.Errorf("client %d: %v", n, err)
					return
				}
			}
		})
	}
	return seen, func() { close(stop); group.Wait() }
}

// again starts a replica that was stopped or killed.
func (f *fleet) again(t *testing.T, c *Cluster, i int) {
	t.Helper()
	if err := c.Run(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clients[i] = c.Replicas[i].Client
}

// TestRollingRestarts: replicas are stopped in good order, or killed, one after
// the other, under clients that ask twice. Nobody goes without an answer, and
// every answer is the one that the client's own history asks for.
func TestRollingRestarts(t *testing.T) {
	db := database(t)
	c := start(t, 100*time.Millisecond, db.DSN(), db.DSN(), db.DSN())
	fleet := newFleet(c)
	seen, end := clients(t, c, fleet, 0, 2)
	restarts := min(trials(t, 6), 100)
	for i := range restarts {
		if i/3%2 == 0 {
			c.Replicas[i%3].Stop()
		} else {
			c.Replicas[i%3].Kill()
		}
		fleet.again(t, c, i%3)
		time.Sleep(300 * time.Millisecond) // of work for all three
	}
	end()
	t.Logf("%d restarts: %v", restarts, seen)
}

// TestRandomFaults: the same clients, who ask until they are answered, while
// replicas, their ways to the database and the database itself fail in a
// random order, and standbys take over from it.
func TestRandomFaults(t *testing.T) {
	db := &pair{primary: database(t)}
	t.Cleanup(db.close)
	if err := db.follow(t.Context()); err != nil {
		t.Fatal(err)
	}
	var proxies []*postgres.Proxy
	var dsns []string
	for range 3 {
		proxy, err := postgres.NewProxy(db.address())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(proxy.Close)
		proxies, dsns = append(proxies, proxy), append(dsns, postgres.DSN(proxy.Port))
	}
	c := start(t, 100*time.Millisecond, dsns...)
	fleet := newFleet(c)
	seen, end := clients(t, c, fleet, 0, 200)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	pause := func(most int) { time.Sleep(time.Duration(1+random.IntN(most)) * time.Millisecond) }
	faults := []struct {
		name string
		fail func(i int) error
	}{
		{"stop", func(i int) error { c.Replicas[i].Stop(); fleet.again(t, c, i); return nil }},
		{"kill", func(i int) error { c.Replicas[i].Kill(); pause(500); fleet.again(t, c, i); return nil }},
		{"pause", func(i int) error {
			err := c.Replicas[i].Pause()
			pause(1000)
			return errors.Join(err, c.Replicas[i].Resume())
		}},
		{"reset", func(i int) error {
			proxies[i].Set(postgres.Reset)
			pause(500)
			proxies[i].Set(postgres.Healthy)
			return nil
		}},
		{"hole", func(i int) error {
			proxies[i].Set(postgres.Hole)
			pause(2000)
			proxies[i].Set(postgres.Healthy)
			return nil
		}},
		{"database", func(i int) error {
			return errors.Join(db.primary.Stop(t.Context(), []string{"fast", "immediate"}[i%2]), db.primary.Start(t.Context()))
		}},
		{"failover", func(int) error {
			if err := db.failover(t.Context()); err != nil {
				return err
			}
			for _, proxy := range proxies {
				proxy.Lead(db.address())
			}
			return db.follow(t.Context())
		}},
	}
	counts := map[string]int{}
	for i := range min(trials(t, 12), 300) {
		fault := faults[random.IntN(len(faults))]
		if i == 0 {
			fault = faults[len(faults)-1] // once at least, and so that others come after it
		}
		counts[fault.name]++
		if err := fault.fail(random.IntN(3)); err != nil {
			t.Fatal(err)
		}
		pause(500)
	}
	end()
	t.Logf("seed %d, faults %v: %v", seed, counts, seen)
}

// pair is a primary and the standby that its commits wait for.
type pair struct{ primary, standby *postgres.Server }

func (p *pair) address() string { return fmt.Sprintf("127.0.0.1:%d", p.primary.Port) }

// follow gives the primary a standby that commits wait for.
func (p *pair) follow(ctx context.Context) (err error) {
	if p.standby, err = p.primary.Standby(ctx); err != nil {
		return err
	}
	return p.wait(ctx)
}

// wait makes commits wait for the standby, and returns when they do: what was
// acknowledged before that would be lost if it took over at once.
func (p *pair) wait(ctx context.Context) (err error) {
	if err := p.primary.Set(ctx, "synchronous_standby_names", "*"); err != nil {
		return err
	}
	const fails = "SELECT 1 / count(*) FROM pg_stat_replication WHERE sync_state = 'sync'" // while there is none
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if err = p.primary.SQL(ctx, fails); err == nil || time.Now().After(deadline) {
			break
		}
	}
	// A commit of this session, which waits for everything before it.
	return errors.Join(err, p.primary.SQL(ctx, "CREATE TEMPORARY TABLE followed ()"))
}

// failover kills the primary, and the standby takes its place.
func (p *pair) failover(ctx context.Context) error {
	if err := p.primary.Kill(); err != nil {
		return err
	}
	if err := p.standby.Promote(ctx); err != nil {
		return err
	}
	p.primary.Close()
	p.primary, p.standby = p.standby, nil
	return nil
}

func (p *pair) close() {
	for _, server := range []*postgres.Server{p.standby, p.primary} {
		if server != nil {
			server.Close()
		}
	}
}
