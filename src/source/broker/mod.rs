//! The servers: what each promises, its warnings, what it needs when a topic is unsubscribed, and
//! the words of its errors. Nothing outside this folder knows one server from another.
//!
//! - [`facts`]: the questions, with the answers of a server that does what STOMP says
//! - [`rabbitmq`], [`activemq`], [`artemis`], [`spring`], [`unknown`]: a server each, as far as it
//!   differs from that
//! - [`guarantee`]: the promise for a topic, and what makes it better
//! - [`kind`]: which of them has answered, and what follows for the source
//! - [`warning`]: configuration warnings, in sentences
//!
//! Another server is another file, and a variant of [`Broker`].

mod activemq;
mod artemis;
mod facts;
mod guarantee;
mod kind;
mod rabbitmq;
mod spring;
mod unknown;
mod warning;

pub(super) use guarantee::DeliveryLimit;
pub use guarantee::Seen;
pub use kind::{Broker, PossibleGuarantee, guarantees, reads_a_queue};
pub(super) use kind::{
    advice, advice_on_refusal, delivery_limit, mends_itself, reads_the_same, seen_in, withheld,
};
pub use warning::{ConfigurationWarning, Detection};
