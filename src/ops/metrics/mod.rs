//! `/metrics`: read off the parts at each scrape, so nothing is kept twice and nothing grows
//! between scrapes.
//!
//! - `list`: every metric, with its labels and its help
//! - `scrape`: their values now
//! - `topic_labels`: which topics have a label of their own; `process`: what the kernel knows of us
//! - `exposition`: the two formats, and which one is asked for

mod exposition;
mod list;
mod process;
mod scrape;
mod topic_labels;

pub(super) use exposition::Format;
pub(super) use scrape::encode;
