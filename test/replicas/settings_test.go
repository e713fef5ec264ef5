package replicas

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"cambio/internal/audit"
	"cambio/internal/store"
	"cambio/test/postgres"
)

// TestSettingsThatLoseWrites: a PostgreSQL server that may lose what it has
// acknowledged is refused at start, for each of its settings.
func TestSettingsThatLoseWrites(t *testing.T) {
	for _, option := range []string{"fsync=off", "full_page_writes=off", "synchronous_commit=off", "synchronous_commit=local", "synchronous_commit=remote_write"} {
		name, value, _ := strings.Cut(option, "=")
		db := database(t, option)
		if value != "off" { // it loses something in a failover alone
			if err := db.Set(t.Context(), "synchronous_standby_names", "*"); err != nil {
				t.Fatal(err)
			}
		}
		opened, err := store.Open(store.Config{DSN: db.DSN()})
		if err == nil {
			opened.Close()
		}
		if err == nil || !strings.Contains(err.Error(), name+" is "+value) || !strings.Contains(err.Error(), "accept_lost_writes") {
			t.Errorf("%s: %v", option, err)
		}
		if value != "off" {
			continue // nobody follows it, so that nothing would be written
		}
		opened, err = store.Open(store.Config{DSN: db.DSN(), AcceptLostWrites: true})
		if err != nil {
			t.Errorf("%s, accepted: %v", option, err)
			continue
		}
		opened.Close()
	}
}

// TestSettingsThatAreChanged: nothing is recorded any more once a setting was
// changed under a server, for its next session or for the one that it has, and
// something is again when it was changed back.
func TestSettingsThatAreChanged(t *testing.T) {
	db := database(t)
	const reconnect = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cambio'"
	const reload = "SELECT pg_reload_conf()"
	for _, c := range []struct{ change, back, then string }{
		{"ALTER ROLE postgres SET synchronous_commit = off", "ALTER ROLE postgres RESET synchronous_commit", reconnect},
		{"ALTER DATABASE postgres SET synchronous_commit = off", "ALTER DATABASE postgres RESET synchronous_commit", reconnect},
		{"ALTER SYSTEM SET synchronous_commit = off", "ALTER SYSTEM RESET synchronous_commit", reload},
		{"ALTER SYSTEM SET fsync = off", "ALTER SYSTEM RESET fsync", reload},
		{"ALTER SYSTEM SET full_page_writes = off", "ALTER SYSTEM RESET full_page_writes", reload},
	} {
		opened, err := store.Open(store.Config{DSN: db.DSN(), PollInterval: time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		record := func() error { return opened.RecordDecision(t.Context(), &audit.Decision{Allowed: true}, nil) }
		if err := record(); err != nil {
			t.Fatal(err)
		}
		alter(t, db, c.change, c.then)
		if err := become(record, false); err == nil || !strings.Contains(err.Error(), "accept_lost_writes") {
			t.Errorf("after %s: %v", c.change, err)
		}
		alter(t, db, c.back, c.then)
		if err := become(record, true); err != nil {
			t.Errorf("after %s: %v", c.back, err)
		}
		if err := opened.Close(); err != nil {
			t.Error(err)
		}
	}
}

func alter(t *testing.T, db *postgres.Server, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if err := db.SQL(context.Background(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

// become tries until it works, or until it does not, for some seconds.
func become(try func() error, works bool) error {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := try()
		settled := err == nil == works && (works || strings.Contains(err.Error(), "accept_lost_writes"))
		if settled || time.Now().After(deadline) {
			return err
		}
	}
}

// TestStandbyThatNobodyWaitsFor: it is warned of, or refused where one must be
// waited for, until it is.
func TestStandbyThatNobodyWaitsFor(t *testing.T) {
	pair := &pair{primary: database(t)}
	t.Cleanup(pair.close)
	var err error
	if pair.standby, err = pair.primary.Standby(t.Context()); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	opened, err := store.Open(store.Config{DSN: pair.primary.DSN(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if opened.Replicated() {
		t.Error("commits seem to wait for a standby, and do not")
	}
	if err := opened.Close(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(log.String(), "synchronous_standby_names is empty"); got != 1 {
		t.Errorf("%d warnings; want 1:\n%s", got, &log)
	}
	required := store.Config{DSN: pair.primary.DSN(), RequireStandby: true, Logger: slog.New(slog.DiscardHandler)}
	if opened, err := store.Open(required); err == nil || !strings.Contains(err.Error(), "database.require_standby") {
		t.Errorf("a required standby that nobody waits for: %v", err)
		opened.Close()
	}
	if err := pair.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if opened, err = store.Open(required); err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	if !opened.Replicated() {
		t.Error("commits seem to wait for no standby, and do")
	}
}
