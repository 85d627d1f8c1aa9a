//! Why there is no sink.

/// Why a sink cannot be built: its settings name something that is not there or that cannot be
/// used.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] crate::tls::Error),
    /// A setting that only its sink can judge; names it and the expected value.
    #[error("sink {name}: {problem}")]
    Settings {
        /// The sink's name in the configuration.
        name: String,
        /// The setting, and the expected value.
        problem: String,
    },
}
