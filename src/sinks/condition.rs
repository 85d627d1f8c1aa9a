//! How a sink is, in one word of the vocabulary: the page, the commands and the metrics say the same.

use serde::{Deserialize, Serialize};

use super::health::HealthReport;

/// The condition that a sink is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// It has confirmed an event or answered a probe.
    Up,
    /// It has not been tried yet, or not since its trouble is over.
    Starting,
    /// The last attempt failed; the next one comes by itself.
    Retrying,
    /// It waits until something is done, or for long.
    Paused,
    /// The other side wants nothing more, until somebody asks for another attempt.
    Disabled,
    /// It has left the configuration.
    Removed,
}

impl Condition {
    /// Those of a sink that the configuration has.
    pub const CONFIGURED: [Condition; 5] = [
        Condition::Up,
        Condition::Starting,
        Condition::Retrying,
        Condition::Paused,
        Condition::Disabled,
    ];

    /// The condition of a sink with this health; `None`: it has left the configuration.
    pub fn of(health: Option<&HealthReport>) -> Condition {
        match health {
            None => Condition::Removed,
            Some(it) if it.up => Condition::Up,
            Some(it) if it.disabled => Condition::Disabled,
            Some(it) if it.paused => Condition::Paused,
            Some(it) if it.trouble.is_some() => Condition::Retrying,
            Some(_) => Condition::Starting,
        }
    }

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Condition::Up => "up",
            Condition::Starting => "starting",
            Condition::Retrying => "retrying",
            Condition::Paused => "paused",
            Condition::Disabled => "disabled",
            Condition::Removed => "removed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::Health;

    #[test]
    fn a_sink_is_in_the_condition_that_was_said_last() {
        let health = Health::default();
        let check = |expected| assert_eq!(Condition::of(Some(&health.report())), expected);
        check(Condition::Starting);
        health.in_trouble("refused");
        check(Condition::Retrying);
        health.disabled("410");
        check(Condition::Disabled);
        health.paused("too many rejections");
        check(Condition::Paused);
        health.trouble_is_over();
        check(Condition::Starting);
        health.up();
        check(Condition::Up);
        health.dead_lettered("422");
        check(Condition::Up);
        assert_eq!(Condition::of(None), Condition::Removed);
    }

    #[test]
    fn json_has_the_same_words() {
        for condition in Condition::CONFIGURED
            .into_iter()
            .chain([Condition::Removed])
        {
            let json = serde_json::to_value(condition).unwrap();
            assert_eq!(json, condition.as_str());
        }
    }
}
