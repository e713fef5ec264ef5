package trail

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"cambio/internal/audit"
	"cambio/internal/store"
)

// Export is somewhere that records are delivered to: each at least once, in
// the order of its chain.
type Export struct {
	Name    string // under which the database remembers what was delivered
	Deliver func(ctx context.Context, records []store.AuditRecord) error
}

const (
	// exportAtOnce is how many records one delivery has.
	exportAtOnce = 500

	// A round ends after so many records of each export, or so much time, so
	// that checkpoints are not kept waiting.
	exportRound     = 10_000
	exportRoundTime = duty / 3
)

// export delivers what is new to every destination, as far as one round goes.
func (k *Keeper) export(ctx context.Context) error {
	var err error
	var behind int64
	k.unfinished = false
	for _, e := range k.cfg.Exports {
		left, failed := k.exportTo(ctx, e)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", e.Name, failed))
		} else if left > 0 {
			k.unfinished = true
		}
		behind = max(behind, left)
	}
	k.behind.Store(behind)
	k.failing.Store(err != nil)
	return err
}

// errRoundEnded ends a round of an export.
var errRoundEnded = errors.New("the round has ended")

// exportTo delivers to one destination and returns how many of the records
// that were there when it began are left.
func (k *Keeper) exportTo(ctx context.Context, e Export) (left int64, err error) {
	at, err := position(ctx, k.cfg.DB, e.Name)
	if err != nil {
		return 0, err
	}
	chains, err := k.cfg.DB.AuditChains(ctx)
	if err != nil {
		return 0, err
	}
	left = at.behind(chains)
	ends, sent := time.Now().Add(exportRoundTime), 0
	err = follow(ctx, k.cfg.DB, chains, at, func(records []store.AuditRecord) error {
		if err := e.Deliver(ctx, records); err != nil {
			return err
		}
		k.exported.Add(int64(len(records)))
		left -= int64(len(records))
		if err := k.remember(ctx, e.Name, at); err != nil {
			return err
		}
		if sent += len(records); sent >= exportRound || time.Now().After(ends) {
			return errRoundEnded
		}
		return nil
	})
	switch {
	case err == nil:
		return 0, nil
	case errors.Is(err, errRoundEnded):
		return max(left, 0), nil
	}
	return max(left, 0), err
}

// behind is how many records of chains are after the position.
func (p Position) behind(chains []audit.ChainState) (records int64) {
	for _, c := range chains {
		records += max(0, c.LastID-max(p[c.ID], c.FirstID-1))
	}
	return records
}

// Position is how far a trail was read: the last id by chain.
type Position map[int64]int64

// Pass moves the position past records.
func (p Position) Pass(records []store.AuditRecord) {
	for i := range records {
		chain, _ := audit.Chain(records[i].ID)
		p[chain] = records[i].ID
	}
}

// Skip moves the position past every record up to an id, in all chains.
func (p Position) Skip(id int64) {
	last, _ := audit.Chain(id)
	for chain := int64(1); chain <= last; chain++ {
		p[chain] = max(p[chain], min(id, audit.RowID(chain+1, 0)-1))
	}
}

// Follow passes on the records after the position, some at a time, and moves
// the position before it does.
func Follow(ctx context.Context, db *store.DB, at Position, pass func([]store.AuditRecord) error) error {
	chains, err := db.AuditChains(ctx)
	if err != nil {
		return err
	}
	return follow(ctx, db, chains, at, pass)
}

func follow(ctx context.Context, db *store.DB, chains []audit.ChainState, at Position, pass func([]store.AuditRecord) error) error {
	for _, c := range chains {
		for after := max(at[c.ID], audit.RowID(c.ID, 0)); after < c.LastID; after = at[c.ID] {
			records, err := db.AuditRecords(ctx, after, int(min(exportAtOnce, c.LastID-after)))
			if err != nil {
				return err
			}
			records = slices.DeleteFunc(records, func(r store.AuditRecord) bool { return r.ID > c.LastID }) // of the next chain, after a gap
			if len(records) == 0 {
				break
			}
			at.Pass(records)
			if err := pass(records); err != nil {
				return err
			}
		}
	}
	return nil
}

// delivered returns, for each chain, the last record that every export has
// delivered.
func (k *Keeper) delivered(ctx context.Context) (func(chain int64) int64, error) {
	var positions []Position
	for _, e := range k.cfg.Exports {
		at, err := position(ctx, k.cfg.DB, e.Name)
		if err != nil {
			return nil, err
		}
		positions = append(positions, at)
	}
	return func(chain int64) int64 {
		last := int64(math.MaxInt64)
		for _, at := range positions {
			last = min(last, at[chain])
		}
		return last
	}, nil
}

func positionKey(name string) string { return "audit.export/" + name }

// position is how far an export has come, by chain.
func position(ctx context.Context, db *store.DB, name string) (Position, error) {
	at := Position{}
	text, err := db.Meta(ctx, positionKey(name))
	if store.IsNotFound(err) {
		return at, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &at)
	}
	return at, err
}

func (k *Keeper) remember(ctx context.Context, name string, at Position) error {
	text, err := json.Marshal(at, json.Deterministic(true))
	if err != nil {
		return err
	}
	return k.cfg.DB.Maintain(ctx, func(tx *store.Tx) error { return tx.SetMeta(positionKey(name), string(text)) })
}

// AppendLine appends a record as a line of JSON. Its detail is as it is
// stored, byte for byte, so that its hash can be computed again.
func AppendLine(dst []byte, r *store.AuditRecord) []byte {
	dst = append(dst, `{"id":`...)
	dst = strconv.AppendInt(dst, r.ID, 10)
	dst = append(dst, `,"at":"`...)
	dst = r.At.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000Z")
	dst = append(dst, `","kind":`...)
	dst = strconv.AppendQuote(dst, r.Kind)
	dst = append(dst, `,"hash":"`...)
	dst = hex.AppendEncode(dst, r.Hash)
	dst = append(dst, `","detail":`...)
	dst = append(dst, r.Detail...)
	return append(dst, '}', '\n')
}

// ToFile appends lines of JSON to a file, which is opened anew each time, so
// that it can be rotated.
func ToFile(path string) Export {
	return Export{Name: "file " + path, Deliver: func(_ context.Context, records []store.AuditRecord) error {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = f.Write(lines(records))
		return errors.Join(err, f.Sync(), f.Close())
	}}
}

func lines(records []store.AuditRecord) []byte {
	var b []byte
	for i := range records {
		b = AppendLine(b, &records[i])
	}
	return b
}

// NewOTLPClient makes a client for a collector whose certificate chains to one
// of the system's authorities or of rootsPEM, which may be nil.
func NewOTLPClient(rootsPEM []byte) (*http.Client, error) {
	roots, err := x509.SystemCertPool()
	if err != nil || roots == nil {
		roots = x509.NewCertPool()
	}
	if rootsPEM != nil && !roots.AppendCertsFromPEM(rootsPEM) {
		return nil, errors.New("audit.otlp_ca_file holds no certificate")
	}
	return &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// ToOTLP sends records as log records to an OpenTelemetry collector, by
// OTLP/HTTP in JSON (https://opentelemetry.io/docs/specs/otlp/ §2.3).
func ToOTLP(endpoint string, client *http.Client) Export {
	return Export{Name: "otlp " + endpoint, Deliver: func(ctx context.Context, records []store.AuditRecord) error {
		body, err := otlpBody(records)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(body))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "application/json")
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode/100 != 2 {
			return fmt.Errorf("the collector answered %s", response.Status)
		}
		return nil
	}}
}

// The members of OTLP's JSON that are used here.
type (
	otlpValue struct {
		StringValue string `json:"stringValue"`
	}
	otlpAttribute struct {
		Key   string    `json:"key"`
		Value otlpValue `json:"value"`
	}
	otlpRecord struct {
		TimeUnixNano   string          `json:"timeUnixNano"`
		SeverityNumber int             `json:"severityNumber"`
		SeverityText   string          `json:"severityText"`
		Body           otlpValue       `json:"body"`
		Attributes     []otlpAttribute `json:"attributes"`
	}
)

const otlpInfo = 9 // SEVERITY_NUMBER_INFO

func otlpBody(records []store.AuditRecord) ([]byte, error) {
	list := make([]otlpRecord, len(records))
	for i := range records {
		r := &records[i]
		list[i] = otlpRecord{TimeUnixNano: strconv.FormatInt(r.At.UnixNano(), 10), SeverityNumber: otlpInfo, SeverityText: "INFO", Body: otlpValue{string(r.Detail)},
			Attributes: []otlpAttribute{{"audit.id", otlpValue{strconv.FormatInt(r.ID, 10)}}, {"audit.kind", otlpValue{r.Kind}}, {"audit.hash", otlpValue{hex.EncodeToString(r.Hash)}}}}
	}
	service := []otlpAttribute{{"service.name", otlpValue{"cambio"}}}
	return json.Marshal(map[string]any{"resourceLogs": []any{map[string]any{
		"resource":  map[string]any{"attributes": service},
		"scopeLogs": []any{map[string]any{"scope": map[string]any{"name": "cambio.audit"}, "logRecords": list}},
	}}})
}
