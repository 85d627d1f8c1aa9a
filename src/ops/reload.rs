//! How the last reload ended: the file may say something else than what the daemon does.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// More problems of one reload are counted.
const PROBLEMS_MAX: usize = 10;

/// A configuration that was not applied: the one before holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedReload {
    /// When it was read.
    pub at: Timestamp,
    /// Why it cannot be used, one line each.
    pub problems: Vec<String>,
}

/// The last reload; clones share what they hold.
#[derive(Debug, Clone, Default)]
pub struct Reloads(Arc<Mutex<Last>>);

#[derive(Debug, Default)]
struct Last {
    applied: u64,
    rejected_count: u64,
    at: Option<Timestamp>,
    rejected: Option<RejectedReload>,
    unread_secrets: Option<RejectedReload>,
}

impl Reloads {
    /// What the file says is what the daemon does.
    pub fn applied(&self) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.applied += 1;
        last.at = Some(Timestamp::now());
        last.rejected = None;
    }

    /// The file has problems, one line each: the daemon goes on as before.
    pub fn rejected(&self, mut problems: Vec<String>) {
        if let more @ 1.. = problems.len().saturating_sub(PROBLEMS_MAX) {
            problems.truncate(PROBLEMS_MAX);
            problems.push(match more {
                1 => "1 more problem: `stomp-bridge check` names all".to_owned(),
                _ => format!("{more} more problems: `stomp-bridge check` names all"),
            });
        }
        let at = Timestamp::now();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.rejected_count += 1;
        last.at = Some(at);
        last.rejected = Some(RejectedReload { at, problems });
    }

    /// The files of the secrets cannot be used, one line for each reason: those before are.
    pub fn secrets_not_read(&self, problems: Vec<String>) {
        let at = Timestamp::now();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.unread_secrets = Some(RejectedReload { at, problems });
    }

    /// What their files say is in use.
    pub fn secrets_read(&self) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.unread_secrets = None;
    }

    /// Why the files of the secrets cannot be used, where they cannot.
    pub fn unread_secrets(&self) -> Option<RejectedReload> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.unread_secrets.clone()
    }

    /// The last reload, where it was rejected.
    pub fn last_rejected(&self) -> Option<RejectedReload> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.rejected.clone()
    }

    /// How many were applied, also where they changed nothing, and how many were rejected.
    pub(super) fn counts(&self) -> (u64, u64) {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (last.applied, last.rejected_count)
    }

    /// When the last one was, if there was any.
    pub(super) fn last_at(&self) -> Option<Timestamp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejected_reload_is_kept_until_the_next_good_one() {
        let reloads = Reloads::default();
        assert_eq!((reloads.last_rejected(), reloads.last_at()), (None, None));
        reloads.rejected((0..30).map(|number| number.to_string()).collect());
        let problems = reloads.last_rejected().map(|it| it.problems);
        let problems = problems.unwrap_or_default();
        assert_eq!(problems.len(), PROBLEMS_MAX + 1);
        assert!(problems[PROBLEMS_MAX].starts_with("20 more problems"));
        reloads.secrets_not_read(vec!["gone".to_owned()]);
        reloads.applied();
        assert_eq!(reloads.last_rejected(), None);
        let unread = reloads.unread_secrets().map(|it| it.problems);
        assert_eq!(unread, Some(vec!["gone".to_owned()]));
        reloads.secrets_read();
        assert_eq!(reloads.unread_secrets(), None);
        assert!(reloads.last_at().is_some());
    }
}
