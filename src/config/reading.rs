//! How entries are read, and which of them each sink wants: all that a command needs that looks at
//! entries. What else is wrong with the file, such as a secret that is not there, does not matter to
//! it.

use std::collections::HashMap;
use std::sync::Arc;

use super::problem::{Level, Problem, Problems};
use crate::delivery;
use crate::pipeline::Decoder;

/// Keys of a topic that say nothing of how its messages are read.
const NOT_READ: [&str; 4] = ["ack", "destination", "headers", "silence"];

/// Keys of a sink that say what it wants.
const WANTS: [&str; 5] = ["kinds", "omit", "topics", "type", "when"];

/// The part of a configuration that decides over entries.
#[derive(Debug)]
pub struct Reading {
    pub(super) decoders: Arc<HashMap<Arc<str>, Decoder>>,
    pub(super) sinks: Vec<delivery::Settings>,
    pub(super) problems: Vec<Problem>,
}

impl Reading {
    /// How the messages of each topic are decoded, by its name.
    ///
    /// # Errors
    /// What is wrong with that.
    pub fn decoders(&self) -> Result<&Arc<HashMap<Arc<str>, Decoder>>, Problems> {
        self.without(|path| match *path {
            ["states" | "topics"] | ["states" | "topics", _] | ["states", ..] => true,
            ["topics", _, key, ..] => !NOT_READ.contains(&key),
            _ => false,
        })?;
        Ok(&self.decoders)
    }

    /// What a sink wants; `None`: there is none of that name.
    ///
    /// # Errors
    /// What is wrong with that.
    pub fn sink(&self, name: &str) -> Result<Option<&delivery::Settings>, Problems> {
        self.without(|path| match *path {
            ["sinks"] => true,
            ["sinks", sink] => sink == name,
            ["sinks", sink, key, ..] => sink == name && WANTS.contains(&key),
            _ => false,
        })?;
        Ok(self.sinks.iter().find(|sink| *sink.name == *name))
    }

    /// `Err`: the problems of keys that matter.
    fn without(&self, matters: impl Fn(&[&str]) -> bool) -> Result<(), Problems> {
        let errors = self.problems.iter().filter(|problem| {
            let path: Vec<&str> = problem.path.split('.').collect();
            // Of the file as a whole, such as one that is no TOML.
            let is_whole = problem.path.is_empty();
            problem.level == Level::Error && (is_whole || matters(&path))
        });
        let errors: Vec<Problem> = errors.cloned().collect();
        match errors.is_empty() {
            true => Ok(()),
            false => Err(Problems(errors)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::environment::Environment;
    use super::super::load::reading_of;

    const GOOD: &str = "\
[source]
url = \"stomp://h\"
[topics.t]
destination = \"/topic/t\"
[sinks.w]
type = \"webhook\"
url = \"http://h/\"
when = \"changed\"
";

    /// The decoders and the sink's wants are known, or not, where the text is changed so.
    fn check(old: &str, new: &str, decoders: bool, sink: bool) {
        assert!(GOOD.contains(old), "{old}");
        let text = GOOD.replace(old, new);
        let reading = reading_of("c.toml".as_ref(), text, &Environment::default());
        let Ok(reading) = reading else {
            return assert!(!decoders && !sink, "{new}");
        };
        let known = reading.decoders().is_ok_and(|all| all.contains_key("t"));
        let wants = reading.sink("w").is_ok_and(|sink| sink.is_some());
        assert_eq!((known, wants), (decoders, sink), "{new}");
    }

    #[test]
    fn what_is_wrong_elsewhere_does_not_matter() {
        check("stomp://h", "stomp://h", true, true);
        check("stomp://h", "{{ secret('absent') }}", true, true);
        check("http://h/", "{{ secret('absent') }}", true, true);
        check("/topic/t", "{{ secret('absent') }}", true, true);
        check("[source]", "[sorce]", true, true);
        check("changed", "chnged ==", true, false);
        check("webhook", "webhok", true, false);
        check("/topic/t\"", "/topic/t\"\nencoding = \"x\"", false, true);
        check(
            "/topic/t\"",
            "/topic/t\"\nfields = { device = \"x\" }",
            false,
            true,
        );
        check("[topics.t]", "[topics.t", false, false);
    }
}
