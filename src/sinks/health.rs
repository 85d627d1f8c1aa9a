//! Whether a sink is up right now, for readiness and status, and the one thing that is asked of it:
//! another attempt at once.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::secret::redact_echo;

/// The state of a sink's other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthReport {
    /// It could deliver now.
    pub up: bool,
    /// Since when `up` is as it is.
    pub since: Timestamp,
    /// The last trouble, kept after it has passed, or why the last dead letter is one.
    pub last_error: Option<String>,
    /// When that was.
    pub last_error_at: Option<Timestamp>,
    /// Why it is not up now, as far as that is known.
    pub trouble: Option<String>,
    /// What an operator should mend although it delivers.
    pub warning: Option<String>,
    /// When it is tried next, where it waits for that.
    pub next_attempt: Option<Timestamp>,
    /// Its rate allows no attempt before, also not by a retry.
    pub no_attempt_before: Option<Timestamp>,
    /// Something could be delivered now, and waits for its rate.
    pub waits_for_rate: bool,
    /// The other side wants nothing more: it is not tried until somebody asks for it.
    pub disabled: bool,
    /// It waits until something is done, or for long: its dead letters are full, or it rejects too
    /// much.
    pub paused: bool,
}

/// Written by the sink's delivery alone, and read by the status. Clones share what they hold.
#[derive(Debug, Clone)]
pub struct Health {
    report: Arc<Mutex<HealthReport>>,
    retry: Arc<Notify>,
    /// Notified of each trouble.
    troubles: Arc<Notify>,
}

impl Default for Health {
    fn default() -> Health {
        let report = HealthReport {
            up: false,
            since: Timestamp::now(),
            last_error: None,
            last_error_at: None,
            trouble: None,
            warning: None,
            next_attempt: None,
            no_attempt_before: None,
            waits_for_rate: false,
            disabled: false,
            paused: false,
        };
        Health {
            report: Arc::new(Mutex::new(report)),
            retry: Arc::default(),
            troubles: Arc::default(),
        }
    }
}

impl Health {
    /// One that notifies of each trouble.
    pub fn notifying(troubles: Arc<Notify>) -> Health {
        Health {
            troubles,
            ..Health::default()
        }
    }

    /// The other side answers. True where that is news.
    pub fn up(&self) -> bool {
        self.set(true, None)
    }

    /// The other side does not. True where that is news.
    pub fn in_trouble(&self, error: &str) -> bool {
        self.troubles.notify_one();
        self.set(false, Some(redact_echo(error).into_owned()))
    }

    /// What an operator should mend although it delivers; `None`: nothing any longer.
    pub fn warns(&self, warning: Option<String>) {
        let warning = warning.map(|warning| redact_echo(&warning).into_owned());
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.warning = warning;
    }

    /// It is tried next then; none where nobody knows when.
    pub fn waits_until(&self, next_attempt: Option<Timestamp>) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.next_attempt = next_attempt;
    }

    /// Its rate allows no attempt before this time, and whether anything waits for that.
    pub fn rate_allows_at(&self, no_attempt_before: Option<Timestamp>, waits: bool) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        (report.no_attempt_before, report.waits_for_rate) = (no_attempt_before, waits);
    }

    /// One event was dead-lettered, and why; whether the sink is up does not change.
    pub fn dead_lettered(&self, error: &str) {
        let error = redact_echo(error).into_owned();
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.last_error = Some(error);
        report.last_error_at = Some(Timestamp::now());
    }

    /// The other side wants nothing more. True where it was up before.
    pub fn disabled(&self, error: &str) -> bool {
        let news = self.in_trouble(error);
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.disabled = true;
        news
    }

    /// It waits until something is done, or for long, and why.
    pub fn paused(&self, error: &str) {
        self.in_trouble(error);
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.paused = true;
    }

    /// Asks for another attempt at once.
    pub fn ask_retry(&self) {
        self.retry.notify_one();
    }

    /// Waits until somebody asks for another attempt. Cancel-safe.
    pub async fn retry_asked(&self) {
        self.retry.notified().await;
    }

    /// The trouble is over; whether it is up is not known yet.
    pub fn trouble_is_over(&self) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        (report.trouble, report.paused) = (None, false);
    }

    /// A copy of the state.
    pub fn report(&self) -> HealthReport {
        let report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Timestamp::now();
        let no_attempt_before = report.no_attempt_before.filter(|at| *at > now);
        HealthReport {
            no_attempt_before,
            waits_for_rate: report.waits_for_rate && no_attempt_before.is_some(),
            ..report.clone()
        }
    }

    fn set(&self, up: bool, error: Option<String>) -> bool {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        let news = report.up != up;
        if news {
            report.up = up;
            report.since = Timestamp::now();
        }
        report.trouble.clone_from(&error);
        report.next_attempt = None;
        (report.disabled, report.paused) = (false, false);
        if error.is_some() {
            report.last_error = error;
            report.last_error_at = Some(Timestamp::now());
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_of_now_and_the_last_error_stays() {
        let health = Health::default();
        let check = |trouble: Option<&str>, last: Option<&str>| {
            let report = health.report();
            assert_eq!(
                (report.trouble.as_deref(), report.last_error.as_deref()),
                (trouble, last)
            );
        };
        check(None, None);
        assert!(!health.in_trouble("refused"), "it was not up before");
        check(Some("refused"), Some("refused"));
        assert!(health.up());
        check(None, Some("refused"));
        health.in_trouble("full");
        health.trouble_is_over();
        check(None, Some("full"));
        assert!(!health.report().up);
        for ends in [
            (&|health: &Health| health.trouble_is_over()) as &dyn Fn(&Health),
            &|health: &Health| assert!(health.up()),
            &|health: &Health| assert!(!health.in_trouble("refused")),
        ] {
            health.paused("dead letters full");
            assert!(health.report().paused && !health.report().up);
            ends(&health);
            assert!(!health.report().paused);
        }
    }
}
