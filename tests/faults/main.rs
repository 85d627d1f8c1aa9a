//! The real daemon under every fault that one machine can produce: killed at any moment, aborted at
//! each failpoint, a power cut, a full disk. The same audit must find each of ten mutations. The
//! journal by itself, when its process is killed and when the disk fails.
//!
//! `STOMP_BRIDGE_TEST_SEED` repeats a run, as far as the machine's own timing allows;
//! `STOMP_BRIDGE_TEST_LONG` (set by `tests/run --long`) makes it a long one.

mod audit;
mod backlog;
mod clock;
mod crash_loop;
mod disk_fails;
mod disk_full;
mod journal_crash;
mod journal_replaced;
mod mutations;
mod plan;
mod power;
mod queue;
mod rabbitmq;
mod redelivered;
mod rig;
mod tally;
mod warehouse;
