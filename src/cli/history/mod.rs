//! `stomp-bridge history`: questions to a SQL history, and what an operator does with one.
//!
//! - `verb`: the subcommands; `devices`, `events`, `faults`, `availability`, `gaps`, `export`: one
//!   file each; `follow`: events as they come
//! - `forget`, `prune`, `backup`: what changes a history, or copies it
//! - `place`: which history; `foreign`: what is none; `filter`: which of its rows; `unknown`: what a
//!   filter names that is not there; `labels`: what its devices are called; `meant`: which of them a
//!   text means
//! - `answer`: from a question to what is printed; `format`: CSV, JSON and GeoJSON; `table`, `bar`:
//!   what fits a terminal; `below`: a table to which rows come

mod answer;
mod availability;
mod backup;
mod bar;
mod below;
mod devices;
mod events;
mod export;
mod faults;
mod filter;
mod follow;
mod foreign;
mod forget;
mod format;
mod gaps;
mod labels;
mod meant;
mod place;
mod prune;
mod table;
mod unknown;
mod verb;

pub(super) use verb::{HistoryArgs, history};
