//! SQL histories: rows and cursor in one transaction, so each event is stored exactly once. The
//! columns of `status_event` and `device` are those of `model::columns::STATUS`, those of `coverage`
//! are `COVERAGE`, in both databases.
//!
//! - `sqlite`, `postgres`: one file for each database, and its sink in it; `copy`: COPY of Postgres
//! - `sql`, `rows`, `newest`, `retention`: statements, what goes into which table, rows of `device`,
//!   and rows that are too old
//! - `capabilities`, `migration`, `another_journal`, `times`, `words`: what else both share

mod another_journal;
mod capabilities;
mod copy;
mod migration;
mod newest;
pub mod postgres;
mod retention;
mod rows;
mod sql;
pub mod sqlite;
mod times;
mod words;
