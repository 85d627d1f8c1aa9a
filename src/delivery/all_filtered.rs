//! Notices a sink that has filtered all of its first entries: its `when` may hold for nothing. It
//! knows only what the cursor has passed.

use crate::journal::Passed;

/// So many entries say something about a `when`: a fault is rare, but not that rare.
const FIRST: u64 = 1000;

/// What has become of a sink's first entries.
#[derive(Debug, Default)]
pub(super) struct AllFiltered {
    /// Entries that were filtered; `None`: it is known whether all of the first were.
    filtered: Option<u64>,
}

impl AllFiltered {
    /// Of a sink with a `when`, and with what its cursor has passed before, ever.
    pub(super) fn after(before: Passed) -> AllFiltered {
        let is_open = before.filtered < FIRST && !has_taken(before);
        AllFiltered {
            filtered: is_open.then_some(before.filtered),
        }
    }

    /// The cursor has passed these. True once all of the first are filtered, once.
    pub(super) fn passed(&mut self, passed: Passed) -> bool {
        let Some(filtered) = &mut self.filtered else {
            return false;
        };
        *filtered += passed.filtered;
        let is_full = *filtered >= FIRST;
        let has_taken = has_taken(passed);
        if is_full || has_taken {
            self.filtered = None;
        }
        is_full && !has_taken
    }
}

fn has_taken(passed: Passed) -> bool {
    passed.delivered + passed.dead_lettered > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(filtered: u64, delivered: u64) -> Passed {
        Passed {
            filtered,
            delivered,
            ..Passed::default()
        }
    }

    #[test]
    fn sink_that_takes_none_of_its_first_thousand_is_noticed_once() {
        let mut all = AllFiltered::after(passed(400, 0));
        assert!(!all.passed(passed(599, 0)));
        assert!(all.passed(passed(1, 0)));
        assert!(!all.passed(passed(5000, 0)));
    }

    #[test]
    fn sink_that_has_taken_something_is_not() {
        let mut all = AllFiltered::after(Passed::default());
        assert!(!all.passed(passed(999, 1)));
        assert!(!all.passed(passed(5000, 0)));
        assert!(!AllFiltered::after(passed(10, 1)).passed(passed(5000, 0)));
        // It was said before the restart.
        assert!(!AllFiltered::after(passed(1000, 0)).passed(passed(5000, 0)));
        // Without a `when` nothing is asked.
        assert!(!AllFiltered::default().passed(passed(5000, 0)));
    }
}
