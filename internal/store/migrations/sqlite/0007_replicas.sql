-- oldest: 7

-- Where the change feed stands, in one row: a management write counts it up.
-- In PostgreSQL it is the lock that puts the writes of all replicas in order.
CREATE TABLE change_head (
  id  INTEGER PRIMARY KEY CHECK (id = 1),
  seq INTEGER NOT NULL
);

INSERT INTO change_head SELECT 1, coalesce(max(seq), 0) FROM change_feed;

-- oldest is the oldest schema whose programs may go on beside this one.
CREATE TABLE schema_versions (
  version INTEGER PRIMARY KEY,
  oldest  INTEGER NOT NULL
);

-- Names are found in any case by an expression that both databases know.
DROP INDEX applications_name;
CREATE INDEX applications_name ON applications (tenant_id, lower(display_name));
DROP INDEX service_principals_name;
CREATE INDEX service_principals_name ON service_principals (tenant_id, lower(display_name));

-- id is the chain and the number in it (audit.RowID); hash is empty in rows
-- that are older than chains.
ALTER TABLE audit ADD COLUMN hash BLOB;

-- A chain of audit rows, one for each session that wrote. The hash of its
-- first row continues seed; the hash of the row first_id continues anchor:
-- both say the same until older rows are removed.
CREATE TABLE audit_chains (
  id         INTEGER PRIMARY KEY,
  replica    TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  seed       BLOB NOT NULL,
  first_id   INTEGER NOT NULL,
  anchor     BLOB NOT NULL
);

CREATE TABLE audit_checkpoints (
  id        INTEGER PRIMARY KEY,
  at        INTEGER NOT NULL,
  complete  BOOLEAN NOT NULL, -- names every chain
  body      TEXT NOT NULL,
  signature BLOB NOT NULL
);

-- What one replica does for all, and who does it until when.
CREATE TABLE duties (
  name   TEXT PRIMARY KEY,
  holder TEXT NOT NULL,
  until  INTEGER NOT NULL
) WITHOUT ROWID;
