//! Servers' certificates as intranets have them, in real handshakes of TLS 1.2 and 1.3: which are
//! believed, and what is said of the others.

use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::ResolvesServerCert;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use stomp_bridge::tls;
use stomp_bridge::transport::{DialError, Target, dial};
use tokio_rustls::TlsAcceptor;

use super::{fixture, listen, pem, target};

/// A server that shows a certificate and signs with a key, whether they fit or not: rustls itself
/// would not serve one of X.509's first version.
fn server(certificate: &str, key: &str, version: &'static SupportedProtocolVersion) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::from_pem_file(fixture(&format!("{key}.key"))).expect("a key");
    let key = provider.key_provider.load_private_key(key).expect("a key");
    let shown = CertifiedKey::new(vec![pem(&format!("{certificate}.pem"))], key);
    let shown: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(shown));
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(shown);
    TlsAcceptor::from(Arc::new(config))
}

/// Dials such a server by one of its names, believing one file; `Err`: the error's text.
async fn handshake(acceptor: TlsAcceptor, host: &str, ca: &str) -> Result<(), String> {
    let (listener, address) = listen().await;
    let server = async {
        let (tcp, _) = listener.accept().await.expect("a client");
        // The client's refusal is an error here.
        let _ = acceptor.accept(tcp).await;
    };
    let target = Target {
        tls: tls::Settings {
            ca_file: Some(fixture(ca)),
            ..tls::Settings::default()
        },
        ..target(&format!("stomps://{}", address.replace("127.0.0.1", host)))
    };
    let ((), dialled) = tokio::join!(server, dial(&target));
    match dialled {
        Ok(_) => Ok(()),
        Err(error @ DialError::Tls { .. }) => Err(error.to_string()),
        Err(other) => panic!("{other:?}"),
    }
}

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

#[tokio::test]
async fn certificate_that_stands_in_ca_file_itself_is_believed() {
    for version in VERSIONS {
        for name in ["oneliner", "version1", "server"] {
            let file = format!("{name}.pem");
            let outcome = handshake(server(name, name, version), "localhost", &file).await;
            assert_eq!(outcome, Ok(()), "{name} {version:?}");
        }
        // By its authority, as ever.
        let outcome = handshake(server("server", "server", version), "127.0.0.1", "ca.pem").await;
        assert_eq!(outcome, Ok(()), "{version:?}");
    }
}

#[tokio::test]
async fn certificate_of_a_server_in_ca_file_makes_no_other_good() {
    // Signed by the key of `elsewhere.pem`, which is no authority's.
    let by_it = "was issued by \"stomp-bridge test elsewhere\", which is not trusted here";
    check("forged", "localhost", "elsewhere.pem", &[by_it]).await;
}

#[tokio::test]
async fn who_shows_a_certificate_without_its_key_is_not_believed() {
    for version in VERSIONS {
        for (name, key) in [
            ("oneliner", "server"),
            ("version1", "server"),
            ("server", "version1"),
        ] {
            let file = format!("{name}.pem");
            let outcome = handshake(server(name, key, version), "localhost", &file).await;
            let error = outcome.expect_err(name);
            assert!(error.contains("TLS with localhost:"), "{error}");
        }
    }
}

/// What is said of a server's certificate, dialled by a name, where one file is believed.
async fn check(certificate: &str, host: &str, ca: &str, expected: &[&str]) {
    for version in VERSIONS {
        let acceptor = server(certificate, certificate, version);
        let error = handshake(acceptor, host, ca).await.expect_err(certificate);
        for part in expected {
            assert!(error.contains(part), "{part} is missing in {error}");
        }
        for jargon in [
            "Other(",
            "Error",
            "invalid peer",
            "UnixTime",
            "DnsName",
            "Context",
        ] {
            assert!(!error.contains(jargon), "{error}");
        }
    }
}

#[tokio::test]
async fn certificate_that_cannot_be_trusted_says_why_and_what_to_do() {
    let authority = "set ca_file to the certificate of the authority";
    let by_ca = "was issued by \"stomp-bridge test ca\", which is not trusted here";
    check("server", "127.0.0.1", "stranger.pem", &[by_ca, authority]).await;
    check(
        "elsewhere",
        "127.0.0.1",
        "ca.pem",
        &[
            "for another name: for elsewhere.test, not for 127.0.0.1",
            "use the name that it has in the URL",
            "subjectAltName=IP:127.0.0.1",
        ],
    )
    .await;
    check(
        "oneliner",
        "localhost",
        "ca.pem",
        &[
            "certificate \"localhost\" is that of an authority (CA:TRUE)",
            "put this very certificate into ca_file, or have it issued again",
            "CA:FALSE",
        ],
    )
    .await;
    check(
        "version1",
        "localhost",
        "ca.pem",
        &[
            "certificate \"localhost\" is of X.509 version 1",
            "put this very certificate into ca_file",
        ],
    )
    .await;
}

#[tokio::test]
async fn time_and_name_of_a_certificate_in_ca_file_count_too() {
    for ca in ["ca.pem", "expired.pem"] {
        check(
            "expired",
            "localhost",
            ca,
            &[
                "has expired: it was valid until 2021-01-01 00:00 UTC, and this machine's clock says 20",
                "renew it on the server",
            ],
        )
        .await;
    }
    for name in ["oneliner", "version1"] {
        check(
            name,
            "127.0.0.1",
            &format!("{name}.pem"),
            &["for \"localhost\" (its subject; it has no subjectAltName), not for 127.0.0.1"],
        )
        .await;
    }
    let other_name = "for another name: for elsewhere.test, not for localhost";
    check("elsewhere", "localhost", "elsewhere.pem", &[other_name]).await;
}
