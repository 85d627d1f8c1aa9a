//! Why there is no sink.

/// Why a sink cannot be built: its settings name something that is not there or that cannot be
/// used.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] crate::tls::Error),
    /// A setting that only its sink can judge; says which and what is expected.
    #[error("sink {name}: {problem}")]
    Settings {
        /// The sink's name in the configuration.
        name: String,
        /// Which setting, and what is expected of it.
        problem: String,
    },
}
