-- Applications and service principals that were deleted and can be restored.
-- object is the application or service principal as JSON, attached what was
-- deleted with it. No other table refers to a row of this one, or a row to
-- theirs: nothing that decides a token request reads it.
CREATE TABLE deleted_items (
  id           TEXT PRIMARY KEY,
  tenant_id    TEXT NOT NULL REFERENCES tenants (id),
  kind         TEXT NOT NULL,
  app_id       TEXT NOT NULL,
  display_name TEXT NOT NULL COLLATE NOCASE,
  deleted_at   INTEGER NOT NULL,
  object       TEXT NOT NULL,
  attached     TEXT NOT NULL
);

CREATE INDEX deleted_items_tenant ON deleted_items (tenant_id, kind, id);
CREATE INDEX deleted_items_at ON deleted_items (deleted_at);
