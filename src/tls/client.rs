//! TLS by rustls: system roots, extra roots, client certificates. Verification cannot be switched
//! off.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::certificate::Certificate;
use super::error::Error;
use super::files::{certificates, private_key};
use super::verifier::Verifier;

/// Readings at once. One that waits for a file system that hangs keeps its thread; where all do,
/// the next connection waits as long as a connection may.
const READINGS_MAX: usize = 8;

static READINGS: Semaphore = Semaphore::const_new(READINGS_MAX);

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

/// One client configuration: TLS 1.2 and 1.3 by ring, roots of the system and of `ca_file`, and the
/// client certificate, if there is one.
///
/// The files are read at each call, so that a renewed certificate is used at the next connection; the
/// caller waits for the disk, so a task calls [`dialling_config`].
/// Where there is no root at all, each handshake says so: clear text needs none.
pub fn client_config(settings: &Settings) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let pinned = match &settings.ca_file {
        Some(path) => certificates("ca_file", path)?,
        None => Vec::new(),
    };
    let (roots, problem) = roots(settings, &pinned)?;
    let verifier = Verifier::new(&provider, roots, pinned, problem);
    // The name is rustls's own for every verifier that is not its default one: this one verifies
    // as the default one does, and takes what `ca_file` has byte for byte.
    let builder = builder(provider)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match (&settings.cert_file, &settings.key_file) {
        (None, None) => builder.with_no_client_auth(),
        (Some(cert_file), Some(key_file)) => builder
            .with_client_auth_cert(
                certificates("cert_file", cert_file)?,
                private_key(key_file)?,
            )
            .map_err(|error| certificate_problem(cert_file, key_file, &error))?,
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

/// The same for a connection: read on a thread that may wait, since the one who dials serves others, too.
///
/// # Errors
/// As of [`client_config`].
pub async fn dialling_config(settings: &Settings) -> Result<Arc<ClientConfig>, Error> {
    let turn = READINGS.acquire().await;
    let turn = turn.expect("nobody closes this semaphore");
    let settings = settings.clone();
    let read = spawn_blocking(move || {
        // Held by the thread, also where nobody waits for it any longer.
        let _turn = turn;
        client_config(&settings)
    });
    match read.await {
        Ok(config) => config,
        Err(ended) => std::panic::resume_unwind(ended.into_panic()),
    }
}

/// For HTTP clients that want a configuration though they speak clear text only: every handshake
/// with it fails.
pub fn trusting_nobody() -> Result<Arc<ClientConfig>, Error> {
    Ok(Arc::new(
        builder(Arc::new(rustls::crypto::ring::default_provider()))?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth(),
    ))
}

/// The provider is given: none is installed for the process, and a second one in the tree would
/// make rustls panic.
pub(super) fn builder(
    provider: Arc<CryptoProvider>,
) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, Error> {
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::Setup)
}

/// Whether it is a server's own (CA:FALSE), which signs nothing: webpki would still take it for a
/// root. One of an old version does not say, and one with CA:TRUE may sign.
fn signs_nothing(certificate: &CertificateDer<'_>) -> bool {
    Certificate::read(certificate)
        .is_some_and(|certificate| certificate.version >= 3 && !certificate.is_authority)
}

/// The roots, and why the system has none, where that is so.
fn roots(
    settings: &Settings,
    pinned: &[CertificateDer<'static>],
) -> Result<(RootCertStore, Option<String>), Error> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    // A system's store often holds a few certificates that no verifier takes: they are skipped, as
    // browsers do.
    roots.add_parsable_certificates(system.certs);
    if let Some(path) = &settings.ca_file {
        let listed = pinned.iter().enumerate();
        for (index, certificate) in listed.filter(|(_, listed)| !signs_nothing(listed)) {
            roots
                .add(certificate.clone())
                .map_err(|error| Error::Content {
                    key: "ca_file",
                    path: path.clone(),
                    problem: format!(
                        "certificate {} of the file cannot be a root: {error}",
                        index + 1
                    ),
                })?;
        }
    }
    let first = system.errors.first();
    let problem = first.map_or_else(|| "its store is empty".to_owned(), ToString::to_string);
    let problem = roots.is_empty().then_some(problem);
    Ok((roots, problem))
}

pub(super) fn certificate_problem(
    cert_file: &Path,
    key_file: &Path,
    error: &rustls::Error,
) -> Error {
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
    use super::super::hanging::Hanging;
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

    #[tokio::test]
    async fn other_tasks_go_on_while_a_file_cannot_be_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let ca_file = folder.path().join("ca.pem");
        std::fs::copy(fixture("ca.pem"), &ca_file).expect("a file");
        let settings = Settings {
            ca_file: Some(ca_file.clone()),
            ..Settings::default()
        };
        let hanging = Hanging::in_place_of(&ca_file);
        let others = async { hanging.end() };
        let (config, ()) = tokio::join!(dialling_config(&settings), others);
        config.expect("a configuration");
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
}
