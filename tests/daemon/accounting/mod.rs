//! The real binary and an operator's commands: accounting that balances over crashes, redrive,
//! drop, replay, forget. The source is the demo's broker.

mod balance;
pub(crate) mod bridge;
mod dlq;
mod http;
mod mqtt;
mod omit;
mod replay;
mod sink_test;
mod sinks;
mod webhook;
mod why;
mod why_rows;
mod width;
