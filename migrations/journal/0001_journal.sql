-- The journal's tables; what they mean stands in src/journal/mod.rs. Times are microseconds since
-- 1970 in UTC.

-- head: no smaller position is the newest one, although every entry may have been removed.
-- last_states_position: the table last_state is as it was at this position; what came behind it stands
-- in the log, which is not removed before.
-- heard_at: a byte came from the server then; what was received behind heard_position is newer
-- proof, whatever the clock did.
CREATE TABLE journal (
    uuid       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    head       INTEGER NOT NULL DEFAULT 0,
    last_states_position INTEGER NOT NULL DEFAULT 0,
    heard_at   INTEGER,
    heard_position INTEGER NOT NULL DEFAULT 0
) STRICT;

-- kind: status, undecodable, coverage or alarm.
-- previous: of a status, the last state known of the device, where it gives another as its old one.
-- repeat: 1: the same status was received before. reason: why it is undecodable.
-- settled: 1: an undecodable entry that was redriven or dropped; no list has it.
CREATE TABLE entry (
    position    INTEGER PRIMARY KEY,
    kind        TEXT    NOT NULL,
    topic       TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    body        BLOB    NOT NULL,
    previous    TEXT,
    repeat      INTEGER,
    reason      TEXT,
    settled     INTEGER
) STRICT;

-- Costs nothing for the other kinds, and lists the undecodable entries without a scan.
CREATE INDEX entry_undecodable ON entry (position) WHERE kind = 'undecodable' AND settled IS NULL;

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

-- The dead letters of each sink: copies, which do not hold the log.
-- redrive: 1: an operator wants it delivered again. intake: 1: it was undecodable when it was
-- received, and its redrive is not done yet. bytes: what it counts for in its sink's bound.
CREATE TABLE dead_letter (
    id          INTEGER PRIMARY KEY,
    sink        TEXT    NOT NULL,
    position    INTEGER NOT NULL,
    redrive     INTEGER NOT NULL DEFAULT 0,
    intake      INTEGER NOT NULL DEFAULT 0,
    at          INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    kind        TEXT    NOT NULL,
    topic       TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    error       TEXT    NOT NULL,
    previous    TEXT,
    body        BLOB    NOT NULL,
    UNIQUE (sink, position)
) STRICT;

-- What the accounting counts, without a look at the rows.
CREATE INDEX dead_letter_counted ON dead_letter (sink, position) WHERE intake = 0;
CREATE INDEX dead_letter_redrive ON dead_letter (sink, position) WHERE redrive = 1;
CREATE INDEX dead_letter_at ON dead_letter (at);

-- How many dead letters each sink has and what they take: kept by the triggers, so that no command
-- counts rows.
CREATE TABLE dlq (
    sink    TEXT    PRIMARY KEY,
    entries INTEGER NOT NULL,
    bytes   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER dead_letter_added AFTER INSERT ON dead_letter BEGIN
    INSERT INTO dlq (sink, entries, bytes) VALUES (new.sink, 1, new.bytes)
        ON CONFLICT DO UPDATE SET entries = entries + 1, bytes = bytes + excluded.bytes;
END;

CREATE TRIGGER dead_letter_removed AFTER DELETE ON dead_letter BEGIN
    UPDATE dlq SET entries = entries - 1, bytes = bytes - old.bytes WHERE sink = old.sink;
END;

CREATE TRIGGER dead_letter_changed AFTER UPDATE OF bytes ON dead_letter BEGIN
    UPDATE dlq SET bytes = bytes + new.bytes - old.bytes WHERE sink = new.sink;
END;

-- The newest state of each device of a stream, as sent, and its last event keys, 8 bytes each, the
-- newest last. heard_at is up to an hour late.
CREATE TABLE last_state (
    stream    TEXT    NOT NULL,
    client_id TEXT    NOT NULL,
    device_id TEXT    NOT NULL,
    state     TEXT    NOT NULL,
    keys      BLOB,
    heard_at  INTEGER NOT NULL,
    PRIMARY KEY (stream, client_id, device_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX last_state_heard_at ON last_state (heard_at);

-- Whether each topic is heard: as its newest coverage entry says.
CREATE TABLE coverage (
    topic TEXT    PRIMARY KEY,
    heard INTEGER NOT NULL,
    at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A run of entries that `when_full = "drop_oldest"` evicted before every sink had them.
CREATE TABLE eviction (
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
