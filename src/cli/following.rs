//! Waits for what a running daemon writes to its journal. It says once that nothing comes, and
//! notices that the daemon has ended. What is read there is not its concern.

use std::time::Duration;

use tokio::time::sleep;

use super::connection::Interrupt;
use super::tap_line::QUIET;
use super::target::Target;

/// How often the daemon is looked for while nothing comes.
const DAEMON_INTERVAL: Duration = Duration::from_secs(5);

/// The waits between looks at the journal.
pub(super) struct Following<'a> {
    target: &'a Target,
    /// How long each takes.
    interval: Duration,
    /// How long nothing has come, in all.
    waited: Duration,
    /// Nothing has come yet, and nobody was told.
    is_untold: bool,
}

/// Why a wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    /// The journal is to be looked at.
    Look,
    /// The same; and a person wonders by now whether it works at all. Once.
    Wondering,
    /// The daemon has ended.
    Ended,
    /// Somebody has pressed Ctrl-C.
    Interrupted,
}

impl<'a> Following<'a> {
    pub(super) fn new(target: &'a Target, interval: Duration) -> Following<'a> {
        Following {
            target,
            interval,
            waited: Duration::ZERO,
            is_untold: true,
        }
    }

    /// Something has come.
    pub(super) fn has_come(&mut self) {
        self.is_untold = false;
    }

    /// Waits for the next look, since nothing has come.
    pub(super) async fn wait(&mut self, interrupt: &mut Interrupt) -> Waited {
        tokio::select! {
            () = sleep(self.interval) => {}
            () = interrupt.asked() => return Waited::Interrupted,
        }
        let target = self.target;
        self.over(|| target.may_run())
    }

    fn over(&mut self, may_run: impl FnOnce() -> bool) -> Waited {
        let before = self.waited;
        self.waited += self.interval;
        let rounds = |waited: Duration| waited.as_millis() / DAEMON_INTERVAL.as_millis();
        if rounds(before) != rounds(self.waited) && !may_run() {
            return Waited::Ended;
        }
        match self.waited >= QUIET && std::mem::take(&mut self.is_untold) {
            true => Waited::Wondering,
            false => Waited::Look,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// What some waits lead to, of a daemon that runs or not.
    fn waits(mut following: Following<'_>, count: usize, may_run: bool) -> Vec<Waited> {
        (0..count).map(|_| following.over(|| may_run)).collect()
    }

    #[test]
    fn a_person_is_told_once_and_the_end_of_the_daemon_is_noticed() {
        use Waited::{Ended, Look, Wondering};
        let target = Target::of(Path::new("c.toml"));
        let following = || Following::new(&target, Duration::from_secs(1));
        let quiet = [
            Look, Look, Wondering, Look, Look, Look, Look, Look, Look, Look,
        ];
        assert_eq!(waits(following(), 10, true), quiet);
        assert_eq!(
            waits(following(), 5, false),
            [Look, Look, Wondering, Look, Ended]
        );
        let mut heard = following();
        heard.has_come();
        assert_eq!(waits(heard, 10, true), [Look; 10]);
    }
}
