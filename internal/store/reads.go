package store

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode"

	"cambio/internal/directory"

	"github.com/go-json-experiment/json"
)

// reads holds the read methods that DB and Tx share. Those that look for one
// object answer a *directory.Error of kind NotFound when there is none. A
// tenant's objects are only ever found under its own identifier.
type reads struct{ q querier }

// scanner is a row to be read.
type scanner interface{ Scan(dest ...any) error }

// one reads a single row; a missing one becomes the error that notFound makes.
func one[T any](row *sql.Row, scan func(scanner) (T, error), notFound func() error) (T, error) {
	v, err := scan(row)
	if errors.Is(err, sql.ErrNoRows) {
		err = notFound()
	}
	return v, err
}

// ignoreNoRows turns "there is none" into no error.
func ignoreNoRows(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

// all reads every row.
func all[T any](rows *sql.Rows, err error, scan func(scanner) (T, error)) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// ListQuery narrows and pages a list. The zero value is everything, in order
// of id, the first DefaultPage of it.
type ListQuery struct {
	Field string // property name as in Graph; empty: no filter
	Op    string // "eq" or "startswith"; on a collection "eq" means any member
	Value string
	Top   int    // page size; 0: DefaultPage; more than MaxPage: MaxPage
	After string // id of the last object of the previous page
	Total *int   // gets the number of objects on all pages; nil: they are not counted
}

// Page sizes of lists.
const (
	DefaultPage = 100
	MaxPage     = 999
)

func (q ListQuery) top() int {
	switch {
	case q.Top <= 0:
		return DefaultPage
	case q.Top > MaxPage:
		return MaxPage
	}
	return q.Top
}

// filters are the SQL conditions of a list, by "field op". {value} in them is
// the value that is asked for; {above} is greater than all that start with it.
type filters map[string]string

// Conditions on display names, which are found in any case.
const (
	nameIs     = "lower(display_name) = lower({value})"
	nameStarts = "lower(display_name) >= lower({value}) AND lower(display_name) < lower({above})"
)

// above is greater, byte by byte, than every text that starts with s.
func above(s string) string { return s + string(unicode.MaxRune) }

// list puts together a list query. table's rows must have the columns
// tenant_id (as the first argument) and id.
func (r reads) list(ctx context.Context, query string, args []any, known filters, q ListQuery) (*sql.Rows, error) {
	var b strings.Builder
	b.WriteString(query)
	if q.Field != "" {
		condition, ok := known[q.Field+" "+q.Op]
		if !ok {
			return nil, directory.Errorf(directory.Invalid, q.Field, "The filter '%s %s' is not supported here.", q.Field, q.Op)
		}
		args = append(args, q.Value)
		names := strings.NewReplacer("{value}", "?"+strconv.Itoa(len(args)), "{above}", "?"+strconv.Itoa(len(args)+1))
		b.WriteString(" AND ")
		b.WriteString(names.Replace(condition))
		if q.Op == "startswith" {
			args = append(args, above(q.Value))
		}
	}
	if q.Total != nil {
		if err := r.q.QueryRowContext(ctx, "SELECT count(*) FROM ("+b.String()+") AS found", args...).Scan(q.Total); err != nil {
			return nil, err
		}
	}
	if q.After != "" {
		b.WriteString(" AND id > ?")
		args = append(args, q.After)
	}
	b.WriteString(" ORDER BY id LIMIT ?")
	args = append(args, q.top()+1)
	return r.q.QueryContext(ctx, b.String(), args...)
}

// page cuts the extra row that list asked for and reports whether more follow.
func page[T any](items []T, err error, q ListQuery) ([]T, bool, error) {
	if err != nil {
		return nil, false, err
	}
	if top := q.top(); len(items) > top {
		return items[:top], true, nil
	}
	return items, false, nil
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

func toMicros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// encode is the stored form of a list or map; nil is stored as an empty one.
func encode(v any) (string, error) {
	b, err := json.Marshal(v, json.FormatNilSliceAsNull(false), json.FormatNilMapAsNull(false), json.Deterministic(true))
	return string(b), err
}

func decode(text string, into any) error { return json.Unmarshal([]byte(text), into) }

const feedPosition = "SELECT seq FROM change_head"

// FeedPosition is the sequence of the newest change, 0 when there is none.
func (r reads) FeedPosition(ctx context.Context) (int64, error) {
	var seq int64
	err := r.q.QueryRowContext(ctx, feedPosition).Scan(&seq)
	return seq, err
}

// Meta returns a fact about the installation; ErrNotFound when it was never
// set.
func (r reads) Meta(ctx context.Context, key string) (string, error) {
	var value string
	err := r.q.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = ?", key).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return value, err
}

// SetMeta sets a fact about the installation.
func (tx *Tx) SetMeta(key, value string) error {
	_, err := tx.exec("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", key, value)
	return err
}
