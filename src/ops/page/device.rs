//! One device with its timeline. It comes from the first history; without one the page has what the
//! journal knows.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::asker::Asker;
use super::devices::known_device;
use super::frame::Frame;
use super::regions::{cause as cause_in_words, mark};
use super::{devices, failure, history, shapes};
use crate::model::{JournalIds, Origin, Position, Severity, device_name};
use crate::ops::device_query::{self, Device, DeviceEvent, PIECES_MAX, Piece, Profile};
use crate::ops::lang::{Lang, date};
use crate::ops::links::device_named;
use crate::ops::snapshot::{self, StateNow, states_now};
use crate::ops::view::{Behind, View};
use crate::secret::redact;
use crate::sinks::Look;
use crate::sinks::history::question::DeviceKey;
use crate::sinks::history::reader::ReadError;

/// The days that a timeline may show.
const DAYS: [u16; 3] = [1, 7, 90];

/// States whose colours are explained.
const LEGEND_MAX: usize = 6;

/// What there is of one device.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct OneDevice {
    pub(super) device: Option<Device>,
    pub(super) profile: Option<Profile>,
    pub(super) pieces: Vec<Piece>,
    pub(super) events: Vec<DeviceEvent>,
    /// What the history has yet to take: newer statuses are not in it.
    pub(super) behind: Option<Behind>,
    pub(super) failure: Option<String>,
}

/// Looks for a device: in the history, else in the journal.
pub(super) async fn find_one(
    view: &View,
    key: &DeviceKey,
    since: Timestamp,
    lang: Lang,
) -> OneDevice {
    let mut found = unnamed(view, key, since, lang).await;
    if let Some(device) = &mut found.device {
        devices::name(view, device);
    }
    found
}

async fn unnamed(view: &View, key: &DeviceKey, since: Timestamp, lang: Lang) -> OneDevice {
    let setup = view.setup.current();
    let mut found = OneDevice::default();
    if let Some(look) = &setup.history {
        match history::asked(look, lang, in_history(look, key, since)).await {
            Ok(Some(found)) => {
                return OneDevice {
                    behind: view.behind(look.name()),
                    ..found
                };
            }
            Ok(None) => {}
            Err(error) => found.failure = Some(error),
        }
    }
    let read = async {
        let mut reader = view.journal.log.reader().await?;
        let key = [&*key.stream, &*key.client_id, &*key.device_id];
        reader.device(key).await
    };
    match failure::read(lang, read).await {
        Ok(known) => found.device = known.map(|known| known_device(view, known)),
        Err(error) => found.failure = Some(error),
    }
    found
}

/// The length of a timeline that may be chosen.
struct Choice {
    days: u16,
    path: String,
    is_current: bool,
}

/// What a history has of a device; `None`: it has no such device.
async fn in_history(
    look: &Look,
    key: &DeviceKey,
    since: Timestamp,
) -> Result<Option<OneDevice>, ReadError> {
    let mut reader = look.open().await?;
    let one = device_query::one(&mut reader, key).await?;
    let Some((device, profile)) = one else {
        return Ok(None);
    };
    let found = OneDevice {
        device: Some(device),
        profile: Some(profile),
        pieces: device_query::timeline(&mut reader, key, since).await?,
        events: device_query::events(&mut reader, key).await?,
        behind: None,
        failure: None,
    };
    reader.close().await;
    Ok(Some(found))
}

#[derive(Template)]
#[template(path = "page/device.html")]
struct DevicePage {
    f: Frame,
    l: Lang,
    at: Timestamp,
    zone: jiff::tz::TimeZone,
    choices: [Choice; 3],
    client: String,
    name: String,
    days: u16,
    begin: Timestamp,
    has_history: bool,
    /// The journal's id: its events have a page.
    journal: JournalIds,
    /// The platform's words for the vocabulary's states, where the page is Chinese.
    words: BTreeMap<String, String>,
    /// The states before the events, in the page's language.
    olds: Vec<String>,
    found: OneDevice,
}

/// How much of a time was spent how, in percent.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Shares {
    /// In good states, of the time that is certain.
    available: f64,
    uncertain: f64,
}

impl DevicePage {
    fn behind(&self, behind: &Behind) -> String {
        devices::lags(behind, self.at, self.l)
    }

    fn age(&self, at: &Timestamp) -> String {
        let text = self.l.between(*at, self.at);
        format!("<time class=\"age\" datetime=\"{at}\">{text}</time>")
    }

    fn date(&self, at: &Timestamp) -> String {
        date(*at, &self.zone)
    }

    fn cause(&self, cause: &str) -> &'static str {
        cause_in_words(cause, self.l)
    }

    fn mark(&self, severity: &Severity) -> &'static str {
        mark(*severity)
    }

    fn state<'b>(&self, device: &'b Device) -> &'b str {
        match self.l {
            Lang::Zh if !device.word.is_empty() => &device.word,
            _ => &device.state,
        }
    }

    /// A state of the vocabulary in the page's language.
    fn named<'b>(&'b self, state: &'b str) -> &'b str {
        self.words.get(state).map_or(state, String::as_str)
    }

    /// The events, each with the state before it.
    fn changes(&self) -> impl Iterator<Item = (&DeviceEvent, &str)> {
        self.found
            .events
            .iter()
            .zip(self.olds.iter().map(String::as_str))
    }

    fn new_state<'b>(&self, event: &'b DeviceEvent) -> &'b str {
        match self.l {
            Lang::Zh if !event.word.is_empty() => &event.word,
            _ => &event.state,
        }
    }

    /// What the timeline's colours mean: the states in it, each once.
    fn legend(&self) -> Vec<(&'static str, &str)> {
        let mut legend: Vec<(Severity, &str)> = Vec::new();
        for piece in &self.found.pieces {
            let entry = (piece.severity, self.named(&piece.state));
            if !legend.contains(&entry) {
                legend.push(entry);
            }
        }
        legend.sort_by_key(|(severity, _)| drawn(*severity).0);
        let legend = legend.into_iter().rev().take(LEGEND_MAX);
        legend
            .map(|(severity, state)| (drawn(severity).2, state))
            .collect()
    }

    /// How much of the shown time the device was well; `None`: a part of it is not known.
    fn shares(&self) -> Option<Shares> {
        let pieces = &self.found.pieces;
        self::shares(pieces, (self.begin, self.at)).filter(|_| pieces.len() < PIECES_MAX)
    }

    fn shares_text(&self, shares: &Shares) -> String {
        let Shares {
            available,
            uncertain,
        } = shares;
        // What is missing is never rounded away.
        let available = (available * 10.0).floor() / 10.0;
        let en =
            format!("available {available:.1} % of the certain time; {uncertain:.1} % uncertain");
        let zh = format!("可用率 {available:.1} %（仅计确定时段），不确定 {uncertain:.1} %");
        self.l.t(&en, &zh).to_owned()
    }

    /// The position of an event of this journal.
    fn position(&self, event: &DeviceEvent) -> Option<Position> {
        let origin = Origin::parse(&event.origin)?;
        self.journal.has(origin).then_some(origin.position)
    }

    fn length(&self, piece: &Piece) -> String {
        self.l.between(piece.since, piece.until.unwrap_or(self.at))
    }

    fn place(&self, device: &Device) -> String {
        device.place.join(" ")
    }

    fn pair(&self, pair: &(f64, f64)) -> String {
        format!("{:.5}, {:.5}", pair.1, pair.0)
    }

    /// Severity is a height; what was not heard is hatched over all of it.
    fn timeline(&self) -> String {
        let bar = (self.begin, self.at);
        let mut pieces = String::new();
        let mut hatched = String::new();
        for piece in self.found.pieces.iter().rev() {
            let until = piece.until.unwrap_or(self.at);
            let at = shapes::piece(piece.since, until, bar);
            let (y, height, class) = drawn(piece.severity);
            pieces.push_str(&format!(
                "<rect x=\"{:.2}%\" y=\"{y}\" width=\"{:.2}%\" height=\"{height}\" class=\"{class}\"/>",
                at.x,
                at.width.max(0.2)
            ));
            if piece.cause.is_some() {
                hatched.push_str(&format!(
                    "<rect x=\"{:.2}%\" y=\"0\" width=\"{:.2}%\" height=\"34\" fill=\"url(#h)\"/>",
                    at.x,
                    at.width.max(0.3)
                ));
            }
        }
        pieces + &hatched
    }

    /// Where the days of the timeline begin: the place, which end of the name stands there, and the
    /// day of the month. On a phone a name takes a ninth of the width.
    fn day_marks(&self) -> Vec<(String, &'static str, String)> {
        let step = i64::from(self.days.div_ceil(8)).max(1);
        let first = self.begin.to_zoned(self.zone.clone()).date();
        let mut marks = Vec::new();
        for day in (1..=i64::from(self.days)).step_by(step as usize) {
            let date = first.saturating_add(jiff::Span::new().days(day));
            let Ok(midnight) = date.to_zoned(self.zone.clone()) else {
                continue;
            };
            let at = shapes::piece(
                midnight.timestamp(),
                midnight.timestamp(),
                (self.begin, self.at),
            );
            let (x, anchor) = match at.x {
                x if x < 88.0 => (format!("{x:.1}%"), "start"),
                x if x < 92.0 => ("100%".to_owned(), "end"),
                _ => continue,
            };
            marks.push((x, anchor, date.strftime("%m-%d").to_string()));
        }
        marks
    }
}

/// Where a piece of a severity is drawn, how high and in which colour.
fn drawn(severity: Severity) -> (u8, u8, &'static str) {
    match severity {
        Severity::Critical => (0, 34, "f-crit"),
        Severity::Warning => (11, 23, "f-warn"),
        Severity::Unknown => (16, 18, "f-keep"),
        Severity::Ok | Severity::Info => (22, 12, "f-ok"),
    }
}

fn shares(pieces: &[Piece], (begin, at): (Timestamp, Timestamp)) -> Option<Shares> {
    let (mut well, mut ill, mut uncertain) = (0.0, 0.0, 0.0);
    for piece in pieces {
        let (since, until) = (piece.since.max(begin), piece.until.unwrap_or(at).min(at));
        let seconds = (until.as_microsecond() - since.as_microsecond()).max(0) as f64 / 1e6;
        match (&piece.cause, piece.severity) {
            (Some(_), _) | (None, Severity::Unknown) => uncertain += seconds,
            (None, Severity::Ok | Severity::Info) => well += seconds,
            (None, Severity::Critical | Severity::Warning) => ill += seconds,
        }
    }
    let (certain, all) = (well + ill, well + ill + uncertain);
    (certain > 0.0).then(|| Shares {
        available: 100.0 * well / certain,
        uncertain: 100.0 * uncertain / all,
    })
}

/// How many days of a timeline a URL wants.
pub(super) fn days(asker: &Asker) -> u16 {
    let days = asker.value("d").and_then(|days| days.parse().ok());
    days.filter(|days| DAYS.contains(days)).unwrap_or(7)
}

/// When a timeline of so many days begins.
pub(super) fn begin(days: u16) -> Timestamp {
    let length = SignedDuration::from_hours(24 * i64::from(days));
    Timestamp::now()
        .saturating_sub(length)
        .unwrap_or(Timestamp::MIN)
}

/// The platform's words for states: those of the vocabulary, and those that devices are in now or
/// that these events have, where they are Chinese: then the platform prefers them.
fn words(view: &View, stream: &str, events: &[DeviceEvent]) -> BTreeMap<String, String> {
    let known = snapshot::words_by_name(view, stream).into_iter();
    let olds = events.iter().filter_map(|event| event.old_state.as_deref());
    let olds = olds.map(|word| snapshot::state(view, stream, word, 1));
    let news = events.iter().filter(|event| !event.word.is_empty());
    let news = news.map(|event| (event.state.clone(), event.word.clone()));
    let now = states_now(view).into_iter().map(|(state, _)| state);
    let named = |state: StateNow| (state.state, state.word);
    let seen = olds.map(named).chain(news).chain(now.map(named));
    known
        .chain(seen.filter(|(_, word)| !word.is_ascii()))
        .collect()
}

/// The page of one device.
pub(super) async fn device(
    State(view): State<View>,
    asker: Asker,
    Path((stream, client, device)): Path<(String, String, String)>,
) -> Response {
    let key = device_named([&stream, &client, &device]);
    let days = days(&asker);
    let (at, begin) = (Timestamp::now(), begin(days));
    let found = find_one(&view, &key, begin, asker.lang).await;
    let mut f = Frame::new(&view, &asker, "devices");
    let name = device_name(&key.client_id, &key.device_id);
    let name = redact(&name).into_owned();
    f.subject = name.clone();
    let setup = view.setup.current();
    let words = match asker.lang {
        Lang::Zh => words(&view, &key.stream, &found.events),
        Lang::En => BTreeMap::new(),
    };
    let old = |event: &DeviceEvent| {
        let word = event.old_state.as_deref().unwrap_or_default();
        match asker.lang {
            Lang::Zh => word.to_owned(),
            Lang::En => snapshot::state(&view, &key.stream, word, 1).state,
        }
    };
    let page = DevicePage {
        olds: found.events.iter().map(old).collect(),
        words,
        l: asker.lang,
        at,
        zone: setup.zone.clone(),
        choices: DAYS.map(|choice| Choice {
            days: choice,
            path: asker.with(&[("d", Some(&choice.to_string()))]),
            is_current: choice == days,
        }),
        client: key.client_id,
        has_history: setup.history.is_some(),
        journal: view.journal.log.ids(),
        f,
        name,
        days,
        begin,
        found,
    };
    let mut answer = page.f.answer(&page);
    if page.found.device.is_none() && page.found.failure.is_none() {
        *answer.status_mut() = axum::http::StatusCode::NOT_FOUND;
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_available_for_its_share_of_the_certain_time() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let piece = |severity, since, until: Option<i64>, cause: Option<&str>| Piece {
            state: String::new(),
            severity,
            since: at(since),
            until: until.map(at),
            cause: cause.map(str::to_owned),
        };
        let pieces = [
            piece(Severity::Critical, 90, None, None),
            piece(Severity::Ok, 60, Some(90), None),
            piece(Severity::Ok, 40, Some(60), Some("connection_lost")),
            piece(Severity::Ok, -500, Some(40), None),
        ];
        let shares = |pieces| shares(pieces, (at(0), at(100)));
        let expected = Shares {
            available: 87.5,
            uncertain: 20.0,
        };
        assert_eq!(shares(&pieces), Some(expected));
        assert_eq!(shares(&pieces[2..3]), None);
        assert_eq!(shares(&[]), None);
    }
}
