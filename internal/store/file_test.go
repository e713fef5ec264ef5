package store_test

import (
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cambio/internal/audit"
	"cambio/internal/directory"
	"cambio/internal/store"
)

// refused expects that the database cannot be opened, and why.
func refused(t *testing.T, path string, mentions ...string) {
	t.Helper()
	db, err := store.Open(store.Config{Path: path})
	if err == nil {
		db.Close()
		t.Fatal("it was opened")
	}
	for _, m := range mentions {
		if !strings.Contains(err.Error(), m) {
			t.Errorf("the error %q does not mention %q", err, m)
		}
	}
}

// closed makes a database and returns its path.
func closed(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state", "cambio #1?.db")
	w := newWorld(t, open(t, store.Config{Path: path}))
	for _, name := range []string{"one", "two"} {
		if err := w.create(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v, %v", info, err)
	}
	if err := w.db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReopen(t *testing.T) {
	path := closed(t)
	db, err := store.Open(store.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	records, err := db.AuditRecords(t.Context(), 0, 10)
	if err != nil || len(records) != 3 {
		t.Errorf("%d records, %v", len(records), err)
	}
}

func TestOthersCanRead(t *testing.T) {
	path := closed(t)
	for _, mode := range []os.FileMode{0o640, 0o604, 0o602} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		refused(t, path, path, "chmod 600")
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(path), 0o770); err != nil {
		t.Fatal(err)
	}
	refused(t, path, filepath.Dir(path), "chmod go-w")
}

func TestNotADatabase(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	refused(t, "", "no path")
	refused(t, dir, "not a regular file")
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("this is not a database\n", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, text, text, "backup")
	refused(t, filepath.Join(text, "below"), "directory")
	if content, err := os.ReadFile(text); err != nil || !strings.HasPrefix(string(content), "this is not") {
		t.Error("the file was changed")
	}
}

func TestDamagedDatabase(t *testing.T) {
	path := closed(t)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for offset := 3 * 4096; offset < 30*4096; offset += 4096 { // headers of pages
		copy(content[offset:], "damaged!")
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, path, path, "damaged", "backup")
}

func TestNewerSchema(t *testing.T) {
	path := closed(t)
	raw, err := sql.Open("sqlite", "file:"+strings.NewReplacer("#", "%23", "?", "%3f").Replace(path))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Exec("PRAGMA user_version = 1000"); err != nil {
		t.Fatal(err)
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	refused(t, path, path, "1000", "newer program")
}

// TestTrustOfALargeDatabaseIsCheckedAtOnce: damage of what decides keeps it from
// being opened.
func TestTrustOfALargeDatabaseIsCheckedAtOnce(t *testing.T) {
	path := closed(t)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(raw), "api://AzureADTokenExchange")
	raw[at] ^= 2
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(store.Config{Path: path, CheckAtOnce: 1})
	if err == nil {
		db.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("error %v", err)
	}
}

// TestLargeDatabaseIsCheckedInUse: it opens at once, and issues nothing once
// damage was found.
func TestLargeDatabaseIsCheckedInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "cambio.db")
	large := store.Config{Path: path, CheckAtOnce: 1}
	db := open(t, large)
	for range 300 {
		if err := db.Write(t.Context(), store.Change{Action: "test"}, func(tx *store.Tx) error {
			return tx.CreateTenant(&directory.Tenant{DisplayName: strings.Repeat("x", 200), Compat: directory.Relaxed})
		}); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 { // to the end of the file
		if err := db.RecordDecision(t.Context(), &audit.Decision{TraceID: strings.Repeat("x", 1000)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, large)
	if err := db.RecordDecision(t.Context(), &audit.Decision{}, nil); err != nil || db.WriteFailed() {
		t.Fatalf("a sound database: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(raw) - 4096; i < len(raw); i++ { // of the audit trail, which nothing reads
		raw[i] ^= 0xff
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	db = open(t, large)
	for deadline := time.Now().Add(20 * time.Second); !db.WriteFailed(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the damage was not found")
		}
	}
	if err := db.RecordDecision(t.Context(), &audit.Decision{}, nil); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a damaged database: %v", err)
	}
}

// TestDamageFromBeforeTheEnd: a database that is what it was when it was closed
// opens at once, and damage that it had by then is found while it is used.
func TestDamageFromBeforeTheEnd(t *testing.T) {
	path := closed(t)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[strings.Index(string(raw), "api://AzureADTokenExchange")] ^= 2
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := store.NoteChecksum(path); err != nil {
		t.Fatal(err)
	}
	db := open(t, store.Config{Path: path, Logger: slog.New(slog.DiscardHandler)})
	for deadline := time.Now().Add(20 * time.Second); !db.WriteFailed(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the damage was not found")
		}
	}
	if err := db.RecordDecision(t.Context(), &audit.Decision{}, nil); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a damaged database: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + "-checksum"); err == nil {
		t.Error("a database that was found damaged has a checksum")
	}
}
