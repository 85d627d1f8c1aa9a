//! stomp-bridge carries device status messages from one supervised STOMP connection to MQTT, SQL
//! histories and webhooks. Nothing is lost once it is received.
//!
//! One log, many cursors: a message is decoded, written to the [`journal`], synced, and only then
//! acknowledged to the STOMP server; every sink reads the journal at its own pace and moves its
//! cursor once the other side has confirmed.
//!
//! ```text
//! transport -> stomp -> source -> pipeline -> journal  - - disk - -  delivery -> pipeline -> sinks
//! ```
//!
//! The modules, in reading order. Imports run from the bottom of this list to its top, never the
//! other way; the test `architecture` holds the `use` lines against it.

pub mod bilingual;
pub mod duration;
pub mod excerpt;
pub mod faults;
pub mod hex;
pub mod latency;
pub mod log_throttle;
pub mod model;
pub mod new_file;
pub mod next_turn;
pub mod retry;
pub mod rotation;
pub mod secret;
pub mod sqlite_file;

pub mod paced;
pub mod pipeline;
pub mod stomp;
pub mod tls;

pub mod journal;
pub mod sinks;
pub mod transport;

pub mod delivery;
pub mod source;

pub mod ops;

pub mod config;
pub mod demo;

pub mod app;
pub mod cli;
pub mod supervise;
