//! The regions of the first page: each is one element with an id, rendered by itself, so that the
//! stream sends only those that have changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use askama::Template;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::shapes;
use crate::model::Severity;
use crate::ops::lang::{self, Lang};
use crate::ops::setup::Setup;
use crate::ops::snapshot::{
    GapNow, LatencyNow, LineNow, SessionNow, SinkNow, Snapshot, TopicNow, TopicState,
};
use crate::ops::trouble;
use crate::ops::verdict::{Level, Said};
use crate::ops::view::View;
use crate::sinks::Condition;

/// All of them, by the ids of their elements.
pub(super) const NAMES: [&str; 10] = [
    "verdict",
    "path",
    "sinks",
    "topics-head",
    "matrix",
    "topics-rows",
    "gaps",
    "journal",
    "changes",
    "link",
];

/// Up to this many topics have a row each.
const ROWS_MAX: usize = 24;

/// Rows of topics in trouble, where there are more.
const TROUBLED_MAX: usize = 10;

/// Topics in trouble that the matrix names.
const LABELLED_MAX: usize = 5;

/// Tables with a row for the rest of their topics.
const TABLES_MAX: usize = 10;

/// Whether ages are written. In a stream they are not: the browser has a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ages {
    Written,
    Ticking,
}

/// The rendered regions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Regions {
    /// By their ids.
    pub(super) html: BTreeMap<&'static str, String>,
    /// The classes of the matrix's cells.
    cells: Vec<&'static str>,
    /// What the matrix is called.
    label: String,
}

/// The cells of the matrix that have changed.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct ChangedCells<'a> {
    label: &'a str,
    /// Each with its place and its class.
    cells: Vec<(usize, &'static str)>,
}

impl Regions {
    /// As they are now.
    ///
    /// # Errors
    /// A template has failed.
    pub(super) fn of(view: &View, lang: Lang, ages: Ages) -> Result<Regions, askama::Error> {
        let snapshot = Snapshot::of(view);
        let said = view.verdict().said(lang);
        Regions::render(&snapshot, &said, &view.setup.current(), (lang, ages))
    }

    /// Of one moment.
    ///
    /// # Errors
    /// A template has failed.
    pub(super) fn render(
        snapshot: &Snapshot,
        said: &Said,
        setup: &Setup,
        (lang, ages): (Lang, Ages),
    ) -> Result<Regions, askama::Error> {
        let mut regions = Regions::default();
        for name in NAMES {
            let region = Region {
                name,
                l: lang,
                s: snapshot,
                said,
                setup,
                ages,
            };
            regions.html.insert(name, region.render()?);
            if name == "matrix" && region.has_matrix() {
                let topics = snapshot.topics.iter();
                regions.cells = topics.map(|topic| region.cell(topic)).collect();
                regions.label = region.matrix_label();
            }
        }
        Ok(regions)
    }

    /// What has changed of a matrix that has as many cells as before; most often it is one cell.
    pub(super) fn changed_cells(&self, before: &Regions) -> Option<ChangedCells<'_>> {
        let is_same_size = !self.cells.is_empty() && self.cells.len() == before.cells.len();
        is_same_size.then(|| {
            let pairs = self.cells.iter().zip(&before.cells).enumerate();
            let changed = pairs.filter(|(_, (now, before))| now != before);
            ChangedCells {
                label: &self.label,
                cells: changed.map(|(at, (now, _))| (at, *now)).collect(),
            }
        })
    }

    /// One of them.
    pub(super) fn get(&self, name: &str) -> &str {
        self.html.get(name).map_or("", String::as_str)
    }
}

/// The rows of these topics, one for each.
///
/// # Errors
/// The template has failed.
pub(super) fn all_topics(
    view: &View,
    snapshot: &Snapshot,
    lang: Lang,
) -> Result<String, askama::Error> {
    let region = Region {
        name: "topics-all",
        l: lang,
        s: snapshot,
        said: &view.verdict().said(lang),
        setup: &view.setup.current(),
        ages: Ages::Written,
    };
    region.render()
}

/// Topics that are shown in one row.
struct Rest {
    name: String,
    count: usize,
    rate: f64,
    last_message: Option<Timestamp>,
}

#[derive(Template)]
#[template(path = "page/regions.html")]
struct Region<'a> {
    name: &'static str,
    l: Lang,
    s: &'a Snapshot,
    said: &'a Said,
    setup: &'a Setup,
    ages: Ages,
}

impl Region<'_> {
    fn age(&self, at: &Timestamp) -> String {
        let text = match self.ages {
            Ages::Written => self.l.between(*at, self.s.at),
            Ages::Ticking => String::new(),
        };
        format!("<time class=\"age\" datetime=\"{at}\">{text}</time>")
    }

    fn clock(&self, at: &Timestamp) -> String {
        lang::clock(*at, self.s.at, &self.setup.zone)
    }

    fn count(&self, count: &u64) -> String {
        self.l.count(*count)
    }

    /// How much is well.
    fn all_well(&self) -> String {
        let (topics, devices) = (self.s.topics.len(), self.s.devices.known);
        let topic_noun = self.l.plural(topics as u64, "topic", "topics");
        let device_noun = self.l.plural(devices, "device", "devices");
        let (devices, span) = (self.l.count(devices), self.gaps_span());
        match self.l {
            Lang::En => format!("{topics} {topic_noun}, {devices} {device_noun}; no gap {span}"),
            Lang::Zh => format!("{topics} 个主题，{devices} 台设备；{span}没有空档"),
        }
    }

    /// The time that the gaps are of: those before the start are in a history alone.
    fn gaps_span(&self) -> &'static str {
        let of_a_day =
            self.s.at.duration_since(self.s.started_at) >= SignedDuration::from_hours(24);
        match of_a_day {
            true => self.l.t("in the last day", "最近一天"),
            false => self.l.t("since the start", "启动以来"),
        }
    }

    fn gaps_head(&self) -> String {
        let span = self.gaps_span();
        match self.l {
            Lang::En => format!("Gaps {span}"),
            Lang::Zh => format!("{span}的收听空档"),
        }
    }

    fn dead_letters(&self) -> String {
        self.l.count(self.s.dead_letters())
    }

    fn size(&self, bytes: &u64) -> String {
        lang::size(*bytes)
    }

    fn rate(&self, rate: &f64) -> String {
        format!("{}{}", lang::rate(*rate), self.l.t("/s", "/秒"))
    }

    fn spark(&self, points: &[f64], now: &f64) -> String {
        shapes::spark(points, *now)
    }

    fn mark(&self, severity: &Severity) -> &'static str {
        mark(*severity)
    }

    /// States have their name in English and the platform's word in Chinese.
    fn state<'b>(&self, state: &'b crate::ops::snapshot::StateNow) -> &'b str {
        match self.l {
            Lang::Zh if !state.word.is_empty() => &state.word,
            _ if state.state.is_empty() => self.l.t("other words", "其他"),
            _ => &state.state,
        }
    }

    fn sink_state(&self, sink: &SinkNow) -> (&'static str, &'static str) {
        let (mark, en, zh) = match sink.state {
            Condition::Up => ("ok", "up", "正常"),
            Condition::Starting => ("unk", "not tried yet", "尚未连接"),
            Condition::Retrying => ("warn", "retrying", "重试中"),
            Condition::Paused => ("warn", "paused", "已暂停"),
            Condition::Disabled => ("crit", "disabled", "已停用"),
            Condition::Removed => ("unk", "removed", "已移除"),
        };
        (mark, self.l.t(en, zh))
    }

    fn topic_state(&self, state: &TopicState) -> (&'static str, &'static str) {
        let (mark, en, zh) = match state {
            TopicState::Refused => ("crit", "refused", "被拒绝"),
            TopicState::Unheard => ("crit", "not heard", "未收听"),
            TopicState::Silent => ("warn", "silent", "静默"),
            TopicState::Subscribed => ("ok", "subscribed", "已订阅"),
            TopicState::Receiving => ("ok", "receiving", "接收中"),
        };
        (mark, self.l.t(en, zh))
    }

    fn cause(&self, cause: &str) -> &'static str {
        self::cause(cause, self.l)
    }

    fn gap_topics(&self, gap: &GapNow) -> String {
        let names = gap.topics.join(", ");
        match gap.count.saturating_sub(gap.topics.len()) {
            _ if gap.all => {
                let count = gap.count;
                self.l
                    .t(&format!("all {count}"), &format!("全部 {count} 个"))
                    .to_owned()
            }
            0 => names,
            more => {
                let en = format!("{names} and {more} more");
                self.l
                    .t(&en, &format!("{names} 等 {} 个", gap.count))
                    .to_owned()
            }
        }
    }

    fn length(&self, gap: &GapNow) -> String {
        let until = gap.until.unwrap_or(self.s.at);
        self.l.between(gap.since, until)
    }

    /// The bar of a topic's last day: the time before the start of the daemon is neither heard nor
    /// not heard.
    fn bar(&self, topic: &TopicNow) -> String {
        let end = self.s.at;
        let begin = end
            .saturating_sub(SignedDuration::from_hours(24))
            .unwrap_or(Timestamp::MIN);
        let mut bar = "<rect class=\"f-sunk\" width=\"100%\" height=\"12\"/>".to_owned();
        if let Some(since) = topic.heard_since {
            let heard = shapes::gap(since.max(begin), end, (begin, end));
            let _ = write!(
                bar,
                "<rect class=\"f-ok\" x=\"{:.1}%\" width=\"{:.1}%\" height=\"12\"/>",
                heard.x, heard.width
            );
        }
        for (since, until) in &topic.gaps {
            let gap = shapes::gap(*since, until.unwrap_or(end), (begin, end));
            let _ = write!(
                bar,
                "<rect x=\"{:.1}%\" width=\"{:.1}%\" height=\"12\" fill=\"url(#h)\"/>",
                gap.x, gap.width
            );
        }
        bar
    }

    fn has_matrix(&self) -> bool {
        self.s.topics.len() > ROWS_MAX
    }

    fn is_list(&self) -> bool {
        self.name == "topics-all"
    }

    /// What the matrix says to who does not see it: the counts, and which topics are in trouble.
    fn matrix_label(&self) -> String {
        let troubled = self.troubled();
        let named = troubled.iter().take(LABELLED_MAX);
        let named =
            named.map(|topic| format!("{} {}", topic.name, self.topic_state(&topic.state).1));
        let parts: Vec<String> = [self.summary()].into_iter().chain(named).collect();
        let parts = parts.join(self.l.t("; ", "；"));
        let (en, zh) = ("One cell for each topic: ", "每格一个主题：");
        format!("{}{parts}", self.l.t(en, zh))
    }

    fn cell(&self, topic: &TopicNow) -> &'static str {
        match (self.topic_state(&topic.state).0, topic.quiet) {
            ("ok", true) => "q",
            ("ok", false) => "",
            (mark, _) => mark,
        }
    }

    /// The topics with a row of their own: all, or those in trouble.
    fn rows(&self) -> Vec<&TopicNow> {
        if !self.has_matrix() || self.is_list() {
            return self.s.topics.iter().collect();
        }
        let mut troubled = self.troubled();
        troubled.truncate(TROUBLED_MAX);
        troubled
    }

    fn troubled(&self) -> Vec<&TopicNow> {
        let is_troubled = |it: &&TopicNow| it.state < TopicState::Subscribed;
        let mut troubled: Vec<&TopicNow> = self.s.topics.iter().filter(is_troubled).collect();
        troubled.sort_by_key(|topic| topic.state);
        troubled
    }

    fn more_troubled(&self) -> usize {
        self.troubled().len().saturating_sub(TROUBLED_MAX)
    }

    /// The topics without a row of their own, by their tables.
    fn rests(&self) -> Vec<Rest> {
        if !self.has_matrix() || self.is_list() {
            return Vec::new();
        }
        let mut rests: BTreeMap<&str, Rest> = BTreeMap::new();
        let well = self
            .s
            .topics
            .iter()
            .filter(|topic| topic.state >= TopicState::Subscribed);
        for topic in well {
            let table = topic.table.as_deref().unwrap_or_default();
            let rest = rests.entry(table).or_insert_with(|| Rest {
                name: match table.is_empty() {
                    true => self.l.t("the others", "其余").to_owned(),
                    false => table.to_owned(),
                },
                count: 0,
                rate: 0.0,
                last_message: None,
            });
            rest.count += 1;
            rest.rate += topic.rate;
            rest.last_message = rest.last_message.max(topic.last_message);
        }
        rests.into_values().take(TABLES_MAX).collect()
    }

    /// How many topics are in each state, in words.
    fn summary(&self) -> String {
        let states: BTreeSet<TopicState> = self.s.topics.iter().map(|topic| topic.state).collect();
        let counts: Vec<String> = states
            .into_iter()
            .rev()
            .map(|state| {
                let (count, (_, word)) = (self.s.topics_in(state), self.topic_state(&state));
                self.l
                    .t(&format!("{count} {word}"), &format!("{word} {count}"))
                    .to_owned()
            })
            .collect();
        let all = self.s.topics.len();
        let counts = counts.join(self.l.t(", ", "，"));
        self.l
            .t(&format!("{all}: {counts}"), &format!("{all} 个：{counts}"))
            .to_owned()
    }

    fn link_mark(&self) -> &'static str {
        let heard = self.s.topics_heard();
        let worst = self.said.todo.iter().filter(|todo| {
            let keys = [
                "not_connected",
                "topics_refused",
                "undeliverable",
                "paused",
                "journal_full",
            ];
            keys.contains(&todo.key.as_str()) || todo.key.contains("silent")
        });
        let worst = worst.map(|todo| todo.state).max();
        match worst {
            Some(level) => level.as_str(),
            None if heard < self.s.topics.len() => Level::Unknown.as_str(),
            None => Level::Ok.as_str(),
        }
    }

    fn sinks_up(&self) -> usize {
        self.s
            .sinks
            .iter()
            .filter(|sink| sink.state == Condition::Up)
            .count()
    }

    fn sinks_mark(&self) -> &'static str {
        let worst = self
            .said
            .todo
            .iter()
            .filter(|todo| todo.key.starts_with("sinks_"));
        worst
            .map(|todo| todo.state)
            .max()
            .unwrap_or(Level::Ok)
            .as_str()
    }

    fn journal_percent(&self) -> u64 {
        shapes::share(self.s.journal.bytes, self.s.journal.max_bytes).round() as u64
    }

    fn journal_mark(&self) -> &'static str {
        match self.s.journal.full {
            true => "crit",
            false if self.s.journal.pending_bytes * 100 >= self.s.journal.max_bytes * 80 => "warn",
            false => "ok",
        }
    }

    fn share(&self, part: &u64, whole: &u64) -> String {
        format!("{:.1}%", shapes::share(*part, *whole))
    }

    /// The sink that is furthest behind, and since when.
    fn furthest_behind(&self) -> Option<(&SinkNow, Timestamp)> {
        let behind = self
            .s
            .sinks
            .iter()
            .filter_map(|sink| Some((sink, sink.oldest_pending?)));
        let late =
            |(_, since): &(&SinkNow, Timestamp)| self.s.at.as_second() - since.as_second() > 5;
        behind.filter(late).min_by_key(|(_, since)| *since)
    }

    fn seconds(&self, seconds: &u64) -> String {
        self.l.age(i64::try_from(*seconds).unwrap_or(i64::MAX))
    }

    fn retry_command(&self, sink: &str) -> String {
        serde_json::json!({ "command": "retry_sink", "sink": sink }).to_string()
    }

    fn percent(&self, topic: &TopicNow) -> String {
        match topic.heard_percent {
            whole if whole >= 99.95 => "100 %".to_owned(),
            part => format!("{part:.1} %"),
        }
    }

    fn link_word(&self) -> &'static str {
        match self.s.link.state {
            "connecting" => "连接中",
            "connected" => "已连接",
            "subscribed" => "已订阅",
            "receiving" => "接收中",
            "silent" => "静默",
            "stopped" => "已停止",
            _ => "已暂停",
        }
    }

    fn topics_of(&self, topics: &[String]) -> String {
        self.l.of(&crate::source::named(topics)).to_owned()
    }

    /// When the server was last heard, to five seconds: with each byte the region would be another.
    fn heard(&self, at: &Timestamp) -> String {
        let seconds = at.as_second();
        let at = Timestamp::from_second(seconds - seconds.rem_euclid(5));
        at.map_or_else(|_| String::new(), |at| self.age(&at))
    }

    /// An error in the language of the page.
    fn in_words(&self, error: &str) -> String {
        trouble::said(error, self.l).into_owned()
    }

    fn line<'b>(&self, line: &'b LineNow) -> &'b str {
        self.l.t(&line.en, &line.zh)
    }

    /// How long it took lately.
    fn latency(&self, latency: &LatencyNow) -> String {
        let [p50, p99] = [latency.p50_seconds, latency.p99_seconds].map(|seconds| {
            self.l
                .took(Duration::try_from_secs_f64(seconds).unwrap_or_default())
        });
        format!("p50 {p50} · p99 {p99}")
    }

    /// By which transport and version, and to which server.
    fn session(&self, session: &SessionNow) -> String {
        let unnamed = self.l.t("the server gives no name", "服务器未给出名称");
        let server = session.server.as_deref().unwrap_or(unnamed);
        let between = self.l.t("; ", "；");
        format!(
            "{}, STOMP {}{between}{server}",
            session.transport, session.version
        )
    }

    /// Who sends heart-beats, and how often.
    fn heartbeats(&self, session: &SessionNow) -> String {
        let every = |seconds: f64| match seconds.fract() == 0.0 {
            true => self.l.age(seconds as i64),
            false => {
                let length = Duration::try_from_secs_f64(seconds).unwrap_or_default();
                self.l.took(length)
            }
        };
        let (en, zh) = match (
            session.heartbeat_sent_seconds.map(every),
            session.heartbeat_received_seconds.map(every),
        ) {
            (Some(sent), Some(received)) if sent == received => {
                (format!("each {sent} both ways"), format!("双向，每 {sent}"))
            }
            (Some(sent), Some(received)) => (
                format!("we send each {sent}, the server each {received}"),
                format!("本机每 {sent} 发送，服务器每 {received}"),
            ),
            (Some(sent), None) => (
                format!("we send each {sent}, the server none"),
                format!("本机每 {sent} 发送，服务器不发送"),
            ),
            (None, Some(received)) => (
                format!("the server sends each {received}, we none"),
                format!("服务器每 {received} 发送，本机不发送"),
            ),
            (None, None) => ("none".to_owned(), "无".to_owned()),
        };
        self.l.t(&en, &zh).to_owned()
    }
}

/// The mark of a severity.
pub(super) fn mark(severity: Severity) -> &'static str {
    match severity {
        Severity::Unknown => "unk",
        Severity::Ok | Severity::Info => "ok",
        Severity::Warning => "warn",
        Severity::Critical => "crit",
    }
}

/// Why a topic was not heard, or a piece of a timeline is uncertain.
pub(super) fn cause(cause: &str, lang: Lang) -> &'static str {
    let (en, zh) = match cause {
        "connection_lost" => ("the connection was lost", "连接中断"),
        "refused" => ("the server refused the subscription", "服务器拒绝订阅"),
        "daemon_stopped" => ("the daemon was stopped", "守护进程已停止"),
        "daemon_down" => ("the daemon did not run", "守护进程未运行"),
        "journal_full" => ("the journal was full", "持久日志已满"),
        "unsubscribed" => ("it was unsubscribed by a reload", "重载时取消订阅"),
        "missed_transition" => ("a status did not come", "漏收一条状态"),
        _ => ("the server was silent", "服务器静默"),
    };
    lang.t(en, zh)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::model::CoverageCause;

    #[test]
    fn each_cause_has_its_own_words() {
        let causes = [
            CoverageCause::ConnectionLost,
            CoverageCause::Refused,
            CoverageCause::DaemonStopped,
            CoverageCause::DaemonDown,
            CoverageCause::JournalFull,
            CoverageCause::Unsubscribed,
            CoverageCause::Silent,
        ];
        let causes = causes.map(CoverageCause::as_str).into_iter();
        let causes = causes.chain(["missed_transition"]);
        for lang in [Lang::En, Lang::Zh] {
            let words: HashSet<&str> = causes.clone().map(|it| cause(it, lang)).collect();
            assert_eq!(words.len(), causes.clone().count(), "{words:?}");
        }
    }

    #[test]
    fn of_a_matrix_only_the_changed_cells_go_unless_it_has_another_size() {
        let regions = |cells: &[&'static str]| Regions {
            cells: cells.to_vec(),
            label: "3 topics".to_owned(),
            ..Regions::default()
        };
        let before = regions(&["", "q", "warn"]);
        let now = regions(&["", "crit", "warn"]);
        let changed = now.changed_cells(&before).unwrap();
        assert_eq!(
            (changed.label, &*changed.cells),
            ("3 topics", &[(1, "crit")][..])
        );
        assert_eq!(before.changed_cells(&before).unwrap().cells, []);
        assert_eq!(regions(&["", ""]).changed_cells(&before), None);
        assert_eq!(regions(&[]).changed_cells(&regions(&[])), None);
    }
}
