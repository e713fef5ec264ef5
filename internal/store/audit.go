package store

import (
	"context"
	"errors"
	"time"

	"cambio/internal/audit"
)

// AuditRecord is one row of the audit trail. Detail is the record's JSON.
type AuditRecord struct {
	ID       int64 // audit.RowID
	At       time.Time
	Kind     string // audit.KindExchange or audit.KindChange
	TenantID string
	ClientID string
	Code     int
	Detail   []byte
	Hash     []byte // empty in records that are older than chains
}

// Row is the record as its hash is made of.
func (r *AuditRecord) Row() *audit.Row {
	return &audit.Row{ID: r.ID, At: r.At.UnixMicro(), Kind: r.Kind, TenantID: r.TenantID, ClientID: r.ClientID, Code: int64(r.Code), Detail: r.Detail}
}

// AuditRecords returns up to limit records with an ID greater than after, in
// order of ID: chain by chain, and each chain in the order of its commits.
func (r reads) AuditRecords(ctx context.Context, after int64, limit int) ([]AuditRecord, error) {
	rows, err := r.q.QueryContext(ctx, auditColumnsFrom+" WHERE id > ? ORDER BY id LIMIT ?", after, limit)
	return all(rows, err, scanAuditRecord)
}

// AuditFilter says which records are wanted: those of one tenant, and of them
// those with every member that is not empty.
type AuditFilter struct {
	TenantID      string // required: records without a tenant are nobody's
	ClientID      string
	Kind          string // audit.KindExchange or audit.KindChange
	Outcome       string // audit.Allowed or audit.Refused, of exchanges
	CorrelationID string // a GUID, as it was sent
}

// AuditExamined is how many records, of whichever tenant, are looked at for
// one page: there is no index, which exchanges would have to keep.
const AuditExamined = 5_000

// AuditPage is a part of the records of a tenant.
type AuditPage struct {
	Records []AuditRecord
	Last    int64 // id up to which records were looked at; the next page begins after it
	More    bool  // there may be further records
}

// AuditPage returns up to limit records with an ID greater than after that
// pass the filter, in order of ID. It may have fewer, even none, although
// there are more.
func (r reads) AuditPage(ctx context.Context, f AuditFilter, after int64, limit int) (AuditPage, error) {
	page := AuditPage{Last: after}
	if f.TenantID == "" {
		return page, errors.New("store: records of the audit trail are read for one tenant")
	}
	var count int
	err := r.q.QueryRowContext(ctx, "SELECT coalesce(max(id), ?1), count(*) FROM (SELECT id FROM audit WHERE id > ?1 ORDER BY id LIMIT ?2) examined", after, AuditExamined).Scan(&page.Last, &count)
	if err != nil || count == 0 {
		return page, err
	}
	where, args := f.where(after, page.Last)
	rows, err := r.q.QueryContext(ctx, auditColumnsFrom+where+" ORDER BY id LIMIT ?", append(args, limit)...)
	if page.Records, err = all(rows, err, scanAuditRecord); err != nil {
		return page, err
	}
	page.More = count == AuditExamined
	if n := len(page.Records); n == limit {
		page.More = page.More || page.Records[n-1].ID < page.Last
		page.Last = page.Records[n-1].ID
	}
	return page, nil
}

// where is the condition of records between two ids.
func (f *AuditFilter) where(after, last int64) (condition string, args []any) {
	condition, args = " WHERE id > ? AND id <= ? AND tenant_id = ?", []any{after, last, f.TenantID}
	and := func(text string, more ...any) { condition, args = condition+" AND "+text, append(args, more...) }
	if f.ClientID != "" {
		and("client_id = ?", f.ClientID)
	}
	if f.Kind != "" {
		and("kind = ?", f.Kind)
	}
	switch f.Outcome {
	case audit.Allowed:
		and("kind = ? AND code = 0", audit.KindExchange)
	case audit.Refused:
		and("kind = ? AND code <> 0", audit.KindExchange)
	}
	if f.CorrelationID != "" {
		and("detail LIKE ?", `%"correlationId":"`+f.CorrelationID+`"%`)
	}
	return condition, args
}

const auditColumnsFrom = "SELECT id, at, kind, tenant_id, client_id, code, detail, hash FROM audit"

func scanAuditRecord(s scanner) (AuditRecord, error) {
	var a AuditRecord
	var at int64
	err := s.Scan(&a.ID, &at, &a.Kind, &a.TenantID, &a.ClientID, &a.Code, &a.Detail, &a.Hash)
	a.At = time.UnixMicro(at).UTC()
	return a, err
}

// AuditChains returns the state of every chain that has begun, in order.
func (r reads) AuditChains(ctx context.Context) ([]audit.ChainState, error) {
	rows, err := r.q.QueryContext(ctx, "SELECT c.id, c.first_id, c.anchor, coalesce(a.id, 0), a.hash FROM audit_chains c"+
		" LEFT JOIN audit a ON a.id = (SELECT max(id) FROM audit WHERE id >= c.id * ?1 AND id < (c.id + 1) * ?1) ORDER BY c.id", audit.RowID(1, 0))
	return all(rows, err, func(s scanner) (c audit.ChainState, err error) {
		var anchor, hash []byte
		err = s.Scan(&c.ID, &c.FirstID, &anchor, &c.LastID, &hash)
		copy(c.Anchor[:], anchor)
		copy(c.LastHash[:], hash)
		if c.LastID < c.FirstID { // nothing is left, or only what retention is about to remove
			c.LastID, c.LastHash = c.FirstID-1, c.Anchor
		}
		return c, err
	})
}

// AuditCheckpoints returns the signed checkpoints, oldest first; with recent
// only those from the last one on that names every chain.
func (r reads) AuditCheckpoints(ctx context.Context, recent bool) ([]audit.SignedCheckpoint, error) {
	query := "SELECT id, body, signature FROM audit_checkpoints"
	if recent {
		query += " WHERE id >= (SELECT coalesce(max(id), 0) FROM audit_checkpoints WHERE complete)"
	}
	rows, err := r.q.QueryContext(ctx, query+" ORDER BY id")
	return all(rows, err, func(s scanner) (c audit.SignedCheckpoint, err error) {
		return c, s.Scan(&c.ID, &c.Body, &c.Signature)
	})
}

// AddAuditCheckpoint stores a checkpoint, which must be the next one.
func (tx *Tx) AddAuditCheckpoint(c *audit.Checkpoint, signed audit.SignedCheckpoint) error {
	n, err := tx.exec("INSERT INTO audit_checkpoints (id, at, complete, body, signature) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		signed.ID, toMicros(c.At), c.Complete, string(signed.Body), signed.Signature)
	if err == nil && n == 0 {
		err = errors.New("store: another checkpoint was made at the same time")
	}
	return err
}

// SetAuditStart notes from which row on a chain is kept.
func (tx *Tx) SetAuditStart(c audit.ChainState) error {
	_, err := tx.exec("UPDATE audit_chains SET first_id = ?, anchor = ? WHERE id = ? AND first_id < ?", c.FirstID, c.Anchor[:], c.ID, c.FirstID)
	return err
}

// AdoptAuditChains registers chains that have records and no row of their own,
// as only somebody else than this program leaves them behind.
func (tx *Tx) AdoptAuditChains() error {
	rows, err := tx.q.QueryContext(tx.ctx, "SELECT a.id / ?1, min(a.id) FROM audit a WHERE a.id >= ?1"+
		" AND NOT EXISTS (SELECT 1 FROM audit_chains c WHERE c.id = a.id / ?1) GROUP BY a.id / ?1", audit.RowID(1, 0))
	chains, err := all(rows, err, func(s scanner) (c audit.ChainState, err error) { return c, s.Scan(&c.ID, &c.FirstID) })
	if err != nil {
		return err
	}
	for _, c := range chains {
		if _, err := tx.exec("INSERT INTO audit_chains (id, replica, started_at, seed, first_id, anchor) VALUES (?, ?, ?, ?, ?, ?)",
			c.ID, "", toMicros(tx.now), c.Anchor[:], c.FirstID, c.Anchor[:]); err != nil {
			return err
		}
	}
	return nil
}

// RemoveAuditRecords deletes up to limit records of a chain before its start,
// and returns how many it deleted.
func (tx *Tx) RemoveAuditRecords(chain int64, limit int) (int64, error) {
	return tx.exec("DELETE FROM audit WHERE id IN (SELECT a.id FROM audit a JOIN audit_chains c ON c.id = ?1 WHERE a.id >= ?1 * ?2 AND a.id < c.first_id ORDER BY a.id LIMIT ?3)",
		chain, audit.RowID(1, 0), limit)
}

// RemoveAuditCheckpoints deletes the checkpoints before one that names every
// chain.
func (tx *Tx) RemoveAuditCheckpoints(before int64) error {
	_, err := tx.exec("DELETE FROM audit_checkpoints WHERE id < ?", before)
	return err
}

// Duty makes this process the one that does what is to be done once for all
// processes, until the time given is over, and reports whether it is. It may
// happen that two believe that they are: what they do must bear that.
func (db *DB) Duty(ctx context.Context, name string, lasting time.Duration) (mine bool, err error) {
	now := db.cfg.Clock()
	err = db.Maintain(ctx, func(tx *Tx) error {
		n, err := tx.exec("INSERT INTO duties (name, holder, until) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until"+
			" WHERE duties.holder = excluded.holder OR duties.until < ?", name, db.cfg.Replica, now.Add(lasting).UnixMicro(), now.UnixMicro())
		mine = n > 0
		return err
	})
	return mine, err
}
