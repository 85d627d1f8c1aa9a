//! Why there is no TLS configuration.

use std::io;
use std::path::PathBuf;

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
    /// rustls refuses its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}
