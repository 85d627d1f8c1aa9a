//! The HTTP sign-in before every connection.
//!
//! - [`client`]: asks the server, and takes the values out of its answer
//! - [`credentials`]: what the answer gave, for one connection and no longer
//! - [`outline`]: what an answer looks like, without its values
//! - [`template`]: texts of the configuration with placeholders for those values

mod client;
mod credentials;
mod outline;
mod template;

pub use client::{Extract, Signin, SigninError};
pub use credentials::Credentials;
pub use template::{Part, SigninTemplate, percent_encoded};
