-- The ids that the journal had before it was restored from a backup, each with the last position that
-- was given under it: what the backup had keeps its origin.
CREATE TABLE earlier_id (
    through INTEGER PRIMARY KEY,
    uuid    TEXT NOT NULL
) STRICT;
