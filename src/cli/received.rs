//! What `tap`, `doctor` and `init` receive over a connection of their own: subscriptions that take
//! nothing away from the daemon, and the statuses of a message.

use std::borrow::Cow;
use std::collections::HashSet;

use anyhow::bail;

use crate::config::Plan;
use crate::model::{Origin, Position, StatusEvent};
use crate::pipeline::Decoder;
use crate::source::{Topic, body_of};
use crate::stomp::{AckMode, Message, Subscribe};

/// The topics of these names, which may be those of tables with a `for`; all of them if none is
/// named.
pub(super) fn chosen<'a>(plan: &'a Plan, names: &[String]) -> anyhow::Result<Vec<&'a Topic>> {
    let Plan {
        source, families, ..
    } = plan;
    if names.is_empty() {
        return Ok(source.topics.iter().collect());
    }
    let mut wanted = HashSet::new();
    for name in names {
        match families.get(name.as_str()) {
            Some(family) => wanted.extend(family.iter().map(|name| &**name)),
            None if source.topics.iter().any(|topic| *topic.name == **name) => {
                wanted.insert(name.as_str());
            }
            None => {
                let made: HashSet<&str> = families.values().flatten().map(|name| &**name).collect();
                let written = source
                    .topics
                    .iter()
                    .map(|topic| &*topic.name)
                    .filter(|name| !made.contains(name));
                let known: Vec<&str> = families.keys().map(|name| &**name).chain(written).collect();
                bail!(
                    "there is no topic `{name}` in the configuration; it has {}",
                    known.join(", ")
                );
            }
        }
    }
    Ok(source
        .topics
        .iter()
        .filter(|topic| wanted.contains(&*topic.name))
        .collect())
}

/// How the names of our subscriptions begin.
pub(super) const PREFIX: &str = "tap-";

/// A subscription that ends with the connection. It has none of the headers that would make it the
/// daemon's durable one (`durable`, `x-queue-name`, `activemq.subscriptionName`, …), whose messages
/// it would take. A selector is kept.
pub(super) fn transient(mut subscription: Subscribe) -> Subscribe {
    subscription.headers.retain(|(name, _)| name == "selector");
    Subscribe {
        id: format!("{PREFIX}{}", subscription.id).into(),
        ack: AckMode::Auto,
        ..subscription
    }
}

/// What there is of a message: each status, or why there is none and what stands there.
pub(super) enum Found<'a> {
    Status(Box<StatusEvent>),
    Nothing { error: String, body: Cow<'a, [u8]> },
}

pub(super) fn statuses<'a>(
    message: &'a Message,
    decoder: &'a Decoder,
) -> impl Iterator<Item = Found<'a>> {
    let received_at = jiff::Timestamp::now();
    // There is no journal: the origin is nobody's.
    let origin = Origin {
        journal: uuid::Uuid::nil(),
        position: Position(0),
    };
    decoder
        .split_message(&body_of(message), received_at)
        .into_iter()
        .filter(|element| !element.ignored)
        .map(move |element| {
            // The reason is the intake's: what is kept is read as UTF-8 later.
            let read = element.outcome.map(|_| &element.raw);
            let event = |raw: &Cow<'_, [u8]>| decoder.event(raw, origin, received_at, None);
            match read.and_then(event) {
                Ok(status) => Found::Status(Box::new(status)),
                Err(undecodable) => Found::Nothing {
                    error: undecodable.to_string(),
                    body: element.raw,
                },
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Environment};

    fn subscription(destination: &str, headers: &[(&str, &str)]) -> Subscribe {
        Subscribe {
            id: "a".into(),
            destination: destination.to_owned(),
            ack: AckMode::ClientIndividual,
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn a_durable_subscription_of_the_daemon_is_not_touched() {
        let headers = [
            ("durable", "true"),
            ("x-queue-name", "q"),
            ("selector", "a = 1"),
            ("prefetch-count", "9"),
        ];
        let subscribe = transient(subscription("/topic/a", &headers));
        assert_eq!((&*subscribe.id, subscribe.ack), ("tap-a", AckMode::Auto));
        assert_eq!(
            subscribe.headers,
            [("selector".to_owned(), "a = 1".to_owned())]
        );
    }

    #[test]
    fn a_topic_that_is_not_there_is_told_with_those_that_are() {
        let text = "[source]\nurl = \"ws://h\"\n[topics.a]\ndestination = \"/topic/a\"\n\
                    [topics.map]\ndestination = \"/topic/{{ n }}\"\nfor = { n = \"1..3\" }\n";
        let plan = config::parse(
            "config.toml".as_ref(),
            text.to_owned(),
            &Environment::default(),
        )
        .unwrap();
        let chosen = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            chosen(&plan, &names)
                .map(|topics| topics.iter().map(|topic| &*topic.name).collect::<Vec<_>>())
        };
        let error = chosen(&["b"]).unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no topic `b` in the configuration; it has map, a"
        );
        assert_eq!(chosen(&[]).unwrap(), ["a", "map-1", "map-2", "map-3"]);
        assert_eq!(chosen(&["map"]).unwrap(), ["map-1", "map-2", "map-3"]);
        assert_eq!(chosen(&["map-2", "a", "map-2"]).unwrap(), ["a", "map-2"]);
    }
}
