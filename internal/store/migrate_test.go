package store_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"cambio/internal/directory"
	"cambio/internal/store"
)

// TestMigrationKeepsCredentials: the table of credentials is made anew for
// flexible ones, and what stood in the old one is all there.
func TestMigrationKeepsCredentials(t *testing.T) {
	path := filepath.Join(t.TempDir(), "old.db")
	older(t, path, "0001_initial.sql", "0002_federation_policy.sql")
	const tenantID, appID, id = "7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77", "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
	raw := openRaw(t, path)
	for _, statement := range []string{
		"PRAGMA user_version = 2",
		"INSERT INTO tenants VALUES ('" + tenantID + "', 'Contoso', 'relaxed', 1, 1, '{}')",
		"INSERT INTO applications VALUES ('" + appID + "', '" + tenantID + "', '" + appID + "', 'shop', '', '', 'AzureADMyOrg', '[]', '[]', 0, '', '', 0, 0, 1)",
		"INSERT INTO credentials VALUES ('" + id + "', '" + tenantID + "', '" + appID + "', 'main', 'https://a.example', 's', '[\"aud\"]', 'why', 5000000, 7)",
	} {
		if _, err := raw.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	db := open(t, store.Config{Path: path})
	c, err := db.Credential(t.Context(), tenantID, appID, "main")
	if err != nil || c.ID != id || c.Issuer != "https://a.example" || c.Subject != "s" || c.Expression != nil || c.Audiences[0] != "aud" ||
		c.Description != "why" || c.CreatedAt.Unix() != 5 {
		t.Fatalf("credential %+v, %v", c, err)
	}
	again := directory.FederatedIdentityCredential{TenantID: tenantID, ParentID: appID, Name: "flexible", Issuer: c.Issuer, Audiences: c.Audiences,
		Expression: &directory.ClaimsMatchingExpression{Value: "claims['sub'] matches 's*'", LanguageVersion: 1}}
	if err := db.Write(t.Context(), store.Change{}, func(tx *store.Tx) error { return tx.CreateCredential(&again) }); err != nil {
		t.Fatal(err)
	}
	record, err := db.Records(store.RecordsConfig{}).Client(t.Context(), tenantID, appID)
	if err != nil || len(record.Match("https://a.example", "s")) != 1 || len(record.Flexible("https://a.example")) != 1 {
		t.Errorf("record %+v, %v", record, err)
	}
	raw = openRaw(t, path)
	var changed, indexes int
	if err := raw.QueryRow("SELECT changed FROM credentials WHERE id = ?", id).Scan(&changed); err != nil || changed != 7 {
		t.Errorf("changed is %d, %v", changed, err)
	}
	err = raw.QueryRow("SELECT count(*) FROM sqlite_schema WHERE tbl_name = 'credentials' AND name LIKE 'credentials_%'").Scan(&indexes)
	if err != nil || indexes != 2 {
		t.Errorf("%d indexes, %v", indexes, err)
	}
}

func openRaw(t *testing.T, path string) *sql.DB {
	t.Helper()
	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	return raw
}

// older makes a database of an older schema.
func older(t *testing.T, path string, migrations ...string) {
	t.Helper()
	raw := openRaw(t, path)
	for _, name := range migrations {
		text, err := os.ReadFile(filepath.Join("migrations", "sqlite", name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := raw.Exec(string(text)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}
