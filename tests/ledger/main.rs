//! The real binary and what an operator does with it: accounts that balance over crashes, redrive,
//! drop, replay, forget. The source is the demo's broker.

#![allow(
    clippy::unwrap_used,
    reason = "a test says no more of a failure than where it was"
)]

#[path = "../peers/mod.rs"]
mod peers;

mod accounts;
mod bridge;
mod dead;
mod http;
mod replay;
mod sinks;
