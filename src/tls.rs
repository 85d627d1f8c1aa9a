//! TLS by rustls: system roots, extra roots, client certificates. Verification cannot be switched off.

use std::path::PathBuf;

/// What a configuration may say of TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// PEM file of further root certificates; an absolute path.
    pub ca_file: Option<PathBuf>,
    /// PEM file of our certificate chain; an absolute path.
    pub cert_file: Option<PathBuf>,
    /// PEM file of our private key; an absolute path.
    pub key_file: Option<PathBuf>,
}
