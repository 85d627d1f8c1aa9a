//! The journal on a real disk, and the deliveries from it.
//!
//! No test here may start a process: a fork has the lock of every open journal for a moment, and
//! the tests open theirs again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod backup;
mod cost;
mod delivery;
mod files;
mod promises;
mod undecodable;
