-- What restricts federation for a whole tenant; JSON, read whole.
ALTER TABLE tenants ADD COLUMN federation_policy TEXT NOT NULL DEFAULT '{}';
