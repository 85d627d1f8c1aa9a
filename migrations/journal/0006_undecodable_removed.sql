-- How many undecodable entries were removed before anybody had dealt with them.
ALTER TABLE journal ADD COLUMN undecodable_removed INTEGER NOT NULL DEFAULT 0;
