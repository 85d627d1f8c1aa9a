//! From a message's bytes to an [`Event`](crate::model::Event), and from an event to what a sink sends. Pure
//! functions: no IO, no clock, not async.

pub mod coordinates;
pub mod decode;
pub mod expression;
pub mod states;
pub mod template;

pub use decode::{Decoder, Element, Mapping, Rejection, Sighting};
pub use expression::Expression;
pub use states::{State, States};
pub use template::Template;
