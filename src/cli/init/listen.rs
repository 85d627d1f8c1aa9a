//! Listens to the topics of a draft, and keeps what it hears as JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use encoding_rs::GB18030;
use serde_json::Value;
use tokio::time::timeout;

use crate::cli::received::{PREFIX, transient};
use crate::config::Plan;
use crate::pipeline::Decoder;
use crate::source::{Client, ClientError, Topic, body_of, reads_a_queue};
use crate::stomp::{Event, Message};

/// Messages of one topic that are kept: enough to see its words.
const MESSAGES_MAX: usize = 200;

/// A larger body is left out: its like will come in a smaller one.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// What came of all topics, by their names.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) topics: BTreeMap<Arc<str>, HeardTopic>,
}

/// What came of one topic.
#[derive(Debug, Default)]
pub(super) struct HeardTopic {
    /// It is a queue, and was not read.
    pub(super) is_queue: bool,
    /// How many messages came.
    pub(super) messages: usize,
    /// Their bodies, as far as they are JSON.
    pub(super) bodies: Vec<Value>,
    /// They are readable in this encoding, and in UTF-8 they are not.
    pub(super) encoding: Option<&'static str>,
}

impl HeardTopic {
    fn hear(&mut self, message: &Message, decoder: &Decoder) {
        self.messages += 1;
        if self.bodies.len() >= MESSAGES_MAX || message.body.len() > BODY_BYTES_MAX {
            return;
        }
        let now = jiff::Timestamp::now();
        for element in decoder.split_message(&body_of(message), now) {
            self.keep(&element.raw);
        }
    }

    fn keep(&mut self, raw: &[u8]) {
        let text = match std::str::from_utf8(raw) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => {
                let Some(text) = GB18030.decode_without_bom_handling_and_without_replacement(raw)
                else {
                    return;
                };
                self.encoding = Some("gb18030");
                text
            }
        };
        self.bodies
            .extend(serde_json::from_str::<Value>(&text).ok());
    }
}

/// Listens for that time, or until enough has come of each topic.
///
/// # Errors
/// The connection has ended.
pub(super) async fn listen(
    client: &mut Client,
    plan: &Plan,
    wait: Duration,
) -> Result<Heard, ClientError> {
    let mut heard = Heard::default();
    for topic in &plan.source.topics {
        let subscription = client.subscription(topic)?;
        let is_queue = reads_a_queue(&subscription);
        if !is_queue {
            let subscription = transient(subscription);
            client.session().subscribe(subscription, Instant::now());
        }
        let topic = heard.topics.entry(Arc::clone(&topic.name)).or_default();
        topic.is_queue = is_queue;
    }
    // Its end is no failure: what came by then is what there is.
    match timeout(wait, follow(client, plan, &mut heard)).await {
        Ok(Err(error)) => Err(error),
        Ok(Ok(())) | Err(_) => Ok(heard),
    }
}

async fn follow(client: &mut Client, plan: &Plan, heard: &mut Heard) -> Result<(), ClientError> {
    let wants = |topic: &HeardTopic| !topic.is_queue && topic.messages < MESSAGES_MAX;
    while heard.topics.values().any(wants) {
        if let Event::Message(message) = client.next().await? {
            let name = message.subscription.strip_prefix(PREFIX);
            let topics = plan.source.topics.iter();
            let topic: Option<&Topic> = topics.into_iter().find(|topic| Some(&*topic.name) == name);
            let Some(name) = topic.map(|topic| &topic.name) else {
                continue;
            };
            let decoder = plan.decoders.get(name);
            if let (Some(topic), Some(decoder)) = (heard.topics.get_mut(name), decoder) {
                topic.hear(&message, decoder);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_in_gb18030_is_read_and_named() {
        let mut heard = HeardTopic::default();
        heard.keep(r#"{"newState":"故障"}"#.as_bytes());
        assert_eq!(heard.encoding, None);
        let (text, _, _) = GB18030.encode(r#"{"newState":"离线"}"#);
        heard.keep(&text);
        heard.keep(b"not json");
        heard.keep(b"\xff\xff");
        assert_eq!(heard.encoding, Some("gb18030"));
        let words: Vec<&Value> = heard.bodies.iter().map(|body| &body["newState"]).collect();
        assert_eq!(words, ["故障", "离线"]);
    }
}
