package trail

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"cambio/internal/audit"
)

// line is a record as AppendLine writes it.
type line struct {
	ID     int64          `json:"id"`
	At     time.Time      `json:"at"`
	Kind   string         `json:"kind"`
	Hash   string         `json:"hash"`
	Detail jsontext.Value `json:"detail"`
}

// row is the record as its hash is made of. What stands beside the detail in
// the database is in it as well.
func (l *line) row() (*audit.Row, error) {
	var d struct {
		TenantID string `json:"tenantId"`
		ClientID string `json:"clientId"`
		Code     int64  `json:"code"`
	}
	err := json.Unmarshal(l.Detail, &d)
	return &audit.Row{ID: l.ID, At: l.At.UnixMicro(), Kind: l.Kind, TenantID: d.TenantID, ClientID: d.ClientID, Code: d.Code, Detail: l.Detail}, err
}

// VerifyLines compares exported records, lines of JSON in the order of their
// ids, with each other: within the lines nothing was changed, taken out, put
// in or moved. What was there before the first line of a chain and after its
// last one is not known, but for what the checkpoint, which may be nil, says.
func VerifyLines(ctx context.Context, in io.Reader, key ed25519.PublicKey, kept *audit.SignedCheckpoint) (Report, error) {
	var r Report
	attested := audit.Attested{Chains: map[int64]audit.ChainState{}}
	if kept != nil {
		c, err := kept.Open(key)
		if err != nil {
			return r, err
		}
		attested.Last, attested.At = *kept, c.At
		for _, state := range c.Chains {
			attested.Chains[state.ID] = state
		}
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	v := audit.NewLooseVerifier(attested)
	for n := 1; lines.Scan(); n++ {
		if err := ctx.Err(); err != nil {
			return r, err
		}
		var l line
		var hash audit.Hash
		err := json.Unmarshal(lines.Bytes(), &l)
		if err == nil && l.Hash != "" {
			err = hash.UnmarshalText([]byte(l.Hash))
		}
		row := &audit.Row{}
		if err == nil {
			row, err = l.row()
		}
		if err != nil {
			return r, fmt.Errorf("line %d is no record of an audit trail: %w", n, err)
		}
		v.Row(row, hash)
	}
	if err := lines.Err(); err != nil {
		return r, err
	}
	r.Findings = v.Findings()
	r.Rows, r.Unchained, r.Unattested, r.Checkpoint = v.Rows, v.Unchained, v.Unattested, attested.Last.ID
	return r, nil
}
