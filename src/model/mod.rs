//! Plain values that every part speaks of. They do no IO, own no clock and know no wire or disk
//! format.

mod clock;
pub mod columns;
mod coverage;
mod deletion;
mod event;
mod journal_ids;
mod kind;
mod names;
mod omit;
mod payload;
mod position;
mod test_event;

pub use clock::{Reading, TrustedClock};
pub use columns::{Column, ColumnKind};
pub use coverage::{Coverage, CoverageCause};
pub use deletion::{Allowance, DeletionReport};
pub use event::{Coordinates, CoverageEvent, Event, EventKind, Place, Severity, StatusEvent, Via};
pub use journal_ids::JournalIds;
pub use kind::EntryKind;
pub use names::{Label, Named, Names, device_key, device_name};
pub use omit::Omit;
pub use payload::Payload;
pub use position::{Origin, Position};
