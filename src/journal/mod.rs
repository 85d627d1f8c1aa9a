//! The log: every accepted or rejected status, synced to disk before it is acknowledged, and one cursor per sink.

mod entry;
mod settings;

pub use entry::{Entry, LastState, NewEntry, Verdict};
pub use settings::{Settings, WhenFull};
