-- oldest: 7

-- Issuers that a tenant manages. One that has no row is discovered.
CREATE TABLE issuers (
  id         TEXT COLLATE "C" PRIMARY KEY,
  tenant_id  TEXT COLLATE "C" NOT NULL REFERENCES tenants (id),
  issuer     TEXT COLLATE "C" NOT NULL, -- byte for byte as in its tokens
  settings   TEXT COLLATE "C" NOT NULL, -- JSON, read whole
  key_set    TEXT COLLATE "C" NOT NULL, -- JWK set that was pinned or pushed; empty: none
  keys_at    BIGINT NOT NULL, -- when it was, in microseconds; 0: never
  created_at BIGINT NOT NULL,
  UNIQUE (tenant_id, issuer)
);

CREATE INDEX issuers_issuer ON issuers (issuer);

-- Named sets of issuers, which a credential names in place of one.
CREATE TABLE issuer_sets (
  tenant_id TEXT COLLATE "C" NOT NULL REFERENCES tenants (id),
  name      TEXT COLLATE "C" NOT NULL,
  members   TEXT COLLATE "C" NOT NULL, -- JSON, read whole
  PRIMARY KEY (tenant_id, name)
);

-- Which keys a managed issuer published when, in microseconds.
CREATE TABLE issuer_keys (
  issuer_id  TEXT COLLATE "C" NOT NULL,
  thumbprint TEXT COLLATE "C" NOT NULL, -- RFC 7638, SHA-256
  key_id     TEXT COLLATE "C" NOT NULL,
  algorithm  TEXT COLLATE "C" NOT NULL,
  first_seen BIGINT NOT NULL,
  last_seen  BIGINT NOT NULL,
  current    BOOLEAN NOT NULL, -- among those that were seen last
  PRIMARY KEY (issuer_id, thumbprint)
);
