package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cambio/internal/directory"
)

// Mark identifies a state of a tenant: what is written to the tenant after it
// was taken gives another one.
type Mark struct {
	seq   int64             // of the newest change-feed row of the tenant
	other [sha256.Size]byte // of resource groups and owners, which are in no compiled record and so not in the feed
}

// String is different for marks of different states.
func (m Mark) String() string {
	return strconv.FormatInt(m.seq, 10) + " " + hex.EncodeToString(m.other[:])
}

// Mark takes the tenant's mark.
func (r reads) Mark(ctx context.Context, tenantID string) (Mark, error) {
	var m Mark
	// The keys of a tenant lie together: kind/tenant/…, and '0' follows '/'.
	var ranges []any
	for _, kind := range []string{directory.KeyClient, directory.KeyResource, directory.KeyTenant} {
		ranges = append(ranges, kind+"/"+tenantID+"/", kind+"/"+tenantID+"0")
	}
	err := r.q.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM change_feed WHERE"+
		" key >= ? AND key < ? OR key >= ? AND key < ? OR key >= ? AND key < ?", ranges...).Scan(&m.seq)
	if err != nil {
		return m, err
	}
	h := sha256.New()
	for _, query := range []string{
		"SELECT name, location, tags FROM resource_groups WHERE tenant_id = ? ORDER BY subscription_id, name_key",
		"SELECT object_id, owner_id, '' FROM owners WHERE tenant_id = ? ORDER BY object_id, owner_id",
	} {
		rows, err := r.q.QueryContext(ctx, query, tenantID)
		list, err := all(rows, err, func(s scanner) (t [3]string, err error) { return t, s.Scan(&t[0], &t[1], &t[2]) })
		if err != nil {
			return m, err
		}
		for _, texts := range list {
			fmt.Fprintf(h, "%q", texts)
		}
		fmt.Fprintln(h)
	}
	h.Sum(m.other[:0])
	return m, nil
}

// contents reads all that a tenant has, with one query for each table.
func (r reads) contents(ctx context.Context, tenantID string) (*directory.Contents, error) {
	c := &directory.Contents{}
	var err error
	if c.ResourceGroups, err = r.ResourceGroups(ctx, tenantID, tenantID); err != nil {
		return nil, err
	}
	if c.Applications, err = r.allApplications(ctx, tenantID); err != nil {
		return nil, err
	}
	if c.ServicePrincipals, err = everything(ctx, r, principalColumns, "service_principals", tenantID, scanPrincipal); err != nil {
		return nil, err
	}
	if c.ManagedIdentities, err = everything(ctx, r, identityColumns, "managed_identities", tenantID, scanIdentity); err != nil {
		return nil, err
	}
	// Not those of deleted applications.
	rows, err := r.q.QueryContext(ctx, "SELECT "+credentialColumns+" FROM credentials WHERE tenant_id = ?1 AND (parent_id IN (SELECT id FROM applications)"+
		" OR parent_id IN (SELECT principal_id FROM managed_identities)) ORDER BY id", tenantID)
	if c.Credentials, err = all(rows, err, scanCredential); err != nil {
		return nil, err
	}
	if c.Assignments, err = everything(ctx, r, assignmentColumns, "assignments", tenantID, scanAssignment); err != nil {
		return nil, err
	}
	rows, err = r.q.QueryContext(ctx, "SELECT tenant_id, object_id, owner_id FROM owners WHERE tenant_id = ? ORDER BY object_id, owner_id", tenantID)
	c.Owners, err = all(rows, err, func(s scanner) (o directory.Ownership, err error) {
		return o, s.Scan(&o.TenantID, &o.ObjectID, &o.OwnerID)
	})
	return c, err
}

// everything reads a tenant's rows of one table, in order of identifier.
func everything[T any](ctx context.Context, r reads, columns, table, tenantID string, scan func(scanner) (T, error)) ([]T, error) {
	order := "id"
	if table == "managed_identities" {
		order = "principal_id"
	}
	rows, err := r.q.QueryContext(ctx, "SELECT "+columns+" FROM "+table+" WHERE tenant_id = ? ORDER BY "+order, tenantID)
	return all(rows, err, scan)
}

// allApplications reads the identifier URIs of all applications at once.
func (r reads) allApplications(ctx context.Context, tenantID string) ([]directory.Application, error) {
	items, err := everything(ctx, r, applicationColumns, "applications", tenantID, scanApplication)
	if err != nil {
		return nil, err
	}
	rows, err := r.q.QueryContext(ctx, "SELECT application_id, uri FROM identifier_uris WHERE tenant_id = ? ORDER BY application_id, position", tenantID)
	type held struct{ id, uri string }
	list, err := all(rows, err, func(s scanner) (h held, err error) { return h, s.Scan(&h.id, &h.uri) })
	uris := make(map[string][]string, len(list))
	for _, h := range list {
		uris[h.id] = append(uris[h.id], h.uri)
	}
	for i := range items {
		items[i].IdentifierURIs = uris[items[i].ID]
	}
	return items, err
}

// Contents reads a tenant and all that it has, in one state of the database,
// with the mark of that state.
func (db *DB) Contents(ctx context.Context, tenantID string) (t directory.Tenant, c *directory.Contents, m Mark, err error) {
	s, err := db.snapshot(ctx)
	if err != nil {
		return t, nil, m, unavailable("reading", err)
	}
	defer s.close()
	if m, err = s.Mark(ctx, tenantID); err != nil {
		return t, nil, m, err
	}
	if t, err = s.Tenant(ctx, tenantID); err != nil {
		return t, nil, m, err
	}
	c, err = s.contents(ctx, tenantID)
	return t, c, m, err
}

// CheckIDs returns the error with which a write would refuse one of these
// identifiers of new objects, in lower case: since a deleted object had it, or
// since one of any tenant has it. objects are those of applications and
// service principals, clients those that name clients.
func (db *DB) CheckIDs(ctx context.Context, objects, clients []string) error {
	s, err := db.snapshot(ctx)
	if err != nil {
		return unavailable("reading", err)
	}
	defer s.close()
	for _, look := range []struct {
		ids     []string
		query   string // with ids as its parameter
		refusal func(id string) error
	}{
		{slices.Concat(objects, clients), "SELECT id FROM retired_ids WHERE id IN (SELECT value FROM json_each(?1))", errRetired},
		{objects, "SELECT id FROM applications WHERE id IN (SELECT value FROM json_each(?1))" +
			" UNION ALL SELECT id FROM service_principals WHERE id IN (SELECT value FROM json_each(?1))", errInUse},
		{clients, "SELECT app_id FROM applications WHERE app_id IN (SELECT value FROM json_each(?1))" +
			" UNION ALL SELECT client_id FROM managed_identities WHERE client_id IN (SELECT value FROM json_each(?1))", errAppIDInUse},
	} {
		list, err := encode(look.ids)
		if err != nil {
			return err
		}
		var id string
		switch err := s.q.QueryRowContext(ctx, look.query+" LIMIT 1", list).Scan(&id); {
		case err == nil:
			return look.refusal(id)
		case !errors.Is(err, sql.ErrNoRows):
			return unavailable("reading", err)
		}
	}
	return nil
}

// Contents reads all that a tenant has, with what this write did to it.
func (tx *Tx) Contents(tenantID string) (*directory.Contents, error) {
	return tx.contents(context.Background(), tenantID)
}

// SetCredentials deletes credentials of one parent, by id, and puts others:
// those with the id of an existing one replace it. It is for many at a time:
// a name, or issuer and subject, may pass from one to another of them. No two
// of the parent may have the same afterwards, nor may an id be used again; the
// error then is one of the database. The limit of strict tenants is a rule for
// the caller.
func (tx *Tx) SetCredentials(tenantID, parentID string, remove []string, put []directory.FederatedIdentityCredential) error {
	clientID, err := tx.parentClient(tenantID, parentID)
	if err != nil {
		return err
	}
	const gone = "DELETE FROM credentials WHERE tenant_id = ? AND parent_id = ? AND id = ?"
	for _, id := range remove {
		id = strings.ToLower(id)
		n, err := tx.exec(gone, tenantID, parentID, id)
		if err != nil {
			return err
		}
		if n == 0 {
			return directory.Errorf(directory.NotFound, "", "Federated identity credential '%s' does not exist.", id)
		}
		_, err = tx.exec("INSERT INTO retired_ids (id, at, parent_id, changed) VALUES (?, ?, ?, "+nextSeq+")", id, tx.now.UnixMicro(), parentID)
		if err != nil {
			return err
		}
	}
	for i := range put {
		if _, err := tx.exec(gone, tenantID, parentID, put[i].ID); err != nil {
			return err
		}
	}
	for i := range put {
		c := &put[i]
		c.TenantID, c.ParentID = tenantID, parentID
		tx.created(&c.CreatedAt)
		if err := tx.insertCredential(c, clientID); err != nil {
			return err
		}
	}
	tx.touch(directory.KeyClient, tenantID, clientID) // also when all that happened is that some went
	return nil
}
