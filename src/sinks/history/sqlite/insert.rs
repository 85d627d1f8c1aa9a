//! INSERTs of many rows.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use futures_util::future::join;
use jiff::Timestamp;
use sqlx::error::BoxDynError;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments, AssertSqlSafe, Executor, Sqlite};

use crate::model::Payload;
use crate::sinks::history::tables::{Cell, Table};
use crate::sinks::history::times::{TimeTexts, storable};

/// Rows of the INSERTs: SQLite takes 32,766 values in one, and each size is prepared once. With each
/// INSERT one thread waits for the other: in a flood a thousand rows at once are a wait in 10 ms.
const INSERT_ROWS: [usize; 4] = [1000, 100, 10, 1];

/// Inserts the rows in order. While SQLite's thread works on some rows, the next are made ready.
pub(super) async fn insert<Row>(
    connection: &mut SqliteConnection,
    table: &Table<Row>,
    rows: &[Row],
) -> Result<(), sqlx::Error> {
    let mut rest = rows;
    let mut words = Words::default();
    let mut texts: [Option<Arc<str>>; INSERT_ROWS.len()] = Default::default();
    let mut ready = next(table, &mut rest, &mut words, &mut texts)?;
    while let Some(query) = ready {
        let (done, following) = join(connection.execute(query), async {
            next(table, &mut rest, &mut words, &mut texts)
        })
        .await;
        done?;
        ready = following?;
    }
    Ok(())
}

type Insert = Query<'static, Sqlite, SqliteArguments>;

fn next<Row>(
    table: &Table<Row>,
    rest: &mut &[Row],
    words: &mut Words,
    texts: &mut [Option<Arc<str>>; INSERT_ROWS.len()],
) -> Result<Option<Insert>, sqlx::Error> {
    for (rows, text) in INSERT_ROWS.into_iter().zip(texts) {
        if let Some((piece, later)) = rest.split_at_checked(rows) {
            let text = text.get_or_insert_with(|| statement(table, rows).into());
            let mut arguments = SqliteArguments::default();
            arguments.reserve(rows * table.columns.len(), 0);
            piece
                .iter()
                .try_for_each(|row| bind(&mut arguments, table, row, words))
                .map_err(sqlx::Error::Encode)?;
            *rest = later;
            let text = AssertSqlSafe(Arc::clone(text));
            return Ok(Some(sqlx::query_with(text, arguments)));
        }
    }
    Ok(None)
}

/// OR FAIL, since a failure rolls the whole transaction back in any case. For the default, ABORT,
/// SQLite copies each page before it changes, to roll back one statement.
fn statement<Row>(table: &Table<Row>, rows: usize) -> String {
    let marks = vec!["?"; table.columns.len()].join(",");
    let names = table.column_names();
    let mut text = format!(
        "INSERT OR FAIL INTO {} ({names}) VALUES ({marks})",
        table.name
    );
    for _ in 1..rows {
        let _ = write!(text, ",({marks})");
    }
    let _ = write!(text, " {}", table.on_conflict);
    text
}

/// A value in many rows of a batch is allocated once. The values go to another thread one by one:
/// allocating and freeing each would cost more than SQLite's own work.
#[derive(Default)]
struct Words {
    words: HashSet<Arc<str>>,
    /// Statuses that came together have one time.
    last: Option<(Timestamp, Arc<str>)>,
    texts: TimeTexts,
}

impl Words {
    fn shared(&mut self, word: &str) -> Arc<str> {
        if let Some(known) = self.words.get(word) {
            return Arc::clone(known);
        }
        let new: Arc<str> = word.into();
        self.words.insert(Arc::clone(&new));
        new
    }

    fn time(&mut self, time: Timestamp) -> Arc<str> {
        match &self.last {
            Some((last, text)) if *last == time => Arc::clone(text),
            _ => {
                let text: Arc<str> = self.texts.text(time).into();
                self.last = Some((time, Arc::clone(&text)));
                text
            }
        }
    }
}

fn bind<Row>(
    arguments: &mut SqliteArguments,
    table: &Table<Row>,
    row: &Row,
    words: &mut Words,
) -> Result<(), BoxDynError> {
    for (_, cell) in table.columns {
        match cell {
            Cell::Integer(read) | Cell::Key(read) => arguments.add(read(row))?,
            Cell::Word(read) => arguments.add(read(row).map(|word| words.shared(word)))?,
            Cell::Text(read) => arguments.add(read(row).map(Arc::<str>::from))?,
            Cell::Json(read) => {
                let text = read(row).map(Payload::shared);
                arguments.add(text.map(Arc::clone))?;
            }
            Cell::Flag(read) => arguments.add(read(row))?,
            Cell::Number(read) => arguments.add(read(row))?,
            Cell::Time(read) => {
                arguments.add(storable(read(row)).map(|time| words.time(time)))?;
            }
            Cell::Day(read) => arguments.add(read(row).to_string())?,
            Cell::Bytes(read) => arguments.add(read(row).to_vec())?,
        }
    }
    Ok(())
}

/// Always six digits, so that the texts sort as the times do.
pub(super) fn text_time(time: Timestamp) -> String {
    format!("{time:.6}")
}
