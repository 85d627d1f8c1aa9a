//! Until when the loops of this folder are to turn: the watchdog looks at them as at the others.

use std::time::{Duration, Instant};

use crate::next_turn::NextTurn;

/// What takes longer than a loop's own pauses and this hangs.
pub(super) const TURN_MAX: Duration = Duration::from_secs(300);

/// The next turn of each loop.
#[derive(Debug, Default)]
pub struct Turns {
    /// The one task of the listener, of its connections and of what the page samples: where one of
    /// them does not give the others their turn, none of them has one.
    pub(super) http: NextTurn,
    /// The delivery accounting.
    pub(super) audit: NextTurn,
}

impl Turns {
    /// The loops that should have turned before.
    pub(super) fn hanging(&self, now: Instant) -> Vec<&'static str> {
        let loops = [("http", &self.http), ("the audit", &self.audit)].into_iter();
        let hanging = loops.filter(|(_, turn)| turn.is_overdue(now));
        hanging.map(|(name, _)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_should_have_turned_is_named() {
        let (turns, now) = (Turns::default(), Instant::now());
        let later = now + 2 * TURN_MAX;
        assert_eq!(turns.hanging(later), [""; 0], "none has begun");
        turns.http.within(TURN_MAX);
        turns.audit.by(later);
        assert_eq!(turns.hanging(now), [""; 0]);
        assert_eq!(turns.hanging(later), ["http"]);
        turns.http.whenever();
        assert_eq!(turns.hanging(later + TURN_MAX), ["the audit"]);
    }
}
