//! SQL histories: rows and cursor in one transaction, so each event is stored exactly once. The
//! columns of `status_event` and `device` are those of `model::columns::STATUS`, in both databases.
//!
//! - `sqlite`, `postgres`: one file for each database, and its sink in it; `copy`: COPY of Postgres
//! - `sql`, `newest`, `retention`: statements, rows of `device`, and rows that are too old
//! - `capabilities`, `migration`, `another_journal`: what else both share

mod another_journal;
mod capabilities;
mod copy;
mod migration;
mod newest;
pub mod postgres;
mod retention;
mod sql;
pub mod sqlite;
