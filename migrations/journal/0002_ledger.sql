-- The accounts of each sink, what is to be delivered again, and replays; see src/journal/mod.rs.

-- position - started + rewound = delivered + filtered + rejected + set_aside + lost + removed
-- set_aside = its rows in set_aside (without those of the intake) + redriven + discarded
ALTER TABLE cursor ADD COLUMN started INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cursor ADD COLUMN rewound INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cursor ADD COLUMN delivered INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cursor ADD COLUMN filtered INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cursor ADD COLUMN rejected INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cursor ADD COLUMN set_aside INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cursor ADD COLUMN lost INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cursor ADD COLUMN removed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cursor ADD COLUMN furthest INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cursor ADD COLUMN redriven INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cursor ADD COLUMN discarded INTEGER NOT NULL DEFAULT 0;

-- Accounts of a journal that is older than they are begin here.
UPDATE cursor SET set_aside =
    (SELECT count(*) FROM set_aside WHERE set_aside.sink = cursor.sink AND set_aside.position <= cursor.position);
UPDATE cursor SET started = position - set_aside;

-- again: it is to be delivered once more. intake: it was rejected when it came, and its redrive is not done yet.
ALTER TABLE set_aside ADD COLUMN again INTEGER NOT NULL DEFAULT 0;
ALTER TABLE set_aside ADD COLUMN intake INTEGER NOT NULL DEFAULT 0;

CREATE INDEX set_aside_again ON set_aside (sink, position) WHERE again = 1;

-- A rejected entry that was redriven or dropped: it is listed no more.
ALTER TABLE entry ADD COLUMN settled INTEGER;

-- A slice that a sink is to get again, and how far that has come.
CREATE TABLE replay (
    sink          TEXT    PRIMARY KEY,
    position      INTEGER NOT NULL,
    last_position INTEGER NOT NULL,
    since         INTEGER,
    until         INTEGER,
    device_id     TEXT
) STRICT, WITHOUT ROWID;
