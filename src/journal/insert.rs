//! INSERTs of many rows, prepared once for each size.

use std::sync::{Arc, OnceLock};

use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments, AssertSqlSafe};

/// Up to this number of rows takes one statement, as an ordinary commit does; up to [`ROWS_MAX`]
/// rows take two: a multiple of this, and the rest. Each statement costs a round trip to the
/// connection's thread. Each size is prepared once, and there is a bound for the memory of all
/// sizes.
const STEP: usize = 64;

/// Rows of the largest INSERT: it binds 512 x 11 values, far below SQLite's limit of 32,766.
const ROWS_MAX: usize = 512;

/// How many sizes there are: each below [`STEP`], and its multiples.
const SIZES: usize = STEP - 1 + ROWS_MAX / STEP;

/// One INSERT of many rows.
#[derive(Debug)]
pub(super) struct Insert {
    head: &'static str,
    /// `(?,?,…)`
    row: String,
    tail: &'static str,
    columns: usize,
    texts: [OnceLock<Arc<str>>; SIZES],
}

impl Insert {
    /// An INSERT of rows with `columns` values each, between a head and a tail.
    pub(super) fn new(head: &'static str, columns: usize, tail: &'static str) -> Insert {
        let row = format!("({})", vec!["?"; columns].join(","));
        Insert {
            head,
            row,
            tail,
            columns,
            texts: [const { OnceLock::new() }; SIZES],
        }
    }

    /// Whether this number of rows takes one statement, which is a transaction by itself.
    pub(super) fn is_one(&self, rows: usize) -> bool {
        rows > 0 && Insert::piece(rows) == rows
    }

    /// How many of the remaining rows go into the next statement.
    fn piece(rows: usize) -> usize {
        if rows < STEP {
            rows
        } else {
            (rows / STEP * STEP).min(ROWS_MAX)
        }
    }

    /// The statement for a piece of this number of rows.
    fn text(&self, piece: usize) -> &Arc<str> {
        let index = if piece < STEP {
            piece - 1
        } else {
            STEP - 2 + piece / STEP
        };
        let text = || {
            format!(
                "{}{}{}",
                self.head,
                vec![self.row.as_str(); piece].join(","),
                self.tail
            )
            .into()
        };
        self.texts[index].get_or_init(text)
    }

    /// Inserts all rows in order, each bound by `bind`.
    pub(super) async fn run<T>(
        &self,
        connection: &mut SqliteConnection,
        mut rows: &[T],
        mut bind: impl FnMut(&T, &mut SqliteArguments) -> Result<(), sqlx::error::BoxDynError>,
    ) -> Result<(), sqlx::Error> {
        while !rows.is_empty() {
            let (piece, rest) = rows.split_at(Insert::piece(rows.len()));
            let mut arguments = SqliteArguments::default();
            arguments.reserve(piece.len() * self.columns, 0);
            piece
                .iter()
                .try_for_each(|row| bind(row, &mut arguments))
                .map_err(sqlx::Error::Encode)?;
            let query =
                sqlx::query_with(AssertSqlSafe(Arc::clone(self.text(piece.len()))), arguments);
            query.execute(&mut *connection).await?;
            rows = rest;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_rows_takes_few_statements() {
        let insert = Insert::new("", 5, "");
        for rows in 1..=3 * ROWS_MAX {
            let (mut rest, mut statements) = (rows, 0);
            while rest > 0 {
                let piece = Insert::piece(rest);
                assert_eq!(
                    insert.text(piece).matches("(?,?,?,?,?)").count(),
                    piece,
                    "of {rows}"
                );
                rest -= piece;
                statements += 1;
            }
            assert!(statements <= rows / ROWS_MAX + 2, "{statements} for {rows}");
            assert_eq!(insert.is_one(rows), statements == 1, "{rows}");
        }
        assert!(
            insert.texts.iter().all(|text| text.get().is_some()),
            "every size is of use"
        );
    }
}
