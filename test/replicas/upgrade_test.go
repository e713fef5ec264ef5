package replicas

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"cambio/conformance/devserver"
)

// newer builds the program that comes next: this one with one more migration,
// which widens the tables that exchanges and management read and write.
func newer(t *testing.T) string {
	t.Helper()
	root, err := devserver.Root()
	if err != nil {
		t.Fatal(err)
	}
	folder, dir := filepath.Join(root, "internal", "store", "migrations", "postgres"), t.TempDir()
	var newest int
	there, err := filepath.Glob(filepath.Join(folder, "*.sql")) // sorted
	if err == nil && len(there) > 0 {
		_, err = fmt.Sscanf(filepath.Base(there[len(there)-1]), "%d_", &newest)
	}
	if err != nil || newest == 0 {
		t.Fatalf("the migrations in %s: %v, %v", folder, there, err)
	}
	text := fmt.Sprintf("-- oldest: %d\nCREATE TABLE next (id BIGINT PRIMARY KEY);\n", newest)
	for _, table := range []string{"tenants", "applications", "service_principals", "credentials", "assignments", "audit", "signing_keys"} {
		text += "ALTER TABLE " + table + " ADD COLUMN next TEXT NOT NULL DEFAULT '';\n"
	}
	migration, overlay, binary := filepath.Join(dir, "next.sql"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "cambio")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(folder, fmt.Sprintf("%04d_next.sql", newest+1)): migration}})
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{migration: text, overlay: string(replace)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "-o", binary, "./cmd/cambio")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// TestRollingUpgrade: a newer program brings the schema up to date under
// servers that are older, which do not fail a single request; then they are
// replaced one after the other, under clients that ask twice.
func TestRollingUpgrade(t *testing.T) {
	db := database(t)
	next := newer(t)
	c := start(t, 100*time.Millisecond, db.DSN(), db.DSN(), db.DSN())
	fleet, older := newFleet(c), c.opt.Binary

	seen, end := clients(t, c, fleet, 0, 1)
	time.Sleep(300 * time.Millisecond) // of work before
	c.opt.Binary = next
	if _, err := c.Command(t.Context(), 0, "keys", "list"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // of work after
	end()
	t.Logf("older servers, while the schema changed: %v", seen)
	if err := db.SQL(t.Context(), "INSERT INTO next VALUES (1)"); err != nil {
		t.Fatalf("the schema did not change: %v", err)
	}

	seen, end = clients(t, c, fleet, 4, 2)
	for i, binary := range []string{next, older, next} { // one older server starts again
		c.Replicas[i].Stop()
		c.opt.Binary = binary
		fleet.again(t, c, i)
		time.Sleep(300 * time.Millisecond) // of work side by side
	}
	end()
	t.Logf("older and newer servers side by side: %v", seen)
}
