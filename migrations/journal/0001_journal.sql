-- The journal's tables; what they mean stands in src/journal/mod.rs. Times are microseconds since
-- 1970 in UTC.

CREATE TABLE journal (
    uuid       TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- AUTOINCREMENT: a position is never used twice, not even after every entry was removed.
-- settled: an undecodable entry that was redriven or dropped; no list has it.
CREATE TABLE entry (
    position    INTEGER PRIMARY KEY AUTOINCREMENT,
    topic       TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    body        BLOB    NOT NULL,
    previous    TEXT,
    reason      TEXT,
    settled     INTEGER
) STRICT;

-- Costs nothing for accepted entries, and lists the undecodable ones without a scan.
CREATE INDEX entry_undecodable ON entry (position) WHERE reason IS NOT NULL;

-- A cursor and its accounting, which are written together:
-- position - started + rewound
--     = delivered + filtered + undecodable + dead_lettered + evicted + removed
-- dead_lettered = its rows in dead_letter (without those of the intake) + redriven + discarded
CREATE TABLE cursor (
    sink          TEXT    PRIMARY KEY,
    position      INTEGER NOT NULL,
    started       INTEGER NOT NULL DEFAULT 0,
    rewound       INTEGER NOT NULL DEFAULT 0,
    furthest      INTEGER NOT NULL DEFAULT 0,
    delivered     INTEGER NOT NULL DEFAULT 0,
    filtered      INTEGER NOT NULL DEFAULT 0,
    undecodable   INTEGER NOT NULL DEFAULT 0,
    dead_lettered INTEGER NOT NULL DEFAULT 0,
    evicted       INTEGER NOT NULL DEFAULT 0,
    removed       INTEGER NOT NULL DEFAULT 0,
    redriven      INTEGER NOT NULL DEFAULT 0,
    discarded     INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- redrive: an operator wants it delivered again. intake: it was undecodable when it was received,
-- and its redrive is not done yet.
CREATE TABLE dead_letter (
    sink     TEXT    NOT NULL,
    position INTEGER NOT NULL,
    error    TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    redrive  INTEGER NOT NULL DEFAULT 0,
    intake   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (sink, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX dead_letter_position ON dead_letter (position);
CREATE INDEX dead_letter_redrive ON dead_letter (sink, position) WHERE redrive = 1;

CREATE TABLE last_state (
    topic     TEXT NOT NULL,
    client_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    new_state TEXT NOT NULL,
    PRIMARY KEY (topic, client_id, device_id)
) STRICT, WITHOUT ROWID;

-- A run of entries that `when_full = "drop_oldest"` evicted before every sink had them.
CREATE TABLE gap (
    from_position INTEGER PRIMARY KEY,
    to_position   INTEGER NOT NULL,
    entries       INTEGER NOT NULL,
    since         INTEGER NOT NULL,
    until         INTEGER NOT NULL,
    reason        TEXT    NOT NULL
) STRICT;

-- A slice that a sink is to get again, and how far that has come.
CREATE TABLE replay (
    sink          TEXT    PRIMARY KEY,
    position      INTEGER NOT NULL,
    last_position INTEGER NOT NULL,
    since         INTEGER,
    until         INTEGER,
    device_id     TEXT
) STRICT, WITHOUT ROWID;
