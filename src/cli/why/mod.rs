//! `stomp-bridge why`: the way of one event, from the frame to what became of it at each sink. It
//! reads, and changes nothing.
//!
//! - `verb`: what may be asked; `device`: which device is meant; `serial`: by its serial number
//! - `find`: its event in the journal, from the newest entry back
//! - `stored`: its row in the SQL histories
//! - `fate`: what became of it at each sink
//! - `way`: all of that as one; `text`: as people read it

mod device;
mod fate;
mod find;
mod serial;
mod stored;
mod text;
mod verb;
mod way;

pub(super) use device::Device;
pub(super) use find::{Kept, Readings};
pub(super) use verb::{WhyArgs, why};
