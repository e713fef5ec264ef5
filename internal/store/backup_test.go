package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cambio/internal/audit"
	"cambio/internal/store"
)

// raw opens a file as SQLite does, past the store.
func raw(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+strings.NewReplacer("#", "%23", "?", "%3f").Replace(path))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// dump returns every row of every table, and the schema.
func dump(t *testing.T, path string) map[string][]string {
	t.Helper()
	db := raw(t, path)
	defer db.Close()
	out := map[string][]string{"": rows(t, db, "SELECT type, name, sql FROM sqlite_master ORDER BY name")}
	for _, name := range rows(t, db, "SELECT name FROM sqlite_master WHERE type = 'table'") {
		name = strings.Trim(name, "[]")
		out[name] = rows(t, db, "SELECT * FROM "+name)
	}
	return out
}

func rows(t *testing.T, db *sql.DB, query string) []string {
	t.Helper()
	found, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	columns, err := found.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for found.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := found.Scan(into...); err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprint(values))
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func backup(t *testing.T, path, to string) store.Snapshot {
	t.Helper()
	s, err := store.Backup(t.Context(), path, to, store.BackupOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func equal(t *testing.T, a, b map[string][]string) {
	t.Helper()
	if !maps.EqualFunc(a, b, slices.Equal) {
		for name := range a {
			if !slices.Equal(a[name], b[name]) {
				t.Errorf("table %q differs: %d rows and %d rows", name, len(a[name]), len(b[name]))
			}
		}
		if len(a) != len(b) {
			t.Errorf("%d tables and %d tables", len(a), len(b))
		}
	}
}

func TestBackupIsTheDatabase(t *testing.T) {
	path := closed(t)
	to := filepath.Join(t.TempDir(), "copy #1?.db")
	var done, total int64
	s, err := store.Backup(t.Context(), path, to, store.BackupOptions{Progress: func(d, all int64) { done, total = d, all }})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(to)
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != s.Bytes || done != total || done != s.Bytes {
		t.Errorf("%v, %v; %+v, progress %d of %d", info, err, s, done, total)
	}
	if names, err := os.ReadDir(filepath.Dir(to)); err != nil || len(names) != 1 {
		t.Errorf("beside the backup there are %v (%v)", names, err)
	}
	if db := dump(t, path); s.Feed == 0 || s.Schema == 0 || len(db["credentials"]) != 2 || len(db["audit"]) != 3 {
		t.Errorf("%+v, %d credentials", s, len(db["credentials"]))
	}
	equal(t, dump(t, path), dump(t, to))
}

// Backups under load are each one moment: what is written together is there
// together, nothing that was acknowledged before is missing, and who writes is
// not refused.
func TestBackupUnderLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "cambio.db")
	db := open(t, store.Config{Path: path})
	w := newWorld(t, db)
	ctx, stop := context.WithCancel(t.Context())
	var written, recorded atomic.Int64
	var group sync.WaitGroup
	for n := range 4 {
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				err := db.Write(context.Background(), store.Change{Action: "pair"}, func(tx *store.Tx) error {
					return errors.Join(tx.CreateCredential(w.credential(fmt.Sprintf("%d-%d-a", n, i))), tx.CreateCredential(w.credential(fmt.Sprintf("%d-%d-b", n, i))))
				})
				if err != nil {
					t.Error(err)
					return
				}
				written.Add(1)
				if err := db.RecordDecision(context.Background(), &audit.Decision{TenantID: w.app.TenantID, ClientID: w.app.AppID, Allowed: true}, nil); err != nil {
					t.Error(err)
					return
				}
				recorded.Add(1)
			}
		})
	}
	dir := t.TempDir()
	for i := range 6 {
		time.Sleep(30 * time.Millisecond)
		before, decisions := written.Load(), recorded.Load()
		to := filepath.Join(dir, fmt.Sprint(i))
		s := backup(t, path, to)
		copied := dump(t, to)
		pairs := int64(len(copied["credentials"]))
		if pairs%2 != 0 || pairs/2 < before {
			t.Errorf("backup %d: %d credentials; %d pairs had been acknowledged", i, pairs, before)
		}
		changes := strings.Count(strings.Join(copied["audit"], "\n"), `"pair"`)
		if int64(changes) != pairs/2 || int64(len(copied["audit"])-1-changes) < decisions {
			t.Errorf("backup %d: %d pairs, %d audit rows of them, %d rows, %d decisions acknowledged", i, pairs/2, changes, len(copied["audit"]), decisions)
		}
		if feed := copied["sqlite_sequence"]; len(feed) != 1 || !strings.Contains(feed[0], fmt.Sprintf(" %d]", s.Feed)) {
			t.Errorf("backup %d: %v, feed %d", i, feed, s.Feed)
		}
	}
	stop()
	group.Wait()
	t.Logf("%d pairs and %d decisions were written meanwhile", written.Load(), recorded.Load())
	if written.Load() < 20 {
		t.Errorf("only %d pairs were written; that is no load", written.Load())
	}
}

func TestBackupRefuses(t *testing.T) {
	path := closed(t)
	dir := t.TempDir()
	taken := filepath.Join(dir, "taken")
	write(t, taken, "precious")
	write(t, filepath.Join(dir, "live"), "x")
	write(t, filepath.Join(dir, "live-wal"), "x")
	link := filepath.Join(dir, "link")
	if err := os.Link(path, link); err != nil {
		t.Fatal(err)
	}
	dangling := filepath.Join(dir, "dangling")
	if err := os.Symlink(filepath.Join(dir, "nowhere"), dangling); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(dir, "text")
	write(t, text, strings.Repeat("no database ", 1000))
	foreign := filepath.Join(dir, "foreign")
	if _, err := raw(t, foreign).Exec("CREATE TABLE x (y)"); err != nil {
		t.Fatal(err)
	}
	newer := filepath.Join(dir, "newer")
	backup(t, path, newer)
	if _, err := raw(t, newer).Exec("PRAGMA user_version = 4711"); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		from, to  string
		overwrite bool
		want      string
	}{
		"exists":         {path, taken, false, "--force"},
		"itself":         {path, path, true, "database itself"},
		"itself by link": {path, link, true, "database itself"},
		"a directory":    {path, dir, true, "no regular file"},
		"no directory":   {path, filepath.Join(dir, "none", "x"), false, "none"},
		"live":           {path, filepath.Join(dir, "live"), true, "in use"},
		"dangling link":  {path, dangling, false, "symbolic link to a file that does not exist"},
		"nothing there":  {filepath.Join(dir, "none"), filepath.Join(dir, "x"), false, "no database"},
		"text":           {text, filepath.Join(dir, "x"), false, "not a database"},
		"foreign":        {foreign, filepath.Join(dir, "x"), false, "no database of cambio"},
		"newer":          {newer, filepath.Join(dir, "x"), false, "newer program"},
	} {
		if _, err := store.Backup(t.Context(), c.from, c.to, store.BackupOptions{Overwrite: c.overwrite}); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
	if content, err := os.ReadFile(taken); err != nil || string(content) != "precious" {
		t.Errorf("the file was changed: %q, %v", content, err)
	}
	if _, err := store.Backup(t.Context(), path, taken, store.BackupOptions{Overwrite: true}); err != nil {
		t.Error(err)
	}
	equal(t, dump(t, path), dump(t, taken))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := store.Backup(ended, path, filepath.Join(dir, "ended"), store.BackupOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context ended: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func restore(t *testing.T, from, path string) (aside string) {
	t.Helper()
	r, err := store.PrepareRestore(t.Context(), from, path)
	if err != nil {
		t.Fatal(err)
	}
	if aside, err = r.Install(time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return aside
}

func TestRestore(t *testing.T) {
	path := closed(t)
	copied := filepath.Join(t.TempDir(), "copy")
	backup(t, path, copied)
	then := dump(t, copied)

	// On a new machine.
	fresh := filepath.Join(t.TempDir(), "new", "cambio.db")
	if aside := restore(t, copied, fresh); aside != "" {
		t.Errorf("kept %s aside of nothing", aside)
	}
	equal(t, then, dump(t, fresh))

	// In the place of a database that went on, and was not closed.
	later := open(t, store.Config{Path: path})
	w := newWorld(t, later)
	if err := w.create(t.Context(), "later"); err != nil {
		t.Fatal(err)
	}
	aside := restore(t, copied, path)
	equal(t, then, dump(t, path))
	if err := later.Close(); err != nil {
		t.Log("closing the database that was replaced:", err)
	}
	if kept := dump(t, aside); len(kept["credentials"]) != 3 {
		t.Errorf("the database that was replaced has %d credentials", len(kept["credentials"]))
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	equal(t, then, dump(t, copied))
}

// What counts upwards goes on from where the backup was, and what was retired
// stays so.
func TestRestoredSequences(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "cambio.db")
	db := open(t, store.Config{Path: path})
	w := newWorld(t, db)
	if err := errors.Join(w.create(t.Context(), "one"), w.create(t.Context(), "two")); err != nil {
		t.Fatal(err)
	}
	one, err := db.Credential(t.Context(), w.app.TenantID, w.app.ID, "one")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.delete(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	s := backup(t, path, copied)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	restore(t, copied, path)
	again := open(t, store.Config{Path: path})
	if at, err := again.FeedPosition(t.Context()); err != nil || at != s.Feed {
		t.Errorf("the feed is at %d (%v), the backup was at %d", at, err, s.Feed)
	}
	w.db, w.records = again, again.Records(store.RecordsConfig{})
	if ok, err := w.works(t.Context(), "one"); err != nil || ok {
		t.Errorf("a credential deleted before the backup works (%v)", err)
	}
	if ok, err := w.works(t.Context(), "two"); err != nil || !ok {
		t.Errorf("a credential of the backup does not work (%v)", err)
	}
	reused := w.credential("reused")
	reused.ID = one.ID
	err = again.Write(t.Context(), store.Change{Action: "reuse"}, func(tx *store.Tx) error { return tx.CreateCredential(reused) })
	if err == nil {
		t.Error("the id of a deleted credential was given out again")
	}
	before, err := again.AuditRecords(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.create(t.Context(), "three"); err != nil {
		t.Fatal(err)
	}
	if ok, err := w.works(t.Context(), "three"); err != nil || !ok {
		t.Errorf("a credential made after the restoration does not work (%v)", err)
	}
	if at, err := again.FeedPosition(t.Context()); err != nil || at <= s.Feed {
		t.Errorf("the feed went from %d to %d (%v)", s.Feed, at, err)
	}
	if after, err := again.AuditRecords(t.Context(), before[len(before)-1].ID, 100); err != nil || len(after) != 1 {
		t.Errorf("%d records after the last of the backup, %v", len(after), err)
	}
}

func TestRestoreRefuses(t *testing.T) {
	path := closed(t)
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	backup(t, path, good)
	content, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "cut"), string(content[:len(content)/2]))
	write(t, filepath.Join(dir, "empty"), "")
	write(t, filepath.Join(dir, "text"), strings.Repeat("no database ", 1000))
	for offset := 3 * 4096; offset < len(content); offset += 4096 {
		copy(content[offset:], "damaged!")
	}
	write(t, filepath.Join(dir, "damaged"), string(content))
	backup(t, path, filepath.Join(dir, "live"))
	write(t, filepath.Join(dir, "live-wal"), "x")
	backup(t, path, filepath.Join(dir, "newer"))
	newer := raw(t, filepath.Join(dir, "newer"))
	if _, err := newer.Exec("PRAGMA user_version = 4711"); err != nil {
		t.Fatal(err)
	}
	if err := newer.Close(); err != nil {
		t.Fatal(err)
	}
	then := dump(t, path)
	for name, want := range map[string]string{
		"none": "cannot read", "cut": "damaged", "empty": "no database of cambio", "text": "not a database", "damaged": "damaged",
		"live": "cambio backup", "newer": "newer program", ".": "no regular file",
	} {
		r, err := store.PrepareRestore(t.Context(), filepath.Join(dir, name), path)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v; want %q", name, err, want)
		}
		if r != nil {
			t.Errorf("%s: a restoration beside an error", name)
		}
	}
	if _, err := store.PrepareRestore(t.Context(), path, path); err == nil || !strings.Contains(err.Error(), "itself") {
		t.Errorf("itself: %v", err)
	}
	lock, err := store.LockServer(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.PrepareRestore(t.Context(), good, path); err == nil || !strings.Contains(err.Error(), "stop it first") {
		t.Errorf("beside a server: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	equal(t, then, dump(t, path))
}

// An attempt that was given up or killed leaves the database as it was and is
// in nobody's way.
func TestRestoreGivenUp(t *testing.T) {
	path := closed(t)
	copied := filepath.Join(t.TempDir(), "copy")
	backup(t, path, copied)
	then := dump(t, path)
	write(t, path+".restoring", "left over")
	r, err := store.PrepareRestore(t.Context(), copied, path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.LockServer(path); err == nil {
		t.Error("a server could start meanwhile")
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(r.Path); err == nil {
		t.Error("the copy was left behind")
	}
	equal(t, then, dump(t, path))
	if aside := restore(t, copied, path); aside == "" {
		t.Error("the database was not kept aside")
	}
}

// A backup of an older program is brought up to date when it is opened.
func TestRestoreOlderSchema(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "old")
	text, err := os.ReadFile("migrations/sqlite/0001_initial.sql")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw(t, old).Exec(string(text) + "; PRAGMA user_version = 1; INSERT INTO tenants VALUES ('5c0e7d1a-1f2e-4b3c-8d4e-9a8b7c6d5e4f', 'Old', 'relaxed', 1, 0)"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "state", "cambio.db")
	restore(t, old, path)
	tenants, err := open(t, store.Config{Path: path}).Tenants(t.Context())
	if err != nil || len(tenants) != 1 || tenants[0].DisplayName != "Old" {
		t.Errorf("%v, %v", tenants, err)
	}
}
