//! How the way to a server is protected, and what that leaves open.

use std::fmt;
use std::net::IpAddr;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// What a mode of TLS leaves open on the way to another machine; its text is one line that ends
/// with what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// `sslmode=disable`: there is no TLS.
    Disable,
    /// `sslmode=allow`: TLS where the server refuses clear text.
    Allow,
    /// `sslmode=prefer`: TLS where the server offers it.
    Prefer,
    /// `sslmode=require`: TLS with any certificate.
    Require,
    /// `sslmode=verify-ca`, or `require` with `sslrootcert`: any name in the certificate.
    VerifyCa,
}

impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leaves_open = match self {
            Exposure::Disable => {
                "sslmode=disable sends the password and every status in clear text"
            }
            Exposure::Allow => {
                "sslmode=allow sends the password and every status in clear text, unless the \
                 server refuses that"
            }
            Exposure::Prefer => {
                "sslmode=prefer sends the password and every status in clear text where the \
                 server, or somebody between, answers without TLS"
            }
            Exposure::Require => {
                "sslmode=require encrypts, but accepts any certificate: somebody between can pose \
                 as the server and get the password and every status"
            }
            Exposure::VerifyCa => {
                "sslmode=verify-ca, like require with sslrootcert, accepts a trusted authority's \
                 certificate for any other name: its owner can pose as the server"
            }
        };
        write!(
            f,
            "{leaves_open}; write sslmode=verify-full, with sslrootcert=/path/to/ca.pem where the \
             system does not know the authority that signed the server's certificate"
        )
    }
}

/// How the way to a server is protected.
pub(super) struct Way {
    pub(super) mode: PgSslMode,
    pub(super) exposure: Option<Exposure>,
}

impl Way {
    pub(super) fn of(
        options: &PgConnectOptions,
        written: Option<PgSslMode>,
        has_root: bool,
    ) -> Way {
        let host = options.get_host();
        if options.get_socket().is_some() || host.starts_with('/') {
            // As libpq: `sslmode` says nothing of a Unix socket.
            return Way {
                mode: PgSslMode::Disable,
                exposure: None,
            };
        }
        let here = is_this_machine(host);
        let mode = match written {
            None if here => PgSslMode::Prefer,
            None => PgSslMode::VerifyFull,
            // As libpq: with a root the certificate is verified.
            Some(PgSslMode::Require) if has_root => PgSslMode::VerifyCa,
            Some(mode) => mode,
        };
        let exposure = match mode {
            PgSslMode::Disable => Some(Exposure::Disable),
            PgSslMode::Allow => Some(Exposure::Allow),
            PgSslMode::Prefer => Some(Exposure::Prefer),
            PgSslMode::Require => Some(Exposure::Require),
            PgSslMode::VerifyCa => Some(Exposure::VerifyCa),
            PgSslMode::VerifyFull => None,
        };
        Way {
            mode,
            exposure: exposure.filter(|_| !here),
        }
    }
}

/// By its spelling alone: a name that only resolves to a loopback address may resolve to another
/// one tomorrow.
fn is_this_machine(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}
