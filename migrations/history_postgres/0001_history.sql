-- What the views show is promised, under these names: status_event, device_current, state_interval, fault_episode,
-- state_daily, coverage_gap. The tables below them are narrow, and may change. They mean what they mean in SQLite.
--
-- `payload` is json and not jsonb: json checks the syntax and keeps the device's own text, while jsonb refuses
-- \u0000, lone surrogates and numbers beyond its range, and forgets order and spelling. Cast it where you search it.

CREATE TABLE journal (
    journal_key integer PRIMARY KEY,
    journal text NOT NULL UNIQUE
);

COMMENT ON TABLE journal IS 'The journals that events came from.';
COMMENT ON COLUMN journal.journal_key IS 'Its key here.';
COMMENT ON COLUMN journal.journal IS 'Its id: 32 hexadecimal digits.';

CREATE TABLE topic (
    topic_key integer PRIMARY KEY,
    topic text NOT NULL UNIQUE
);

COMMENT ON TABLE topic IS 'The topics that events came by.';
COMMENT ON COLUMN topic.topic_key IS 'Its key here.';
COMMENT ON COLUMN topic.topic IS 'Its name in the configuration.';

CREATE TABLE state (
    state_key integer PRIMARY KEY,
    word text NOT NULL,
    state text NOT NULL,
    severity text NOT NULL,
    UNIQUE (word, state, severity)
);

COMMENT ON TABLE state IS 'A word as sent, and what [states] made of it. Another vocabulary makes another row: those that are there keep their meaning.';
COMMENT ON COLUMN state.state_key IS 'Its key here.';
COMMENT ON COLUMN state.word IS 'The state as sent.';
COMMENT ON COLUMN state.state IS 'The name that [states] gives it; an unknown one as sent, trimmed.';
COMMENT ON COLUMN state.severity IS 'ok, info, warning, critical or unknown.';

CREATE TABLE profile (
    profile_key bigint PRIMARY KEY,
    month integer NOT NULL,
    longitude double precision,
    latitude double precision,
    wgs84_longitude double precision,
    wgs84_latitude double precision,
    serial text,
    province text,
    city text,
    district text,
    detail text,
    coordinate_system text
);

COMMENT ON TABLE profile IS 'What seldom changes of a device: a row for each change, and one a month.';
COMMENT ON COLUMN profile.profile_key IS 'Its key here.';
COMMENT ON COLUMN profile.month IS 'Year * 12 + month of the year in UTC, less 1: the events that refer to it are of this month.';
COMMENT ON COLUMN profile.longitude IS 'Degrees east, as sent.';
COMMENT ON COLUMN profile.latitude IS 'Degrees north, as sent.';
COMMENT ON COLUMN profile.wgs84_longitude IS 'Degrees east in WGS-84; null where the system is unknown.';
COMMENT ON COLUMN profile.wgs84_latitude IS 'Degrees north in WGS-84; null where the system is unknown.';
COMMENT ON COLUMN profile.serial IS 'The serial number of the device.';
COMMENT ON COLUMN profile.province IS 'First administrative level, as sent.';
COMMENT ON COLUMN profile.city IS 'Second administrative level, as sent.';
COMMENT ON COLUMN profile.district IS 'Third administrative level, as sent.';
COMMENT ON COLUMN profile.detail IS 'The rest of the address, as sent.';
COMMENT ON COLUMN profile.coordinate_system IS 'The system of longitude and latitude, as sent.';

CREATE TABLE payload (
    payload_key bigint NOT NULL,
    month integer NOT NULL,
    digest bytea NOT NULL,
    body json NOT NULL,
    PRIMARY KEY (payload_key, month)
) PARTITION BY RANGE (month);

COMMENT ON TABLE payload IS 'A payload that came more than once within a month. Its partitions are months.';
COMMENT ON COLUMN payload.payload_key IS 'Its key here.';
COMMENT ON COLUMN payload.month IS 'As that of profile.';
COMMENT ON COLUMN payload.digest IS 'The first 16 bytes of the SHA-256 of the payload as sent.';
COMMENT ON COLUMN payload.body IS 'The JSON of the device.';

CREATE TABLE device_row (
    device_key integer PRIMARY KEY,
    topic_key integer NOT NULL,
    journal_key integer NOT NULL,
    state_key integer NOT NULL,
    word_key integer NOT NULL,
    profile_key bigint NOT NULL,
    position bigint NOT NULL,
    sequence bigint NOT NULL,
    received_at timestamptz NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    piece_since timestamptz NOT NULL,
    run_since timestamptz NOT NULL,
    fault_since timestamptz,
    fault_uncertain_us bigint NOT NULL,
    counted_until timestamptz,
    counted_certain_until timestamptz,
    stream text NOT NULL,
    client_id text NOT NULL,
    device_id text NOT NULL,
    UNIQUE (client_id, device_id, stream)
) WITH (fillfactor = 50);

COMMENT ON TABLE device_row IS 'One row for each device: its newest status, and the piece of its timeline that is open.';
COMMENT ON COLUMN device_row.device_key IS 'Its key here.';
COMMENT ON COLUMN device_row.topic_key IS 'The topic that brought its newest status.';
COMMENT ON COLUMN device_row.journal_key IS 'The journal of its newest status.';
COMMENT ON COLUMN device_row.profile_key IS 'The profile by its newest status.';
COMMENT ON COLUMN device_row.state_key IS 'The state of the open piece.';
COMMENT ON COLUMN device_row.word_key IS 'The same state by the word of its newest status.';
COMMENT ON COLUMN device_row.position IS 'The journal position of its newest status.';
COMMENT ON COLUMN device_row.sequence IS 'Its newest status in event.';
COMMENT ON COLUMN device_row.received_at IS 'When that was received, by the clock of then.';
COMMENT ON COLUMN device_row.first_seen IS 'When its first status was received.';
COMMENT ON COLUMN device_row.last_seen IS 'When its newest status was received; it never goes back.';
COMMENT ON COLUMN device_row.piece_since IS 'When the open piece began.';
COMMENT ON COLUMN device_row.run_since IS 'Since when it is in this state, through uncertain pieces.';
COMMENT ON COLUMN device_row.fault_since IS 'Since when its severity is critical; null where it is not.';
COMMENT ON COLUMN device_row.fault_uncertain_us IS 'How many microseconds of the fault are uncertain.';
COMMENT ON COLUMN device_row.counted_until IS 'state_daily_row has the open piece up to here.';
COMMENT ON COLUMN device_row.counted_certain_until IS 'And as certain up to here.';
COMMENT ON COLUMN device_row.stream IS 'The stream that it belongs to.';
COMMENT ON COLUMN device_row.client_id IS 'Its owner; empty where its messages name none.';
COMMENT ON COLUMN device_row.device_id IS 'Its id.';

-- Partitioned by time: rows past the retention go with their partition, without a DELETE. There is no default
-- partition: bridge_make_partition makes each before its first row.
CREATE TABLE event (
    sequence bigint NOT NULL,
    position bigint NOT NULL,
    received_at timestamptz NOT NULL,
    occurred_at timestamptz,
    placed_at timestamptz,
    profile_key bigint NOT NULL,
    payload_key bigint,
    journal_key integer NOT NULL,
    device_key integer NOT NULL,
    topic_key integer NOT NULL,
    state_key integer NOT NULL,
    changed boolean NOT NULL,
    missed_transition boolean NOT NULL,
    old_state text,
    event_id text,
    via text,
    payload json
) PARTITION BY RANGE (received_at);

COMMENT ON TABLE event IS 'One row for each status. Its partitions are days or months in UTC, by received_at.';
COMMENT ON COLUMN event.sequence IS 'The order of storing.';
COMMENT ON COLUMN event.position IS 'The position in the journal.';
COMMENT ON COLUMN event.received_at IS 'When the daemon received it.';
COMMENT ON COLUMN event.occurred_at IS 'When it happened, where the message says so.';
COMMENT ON COLUMN event.placed_at IS 'When it counts in the timeline of its device, where that is not received_at: the clock was set back.';
COMMENT ON COLUMN event.journal_key IS 'The journal.';
COMMENT ON COLUMN event.device_key IS 'The device.';
COMMENT ON COLUMN event.topic_key IS 'The topic that brought it.';
COMMENT ON COLUMN event.state_key IS 'The state.';
COMMENT ON COLUMN event.profile_key IS 'What else it says of the device.';
COMMENT ON COLUMN event.payload_key IS 'The payload, where it has a row of its own.';
COMMENT ON COLUMN event.changed IS 'The state is another than the last one known.';
COMMENT ON COLUMN event.missed_transition IS 'old_state is not the last state known.';
COMMENT ON COLUMN event.old_state IS 'The state before, as sent.';
COMMENT ON COLUMN event.event_id IS 'The event id; null where it is the origin.';
COMMENT ON COLUMN event.via IS 'How it came; null: live.';
COMMENT ON COLUMN event.payload IS 'The JSON of the device, where it has no row of its own.';

-- A unique index of partitions has to hold their key, and a status that the server delivers again is received at
-- another time. So the ids that are no origins stand here, for a while.
CREATE TABLE event_key_seen (
    event_id text NOT NULL PRIMARY KEY,
    received_at timestamptz NOT NULL
);

COMMENT ON TABLE event_key_seen IS 'The event ids of late that were made from an event key: a redelivered status is no new event.';
COMMENT ON COLUMN event_key_seen.event_id IS 'The event id.';
COMMENT ON COLUMN event_key_seen.received_at IS 'When its status was received.';

CREATE TABLE state_interval_row (
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    us bigint NOT NULL,
    ends_sequence bigint NOT NULL,
    run_since timestamptz,
    fault_since timestamptz,
    fault_uncertain_us bigint NOT NULL,
    device_key integer NOT NULL,
    state_key integer NOT NULL,
    ends_fault boolean NOT NULL,
    cause text,
    PRIMARY KEY (device_key, since, ends_sequence)
);

COMMENT ON TABLE state_interval_row IS 'The closed pieces of the timeline of each device: one device, one state, certain or not.';
COMMENT ON COLUMN state_interval_row.since IS 'When it began.';
COMMENT ON COLUMN state_interval_row.until IS 'When it ended.';
COMMENT ON COLUMN state_interval_row.us IS 'How long it was, in microseconds.';
COMMENT ON COLUMN state_interval_row.ends_sequence IS 'The event that closed it.';
COMMENT ON COLUMN state_interval_row.run_since IS 'Since when the device was in this state, through uncertain pieces; null: since the piece began.';
COMMENT ON COLUMN state_interval_row.fault_since IS 'Since when the severity was critical, where it was; null: since the piece began.';
COMMENT ON COLUMN state_interval_row.fault_uncertain_us IS 'How many microseconds of the fault are uncertain, this piece included.';
COMMENT ON COLUMN state_interval_row.device_key IS 'The device.';
COMMENT ON COLUMN state_interval_row.state_key IS 'The state.';
COMMENT ON COLUMN state_interval_row.ends_fault IS 'The fault ended with it.';
COMMENT ON COLUMN state_interval_row.cause IS 'Why it is uncertain; null: it is certain.';

CREATE TABLE state_daily_row (
    certain_us bigint NOT NULL,
    uncertain_us bigint NOT NULL,
    day date NOT NULL,
    device_key integer NOT NULL,
    state_key integer NOT NULL,
    entered integer NOT NULL,
    PRIMARY KEY (day, device_key, state_key)
);

COMMENT ON TABLE state_daily_row IS 'How long each device was in each state, by day.';
COMMENT ON COLUMN state_daily_row.certain_us IS 'Certain microseconds.';
COMMENT ON COLUMN state_daily_row.uncertain_us IS 'Uncertain microseconds.';
COMMENT ON COLUMN state_daily_row.day IS 'The day in the zone of history_setting.';
COMMENT ON COLUMN state_daily_row.device_key IS 'The device.';
COMMENT ON COLUMN state_daily_row.state_key IS 'The state.';
COMMENT ON COLUMN state_daily_row.entered IS 'How often the state was entered on this day.';

CREATE TABLE coverage (
    event_id text NOT NULL PRIMARY KEY,
    topic text NOT NULL,
    heard boolean NOT NULL,
    cause text,
    at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    origin text NOT NULL,
    begins_gap boolean NOT NULL,
    gap_until timestamptz
);

COMMENT ON TABLE coverage IS 'When each topic began and ceased to be heard.';
COMMENT ON COLUMN coverage.event_id IS 'Unique: the origin.';
COMMENT ON COLUMN coverage.topic IS 'The topic.';
COMMENT ON COLUMN coverage.heard IS 'Its messages come from here on, or they do not.';
COMMENT ON COLUMN coverage.cause IS 'Why they do not.';
COMMENT ON COLUMN coverage.at IS 'Since when.';
COMMENT ON COLUMN coverage.received_at IS 'When the daemon wrote it down.';
COMMENT ON COLUMN coverage.origin IS 'The journal entry.';
COMMENT ON COLUMN coverage.begins_gap IS 'It was heard before, in the order of the journal.';
COMMENT ON COLUMN coverage.gap_until IS 'When the topic was heard from then on, whatever the clock did.';

CREATE TABLE history_setting (
    name text NOT NULL PRIMARY KEY,
    value text NOT NULL
);

COMMENT ON TABLE history_setting IS 'What holds for the whole history.';
COMMENT ON COLUMN history_setting.name IS 'day_zone: the zone of state_daily. recounted_below: the devices with smaller keys are counted in it. statuses_partition: day or month, what a new partition is. statuses_since: older statuses are not stored. statuses_too_old: how many were not. last_sequence: the last one of event before rows were deleted by hand.';
COMMENT ON COLUMN history_setting.value IS 'The value.';

CREATE TABLE bridge_cursor (
    journal text NOT NULL,
    sink text NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (journal, sink)
);

COMMENT ON TABLE bridge_cursor IS 'How far each sink of each daemon has come, moved in the transaction of the rows.';
COMMENT ON COLUMN bridge_cursor.journal IS 'The journal.';
COMMENT ON COLUMN bridge_cursor.sink IS 'The sink, by its name in the configuration.';
COMMENT ON COLUMN bridge_cursor.position IS 'Everything up to here is stored.';

CREATE TABLE bridge_clock (
    one integer NOT NULL PRIMARY KEY CHECK (one = 1),
    believed_at timestamptz NOT NULL
);

COMMENT ON TABLE bridge_clock IS 'The time that was believed last, whatever the clock said: a clock that is far ahead of it deletes no row by age, also after a restart.';
COMMENT ON COLUMN bridge_clock.one IS 'Always 1.';
COMMENT ON COLUMN bridge_clock.believed_at IS 'The time.';

CREATE TABLE bridge_writer (
    one integer NOT NULL PRIMARY KEY CHECK (one = 1),
    turn bigint NOT NULL
);

COMMENT ON TABLE bridge_writer IS 'Whose turn it is to write: one transaction at a time.';
COMMENT ON COLUMN bridge_writer.one IS 'Always 1.';
COMMENT ON COLUMN bridge_writer.turn IS 'Grows with each transaction, so that a daemon sees that another one has written.';

INSERT INTO bridge_writer (one, turn) VALUES (1, 0);

CREATE INDEX profile_month ON profile (month);
CREATE UNIQUE INDEX payload_digest ON payload (month, digest);
CREATE INDEX device_row_profile ON device_row (profile_key);
CREATE INDEX event_key_seen_received ON event_key_seen (received_at);
CREATE INDEX event_sequence ON event (sequence);
CREATE UNIQUE INDEX event_origin ON event (journal_key, position, received_at);
CREATE INDEX event_id ON event (event_id) WHERE event_id IS NOT NULL;
-- Without a time: PostgreSQL then keeps the rows of a device as one list, a quarter as large, and a partition's index
-- stays in memory.
CREATE INDEX event_device ON event (device_key);
CREATE INDEX event_received ON event (received_at);
CREATE INDEX state_interval_until ON state_interval_row (until);
CREATE INDEX coverage_topic ON coverage (topic, at);
CREATE INDEX coverage_begins_gap ON coverage (topic, at) WHERE begins_gap;

CREATE FUNCTION seconds_between(since timestamptz, until timestamptz) RETURNS double precision
    LANGUAGE sql STABLE AS
    'SELECT greatest(0, extract(epoch FROM until - since))::double precision';
COMMENT ON FUNCTION seconds_between IS 'From one time to another; never below 0.';

CREATE FUNCTION bridge_month(at timestamptz) RETURNS integer
    LANGUAGE sql IMMUTABLE AS
    'SELECT extract(year FROM at AT TIME ZONE ''UTC'')::integer * 12
        + extract(month FROM at AT TIME ZONE ''UTC'')::integer - 1';
COMMENT ON FUNCTION bridge_month IS 'Year * 12 + month of the year in UTC, less 1: that of profile and payload.';

-- The catalog says which partitions there are, whoever made them. It writes a time as the session would. A DEFAULT
-- partition, which somebody else has made, has no times.
CREATE FUNCTION bridge_partitions() RETURNS TABLE (parent text, name text, since timestamptz, until timestamptz)
    LANGUAGE sql STABLE SET timezone = 'UTC' SET datestyle = 'ISO, MDY' AS $$
    SELECT
        p.parent, c.relname::text,
        CASE p.parent
            WHEN 'event' THEN b.bound[1]::timestamptz
            ELSE make_date(b.bound[1]::integer / 12, b.bound[1]::integer % 12 + 1, 1)::timestamptz
        END,
        CASE p.parent
            WHEN 'event' THEN b.bound[2]::timestamptz
            ELSE make_date(b.bound[2]::integer / 12, b.bound[2]::integer % 12 + 1, 1)::timestamptz
        END
    FROM (VALUES ('event', 'event'::regclass), ('payload', 'payload'::regclass)) AS p (parent, oid)
    JOIN pg_inherits AS i ON i.inhparent = p.oid
    JOIN pg_class AS c ON c.oid = i.inhrelid
    CROSS JOIN LATERAL regexp_match(
        pg_get_expr(c.relpartbound, c.oid), 'FROM [(]''?([0-9][^'')]*)''?[)] TO [(]''?([0-9][^'')]*)''?[)]'
    ) AS b (bound)
    WHERE b.bound IS NOT NULL OR pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT'
$$;
COMMENT ON FUNCTION bridge_partitions IS 'The partitions of event and payload, and the times of their rows; null: a DEFAULT partition, which is not ours.';

-- Made as a table by itself, it waits for no reader once it is attached. Beyond 120 partitions a new one is a year,
-- beyond 180 a century, so that no clock makes thousands of them; none reaches into another one. Where a DEFAULT
-- partition has rows of these times, they can only go there, and none is made.
CREATE FUNCTION bridge_make_partition(day date) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET timezone = 'UTC' SET datestyle = 'ISO, MDY' AS $$
DECLARE
    at timestamptz;
    of text;
    unit text;
    made bigint;
    is_there boolean;
    before timestamptz;
    behind timestamptz;
    begins timestamptz;
    ends timestamptz;
    part text;
BEGIN
    IF day IS NULL OR day < '0001-01-01' OR day > '9999-12-31' THEN
        RAISE EXCEPTION 'bridge_make_partition: % is no day of the years 1 to 9999', day;
    END IF;
    at := day::timestamptz;
    FOREACH of IN ARRAY ARRAY['event', 'payload'] LOOP
        SELECT
            count(p.since), bool_or(p.since <= at AND p.until > at), max(p.until) FILTER (WHERE p.until <= at),
            min(p.since) FILTER (WHERE p.since > at)
        INTO made, is_there, before, behind FROM bridge_partitions() AS p WHERE p.parent = of;
        CONTINUE WHEN is_there;
        unit := CASE
            WHEN made >= 180 THEN 'century'
            WHEN made >= 120 THEN 'year'
            WHEN of = 'event' THEN coalesce(
                (SELECT value FROM history_setting WHERE name = 'statuses_partition' AND value = 'day'), 'month')
            ELSE 'month'
        END;
        begins := date_trunc(unit, at);
        ends := least(begins + ('1 ' || unit)::interval, behind);
        begins := greatest(begins, before);
        part := of || '_p' || to_char(begins, 'YYYYMMDD');
        -- Somebody may keep one that was detached.
        WHILE to_regclass(quote_ident(part)) IS NOT NULL LOOP
            part := part || '_';
        END LOOP;
        BEGIN
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', part, of);
            EXECUTE format('COMMENT ON TABLE %I IS %L', part, format('Rows of %s from %s up to %s.', of, begins, ends));
            IF of = 'event' THEN
                EXECUTE format('ALTER TABLE event ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part, begins, ends);
            ELSE
                EXECUTE format('ALTER TABLE payload ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
                    part, bridge_month(begins), bridge_month(ends));
            END IF;
        EXCEPTION WHEN check_violation THEN
            IF NOT EXISTS (SELECT FROM bridge_partitions() AS p WHERE p.parent = of AND p.since IS NULL) THEN
                RAISE;
            END IF;
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION bridge_make_partition IS 'Makes the partitions of a day (UTC) where they are missing. It acts with the rights of the role that made the tables.';

-- One at a time. It waits for no reader: what waits here has all new statements on the table wait behind it. Payloads
-- stay while a DEFAULT partition may have their events.
CREATE FUNCTION bridge_drop_before(day date) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET timezone = 'UTC' SET datestyle = 'ISO, MDY' SET lock_timeout = '25ms' AS $$
DECLARE
    part text;
    ends timestamptz;
BEGIN
    IF day IS NULL OR day > (now() AT TIME ZONE 'UTC')::date THEN
        RAISE EXCEPTION 'bridge_drop_before: % is no day up to today', day;
    END IF;
    SELECT p.name, p.until INTO part, ends FROM bridge_partitions() AS p
        WHERE p.parent = 'event' AND p.until <= day::timestamptz ORDER BY p.since LIMIT 1;
    IF part IS NOT NULL THEN
        INSERT INTO history_setting AS h (name, value) VALUES ('statuses_since', ends::date::text)
            ON CONFLICT (name) DO UPDATE SET value = greatest(h.value::date, ends::date)::text;
    ELSE
        SELECT p.name INTO part FROM bridge_partitions() AS p
            WHERE p.parent = 'payload' AND p.until <= day::timestamptz AND NOT EXISTS (
                SELECT FROM bridge_partitions() AS e
                WHERE e.parent = 'event' AND (e.since IS NULL OR e.since < p.until))
            ORDER BY p.since LIMIT 1;
    END IF;
    IF part IS NOT NULL THEN
        EXECUTE format('DROP TABLE %I', part);
    END IF;
    RETURN part;
END
$$;
COMMENT ON FUNCTION bridge_drop_before IS 'Drops the oldest partition whose rows were all received before a day (UTC), which is today at most; gives its name. It acts with the rights of the role that made the tables.';

-- What they call is what stands beside the tables, whatever the caller put in front of it.
REVOKE ALL ON FUNCTION bridge_make_partition, bridge_drop_before FROM PUBLIC;
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['bridge_partitions()', 'bridge_make_partition(date)', 'bridge_drop_before(date)'] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', name, current_schema());
    END LOOP;
END
$$;

CREATE VIEW status_event AS
SELECT
    coalesce(e.event_id, j.journal || '-' || e.position) AS event_id, e.sequence, t.topic, d.client_id, d.device_id,
    p.serial, e.old_state, s.word AS new_state, s.state, s.severity, e.changed, e.missed_transition, p.province,
    p.city, p.district, p.detail, p.coordinate_system, p.longitude, p.latitude, p.wgs84_longitude, p.wgs84_latitude,
    e.occurred_at, e.received_at, coalesce(e.via, 'live') AS via, j.journal || '-' || e.position AS origin,
    coalesce(e.payload, (
        SELECT b.body FROM payload AS b
        WHERE b.payload_key = e.payload_key AND b.month = bridge_month(e.received_at)
    )) AS payload, d.stream
FROM event AS e
LEFT JOIN journal AS j ON j.journal_key = e.journal_key
LEFT JOIN topic AS t ON t.topic_key = e.topic_key
LEFT JOIN device_row AS d ON d.device_key = e.device_key
LEFT JOIN profile AS p ON p.profile_key = e.profile_key
LEFT JOIN state AS s ON s.state_key = e.state_key;

-- What only the event has is NULL once the event is past the retention of statuses. The aggregates say that it is one
-- row, so that a query that wants nothing of it does not look for it.
CREATE VIEW device_current AS
SELECT
    CASE WHEN e.is_there THEN coalesce(e.event_id, j.journal || '-' || d.position) END AS event_id, d.sequence, t.topic, d.client_id, d.device_id,
    p.serial, e.old_state, s.word AS new_state, s.state, s.severity, e.changed, e.missed_transition, p.province,
    p.city, p.district, p.detail, p.coordinate_system, p.longitude, p.latitude, p.wgs84_longitude, p.wgs84_latitude,
    e.occurred_at, d.received_at, CASE WHEN e.is_there THEN coalesce(e.via, 'live') END AS via,
    j.journal || '-' || d.position AS origin, coalesce(e.payload, (
        SELECT b.body FROM payload AS b
        WHERE b.payload_key = e.payload_key AND b.month = bridge_month(d.received_at)
    )) AS payload, d.stream, d.first_seen,
    d.last_seen, d.run_since AS state_since,
    NOT EXISTS (
        SELECT 1 FROM coverage AS g WHERE g.topic = t.topic AND g.begins_gap AND g.at >= d.last_seen
        AND (d.received_at >= d.last_seen AND g.at <= now()
            OR CASE WHEN left(g.origin, 32) = j.journal THEN substr(g.origin, 34)::bigint >= d.position ELSE true END)
    ) AS certain
FROM device_row AS d
LEFT JOIN journal AS j ON j.journal_key = d.journal_key
LEFT JOIN topic AS t ON t.topic_key = d.topic_key
LEFT JOIN profile AS p ON p.profile_key = d.profile_key
LEFT JOIN state AS s ON s.state_key = d.word_key
LEFT JOIN LATERAL (
    SELECT
        count(*) > 0 AS is_there,
        max(n.event_id) AS event_id, max(n.old_state) AS old_state, bool_or(n.changed) AS changed,
        bool_or(n.missed_transition) AS missed_transition, max(n.occurred_at) AS occurred_at, max(n.via) AS via,
        (array_agg(n.payload))[1] AS payload, max(n.payload_key) AS payload_key
    FROM event AS n WHERE n.sequence = d.sequence AND n.received_at = d.received_at
) AS e ON true;

-- Closed pieces, then the open one of each device: certain up to the first gap since the device was heard, uncertain
-- from there on. A clock that was set back leaves a gap at a later time, although the device was heard since: its place
-- in the journal says so, where the device's newest status was placed behind its own time, or the gap is to come.
CREATE VIEW state_interval AS
SELECT
    d.stream, d.client_id, d.device_id, s.state, s.severity, i.since, i.until, i.us / 1e6::double precision AS seconds,
    i.cause IS NULL AS certain, i.cause,
    coalesce(i.run_since, i.since) AS run_since, false AS lasting, i.until AS counted_until
FROM state_interval_row AS i
JOIN device_row AS d ON d.device_key = i.device_key
JOIN state AS s ON s.state_key = i.state_key
UNION ALL
SELECT
    d.stream, d.client_id, d.device_id, s.state, s.severity, d.piece_since, g.at,
    seconds_between(d.piece_since, coalesce(g.at, now())),
    true, NULL, d.run_since, true, d.counted_until
FROM device_row AS d
JOIN topic AS t ON t.topic_key = d.topic_key
JOIN journal AS j ON j.journal_key = d.journal_key
JOIN state AS s ON s.state_key = d.state_key
LEFT JOIN coverage AS g ON g.event_id = (
    SELECT c.event_id FROM coverage AS c
    WHERE c.topic = t.topic AND c.begins_gap AND c.at >= d.last_seen
    AND (d.received_at >= d.last_seen AND c.at <= now()
        OR CASE WHEN left(c.origin, 32) = j.journal THEN substr(c.origin, 34)::bigint >= d.position ELSE true END)
    ORDER BY c.at LIMIT 1
)
WHERE g.at IS NULL OR g.at > d.piece_since
UNION ALL
SELECT
    d.stream, d.client_id, d.device_id, s.state, s.severity, g.at, NULL,
    seconds_between(g.at, now()),
    false, g.cause, d.run_since, true, d.counted_until
FROM device_row AS d
JOIN topic AS t ON t.topic_key = d.topic_key
JOIN journal AS j ON j.journal_key = d.journal_key
JOIN state AS s ON s.state_key = d.state_key
JOIN coverage AS g ON g.event_id = (
    SELECT c.event_id FROM coverage AS c
    WHERE c.topic = t.topic AND c.begins_gap AND c.at >= d.last_seen
    AND (d.received_at >= d.last_seen AND c.at <= now()
        OR CASE WHEN left(c.origin, 32) = j.journal THEN substr(c.origin, 34)::bigint >= d.position ELSE true END)
    ORDER BY c.at LIMIT 1
);

-- The time of one device in states of the severity critical, whichever they were; `state` is the last of them.
CREATE VIEW fault_episode AS
SELECT
    d.stream, d.client_id, d.device_id, s.state, coalesce(i.fault_since, i.since) AS since, i.until,
    seconds_between(coalesce(i.fault_since, i.since), i.until) AS seconds,
    i.fault_uncertain_us / 1e6::double precision AS uncertain_seconds, i.fault_uncertain_us = 0 AS certain
FROM state_interval_row AS i
JOIN device_row AS d ON d.device_key = i.device_key
JOIN state AS s ON s.state_key = i.state_key
WHERE i.ends_fault
UNION ALL
SELECT
    d.stream, d.client_id, d.device_id, s.state, d.fault_since, NULL,
    seconds_between(d.fault_since, now()),
    d.fault_uncertain_us / 1e6::double precision + coalesce(seconds_between(g.at, now()), 0),
    d.fault_uncertain_us = 0 AND g.at IS NULL
FROM device_row AS d
JOIN topic AS t ON t.topic_key = d.topic_key
JOIN journal AS j ON j.journal_key = d.journal_key
JOIN state AS s ON s.state_key = d.state_key
LEFT JOIN coverage AS g ON g.event_id = (
    SELECT c.event_id FROM coverage AS c
    WHERE c.topic = t.topic AND c.begins_gap AND c.at >= d.last_seen
    AND (d.received_at >= d.last_seen AND c.at <= now()
        OR CASE WHEN left(c.origin, 32) = j.journal THEN substr(c.origin, 34)::bigint >= d.position ELSE true END)
    ORDER BY c.at LIMIT 1
)
WHERE d.fault_since IS NOT NULL;

-- How long each device was in each state, by the day of the configured zone. A state that lasts is counted up to the
-- last midnight.
CREATE VIEW state_daily AS
SELECT
    x.day, d.stream, d.client_id, d.device_id, s.state, s.severity, x.certain_us / 1e6::double precision AS seconds,
    x.uncertain_us / 1e6::double precision AS uncertain_seconds, x.entered
FROM state_daily_row AS x
JOIN device_row AS d ON d.device_key = x.device_key
JOIN state AS s ON s.state_key = x.state_key
WHERE x.certain_us <> 0 OR x.uncertain_us <> 0 OR x.entered <> 0;

-- The times in which a topic was not heard; `until` and `seconds` are NULL while it lasts.
CREATE VIEW coverage_gap AS
SELECT
    topic, at AS since, gap_until AS until,
    CASE WHEN gap_until IS NOT NULL THEN seconds_between(at, gap_until) END AS seconds,
    cause
FROM coverage
WHERE begins_gap;

COMMENT ON VIEW status_event IS 'One row for each status. Order by sequence: times tie.';
COMMENT ON COLUMN status_event.event_id IS 'Unique: made from the event key of the topic where it has one, else the origin.';
COMMENT ON COLUMN status_event.sequence IS 'The order of storing.';
COMMENT ON COLUMN status_event.topic IS 'The name of the topic in the configuration.';
COMMENT ON COLUMN status_event.client_id IS 'The owner of the device; empty where the message names none.';
COMMENT ON COLUMN status_event.device_id IS 'The device; its serial number where the message names none.';
COMMENT ON COLUMN status_event.serial IS 'The serial number of the device.';
COMMENT ON COLUMN status_event.old_state IS 'The state before, as sent.';
COMMENT ON COLUMN status_event.new_state IS 'The state now, as sent.';
COMMENT ON COLUMN status_event.state IS 'The state now, by the name that [states] gives it.';
COMMENT ON COLUMN status_event.severity IS 'ok, info, warning or critical; else unknown.';
COMMENT ON COLUMN status_event.changed IS 'The state is another than the last one known of the device, else than old_state.';
COMMENT ON COLUMN status_event.missed_transition IS 'old_state is not the last state known of the device: a status was missed.';
COMMENT ON COLUMN status_event.province IS 'First administrative level, as sent.';
COMMENT ON COLUMN status_event.city IS 'Second administrative level, as sent.';
COMMENT ON COLUMN status_event.district IS 'Third administrative level, as sent.';
COMMENT ON COLUMN status_event.detail IS 'The rest of the address, as sent.';
COMMENT ON COLUMN status_event.coordinate_system IS 'The system of longitude and latitude, as sent.';
COMMENT ON COLUMN status_event.longitude IS 'Degrees east, as sent.';
COMMENT ON COLUMN status_event.latitude IS 'Degrees north, as sent.';
COMMENT ON COLUMN status_event.wgs84_longitude IS 'Degrees east in WGS-84; null where the system is unknown.';
COMMENT ON COLUMN status_event.wgs84_latitude IS 'Degrees north in WGS-84; null where the system is unknown.';
COMMENT ON COLUMN status_event.occurred_at IS 'When it happened, where the message says so.';
COMMENT ON COLUMN status_event.received_at IS 'When the daemon received it.';
COMMENT ON COLUMN status_event.via IS 'How it came: live or resync.';
COMMENT ON COLUMN status_event.origin IS 'The journal entry: journal and position.';
COMMENT ON COLUMN status_event.payload IS 'The JSON of the device, untouched.';
COMMENT ON COLUMN status_event.stream IS 'The stream of the device: its topic, unless several topics bring the same statuses.';

COMMENT ON VIEW state_interval IS 'The timeline of each device: closed pieces, then the open one, in two rows where a gap has begun since the device was heard.';
COMMENT ON COLUMN state_interval.stream IS 'The same as in status_event.';
COMMENT ON COLUMN state_interval.client_id IS 'The same as in status_event.';
COMMENT ON COLUMN state_interval.device_id IS 'The same as in status_event.';
COMMENT ON COLUMN state_interval.state IS 'The state.';
COMMENT ON COLUMN state_interval.severity IS 'Its severity.';
COMMENT ON COLUMN state_interval.since IS 'When the piece began.';
COMMENT ON COLUMN state_interval.until IS 'When it ended; null: it lasts.';
COMMENT ON COLUMN state_interval.seconds IS 'How long it was, or is up to now.';
COMMENT ON COLUMN state_interval.certain IS 'No status was missed in it, as far as is known.';
COMMENT ON COLUMN state_interval.cause IS 'Why it is not certain.';
COMMENT ON COLUMN state_interval.run_since IS 'Since when the device was in this state, through uncertain pieces.';
COMMENT ON COLUMN state_interval.lasting IS 'It is the open piece of the device, which its next status may close, or the certain part of it.';
COMMENT ON COLUMN state_interval.counted_until IS 'state_daily has it up to here; null: nothing of it yet.';

COMMENT ON VIEW fault_episode IS 'The times of each device in states of the severity critical, whichever they were.';
COMMENT ON COLUMN fault_episode.stream IS 'The same as in status_event.';
COMMENT ON COLUMN fault_episode.client_id IS 'The same as in status_event.';
COMMENT ON COLUMN fault_episode.device_id IS 'The same as in status_event.';
COMMENT ON COLUMN fault_episode.state IS 'The last state of the episode.';
COMMENT ON COLUMN fault_episode.since IS 'When it began.';
COMMENT ON COLUMN fault_episode.until IS 'When it ended; null: it lasts.';
COMMENT ON COLUMN fault_episode.seconds IS 'How long it was, or is up to now.';
COMMENT ON COLUMN fault_episode.uncertain_seconds IS 'How much of it is uncertain, up to now where it lasts.';
COMMENT ON COLUMN fault_episode.certain IS 'All of it is certain.';

COMMENT ON VIEW state_daily IS 'How long each device was in each state, by day. A state that lasts is counted up to the last midnight.';
COMMENT ON COLUMN state_daily.day IS 'The day in the configured zone.';
COMMENT ON COLUMN state_daily.stream IS 'The same as in status_event.';
COMMENT ON COLUMN state_daily.client_id IS 'The same as in status_event.';
COMMENT ON COLUMN state_daily.device_id IS 'The same as in status_event.';
COMMENT ON COLUMN state_daily.state IS 'The state.';
COMMENT ON COLUMN state_daily.severity IS 'Its severity.';
COMMENT ON COLUMN state_daily.seconds IS 'Certain seconds.';
COMMENT ON COLUMN state_daily.uncertain_seconds IS 'Uncertain seconds.';
COMMENT ON COLUMN state_daily.entered IS 'How often the state was entered.';

COMMENT ON VIEW coverage_gap IS 'The times in which a topic was not heard.';
COMMENT ON COLUMN coverage_gap.topic IS 'The topic.';
COMMENT ON COLUMN coverage_gap.since IS 'When it ceased to be heard.';
COMMENT ON COLUMN coverage_gap.until IS 'When it was heard from then on; null: it is not yet.';
COMMENT ON COLUMN coverage_gap.seconds IS 'How long that was.';
COMMENT ON COLUMN coverage_gap.cause IS 'Why.';

COMMENT ON VIEW device_current IS 'The newest status of each device. What only its event has is null once that is past the retention of statuses.';
COMMENT ON COLUMN device_current.event_id IS 'The same as in status_event.';
COMMENT ON COLUMN device_current.sequence IS 'The same as in status_event.';
COMMENT ON COLUMN device_current.topic IS 'The same as in status_event.';
COMMENT ON COLUMN device_current.client_id IS 'The same as in status_event.';
COMMENT ON COLUMN device_current.device_id IS 'The same as in status_event.';
COMMENT ON COLUMN device_current.serial IS 'The same as in status_event.';
COMMENT ON COLUMN device_current.old_state IS 'The same as in status_event.';
COMMENT ON COLUMN device_current.new_state IS 'The same as in status_event.';
COMMENT ON COLUMN device_current.state IS 'The same as in status_event.';
COMMENT ON COLUMN device_current.severity IS 'The same as in status_event.';
COMMENT ON COLUMN device_current.changed IS 'The same as in status_event.';
COMMENT ON COLUMN device_current.missed_transition IS 'The same as in status_event.';
COMMENT ON COLUMN device_current.province IS 'The same as in status_event.';
COMMENT ON COLUMN device_current.city IS 'The same as in status_event.';
COMMENT ON COLUMN device_current.district IS 'The same as in status_event.';
COMMENT ON COLUMN device_current.detail IS 'The same as in status_event.';
COMMENT ON COLUMN device_current.coordinate_system IS 'The same as in status_event.';
COMMENT ON COLUMN device_current.longitude IS 'The same as in status_event.';
COMMENT ON COLUMN device_current.latitude IS 'The same as in status_event.';
COMMENT ON COLUMN device_current.wgs84_longitude IS 'The same as in status_event.';
COMMENT ON COLUMN device_current.wgs84_latitude IS 'The same as in status_event.';
COMMENT ON COLUMN device_current.occurred_at IS 'The same as in status_event.';
COMMENT ON COLUMN device_current.received_at IS 'The same as in status_event.';
COMMENT ON COLUMN device_current.via IS 'The same as in status_event.';
COMMENT ON COLUMN device_current.origin IS 'The same as in status_event.';
COMMENT ON COLUMN device_current.payload IS 'The same as in status_event.';
COMMENT ON COLUMN device_current.stream IS 'The same as in status_event.';
COMMENT ON COLUMN device_current.first_seen IS 'When the first status of the device was received.';
COMMENT ON COLUMN device_current.last_seen IS 'When its newest status was received; it never goes back.';
COMMENT ON COLUMN device_current.state_since IS 'Since when it is in this state.';
COMMENT ON COLUMN device_current.certain IS 'Its topic was heard ever since last_seen: this is its state now.';
