package replicas

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"sync"
	"testing"
	"time"

	"cambio/test/httpclient"
)

// together sends one request to each of n callers' replicas at the same time
// and counts the answers by their status; every success counts as 200.
func (c *Cluster) together(t *testing.T, n int, send func(ctx context.Context, at *Replica, i int) error) map[int]int {
	t.Helper()
	var mu sync.Mutex
	var group sync.WaitGroup
	statuses, ready := map[int]int{}, make(chan struct{})
	for i := range n {
		group.Go(func() {
			<-ready
			err := send(t.Context(), c.Replicas[i%len(c.Replicas)], i)
			status := http.StatusOK
			var refusal *httpclient.Refusal
			if errors.As(err, &refusal) {
				status = refusal.Status
			} else if err != nil {
				t.Errorf("request %d: %v", i, err)
			}
			mu.Lock()
			defer mu.Unlock()
			statuses[status]++
		})
	}
	close(ready)
	group.Wait()
	return statuses
}

var bootstrapToken = regexp.MustCompile(`cambio-bootstrap-\S+`)

// TestBootstrapTokenWorksOnce: of many who present one at the same time, on
// different replicas, one gets in.
func TestBootstrapTokenWorksOnce(t *testing.T) {
	db := database(t)
	c := start(t, time.Hour, db.DSN(), db.DSN(), db.DSN())
	w := newWorld(t, c, 0)
	const callers = 9
	n := min(trials(t, 5), 100)
	for i := range n {
		out, err := c.Command(t.Context(), i%3, "bootstrap", "--new-token", c.TenantID)
		if err != nil {
			t.Fatal(err)
		}
		token := string(bootstrapToken.Find(out))
		statuses := c.together(t, callers, func(ctx context.Context, at *Replica, caller int) error {
			holder := at.Client
			holder.AdminToken = token
			name := fmt.Sprintf("first-%d-%d", i, caller)
			_, err := holder.Trust(ctx, w.client, name, c.Issuer.Issuer(), name)
			return err
		})
		if statuses[http.StatusOK] != 1 || statuses[http.StatusUnauthorized] != callers-1 {
			t.Fatalf("trial %d: %v; one request is to succeed, the others to be answered 401", i, statuses)
		}
	}
	if got := w.credentials(); got != n+1 { // one is the world's own
		t.Errorf("%d credentials after %d tokens", got-1, n)
	}
	t.Logf("%d bootstrap tokens, each presented by %d callers over %d replicas", n, callers, len(c.Replicas))
}

// credentials counts those of the world's client.
func (w *world) credentials() int {
	w.t.Helper()
	var list struct{ Value []struct{ ID string } }
	if err := w.Replicas[0].Do(w.t.Context(), "GET", "/v1.0/applications/"+w.client.ID+"/federatedIdentityCredentials?$top=999", nil, &list); err != nil {
		w.t.Fatal(err)
	}
	return len(list.Value)
}

// TestOneOfEachName: of those who create the same name at the same time, on
// different replicas, one succeeds, and the others are refused as if they had
// come later.
func TestOneOfEachName(t *testing.T) {
	db := database(t)
	c := start(t, time.Hour, db.DSN(), db.DSN(), db.DSN())
	w := newWorld(t, c, 0)
	kinds := map[string]func(ctx context.Context, at *Replica, name string, caller int) error{
		"credential name": func(ctx context.Context, at *Replica, name string, caller int) error {
			_, err := at.Trust(ctx, w.client, name, c.Issuer.Issuer(), fmt.Sprintf("%s-%d", name, caller))
			return err
		},
		"credential issuer and subject": func(ctx context.Context, at *Replica, name string, caller int) error {
			_, err := at.Trust(ctx, w.client, fmt.Sprintf("%s-%d", name, caller), c.Issuer.Issuer(), name)
			return err
		},
		"identifier URI": func(ctx context.Context, at *Replica, name string, _ int) error {
			return at.Do(ctx, "POST", "/v1.0/applications", map[string]any{"displayName": name, "identifierUris": []string{"api://" + name + "-" + c.TenantID}}, nil)
		},
	}
	for kind, create := range kinds {
		t.Run(kind, func(t *testing.T) {
			n := min(trials(t, 10), 300)
			for i := range n {
				name := fmt.Sprintf("once-%d", i)
				if kind == "credential issuer and subject" {
					name = "by-subject-" + name
				}
				const callers = 6
				statuses := c.together(t, callers, func(ctx context.Context, at *Replica, caller int) error { return create(ctx, at, name, caller) })
				// One who comes later says what the others were to be told.
				var late *httpclient.Refusal
				if err := create(t.Context(), c.Replicas[i%3], name, callers); !errors.As(err, &late) || !refused(err) {
					t.Fatalf("trial %d: a late creation: %v", i, err)
				}
				if statuses[http.StatusOK] != 1 || statuses[late.Status] != callers-1 {
					t.Fatalf("trial %d: %v; one is to succeed, the others to be answered %d", i, statuses, late.Status)
				}
			}
			t.Logf("%d names, each created 6 times at once over %d replicas: one each", n, len(c.Replicas))
		})
	}
}

// TestParallelWritesToOneParent: writes to one application or managed identity
// at the same time, on different replicas, are in nobody's way.
func TestParallelWritesToOneParent(t *testing.T) {
	db := database(t)
	c := start(t, time.Hour, db.DSN(), db.DSN(), db.DSN())
	w := newWorld(t, c, 0)
	const version = "?api-version=2024-11-30"
	group := "/subscriptions/" + c.TenantID + "/resourceGroups/parents"
	identity := group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/parent"
	for _, path := range []string{group, identity} {
		if err := c.Replicas[0].Do(t.Context(), "PUT", path+version, map[string]any{"location": "local"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	const each = 12
	for i := range min(trials(t, 3), 50) {
		statuses := c.together(t, 2*each, func(ctx context.Context, at *Replica, caller int) error {
			name := fmt.Sprintf("parallel-%d-%d", i, caller)
			if caller < each {
				_, err := at.Trust(ctx, w.client, name, c.Issuer.Issuer(), name)
				return err
			}
			return at.Do(ctx, "PUT", identity+"/federatedIdentityCredentials/"+name+version, map[string]any{"properties": map[string]any{
				"issuer": c.Issuer.Issuer(), "subject": name, "audiences": []string{audience}}}, nil)
		})
		if statuses[http.StatusOK] != 2*each {
			t.Fatalf("trial %d: %v; all %d are to succeed", i, statuses, 2*each)
		}
	}
}
