package store_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"cambio/internal/audit"
	"cambio/internal/store"
)

// tmpfs mounts a file system of the given size, or skips the test.
func tmpfs(t *testing.T, bytes int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", bytes)); err != nil {
		t.Skipf("mounting a small file system is not permitted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// On a full disk no decision is acknowledged that is not in the trail; when
// there is space again, decisions are recorded without a restart.
func TestFullDisk(t *testing.T) {
	dir := tmpfs(t, 4<<20)
	db := open(t, store.Config{Path: filepath.Join(dir, "cambio.db"), Logger: slog.New(slog.DiscardHandler)})
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	acknowledged := 0
	record := func() error {
		err := db.RecordDecision(t.Context(), &audit.Decision{Code: acknowledged, Subject: "some subject to fill the disk with"}, nil)
		if err == nil {
			acknowledged++
		}
		return err
	}
	refusals := 0
	for refusals < 20 {
		if err := record(); errors.Is(err, store.ErrUnavailable) {
			refusals++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	full := acknowledged
	if !db.WriteFailed() {
		t.Error("WriteFailed does not tell")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := record(); err != nil {
			t.Fatalf("after there was space again: %v", err)
		}
	}
	if db.WriteFailed() {
		t.Error("WriteFailed after there was space again")
	}
	records, err := db.AuditRecords(t.Context(), 0, 100_000)
	if err != nil || len(records) != acknowledged {
		t.Fatalf("%d records of %d acknowledged, %v", len(records), acknowledged, err)
	}
	for i, record := range records {
		if record.Code != i {
			t.Fatalf("record %d is %d", i, record.Code)
		}
	}
	t.Logf("%d decisions until the disk was full", full)
}
