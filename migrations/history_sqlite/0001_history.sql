-- What the views show is promised, under these names: status_event, device_current, state_interval, fault_episode,
-- state_daily, coverage_gap. The tables below them are narrow, and may change.
--
-- Times are UTC texts such as 2026-01-02T03:04:05.678901Z, always with six digits: they sort as they follow one
-- another, and SQLite's date functions read them. Booleans are 0 and 1. `month` is year * 12 + month of the year in
-- UTC: what only events of one month refer to is deleted with the last of them.

CREATE TABLE journal (journal_key INTEGER PRIMARY KEY, journal TEXT NOT NULL UNIQUE);

CREATE TABLE topic (topic_key INTEGER PRIMARY KEY, topic TEXT NOT NULL UNIQUE);

-- A word as sent, and what `[states]` made of it: another vocabulary makes another row, and those that are there
-- keep the meaning that they had.
CREATE TABLE state (
    state_key INTEGER PRIMARY KEY,
    word TEXT NOT NULL,
    state TEXT NOT NULL,
    severity TEXT NOT NULL,
    UNIQUE (word, state, severity)
);

-- What seldom changes of a device: a row for each change, and one a month.
CREATE TABLE profile (
    profile_key INTEGER PRIMARY KEY,
    month INTEGER NOT NULL,
    serial TEXT,
    province TEXT,
    city TEXT,
    district TEXT,
    detail TEXT,
    coordinate_system TEXT,
    longitude REAL,
    latitude REAL,
    wgs84_longitude REAL,
    wgs84_latitude REAL
);

CREATE INDEX profile_month ON profile (month);

-- A payload that came more than once within a month.
CREATE TABLE payload (
    payload_key INTEGER PRIMARY KEY,
    month INTEGER NOT NULL,
    digest BLOB NOT NULL,
    body TEXT NOT NULL
);

CREATE UNIQUE INDEX payload_digest ON payload (month, digest);

-- One row for each device: its newest status, and the piece of its timeline that is open.
CREATE TABLE device_row (
    device_key INTEGER PRIMARY KEY,
    stream TEXT NOT NULL,
    client_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    topic_key INTEGER NOT NULL,
    journal_key INTEGER NOT NULL,
    position INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    profile_key INTEGER NOT NULL,
    -- The state of the open piece, and the same state by the word of its newest status.
    state_key INTEGER NOT NULL,
    word_key INTEGER NOT NULL,
    received_at TEXT NOT NULL,
    first_seen TEXT NOT NULL,
    last_seen TEXT NOT NULL,
    piece_since TEXT NOT NULL,
    run_since TEXT NOT NULL,
    fault_since TEXT,
    fault_uncertain_us INTEGER NOT NULL,
    -- state_daily has the open piece up to here, and as certain up to there.
    counted_until TEXT,
    counted_certain_until TEXT,
    UNIQUE (client_id, device_id, stream)
);

CREATE INDEX device_row_profile ON device_row (profile_key);

-- One row for each status. `event_id` is NULL where it is the origin; `placed_at` is when it counts in its device's
-- timeline, where that is not `received_at` (the clock was set back); the payload stands here or in `payload`.
CREATE TABLE event (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    journal_key INTEGER NOT NULL,
    position INTEGER NOT NULL,
    event_id TEXT,
    device_key INTEGER NOT NULL,
    topic_key INTEGER NOT NULL,
    state_key INTEGER NOT NULL,
    old_state TEXT,
    changed INTEGER NOT NULL,
    missed_transition INTEGER NOT NULL,
    profile_key INTEGER NOT NULL,
    occurred_at TEXT,
    received_at TEXT NOT NULL,
    placed_at TEXT,
    via TEXT,
    payload_key INTEGER,
    payload TEXT
);

CREATE UNIQUE INDEX event_origin ON event (journal_key, position);

CREATE UNIQUE INDEX event_id ON event (event_id) WHERE event_id IS NOT NULL;

-- By 65,536 events that were stored one after another, then by device: new rows then come to few pages, however many
-- come in a day. By device alone each would come to a page of its own, and storing takes three times as long with ten
-- million events. SQLite looks a device up in each part ("skip-scan"), which it does where it knows that a part has
-- many rows: sqlite_stat1 says so from the beginning, and ANALYZE as it is.
CREATE INDEX event_device ON event ((sequence >> 16), device_key);

CREATE INDEX event_received ON event (received_at);

-- The closed pieces of each device's timeline. A piece is one device, one state, certain or not; `ends_sequence` is
-- the event that closed it. A run is the pieces of one state without another one between, an episode those of the
-- severity critical; where they begin with the piece, their beginning is NULL.
CREATE TABLE state_interval_row (
    piece_key INTEGER PRIMARY KEY AUTOINCREMENT,
    device_key INTEGER NOT NULL,
    since TEXT NOT NULL,
    ends_sequence INTEGER NOT NULL,
    until TEXT NOT NULL,
    us INTEGER NOT NULL,
    state_key INTEGER NOT NULL,
    cause TEXT,
    run_since TEXT,
    fault_since TEXT,
    fault_uncertain_us INTEGER NOT NULL,
    ends_fault INTEGER NOT NULL
);

-- As event_device is.
CREATE INDEX state_interval_device ON state_interval_row ((ends_sequence >> 16), device_key);

CREATE INDEX state_interval_until ON state_interval_row (until);

-- Makes sqlite_stat1.
ANALYZE topic;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
('event', 'event_origin', '10000000 10000000 1'),
('event', 'event_device', '10000000 65536 7'),
('event', 'event_received', '10000000 2'),
('state_interval_row', 'state_interval_device', '10000000 65536 7'),
('state_interval_row', 'state_interval_until', '10000000 2');

ANALYZE sqlite_schema;

CREATE TABLE state_daily_row (
    day TEXT NOT NULL,
    device_key INTEGER NOT NULL,
    state_key INTEGER NOT NULL,
    certain_us INTEGER NOT NULL,
    uncertain_us INTEGER NOT NULL,
    entered INTEGER NOT NULL,
    PRIMARY KEY (day, device_key, state_key)
) WITHOUT ROWID;

-- When each topic began (`heard` = 1) and ceased (0) to be heard, and why it ceased. `begins_gap`: it was heard
-- before; then `gap_until` is when it was heard again, in the journal's order, whatever the clock did. A gap that is
-- open at the end of one journal ends with the next one.
CREATE TABLE coverage (
    event_id TEXT NOT NULL PRIMARY KEY,
    topic TEXT NOT NULL,
    heard INTEGER NOT NULL,
    cause TEXT,
    at TEXT NOT NULL,
    received_at TEXT NOT NULL,
    origin TEXT NOT NULL,
    begins_gap INTEGER NOT NULL,
    gap_until TEXT
);

CREATE INDEX coverage_topic ON coverage (topic, at);

CREATE INDEX coverage_begins_gap ON coverage (topic, at) WHERE begins_gap = 1;

-- day_zone: the zone of state_daily's days. recounted_below: the devices whose days are counted in it.
CREATE TABLE history_setting (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL);

-- How far each sink of each daemon has come, moved in the transaction of the rows.
CREATE TABLE bridge_cursor (
    journal TEXT NOT NULL,
    sink TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (journal, sink)
);

-- The time that was believed last, whatever the clock said: a clock that is far ahead of it deletes no row by age,
-- also after a restart. Without the row, the newest status's time of receipt counts.
CREATE TABLE bridge_clock (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    believed_at TEXT NOT NULL
);

CREATE VIEW status_event AS
SELECT
    coalesce(e.event_id, j.journal || '-' || e.position) AS event_id, e.sequence, t.topic, d.client_id, d.device_id,
    p.serial, e.old_state, s.word AS new_state, s.state, s.severity, e.changed, e.missed_transition, p.province,
    p.city, p.district, p.detail, p.coordinate_system, p.longitude, p.latitude, p.wgs84_longitude, p.wgs84_latitude,
    e.occurred_at, e.received_at, coalesce(e.via, 'live') AS via, j.journal || '-' || e.position AS origin,
    coalesce(e.payload, b.body) AS payload, d.stream
FROM event AS e
LEFT JOIN journal AS j ON j.journal_key = e.journal_key
LEFT JOIN topic AS t ON t.topic_key = e.topic_key
LEFT JOIN device_row AS d ON d.device_key = e.device_key
LEFT JOIN profile AS p ON p.profile_key = e.profile_key
LEFT JOIN state AS s ON s.state_key = e.state_key
LEFT JOIN payload AS b ON b.payload_key = e.payload_key;

-- What only the event has is NULL once the event is past the retention of statuses.
CREATE VIEW device_current AS
SELECT
    CASE WHEN e.sequence IS NOT NULL THEN coalesce(e.event_id, j.journal || '-' || d.position) END AS event_id,
    d.sequence, t.topic, d.client_id, d.device_id,
    p.serial, e.old_state, s.word AS new_state, s.state, s.severity, e.changed, e.missed_transition, p.province,
    p.city, p.district, p.detail, p.coordinate_system, p.longitude, p.latitude, p.wgs84_longitude, p.wgs84_latitude,
    e.occurred_at, d.received_at, CASE WHEN e.sequence IS NOT NULL THEN coalesce(e.via, 'live') END AS via,
    j.journal || '-' || d.position AS origin, coalesce(e.payload, b.body) AS payload, d.stream, d.first_seen,
    d.last_seen, d.run_since AS state_since,
    NOT EXISTS (
        SELECT 1 FROM coverage AS g WHERE g.topic = t.topic AND g.begins_gap = 1 AND g.at >= d.last_seen
        AND (d.received_at >= d.last_seen AND g.at <= strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')
            OR NOT (substr(g.origin, 1, 32) = j.journal AND CAST(substr(g.origin, 34) AS INTEGER) < d.position))
    ) AS certain
FROM device_row AS d
LEFT JOIN journal AS j ON j.journal_key = d.journal_key
LEFT JOIN topic AS t ON t.topic_key = d.topic_key
LEFT JOIN profile AS p ON p.profile_key = d.profile_key
LEFT JOIN state AS s ON s.state_key = d.word_key
LEFT JOIN event AS e ON e.sequence = d.sequence
LEFT JOIN payload AS b ON b.payload_key = e.payload_key;

-- Closed pieces, then the open one of each device: certain up to the first gap since the device was heard, uncertain
-- from there on. A clock that was set back leaves a gap at a later time, although the device was heard since: its place
-- in the journal says so, where the device's newest status was placed behind its own time, or the gap is to come.
-- julianday() knows milliseconds: between two times that both stand here, seconds and their six digits are counted.
CREATE VIEW state_interval AS
SELECT
    d.stream, d.client_id, d.device_id, s.state, s.severity, i.since, i.until, i.us / 1e6 AS seconds,
    i.cause IS NULL AS certain, i.cause,
    coalesce(i.run_since, i.since) AS run_since, 0 AS lasting, i.until AS counted_until
FROM state_interval_row AS i
JOIN device_row AS d ON d.device_key = i.device_key
JOIN state AS s ON s.state_key = i.state_key
UNION ALL
SELECT
    d.stream, d.client_id, d.device_id, s.state, s.severity, d.piece_since, g.at,
    CASE
        WHEN g.at IS NULL THEN max(0.0, round((julianday('now') - julianday(d.piece_since)) * 86400, 3))
        ELSE ((strftime('%s', g.at) - strftime('%s', d.piece_since)) * 1000000 + substr(g.at, 21, 6) - substr(d.piece_since, 21, 6)) / 1e6
    END,
    1, NULL, d.run_since, 1, d.counted_until
FROM device_row AS d
JOIN topic AS t ON t.topic_key = d.topic_key
JOIN journal AS j ON j.journal_key = d.journal_key
JOIN state AS s ON s.state_key = d.state_key
LEFT JOIN coverage AS g ON g.event_id = (
    SELECT c.event_id FROM coverage AS c
    WHERE c.topic = t.topic AND c.begins_gap = 1 AND c.at >= d.last_seen
    AND (d.received_at >= d.last_seen AND c.at <= strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')
        OR NOT (substr(c.origin, 1, 32) = j.journal AND CAST(substr(c.origin, 34) AS INTEGER) < d.position))
    ORDER BY c.at LIMIT 1
)
WHERE g.at IS NULL OR g.at > d.piece_since
UNION ALL
SELECT
    d.stream, d.client_id, d.device_id, s.state, s.severity, g.at, NULL,
    max(0, round((julianday('now') - julianday(g.at)) * 86400, 3)),
    0, g.cause, d.run_since, 1, d.counted_until
FROM device_row AS d
JOIN topic AS t ON t.topic_key = d.topic_key
JOIN journal AS j ON j.journal_key = d.journal_key
JOIN state AS s ON s.state_key = d.state_key
JOIN coverage AS g ON g.event_id = (
    SELECT c.event_id FROM coverage AS c
    WHERE c.topic = t.topic AND c.begins_gap = 1 AND c.at >= d.last_seen
    AND (d.received_at >= d.last_seen AND c.at <= strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')
        OR NOT (substr(c.origin, 1, 32) = j.journal AND CAST(substr(c.origin, 34) AS INTEGER) < d.position))
    ORDER BY c.at LIMIT 1
);

-- The time of one device in states of the severity critical, whichever they were; `state` is the last of them.
CREATE VIEW fault_episode AS
SELECT
    d.stream, d.client_id, d.device_id, s.state, coalesce(i.fault_since, i.since) AS since, i.until,
    CASE
        WHEN i.fault_since IS NULL THEN i.us / 1e6
        ELSE ((strftime('%s', i.until) - strftime('%s', i.fault_since)) * 1000000 + substr(i.until, 21, 6) - substr(i.fault_since, 21, 6)) / 1e6
    END AS seconds,
    i.fault_uncertain_us / 1e6 AS uncertain_seconds, i.fault_uncertain_us = 0 AS certain
FROM state_interval_row AS i
JOIN device_row AS d ON d.device_key = i.device_key
JOIN state AS s ON s.state_key = i.state_key
WHERE i.ends_fault = 1
UNION ALL
SELECT
    d.stream, d.client_id, d.device_id, s.state, d.fault_since, NULL,
    max(0, round((julianday('now') - julianday(d.fault_since)) * 86400, 3)),
    d.fault_uncertain_us / 1e6
        + coalesce(max(0, round((julianday('now') - julianday(g.at)) * 86400, 3)), 0.0),
    d.fault_uncertain_us = 0 AND g.at IS NULL
FROM device_row AS d
JOIN topic AS t ON t.topic_key = d.topic_key
JOIN journal AS j ON j.journal_key = d.journal_key
JOIN state AS s ON s.state_key = d.state_key
LEFT JOIN coverage AS g ON g.event_id = (
    SELECT c.event_id FROM coverage AS c
    WHERE c.topic = t.topic AND c.begins_gap = 1 AND c.at >= d.last_seen
    AND (d.received_at >= d.last_seen AND c.at <= strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')
        OR NOT (substr(c.origin, 1, 32) = j.journal AND CAST(substr(c.origin, 34) AS INTEGER) < d.position))
    ORDER BY c.at LIMIT 1
)
WHERE d.fault_since IS NOT NULL;

-- How long each device was in each state, by the day of the configured zone. A state that lasts is counted up to the
-- last midnight. The plus keeps SQLite from looking each device up in each day, as it does after an ANALYZE: for all
-- devices of a month that takes twice as long.
CREATE VIEW state_daily AS
SELECT
    x.day, d.stream, d.client_id, d.device_id, s.state, s.severity, x.certain_us / 1e6 AS seconds,
    x.uncertain_us / 1e6 AS uncertain_seconds, x.entered
FROM state_daily_row AS x
JOIN device_row AS d ON d.device_key = +x.device_key
JOIN state AS s ON s.state_key = x.state_key
WHERE x.certain_us <> 0 OR x.uncertain_us <> 0 OR x.entered <> 0;

-- The times in which a topic was not heard; `until` and `seconds` are NULL while it lasts.
CREATE VIEW coverage_gap AS
SELECT
    topic, at AS since, gap_until AS until,
    CASE
        WHEN gap_until < at THEN 0.0
        ELSE ((strftime('%s', gap_until) - strftime('%s', at)) * 1000000 + substr(gap_until, 21, 6) - substr(at, 21, 6)) / 1e6
    END AS seconds,
    cause
FROM coverage
WHERE begins_gap = 1;
