-- oldest: 7

-- SQLite's pages have no checksums: a bit that flips within a text changes who
-- is trusted, and nobody sees it. What decides is in an index as well as in
-- its table, and PRAGMA integrity_check compares the two. Most of it was in one
-- already; here is the rest, at the end of an index that there was, or in one
-- of its own where rows are few.
DROP INDEX credentials_changed;
CREATE INDEX credentials_changed ON credentials (parent_id, changed, tenant_id, audiences);

DROP INDEX applications_tenant;
CREATE INDEX applications_tenant ON applications (tenant_id, id, sign_in_audience, app_roles, token_version, token_algorithm, token_profile,
  optional_idtyp, disabled);

DROP INDEX service_principals_tenant;
CREATE INDEX service_principals_tenant ON service_principals (tenant_id, id, kind, account_enabled, assignment_required);

DROP INDEX assignments_resource;
CREATE INDEX assignments_resource ON assignments (resource_id, id, tenant_id);

DROP INDEX owners_owner;
CREATE INDEX owners_owner ON owners (owner_id, object_id, tenant_id);

CREATE INDEX tenants_copy ON tenants (id, display_name, compat, is_default, federation_policy);
CREATE INDEX signing_keys_copy ON signing_keys (key_id, algorithm, state, public_jwk, created_at, active_at, retire_at, remove_at);
CREATE INDEX bootstrap_tokens_copy ON bootstrap_tokens (hash, tenant_id, principal_id, expires_at, used_at);
CREATE INDEX meta_copy ON meta (key, value);
