package replicas

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cambio/conformance/devserver"
	"cambio/test/httpclient"
	"cambio/test/postgres"
	"cambio/test/realparts"
)

// trials is how often something is tried: few times in the usual test run,
// CAMBIO_TRIALS when it is asked for.
func trials(t *testing.T, usual int) int {
	text := os.Getenv("CAMBIO_TRIALS")
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("CAMBIO_TRIALS=%q is no count", text)
	}
	return n
}

var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "cambio-replicas-")
	if err != nil {
		return "", err
	}
	return devserver.Build(context.Background(), dir)
})

// start runs replicas on one database, each by a way of its own to it.
func start(t *testing.T, polling time.Duration, dsns ...string) *Cluster {
	t.Helper()
	return startWith(t, Options{DSNs: dsns, Polling: polling})
}

func startWith(t *testing.T, opt Options) *Cluster {
	t.Helper()
	var err error
	if opt.Binary, err = binary(); err != nil {
		t.Fatal(err)
	}
	opt.Dir = t.TempDir()
	c, err := Start(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for i := range c.Replicas {
				log := c.Log(i)
				t.Logf("replica %d:\n%s", i, log[max(0, len(log)-3000):])
			}
		}
		c.Close()
	})
	return c
}

// database starts a PostgreSQL server.
func database(t *testing.T, options ...string) *postgres.Server {
	t.Helper()
	realparts.Needs(t, realparts.PostgreSQL)
	db, err := postgres.Start(t.Context(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// world is what one worker of a test registers: a resource with a role, and a
// client with the credential that it is about.
type world struct {
	*Cluster
	t           *testing.T
	n           int
	resource    httpclient.Application
	client      httpclient.Application
	credential  string // id of the client's
	subject     string
	assertion   string
	assignments []string
}

func newWorld(t *testing.T, c *Cluster, n int) *world {
	t.Helper()
	w := &world{Cluster: c, t: t, n: n, subject: fmt.Sprintf("workload-%d", n)}
	ctx := t.Context()
	var err error
	at := c.Replicas[n%len(c.Replicas)]
	if w.resource, err = at.Register(ctx, httpclient.Registration{Name: fmt.Sprintf("orders-%d", n), IdentifierURI: fmt.Sprintf("api://orders-%d-%s", n, c.TenantID), Roles: []string{"Read"},
		TokenVersion: 2, Algorithm: "ES256"}); err != nil {
		t.Fatal(err)
	}
	if w.client, err = at.Register(ctx, httpclient.Registration{Name: fmt.Sprintf("client-%d", n)}); err != nil {
		t.Fatal(err)
	}
	if w.credential, err = at.Trust(ctx, w.client, "main", c.Issuer.Issuer(), w.subject); err != nil {
		t.Fatal(err)
	}
	if err := at.Grant(ctx, w.client, w.resource, "Read"); err != nil {
		t.Fatal(err)
	}
	if w.assertion, err = c.Assertion(w.subject); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) scope() string { return fmt.Sprintf("api://orders-%d-%s/.default", w.n, w.TenantID) }

// exchange asks a replica for a token with the world's assertion, and returns
// the roles in it.
func (w *world) exchange(ctx context.Context, r *Replica) (roles []string, err error) {
	return w.exchangeWith(ctx, r, w.assertion)
}

func (w *world) exchangeWith(ctx context.Context, r *Replica, assertion string) (roles []string, err error) {
	token, err := r.Exchange(ctx, w.client.AppID, w.scope(), assertion)
	if err != nil {
		return nil, err
	}
	claims, err := httpclient.Part(token, 1)
	if err != nil {
		return nil, err
	}
	list, _ := claims["roles"].([]any)
	for _, role := range list {
		roles = append(roles, role.(string))
	}
	return roles, nil
}

// refused reports whether an error is a refusal for what was presented, and
// not one of the server's own troubles.
func refused(err error) bool {
	var r *httpclient.Refusal
	return errors.As(err, &r) && r.Status >= 400 && r.Status < 500 && r.Status != http.StatusTooManyRequests
}

// unavailable reports whether the server said that it cannot answer now.
func unavailable(err error) bool {
	var r *httpclient.Refusal
	return errors.As(err, &r) && r.Status == http.StatusServiceUnavailable
}

// TestReadYourWrites: what one replica answered for counts on every other one
// at once, whether or not they look for changes in between.
func TestReadYourWrites(t *testing.T) {
	db := database(t)
	for name, polling := range map[string]time.Duration{"polling": 100 * time.Millisecond, "without polling": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() { _ = db.SQL(context.Background(), "DROP SCHEMA public CASCADE; CREATE SCHEMA public") })
			c := start(t, polling, db.DSN(), db.DSN(), db.DSN())
			const workers = 6
			each := (trials(t, 300) + workers - 1) / workers
			var misses, done atomic.Int64
			var group sync.WaitGroup
			for n := range workers {
				w := newWorld(t, c, n)
				group.Go(func() {
					for i := range each {
						if err := w.createThenExchange(i); err != nil {
							misses.Add(1)
							t.Error(err)
							return
						}
						done.Add(1)
					}
				})
			}
			group.Wait()
			t.Logf("%d trials over %d replicas: %d misses", done.Load(), len(c.Replicas), misses.Load())
		})
	}
}

// createThenExchange makes a credential or a grant on one replica and uses it
// on another one.
func (w *world) createThenExchange(i int) error {
	ctx := w.t.Context()
	at, other := w.Replicas[i%3], w.Replicas[(i+1+i/3%2)%3]
	if i%2 == 0 {
		subject := fmt.Sprintf("%s-%d", w.subject, i)
		assertion, err := w.Assertion(subject)
		if err != nil {
			return err
		}
		id, err := at.Trust(ctx, w.client, fmt.Sprintf("trial-%d", i), w.Issuer.Issuer(), subject)
		if err != nil {
			return fmt.Errorf("create: %w", err)
		}
		if _, err := w.exchangeWith(ctx, other, assertion); err != nil {
			return fmt.Errorf("trial %d: a credential that was created does not work: %w", i, err)
		}
		return at.Do(ctx, "DELETE", "/v1.0/applications/"+w.client.ID+"/federatedIdentityCredentials/"+id, nil, nil)
	}
	if err := w.ungrant(ctx, at); err != nil {
		return fmt.Errorf("ungrant: %w", err)
	}
	if roles, err := w.exchange(ctx, other); err != nil || len(roles) > 0 {
		return fmt.Errorf("trial %d: a role that was taken away is in the token: %v, %w", i, roles, err)
	}
	if err := at.Grant(ctx, w.client, w.resource, "Read"); err != nil {
		return fmt.Errorf("grant: %w", err)
	}
	if roles, err := w.exchange(ctx, other); err != nil || !slices.Equal(roles, []string{"Read"}) {
		return fmt.Errorf("trial %d: a role that was granted is not in the token: %v, %w", i, roles, err)
	}
	return nil
}

// ungrant takes the client's roles away.
func (w *world) ungrant(ctx context.Context, at *Replica) error {
	var list struct{ Value []struct{ ID string } }
	if err := at.Do(ctx, "GET", "/v1.0/servicePrincipals/"+w.client.PrincipalID+"/appRoleAssignments", nil, &list); err != nil {
		return err
	}
	for _, a := range list.Value {
		if err := at.Do(ctx, "DELETE", "/v1.0/servicePrincipals/"+w.client.PrincipalID+"/appRoleAssignments/"+a.ID, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// restriction is a way to take a permission away, and the way back.
type restriction struct {
	name  string
	apply func(ctx context.Context, w *world, at *Replica) error
	undo  func(ctx context.Context, w *world, at *Replica) error
}

func credentialPath(w *world) string {
	return "/v1.0/applications/" + w.client.ID + "/federatedIdentityCredentials/" + w.credential
}

// patch makes a restriction of two PATCH requests.
func patch(name string, path func(*world) string, body func(*world) map[string]any, back func(*world) map[string]any) restriction {
	return restriction{name,
		func(ctx context.Context, w *world, at *Replica) error {
			return at.Do(ctx, "PATCH", path(w), body(w), nil)
		},
		func(ctx context.Context, w *world, at *Replica) error {
			return at.Do(ctx, "PATCH", path(w), back(w), nil)
		}}
}

func members(name string, value any) func(*world) map[string]any {
	return func(*world) map[string]any { return map[string]any{name: value} }
}

func principalPath(w *world) string { return "/v1.0/servicePrincipals/" + w.client.PrincipalID }

var restrictions = []restriction{
	{"delete", func(ctx context.Context, w *world, at *Replica) error {
		return at.Do(ctx, "DELETE", credentialPath(w), nil, nil)
	},
		func(ctx context.Context, w *world, at *Replica) (err error) {
			w.credential, err = at.Trust(ctx, w.client, "main", w.Issuer.Issuer(), w.subject)
			return err
		}},
	patch("another subject", credentialPath, members("subject", "somebody else"), func(w *world) map[string]any { return map[string]any{"subject": w.subject} }),
	patch("another audience", credentialPath, members("audiences", []string{"api://another"}), members("audiences", []string{audience})),
	patch("disabled principal", principalPath, members("accountEnabled", false), members("accountEnabled", true)),
	patch("disabled resource", func(w *world) string { return "/v1.0/servicePrincipals/" + w.resource.PrincipalID }, members("accountEnabled", false), members("accountEnabled", true)),
	{"no assignment", func(ctx context.Context, w *world, at *Replica) error { return w.ungrant(ctx, at) },
		func(ctx context.Context, w *world, at *Replica) error {
			return at.Grant(ctx, w.client, w.resource, "Read")
		}},
}

// background exchanges on every replica until stop is closed, so that their
// records are in memory and their writers busy.
func (w *world) background(stop chan struct{}, group *sync.WaitGroup) {
	for _, r := range w.Replicas {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, _ = w.exchange(context.Background(), r) // allowed or refused, as it is at the moment
				}
			}
		})
	}
}

// TestRevocation: once a restriction has returned, no replica gives what it
// takes away.
func TestRevocation(t *testing.T) {
	db := database(t)
	for name, polling := range map[string]time.Duration{"polling": 100 * time.Millisecond, "without polling": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() { _ = db.SQL(context.Background(), "DROP SCHEMA public CASCADE; CREATE SCHEMA public") })
			c := start(t, polling, db.DSN(), db.DSN(), db.DSN())
			const workers = 3
			each := (trials(t, 60) + workers - 1) / workers
			var accepted, done atomic.Int64
			var group, load sync.WaitGroup
			stop := make(chan struct{})
			for n := range workers {
				w := newWorld(t, c, n)
				w.background(stop, &load)
				group.Go(func() {
					for i := range each {
						bad, err := w.revoke(restrictions[i%len(restrictions)], i)
						accepted.Add(int64(bad))
						if err != nil {
							t.Error(err)
							return
						}
						done.Add(1)
					}
				})
			}
			group.Wait()
			close(stop)
			load.Wait()
			t.Logf("%d restrictions over %d replicas under load: %d accepted afterwards", done.Load(), len(c.Replicas), accepted.Load())
		})
	}
}

// revoke restricts on one replica and tries on all; then it undoes it.
func (w *world) revoke(r restriction, i int) (accepted int, err error) {
	ctx := w.t.Context()
	at := w.Replicas[i%len(w.Replicas)]
	for _, replica := range w.Replicas {
		if roles, err := w.exchange(ctx, replica); err != nil || len(roles) != 1 {
			return 0, fmt.Errorf("before %q: %v, %w", r.name, roles, err)
		}
	}
	if err := r.apply(ctx, w, at); err != nil {
		return 0, fmt.Errorf("%s: %w", r.name, err)
	}
	var wrong []string
	for n, replica := range w.Replicas {
		roles, err := w.exchange(ctx, replica)
		switch {
		case err == nil && (r.name != "no assignment" || len(roles) > 0):
			wrong = append(wrong, fmt.Sprintf("replica %d accepted after %q (trial %d)", n, r.name, i))
		case err != nil && !refused(err):
			return 0, fmt.Errorf("after %q on replica %d: %w", r.name, n, err)
		}
	}
	if err := r.undo(ctx, w, at); err != nil {
		return 0, fmt.Errorf("undoing %q: %w", r.name, err)
	}
	if len(wrong) > 0 {
		return len(wrong), errors.New(strings.Join(wrong, "; "))
	}
	return 0, nil
}
