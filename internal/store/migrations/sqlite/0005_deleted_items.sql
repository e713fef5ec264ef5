-- Applications and service principals that were deleted and can be restored.
-- object is the application or service principal as JSON, attached its owners
-- and, of an application, its service principal. The credentials of a deleted
-- application stay where they are: without their parent nobody reads them.
-- Nothing that decides a token request reads these two tables.
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
CREATE INDEX deleted_items_app ON deleted_items (tenant_id, app_id);

-- The assignments of and to a deleted service principal, under the item that
-- they come back with.
CREATE TABLE deleted_assignments (
  item_id      TEXT NOT NULL REFERENCES deleted_items (id) ON DELETE CASCADE,
  id           TEXT NOT NULL,
  tenant_id    TEXT NOT NULL,
  app_role_id  TEXT NOT NULL,
  principal_id TEXT NOT NULL,
  resource_id  TEXT NOT NULL,
  created_at   INTEGER NOT NULL,
  PRIMARY KEY (item_id, id)
) WITHOUT ROWID;

CREATE INDEX deleted_assignments_role ON deleted_assignments (resource_id, app_role_id);
