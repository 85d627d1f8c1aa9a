//! Secrets that are rotated in their files while the daemon runs.
//!
//! - `files`: the files that were read, and whether one is another by now
//! - `in_use`: who connects asks, and who reads the configuration answers

mod files;
mod in_use;

pub use files::{SecretFiles, Stamp};
pub use in_use::{
    asked, is_current, looked, noted_again, tried, until_current, until_lately_current, use_files,
};
