-- oldest: 7

-- The schema of migrations 1 to 7 of SQLite, where each table and column is
-- explained. Text is compared and ordered by its bytes, as there. Nothing in
-- here is PostgreSQL's alone: docs/scale.md names the engines that share it.

CREATE TABLE meta (
  key   TEXT COLLATE "C" PRIMARY KEY,
  value TEXT COLLATE "C" NOT NULL
);

CREATE TABLE tenants (
  id                TEXT COLLATE "C" PRIMARY KEY,
  display_name      TEXT COLLATE "C" NOT NULL,
  compat            TEXT COLLATE "C" NOT NULL,
  is_default        BOOLEAN NOT NULL,
  created_at        BIGINT NOT NULL,
  federation_policy TEXT COLLATE "C" NOT NULL DEFAULT '{}'
);

CREATE UNIQUE INDEX tenants_default ON tenants (is_default) WHERE is_default;

CREATE TABLE tenant_domains (
  domain    TEXT COLLATE "C" PRIMARY KEY,
  tenant_id TEXT COLLATE "C" NOT NULL REFERENCES tenants (id),
  position  BIGINT NOT NULL
);

CREATE INDEX tenant_domains_tenant ON tenant_domains (tenant_id);

CREATE TABLE applications (
  id                   TEXT COLLATE "C" PRIMARY KEY,
  tenant_id            TEXT COLLATE "C" NOT NULL REFERENCES tenants (id),
  app_id               TEXT COLLATE "C" NOT NULL UNIQUE,
  display_name         TEXT COLLATE "C" NOT NULL,
  description          TEXT COLLATE "C" NOT NULL,
  unique_name          TEXT COLLATE "C" NOT NULL,
  sign_in_audience     TEXT COLLATE "C" NOT NULL,
  tags                 TEXT COLLATE "C" NOT NULL,
  app_roles            TEXT COLLATE "C" NOT NULL,
  token_version        BIGINT NOT NULL,
  token_algorithm      TEXT COLLATE "C" NOT NULL,
  token_profile        TEXT COLLATE "C" NOT NULL,
  optional_idtyp       BOOLEAN NOT NULL,
  disabled             BOOLEAN NOT NULL,
  created_at           BIGINT NOT NULL,
  notes                TEXT COLLATE "C" NOT NULL DEFAULT '',
  management_reference TEXT COLLATE "C" NOT NULL DEFAULT '',
  required_access      TEXT COLLATE "C" NOT NULL DEFAULT '[]'
);

CREATE INDEX applications_tenant ON applications (tenant_id, id);
CREATE INDEX applications_name ON applications (tenant_id, lower(display_name));
CREATE UNIQUE INDEX applications_unique_name ON applications (tenant_id, unique_name) WHERE unique_name <> '';

CREATE TABLE identifier_uris (
  tenant_id      TEXT COLLATE "C" NOT NULL,
  uri            TEXT COLLATE "C" NOT NULL,
  application_id TEXT COLLATE "C" NOT NULL REFERENCES applications (id),
  position       BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, uri)
);

CREATE INDEX identifier_uris_application ON identifier_uris (application_id);

CREATE TABLE service_principals (
  id                  TEXT COLLATE "C" PRIMARY KEY,
  tenant_id           TEXT COLLATE "C" NOT NULL REFERENCES tenants (id),
  app_id              TEXT COLLATE "C" NOT NULL,
  kind                TEXT COLLATE "C" NOT NULL,
  display_name        TEXT COLLATE "C" NOT NULL,
  account_enabled     BOOLEAN NOT NULL,
  assignment_required BOOLEAN NOT NULL,
  tags                TEXT COLLATE "C" NOT NULL,
  created_at          BIGINT NOT NULL,
  description         TEXT COLLATE "C" NOT NULL DEFAULT '',
  notes               TEXT COLLATE "C" NOT NULL DEFAULT '',
  UNIQUE (tenant_id, app_id)
);

CREATE INDEX service_principals_tenant ON service_principals (tenant_id, id);
CREATE INDEX service_principals_name ON service_principals (tenant_id, lower(display_name));

CREATE TABLE resource_groups (
  tenant_id       TEXT COLLATE "C" NOT NULL,
  subscription_id TEXT COLLATE "C" NOT NULL,
  name_key        TEXT COLLATE "C" NOT NULL,
  name            TEXT COLLATE "C" NOT NULL,
  location        TEXT COLLATE "C" NOT NULL,
  tags            TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant_id, subscription_id, name_key)
);

CREATE TABLE managed_identities (
  principal_id    TEXT COLLATE "C" PRIMARY KEY REFERENCES service_principals (id),
  tenant_id       TEXT COLLATE "C" NOT NULL REFERENCES tenants (id),
  subscription_id TEXT COLLATE "C" NOT NULL,
  group_key       TEXT COLLATE "C" NOT NULL,
  name_key        TEXT COLLATE "C" NOT NULL,
  resource_group  TEXT COLLATE "C" NOT NULL,
  name            TEXT COLLATE "C" NOT NULL,
  location        TEXT COLLATE "C" NOT NULL,
  tags            TEXT COLLATE "C" NOT NULL,
  isolation_scope TEXT COLLATE "C" NOT NULL,
  client_id       TEXT COLLATE "C" NOT NULL UNIQUE,
  created_at      BIGINT NOT NULL,
  UNIQUE (tenant_id, subscription_id, group_key, name_key)
);

CREATE TABLE credentials (
  id               TEXT COLLATE "C" NOT NULL UNIQUE,
  tenant_id        TEXT COLLATE "C" NOT NULL REFERENCES tenants (id),
  parent_id        TEXT COLLATE "C" NOT NULL,
  name             TEXT COLLATE "C" NOT NULL,
  issuer           TEXT COLLATE "C" NOT NULL,
  subject          TEXT COLLATE "C" NOT NULL,
  expression       TEXT COLLATE "C" NOT NULL,
  language_version BIGINT NOT NULL,
  audiences        TEXT COLLATE "C" NOT NULL,
  description      TEXT COLLATE "C" NOT NULL,
  created_at       BIGINT NOT NULL,
  changed          BIGINT NOT NULL,
  PRIMARY KEY (parent_id, id),
  UNIQUE (parent_id, name),
  UNIQUE (parent_id, issuer, subject, expression)
);

CREATE INDEX credentials_changed ON credentials (parent_id, changed);
CREATE INDEX credentials_flexible ON credentials (parent_id) WHERE expression <> '';

CREATE TABLE assignments (
  id           TEXT COLLATE "C" NOT NULL UNIQUE,
  tenant_id    TEXT COLLATE "C" NOT NULL REFERENCES tenants (id),
  app_role_id  TEXT COLLATE "C" NOT NULL,
  principal_id TEXT COLLATE "C" NOT NULL REFERENCES service_principals (id),
  resource_id  TEXT COLLATE "C" NOT NULL REFERENCES service_principals (id),
  created_at   BIGINT NOT NULL,
  PRIMARY KEY (principal_id, id),
  UNIQUE (principal_id, resource_id, app_role_id)
);

CREATE INDEX assignments_resource ON assignments (resource_id, id);

CREATE TABLE owners (
  tenant_id  TEXT COLLATE "C" NOT NULL REFERENCES tenants (id),
  object_id  TEXT COLLATE "C" NOT NULL,
  owner_id   TEXT COLLATE "C" NOT NULL REFERENCES service_principals (id),
  created_at BIGINT NOT NULL,
  PRIMARY KEY (object_id, owner_id)
);

CREATE INDEX owners_owner ON owners (owner_id, object_id);

CREATE TABLE retired_ids (
  id        TEXT COLLATE "C" PRIMARY KEY,
  at        BIGINT NOT NULL,
  parent_id TEXT COLLATE "C" NOT NULL DEFAULT '',
  changed   BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX retired_ids_parent ON retired_ids (parent_id, changed) WHERE parent_id <> '';

CREATE TABLE deleted_items (
  id           TEXT COLLATE "C" PRIMARY KEY,
  tenant_id    TEXT COLLATE "C" NOT NULL REFERENCES tenants (id),
  kind         TEXT COLLATE "C" NOT NULL,
  app_id       TEXT COLLATE "C" NOT NULL,
  display_name TEXT COLLATE "C" NOT NULL,
  deleted_at   BIGINT NOT NULL,
  object       TEXT COLLATE "C" NOT NULL,
  attached     TEXT COLLATE "C" NOT NULL
);

CREATE INDEX deleted_items_tenant ON deleted_items (tenant_id, kind, id);
CREATE INDEX deleted_items_at ON deleted_items (deleted_at);
CREATE INDEX deleted_items_app ON deleted_items (tenant_id, app_id);

CREATE TABLE deleted_assignments (
  item_id      TEXT COLLATE "C" NOT NULL REFERENCES deleted_items (id) ON DELETE CASCADE,
  id           TEXT COLLATE "C" NOT NULL,
  tenant_id    TEXT COLLATE "C" NOT NULL,
  app_role_id  TEXT COLLATE "C" NOT NULL,
  principal_id TEXT COLLATE "C" NOT NULL,
  resource_id  TEXT COLLATE "C" NOT NULL,
  created_at   BIGINT NOT NULL,
  PRIMARY KEY (item_id, id)
);

CREATE INDEX deleted_assignments_role ON deleted_assignments (resource_id, app_role_id);

CREATE TABLE signing_keys (
  key_id     TEXT COLLATE "C" PRIMARY KEY,
  algorithm  TEXT COLLATE "C" NOT NULL,
  state      TEXT COLLATE "C" NOT NULL,
  sealed     BYTEA NOT NULL,
  public_jwk BYTEA NOT NULL,
  created_at BIGINT NOT NULL,
  active_at  BIGINT NOT NULL,
  retire_at  BIGINT NOT NULL,
  remove_at  BIGINT NOT NULL
);

CREATE TABLE bootstrap_tokens (
  hash         BYTEA PRIMARY KEY,
  tenant_id    TEXT COLLATE "C" NOT NULL REFERENCES tenants (id),
  principal_id TEXT COLLATE "C" NOT NULL REFERENCES service_principals (id),
  expires_at   BIGINT NOT NULL,
  used_at      BIGINT NOT NULL
);

CREATE TABLE change_head (
  id  BIGINT PRIMARY KEY CHECK (id = 1),
  seq BIGINT NOT NULL
);

INSERT INTO change_head VALUES (1, 0);

CREATE TABLE change_feed (
  seq BIGINT PRIMARY KEY,
  key TEXT COLLATE "C" NOT NULL UNIQUE,
  at  BIGINT NOT NULL
);

CREATE TABLE audit (
  id        BIGINT PRIMARY KEY,
  at        BIGINT NOT NULL,
  kind      TEXT COLLATE "C" NOT NULL,
  tenant_id TEXT COLLATE "C" NOT NULL,
  client_id TEXT COLLATE "C" NOT NULL,
  code      BIGINT NOT NULL,
  detail    TEXT COLLATE "C" NOT NULL,
  hash      BYTEA
);

CREATE TABLE audit_chains (
  id         BIGINT PRIMARY KEY,
  replica    TEXT COLLATE "C" NOT NULL,
  started_at BIGINT NOT NULL,
  seed       BYTEA NOT NULL,
  first_id   BIGINT NOT NULL,
  anchor     BYTEA NOT NULL
);

CREATE TABLE audit_checkpoints (
  id        BIGINT PRIMARY KEY,
  at        BIGINT NOT NULL,
  complete  BOOLEAN NOT NULL,
  body      TEXT COLLATE "C" NOT NULL,
  signature BYTEA NOT NULL
);

CREATE TABLE duties (
  name   TEXT COLLATE "C" PRIMARY KEY,
  holder TEXT COLLATE "C" NOT NULL,
  until  BIGINT NOT NULL
);
