//! Which log lines are held back: each kind has ten lines a minute, then a count. It knows no clock
//! and writes nothing.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tracing::Level;
use tracing::callsite::Identifier;

/// Lines of one kind in a window.
const LINES_MAX: u64 = 10;

/// Lines of one callsite in a window, whatever kinds it has: a peer may make names up.
const CALLSITE_LINES_MAX: u64 = 100;

/// How long such lines are counted together.
const WINDOW: Duration = Duration::from_secs(60);

/// Kinds that are known at once, with their names: beyond it a callsite is one kind.
const KINDS_MAX: usize = 1000;

/// Where a line stands in the code, and whose line it is, such as a sink's; empty for all of them.
type Kind = (Identifier, String);

/// A line that may be written.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// Where it stands in the code.
    pub(super) callsite: Identifier,
    /// Its level.
    pub(super) level: Level,
    /// Whose line it is, such as a sink's; may be empty.
    pub(super) of: String,
}

/// Whether a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is.
    Write,
    /// It is counted.
    Count,
    /// It is counted, and is the first of its kind: its count is due at another time than all else.
    CountFirst,
}

/// Lines that were not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HeldBack {
    /// Their level.
    pub(super) level: Level,
    /// How the first of them begins.
    pub(super) text: String,
    /// Whose lines they are; may be empty.
    pub(super) of: String,
    /// How many.
    pub(super) times: u64,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    lines: u64,
    held: Option<HeldBack>,
}

/// All kinds with their windows.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    windows: HashMap<Kind, Window>,
    swept: Option<Instant>,
}

impl Throttle {
    /// Whether to write a line. `text` is asked for where it is the first that is not.
    pub(super) fn admit(
        &mut self,
        line: &Line,
        text: impl FnOnce() -> String,
        now: Instant,
    ) -> Verdict {
        let callsite = (line.callsite.clone(), String::new());
        let own = (!line.of.is_empty() && self.has_place(line, now))
            .then(|| (line.callsite.clone(), line.of.clone()));
        let kinds = match own {
            Some(own) => vec![(own, LINES_MAX), (callsite, CALLSITE_LINES_MAX)],
            None if line.of.is_empty() => vec![(callsite, LINES_MAX)],
            None => vec![(callsite, CALLSITE_LINES_MAX)],
        };
        let full = kinds
            .iter()
            .find(|(kind, lines_max)| self.window(kind, now).is_full(*lines_max));
        if let Some((kind, _)) = full {
            return self.window(kind, now).hold(line, &kind.1, text);
        }
        for (kind, _) in &kinds {
            self.window(kind, now).lines += 1;
        }
        Verdict::Write
    }

    /// What was held back in the windows that have ended.
    pub(super) fn due(&mut self, now: Instant) -> Vec<HeldBack> {
        self.take(|window| now >= window.began + WINDOW)
    }

    /// What was held back in all windows.
    pub(super) fn all(&mut self) -> Vec<HeldBack> {
        self.take(|_| true)
    }

    /// When the next count is due; none where nothing is held back.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let held = self.windows.values().filter(|window| window.held.is_some());
        held.map(|window| window.began + WINDOW).min()
    }

    fn take(&mut self, is_over: impl Fn(&Window) -> bool) -> Vec<HeldBack> {
        let mut taken = Vec::new();
        self.windows.retain(|_, window| {
            let over = is_over(window);
            taken.extend(window.held.take_if(|_| over));
            !over
        });
        taken
    }

    /// Whether a kind may have a window of its own.
    fn has_place(&mut self, line: &Line, now: Instant) -> bool {
        let kind = (line.callsite.clone(), line.of.clone());
        if self.windows.len() < KINDS_MAX || self.windows.contains_key(&kind) {
            return true;
        }
        if self.swept.is_none_or(|at| now >= at + WINDOW / 60) {
            self.swept = Some(now);
            self.windows
                .retain(|_, window| window.held.is_some() || now < window.began + WINDOW);
        }
        self.windows.len() < KINDS_MAX
    }

    fn window(&mut self, kind: &Kind, now: Instant) -> &mut Window {
        let fresh = || Window {
            began: now,
            lines: 0,
            held: None,
        };
        let window = self.windows.entry(kind.clone()).or_insert_with(fresh);
        // The lines that were held back are counted first.
        if window.held.is_none() && now >= window.began + WINDOW {
            *window = fresh();
        }
        window
    }
}

impl Window {
    fn is_full(&self, lines_max: u64) -> bool {
        self.held.is_some() || self.lines >= lines_max
    }

    fn hold(&mut self, line: &Line, of: &str, text: impl FnOnce() -> String) -> Verdict {
        if let Some(held) = &mut self.held {
            held.times += 1;
            return Verdict::Count;
        }
        self.held = Some(HeldBack {
            level: line.level,
            text: text(),
            of: of.to_owned(),
            times: 1,
        });
        Verdict::CountFirst
    }
}

#[cfg(test)]
mod tests {
    use tracing::Callsite;
    use tracing::callsite::DefaultCallsite;
    use tracing::field::FieldSet;
    use tracing::metadata::{Kind as MetadataKind, Metadata};

    use super::*;

    static CALLSITE: DefaultCallsite = DefaultCallsite::new(&METADATA);
    static METADATA: Metadata<'static> = Metadata::new(
        "a line",
        "stomp_bridge::tests",
        Level::WARN,
        None,
        None,
        None,
        FieldSet::new(&[], tracing::callsite::Identifier(&CALLSITE)),
        MetadataKind::EVENT,
    );

    fn line(of: &str) -> Line {
        Line {
            callsite: CALLSITE.metadata().callsite(),
            level: Level::WARN,
            of: of.to_owned(),
        }
    }

    struct Log {
        throttle: Throttle,
        start: Instant,
    }

    impl Log {
        fn new() -> Log {
            Log {
                throttle: Throttle::default(),
                start: Instant::now(),
            }
        }

        fn at(&self, second: u64) -> Instant {
            self.start + Duration::from_secs(second)
        }

        /// How many of these lines are written.
        fn written(&mut self, of: impl Fn(u64) -> String, lines: u64, second: u64) -> usize {
            let now = self.at(second);
            let admit = |number| {
                let text = || "a line".to_owned();
                self.throttle.admit(&line(&of(number)), text, now)
            };
            let verdicts = (0..lines).map(admit);
            verdicts.filter(|it| *it == Verdict::Write).count()
        }

        fn due(&mut self, second: u64) -> Vec<(String, u64)> {
            let now = self.at(second);
            let mut due: Vec<_> = self.throttle.due(now).into_iter().collect();
            due.sort_by_key(|held| held.of.clone());
            due.into_iter().map(|held| (held.of, held.times)).collect()
        }
    }

    #[test]
    fn ten_lines_a_minute_then_a_count_and_again() {
        let mut log = Log::new();
        assert_eq!(log.throttle.next_due(), None);
        assert_eq!(log.written(|_| String::new(), 10, 0), 10);
        assert_eq!(log.throttle.next_due(), None);
        assert_eq!(log.written(|_| String::new(), 65_526, 1), 0);
        assert_eq!(log.throttle.next_due(), Some(log.at(60)));
        assert_eq!(log.due(59), []);
        // A line that comes before the count waits for it.
        assert_eq!(log.written(|_| String::new(), 1, 60), 0);
        assert_eq!(log.due(60), [(String::new(), 65_527)]);
        assert_eq!(log.written(|_| String::new(), 50, 61), 10);
        assert_eq!(log.due(121), [(String::new(), 40)]);
        assert_eq!(log.throttle.next_due(), None);
        // Ten in a minute are never counted.
        assert_eq!(log.written(|_| String::new(), 10, 200), 10);
        assert_eq!(log.written(|_| String::new(), 10, 260), 10);
    }

    #[test]
    fn one_sinks_lines_leave_the_others_theirs() {
        let mut log = Log::new();
        assert_eq!(log.written(|_| "a".to_owned(), 500, 0), 10);
        assert_eq!(log.written(|_| "b".to_owned(), 9, 0), 9);
        assert_eq!(log.due(60), [("a".to_owned(), 490)]);
    }

    #[test]
    fn names_that_a_peer_makes_up_take_neither_lines_nor_memory_without_end() {
        let mut log = Log::new();
        assert_eq!(log.written(|number| number.to_string(), 100_000, 0), 100);
        assert!(log.throttle.windows.len() <= KINDS_MAX + 1);
        assert_eq!(log.due(60), [(String::new(), 99_900)]);
        assert_eq!(log.throttle.windows.len(), 0);
    }

    #[test]
    fn at_the_end_all_is_told() {
        let mut log = Log::new();
        assert_eq!(log.written(|_| String::new(), 12, 0), 10);
        let all = log.throttle.all();
        assert_eq!((all.len(), all[0].times, &*all[0].text), (1, 2, "a line"));
    }
}
