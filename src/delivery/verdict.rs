//! What one sink makes of one status, and why: for people who ask. Delivery itself asks only whether.

use super::settings::{Settings, Unwanted};
use crate::model::{EventKind, StatusEvent};
use crate::pipeline::Decision;

/// What a sink makes of a status.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It takes it; with the part of its `when` that decided, where it has one.
    Taken(Option<Decision>),
    /// Its `topics` do not name the status's topic.
    OtherTopic,
    /// Its `kinds` do not name statuses.
    OtherKind,
    /// Its `when` does not hold, for this part of it.
    Filtered(Decision),
    /// Its `when` cannot be evaluated: the status becomes a dead letter.
    Unreadable(String),
}

impl Verdict {
    /// That of the sink with these settings.
    pub fn of(settings: &Settings, status: &StatusEvent) -> Verdict {
        match settings.unwanted(&status.topic, EventKind::Status) {
            Some(Unwanted::Topic) => return Verdict::OtherTopic,
            Some(Unwanted::Kind) => return Verdict::OtherKind,
            None => {}
        }
        match settings.when.as_ref().map(|when| when.decision(status)) {
            None => Verdict::Taken(None),
            Some(Ok(decision)) if decision.holds => Verdict::Taken(Some(decision)),
            Some(Ok(decision)) => Verdict::Filtered(decision),
            Some(Err(error)) => Verdict::Unreadable(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::Confirmations;
    use crate::journal::Start;
    use crate::model::Omit;
    use crate::pipeline::Expression;
    use crate::retry::Retry;

    #[test]
    fn verdict_names_what_decided() {
        let status = StatusEvent::sample();
        let check = |topics: Option<&str>, kind, when: Option<&str>| {
            let settings = Settings {
                name: "site".into(),
                kinds: [kind].into(),
                topics: topics.map(|topic| [topic.into()].into()),
                when: when.map(|when| Expression::parse(when).unwrap()),
                omit: Omit::default(),
                start: Start::Oldest,
                retry: Retry::default(),
                confirmations: Confirmations::Filtered,
            };
            Verdict::of(&settings, &status)
        };
        let kind = EventKind::Status;
        assert_eq!(check(None, kind, None), Verdict::Taken(None));
        assert_eq!(check(Some("sample"), kind, None), Verdict::Taken(None));
        assert_eq!(check(Some("other"), kind, None), Verdict::OtherTopic);
        assert_eq!(check(None, EventKind::Coverage, None), Verdict::OtherKind);
        let part = |verdict| match verdict {
            Verdict::Taken(Some(decision)) => (true, decision.part),
            Verdict::Filtered(decision) => (false, decision.part),
            other => panic!("{other:?}"),
        };
        let when = "changed and severity == 'ok'";
        assert_eq!(
            part(check(None, kind, Some(when))),
            (false, "severity == 'ok'".to_owned())
        );
        let when = "changed or severity == 'ok'";
        assert_eq!(
            part(check(None, kind, Some(when))),
            (true, "changed".to_owned())
        );
        let failed = check(None, kind, Some("'a' + 1 == 2"));
        assert!(matches!(failed, Verdict::Unreadable(_)), "{failed:?}");
    }
}
