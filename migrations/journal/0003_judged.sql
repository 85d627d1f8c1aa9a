-- The `when` of each sink, as a digest, of which one thing is known: it has held for a status, or the
-- log has said that it holds for none.
CREATE TABLE judged (
    sink   TEXT PRIMARY KEY,
    digest BLOB NOT NULL
) STRICT, WITHOUT ROWID;
