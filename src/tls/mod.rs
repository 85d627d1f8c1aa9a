//! One rustls configuration for every part that needs one.
//!
//! - `certificate`: what a certificate says of itself, also where no verifier takes it
//! - `client`: from the settings to a client's configuration
//! - `error`: why there is no configuration
//! - `explained`: what TLS has refused, in plain words
//! - `files`: certificates and keys in PEM files
//! - `pinned`: a client that believes one certificate and no other
//! - `server`: certificate and key of those who are connected to
//! - `untrusted`: why a server's certificate is not believed
//! - `verifier`: whether a server's certificate is believed

mod certificate;
mod client;
mod error;
mod explained;
mod files;
#[cfg(test)]
mod hanging;
mod pinned;
mod server;
mod untrusted;
mod verifier;

pub use certificate::not_after;
pub use client::{Settings, client_config, dialling_config, trusting_nobody};
pub use error::Error;
pub use explained::{Names, explained, handshake_problem, refusal};
pub use files::{certificate_pem, key_pem};
pub use pinned::client_of;
pub use server::{Server, ServerSettings};
