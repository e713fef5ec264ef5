package store

import (
	"context"
	"math"

	"cambio/internal/audit"
)

// DecisionPage is a part of the decisions that bear an id.
type DecisionPage struct {
	Records []AuditRecord
	Before  int64 // id from which on records were looked at; the next page ends before it
	More    bool  // there may be further ones
}

// mostDecisions bounds a page: one correlation id may be that of many requests.
const mostDecisions = 20

// Decisions returns those decisions of a tenant that have the GUID as their
// correlation id or trace id, the newest of each chain first, among the
// AuditExamined records before an id; 0: the last ones.
func (r reads) Decisions(ctx context.Context, tenantID, guid string, before int64) (DecisionPage, error) {
	if before <= 0 {
		before = math.MaxInt64
	}
	page := DecisionPage{Before: before}
	var count int
	err := r.q.QueryRowContext(ctx, "SELECT coalesce(min(id), ?1), count(*) FROM (SELECT id FROM audit WHERE id < ?1 ORDER BY id DESC LIMIT ?2) examined", before, AuditExamined).Scan(&page.Before, &count)
	if err != nil || count == 0 {
		return page, err
	}
	rows, err := r.q.QueryContext(ctx, auditColumnsFrom+" WHERE id >= ? AND id < ? AND tenant_id = ? AND kind = ? AND (detail LIKE ? OR detail LIKE ?) ORDER BY id DESC LIMIT ?",
		page.Before, before, tenantID, audit.KindExchange, `%"correlationId":"`+guid+`"%`, `%"traceId":"`+guid+`"%`, mostDecisions)
	if page.Records, err = all(rows, err, scanAuditRecord); err != nil {
		return page, err
	}
	page.More = count == AuditExamined
	if n := len(page.Records); n == mostDecisions {
		page.Before, page.More = page.Records[n-1].ID, true
	}
	return page, nil
}

// Holder is the application or managed identity that has a credential.
type Holder struct {
	ClientID, DisplayName string
	Credential            string // its name
}

// TrustedElsewhere finds another client of the tenant that has a credential
// with this issuer and subject, byte for byte; ErrNotFound without one. There
// is no index for it: the context bounds how long it may look.
func (r reads) TrustedElsewhere(ctx context.Context, tenantID, issuer, subject, clientID string) (Holder, error) {
	row := r.q.QueryRowContext(ctx, "SELECT p.app_id, p.display_name, c.name FROM credentials c JOIN service_principals p ON p.tenant_id = c.tenant_id"+
		" AND (p.id = c.parent_id OR p.app_id = (SELECT app_id FROM applications WHERE id = c.parent_id))"+
		" WHERE c.tenant_id = ? AND c.issuer = ? AND c.subject = ? AND p.app_id <> ? LIMIT 1", tenantID, issuer, subject, clientID)
	return one(row, func(s scanner) (h Holder, err error) { return h, s.Scan(&h.ClientID, &h.DisplayName, &h.Credential) }, func() error { return ErrNotFound })
}
