//! The layer through which each log line passes: it holds back what the [`Throttle`] says, and
//! writes the counts from a thread of its own, which sleeps where nothing is held back.

use std::fmt::{self, Debug, Write};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber, error, info, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::throttle::{HeldBack, Line, Throttle, Verdict};
use crate::secret::redact;
use crate::supervise;

/// The target of the counts, which are never held back.
pub(super) const COUNTS: &str = "stomp_bridge::held_back";

/// Fields that say whose line it is.
const OF: [&str; 4] = ["sink", "topic", "key", "task"];

/// Of each such field, and of the text of what was held back.
const CHARS_MAX: usize = 120;

#[derive(Debug, Default)]
struct Shared {
    throttle: Mutex<Throttle>,
    held: Condvar,
}

/// Holds back lines; its clones share what they know.
#[derive(Debug, Clone, Default)]
pub(super) struct Throttled(Arc<Shared>);

impl Throttled {
    /// Starts to write the counts, each when it is due.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn count(&self) -> io::Result<()> {
        let counts = self.clone();
        supervise::detach("log counts", move || counts.write_counts())
    }

    /// Writes all counts now.
    pub(super) fn flush(&self) {
        let held = self.throttle().all();
        held.iter().for_each(say);
    }

    fn write_counts(&self) -> ! {
        let mut throttle = self.throttle();
        loop {
            let held = throttle.due(Instant::now());
            if !held.is_empty() {
                // Its lines pass here, too.
                drop(throttle);
                held.iter().for_each(say);
                throttle = self.throttle();
            }
            throttle = match throttle.next_due() {
                None => {
                    let woken = self.0.held.wait(throttle);
                    woken.unwrap_or_else(PoisonError::into_inner)
                }
                Some(due) => {
                    let wait = due.saturating_duration_since(Instant::now());
                    let woken = self.0.held.wait_timeout(throttle, wait);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.0
            .throttle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for Throttled {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        // A person has asked for debug and trace, and wants each line.
        if *metadata.level() > Level::INFO || metadata.target() == COUNTS {
            return true;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = Line {
            callsite: metadata.callsite(),
            level: *metadata.level(),
            of: fields.of,
        };
        let text = || beginning(&fields.message);
        let verdict = self.throttle().admit(&line, text, Instant::now());
        if verdict == Verdict::CountFirst {
            self.0.held.notify_one();
        }
        verdict == Verdict::Write
    }
}

/// Writes one count.
fn say(held: &HeldBack) {
    let HeldBack {
        level, text, times, ..
    } = held;
    let of = Some(&*held.of).filter(|of| !of.is_empty());
    let count = Grouped(*times);
    match *level {
        Level::ERROR => {
            error!(target: COUNTS, of, times, "{text} … and {count} more of these in the last minute");
        }
        Level::WARN => {
            warn!(target: COUNTS, of, times, "{text} … and {count} more of these in the last minute");
        }
        _ => {
            info!(target: COUNTS, of, times, "{text} … and {count} more of these in the last minute")
        }
    }
}

/// What a message says happened, without what it says to do.
fn beginning(message: &str) -> String {
    // Before it is cut: half a secret is not known as one.
    let message = redact(message);
    let end = message.find([':', ';']).unwrap_or(message.len());
    message[..end].chars().take(CHARS_MAX).collect()
}

/// What decides about a line.
#[derive(Default)]
struct Fields {
    of: String,
    message: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else if OF.contains(&field.name()) {
            let value = format!("{value:?}");
            let value: String = match value.char_indices().nth(CHARS_MAX) {
                Some(_) => redact(&value).chars().take(CHARS_MAX).collect(),
                None => value,
            };
            let space = if self.of.is_empty() { "" } else { " " };
            let written = write!(self.of, "{space}{} {value}", field.name());
            debug_assert!(written.is_ok(), "a string takes any text");
        }
    }
}

/// A number with its digits in groups of three.
struct Grouped(u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (index, digit) in digits.char_indices() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Debug, Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_flood_is_ten_lines_and_a_count_that_names_it() {
        let (written, throttled) = (Written::default(), Throttled::default());
        let writer = written.clone();
        let text = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .without_time()
            .with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry()
            .with(throttled.clone())
            .with(text);
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..4_220 {
                warn!(
                    topic = "map-1",
                    number, "status undecodable: the journal keeps it"
                );
                tracing::debug!("asked for");
            }
            warn!(topic = "map-2", "status undecodable: once");
            throttled.flush();
        });
        let log = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let lines = |text: &str| log.lines().filter(|line| line.contains(text)).count();
        assert_eq!(lines("topic=\"map-1\""), 10, "{log}");
        assert_eq!((lines("map-2"), lines("asked for")), (1, 4_220));
        let last = log.lines().last().unwrap_or_default();
        let count = "status undecodable … and 4,210 more of these in the last minute";
        assert!(
            last.contains(count) && last.contains("of=\"topic map-1\" times=4210"),
            "{last}"
        );
    }

    #[test]
    fn half_a_secret_is_in_no_count() {
        crate::secret::protect("count:secret;3d41", crate::secret::Lifetime::Configured);
        let text = beginning("refused count:secret;3d41 at once: do this");
        assert_eq!(text, "refused … at once");
        let long = format!("{} count:secret;3d41", "x".repeat(CHARS_MAX - 6));
        assert!(!beginning(&long).contains("count"), "{long}");
    }

    #[test]
    fn digits_stand_in_groups_of_three() {
        for (number, expected) in [
            (7, "7"),
            (999, "999"),
            (4_210, "4,210"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(Grouped(number).to_string(), expected);
        }
    }
}
