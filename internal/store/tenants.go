package store

import (
	"context"
	"slices"
	"strings"

	"cambio/internal/directory"
)

// DefaultTenant is the reference that stands for the default tenant.
const DefaultTenant = "adfs"

const tenantColumns = "id, display_name, compat, is_default, created_at, federation_policy"

func scanTenant(s scanner) (directory.Tenant, error) {
	var t directory.Tenant
	var created int64
	var policy string
	if err := s.Scan(&t.ID, &t.DisplayName, &t.Compat, &t.Default, &created, &policy); err != nil {
		return t, err
	}
	t.CreatedAt = fromMicros(created)
	return t, decode(policy, &t.Policy)
}

// Tenant finds a tenant by its identifier or a domain name, in any case, or
// by DefaultTenant.
func (r reads) Tenant(ctx context.Context, ref string) (directory.Tenant, error) {
	key := strings.ToLower(ref)
	row := r.q.QueryRowContext(ctx, "SELECT "+tenantColumns+" FROM tenants WHERE id = ?1"+
		" OR id = (SELECT tenant_id FROM tenant_domains WHERE domain = ?1) OR (is_default = TRUE AND ?1 = '"+DefaultTenant+"')", key)
	t, err := one(row, scanTenant, func() error {
		return directory.Errorf(directory.NotFound, "", "Tenant '%s' does not exist.", ref)
	})
	if err != nil {
		return directory.Tenant{}, err
	}
	t.Domains, err = r.domains(ctx, t.ID)
	return t, err
}

func (r reads) domains(ctx context.Context, tenantID string) ([]string, error) {
	rows, err := r.q.QueryContext(ctx, "SELECT domain FROM tenant_domains WHERE tenant_id = ? ORDER BY position", tenantID)
	return all(rows, err, func(s scanner) (d string, err error) { return d, s.Scan(&d) })
}

// Tenants returns all tenants, in order of id.
func (r reads) Tenants(ctx context.Context) ([]directory.Tenant, error) {
	rows, err := r.q.QueryContext(ctx, "SELECT "+tenantColumns+" FROM tenants ORDER BY id")
	tenants, err := all(rows, err, scanTenant)
	for i := range tenants {
		if err == nil {
			tenants[i].Domains, err = r.domains(ctx, tenants[i].ID)
		}
	}
	return tenants, err
}

// CreateTenant adds a tenant. Its domains must be free; if it is the default,
// the one before is no longer.
func (tx *Tx) CreateTenant(t *directory.Tenant) error {
	if err := tx.newID(&t.ID); err != nil {
		return err
	}
	tx.created(&t.CreatedAt)
	if _, err := tx.Tenant(context.Background(), t.ID); err == nil {
		return directory.Errorf(directory.NameTaken, "id", "A tenant with id '%s' exists.", t.ID)
	} else if !IsNotFound(err) {
		return err
	}
	if err := tx.yieldDefault(t); err != nil {
		return err
	}
	policy, err := encode(t.Policy)
	if err != nil {
		return err
	}
	_, err = tx.exec("INSERT INTO tenants ("+tenantColumns+") VALUES (?, ?, ?, ?, ?, ?)",
		t.ID, t.DisplayName, string(t.Compat), t.Default, toMicros(t.CreatedAt), policy)
	if err != nil {
		return err
	}
	return tx.putDomains(t)
}

// UpdateTenant replaces everything about a tenant but its id and time of
// creation.
func (tx *Tx) UpdateTenant(t *directory.Tenant) error {
	if err := tx.yieldDefault(t); err != nil {
		return err
	}
	policy, err := encode(t.Policy)
	if err != nil {
		return err
	}
	n, err := tx.exec("UPDATE tenants SET display_name = ?, compat = ?, is_default = ?, federation_policy = ? WHERE id = ?",
		t.DisplayName, string(t.Compat), t.Default, policy, t.ID)
	if err != nil {
		return err
	}
	if n == 0 {
		return directory.Errorf(directory.NotFound, "", "Tenant '%s' does not exist.", t.ID)
	}
	return tx.putDomains(t)
}

// yieldDefault takes the mark of the default tenant from the one that has it
// when t claims it.
func (tx *Tx) yieldDefault(t *directory.Tenant) error {
	if !t.Default {
		return nil
	}
	before, err := tx.Tenant(context.Background(), DefaultTenant)
	if IsNotFound(err) || err == nil && before.ID == t.ID {
		return nil
	}
	if err != nil {
		return err
	}
	tx.touch(directory.KeyTenant, before.ID, "")
	_, err = tx.exec("UPDATE tenants SET is_default = FALSE WHERE id = ?", before.ID)
	return err
}

func (tx *Tx) putDomains(t *directory.Tenant) error {
	tx.touch(directory.KeyTenant, t.ID, "")
	if _, err := tx.exec("DELETE FROM tenant_domains WHERE tenant_id = ?", t.ID); err != nil {
		return err
	}
	for i, domain := range t.Domains {
		t.Domains[i] = strings.ToLower(domain)
		if slices.Contains(t.Domains[:i], t.Domains[i]) {
			return directory.Errorf(directory.Invalid, "domains", "The domain '%s' is listed twice.", domain)
		}
		if _, err := tx.Tenant(context.Background(), domain); err == nil {
			return directory.Errorf(directory.NameTaken, "domains", "The name '%s' belongs to another tenant.", domain)
		} else if !IsNotFound(err) {
			return err
		}
		_, err := tx.exec("INSERT INTO tenant_domains (domain, tenant_id, position) VALUES (?, ?, ?)", t.Domains[i], t.ID, i)
		if err != nil {
			return err
		}
	}
	return nil
}
