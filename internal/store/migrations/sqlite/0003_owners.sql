-- Who owns an application or a service principal (object_id): service
-- principals of the same tenant.
CREATE TABLE owners (
  tenant_id  TEXT NOT NULL REFERENCES tenants (id),
  object_id  TEXT NOT NULL,
  owner_id   TEXT NOT NULL REFERENCES service_principals (id),
  created_at INTEGER NOT NULL,
  PRIMARY KEY (object_id, owner_id)
) WITHOUT ROWID;

CREATE INDEX owners_owner ON owners (owner_id, object_id);
