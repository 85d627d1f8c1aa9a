-- Times are UTC texts such as 2026-01-02T03:04:05.678901Z, always with six digits: they sort as they follow one
-- another, and SQLite's date functions read them. Booleans are 0 and 1.
CREATE TABLE status_event (
    event_id TEXT NOT NULL PRIMARY KEY,
    topic TEXT NOT NULL,
    client_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    serial TEXT,
    old_state TEXT,
    new_state TEXT NOT NULL,
    state TEXT NOT NULL,
    severity TEXT NOT NULL,
    changed INTEGER NOT NULL,
    missed_transition INTEGER NOT NULL,
    province TEXT,
    city TEXT,
    district TEXT,
    detail TEXT,
    coordinate_system TEXT,
    longitude REAL,
    latitude REAL,
    wgs84_longitude REAL,
    wgs84_latitude REAL,
    occurred_at TEXT,
    received_at TEXT NOT NULL,
    origin TEXT NOT NULL,
    payload TEXT NOT NULL
);

CREATE INDEX status_event_device ON status_event (client_id, device_id, received_at);

CREATE INDEX status_event_received ON status_event (received_at);

-- The newest status of each device. "Newest" is the journal's order: the position stands behind the 32 digits of
-- the journal and a dash in `origin`.
CREATE TABLE device (
    client_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    topic TEXT NOT NULL,
    serial TEXT,
    old_state TEXT,
    new_state TEXT NOT NULL,
    state TEXT NOT NULL,
    severity TEXT NOT NULL,
    changed INTEGER NOT NULL,
    missed_transition INTEGER NOT NULL,
    province TEXT,
    city TEXT,
    district TEXT,
    detail TEXT,
    coordinate_system TEXT,
    longitude REAL,
    latitude REAL,
    wgs84_longitude REAL,
    wgs84_latitude REAL,
    occurred_at TEXT,
    received_at TEXT NOT NULL,
    origin TEXT NOT NULL,
    payload TEXT NOT NULL,
    PRIMARY KEY (client_id, device_id)
);

CREATE VIEW device_current AS
SELECT
    event_id, topic, client_id, device_id, serial, old_state, new_state, state, severity, changed,
    missed_transition, province, city, district, detail, coordinate_system, longitude, latitude, wgs84_longitude,
    wgs84_latitude, occurred_at, received_at, origin, payload
FROM device;

-- When each topic began (`heard` = 1) and ceased (0) to be heard, and why it ceased.
CREATE TABLE coverage (
    event_id TEXT NOT NULL PRIMARY KEY,
    topic TEXT NOT NULL,
    heard INTEGER NOT NULL,
    cause TEXT,
    at TEXT NOT NULL,
    received_at TEXT NOT NULL,
    origin TEXT NOT NULL
);

CREATE INDEX coverage_topic ON coverage (topic, at);

-- The times in which a topic was not heard, from the first row that says so to the next that says otherwise; `until`
-- and `seconds` are NULL while it lasts. The order is the journal's, whatever the clock did; a gap that is open at
-- the end of one journal ends with the next one. From the last row to the first, all that is to come is known.
CREATE VIEW coverage_gap AS
WITH placed AS (
    SELECT topic, heard, cause, at, substr(origin, 1, 32) AS journal, CAST(substr(origin, 34) AS bigint) AS position
    FROM coverage
),
followed AS (
    SELECT
        topic, heard, cause, at, journal,
        lead(heard) OVER backwards AS heard_before,
        min(CASE WHEN heard THEN position END)
            OVER (backwards ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS next_heard
    FROM placed
    WINDOW backwards AS (PARTITION BY topic, journal ORDER BY position DESC)
),
gap AS (
    SELECT
        topic, cause, at AS since,
        coalesce(
            (SELECT next.at FROM coverage AS next WHERE next.event_id = journal || '-' || next_heard),
            (
                SELECT min(other.at) FROM coverage AS other
                WHERE other.topic = followed.topic AND other.at >= followed.at AND other.heard
                    AND substr(other.origin, 1, 32) <> journal
            )
        ) AS until
    FROM followed
    WHERE NOT heard AND coalesce(heard_before, 1)
)
SELECT
    topic, since, until,
    CASE WHEN until < since THEN 0.0 ELSE round((julianday(until) - julianday(since)) * 86400, 3) END AS seconds,
    cause
FROM gap;

-- How far each sink of each daemon has come, moved in the transaction of the rows.
CREATE TABLE bridge_cursor (
    journal TEXT NOT NULL,
    sink TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (journal, sink)
);
