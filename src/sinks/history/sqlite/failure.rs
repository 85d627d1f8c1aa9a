//! What can go wrong with a history's file, whose fault it is, and what to do about it.

use std::path::Path;

use sqlx::migrate::MigrateError;

use super::super::migration::{ANOTHER_LAYOUT, NEWER_LAYOUT};
use super::super::words::words;

/// The mistake of the file, and what to do.
pub(super) fn in_words(path: &Path, error: &sqlx::Error) -> String {
    let path = path.display();
    match error {
        _ if is_newer(error) => format!(
            "{path}: {NEWER_LAYOUT}, or begin a new file, by moving this one away or by another \
             `path`; the journal fills it as far as it reaches"
        ),
        sqlx::Error::Migrate(_) => format!(
            "{path}: {ANOTHER_LAYOUT}: begin a new file, by moving this one away or by another \
             `path`; the journal fills it as far as it reaches"
        ),
        _ => format!("{path}: {}", explained(error)),
    }
}

/// What SQLite says, and what to do about it.
pub(in crate::sinks::history) fn explained(error: &sqlx::Error) -> String {
    match advice(error) {
        Some(advice) => format!("{}; {advice}", words(error)),
        None => words(error),
    }
}

fn is_newer(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Migrate(error) if matches!(**error, MigrateError::VersionMissing(_)))
}

/// SQLite's primary result code (the lowest byte), where SQLite itself reported the error.
pub(super) fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

/// TOOBIG, CONSTRAINT, MISMATCH: something in the batch, which another attempt cannot mend.
pub(super) fn is_refusal(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(18..=20))
}

/// What to do about it, by <https://www.sqlite.org/rescode.html>.
fn advice(error: &sqlx::Error) -> Option<&'static str> {
    const ACCESS: &str = "check that the file and its folder exist and that we may write to them";
    if matches!(error, sqlx::Error::Io(_)) {
        return Some(ACCESS);
    }
    match primary_code(error)? {
        5 | 6 => Some("another program holds the file: close its transaction"),
        3 | 8 | 14 => Some(ACCESS),
        10 => Some("check the disk"),
        11 | 26 => Some("the file is damaged or no SQLite database: restore it or move it away"),
        13 => Some("the disk is full: free some space"),
        _ => None,
    }
}
