//! Whether a sink is up right now, for readiness and status.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

/// The state of a sink's other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthReport {
    /// It could deliver now.
    pub up: bool,
    /// Since when `up` is as it is.
    pub since: Timestamp,
    /// The last trouble, kept after it has passed.
    pub last_error: Option<String>,
}

/// Written by the sink's delivery alone, and read by the status.
#[derive(Debug, Clone)]
pub struct Health {
    report: Arc<Mutex<HealthReport>>,
}

impl Default for Health {
    fn default() -> Health {
        let report = HealthReport {
            up: false,
            since: Timestamp::now(),
            last_error: None,
        };
        Health {
            report: Arc::new(Mutex::new(report)),
        }
    }
}

impl Health {
    /// The other side answers. True where that is news.
    pub fn up(&self) -> bool {
        self.set(true, None)
    }

    /// The other side does not. True where that is news.
    pub fn in_trouble(&self, error: &str) -> bool {
        self.set(false, Some(error.to_owned()))
    }

    /// A copy of the state.
    pub fn report(&self) -> HealthReport {
        self.report
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, up: bool, error: Option<String>) -> bool {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        let news = report.up != up;
        if news {
            report.up = up;
            report.since = Timestamp::now();
        }
        if error.is_some() {
            report.last_error = error;
        }
        news
    }
}
