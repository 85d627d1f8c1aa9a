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

-- How far each sink of each daemon has come, moved in the transaction of the rows.
CREATE TABLE bridge_cursor (
    journal TEXT NOT NULL,
    sink TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (journal, sink)
);
