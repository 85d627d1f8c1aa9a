//! The vocabulary of states: what a platform's own words mean.

use std::collections::HashMap;

use crate::model::Severity;

/// What one word means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The vocabulary's name for it.
    pub name: String,
    /// How much it matters.
    pub severity: Severity,
}

/// The words of a platform. An unknown word keeps its own name and has [`Severity::Unknown`]; it is never an error.
#[derive(Debug, Clone, Default)]
pub struct States {
    /// By the word as sent.
    pub words: HashMap<String, State>,
}
