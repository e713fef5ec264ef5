-- What describes an object and has no effect on a token; required_access is
-- JSON, read whole.
ALTER TABLE applications ADD COLUMN notes TEXT NOT NULL DEFAULT '';
ALTER TABLE applications ADD COLUMN management_reference TEXT NOT NULL DEFAULT '';
ALTER TABLE applications ADD COLUMN required_access TEXT NOT NULL DEFAULT '[]';
ALTER TABLE service_principals ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE service_principals ADD COLUMN notes TEXT NOT NULL DEFAULT '';
