-- believed_at: the time that was believed last, whatever the clock said. A clock that is far ahead of
-- it removes nothing by age, also after a restart.
CREATE TABLE clock (
    one         INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    believed_at INTEGER NOT NULL
) STRICT;
