//! TLS for those who connect to us: one certificate chain and its key, read again where the file
//! has changed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{info, warn};

use super::error::Error;
use super::files::{certificates, private_key};

/// How long a look at the files is waited for: on a file system that hangs it may not end.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// The files of a server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// PEM file of the certificate chain, the server's own first; an absolute path.
    pub cert_file: PathBuf,
    /// PEM file of its private key; an absolute path.
    pub key_file: PathBuf,
}

/// Accepts TLS connections. Clones share the certificate.
#[derive(Debug, Clone)]
pub struct Server {
    settings: ServerSettings,
    current: Arc<Mutex<Current>>,
    /// One look at the files at a time.
    looks: Arc<Semaphore>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    /// When the files were changed last.
    changed: [Option<SystemTime>; 2],
}

impl Server {
    /// Reads the certificate and its key.
    ///
    /// # Errors
    /// A file cannot be read, or they do not belong together.
    pub fn new(settings: ServerSettings) -> Result<Server, Error> {
        let current = Current {
            changed: changed(&settings),
            config: server_config(&settings)?,
        };
        Ok(Server {
            settings,
            current: Arc::new(Mutex::new(current)),
            looks: Arc::new(Semaphore::new(1)),
        })
    }

    /// The handshake of a client that has just connected.
    ///
    /// # Errors
    /// The client speaks no TLS, or does not believe the certificate.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> std::io::Result<TlsStream<S>> {
        let config = self.config().await;
        TlsAcceptor::from(config).accept(stream).await
    }

    /// With the certificate that is there now: a renewed one needs no restart. The files are looked
    /// at by a thread that may wait; the one who comes during a look has the certificate before.
    async fn config(&self) -> Arc<ServerConfig> {
        if let Ok(turn) = Arc::clone(&self.looks).try_acquire_owned() {
            let server = self.clone();
            let look = spawn_blocking(move || {
                let _turn = turn;
                server.look();
            });
            // A look that panics or hangs changes nothing.
            let _ = timeout(LOOK_MAX, look).await;
        }
        Arc::clone(&self.current().config)
    }

    /// Reads the files where one has changed. A certificate that cannot be used is named once, and
    /// the one before stays.
    fn look(&self) {
        let now = changed(&self.settings);
        if now == self.current().changed {
            return;
        }
        let cert_file = self.settings.cert_file.display();
        let config = server_config(&self.settings);
        let mut current = self.current();
        current.changed = now;
        match config {
            Ok(config) => {
                info!(%cert_file, "http certificate read again: its file has changed");
                current.config = config;
            }
            Err(error) => warn!(
                %cert_file, %error,
                "http certificate not read again: the one before is used; correct the files"
            ),
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn changed(settings: &ServerSettings) -> [Option<SystemTime>; 2] {
    let changed = |path: &Path| {
        std::fs::metadata(path)
            .and_then(|file| file.modified())
            .ok()
    };
    [changed(&settings.cert_file), changed(&settings.key_file)]
}

fn server_config(settings: &ServerSettings) -> Result<Arc<ServerConfig>, Error> {
    let ServerSettings {
        cert_file,
        key_file,
    } = settings;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::Setup)?
        .with_no_client_auth()
        .with_single_cert(
            certificates("cert_file", cert_file)?,
            private_key(key_file)?,
        )
        .map_err(|error| super::client::certificate_problem(cert_file, key_file, &error))?;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::hanging::Hanging;
    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/tls")
            .join(name)
    }

    #[test]
    fn files_that_do_not_belong_together_are_named() {
        let settings = |cert: &str, key: &str| ServerSettings {
            cert_file: fixture(cert),
            key_file: fixture(key),
        };
        assert!(Server::new(settings("server.pem", "server.key")).is_ok());
        for (cert, key, expected) in [
            ("absent.pem", "server.key", "cert_file"),
            ("server.pem", "absent.key", "key_file"),
            ("server.pem", "client.key", "is not the key"),
        ] {
            let error = Server::new(settings(cert, key))
                .err()
                .map(|e| e.to_string());
            assert!(
                error.as_ref().is_some_and(|e| e.contains(expected)),
                "{error:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_renewed_certificate_is_read_again_and_a_broken_one_is_not_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = ServerSettings {
            cert_file: folder.path().join("cert.pem"),
            key_file: folder.path().join("key.pem"),
        };
        let renew = |cert: &[u8], key: &[u8], second: u64| {
            for (path, text) in [(&settings.cert_file, cert), (&settings.key_file, key)] {
                fs::write(path, text).expect("a file");
                let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(second);
                let file = fs::File::options().write(true).open(path).expect("a file");
                file.set_modified(at).expect("a time");
            }
        };
        let read = |name: &str| fs::read(fixture(name)).expect("a fixture");
        renew(&read("server.pem"), &read("server.key"), 1);
        let server = Server::new(settings.clone()).expect("a server");
        let first = server.config().await;
        assert!(Arc::ptr_eq(&first, &server.config().await));
        renew(b"", b"", 2);
        assert!(Arc::ptr_eq(&first, &server.config().await));
        renew(&read("elsewhere.pem"), &read("elsewhere.key"), 3);
        assert!(!Arc::ptr_eq(&first, &server.config().await));
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_hangs_holds_up_one_client_for_a_moment_and_no_other_task() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = ServerSettings {
            cert_file: folder.path().join("cert.pem"),
            key_file: fixture("server.key"),
        };
        fs::copy(fixture("server.pem"), &settings.cert_file).expect("a file");
        let file = fs::File::options().write(true).open(&settings.cert_file);
        let file = file.expect("a file");
        file.set_modified(SystemTime::UNIX_EPOCH).expect("a time");
        let server = Server::new(settings.clone()).expect("a server");
        let before = server.config().await;
        let hanging = Hanging::in_place_of(&settings.cert_file);
        let (first, ()) = tokio::join!(server.config(), tokio::time::advance(LOOK_MAX * 2));
        assert!(Arc::ptr_eq(&before, &first));
        assert!(Arc::ptr_eq(&before, &server.config().await));
        hanging.end();
    }
}
