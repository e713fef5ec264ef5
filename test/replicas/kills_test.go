package replicas

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"cambio/internal/store"
	"cambio/test/httpclient"
)

// ledger is what was acknowledged before servers and the database were killed.
type ledger struct {
	mu      sync.Mutex
	created map[string]bool   // names of credentials, by whether they may be deleted since
	deleted map[string]bool   // names of credentials whose deletion returned
	tokens  map[string]string // what token ids were issued for
	refused map[string]bool   // trace ids of refusals
	wrong   []string
}

func (l *ledger) note(fn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fn()
}

func (l *ledger) complain(format string, args ...any) {
	l.note(func() { l.wrong = append(l.wrong, fmt.Sprintf(format, args...)) })
}

// scribe is a client that takes down what it was answered and asks nobody a
// second time: what it got no answer for it does not count.
type scribe struct {
	*world
	*ledger
	fleet *fleet
}

// round creates a credential, uses it, and deletes it three times out of four.
func (s *scribe) round(ctx context.Context, i int) {
	name := fmt.Sprintf("kill-%d-%d", s.n, i)
	at := s.fleet.at(rand.IntN(3))
	id, err := at.Trust(ctx, s.client, name, s.Issuer.Issuer(), name)
	if err != nil {
		if refused(err) {
			s.complain("creating %s: %v", name, err)
		}
		time.Sleep(5 * time.Millisecond) // nobody is there
		return
	}
	s.note(func() { s.created[name] = false })
	if err := s.present(ctx, name); refused(err) {
		s.complain("%s was created and is refused: %v", name, err)
	}
	if i%4 == 0 {
		return
	}
	s.note(func() { s.created[name] = true })
	err = s.fleet.at(rand.IntN(3)).Do(ctx, "DELETE", "/v1.0/applications/"+s.client.ID+"/federatedIdentityCredentials/"+id, nil, nil)
	if err != nil {
		if refused(err) {
			s.complain("deleting %s: %v", name, err)
		}
		return
	}
	s.note(func() { s.deleted[name] = true })
	for range 2 {
		if err := s.present(ctx, name); err == nil {
			s.complain("%s was deleted and is accepted", name)
		}
	}
}

// present exchanges an assertion of a subject and takes down the answer.
func (s *scribe) present(ctx context.Context, subject string) error {
	assertion, err := s.Assertion(subject)
	if err != nil {
		return err
	}
	token, err := s.fleet.at(rand.IntN(3)).Exchange(ctx, s.client.AppID, s.scope(), assertion)
	if err == nil {
		claims, err := httpclient.Part(token, 1)
		if err != nil {
			return err
		}
		s.note(func() { s.tokens[fmt.Sprint(claims["uti"])] = subject })
		return nil
	}
	var refusal *httpclient.Refusal
	if refused(err) && errors.As(err, &refusal) {
		var body struct {
			TraceID string `json:"trace_id"`
		}
		if err := json.Unmarshal([]byte(refusal.Body), &body); err != nil || body.TraceID == "" {
			s.complain("a refusal without a trace id: %s", refusal.Body)
		}
		s.note(func() { s.refused[body.TraceID] = true })
	}
	return err
}

// TestKills: servers and the database are killed in turn under load. What was
// acknowledged is there afterwards, each answered exchange has its one record,
// and what was deleted stays deleted.
func TestKills(t *testing.T) {
	db := database(t)
	c := start(t, 100*time.Millisecond, db.DSN(), db.DSN(), db.DSN())
	fleet := newFleet(c)
	book := &ledger{created: map[string]bool{}, deleted: map[string]bool{}, tokens: map[string]string{}, refused: map[string]bool{}}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var group sync.WaitGroup
	var worlds []*world
	for n := range 8 {
		s := &scribe{world: newWorld(t, c, n), ledger: book, fleet: fleet}
		worlds = append(worlds, s.world)
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				s.round(t.Context(), i)
			}
		})
	}
	cycles := min(trials(t, 20), 200)
	for i := range cycles {
		book.work(t)
		if i%2 == 0 {
			c.Replicas[i/2%3].Kill()
			fleet.again(t, c, i/2%3)
			continue
		}
		if err := db.Kill(); err != nil {
			t.Fatalf("cycle %d: %v", i, err)
		}
		if err := db.Start(t.Context()); err != nil {
			t.Fatalf("cycle %d: %v", i, err)
		}
	}
	stop()
	group.Wait()
	for _, what := range book.wrong {
		t.Error(what)
	}
	book.compare(t, c.TenantID, db.DSN(), worlds)
	t.Logf("%d kills: %d creations, %d deletions, %d tokens and %d refusals acknowledged, none lost", cycles,
		len(book.created), len(book.deleted), len(book.tokens), len(book.refused))
}

// work waits until something more was acknowledged, and then for a moment that
// varies.
func (l *ledger) work(t *testing.T) {
	t.Helper()
	count := func() (deleted, tokens int) {
		l.note(func() { deleted, tokens = len(l.deleted), len(l.tokens) })
		return deleted, tokens
	}
	deleted, tokens := count()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if d, t := count(); d >= deleted+10 && t >= tokens+10 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing is acknowledged any more")
		}
	}
	time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
}

// compare looks for what was acknowledged in the database.
func (l *ledger) compare(t *testing.T, tenant, dsn string, worlds []*world) {
	t.Helper()
	db, err := store.Open(store.Config{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	present := map[string]bool{}
	for _, w := range worlds {
		for q := (store.ListQuery{Top: store.MaxPage}); ; {
			page, more, err := db.Credentials(t.Context(), tenant, w.client.ID, q)
			if err != nil {
				t.Fatal(err)
			}
			for _, credential := range page {
				present[credential.Name] = true
				q.After = credential.ID
			}
			if !more {
				break
			}
		}
	}
	for name, deleting := range l.created {
		if !present[name] && !deleting {
			t.Errorf("the acknowledged credential %s is lost", name)
		}
	}
	for name := range l.deleted {
		if present[name] {
			t.Errorf("the credential %s is there, whose deletion was acknowledged", name)
		}
	}
	l.compareRecords(t, db)
}

func (l *ledger) compareRecords(t *testing.T, db *store.DB) {
	t.Helper()
	issued, refused := map[string]int{}, map[string]int{}
	for after := int64(0); ; {
		page, err := db.AuditRecords(t.Context(), after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, r := range page {
			after = r.ID
			var detail struct{ TraceID, TokenID, Outcome string }
			if err := json.Unmarshal(r.Detail, &detail); err != nil {
				t.Fatalf("%s: %v", r.Detail, err)
			}
			if detail.Outcome == "allowed" {
				issued[detail.TokenID]++
			} else {
				refused[detail.TraceID]++
			}
		}
	}
	for id, subject := range l.tokens {
		if issued[id] != 1 {
			t.Errorf("the token %s for %s has %d records", id, subject, issued[id])
		}
	}
	for id := range l.refused {
		if refused[id] != 1 {
			t.Errorf("the refusal %s has %d records", id, refused[id])
		}
	}
}
