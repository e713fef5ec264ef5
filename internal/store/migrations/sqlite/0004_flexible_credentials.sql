-- A credential has a subject, or an expression on claims and an empty subject.
-- The trust of a credential is issuer, subject and expression together. SQLite
-- changes no constraint of a table, so its rows move to a new one.
CREATE TABLE new_credentials (
  id               TEXT NOT NULL UNIQUE,
  tenant_id        TEXT NOT NULL REFERENCES tenants (id),
  parent_id        TEXT NOT NULL,
  name             TEXT NOT NULL,
  issuer           TEXT NOT NULL,
  subject          TEXT NOT NULL,
  expression       TEXT NOT NULL, -- empty: none
  language_version INTEGER NOT NULL,
  audiences        TEXT NOT NULL,
  description      TEXT NOT NULL,
  created_at       INTEGER NOT NULL,
  changed          INTEGER NOT NULL,
  PRIMARY KEY (parent_id, id),
  UNIQUE (parent_id, name),
  UNIQUE (parent_id, issuer, subject, expression)
) WITHOUT ROWID;

INSERT INTO new_credentials
SELECT id, tenant_id, parent_id, name, issuer, subject, '', 0, audiences, description, created_at, changed FROM credentials;

DROP TABLE credentials;

ALTER TABLE new_credentials RENAME TO credentials;

CREATE INDEX credentials_changed ON credentials (parent_id, changed);

-- To count those with an expression, which are few.
CREATE INDEX credentials_flexible ON credentials (parent_id) WHERE expression <> '';
