-- Issuers that a tenant manages. One that has no row is discovered.
CREATE TABLE issuers (
  id         TEXT PRIMARY KEY,
  tenant_id  TEXT NOT NULL REFERENCES tenants (id),
  issuer     TEXT NOT NULL, -- byte for byte as in its tokens
  settings   TEXT NOT NULL, -- JSON, read whole
  key_set    TEXT NOT NULL, -- JWK set that was pinned or pushed; empty: none
  keys_at    INTEGER NOT NULL, -- when it was, in microseconds; 0: never
  created_at INTEGER NOT NULL,
  UNIQUE (tenant_id, issuer)
);

CREATE INDEX issuers_issuer ON issuers (issuer);

-- Named sets of issuers, which a credential names in place of one.
CREATE TABLE issuer_sets (
  tenant_id TEXT NOT NULL REFERENCES tenants (id),
  name      TEXT NOT NULL,
  members   TEXT NOT NULL, -- JSON, read whole
  PRIMARY KEY (tenant_id, name)
);

-- Which keys a managed issuer published when, in microseconds.
CREATE TABLE issuer_keys (
  issuer_id  TEXT NOT NULL,
  thumbprint TEXT NOT NULL, -- RFC 7638, SHA-256
  key_id     TEXT NOT NULL,
  algorithm  TEXT NOT NULL,
  first_seen INTEGER NOT NULL,
  last_seen  INTEGER NOT NULL,
  current    BOOLEAN NOT NULL, -- among those that were seen last
  PRIMARY KEY (issuer_id, thumbprint)
);

-- Second copies of what decides, as in version 8.
CREATE INDEX issuers_copy ON issuers (id, tenant_id, issuer, settings, key_set, keys_at);
CREATE INDEX issuer_sets_copy ON issuer_sets (tenant_id, name, members);
