package server

import (
	"context"
	"errors"
	"slices"
	"sync"

	"cambio/internal/bootstrap"
	"cambio/internal/directory"
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
		if identifier = d.managementAppID(tenantID); identifier == "" {
			return nil, token.ErrNotFound
		}
	}
	r, err := d.records.Resource(ctx, tenantID, identifier)
	return r, translate(err)
}

// Confirm implements token.Directory.
func (d *tokenDirectory) Confirm(ctx context.Context, known *directory.ClientRecord) (*directory.ClientRecord, error) {
	r, err := d.records.Confirm(ctx, known)
	return r, translate(err)
}

// managementAppID is the appId of a tenant's management resource, or "".
func (d *tokenDirectory) managementAppID(tenantID string) string {
	if id, ok := d.apps.Load(tenantID); ok {
		return id.(string)
	}
	id, err := d.db.Meta(context.Background(), bootstrap.ManagementKey(tenantID))
	if err != nil || id == "" {
		return ""
	}
	d.apps.Store(tenantID, id)
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
	}
	return err
}
