package server

import (
	"context"
	"errors"
	"slices"
	"sync"

	"cambio/internal/audit"
	"cambio/internal/bootstrap"
	"cambio/internal/directory"
	"cambio/internal/keys"
	"cambio/internal/store"
	"cambio/internal/token"
)

// tokenDirectory is the store's compiled records as the token path reads
// them. The management resource is known under the server's own origin, which
// is configuration and therefore in no table.
type tokenDirectory struct {
	db             *store.DB
	records        *store.Records
	managementURIs []string
	apps           sync.Map // tenant id → appId of its management resource; it never changes
}

// Tenant implements token.Directory.
func (d *tokenDirectory) Tenant(ctx context.Context, ref string) (*directory.TenantRecord, error) {
	r, err := d.records.Tenant(ctx, ref)
	return r, translate(err)
}

// Client implements token.Directory.
func (d *tokenDirectory) Client(ctx context.Context, tenantID, clientID string) (*directory.ClientRecord, error) {
	r, err := d.records.Client(ctx, tenantID, clientID)
	return r, translate(err)
}

// Resource implements token.Directory.
func (d *tokenDirectory) Resource(ctx context.Context, tenantID, identifier string) (*directory.ResourceRecord, error) {
	if slices.Contains(d.managementURIs, identifier) {
		appID, err := d.managementApp(ctx, tenantID)
		if err != nil {
			return nil, err
		}
		identifier = appID
	}
	r, err := d.records.Resource(ctx, tenantID, identifier)
	return r, translate(err)
}

// managementApp is the appId of a tenant's management resource.
func (d *tokenDirectory) managementApp(ctx context.Context, tenantID string) (string, error) {
	if id, ok := d.apps.Load(tenantID); ok {
		return id.(string), nil
	}
	id, err := d.db.Meta(ctx, bootstrap.ManagementKey(tenantID))
	switch {
	case store.IsNotFound(err), err == nil && id == "":
		return "", token.ErrNotFound
	case err != nil:
		return "", err
	}
	d.apps.Store(tenantID, id)
	return id, nil
}

// managementAppID is managementApp for those who only compare: when it cannot
// be known, nothing is it.
func (d *tokenDirectory) managementAppID(tenantID string) string {
	id, err := d.managementApp(context.Background(), tenantID)
	if err != nil {
		return ""
	}
	return id
}

func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrNotFound):
		return token.ErrNotFound
	case errors.Is(err, store.ErrThrottled):
		return token.ErrThrottled
	case errors.Is(err, store.ErrOutdated):
		return token.ErrOutdated
	}
	return err
}

// recorder is the store's audit trail as the token path writes to it.
type recorder struct {
	db   *store.DB
	ring *keys.Ring
}

// RecordDecision implements token.Recorder. A token does not leave when its
// key was removed before the exchange began, as on another server while this
// one stood still: recording found out.
func (r recorder) RecordDecision(ctx context.Context, d *audit.Decision, basis interface{ Stale() bool }) error {
	if err := r.db.RecordDecision(ctx, d, basis); err != nil || !d.Allowed {
		return translate(err)
	}
	held, err := r.ring.Holds(ctx, d.TokenKeyID)
	if err == nil && !held {
		err = errKeyRemoved
	}
	return err
}

var errKeyRemoved = errors.New("the signing key was removed meanwhile")

// History implements token.Recorder.
func (r recorder) History() interface{ Stale() bool } { return r.db.History() }
