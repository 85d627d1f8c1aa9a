-- The journal's tables; what they mean stands in src/journal/mod.rs. Times are microseconds since 1970 in UTC.

CREATE TABLE journal (
    uuid       TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- AUTOINCREMENT: a position is never used twice, not even after every entry was removed.
CREATE TABLE entry (
    position    INTEGER PRIMARY KEY AUTOINCREMENT,
    topic       TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    body        BLOB    NOT NULL,
    previous    TEXT,
    reason      TEXT
) STRICT;

-- Costs nothing for accepted entries, and lists the rejected ones without a scan.
CREATE INDEX entry_rejected ON entry (position) WHERE reason IS NOT NULL;

CREATE TABLE cursor (
    sink     TEXT    PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE set_aside (
    sink     TEXT    NOT NULL,
    position INTEGER NOT NULL,
    error    TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (sink, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX set_aside_position ON set_aside (position);

CREATE TABLE last_state (
    topic     TEXT NOT NULL,
    client_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    new_state TEXT NOT NULL,
    PRIMARY KEY (topic, client_id, device_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE gap (
    from_position INTEGER PRIMARY KEY,
    to_position   INTEGER NOT NULL,
    entries       INTEGER NOT NULL,
    since         INTEGER NOT NULL,
    until         INTEGER NOT NULL,
    reason        TEXT    NOT NULL
) STRICT;
