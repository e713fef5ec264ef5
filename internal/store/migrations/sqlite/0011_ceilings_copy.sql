-- oldest: 7

-- The second copy of a credential's ceilings, as in version 8.
DROP INDEX credentials_changed;
CREATE INDEX credentials_changed ON credentials (parent_id, changed, tenant_id, audiences, ceilings);
