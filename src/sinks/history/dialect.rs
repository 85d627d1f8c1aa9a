//! What the databases write each in its own way.

/// One database's ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// The functions that give the earliest and the latest of some times.
    pub(super) fn least_and_most(self) -> (&'static str, &'static str) {
        match self {
            Dialect::Sqlite => ("min", "max"),
            Dialect::Postgres => ("least", "greatest"),
        }
    }

    /// The seconds between two times.
    pub(super) fn seconds(self, from: &str, to: &str) -> String {
        match self {
            Dialect::Sqlite => format!("(julianday({to}) - julianday({from})) * 86400"),
            Dialect::Postgres => {
                format!("extract(epoch FROM {to} - {from})::double precision")
            }
        }
    }

    /// Rows, each in parentheses, as a table with these columns.
    pub(super) fn table(self, name: &str, columns: &str, rows: &[String]) -> String {
        let rows = rows.join(", ");
        match self {
            Dialect::Sqlite => {
                format!("(WITH rows ({columns}) AS (VALUES {rows}) SELECT * FROM rows) AS {name}")
            }
            Dialect::Postgres => format!("(VALUES {rows}) AS {name} ({columns})"),
        }
    }

    /// A parameter; Postgres asks for its type.
    pub(super) fn typed(self, place: usize, kind: &str) -> String {
        match (self, kind) {
            (Dialect::Sqlite, _) => format!("${place}"),
            // The parameter itself is a text.
            (Dialect::Postgres, "timestamptz" | "date") => format!("${place}::text::{kind}"),
            (Dialect::Postgres, _) => format!("${place}::{kind}"),
        }
    }

    /// That a column is like a pattern, whichever letters of ASCII are capital. SQLite has no other
    /// LIKE; in Postgres the collation decides which letters are the same, and "C" takes those alone.
    pub(super) fn like(self, column: &str, pattern: &str) -> String {
        match self {
            Dialect::Sqlite => format!("{column} LIKE {pattern} ESCAPE '\\'"),
            // The backslash escapes there unless something else is said.
            Dialect::Postgres => {
                format!("lower({column} COLLATE \"C\") LIKE lower({pattern} COLLATE \"C\")")
            }
        }
    }

    /// A parameter that is a time.
    pub(super) fn time(self, place: usize) -> String {
        self.typed(place, "timestamptz")
    }

    /// A time as a text; SQLite has no other times.
    pub(super) fn as_text(self, time: &str) -> String {
        match self {
            Dialect::Sqlite => time.to_owned(),
            Dialect::Postgres => {
                format!("to_char({time} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
            }
        }
    }

    /// That a flag is set, as the indexes have it.
    pub(super) fn is(self, flag: &str) -> String {
        match self {
            Dialect::Sqlite => format!("{flag} = 1"),
            Dialect::Postgres => flag.to_owned(),
        }
    }

    /// That a gap of coverage `c` did not come before the newest status of device `d` in its journal
    /// `j`, where the clock was set back between them.
    pub(super) fn is_no_earlier_gap(self) -> &'static str {
        match self {
            Dialect::Sqlite => {
                "(d.received_at >= d.last_seen OR NOT (substr(c.origin, 1, 32) = j.journal \
                     AND CAST(substr(c.origin, 34) AS INTEGER) < d.position))"
            }
            Dialect::Postgres => {
                "(d.received_at >= d.last_seen OR CASE WHEN left(c.origin, 32) = j.journal \
                     THEN substr(c.origin, 34)::bigint >= d.position ELSE true END)"
            }
        }
    }

    /// That a column has a value of a list, which is one parameter.
    pub(super) fn listed(self, column: &str, place: usize) -> String {
        match self {
            Dialect::Sqlite => format!("{column} IN (SELECT value FROM json_each(${place}))"),
            Dialect::Postgres => format!("{column} = ANY(${place})"),
        }
    }

    /// A list of whole numbers, which is one parameter, as rows with a `value`.
    pub(super) fn rows(self, place: usize) -> String {
        match self {
            Dialect::Sqlite => format!("(SELECT value FROM json_each(${place}))"),
            Dialect::Postgres => format!("(SELECT unnest(${place}::bigint[]) AS value)"),
        }
    }

    /// What is before every time, as a parameter.
    pub(super) fn before_all(self) -> &'static str {
        match self {
            Dialect::Sqlite => "",
            Dialect::Postgres => "-infinity",
        }
    }

    /// The last sequence that was given to an event, also where no event has it any longer.
    pub(super) fn last_sequence(self) -> &'static str {
        match self {
            Dialect::Sqlite => "SELECT seq FROM sqlite_sequence WHERE name = 'event'",
            Dialect::Postgres => {
                "SELECT greatest((SELECT max(sequence) FROM device_row), \
                     (SELECT value::bigint FROM history_setting WHERE name = 'last_sequence'))"
            }
        }
    }

    /// Writes that down before events are deleted; SQLite does so by itself (AUTOINCREMENT).
    pub(super) fn keep_last_sequence(self) -> Option<&'static str> {
        match self {
            Dialect::Sqlite => None,
            Dialect::Postgres => Some(
                "INSERT INTO history_setting AS h (name, value) \
                 SELECT 'last_sequence', greatest((SELECT max(sequence) FROM event), \
                     (SELECT max(sequence) FROM device_row), 0)::text \
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value \
                 WHERE h.value::bigint < excluded.value::bigint",
            ),
        }
    }

    /// The newest device of `event` or `state_interval_row`, by an index; `sequence` is the column
    /// by which SQLite's has parts.
    pub(super) fn newest_device(self, table: &str, sequence: &str) -> String {
        match self {
            Dialect::Sqlite => {
                let its_part = part(sequence);
                format!(
                    "WITH RECURSIVE part (part) AS ( \
                         SELECT min({its_part}) FROM {table} \
                         UNION ALL SELECT (SELECT min({its_part}) FROM {table} \
                             WHERE {its_part} > part) FROM part WHERE part IS NOT NULL) \
                     SELECT max((SELECT max(device_key) FROM {table} \
                         WHERE {its_part} = part)) FROM part"
                )
            }
            Dialect::Postgres => format!("SELECT max(device_key) FROM {table}"),
        }
    }

    /// The primary key of `state_interval_row`.
    pub(super) fn piece_key(self) -> &'static str {
        match self {
            Dialect::Sqlite => "piece_key",
            Dialect::Postgres => "device_key, since, ends_sequence",
        }
    }

    /// That a piece is ended by the event of a parameter, by an index.
    pub(super) fn is_ended_by(self, place: usize) -> String {
        match self {
            Dialect::Sqlite => {
                let (its_part, that) = (part("ends_sequence"), part(&format!("${place}")));
                format!("{its_part} = {that} AND ends_sequence = ${place}")
            }
            Dialect::Postgres => format!("ends_sequence = ${place}"),
        }
    }
}

/// Which part of SQLite's indexes by device a sequence stands in: their own expression, in the
/// migration.
fn part(sequence: &str) -> String {
    format!("{sequence} >> 16")
}
