//! The HTTP sign-in before every connection.
//!
//! - [`client`]: asks the server, one request after another
//! - [`step`]: one request, and the values out of its answer; [`body`]: what it sends
//! - [`credentials`]: what the answers gave, for one connection and no longer
//! - [`error`]: why there is no answer to be used
//! - [`html`]: a value out of a page
//! - [`limit`]: how often a refused sign-in is tried again
//! - [`outline`]: what an answer looks like, without its values
//! - [`template`]: texts of the configuration with placeholders for those values; [`address`]: URLs
//!   with them

mod address;
mod body;
mod client;
mod credentials;
mod error;
mod html;
mod limit;
mod outline;
mod step;
mod template;

pub use address::Address;
pub use body::{BodyTemplate, JsonTemplate};
pub use client::Signin;
pub use credentials::Credentials;
pub use error::SigninError;
pub(super) use limit::SigninLimit;
pub(super) use outline::excerpt;
pub use step::{AnswerPart, Extract, Step, StepMethod};
pub use template::{Part, SigninTemplate};
