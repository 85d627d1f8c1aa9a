//! The HTTP sign-in before every connection.
//!
//! - [`client`]: asks the server, and takes the values out of its answer
//! - [`credentials`]: what the answer gave, for one connection and no longer
//! - [`error`]: why there is no answer to be used
//! - [`outline`]: what an answer looks like, without its values
//! - [`template`]: texts of the configuration with placeholders for those values

mod client;
mod credentials;
mod error;
mod outline;
mod template;

pub use client::{Extract, Signin};
pub use credentials::Credentials;
pub use error::SigninError;
pub use template::{Part, SigninTemplate, percent_encoded};
