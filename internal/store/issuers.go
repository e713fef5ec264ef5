package store

import (
	"context"
	"strings"

	"cambio/internal/directory"
)

const issuerColumns = "id, tenant_id, issuer, settings, key_set, keys_at, created_at"

func scanIssuer(s scanner) (i directory.Issuer, err error) {
	var settings string
	var keysAt, created int64
	if err := s.Scan(&i.ID, &i.TenantID, &i.Issuer, &settings, &i.KeySet, &keysAt, &created); err != nil {
		return i, err
	}
	if keysAt != 0 {
		i.KeysAt = fromMicros(keysAt)
	}
	i.CreatedAt = fromMicros(created)
	return i, decode(settings, &i.IssuerSettings)
}

// Issuers returns all managed issuers of a tenant, in order of their names.
func (r reads) Issuers(ctx context.Context, tenantID string) ([]directory.Issuer, error) {
	rows, err := r.q.QueryContext(ctx, "SELECT "+issuerColumns+" FROM issuers WHERE tenant_id = ? ORDER BY issuer", tenantID)
	return all(rows, err, scanIssuer)
}

// Issuer finds a managed issuer by its id, in any case, or by its name,
// exactly.
func (r reads) Issuer(ctx context.Context, tenantID, idOrIssuer string) (directory.Issuer, error) {
	row := r.q.QueryRowContext(ctx, "SELECT "+issuerColumns+" FROM issuers WHERE tenant_id = ? AND (id = ? OR issuer = ?)",
		tenantID, strings.ToLower(idOrIssuer), idOrIssuer)
	return one(row, scanIssuer, func() error {
		return directory.Errorf(directory.NotFound, "", "The issuer '%s' is not managed here.", idOrIssuer)
	})
}

// ManagedAs returns the managed issuers of that name, of all tenants.
func (r reads) ManagedAs(ctx context.Context, issuer string) ([]directory.Issuer, error) {
	rows, err := r.q.QueryContext(ctx, "SELECT "+issuerColumns+" FROM issuers WHERE issuer = ? ORDER BY id", issuer)
	return all(rows, err, scanIssuer)
}

// CreateIssuer adds a managed issuer. Errors: NameTaken, LimitReached.
func (tx *Tx) CreateIssuer(i *directory.Issuer) error {
	if err := tx.newID(&i.ID); err != nil {
		return err
	}
	tx.created(&i.CreatedAt)
	known, err := tx.Issuers(context.Background(), i.TenantID)
	if err != nil {
		return err
	}
	if len(known) >= directory.MaxManagedIssuers {
		return directory.Errorf(directory.LimitReached, "", "A tenant manages at most %d issuers.", directory.MaxManagedIssuers)
	}
	for _, other := range known {
		if other.Issuer == i.Issuer || other.ID == i.ID {
			return directory.Errorf(directory.NameTaken, "issuer", "The issuer '%s' is managed already, with the id %s.", other.Issuer, other.ID)
		}
	}
	settings, err := encode(i.IssuerSettings)
	if err != nil {
		return err
	}
	tx.touch(directory.KeyTenant, i.TenantID, "")
	_, err = tx.exec("INSERT INTO issuers ("+issuerColumns+") VALUES (?, ?, ?, ?, ?, ?, ?)",
		i.ID, i.TenantID, i.Issuer, settings, i.KeySet, keysAt(i), toMicros(i.CreatedAt))
	if err != nil {
		return err
	}
	return tx.boundIssuers(i.TenantID)
}

// boundIssuers refuses a write after which the issuers of a tenant are larger
// than its record may be.
func (tx *Tx) boundIssuers(tenantID string) error {
	var size int64
	row := tx.q.QueryRowContext(context.Background(), "SELECT coalesce(sum(length(key_set) + length(settings)), 0) FROM issuers WHERE tenant_id = ?", tenantID)
	if err := row.Scan(&size); err != nil {
		return err
	}
	if size > directory.MaxIssuerBytes {
		return directory.Errorf(directory.LimitReached, "", "The managed issuers of a tenant may have %d bytes of key sets and settings together. Leave keys out that are no longer used.", directory.MaxIssuerBytes)
	}
	return nil
}

// UpdateIssuer replaces everything about a managed issuer but its id, name and
// time of creation.
func (tx *Tx) UpdateIssuer(i *directory.Issuer) error {
	settings, err := encode(i.IssuerSettings)
	if err != nil {
		return err
	}
	n, err := tx.exec("UPDATE issuers SET settings = ?, key_set = ?, keys_at = ? WHERE tenant_id = ? AND id = ?",
		settings, i.KeySet, keysAt(i), i.TenantID, i.ID)
	if err == nil && n == 0 {
		err = directory.Errorf(directory.NotFound, "", "The issuer '%s' is not managed here.", i.ID)
	}
	tx.touch(directory.KeyTenant, i.TenantID, "")
	if err != nil {
		return err
	}
	return tx.boundIssuers(i.TenantID)
}

func keysAt(i *directory.Issuer) int64 {
	if i.KeysAt.IsZero() {
		return 0
	}
	return toMicros(i.KeysAt)
}

// DeleteIssuer ends the management of an issuer: from then on it is discovered,
// as any other. The history of its keys goes with it.
func (tx *Tx) DeleteIssuer(tenantID, id string) error {
	n, err := tx.exec("DELETE FROM issuers WHERE tenant_id = ? AND id = ?", tenantID, id)
	if err != nil {
		return err
	}
	if n == 0 {
		return directory.Errorf(directory.NotFound, "", "The issuer '%s' is not managed here.", id)
	}
	tx.touch(directory.KeyTenant, tenantID, "")
	if _, err := tx.exec("DELETE FROM issuer_keys WHERE issuer_id = ?", id); err != nil {
		return err
	}
	return tx.retire(id)
}

func scanIssuerSet(s scanner) (set directory.IssuerSet, err error) {
	var members string
	if err := s.Scan(&set.TenantID, &set.Name, &members); err != nil {
		return set, err
	}
	return set, decode(members, &set.Members)
}

// IssuerSets returns the sets of issuers of a tenant, in order of their names.
func (r reads) IssuerSets(ctx context.Context, tenantID string) ([]directory.IssuerSet, error) {
	rows, err := r.q.QueryContext(ctx, "SELECT tenant_id, name, members FROM issuer_sets WHERE tenant_id = ? ORDER BY name", tenantID)
	return all(rows, err, scanIssuerSet)
}

// PutIssuerSet creates a set of issuers or replaces it, and reports whether it
// is new. Error: LimitReached.
func (tx *Tx) PutIssuerSet(s *directory.IssuerSet) (created bool, err error) {
	members, err := encode(s.Members)
	if err != nil {
		return false, err
	}
	tx.touch(directory.KeyTenant, s.TenantID, "")
	n, err := tx.exec("UPDATE issuer_sets SET members = ? WHERE tenant_id = ? AND name = ?", members, s.TenantID, s.Name)
	if err != nil || n > 0 {
		return false, err
	}
	known, err := tx.IssuerSets(context.Background(), s.TenantID)
	if err != nil {
		return false, err
	}
	if len(known) >= directory.MaxIssuerSets {
		return false, directory.Errorf(directory.LimitReached, "", "A tenant has at most %d sets of issuers.", directory.MaxIssuerSets)
	}
	_, err = tx.exec("INSERT INTO issuer_sets (tenant_id, name, members) VALUES (?, ?, ?)", s.TenantID, s.Name, members)
	return true, err
}

// DeleteIssuerSet removes a set. Credentials that name it trust nobody.
func (tx *Tx) DeleteIssuerSet(tenantID, name string) error {
	n, err := tx.exec("DELETE FROM issuer_sets WHERE tenant_id = ? AND name = ?", tenantID, name)
	if err == nil && n == 0 {
		err = directory.Errorf(directory.NotFound, "", "The set of issuers '%s' does not exist.", name)
	}
	tx.touch(directory.KeyTenant, tenantID, "")
	return err
}
