//! Why a server's certificate is not believed, in words, with its dates and names.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustls::CertificateError;
use rustls::pki_types::{ServerName, UnixTime};

use super::certificate::Certificate;

/// Why a server's certificate is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Untrusted {
    pub(super) reason: Reason,
    /// What it says of itself; `None` where that is not known, or cannot be read.
    pub(super) certificate: Option<Certificate>,
}

/// What is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reason {
    /// Over, by this clock.
    Expired(Timestamp),
    /// Not begun yet, by this clock.
    NotValidYet(Timestamp),
    /// For another host than this.
    OtherName(String),
    /// Of X.509's first version, or its second.
    OldVersion,
    /// One that may sign others, used by a server.
    Authority,
    /// Signed by nobody that is known.
    UnknownIssuer,
    /// This machine knows nobody, for this cause.
    NoRoots(String),
    /// Anything else, in the verifier's own words.
    Other(String),
}

impl Reason {
    /// Of what webpki says.
    pub(super) fn of(error: &CertificateError, host: Option<&ServerName<'_>>) -> Reason {
        let now = Timestamp::now();
        let host = || host.map_or_else(String::new, shown);
        match error {
            CertificateError::Expired => Reason::Expired(now),
            CertificateError::ExpiredContext { time, .. } => Reason::Expired(timestamp(*time)),
            CertificateError::NotValidYet => Reason::NotValidYet(now),
            CertificateError::NotValidYetContext { time, .. } => {
                Reason::NotValidYet(timestamp(*time))
            }
            CertificateError::NotValidForName => Reason::OtherName(host()),
            CertificateError::NotValidForNameContext { expected, .. } => {
                Reason::OtherName(shown(expected))
            }
            CertificateError::UnknownIssuer => Reason::UnknownIssuer,
            // webpki's own errors, which rustls passes on as they are.
            CertificateError::Other(other) => match other.0.to_string().as_str() {
                "CaUsedAsEndEntity" => Reason::Authority,
                "UnsupportedCertVersion" => Reason::OldVersion,
                words => Reason::Other(spaced(words)),
            },
            CertificateError::BadEncoding => Reason::Other("it is damaged".to_owned()),
            CertificateError::BadSignature => Reason::Other(
                "its signature does not fit: it, or one of its authorities, was changed".to_owned(),
            ),
            CertificateError::Revoked => Reason::Other("it was revoked".to_owned()),
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Reason::Other("its extendedKeyUsage is not serverAuth".to_owned())
            }
            other => Reason::Other(other.to_string()),
        }
    }
}

impl Untrusted {
    /// The problem and what to do; `ca` is the key that names further roots, and `pinned` says
    /// whether a server's own certificate can stand there.
    pub(super) fn explained(&self, ca: &str, pinned: Pinned) -> String {
        format!("{self}; {}", self.advice(ca, pinned))
    }

    fn advice(&self, ca: &str, pinned: Pinned) -> String {
        let or_pin = match pinned {
            Pinned::Possible => format!("put this very certificate into {ca}, or "),
            Pinned::Impossible => String::new(),
        };
        match &self.reason {
            Reason::Expired(_) => {
                "renew it on the server, and check this machine's clock".to_owned()
            }
            Reason::NotValidYet(_) => "check this machine's clock and the server's".to_owned(),
            Reason::OtherName(host) => {
                let kind = match host.parse::<std::net::IpAddr>() {
                    Ok(_) => "IP",
                    Err(_) => "DNS",
                };
                format!(
                    "use the name that it has in the URL, or have it issued again with \
                     subjectAltName={kind}:{host}"
                )
            }
            Reason::OldVersion => format!(
                "{or_pin}have it issued again with extensions (openssl x509 -req -extfile, with \
                 subjectAltName)"
            ),
            Reason::Authority => format!(
                "{or_pin}have it issued again as a server's (openssl req -x509 -addext \
                 basicConstraints=critical,CA:FALSE)"
            ),
            Reason::UnknownIssuer => match (&self.certificate, pinned) {
                (Some(certificate), Pinned::Possible) if certificate.is_own_issuer => {
                    format!("set {ca} to this very certificate")
                }
                _ => {
                    format!("set {ca} to the certificate of the authority that signed the server's")
                }
            },
            Reason::NoRoots(_) => format!("install ca-certificates, or set {ca}"),
            Reason::Other(_) => "the server's certificate must be replaced".to_owned(),
        }
    }
}

/// Whether the server's own certificate may stand among the roots, byte for byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pinned {
    Possible,
    Impossible,
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let certificate = self.certificate.as_ref();
        match &self.reason {
            Reason::Expired(now) => {
                let until = certificate.map(|certificate| day_and_time(certificate.not_after));
                write!(f, "the server's certificate has expired")?;
                match until {
                    Some(until) => write!(f, ": it was valid until {until}")?,
                    None => write!(f, ":")?,
                }
                write!(f, ", and this machine's clock says {}", day_and_time(*now))
            }
            Reason::NotValidYet(now) => {
                write!(f, "the server's certificate is not valid yet:")?;
                if let Some(certificate) = certificate {
                    let from = day_and_time(certificate.not_before);
                    write!(f, " it begins on {from}, and")?;
                }
                write!(f, " this machine's clock says {}", day_and_time(*now))
            }
            Reason::OtherName(host) => {
                write!(f, "the server's certificate is for another name: ")?;
                match certificate {
                    Some(certificate) => write!(f, "for {}, not for {host}", hosts(certificate)),
                    None => write!(f, "not for {host}"),
                }
            }
            Reason::OldVersion => {
                let version = certificate.map_or(1, |certificate| certificate.version);
                write!(
                    f,
                    "the server's certificate{} is of X.509 version {version}, which has no \
                     subjectAltName and which no authority makes good",
                    named(certificate)
                )
            }
            Reason::Authority => write!(
                f,
                "the server's certificate{} is that of an authority (CA:TRUE), which openssl req \
                 -x509 makes by default, and not a server's",
                named(certificate)
            ),
            Reason::UnknownIssuer => match certificate {
                Some(certificate) if certificate.is_own_issuer => write!(
                    f,
                    "the server's certificate{} has signed itself, and nobody else vouches for it",
                    named(Some(certificate))
                ),
                Some(Certificate {
                    issuer: Some(issuer),
                    ..
                }) => write!(
                    f,
                    "the server's certificate was issued by \"{issuer}\", which is not trusted here"
                ),
                _ => write!(
                    f,
                    "the issuer of the server's certificate is not trusted here"
                ),
            },
            Reason::NoRoots(problem) => {
                write!(f, "no root certificates: this machine has none ({problem})")
            }
            Reason::Other(words) => write!(f, "the server's certificate is not good: {words}"),
        }
    }
}

impl std::error::Error for Untrusted {}

fn named(certificate: Option<&Certificate>) -> String {
    match certificate.and_then(|certificate| certificate.subject.as_deref()) {
        Some(subject) => format!(" \"{subject}\""),
        None => String::new(),
    }
}

/// As many names are shown.
const NAMES_MAX: usize = 5;

fn hosts(certificate: &Certificate) -> String {
    let names = &certificate.names;
    let shown: Vec<String> = names
        .iter()
        .take(NAMES_MAX)
        .map(|n| n.to_string())
        .collect();
    match (names.len(), &certificate.subject) {
        (0, Some(subject)) => format!("\"{subject}\" (its subject; it has no subjectAltName)"),
        (0, None) => "no host".to_owned(),
        (1..=NAMES_MAX, _) => shown.join(", "),
        (count, _) => format!("{} and {} more", shown.join(", "), count - NAMES_MAX),
    }
}

/// A server's name without its type's words.
pub(super) fn shown(host: &ServerName<'_>) -> String {
    match host {
        ServerName::IpAddress(address) => std::net::IpAddr::from(*address).to_string(),
        other => other.to_str().into_owned(),
    }
}

/// webpki's errors are names such as `PathLenConstraintViolated`.
fn spaced(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

fn timestamp(time: UnixTime) -> Timestamp {
    i64::try_from(time.as_secs())
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or_default()
}

fn day_and_time(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC)
        .strftime("%Y-%m-%d %H:%M UTC")
        .to_string()
}
