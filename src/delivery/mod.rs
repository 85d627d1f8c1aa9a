//! From the journal to one sink: read, decode, filter, attempt, and advance the cursor, dead-letter
//! or retry. Nothing here knows the kind of a sink.
//!
//! The cursor never passes an event that the sink has not confirmed and that was not dead-lettered
//! (invariant I2). Redrives and replays go the same way and move no cursor.
//!
//! | file | its part |
//! | --- | --- |
//! | `engine` | the task of one sink: the only `select!` here |
//! | `scheduler` | pure: what goes next, whose trouble a failure is, when to try again |
//! | `lanes`, `attempt` | pure: each device's queue; events that go together, and bisection |
//! | `circuit_breaker`, `bucket` | pure: a sink that rejects too much; one that has a rate |
//! | `progress` | pure: the cursor, and the entries ahead of it |
//! | `resume` | where a sink goes on, by the journal's cursor and by its own |
//! | `stopping` | what a history still gets at a stop |
//! | `prefetch`, `decode`, `gaps` | the log as one sink reads it |
//! | `all_filtered` | pure: a `when` that may hold for nothing |
//! | `statuses` | decodes a status once for all sinks |
//! | `verdict` | what a sink makes of a status, for people who ask |
//! | `redrive` | redrives and replays |
//! | `report`, `metrics` | log lines, status and counters |
//! | `trouble_log`, `dead_letter_log` | pure: which lines are logged |

mod all_filtered;
mod attempt;
mod bucket;
mod circuit_breaker;
mod dead_letter_log;
mod decode;
mod engine;
mod gaps;
mod lanes;
mod metrics;
mod prefetch;
mod progress;
mod redrive;
mod report;
mod resume;
mod scheduler;
mod settings;
mod statuses;
mod stopping;
#[cfg(test)]
mod tests;
mod trouble_log;
mod verdict;

pub use decode::event_of;
pub use engine::run;
pub use metrics::Counters;
pub use settings::{Confirmations, Settings};
pub use statuses::{Statuses, decoder_of};
pub use verdict::Verdict;
