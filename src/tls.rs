//! TLS by rustls: system roots, extra roots, client certificates. Verification cannot be switched
//! off.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

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

/// Why there is no TLS configuration. All of them are for the operator: trying again as it is
/// changes nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A configured file cannot be read.
    #[error("{key} {}: {reason}; it must be readable by this process", path.display())]
    Read {
        /// The key of the configuration.
        key: &'static str,
        /// What it names.
        path: PathBuf,
        /// What the system said; part of the text, so not a source.
        reason: io::Error,
    },
    /// A configured file holds something else than it should.
    #[error("{key} {}: {problem}", path.display())]
    Content {
        /// The key of the configuration.
        key: &'static str,
        /// What it names.
        path: PathBuf,
        /// The mistake, and what to do.
        problem: String,
    },
    /// A certificate without a key, or a key without a certificate.
    #[error("{present} is set but {absent} is not: a client certificate needs both")]
    Unpaired {
        /// The key that is set.
        present: &'static str,
        /// The key that is not.
        absent: &'static str,
    },
    /// The system offers no root certificate, and none is configured.
    #[error(
        "no root certificates: the system has none ({problem}); install ca-certificates or set ca_file"
    )]
    NoRoots {
        /// What the system said.
        problem: String,
    },
    /// rustls refuses its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

/// One client configuration: TLS 1.2 and 1.3 by ring, roots of the system and of `ca_file`, and the
/// client certificate, if there is one.
///
/// The files are read at each call, so that a renewed certificate is used at the next connection.
pub fn client_config(settings: &Settings) -> Result<Arc<ClientConfig>, Error> {
    let builder = builder()?.with_root_certificates(roots(settings)?);
    let config = match (&settings.cert_file, &settings.key_file) {
        (None, None) => builder.with_no_client_auth(),
        (Some(cert_file), Some(key_file)) => builder
            .with_client_auth_cert(
                certificates("cert_file", cert_file)?,
                private_key(key_file)?,
            )
            .map_err(|error| client_certificate_problem(cert_file, key_file, &error))?,
        (Some(_), None) => {
            return Err(Error::Unpaired {
                present: "cert_file",
                absent: "key_file",
            });
        }
        (None, Some(_)) => {
            return Err(Error::Unpaired {
                present: "key_file",
                absent: "cert_file",
            });
        }
    };
    Ok(Arc::new(config))
}

/// For HTTP clients that want a configuration though they speak clear text only: every handshake
/// with it fails.
pub fn trusting_nobody() -> Result<Arc<ClientConfig>, Error> {
    Ok(Arc::new(
        builder()?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth(),
    ))
}

/// What TLS itself has refused, where that is what failed.
pub fn refusal(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// How a configuration names its files of certificates.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    /// The further roots.
    pub ca: &'static str,
    /// Our certificate and its key.
    pub client: &'static str,
}

impl Names {
    /// The names of [`Settings`].
    const SETTINGS: Names = Names {
        ca: "ca_file",
        client: "cert_file, key_file",
    };

    /// The error, and what to do about it.
    pub fn explained(&self, error: &rustls::Error) -> String {
        format!("{error}; {}", advice(error, self))
    }
}

/// The error, and what to do about it, by the names of [`Settings`].
pub fn explained(error: &rustls::Error) -> String {
    Names::SETTINGS.explained(error)
}

/// The text of a PEM file that holds certificates; `key` names it in an error.
///
/// # Errors
/// It cannot be read, or holds something else.
pub fn certificate_pem(key: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    let text = read(key, path)?;
    certificates_of(key, path, &text)?;
    Ok(text)
}

/// The text of a PEM file that holds a private key; `key` names it in an error.
///
/// # Errors
/// It cannot be read, or holds something else.
pub fn key_pem(key: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    let text = read(key, path)?;
    private_key_of(key, path, &text)?;
    Ok(text)
}

/// What has failed in a handshake, and what to do about it; `None`: the network below it.
pub fn handshake_problem(error: &io::Error) -> Option<String> {
    match (refusal(error), error.kind()) {
        (Some(refusal), _) => Some(explained(refusal)),
        (None, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => Some(
            "the server hung up during the handshake; is this its TLS port, and does it want a client certificate \
             (cert_file, key_file)"
                .to_owned(),
        ),
        _ => None,
    }
}

fn advice(error: &rustls::Error, names: &Names) -> String {
    use rustls::CertificateError as Bad;
    let advice = match error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            Bad::UnknownIssuer => {
                return format!(
                    "set {} to the certificate of the authority that signed the server's",
                    names.ca
                );
            }
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
                "the certificate is for another name: use the name that it has in the URL"
            }
            Bad::Expired | Bad::ExpiredContext { .. } => {
                "the certificate has expired: renew it on the server"
            }
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => "check this machine's clock",
            _ => "the server's certificate must be replaced",
        },
        rustls::Error::InvalidMessage(_) => {
            "this does not look like TLS: is this the server's TLS port"
        }
        rustls::Error::AlertReceived(_) => {
            return format!(
                "the server refused: it may want a client certificate ({}) that it knows",
                names.client
            );
        }
        _ => "check the server's TLS settings: TLS 1.2 or 1.3 is needed",
    };
    advice.to_owned()
}

/// The provider is given: none is installed for the process, and a second one in the tree would
/// make rustls panic.
fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, Error> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(Error::Setup)
}

fn roots(settings: &Settings) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    // A system's store often holds a few certificates that no verifier takes: they are skipped, as
    // browsers do.
    roots.add_parsable_certificates(system.certs);
    if let Some(path) = &settings.ca_file {
        for (index, certificate) in certificates("ca_file", path)?.into_iter().enumerate() {
            roots.add(certificate).map_err(|error| Error::Content {
                key: "ca_file",
                path: path.clone(),
                problem: format!(
                    "certificate {} of the file cannot be a root: {error}",
                    index + 1
                ),
            })?;
        }
    }
    if roots.is_empty() {
        let problem = system
            .errors
            .first()
            .map_or_else(|| "its store is empty".to_owned(), ToString::to_string);
        return Err(Error::NoRoots { problem });
    }
    Ok(roots)
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    certificates_of(key, path, &read(key, path)?)
}

fn certificates_of(
    key: &'static str,
    path: &Path,
    text: &[u8],
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates = CertificateDer::pem_slice_iter(text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Error::Content {
            key,
            path: path.to_owned(),
            problem: pem_problem(&error),
        })?;
    if certificates.is_empty() {
        let problem =
            "holds no certificate: expected PEM, \"-----BEGIN CERTIFICATE-----\"".to_owned();
        return Err(Error::Content {
            key,
            path: path.to_owned(),
            problem,
        });
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    private_key_of("key_file", path, &read("key_file", path)?)
}

fn private_key_of(
    key: &'static str,
    path: &Path,
    text: &[u8],
) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| {
        let encrypted = text.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED);
        let problem = match error {
            pem::Error::NoItemsFound if encrypted => {
                "the key is encrypted: decrypt it, for instance by \"openssl pkey -in KEY -out PLAIN\"".to_owned()
            }
            pem::Error::NoItemsFound => {
                "holds no private key: expected PEM, \"-----BEGIN PRIVATE KEY-----\"".to_owned()
            }
            error => pem_problem(&error),
        };
        Error::Content { key, path: path.to_owned(), problem }
    })
}

/// PKCS #8's encrypted form (RFC 7468, section 11) and that of OpenSSL's old key files.
const ENCRYPTED: &[u8] = b"ENCRYPTED";

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|reason| Error::Read {
        key,
        path: path.to_owned(),
        reason,
    })
}

fn pem_problem(error: &pem::Error) -> String {
    format!("is not valid PEM: {error}")
}

fn client_certificate_problem(cert_file: &Path, key_file: &Path, error: &rustls::Error) -> Error {
    match error {
        rustls::Error::InconsistentKeys(_) => Error::Content {
            key: "key_file",
            path: key_file.to_owned(),
            problem: format!(
                "is not the key of the first certificate in cert_file {}",
                cert_file.display()
            ),
        },
        error => Error::Content {
            key: "cert_file",
            path: cert_file.to_owned(),
            problem: format!(
                "cannot be used with key_file {}: {error}",
                key_file.display()
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/tls")
            .join(name)
    }

    fn settings(ca: Option<&str>, cert: Option<&str>, key: Option<&str>) -> Settings {
        Settings {
            ca_file: ca.map(fixture),
            cert_file: cert.map(fixture),
            key_file: key.map(fixture),
        }
    }

    #[test]
    fn authority_and_client_certificate_are_taken() {
        let with_client = settings(Some("ca.pem"), Some("client.pem"), Some("client.key"));
        assert!(
            client_config(&with_client)
                .expect("a configuration")
                .client_auth_cert_resolver
                .has_certs()
        );
        let without = settings(Some("ca.pem"), None, None);
        assert!(
            !client_config(&without)
                .expect("a configuration")
                .client_auth_cert_resolver
                .has_certs()
        );
    }

    #[test]
    fn mistake_in_a_file_names_the_key_the_file_and_what_is_wrong() {
        let check = |settings: Settings, expected: [&str; 2]| {
            let error = client_config(&settings).expect_err(expected[0]).to_string();
            assert!(expected.iter().all(|part| error.contains(part)), "{error}");
        };
        check(
            settings(Some("absent.pem"), None, None),
            ["ca_file", "absent.pem: No such file"],
        );
        check(
            settings(Some("README.md"), None, None),
            ["ca_file", "README.md: holds no certificate"],
        );
        let ca = Some("ca.pem");
        check(
            settings(ca, Some("client.pem"), None),
            ["cert_file is set", "key_file is not"],
        );
        check(
            settings(ca, None, Some("client.key")),
            ["key_file is set", "cert_file is not"],
        );
        check(
            settings(ca, Some("client.key"), Some("client.key")),
            ["cert_file", "holds no certificate"],
        );
        check(
            settings(ca, Some("client.pem"), Some("client.pem")),
            ["key_file", "holds no private key"],
        );
        check(
            settings(ca, Some("client.pem"), Some("server.key")),
            [
                "server.key: is not the key of the first certificate",
                "client.pem",
            ],
        );
    }

    #[test]
    fn encrypted_or_damaged_file_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let check = |text: &str, expected: &str| {
            let path = folder.path().join("key");
            fs::write(&path, text).expect("a file");
            let error = private_key(&path).expect_err(text).to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "the key is encrypted: decrypt it",
        );
        check("-----BEGIN PRIVATE KEY-----\nAAAA\n", "is not valid PEM");
    }
}
