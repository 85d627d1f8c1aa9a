//! The real binary and what an operator does with it: accounts that balance over crashes, redrive,
//! drop, replay, forget. The source is the demo's broker.

mod balance;
mod bridge;
mod dlq;
mod http;
mod replay;
mod sinks;
