//! A layer of the log that lets no secret through: it looks at the values of each event before
//! another layer writes them.

use std::error::Error;
use std::fmt;

use tracing::field::{DisplayValue, Field, Value, Visit, display};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::secret::redact;

/// What begins the targets of our own code. Libraries log URLs, headers and rows: none of that is
/// for a log.
pub(super) const OUR_TARGET: &str = "stomp_bridge";

/// Whether an event or a span is ours.
pub(super) fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with(OUR_TARGET)
}

/// The layer that writes, behind the one that redacts.
pub(super) struct Redacted<L>(pub(super) L);

impl<S: Subscriber, L: Layer<S>> Layer<S> for Redacted<L> {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        self.0.register_callsite(metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        self.0.enabled(metadata, context)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.0.on_new_span(attributes, id, context);
    }

    fn on_record(&self, span: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.0.on_record(span, values, context);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        self.0.on_enter(id, context);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        self.0.on_exit(id, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.0.on_close(id, context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut values = Values::of(event);
        event.record(&mut values);
        if !values.has_secret {
            return self.0.on_event(event, context);
        }
        let recorded: Vec<Option<&dyn Value>> = values.recorded.iter().map(Kept::value).collect();
        let fields = event.metadata().fields().value_set_all(&recorded);
        self.0
            .on_event(&Event::new(event.metadata(), &fields), context);
    }
}

/// The values of an event, without secrets.
struct Values {
    recorded: Vec<Kept>,
    has_secret: bool,
}

enum Kept {
    Nothing,
    Text(String),
    Shown(DisplayValue<String>),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Bool(bool),
}

impl Kept {
    fn value(&self) -> Option<&dyn Value> {
        Some(match self {
            Kept::Nothing => return None,
            Kept::Text(text) => text,
            Kept::Shown(text) => text,
            Kept::Signed(number) => number,
            Kept::Unsigned(number) => number,
            Kept::Float(number) => number,
            Kept::Bool(truth) => truth,
        })
    }
}

impl Values {
    fn of(event: &Event<'_>) -> Values {
        let fields = event.metadata().fields().len();
        Values {
            recorded: (0..fields).map(|_| Kept::Nothing).collect(),
            has_secret: false,
        }
    }

    fn keep(&mut self, field: &Field, value: Kept) {
        if let Some(kept) = self.recorded.get_mut(field.index()) {
            *kept = value;
        }
    }

    /// The text without secrets.
    fn redacted(&mut self, text: &str) -> String {
        let redacted = redact(text);
        self.has_secret |= redacted != text;
        redacted.into_owned()
    }
}

impl Visit for Values {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.keep(field, Kept::Float(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.keep(field, Kept::Signed(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.keep(field, Kept::Unsigned(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.keep(field, Kept::Bool(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let text = self.redacted(value);
        self.keep(field, Kept::Text(text));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        let text = self.redacted(&text);
        self.keep(field, Kept::Shown(display(text)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = self.redacted(&format!("{value:?}"));
        self.keep(field, Kept::Shown(display(text)));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::secret::{Lifetime, protect};

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_secret_is_in_no_value_of_a_line_and_the_others_stay_as_they_are() {
        let secret = "log-secret-\"51e0";
        protect(secret, Lifetime::Given);
        let paper = Paper::default();
        let writer = paper.clone();
        let json = tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(Redacted(json));
        tracing::subscriber::with_default(subscriber, || {
            let error = std::io::Error::other(format!("no {secret}"));
            tracing::warn!(text = secret, shown = %secret, debug = ?secret, number = 7_u64, yes = true,
                error = &error as &dyn Error, "not connected: {secret}");
            tracing::info!(number = -7, "nothing secret");
        });
        let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        assert!(!text.contains("51e0"), "{text}");
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines[0]["message"], "not connected: …");
        assert_eq!(lines[0]["text"], "…");
        assert_eq!(lines[0]["shown"], "…");
        assert_eq!(lines[0]["debug"], "\"…\"");
        assert_eq!(lines[0]["error"], "no …");
        assert_eq!(lines[0]["number"], 7);
        assert_eq!(lines[0]["yes"], true);
        assert_eq!(lines[1]["number"], -7);
        assert_eq!(lines[1]["message"], "nothing secret");
    }
}
