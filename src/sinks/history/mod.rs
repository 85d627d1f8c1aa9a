//! SQL histories: rows and cursor in one transaction, so each event is stored exactly once.

pub mod postgres;
pub mod sqlite;
