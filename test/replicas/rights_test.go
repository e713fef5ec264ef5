package replicas

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"
)

// TestTenantPolicy: a policy of the tenant counts on every replica once the
// request that made it was answered, and so does its end.
func TestTenantPolicy(t *testing.T) {
	db := database(t)
	c := start(t, time.Hour, db.DSN(), db.DSN(), db.DSN())
	w := newWorld(t, c, 0)
	var load sync.WaitGroup
	stop := make(chan struct{})
	w.background(stop, &load)
	policies := []map[string]any{
		{"requiredClaims": []any{map[string]any{"issuer": c.Issuer.Issuer(), "claim": "enterprise", "values": []string{"acme"}}}},
		{"disabled": true},
	}
	n := min(trials(t, 12), 300)
	for i := range n {
		restriction := patch(fmt.Sprintf("policy %d", i%2), func(w *world) string { return "/v1.0/organization/" + w.TenantID },
			members("federationPolicy", policies[i%2]), members("federationPolicy", nil))
		if accepted, err := w.revoke(restriction, i); err != nil {
			t.Fatalf("trial %d: %d accepted: %v", i, accepted, err)
		}
	}
	close(stop)
	load.Wait()
	t.Logf("%d policies over %d replicas under load: none was passed by", n, len(c.Replicas))
}

// TestManagementRights: a caller of the management APIs loses its rights on
// every replica at once, though its access token is still good, and has them
// back at once.
func TestManagementRights(t *testing.T) {
	db := database(t)
	c := start(t, time.Hour, db.DSN(), db.DSN(), db.DSN())
	w := newWorld(t, c, 0)
	ctx := t.Context()
	var found struct{ Value []struct{ ID string } }
	if err := c.Replicas[0].Do(ctx, "GET", "/v1.0/servicePrincipals?$filter="+url.QueryEscape("displayName eq 'cambio management'"), nil, &found); err != nil || len(found.Value) != 1 {
		t.Fatalf("the management resource: %v, %v", found, err)
	}
	const readWriteAll = "1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9" // Application.ReadWrite.All, as in Microsoft Graph
	assign := func(ctx context.Context, w *world, at *Replica) error {
		return at.Do(ctx, "POST", "/v1.0/servicePrincipals/"+found.Value[0].ID+"/appRoleAssignedTo",
			map[string]any{"principalId": w.client.PrincipalID, "resourceId": found.Value[0].ID, "appRoleId": readWriteAll}, nil)
	}
	if err := assign(ctx, w, c.Replicas[0]); err != nil {
		t.Fatal(err)
	}
	token, err := c.Replicas[0].Exchange(ctx, w.client.AppID, "https://localhost/.default", w.assertion)
	if err != nil {
		t.Fatal(err)
	}
	manage := func(r *Replica) error {
		caller := r.Client
		caller.AdminToken = token
		return caller.Do(ctx, "PATCH", "/v1.0/applications/"+w.client.ID, map[string]any{"notes": time.Now().String()}, nil)
	}
	ways := []restriction{
		{"no assignment", func(ctx context.Context, w *world, at *Replica) error { return w.ungrant(ctx, at) }, assign},
		patch("disabled principal", principalPath, members("accountEnabled", false), members("accountEnabled", true)),
	}
	n := min(trials(t, 12), 300)
	for i := range n {
		way, at := ways[i%2], c.Replicas[i%3]
		for _, r := range c.Replicas {
			if err := manage(r); err != nil {
				t.Fatalf("trial %d, before: %v", i, err)
			}
		}
		if err := way.apply(ctx, w, at); err != nil {
			t.Fatal(err)
		}
		for _, r := range c.Replicas {
			if err := manage(r); !refused(err) {
				t.Fatalf("trial %d, after %q: %v; want a refusal", i, way.name, err)
			}
		}
		if err := way.undo(ctx, w, at); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d times over %d replicas: rights ended and came back at once", n, len(c.Replicas))
}
