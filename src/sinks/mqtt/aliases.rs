//! Numbers in place of topics that come again on one connection (MQTT 5, section 3.3.2.3.4).
//!
//! The first topics of a connection get them, as far as the broker has room. They pay where a topic
//! is long and comes again: a sink with a fixed topic, or one with few devices.

use std::collections::HashMap;

/// The numbers that the broker knows, or will once it has read what we have written.
#[derive(Debug)]
pub(super) struct Aliases {
    numbers: HashMap<Box<str>, u16>,
    max: u16,
}

impl Aliases {
    pub(super) fn new(max: u16) -> Aliases {
        Aliases {
            numbers: HashMap::new(),
            max,
        }
    }

    /// The topic to be written, which is empty where the number is enough, and the number.
    pub(super) fn of<'t>(&mut self, topic: &'t str) -> (&'t str, Option<u16>) {
        // A number is three bytes.
        if self.max == 0 || topic.len() <= 3 {
            return (topic, None);
        }
        if let Some(&number) = self.numbers.get(topic) {
            return ("", Some(number));
        }
        let number = self.numbers.len() as u16 + 1;
        if number > self.max {
            return (topic, None);
        }
        self.numbers.insert(topic.into(), number);
        (topic, Some(number))
    }

    /// No number is used from now on.
    pub(super) fn stop(&mut self) {
        self.max = 0;
        self.numbers.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_topics_get_numbers() {
        let mut aliases = Aliases::new(2);
        for (topic, expected) in [
            ("d/1/status", ("d/1/status", Some(1))),
            ("d/2/status", ("d/2/status", Some(2))),
            ("d/1/status", ("", Some(1))),
            ("d/3/status", ("d/3/status", None)),
            ("d/2/status", ("", Some(2))),
            ("a/b", ("a/b", None)),
        ] {
            assert_eq!(aliases.of(topic), expected, "{topic}");
        }
        aliases.stop();
        assert_eq!(aliases.of("d/1/status"), ("d/1/status", None));
    }

    #[test]
    fn a_broker_that_knows_none_gets_none() {
        assert_eq!(Aliases::new(0).of("d/1/status"), ("d/1/status", None));
    }
}
