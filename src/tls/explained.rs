//! What TLS has refused, in plain words, and what to do about it.

use std::io;

use rustls::{AlertDescription, CertificateError};

use super::untrusted::{Pinned, Reason, Untrusted};

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
    /// The names of [`Settings`](super::Settings).
    const SETTINGS: Names = Names {
        ca: "ca_file",
        client: "cert_file, key_file",
    };

    /// The error, and what to do about it, where other code than ours has verified.
    pub fn explained(&self, error: &rustls::Error) -> String {
        self.told(error, Pinned::Impossible)
    }

    fn told(&self, error: &rustls::Error, pinned: Pinned) -> String {
        match error {
            rustls::Error::InvalidCertificate(bad) => untrusted(bad).explained(self.ca, pinned),
            error => format!("{error}; {}", advice(error, self)),
        }
    }
}

/// The error, and what to do about it, by the names of [`Settings`](super::Settings).
pub fn explained(error: &rustls::Error) -> String {
    Names::SETTINGS.told(error, Pinned::Possible)
}

/// As our verifier has it; or, of another verifier, what it says.
fn untrusted(error: &CertificateError) -> Untrusted {
    if let CertificateError::Other(other) = error
        && let Some(ours) = other.0.downcast_ref::<Untrusted>()
    {
        return ours.clone();
    }
    Untrusted {
        reason: Reason::of(error, None),
        certificate: None,
    }
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
    match error {
        rustls::Error::InvalidMessage(_) => {
            "this does not look like TLS: is this the server's TLS port".to_owned()
        }
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            "the server speaks none of the protocols that are offered (ALPN): correct alpn"
                .to_owned()
        }
        rustls::Error::AlertReceived(_) => format!(
            "the server refused: it may want a client certificate ({}) that it knows",
            names.client
        ),
        _ => "check the server's TLS settings: TLS 1.2 or 1.3 is needed".to_owned(),
    }
}
