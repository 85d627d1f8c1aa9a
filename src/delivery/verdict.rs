//! What one sink makes of one status, and why: for people who ask. Delivery itself asks only whether.

use super::settings::{Confirmations, Settings, Unwanted};
use crate::journal::EntryContent;
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
    /// A snapshot's, which only confirms what was known: nothing has happened.
    OnlyConfirms,
}

impl Verdict {
    /// That of the sink with these settings, of an entry's status.
    pub fn of_entry(settings: &Settings, content: &EntryContent, status: &StatusEvent) -> Verdict {
        match content {
            EntryContent::Resync { confirms: true, .. }
                if settings.confirmations == Confirmations::Filtered =>
            {
                Verdict::OnlyConfirms
            }
            _ => Verdict::of(settings, status),
        }
    }

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
    use crate::journal::Start;
    use crate::model::Omit;
    use crate::pipeline::Expression;
    use crate::retry::Retry;

    #[test]
    fn what_only_confirms_is_for_histories_alone() {
        let status = StatusEvent::sample();
        let check = |confirmations, confirms| {
            let content = EntryContent::Resync {
                previous: None,
                confirms,
            };
            let settings = Settings {
                confirmations,
                ..settings(None, EventKind::Status, None)
            };
            Verdict::of_entry(&settings, &content, &status)
        };
        let (filtered, wanted) = (Confirmations::Filtered, Confirmations::Wanted);
        assert_eq!(check(filtered, true), Verdict::OnlyConfirms);
        assert_eq!(check(filtered, false), Verdict::Taken(None));
        assert_eq!(check(wanted, true), Verdict::Taken(None));
    }

    fn settings(topics: Option<&str>, kind: EventKind, when: Option<&str>) -> Settings {
        Settings {
            name: "site".into(),
            kinds: [kind].into(),
            topics: topics.map(|topic| [topic.into()].into()),
            when: when.map(|when| Expression::parse(when).unwrap()),
            omit: Omit::default(),
            start: Start::Oldest,
            retry: Retry::default(),
            confirmations: Confirmations::Filtered,
        }
    }

    #[test]
    fn verdict_names_what_decided() {
        let status = StatusEvent::sample();
        let check = |topics: Option<&str>, kind, when: Option<&str>| {
            Verdict::of(&settings(topics, kind, when), &status)
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
