//! The topics of a configuration: each `[topics.NAME]`, or the many that its `for` makes of it.

mod subscribe;
mod variables;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use subscribe::DURABLE_NAMES;
use variables::{Variables, combinations, is_id};

use super::context::Context;
use super::mapping::filled;
use super::path::Path;
use super::resync::{ResyncTable, constants_beside};
use super::schema::{self, Ack};
use super::template::{Draft, Scope};
use crate::model::Names;
use crate::pipeline::{Decoder, States};
use crate::source::{Resync, Topic, sorted};
use crate::stomp::AckMode;

/// The most topics in all. Each is a subscription that the server keeps (in RabbitMQ a queue) and
/// that every connection makes again. A mistyped range must not bring a server down.
const TOPICS_MAX: usize = 10_000;

/// All topics of the configuration, those of a `for` included.
#[derive(Default)]
pub(super) struct Topics {
    pub(super) topics: Vec<Topic>,
    pub(super) decoders: HashMap<Arc<str>, Decoder>,
    /// Those with a `silence` of their own; `None`: off.
    pub(super) silences: BTreeMap<Arc<str>, Option<Duration>>,
    /// How the snapshots are asked for, of those that have any.
    pub(super) resyncs: BTreeMap<Arc<str>, Resync>,
    /// The names that each `[topics.NAME]` with a `for` has made.
    pub(super) families: BTreeMap<Arc<str>, Vec<Arc<str>>>,
}

impl Topics {
    /// The topics that this name means: one, or all that were made of one table.
    pub(super) fn named(&self, name: &str) -> Option<Vec<Arc<str>>> {
        let one = self
            .decoders
            .get_key_value(name)
            .map(|(name, _)| vec![Arc::clone(name)]);
        one.or_else(|| self.families.get(name).cloned())
    }

    /// The names that statuses have, in the order of the alphabet.
    pub(super) fn topic_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.decoders.keys().map(|name| &**name).collect();
        names.sort_unstable();
        names
    }

    /// Every name that means some, in the order of the alphabet.
    pub(super) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .families
            .keys()
            .chain(self.decoders.keys())
            .map(|name| &**name)
            .collect();
        names.sort_unstable();
        names
    }
}

/// What the topics of one table have in common.
struct OfTable<'t> {
    decoder: Decoder,
    resync: Option<&'t mut ResyncTable>,
}

impl Topics {
    fn join_stream(&mut self, topic: &str, stream: &Arc<str>) {
        if let Some(decoder) = self.decoders.get_mut(topic) {
            *decoder = decoder.clone().in_stream(Arc::clone(stream), false);
        }
    }

    /// A stream of which some of its topics are among these, and one that is not.
    pub(super) fn torn_stream(&self, some: &HashSet<Arc<str>>) -> Option<(Arc<str>, Arc<str>)> {
        let wanted: HashSet<&Arc<str>> = some
            .iter()
            .filter_map(|topic| Some(self.decoders.get(topic)?.stream()))
            .collect();
        let mut torn: Vec<_> = self
            .decoders
            .iter()
            .filter(|(topic, decoder)| wanted.contains(decoder.stream()) && !some.contains(*topic))
            .map(|(topic, decoder)| (Arc::clone(decoder.stream()), Arc::clone(topic)))
            .collect();
        torn.sort_unstable();
        torn.into_iter().next()
    }

    /// Tells the decoders of one stream that there are others.
    fn share_streams(&mut self) {
        let mut topics: HashMap<Arc<str>, usize> = HashMap::new();
        for decoder in self.decoders.values() {
            *topics.entry(Arc::clone(decoder.stream())).or_default() += 1;
        }
        for decoder in self.decoders.values_mut() {
            let stream = Arc::clone(decoder.stream());
            if topics.get(&stream).is_some_and(|topics| *topics > 1) {
                *decoder = decoder.clone().in_stream(stream, true);
            }
        }
    }
}

impl Context<'_> {
    fn stream(&mut self, path: &Path, stream: Option<&str>) -> Option<Arc<str>> {
        let stream = stream?;
        if !is_id(stream) {
            let help = "letters, digits, `-` and `_`: it begins the ids of events with a key";
            let message = format!("`{stream}` cannot name a stream");
            self.report.error_with(&path.join("stream"), message, help);
            return None;
        }
        Some(stream.into())
    }

    pub(super) fn topics(
        &mut self,
        written: BTreeMap<String, schema::Topic>,
        states: &Arc<States>,
        names: Option<&Arc<Names>>,
        max_body: u64,
    ) -> Topics {
        let path = Path::from("topics");
        if written.is_empty() {
            let help = "add [topics.NAME] with destination = \"/topic/…\"";
            self.report
                .key_error(&path, "there is no topic to subscribe to", help);
        }
        let mut all = Topics::default();
        let mut room = TOPICS_MAX;
        // By destination: a topic that has it, and the table that this one is of.
        let mut destinations: HashMap<String, (Topic, String)> = HashMap::new();
        // By durable subscription: the topic that has it.
        let mut durable: HashMap<String, Arc<str>> = HashMap::new();
        for (table, mut topic) in sorted(written) {
            let path = path.join(&table);
            if !is_id(&table) {
                let help = "it is the STOMP subscription id: letters, digits, `-` and `_`";
                self.report
                    .key_error(&path, format!("`{table}` cannot name a topic"), help);
            }
            let mapping = self.mapping(&path, &topic, max_body);
            let variables = topic.r#for.iter().flat_map(BTreeMap::keys);
            let variables: Vec<String> = variables.cloned().collect();
            let mut resync = topic.resync.take().map(|resync| {
                let path = path.join("resync");
                self.resync_table(path, resync, &mapping, &variables, max_body)
            });
            let decoder = Decoder::new(table.as_str().into(), mapping, Arc::clone(states))
                .with_names(names.cloned());
            let stream = self.stream(&path, topic.stream.as_deref());
            let silence = topic
                .silence
                .map(|silence| self.silence(&path.join("silence"), silence.0));
            let mut told = false;
            let of_table = OfTable {
                decoder,
                resync: resync.as_mut(),
            };
            for topic in self.expanded(&path, &table, topic, &mut room, &mut all, of_table) {
                if let Some(stream) = &stream {
                    all.join_stream(&topic.name, stream);
                }
                if let Some(silence) = silence {
                    all.silences.insert(Arc::clone(&topic.name), silence);
                }
                match destinations.get(topic.destination.as_str()) {
                    // Headers that differ, such as selectors, are what such a `for` is for.
                    Some((same, of)) if *of != table && same.destination == topic.destination => {
                        let message = format!(
                            "{} is also the destination of `{}`: each message comes twice",
                            topic.destination, same.name
                        );
                        self.report.warning(&path, message);
                    }
                    Some(_) => {}
                    None => {
                        let destination = topic.destination.to_string();
                        destinations.insert(destination, (topic.clone(), table.clone()));
                    }
                }
                for (header, value) in &topic.headers {
                    if DURABLE_NAMES.contains(&header.as_str())
                        && let Some(other) =
                            durable.insert(value.to_string(), Arc::clone(&topic.name))
                        && !std::mem::replace(&mut told, true)
                    {
                        let message = format!(
                            "`{other}` and `{}` have one durable subscription",
                            topic.name
                        );
                        let help = "the server gives it to one of them; with `for`, write a variable into its name";
                        self.report
                            .error_with(&path.join("headers").join(header), message, help);
                    }
                }
                all.topics.push(topic);
            }
        }
        if all.topics.len() > TOPICS_MAX {
            let message = format!(
                "there are {} topics, and there may be {TOPICS_MAX}",
                all.topics.len()
            );
            self.report.key_error(
                &path,
                message,
                "each is a subscription that the server has to keep",
            );
        }
        all.share_streams();
        all
    }

    /// The topics of one table. Their names and decoders are known also where the rest of them is
    /// wrong.
    fn expanded(
        &mut self,
        path: &Path,
        table: &str,
        topic: schema::Topic,
        room: &mut usize,
        all: &mut Topics,
        of_table: OfTable<'_>,
    ) -> Vec<Topic> {
        let OfTable {
            decoder,
            mut resync,
        } = of_table;
        let each = topic
            .r#for
            .as_ref()
            .map(|each| self.each(&path.join("for"), each));
        let names: Vec<String> = each
            .iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect();
        let scope = Scope {
            signin: self.signed_in.clone(),
            variables: &names,
        };
        let ack = match topic.ack {
            Ack::Auto => AckMode::Auto,
            Ack::Client => AckMode::Client,
            Ack::ClientIndividual => AckMode::ClientIndividual,
        };
        let destination =
            self.destination(&path.join("destination"), table, topic.destination, &scope);
        let headers = self.subscribe_headers(&path.join("headers"), topic.headers, &scope);
        let constants = self.constants(&path.join("fields"), &topic.fields, &names);
        let drafts = || {
            destination
                .iter()
                .chain(headers.iter().map(|(_, draft)| draft))
        };
        let ordered = match each {
            None => Variables::new(),
            Some(each) => {
                let used: Vec<String> = drafts()
                    .flat_map(Draft::variables)
                    .map(str::to_owned)
                    .collect();
                // A destination that is wrong may still name them.
                let known = destination.is_some();
                let Some(ordered) = self.ordered(&path.join("for"), each, &used, known, *room)
                else {
                    all.families.insert(table.into(), Vec::new());
                    return Vec::new();
                };
                ordered
            }
        };
        let mut topics = Vec::new();
        let mut family = Vec::new();
        for values in combinations(&ordered) {
            let name: Arc<str> = std::iter::once(table)
                .chain(values.iter().copied())
                .collect::<Vec<_>>()
                .join("-")
                .into();
            if all.named(&name).is_some() || (*name != *table && self.tables.contains(&*name)) {
                let help = "a topic's name is that of its table and the values, joined by `-`";
                self.report.error_with(
                    &path.join("for"),
                    format!("there are two topics `{name}`"),
                    help,
                );
                continue;
            }
            *room = room.saturating_sub(1);
            family.push(Arc::clone(&name));
            let value = |variable: &str| {
                let place = ordered.iter().position(|(name, _)| name == variable);
                place
                    .and_then(|place| values.get(place).copied())
                    .unwrap_or_default()
            };
            let mut decoder = decoder.for_topic(Arc::clone(&name));
            if !constants.is_empty() {
                decoder = decoder.with_constants(filled(&constants, value));
            }
            if let Some(table) = &mut resync {
                let constants = filled(&constants_beside(&constants, table), value);
                decoder = decoder.with_snapshot(table.mapping.clone(), constants);
                let names = ordered.iter().map(|(name, _)| name.as_str());
                let filling: Vec<(&str, &str)> = names.zip(values.iter().copied()).collect();
                let resync = self.resync(table, &filling);
                all.resyncs.extend(resync.map(|it| (Arc::clone(&name), it)));
            }
            all.decoders.insert(Arc::clone(&name), decoder);
            let Some(destination) = &destination else {
                continue;
            };
            let headers = headers
                .iter()
                .map(|(name, draft)| (name.clone(), draft.template(value)));
            topics.push(Topic {
                name,
                destination: destination.template(value),
                ack,
                headers: headers.collect(),
            });
        }
        if !ordered.is_empty() {
            all.families.insert(table.into(), family);
        }
        topics
    }
}
