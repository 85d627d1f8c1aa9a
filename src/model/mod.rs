//! Plain values that every part speaks of. They do no IO, own no clock and know no wire or disk
//! format.

mod clock;
pub mod columns;
mod event;
mod position;

pub use clock::{Reading, TrustedClock};
pub use columns::{Column, ColumnKind};
pub use event::{Coordinates, Event, Place, Severity};
pub use position::{Origin, Position};
