//! From a message's bytes to a [`StatusEvent`](crate::model::StatusEvent), and from an event to
//! what a sink sends. Pure functions: no IO, no clock, not async.

pub mod conditions;
pub mod coordinates;
pub mod decode;
mod decoders;
pub mod expression;
mod list;
mod mapping;
mod nearest;
mod pointer;
mod scalar;
mod scope;
pub mod states;
pub mod template;
mod urlencode;

pub use conditions::{Condition, Conditions};
pub use decode::{Decoder, Element, StatusKey, Undecodable};
pub use decoders::Decoders;
pub use expression::Expression;
pub use list::ListTemplate;
pub use mapping::{Field, Mapping};
pub(crate) use nearest::nearest;
pub use pointer::Pointer;
pub use states::{State, States};
pub use template::Template;
pub use urlencode::percent_encoded;
