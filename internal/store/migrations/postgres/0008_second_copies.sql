-- oldest: 7

-- Nothing: what this version adds to SQLite, second copies of what decides,
-- PostgreSQL has as checksums of its pages (initdb --data-checksums).
