//! A database's error as people read it: without the words of the library around it, and without
//! the line of PostgreSQL's own source, which reads like a line of a statement.

/// The words of an error.
pub(super) fn words(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(error) => error.message().to_owned(),
        None => error.to_string(),
    }
}
