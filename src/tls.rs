//! TLS by rustls: system roots, extra roots, client certificates. Verification cannot be switched off.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

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

/// Why no TLS configuration could be made.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// What rustls is to verify and to show.
///
/// # Errors
/// A file that cannot be read or that holds something else.
pub fn client_config(settings: &Settings) -> Result<Arc<rustls::ClientConfig>, Error> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = &settings.ca_file {
        for certificate in CertificateDer::pem_file_iter(file).map_err(|e| Error(e.to_string()))? {
            roots.add(certificate.map_err(|e| Error(e.to_string()))?).map_err(|e| Error(e.to_string()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error(e.to_string()))?
        .with_root_certificates(roots);
    let config = match (&settings.cert_file, &settings.key_file) {
        (Some(cert), Some(key)) => {
            let chain =
                CertificateDer::pem_file_iter(cert).and_then(Iterator::collect).map_err(|e| Error(e.to_string()))?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|e| Error(e.to_string()))?;
            builder.with_client_auth_cert(chain, key).map_err(|e| Error(e.to_string()))?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}
