-- What a sink has confirmed in one attempt; the newest rows only, and none holds an entry.
-- steps: of a batch that has not all from the first to the last position: from each position to the
-- next, as LEB128. attempts: how many it took. answer: what the other side has said, cut and
-- without secrets.
CREATE TABLE proof (
    id            INTEGER PRIMARY KEY,
    sink          TEXT    NOT NULL,
    from_position INTEGER NOT NULL,
    to_position   INTEGER NOT NULL,
    steps         BLOB,
    confirmed_at  INTEGER NOT NULL,
    attempts      INTEGER NOT NULL,
    answer        TEXT    NOT NULL
) STRICT;
