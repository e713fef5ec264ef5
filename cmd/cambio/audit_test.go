package main

import (
	"context"
	"database/sql"
	"os"
	"strings"
	"testing"
)

// TestTamperedTrail: what `cambio audit` says of a trail that was tampered
// with, with which codes it ends, and how an operator begins anew.
func TestTamperedTrail(t *testing.T) {
	i := install(t)
	audit := func(code int, args ...string) string {
		t.Helper()
		out, err := run(context.Background(), append(append([]string{"audit"}, args...), "--config", i.config)...)
		if got := exitCode(err); got != code {
			t.Errorf("audit %v ends with %d (%v), not %d:\n%s", args, got, err, code, out)
		}
		return out
	}
	if out, err := run(context.Background(), "bootstrap", "--config", i.config, "--name", "Example"); err != nil {
		t.Fatal(err, out)
	}
	kept := i.write(t, "checkpoint.json", audit(0, "checkpoint"))
	if out := audit(0, "verify", "--checkpoint", kept); !strings.HasPrefix(out, "Intact: ") {
		t.Error(out)
	}
	audit(1, "verify", "--checkpoint", i.path("none.json"))
	audit(2, "verify", "-o", "xml")

	db, err := sql.Open("sqlite", i.path("state/cambio.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("UPDATE audit_chains SET anchor = zeroblob(32) WHERE id = (SELECT min(id) FROM audit_chains)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if out := audit(7, "verify"); !strings.Contains(out, "NOT intact (findings: 1)") {
			t.Error(out)
		}
		audit(7, "verify", "-o", "json")
		audit(7, "checkpoint")
	}
	if out := audit(0, "checkpoint", "--anew"); !strings.Contains(out, "Given up: ") || !strings.Contains(out, `"signature":`) {
		t.Error(out)
	}
	if out := audit(0, "verify", "--checkpoint", kept); !strings.Contains(out, "The trail was begun anew with checkpoint 2 at ") || !strings.Contains(out, "they were given up") {
		t.Error(out)
	}
	if out := audit(0); !strings.Contains(out, `"action":"audit.anew","target":"checkpoint 2"`) {
		t.Error(out)
	}
}

// TestConfigCheckReadsTheCollectorsAuthority: `cambio config check` finds what
// would keep `cambio serve` from starting.
func TestConfigCheckReadsTheCollectorsAuthority(t *testing.T) {
	i := install(t)
	raw, err := os.ReadFile(i.config)
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{i.path("none.pem"): "audit.otlp_ca_file: open ", i.write(t, "empty.pem", "nothing"): "audit.otlp_ca_file holds no certificate"} {
		i.write(t, "config.yaml", string(raw)+"audit: {otlp_endpoint: https://collector.example/v1/logs, otlp_ca_file: "+file+"}\n")
		if _, err := run(context.Background(), "config", "check", "--config", i.config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; it must name %s", err, want)
		}
	}
}
