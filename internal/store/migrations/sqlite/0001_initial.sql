-- Times are microseconds since 1970-01-01 UTC. Identifiers are lower-case
-- GUIDs as text. Lists that are only ever read whole are JSON.

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE tenants (
  id           TEXT PRIMARY KEY,
  display_name TEXT NOT NULL,
  compat       TEXT NOT NULL,
  is_default   INTEGER NOT NULL,
  created_at   INTEGER NOT NULL
) WITHOUT ROWID;

CREATE UNIQUE INDEX tenants_default ON tenants (is_default) WHERE is_default = 1;

CREATE TABLE tenant_domains (
  domain    TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL REFERENCES tenants (id),
  position  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX tenant_domains_tenant ON tenant_domains (tenant_id);

CREATE TABLE applications (
  id               TEXT PRIMARY KEY,
  tenant_id        TEXT NOT NULL REFERENCES tenants (id),
  app_id           TEXT NOT NULL UNIQUE,
  display_name     TEXT NOT NULL COLLATE NOCASE,
  description      TEXT NOT NULL,
  unique_name      TEXT NOT NULL,
  sign_in_audience TEXT NOT NULL,
  tags             TEXT NOT NULL,
  app_roles        TEXT NOT NULL,
  token_version    INTEGER NOT NULL,
  token_algorithm  TEXT NOT NULL,
  token_profile    TEXT NOT NULL,
  optional_idtyp   INTEGER NOT NULL,
  disabled         INTEGER NOT NULL,
  created_at       INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX applications_tenant ON applications (tenant_id, id);
CREATE INDEX applications_name ON applications (tenant_id, display_name);
CREATE UNIQUE INDEX applications_unique_name ON applications (tenant_id, unique_name) WHERE unique_name <> '';

CREATE TABLE identifier_uris (
  tenant_id      TEXT NOT NULL,
  uri            TEXT NOT NULL,
  application_id TEXT NOT NULL REFERENCES applications (id),
  position       INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, uri)
) WITHOUT ROWID;

CREATE INDEX identifier_uris_application ON identifier_uris (application_id);

CREATE TABLE service_principals (
  id                  TEXT PRIMARY KEY,
  tenant_id           TEXT NOT NULL REFERENCES tenants (id),
  app_id              TEXT NOT NULL,
  kind                TEXT NOT NULL,
  display_name        TEXT NOT NULL COLLATE NOCASE,
  account_enabled     INTEGER NOT NULL,
  assignment_required INTEGER NOT NULL,
  tags                TEXT NOT NULL,
  created_at          INTEGER NOT NULL,
  UNIQUE (tenant_id, app_id)
) WITHOUT ROWID;

CREATE INDEX service_principals_tenant ON service_principals (tenant_id, id);
CREATE INDEX service_principals_name ON service_principals (tenant_id, display_name);

CREATE TABLE resource_groups (
  tenant_id       TEXT NOT NULL REFERENCES tenants (id),
  subscription_id TEXT NOT NULL,
  name_key        TEXT NOT NULL, -- name in lower case
  name            TEXT NOT NULL,
  location        TEXT NOT NULL,
  tags            TEXT NOT NULL,
  PRIMARY KEY (tenant_id, subscription_id, name_key)
) WITHOUT ROWID;

CREATE TABLE managed_identities (
  principal_id    TEXT PRIMARY KEY REFERENCES service_principals (id),
  tenant_id       TEXT NOT NULL REFERENCES tenants (id),
  subscription_id TEXT NOT NULL,
  group_key       TEXT NOT NULL, -- resource_group in lower case
  name_key        TEXT NOT NULL, -- name in lower case
  resource_group  TEXT NOT NULL,
  name            TEXT NOT NULL,
  location        TEXT NOT NULL,
  tags            TEXT NOT NULL,
  isolation_scope TEXT NOT NULL,
  client_id       TEXT NOT NULL UNIQUE,
  created_at      INTEGER NOT NULL,
  UNIQUE (tenant_id, subscription_id, group_key, name_key)
) WITHOUT ROWID;

-- parent_id is an application's object id or the principal id of a managed
-- identity. changed is greater than every change-feed sequence before the
-- write, and not greater than that of the write itself. The rows of a parent
-- lie together, since they are read together.
CREATE TABLE credentials (
  id          TEXT NOT NULL UNIQUE,
  tenant_id   TEXT NOT NULL REFERENCES tenants (id),
  parent_id   TEXT NOT NULL,
  name        TEXT NOT NULL,
  issuer      TEXT NOT NULL,
  subject     TEXT NOT NULL,
  audiences   TEXT NOT NULL,
  description TEXT NOT NULL,
  created_at  INTEGER NOT NULL,
  changed     INTEGER NOT NULL,
  PRIMARY KEY (parent_id, id),
  UNIQUE (parent_id, name),
  UNIQUE (parent_id, issuer, subject)
) WITHOUT ROWID;

CREATE INDEX credentials_changed ON credentials (parent_id, changed);

-- Likewise the rows of a principal.
CREATE TABLE assignments (
  id           TEXT NOT NULL UNIQUE,
  tenant_id    TEXT NOT NULL REFERENCES tenants (id),
  app_role_id  TEXT NOT NULL,
  principal_id TEXT NOT NULL REFERENCES service_principals (id),
  resource_id  TEXT NOT NULL REFERENCES service_principals (id),
  created_at   INTEGER NOT NULL,
  PRIMARY KEY (principal_id, id),
  UNIQUE (principal_id, resource_id, app_role_id)
) WITHOUT ROWID;

CREATE INDEX assignments_resource ON assignments (resource_id, id);

-- Identifiers of deleted objects: they are never given out again. parent_id
-- and changed are those of a credential that was deleted by itself.
CREATE TABLE retired_ids (
  id        TEXT PRIMARY KEY,
  at        INTEGER NOT NULL,
  parent_id TEXT NOT NULL DEFAULT '',
  changed   INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE INDEX retired_ids_parent ON retired_ids (parent_id, changed) WHERE parent_id <> '';

CREATE TABLE signing_keys (
  key_id     TEXT PRIMARY KEY,
  algorithm  TEXT NOT NULL,
  state      TEXT NOT NULL,
  sealed     BLOB NOT NULL,
  public_jwk BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  active_at  INTEGER NOT NULL,
  retire_at  INTEGER NOT NULL,
  remove_at  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE bootstrap_tokens (
  hash         BLOB PRIMARY KEY,
  tenant_id    TEXT NOT NULL REFERENCES tenants (id),
  principal_id TEXT NOT NULL REFERENCES service_principals (id),
  expires_at   INTEGER NOT NULL,
  used_at      INTEGER NOT NULL -- 0: not used
) WITHOUT ROWID;

-- The newest change of each key; an older row of the same key is replaced, so
-- that the feed is bounded by the number of keys and seq still only grows.
CREATE TABLE change_feed (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL UNIQUE,
  at  INTEGER NOT NULL
);

-- No index but the primary key: every token request adds a row.
CREATE TABLE audit (
  id        INTEGER PRIMARY KEY,
  at        INTEGER NOT NULL,
  kind      TEXT NOT NULL,
  tenant_id TEXT NOT NULL,
  client_id TEXT NOT NULL,
  code      INTEGER NOT NULL,
  detail    TEXT NOT NULL
);
