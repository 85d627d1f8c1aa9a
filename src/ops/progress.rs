//! Whether every loop of the daemon turns: what feeds systemd's watchdog, and what `/healthz` says. A
//! sink whose other side is away waits, and does not hang.

use std::time::{Duration, Instant};

use super::sinks::SinkView;
use super::view::View;

/// The source's loop turns every 8 s at least: three turns are missing.
const SOURCE_TURN_MAX: Duration = Duration::from_secs(24);

/// What one who looks from time to time remembers.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The turns of the source's loop, and since when they are so many.
    turns: Option<(u64, Instant)>,
}

impl Progress {
    /// The loops that should have turned before. The source's turns at least every few seconds; the
    /// others say themselves until when they may wait.
    pub(super) fn hanging(&mut self, view: &View, now: Instant) -> Vec<String> {
        let source = self.source_hangs(view.source.turns(), now);
        let journal = view.journal.log.is_overdue(now);
        let parts = [("the source", source), ("the journal", journal)].into_iter();
        let parts = parts.filter(|(_, hangs)| *hangs);
        let parts = parts.map(|(part, _)| part.to_owned());
        let beside = view.turns.hanging(now).into_iter().map(str::to_owned);
        let sinks = hanging_sinks(&view.sinks.all(), now);
        parts.chain(beside).chain(sinks).collect()
    }

    fn source_hangs(&mut self, turns: u64, now: Instant) -> bool {
        match self.turns {
            Some((before, since)) if before == turns => {
                now.saturating_duration_since(since) > SOURCE_TURN_MAX
            }
            _ => {
                self.turns = Some((turns, now));
                false
            }
        }
    }
}

fn hanging_sinks(sinks: &[SinkView], now: Instant) -> Vec<String> {
    let hanging = sinks
        .iter()
        .filter(|sink| sink.counters.next_turn.is_overdue(now));
    hanging.map(|sink| format!("sink {}", sink.name)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_sink_that_hangs_is_named_and_one_that_waits_is_not() {
        let sink = |name: &str| SinkView {
            name: name.into(),
            health: crate::sinks::Health::default(),
            counters: Arc::default(),
        };
        let sinks = [sink("a"), sink("b"), sink("c")];
        let (now, minute) = (Instant::now(), Duration::from_secs(60));
        sinks[0].counters.next_turn.by(now + 2 * minute);
        sinks[1].counters.next_turn.whenever();
        sinks[2].counters.next_turn.by(now);
        assert_eq!(hanging_sinks(&sinks, now + minute), ["sink c"]);
    }

    #[test]
    fn the_source_hangs_once_its_turns_have_stopped_for_long() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut progress = Progress::default();
        for (turns, at, expected) in [
            (7, 0, false),
            (7, 24, false),
            (7, 25, true),
            (7, 30, true),
            (8, 31, false),
            (8, 55, false),
        ] {
            let found = progress.source_hangs(turns, start + at * second);
            assert_eq!(found, expected, "{turns} turns at {at} s");
        }
    }
}
