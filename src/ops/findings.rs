//! What does not balance in the delivery accounting.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tracing::error;

/// What the last audit found.
#[derive(Debug, Default)]
pub struct Findings {
    accounting_errors: Mutex<BTreeSet<String>>,
}

impl Findings {
    /// What did not balance, one line each.
    pub fn accounting_errors(&self) -> Vec<String> {
        self.accounting_errors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }

    /// Replaces the known findings, and logs the new ones.
    pub(super) fn replace(&self, accounting_errors: BTreeSet<String>) {
        let mut known = self
            .accounting_errors
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for accounting_error in accounting_errors.difference(&known) {
            error!(
                accounting_error,
                "delivery accounting does not balance: please report this, with the log since the last start"
            );
        }
        *known = accounting_errors;
    }
}
