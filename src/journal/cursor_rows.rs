//! Reads and writes the table `cursor`: how far each sink has come, and its accounting.

use std::sync::Arc;

use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Arguments, Row};

use super::Error;
use super::accounting::{Accounting, Passed};
use super::error::failed;
use super::insert::Insert;
use super::state::CursorRow;
use crate::model::Position;

/// The statement of [`save`].
pub(super) fn statement() -> Insert {
    let head = "INSERT INTO cursor (sink, position, started, rewound, furthest, delivered, filtered, undecodable, \
             dead_lettered, evicted, removed) VALUES ";
    // The commands count `redriven` and `discarded` themselves.
    let tail = " ON CONFLICT DO UPDATE SET position = excluded.position, started = excluded.started, \
             rewound = excluded.rewound, furthest = excluded.furthest, delivered = excluded.delivered, filtered = excluded.filtered, \
             undecodable = excluded.undecodable, dead_lettered = excluded.dead_lettered, evicted = excluded.evicted, \
             removed = excluded.removed";
    Insert::new(head, 11, tail)
}

/// Writes cursors where they stand now.
pub(super) async fn save(
    connection: &mut SqliteConnection,
    insert: &Insert,
    cursors: &[CursorRow],
) -> Result<(), Error> {
    let bind = |CursorRow {
                    sink,
                    position,
                    accounting,
                }: &CursorRow,
                arguments: &mut SqliteArguments| {
        let Passed {
            delivered,
            filtered,
            undecodable,
            dead_lettered,
            evicted,
            removed,
        } = accounting.passed;
        arguments.add(Arc::clone(sink))?;
        for position in [
            position.0,
            accounting.started.0,
            accounting.rewound,
            accounting.furthest.0,
        ] {
            arguments.add(position)?;
        }
        for count in [
            delivered,
            filtered,
            undecodable,
            dead_lettered,
            evicted,
            removed,
        ] {
            arguments.add(i64::try_from(count)?)?;
        }
        Ok(())
    };
    insert
        .run(connection, cursors, bind)
        .await
        .map_err(failed("save the cursors"))?;
    Ok(())
}

/// Every cursor, with its accounting.
pub(super) async fn all(connection: &mut SqliteConnection) -> Result<Vec<CursorRow>, Error> {
    const CURSORS: &str = "SELECT sink, position, started, rewound, delivered, filtered, undecodable, dead_lettered, evicted, \
         removed, redriven, discarded, furthest FROM cursor";
    let row = |row: SqliteRow| {
        let count = |index: usize| row.try_get(index).map(i64::unsigned_abs);
        let passed = Passed {
            delivered: count(4)?,
            filtered: count(5)?,
            undecodable: count(6)?,
            dead_lettered: count(7)?,
            evicted: count(8)?,
            removed: count(9)?,
        };
        let accounting = Accounting {
            started: Position(row.try_get(2)?),
            rewound: row.try_get(3)?,
            furthest: Position(row.try_get(12)?),
            passed,
            redriven: count(10)?,
            discarded: count(11)?,
        };
        Ok(CursorRow {
            sink: row.try_get::<&str, _>(0)?.into(),
            position: Position(row.try_get(1)?),
            accounting,
        })
    };
    sqlx::query(CURSORS)
        .try_map(row)
        .fetch_all(connection)
        .await
        .map_err(failed("read the cursors"))
}
