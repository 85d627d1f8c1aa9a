//! From a message's bytes to a [`StatusEvent`](crate::model::StatusEvent), and from an event to
//! what a sink sends. Pure functions: no IO, no clock, not async.

mod body;
pub mod conditions;
mod constants;
pub mod coordinates;
pub mod decode;
mod decoders;
mod denial;
mod escapes;
pub mod expression;
mod ignore;
mod list;
mod mapping;
mod nearest;
mod pointer;
mod scalar;
mod scope;
pub mod states;
mod syntax;
pub mod template;
mod types;
mod undecodable;
mod urlencode;

pub use body::{Body, Charset};
pub use conditions::{Condition, Conditions};
pub use constants::Constants;
pub use decode::{Decoder, Doubts, Element, FieldPlaces, StatusKey};
pub use decoders::Decoders;
pub(crate) use denial::Denial;
pub use escapes::portable;
pub use expression::{Decision, Expression, Vocabulary};
pub use ignore::Ignore;
pub use list::ListTemplate;
pub use mapping::{Field, Mapping, ZONE_DEFAULT};
pub(crate) use nearest::nearest;
pub use pointer::Pointer;
pub use states::{State, States};
pub use template::{Template, UrlPart};
pub use undecodable::{Remedy, Undecodable};
pub use urlencode::percent_encoded;
