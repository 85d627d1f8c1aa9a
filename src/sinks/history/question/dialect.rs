//! What the databases write each in its own way.

use super::field::{Field, Kind};

/// One database's ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sinks::history) enum Dialect {
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
            Dialect::Postgres => format!(
                "lower({column} COLLATE \"C\") LIKE lower({pattern} COLLATE \"C\") ESCAPE '\\'"
            ),
        }
    }

    /// A column so that both databases give the same. It has no name of its own: Postgres would
    /// order by that and not by the view's column.
    pub(super) fn read(self, field: Field) -> String {
        let name = field.name;
        match (self, field.kind) {
            (Dialect::Sqlite, Kind::Number) => format!("CAST({name} AS REAL)"),
            (Dialect::Postgres, Kind::Text) => format!("{name}::text"),
            (Dialect::Postgres, Kind::Time) => {
                format!("to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
            }
            (Dialect::Postgres, Kind::Number) => format!("{name}::double precision"),
            (Dialect::Postgres, Kind::Integer) => format!("{name}::bigint"),
            (Dialect::Sqlite, _) | (Dialect::Postgres, Kind::Boolean) => name.to_owned(),
        }
    }
}
