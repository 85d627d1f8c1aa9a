//! The dead letters of each sink and the undecodable entries: why, what, and what can be done about
//! it. Fifty of each; a change wants the token.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::asker::Asker;
use super::failure;
use super::frame::Frame;
use super::json_text::indented;
use crate::excerpt::without_numbers;
use crate::journal::{self, Reader};
use crate::model::{EntryKind, Position, Via, device_name};
use crate::ops::lang::{Lang, date, grouped, size};
use crate::ops::links::device_path;
use crate::ops::snapshot::{SinkNow, Snapshot};
use crate::ops::trouble;
use crate::ops::view::View;
use crate::pipeline::{Decoders, StatusKey};
use crate::secret::{beginning, beginning_bytes, redact};

/// Entries of a list on one page.
const ENTRIES_MAX: u32 = 50;

/// Characters of a body that are shown, where it is longer than what is read of it.
const BODY_CHARS_MAX: usize = 1024;

/// Bytes of one that is shown with a line for each value: what is nested deeply has long lines.
const LINES_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a body that are read.
const BODY_BYTES_MAX: u32 = beginning_bytes(BODY_CHARS_MAX) as u32;

/// The verb that delivers entries.
const REDRIVE: &str = "redrive";

/// The name of the list that belongs to no sink, in a URL.
const UNDECODABLE: &str = "undecodable";

/// An entry of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Listed {
    pub(super) position: i64,
    pub(super) topic: String,
    /// When it was received.
    pub(super) received_at: String,
    /// When the sink rejected it.
    pub(super) at: String,
    pub(super) error: String,
    /// The device, as `client/device`, where the body can be read.
    pub(super) device: Option<String>,
    /// The path of its page.
    pub(super) path: Option<String>,
    /// The beginning of the body.
    pub(super) body: String,
    pub(super) body_bytes: u64,
}

/// Entries with the same reason.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Group {
    pub(super) error: String,
    pub(super) entries: Vec<Listed>,
}

impl Group {
    /// When the first and the last of those that are shown were rejected.
    fn span(&self) -> Option<(&str, &str)> {
        let (first, last) = (self.entries.first()?, self.entries.last()?);
        Some((&first.at, &last.at))
    }
}

/// A list: of one sink, or of the undecodable entries.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct List {
    /// The sink; none: undecodable entries, which belong to no sink.
    pub(super) sink: Option<String>,
    pub(super) kind: Option<&'static str>,
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) max_bytes: u64,
    pub(super) groups: Vec<Group>,
    /// The last position of this page, where there are more.
    pub(super) next: Option<i64>,
}

impl List {
    /// The text of the command that an operator types.
    fn typed(&self, verb: &str, position: Option<&i64>) -> String {
        let which = position.map_or("--all".to_owned(), ToString::to_string);
        match &self.sink {
            Some(sink) => format!("stomp-bridge dlq {verb} {sink} {which}"),
            None => format!("stomp-bridge dlq {verb} --undecodable {which}"),
        }
    }

    /// The same as the admin command that the page sends.
    fn command(&self, verb: &str, position: Option<&i64>) -> String {
        let which = match position {
            None => json!("all"),
            Some(position) => json!({ "positions": [position] }),
        };
        let command = match (&self.sink, verb) {
            (Some(sink), verb) => json!({ "command": verb, "sink": sink, "which": which }),
            // The daemon has the configuration that decodes them.
            (None, REDRIVE) => json!({ "command": "decode_again", "which": which }),
            (None, verb) => json!({ "command": format!("{verb}_undecodable"), "which": which }),
        };
        command.to_string()
    }

    fn typed_all(&self, verb: &str) -> String {
        self.typed(verb, None)
    }

    fn typed_one(&self, verb: &str, position: &i64) -> String {
        self.typed(verb, Some(position))
    }

    fn command_all(&self, verb: &str) -> String {
        self.command(verb, None)
    }

    fn command_one(&self, verb: &str, position: &i64) -> String {
        self.command(verb, Some(position))
    }

    /// What a button for all of it does.
    fn what_all(&self, lang: &Lang, verb: &str) -> String {
        let (count, title) = (grouped(self.entries), self.title(lang));
        let entries = lang.plural(self.entries, "entry", "entries");
        let (en, zh) = match verb {
            "drop" => (
                format!("Drop {count} {entries} of {title} permanently"),
                format!("永久丢弃 {title} 的 {count} 条"),
            ),
            _ if self.sink.is_none() => (
                format!("Decode {count} {entries} again"),
                format!("重新解析 {count} 条"),
            ),
            _ => (
                format!("Redrive {count} {entries} to {title}"),
                format!("重新投递 {count} 条到 {title}"),
            ),
        };
        lang.t(&en, &zh).to_owned()
    }

    /// What a button for one entry does.
    fn what_one(&self, lang: &Lang, position: &i64) -> String {
        match &self.sink {
            Some(sink) => format!("{} {sink} {position}", lang.t("Redrive", "重新投递")),
            None => lang
                .t(
                    &format!("Decode entry {position} again"),
                    &format!("重新解析条目 {position}"),
                )
                .to_owned(),
        }
    }

    /// The word on the button for one entry.
    fn word_one(&self, lang: &Lang) -> &'static str {
        match self.sink {
            Some(_) => lang.t("Redrive …", "重新投递…"),
            None => lang.t("Decode again …", "重新解析…"),
        }
    }

    /// The word on the button for all of them.
    fn word_all(&self, lang: &Lang) -> String {
        let count = grouped(self.entries);
        let (en, zh) = match self.sink {
            Some(_) => (
                format!("Redrive all {count} …"),
                format!("全部重新投递 {count} 条…"),
            ),
            None => (
                format!("Decode all {count} again …"),
                format!("全部重新解析 {count} 条…"),
            ),
        };
        lang.t(&en, &zh).to_owned()
    }

    fn title(&self, lang: &Lang) -> String {
        match &self.sink {
            Some(sink) => sink.clone(),
            None => lang.t("undecodable entries", "无法解析的条目").to_owned(),
        }
    }
}

#[derive(Template)]
#[template(path = "page/dead_letters.html")]
struct DeadLetters {
    f: Frame,
    l: Lang,
    lists: Vec<List>,
    /// Sinks without any.
    none: Vec<String>,
    count: u64,
    bytes: u64,
    max_bytes: u64,
    first_page: String,
    asker: Asker,
    failure: Option<String>,
}

impl DeadLetters {
    fn size(&self, bytes: &u64) -> String {
        size(*bytes)
    }

    fn count(&self, count: &u64) -> String {
        grouped(*count)
    }

    /// The rest of a list.
    fn next_page(&self, list: &List) -> Option<String> {
        let next = list.next?.to_string();
        let name = list.sink.as_deref().unwrap_or(UNDECODABLE);
        Some(
            self.asker
                .with(&[("after", Some(&next)), ("list", Some(name))]),
        )
    }

    /// An error in the language of the page.
    fn in_words(&self, error: &str) -> String {
        trouble::said(error, self.l).into_owned()
    }

    fn advice(&self, list: &List, group: &Group) -> &'static str {
        advice(list.sink.is_some(), &group.error, self.l)
    }
}

/// The page.
pub(super) async fn dead_letters(State(view): State<View>, asker: Asker) -> Response {
    let f = Frame::new(&view, &asker, "dead-letters");
    let sinks = Snapshot::of(&view).sinks;
    let (lists, failure) = match lists(&view, &asker, &sinks).await {
        Ok(lists) => (lists, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let with: Vec<&SinkNow> = sinks.iter().filter(|sink| sink.dead_letters > 0).collect();
    let page = DeadLetters {
        l: asker.lang,
        count: with.iter().map(|sink| sink.dead_letters).sum(),
        bytes: with.iter().map(|sink| sink.dlq_bytes).sum(),
        max_bytes: view.bounds.dlq_bytes,
        none: sinks
            .iter()
            .filter(|sink| sink.dead_letters == 0 && sink.kind.is_some())
            .map(|sink| sink.name.clone())
            .collect(),
        first_page: asker.with(&[("after", None), ("list", None)]),
        asker,
        f,
        lists,
        failure,
    };
    page.f.answer(&page)
}

/// All lists, or the rest of the one that the URL names.
pub(super) async fn lists(
    view: &View,
    asker: &Asker,
    sinks: &[SinkNow],
) -> Result<Vec<List>, String> {
    let wanted = asker.value("list");
    let after = asker.value("after").and_then(|after| after.parse().ok());
    let after = Position(after.unwrap_or(0));
    let read = async {
        let mut reader = view.journal.log.reader().await?;
        let mut lists = Vec::new();
        for sink in sinks.iter().filter(|sink| sink.dead_letters > 0) {
            if wanted.is_none_or(|wanted| wanted == sink.name) {
                lists.push(of_sink(view, &mut reader, sink, after).await?);
            }
        }
        if wanted.is_none_or(|wanted| wanted == UNDECODABLE) {
            let list = undecodable(view, &mut reader, after).await?;
            lists.extend(Some(list).filter(|list| list.entries > 0));
        }
        Ok(lists)
    };
    failure::read(asker.lang, read).await
}

async fn of_sink(
    view: &View,
    reader: &mut Reader,
    sink: &SinkNow,
    after: Position,
) -> Result<List, journal::Error> {
    let letters = reader
        .dead_letters_page(&sink.name, after, ENTRIES_MAX, BODY_BYTES_MAX)
        .await?;
    Ok(List {
        sink: Some(sink.name.clone()),
        kind: sink.kind,
        entries: sink.dead_letters,
        bytes: sink.dlq_bytes,
        max_bytes: sink.dlq_max_bytes,
        next: next(&letters),
        groups: groups(view, letters),
    })
}

async fn undecodable(
    view: &View,
    reader: &mut Reader,
    after: Position,
) -> Result<List, journal::Error> {
    let letters = reader
        .undecodable_page(after, ENTRIES_MAX, BODY_BYTES_MAX)
        .await?;
    Ok(List {
        sink: None,
        kind: None,
        entries: reader.undecodable_count().await?,
        bytes: letters.iter().map(|letter| letter.body_bytes).sum(),
        max_bytes: view.bounds.journal_bytes,
        next: next(&letters),
        groups: groups(view, letters),
    })
}

fn next(letters: &[journal::Letter]) -> Option<i64> {
    let is_full = letters.len() >= ENTRIES_MAX as usize;
    let last = letters.last().filter(|_| is_full)?;
    Some(last.position.0)
}

/// Entries whose errors differ by their numbers alone have one reason.
fn groups(view: &View, letters: Vec<journal::Letter>) -> Vec<Group> {
    let mut groups: Vec<(String, Group)> = Vec::new();
    for letter in letters {
        let key = without_numbers(&letter.error);
        let listed = listed(view, letter);
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, group)) => group.entries.push(listed),
            None => {
                let error = listed.error.clone();
                let entries = vec![listed];
                groups.push((key, Group { error, entries }));
            }
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

fn is_whole(letter: &journal::Letter) -> bool {
    letter.body.len() as u64 == letter.body_bytes
}

/// The stream and the device of a letter. A status of a snapshot has the mapping of snapshots, and
/// coverage is of no device.
fn device(decoders: &Decoders, letter: &journal::Letter) -> Option<(Arc<str>, StatusKey)> {
    let via = match letter.kind {
        EntryKind::Status | EntryKind::Undecodable => Via::Live,
        EntryKind::Resync => Via::Resync,
        _ => return None,
    };
    let body = Some(&letter.body).filter(|_| is_whole(letter))?;
    decoders.status_key(&letter.topic, via, body)
}

fn listed(view: &View, letter: journal::Letter) -> Listed {
    let zone = &view.setup.current().zone;
    let device = device(&view.decoders, &letter);
    let path = device
        .as_ref()
        .map(|(stream, key)| device_path(stream, &key.client_id, &key.device_id));
    let device = device.map(|(_, key)| device_name(&key.client_id, &key.device_id));
    let lines = || indented(&letter.body, LINES_BYTES_MAX);
    let body = match is_whole(&letter).then(lines).flatten() {
        Some(lines) => redact(&lines).into_owned(),
        None => beginning(&letter.body, BODY_CHARS_MAX).marked(),
    };
    Listed {
        position: letter.position.0,
        topic: letter.topic.to_string(),
        received_at: date(letter.received_at, zone),
        at: date(letter.at, zone),
        error: redact(&letter.error).into_owned(),
        device: device.map(|device| redact(&device).into_owned()),
        path,
        body,
        body_bytes: letter.body_bytes,
    }
}

/// What helps, by what the error says.
fn advice(is_of_sink: bool, error: &str, lang: Lang) -> &'static str {
    let (en, zh) = match error {
        _ if !is_of_sink => (
            "Correct the topic's fields or items, reload, then decode them again.",
            "修正主题的 fields 或 items 并重载，然后重新解析。",
        ),
        error if error.contains("no longer") => (
            "Correct the topic's table in the configuration, reload, then redrive.",
            "修正配置中的主题后重载，再重新投递。",
        ),
        error if error.contains("answered 4") || error.contains("HTTP 4") => (
            "The receiver rejects the event: correct it, or the sink's body, reload, then redrive.",
            "接收方拒绝此事件：修正接收方或输出端的 body 模板，重载后重新投递。",
        ),
        error if error.contains("gave up") || error.contains("given up") => (
            "It was retried for as long as retry.give_up says. Redrive it once the receiver is well.",
            "已重试到 retry.give_up 的期限。接收方恢复后重新投递。",
        ),
        _ => (
            "Correct the receiver or the configuration, reload, then redrive.",
            "修正接收方或配置，重载后重新投递。",
        ),
    };
    match lang {
        Lang::En => en,
        Lang::Zh => zh,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::ops::control::AdminCommand;
    use crate::pipeline::{Constants, Decoder, Field, Mapping};

    #[test]
    fn a_letter_is_read_by_the_mapping_of_what_brought_it() {
        let mut of_snapshot = Mapping::default();
        of_snapshot.set(Field::Device, Some("/id".parse().unwrap()));
        of_snapshot.set(Field::NewState, Some("/state".parse().unwrap()));
        let decoder = Decoder::new("map-1".into(), Mapping::default(), Arc::default())
            .with_snapshot(of_snapshot, Constants::default());
        let decoders = Decoders::new(Arc::new([("map-1".into(), decoder)].into()));
        // Both mappings can read it: the live one takes another device.
        let body = r#"{"id":7,"state":"x","deviceId":1,"newState":"y"}"#;
        let found = |kind, body_bytes| {
            let letter = journal::Letter {
                position: Position(1),
                kind,
                topic: "map-1".into(),
                received_at: Timestamp::UNIX_EPOCH,
                at: Timestamp::UNIX_EPOCH,
                error: String::new(),
                body: body.into(),
                body_bytes,
            };
            device(&decoders, &letter).map(|(_, key)| key.device_id)
        };
        let whole = body.len() as u64;
        assert_eq!(found(EntryKind::Status, whole).as_deref(), Some("1"));
        assert_eq!(found(EntryKind::Undecodable, whole).as_deref(), Some("1"));
        assert_eq!(found(EntryKind::Resync, whole).as_deref(), Some("7"));
        assert_eq!(found(EntryKind::Coverage, whole), None);
        assert_eq!(
            found(EntryKind::Resync, whole + 1),
            None,
            "its end is absent"
        );
    }

    fn list(sink: Option<&str>) -> List {
        List {
            sink: sink.map(str::to_owned),
            kind: None,
            entries: 1,
            bytes: 0,
            max_bytes: 0,
            groups: Vec::new(),
            next: None,
        }
    }

    #[test]
    fn what_the_page_sends_is_a_command_and_says_what_is_typed() {
        for (list, verb, position, typed) in [
            (
                list(Some("a\"b")),
                "redrive",
                None,
                "stomp-bridge dlq redrive a\"b --all",
            ),
            (
                list(Some("a")),
                "drop",
                Some(7),
                "stomp-bridge dlq drop a 7",
            ),
            (
                list(None),
                "drop",
                Some(7),
                "stomp-bridge dlq drop --undecodable 7",
            ),
            (
                list(None),
                "redrive",
                None,
                "stomp-bridge dlq redrive --undecodable --all",
            ),
        ] {
            let command = list.command(verb, position.as_ref());
            let command: AdminCommand = serde_json::from_str(&command).expect(&command);
            let is_drop = matches!(
                command,
                AdminCommand::Drop { .. } | AdminCommand::DropUndecodable { .. }
            );
            assert_eq!(is_drop, verb == "drop");
            assert_eq!(list.typed(verb, position.as_ref()), typed);
        }
    }
}
