-- The time that was believed last, whatever the clock said: a clock that is far ahead of it deletes no
-- row by age, also after a restart. Without the row, the newest received_at counts.
CREATE TABLE bridge_clock (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    believed_at TEXT NOT NULL
);
