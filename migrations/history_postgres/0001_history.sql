-- `payload` is json and not jsonb: json checks the syntax and keeps the device's own text, while jsonb refuses
-- \u0000, lone surrogates and numbers beyond its range, and forgets order and spelling. Cast it where you search it.
CREATE TABLE status_event (
    event_id text NOT NULL PRIMARY KEY,
    topic text NOT NULL,
    client_id text NOT NULL,
    device_id text NOT NULL,
    serial text,
    old_state text,
    new_state text NOT NULL,
    state text NOT NULL,
    severity text NOT NULL,
    changed boolean NOT NULL,
    missed_transition boolean NOT NULL,
    province text,
    city text,
    district text,
    detail text,
    coordinate_system text,
    longitude double precision,
    latitude double precision,
    wgs84_longitude double precision,
    wgs84_latitude double precision,
    occurred_at timestamptz,
    received_at timestamptz NOT NULL,
    origin text NOT NULL,
    payload json NOT NULL
);

CREATE INDEX status_event_device ON status_event (client_id, device_id, received_at);

CREATE INDEX status_event_received ON status_event (received_at);

-- The newest status of each device. "Newest" is the journal's order: the position stands behind the 32 digits of
-- the journal and a dash in `origin`.
CREATE TABLE device (
    client_id text NOT NULL,
    device_id text NOT NULL,
    event_id text NOT NULL,
    topic text NOT NULL,
    serial text,
    old_state text,
    new_state text NOT NULL,
    state text NOT NULL,
    severity text NOT NULL,
    changed boolean NOT NULL,
    missed_transition boolean NOT NULL,
    province text,
    city text,
    district text,
    detail text,
    coordinate_system text,
    longitude double precision,
    latitude double precision,
    wgs84_longitude double precision,
    wgs84_latitude double precision,
    occurred_at timestamptz,
    received_at timestamptz NOT NULL,
    origin text NOT NULL,
    payload json NOT NULL,
    PRIMARY KEY (client_id, device_id)
)
-- Every status is an update here: with room on its page it need not touch the index.
WITH (fillfactor = 50);

CREATE VIEW device_current AS
SELECT
    event_id, topic, client_id, device_id, serial, old_state, new_state, state, severity, changed,
    missed_transition, province, city, district, detail, coordinate_system, longitude, latitude, wgs84_longitude,
    wgs84_latitude, occurred_at, received_at, origin, payload
FROM device;

-- When each topic began (`heard`) and ceased (not `heard`) to be heard, and why it ceased.
CREATE TABLE coverage (
    event_id text NOT NULL PRIMARY KEY,
    topic text NOT NULL,
    heard boolean NOT NULL,
    cause text,
    at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    origin text NOT NULL
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
    WHERE NOT heard AND coalesce(heard_before, true)
)
SELECT
    topic, since, until,
    CASE WHEN until < since THEN 0.0 ELSE round(extract(epoch FROM until - since), 3)::double precision END AS seconds,
    cause
FROM gap;

-- How far each sink of each daemon has come, moved in the transaction of the rows.
CREATE TABLE bridge_cursor (
    journal text NOT NULL,
    sink text NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (journal, sink)
);
