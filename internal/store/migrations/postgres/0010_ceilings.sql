-- oldest: 7

-- What bounds the use of a credential: JSON, read whole; empty: nothing.
ALTER TABLE credentials ADD COLUMN ceilings TEXT COLLATE "C" NOT NULL DEFAULT '';
