package store

import (
	"context"
	"slices"
	"strings"

	"cambio/internal/directory"
)

// tenantRecordBytes estimates a tenant's record without its names.
const tenantRecordBytes = 512

func loadTenant(ctx context.Context, s *snapshot, key cacheKey, _ *entry) (*entry, error) {
	t, err := s.Tenant(ctx, key.name)
	if err != nil {
		return nil, err
	}
	record := &directory.TenantRecord{Tenant: t, Seq: s.seq}
	issuers, err := s.Issuers(ctx, t.ID)
	if err != nil {
		return nil, err
	}
	sets, err := s.IssuerSets(ctx, t.ID)
	if err != nil {
		return nil, err
	}
	record.Manage(issuers, sets)
	e := &entry{value: record, seq: s.seq, bytes: tenantRecordBytes + record.IssuerBytes()}
	// The key of a tenant in the cache has its id as the name, so that path
	// segments of all forms are looked up alike.
	e.changed = directory.Key{Kind: directory.KeyTenant, ID: t.ID}
	names := append([]string{t.ID}, t.Domains...)
	if t.Default {
		names = append(names, DefaultTenant)
	}
	for _, name := range names {
		e.names = append(e.names, cacheKey{kind: directory.KeyTenant, name: name})
		e.bytes += len(name) + 96
	}
	return e, nil
}

func loadClient(ctx context.Context, s *snapshot, key cacheKey, previous *entry) (*entry, error) {
	record := &directory.ClientRecord{TenantID: key.tenantID, ClientID: key.name, Seq: s.seq}
	parent := ""
	application, err := s.Application(ctx, key.tenantID, Ref{AppID: key.name})
	switch {
	case err == nil:
		record.DisplayName, record.Kind = application.DisplayName, directory.KindApplication
		record.Disabled = application.Disabled
		parent = application.ID
	case !IsNotFound(err):
		return nil, err
	}
	principal, principalErr := s.ServicePrincipal(ctx, key.tenantID, Ref{AppID: key.name})
	switch {
	case principalErr == nil:
		record.ServicePrincipal = &principal
		if principal.Kind == directory.KindManagedIdentity {
			record.DisplayName, record.Kind = principal.DisplayName, principal.Kind
			parent = principal.ID
		}
	case !IsNotFound(principalErr):
		return nil, principalErr
	}
	if parent == "" {
		return nil, ErrNotFound
	}
	var known []directory.Credential
	since := int64(-1)
	if previous != nil && previous.parent == parent {
		known, since = previous.value.(*directory.ClientRecord).Credentials, previous.seq
	}
	if record.Credentials, err = s.compiledCredentials(ctx, key.tenantID, parent, known, since); err != nil {
		return nil, err
	}
	if record.ServicePrincipal != nil {
		if record.Grants, err = s.grants(ctx, key.tenantID, principal.ID); err != nil {
			return nil, err
		}
	}
	record.Compile()
	return &entry{
		value:   record,
		names:   []cacheKey{key},
		changed: directory.Key{Kind: directory.KeyClient, TenantID: key.tenantID, ID: key.name},
		seq:     s.seq,
		bytes:   record.Bytes(),
		parent:  parent,
	}, nil
}

// compiledCredentials returns the credentials of a parent. known are those of
// the change-feed sequence since; what did not change after it is not read
// again. Nothing is known of the sequence -1.
func (r reads) compiledCredentials(ctx context.Context, tenantID, parentID string, known []directory.Credential, since int64) ([]directory.Credential, error) {
	query := "SELECT id, name, issuer, subject, expression, audiences, ceilings FROM credentials WHERE tenant_id = ? AND parent_id = ? AND changed > ?"
	if since < 0 {
		query += " ORDER BY created_at, id"
	}
	rows, err := r.q.QueryContext(ctx, query, tenantID, parentID, since)
	var same shared
	changed, err := all(rows, err, func(s scanner) (c directory.Credential, err error) {
		var expression, audiences, ceilings string
		if err := s.Scan(&c.ID, &c.Name, &c.Issuer, &c.Subject, &expression, &audiences, &ceilings); err != nil {
			return c, err
		}
		c.Issuer = same.issuer(c.Issuer)
		if expression != "" {
			if c.Expression, err = directory.ParseExpression(expression); err != nil {
				return c, err
			}
		}
		if ceilings != "" {
			var bounds directory.Ceilings
			if err := decode(ceilings, &bounds); err != nil {
				return c, err
			}
			if c.Ceilings, err = bounds.Compile(); err != nil {
				return c, err
			}
		}
		c.Audiences, err = same.audiences(audiences)
		return c, err
	})
	if err != nil || len(known) == 0 {
		return changed, err
	}
	rows, err = r.q.QueryContext(ctx, "SELECT id FROM retired_ids WHERE parent_id = ? AND parent_id <> '' AND changed > ?", parentID, since)
	gone, err := all(rows, err, func(s scanner) (id string, err error) { return id, s.Scan(&id) })
	if err != nil {
		return nil, err
	}
	return merge(known, changed, gone), nil
}

// shared is what the last credential that was read may have in common with the
// next one: most credentials of a client have one issuer and one audience, and
// memory holds hundreds of thousands of them. What is shared is not changed.
type shared struct {
	lastIssuer, text string
	list             []string
}

func (s *shared) issuer(text string) string {
	if text != s.lastIssuer {
		s.lastIssuer = text
	}
	return s.lastIssuer
}

// audiences reads a list of audiences.
func (s *shared) audiences(text string) (list []string, err error) {
	if text == s.text && s.list != nil {
		return s.list, nil
	}
	if err := decode(text, &list); err != nil {
		return nil, err
	}
	s.text, s.list = text, list
	return list, nil
}

// merge returns known without what is gone or changed, and then what changed.
// The record that known belongs to may still be in use: it is copied.
func merge(known, changed []directory.Credential, gone []string) []directory.Credential {
	replaced := make(map[string]bool, len(changed)+len(gone))
	for _, id := range gone {
		replaced[id] = true
	}
	for i := range changed {
		replaced[changed[i].ID] = true
	}
	out := make([]directory.Credential, 0, len(known)+len(changed))
	for i := range known {
		if !replaced[known[i].ID] {
			out = append(out, known[i])
		}
	}
	return append(out, changed...)
}

func (r reads) grants(ctx context.Context, tenantID, principalID string) (map[string][]string, error) {
	rows, err := r.q.QueryContext(ctx, "SELECT resource_id, app_role_id FROM assignments"+
		" WHERE tenant_id = ? AND principal_id = ? ORDER BY app_role_id", tenantID, principalID)
	type grant struct{ resource, role string }
	list, err := all(rows, err, func(s scanner) (g grant, err error) { return g, s.Scan(&g.resource, &g.role) })
	out := make(map[string][]string, len(list))
	for _, g := range list {
		out[g.resource] = append(out[g.resource], g.role)
	}
	return out, err
}

func loadResource(ctx context.Context, s *snapshot, key cacheKey, _ *entry) (*entry, error) {
	ref := Ref{IdentifierURI: key.name}
	if directory.IsGUID(key.name) {
		ref = Ref{AppID: key.name}
	}
	a, err := s.Application(ctx, key.tenantID, ref)
	if err != nil {
		return nil, err
	}
	principal, err := s.ServicePrincipal(ctx, key.tenantID, Ref{AppID: a.AppID})
	if err != nil {
		return nil, err
	}
	record := &directory.ResourceRecord{
		TenantID:           a.TenantID,
		AppID:              a.AppID,
		DisplayName:        a.DisplayName,
		ServicePrincipalID: principal.ID,
		Enabled:            principal.AccountEnabled,
		AssignmentRequired: principal.AppRoleAssignmentRequired,
		IdentifierURIs:     a.IdentifierURIs,
		API:                a.API,
		OptionalIdtyp:      a.OptionalIdtyp,
		RoleValues:         make(map[string]string, len(a.AppRoles)),
		Seq:                s.seq,
	}
	for _, role := range a.AppRoles {
		if role.IsEnabled && slices.Contains(role.AllowedMemberTypes, "Application") {
			record.RoleValues[strings.ToLower(role.ID)] = role.Value
		}
	}
	e := &entry{
		value:   record,
		changed: directory.Key{Kind: directory.KeyResource, TenantID: a.TenantID, ID: a.AppID},
		seq:     s.seq,
		bytes:   record.Bytes(),
	}
	for _, name := range append([]string{a.AppID}, a.IdentifierURIs...) {
		e.names = append(e.names, cacheKey{directory.KeyResource, a.TenantID, name})
	}
	return e, nil
}
