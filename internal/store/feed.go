package store

import (
	"context"
	"strings"
	"sync"
	"time"

	"cambio/internal/directory"
)

// touch is one row of the change feed.
type touch struct {
	key directory.Key
	seq int64
}

// feed tells those who keep something derived from the database what changed.
type feed struct {
	mu        sync.Mutex // guards what follows
	records   []*Records
	listeners []func(kind string)
}

func (f *feed) listen(fn func(kind string)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listeners = append(f.listeners, fn)
}

func (f *feed) attach(r *Records) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.records = append(f.records, r)
}

// publish drops the records that the changes made obsolete and tells the
// listeners. Publishing a change twice does no harm: a record that includes
// it stays.
func (f *feed) publish(touched []touch) {
	if len(touched) == 0 {
		return
	}
	f.mu.Lock()
	records, listeners := f.records, f.listeners // only ever appended to
	f.mu.Unlock()
	for _, t := range touched {
		for _, r := range records {
			r.drop(t.key, t.seq)
		}
	}
	for _, kind := range kinds(touched) {
		for _, fn := range listeners {
			fn(kind)
		}
	}
}

// kinds returns the distinct kinds of key, so that a listener hears of each
// once.
func kinds(touched []touch) []string {
	var out []string
	seen := make(map[string]bool, 4)
	for _, t := range touched {
		if !seen[t.key.Kind] {
			seen[t.key.Kind] = true
			out = append(out, t.key.Kind)
		}
	}
	return out
}

// poller publishes the writes of other processes. It keeps its own position
// in the feed and so publishes those of this process a second time: going by
// what this process wrote last would skip a write of another one just before.
type poller struct {
	db       *DB
	position int64 // feed rows up to this seq were published
	version  int64 // PRAGMA data_version when they were
}

func (p *poller) run() {
	ticker := time.NewTicker(p.db.cfg.PollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-p.db.stop:
			return
		case <-ticker.C:
		}
		p.db.counters.polls.Add(1)
		if err := p.poll(); err != nil {
			p.db.cfg.Logger.Error("cannot look for writes of other processes", "error", err)
		}
	}
}

// poll looks once. Whether anything was written is answered by PRAGMA
// data_version from shared memory, without reading a page.
func (p *poller) poll() error {
	ctx := context.Background()
	var version int64
	err := p.db.polling.QueryRowContext(ctx, "PRAGMA data_version").Scan(&version)
	if err != nil || version == p.version {
		return err
	}
	rows, err := p.db.polling.QueryContext(ctx, "SELECT seq, key FROM change_feed WHERE seq > ? ORDER BY seq", p.position)
	if err != nil {
		return err
	}
	defer rows.Close()
	position := p.position
	var touched []touch
	for rows.Next() {
		var seq int64
		var key string
		if err := rows.Scan(&seq, &key); err != nil {
			return err
		}
		position = seq
		touched = append(touched, touch{key: parseKey(key), seq: seq})
	}
	if err := rows.Err(); err != nil {
		return err
	}
	p.db.feed.publish(touched)
	p.position, p.version = position, version
	return nil
}

// parseKey is the inverse of directory.Key.String.
func parseKey(text string) directory.Key {
	kind, rest, _ := strings.Cut(text, "/")
	tenant, id, _ := strings.Cut(rest, "/")
	return directory.Key{Kind: kind, TenantID: tenant, ID: id}
}
