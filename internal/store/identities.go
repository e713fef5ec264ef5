package store

import (
	"context"
	"maps"
	"strings"

	"cambio/internal/directory"
)

const groupColumns = "tenant_id, subscription_id, name, location, tags"

func scanGroup(s scanner) (directory.ResourceGroup, error) {
	var g directory.ResourceGroup
	var tags string
	if err := s.Scan(&g.TenantID, &g.SubscriptionID, &g.Name, &g.Location, &tags); err != nil {
		return g, err
	}
	return g, decode(tags, &g.Tags)
}

// ResourceGroup finds a resource group; its name is compared without regard
// to case.
func (r reads) ResourceGroup(ctx context.Context, tenantID, subscriptionID, name string) (directory.ResourceGroup, error) {
	row := r.q.QueryRowContext(ctx, "SELECT "+groupColumns+" FROM resource_groups WHERE tenant_id = ? AND subscription_id = ? AND name_key = ?",
		tenantID, strings.ToLower(subscriptionID), strings.ToLower(name))
	return one(row, scanGroup, func() error {
		return directory.Errorf(directory.NotFound, "", "Resource group '%s' could not be found.", name)
	})
}

// ResourceGroups lists the resource groups of a subscription, in order of
// name.
func (r reads) ResourceGroups(ctx context.Context, tenantID, subscriptionID string) ([]directory.ResourceGroup, error) {
	rows, err := r.q.QueryContext(ctx, "SELECT "+groupColumns+" FROM resource_groups WHERE tenant_id = ? AND subscription_id = ? ORDER BY name_key",
		tenantID, strings.ToLower(subscriptionID))
	return all(rows, err, scanGroup)
}

// PutResourceGroup adds a resource group or replaces its location and tags;
// its name stays as first written.
func (tx *Tx) PutResourceGroup(g *directory.ResourceGroup) (created bool, err error) {
	if err := tx.requireTenant(g.TenantID); err != nil {
		return false, err
	}
	g.SubscriptionID = strings.ToLower(g.SubscriptionID)
	before, err := tx.ResourceGroup(context.Background(), g.TenantID, g.SubscriptionID, g.Name)
	if err != nil && !IsNotFound(err) {
		return false, err
	}
	created = err != nil
	if !created {
		g.Name = before.Name
	}
	tags, err := encode(g.Tags)
	if err != nil {
		return false, err
	}
	_, err = tx.exec("INSERT INTO resource_groups ("+groupColumns+", name_key) VALUES (?, ?, ?, ?, ?, ?)"+
		" ON CONFLICT (tenant_id, subscription_id, name_key) DO UPDATE SET location = excluded.location, tags = excluded.tags",
		g.TenantID, g.SubscriptionID, g.Name, g.Location, tags, strings.ToLower(g.Name))
	return created, err
}

const identityColumns = "tenant_id, subscription_id, resource_group, name, location, tags, isolation_scope, client_id, principal_id, created_at"

func scanIdentity(s scanner) (directory.ManagedIdentity, error) {
	var m directory.ManagedIdentity
	var tags string
	var created int64
	err := s.Scan(&m.TenantID, &m.SubscriptionID, &m.ResourceGroup, &m.Name, &m.Location, &tags, &m.IsolationScope,
		&m.ClientID, &m.PrincipalID, &created)
	if err != nil {
		return m, err
	}
	m.CreatedAt = fromMicros(created)
	return m, decode(tags, &m.Tags)
}

// ManagedIdentity finds a managed identity; names are compared without regard
// to case.
func (r reads) ManagedIdentity(ctx context.Context, tenantID, subscriptionID, resourceGroup, name string) (directory.ManagedIdentity, error) {
	row := r.q.QueryRowContext(ctx, "SELECT "+identityColumns+" FROM managed_identities"+
		" WHERE tenant_id = ? AND subscription_id = ? AND group_key = ? AND name_key = ?",
		tenantID, strings.ToLower(subscriptionID), strings.ToLower(resourceGroup), strings.ToLower(name))
	return one(row, scanIdentity, func() error {
		return directory.Errorf(directory.NotFound, "", "The managed identity '%s' under resource group '%s' was not found.", name, resourceGroup)
	})
}

// ManagedIdentities lists the managed identities of a resource group, or of
// the whole subscription when resourceGroup is empty, in order of principal
// id, and reports whether more follow. q has no filters here; q.After is a
// principal id.
func (r reads) ManagedIdentities(ctx context.Context, tenantID, subscriptionID, resourceGroup string, q ListQuery) ([]directory.ManagedIdentity, bool, error) {
	rows, err := r.q.QueryContext(ctx, "SELECT "+identityColumns+" FROM managed_identities"+
		" WHERE tenant_id = ?1 AND subscription_id = ?2 AND (?3 = '' OR group_key = ?3) AND principal_id > ?4 ORDER BY principal_id LIMIT ?5",
		tenantID, strings.ToLower(subscriptionID), strings.ToLower(resourceGroup), q.After, q.top()+1)
	items, err := all(rows, err, scanIdentity)
	return page(items, err, q)
}

// PutManagedIdentity adds a managed identity with its service principal, or
// replaces the location, tags and isolation scope of the one with that name;
// m then holds what is stored. The resource group must exist.
func (tx *Tx) PutManagedIdentity(m *directory.ManagedIdentity) (created bool, err error) {
	ctx := context.Background()
	m.SubscriptionID = strings.ToLower(m.SubscriptionID)
	if _, err := tx.ResourceGroup(ctx, m.TenantID, m.SubscriptionID, m.ResourceGroup); IsNotFound(err) {
		return false, directory.Errorf(directory.ReferenceAbsent, "resourceGroup", "Resource group '%s' could not be found.", m.ResourceGroup)
	} else if err != nil {
		return false, err
	}
	before, err := tx.ManagedIdentity(ctx, m.TenantID, m.SubscriptionID, m.ResourceGroup, m.Name)
	if IsNotFound(err) {
		return true, tx.createIdentity(m)
	}
	if err != nil {
		return false, err
	}
	same := before.Location == m.Location && before.IsolationScope == m.IsolationScope && maps.Equal(before.Tags, m.Tags)
	before.Location, before.Tags, before.IsolationScope = m.Location, m.Tags, m.IsolationScope
	*m = before
	if same {
		return false, nil // nobody needs to compile the client again
	}
	tags, err := encode(m.Tags)
	if err != nil {
		return false, err
	}
	_, err = tx.exec("UPDATE managed_identities SET location = ?, tags = ?, isolation_scope = ? WHERE tenant_id = ? AND principal_id = ?",
		m.Location, tags, m.IsolationScope, m.TenantID, m.PrincipalID)
	tx.touch(directory.KeyClient, m.TenantID, m.ClientID)
	return false, err
}

func (tx *Tx) createIdentity(m *directory.ManagedIdentity) error {
	if err := tx.newID(&m.ClientID); err != nil {
		return err
	}
	if err := tx.checkAppID(m.ClientID); err != nil {
		return err
	}
	tx.created(&m.CreatedAt)
	principal := directory.ServicePrincipal{
		ID:             m.PrincipalID,
		TenantID:       m.TenantID,
		AppID:          m.ClientID,
		Kind:           directory.KindManagedIdentity,
		DisplayName:    m.Name,
		AccountEnabled: true,
		CreatedAt:      m.CreatedAt,
	}
	if err := tx.insertPrincipal(&principal); err != nil {
		return err
	}
	m.PrincipalID = principal.ID
	tags, err := encode(m.Tags)
	if err != nil {
		return err
	}
	_, err = tx.exec("INSERT INTO managed_identities ("+identityColumns+", group_key, name_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		m.TenantID, m.SubscriptionID, m.ResourceGroup, m.Name, m.Location, tags, m.IsolationScope, m.ClientID, m.PrincipalID,
		toMicros(m.CreatedAt), strings.ToLower(m.ResourceGroup), strings.ToLower(m.Name))
	return err
}

// DeleteManagedIdentity removes a managed identity with its credentials, its
// service principal and every assignment of that.
func (tx *Tx) DeleteManagedIdentity(tenantID, subscriptionID, resourceGroup, name string) error {
	m, err := tx.ManagedIdentity(context.Background(), tenantID, subscriptionID, resourceGroup, name)
	if err != nil {
		return err
	}
	return tx.deleteIdentities(tenantID, []directory.ManagedIdentity{m})
}

// deleteIdentities is DeleteManagedIdentity of many.
func (tx *Tx) deleteIdentities(tenantID string, list []directory.ManagedIdentity) error {
	principals, clients := make([]string, len(list)), make([]string, len(list))
	for i := range list {
		principals[i], clients[i] = list[i].PrincipalID, list[i].ClientID
		tx.touchApp(tenantID, list[i].ClientID)
	}
	if err := tx.deleteCredentialsOf(tenantID, principals); err != nil {
		return err
	}
	if err := tx.eachOf(principals, "DELETE FROM managed_identities WHERE tenant_id = ?2 AND principal_id IN (SELECT id FROM among)", tenantID); err != nil {
		return err
	}
	if err := tx.removePrincipals(tenantID, principals); err != nil {
		return err
	}
	return tx.retire(clients...)
}
