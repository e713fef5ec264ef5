package store

import (
	"context"
	"strings"

	"cambio/internal/directory"
)

// nextSeq is the least sequence that the change-feed rows of this write can
// have: rows with it are news to whoever has seen the feed before the write.
const nextSeq = "(SELECT seq + 1 FROM change_head)"

const credentialColumns = "id, tenant_id, parent_id, name, issuer, subject, expression, language_version, audiences, description, created_at, ceilings"

func scanCredential(s scanner) (directory.FederatedIdentityCredential, error) {
	var c directory.FederatedIdentityCredential
	var audiences, ceilings string
	var expression directory.ClaimsMatchingExpression
	var created int64
	err := s.Scan(&c.ID, &c.TenantID, &c.ParentID, &c.Name, &c.Issuer, &c.Subject, &expression.Value, &expression.LanguageVersion,
		&audiences, &c.Description, &created, &ceilings)
	if err != nil {
		return c, err
	}
	if expression.Value != "" {
		c.Expression = &expression
	}
	c.CreatedAt = fromMicros(created)
	if ceilings != "" {
		if err := decode(ceilings, &c.Ceilings); err != nil {
			return c, err
		}
	}
	return c, decode(audiences, &c.Audiences)
}

// ofParent selects the credentials of a parent, unless it was deleted: those
// of a deleted application stay for as long as it can be restored.
const ofParent = " FROM credentials WHERE tenant_id = ?1 AND parent_id = ?2 AND (EXISTS (SELECT 1 FROM applications WHERE id = ?2)" +
	" OR EXISTS (SELECT 1 FROM managed_identities WHERE principal_id = ?2))"

// Credential finds a federated identity credential of a parent by its id (in
// any case) or its name (exactly).
func (r reads) Credential(ctx context.Context, tenantID, parentID, idOrName string) (directory.FederatedIdentityCredential, error) {
	row := r.q.QueryRowContext(ctx, "SELECT "+credentialColumns+ofParent+" AND (id = ? OR name = ?)"+
		" ORDER BY name = ? LIMIT 1", tenantID, parentID, strings.ToLower(idOrName), idOrName, idOrName)
	return one(row, scanCredential, func() error {
		return directory.Errorf(directory.NotFound, "", "Federated identity credential '%s' does not exist.", idOrName)
	})
}

// Credentials lists the credentials of a parent and reports whether more
// follow. Filters: name, tolower(name), subject, issuer and id eq.
func (r reads) Credentials(ctx context.Context, tenantID, parentID string, q ListQuery) ([]directory.FederatedIdentityCredential, bool, error) {
	rows, err := r.list(ctx, "SELECT "+credentialColumns+ofParent,
		[]any{tenantID, parentID}, filters{
			"name eq":          "name = {value}",
			"tolower(name) eq": "lower(name) = lower({value})",
			"subject eq":       "subject = {value} AND expression = ''",
			"issuer eq":        "issuer = {value}",
			"id eq":            "id = lower({value})",
		}, q)
	items, err := all(rows, err, scanCredential)
	return page(items, err, q)
}

// CredentialCount is the number of credentials of a parent.
func (r reads) CredentialCount(ctx context.Context, tenantID, parentID string) (int, error) {
	var n int
	err := r.q.QueryRowContext(ctx, "SELECT count(*)"+ofParent, tenantID, parentID).Scan(&n)
	return n, err
}

// CreateCredential adds a credential to an application or managed identity.
// Name, and issuer and subject or expression together, must be free within the
// parent. A parent has at most directory.MaxFlexibleCredentials with an
// expression; a strict tenant's has at most directory.MaxStrictCredentials.
func (tx *Tx) CreateCredential(c *directory.FederatedIdentityCredential) error {
	clientID, err := tx.parentClient(c.TenantID, c.ParentID)
	if err != nil {
		return err
	}
	if err := tx.newID(&c.ID); err != nil {
		return err
	}
	tx.created(&c.CreatedAt)
	if err := tx.checkCredential(c); err != nil {
		return err
	}
	if err := tx.checkLimit(c); err != nil {
		return err
	}
	return tx.insertCredential(c, clientID)
}

func (tx *Tx) insertCredential(c *directory.FederatedIdentityCredential, clientID string) error {
	audiences, err := encode(c.Audiences)
	if err != nil {
		return err
	}
	ceilings, err := ceilingsOf(c)
	if err != nil {
		return err
	}
	expression := expressionOf(c)
	_, err = tx.exec("INSERT INTO credentials ("+credentialColumns+", changed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "+nextSeq+")",
		c.ID, c.TenantID, c.ParentID, c.Name, c.Issuer, c.Subject, expression.Value, expression.LanguageVersion, audiences, c.Description, toMicros(c.CreatedAt), ceilings)
	tx.touch(directory.KeyClient, c.TenantID, clientID)
	return err
}

// UpdateCredential replaces everything about the credential c.ID of c.ParentID
// but its time of creation.
func (tx *Tx) UpdateCredential(c *directory.FederatedIdentityCredential) error {
	clientID, err := tx.parentClient(c.TenantID, c.ParentID)
	if err != nil {
		return err
	}
	if err := tx.checkCredential(c); err != nil {
		return err
	}
	audiences, err := encode(c.Audiences)
	if err != nil {
		return err
	}
	ceilings, err := ceilingsOf(c)
	if err != nil {
		return err
	}
	expression := expressionOf(c)
	n, err := tx.exec("UPDATE credentials SET name = ?, issuer = ?, subject = ?, expression = ?, language_version = ?, audiences = ?, description = ?, ceilings = ?, changed = "+nextSeq+
		" WHERE tenant_id = ? AND parent_id = ? AND id = ?",
		c.Name, c.Issuer, c.Subject, expression.Value, expression.LanguageVersion, audiences, c.Description, ceilings, c.TenantID, c.ParentID, c.ID)
	if err == nil && n == 0 {
		err = directory.Errorf(directory.NotFound, "", "Federated identity credential '%s' does not exist.", c.ID)
	}
	tx.touch(directory.KeyClient, c.TenantID, clientID)
	return err
}

// DeleteCredential removes a credential of a parent by its id or name.
func (tx *Tx) DeleteCredential(tenantID, parentID, idOrName string) error {
	clientID, err := tx.parentClient(tenantID, parentID)
	if err != nil {
		return err
	}
	c, err := tx.Credential(context.Background(), tenantID, parentID, idOrName)
	if err != nil {
		return err
	}
	if _, err := tx.exec("DELETE FROM credentials WHERE tenant_id = ? AND parent_id = ? AND id = ?", tenantID, parentID, c.ID); err != nil {
		return err
	}
	tx.touch(directory.KeyClient, tenantID, clientID)
	_, err = tx.exec("INSERT INTO retired_ids (id, at, parent_id, changed) VALUES (?, ?, ?, "+nextSeq+")", c.ID, tx.now.UnixMicro(), parentID)
	return err
}

func (tx *Tx) deleteCredentialsOf(tenantID string, parents []string) error {
	err := tx.eachOf(parents, "INSERT INTO retired_ids (id, at) SELECT id, ?2 FROM credentials WHERE tenant_id = ?3 AND parent_id IN (SELECT id FROM among) ON CONFLICT DO NOTHING",
		tx.now.UnixMicro(), tenantID)
	if err != nil {
		return err
	}
	return tx.eachOf(parents, "DELETE FROM credentials WHERE tenant_id = ?2 AND parent_id IN (SELECT id FROM among)", tenantID)
}

// expressionOf is the expression to store; zero is that of a credential with a
// subject.
func expressionOf(c *directory.FederatedIdentityCredential) directory.ClaimsMatchingExpression {
	if c.Expression == nil {
		return directory.ClaimsMatchingExpression{}
	}
	return *c.Expression
}

// ceilingsOf is the text to store; empty: none.
func ceilingsOf(c *directory.FederatedIdentityCredential) (string, error) {
	if c.Ceilings.Empty() {
		return "", nil
	}
	return encode(c.Ceilings)
}

// parentClient returns the client id of the application or managed identity
// that parentID names.
func (tx *Tx) parentClient(tenantID, parentID string) (string, error) {
	row := tx.q.QueryRowContext(context.Background(), "SELECT app_id FROM applications WHERE tenant_id = ?1 AND id = ?2"+
		" UNION ALL SELECT client_id FROM managed_identities WHERE tenant_id = ?1 AND principal_id = ?2", tenantID, parentID)
	return one(row, func(s scanner) (id string, err error) { return id, s.Scan(&id) }, func() error {
		return directory.Errorf(directory.NotFound, "", "Application or managed identity '%s' does not exist.", parentID)
	})
}

// checkCredential refuses a name or a trust that another credential of the
// parent holds, and says which; and an expression too many.
func (tx *Tx) checkCredential(c *directory.FederatedIdentityCredential) error {
	expression := expressionOf(c).Value
	rows, err := tx.q.QueryContext(context.Background(), "SELECT "+credentialColumns+" FROM credentials WHERE parent_id = ?1 AND name = ?2 AND id <> ?6"+
		" UNION ALL SELECT "+credentialColumns+" FROM credentials WHERE parent_id = ?1 AND issuer = ?3 AND subject = ?4 AND expression = ?5 AND id <> ?6",
		c.ParentID, c.Name, c.Issuer, c.Subject, expression, c.ID)
	holders, err := all(rows, err, scanCredential)
	if err != nil {
		return err
	}
	for i := range holders {
		return taken(c, &holders[i])
	}
	var id string
	err = tx.q.QueryRowContext(context.Background(), "SELECT id FROM credentials WHERE id = ? AND parent_id <> ?", c.ID, c.ParentID).Scan(&id)
	if err == nil {
		return directory.Errorf(directory.NameTaken, "id", "The identifier '%s' is in use.", c.ID)
	}
	if err = ignoreNoRows(err); err != nil || c.Expression == nil {
		return err
	}
	return tx.checkFlexibleLimit(c)
}

// taken says what of a credential another one, the holder, has.
func taken(c, holder *directory.FederatedIdentityCredential) error {
	switch {
	case holder.Name == c.Name:
		return directory.Errorf(directory.NameTaken, "name",
			"A federated identity credential with name '%s' exists (id %s).", holder.Name, holder.ID)
	case c.Expression != nil:
		return directory.Errorf(directory.DuplicateTrust, "claimsMatchingExpression.value",
			"Issuer '%s' and the claims matching expression \"%s\" are held by the federated identity credential '%s' (id %s) of this object.",
			c.Issuer, c.Expression.Value, holder.Name, holder.ID)
	}
	return directory.Errorf(directory.DuplicateTrust, "subject",
		"Issuer '%s' and subject '%s' are held by the federated identity credential '%s' (id %s) of this object.",
		c.Issuer, c.Subject, holder.Name, holder.ID)
}

// checkFlexibleLimit keeps the number of expressions small that a token is
// compared with before its signature is.
func (tx *Tx) checkFlexibleLimit(c *directory.FederatedIdentityCredential) error {
	var others int
	err := tx.q.QueryRowContext(context.Background(), "SELECT count(*) FROM credentials WHERE parent_id = ? AND expression <> '' AND id <> ?",
		c.ParentID, c.ID).Scan(&others)
	if err == nil && others >= directory.MaxFlexibleCredentials {
		err = directory.Errorf(directory.LimitReached, "", "There are %d federated identity credentials with a claims matching expression already, the most that one object may have.", others)
	}
	return err
}

func (tx *Tx) checkLimit(c *directory.FederatedIdentityCredential) error {
	var compat directory.Compat
	ctx := context.Background()
	if err := tx.q.QueryRowContext(ctx, "SELECT compat FROM tenants WHERE id = ?", c.TenantID).Scan(&compat); err != nil {
		return err
	}
	if compat != directory.Strict {
		return nil
	}
	n, err := tx.CredentialCount(ctx, c.TenantID, c.ParentID)
	if err == nil && n >= directory.MaxStrictCredentials {
		err = directory.Errorf(directory.LimitReached, "", "There are %d federated identity credentials already; an object of a tenant with compat strict may have %d.", n, directory.MaxStrictCredentials)
	}
	return err
}
