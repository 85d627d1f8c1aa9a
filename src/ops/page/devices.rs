//! The devices: fifty a page, the worst first, with their counts and the map; and one device with its
//! timeline. Both come from the first history; without one the page has what the journal knows.

use std::time::Duration;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use futures_util::join;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use utoipa::ToSchema;

use super::asker::Asker;
use super::frame::Frame;
use super::links::{device_path, named};
use super::map::Map;
use super::regions::mark;
use super::shapes;
use crate::journal;
use crate::model::{JournalIds, Origin, Position, Severity};
use crate::ops::device_query::{
    self, DEVICES_MAX, Device, DeviceEvent, Filter, Key, Piece, Profile, StateSum, Sum,
};
use crate::ops::lang::{Lang, date, grouped};
use crate::ops::snapshot::{StateNow, states_now};
use crate::ops::view::View;
use crate::secret::redact;
use crate::sinks::Look;

/// Pages that look into the history at once.
static LOOKS: Semaphore = Semaphore::const_new(2);

/// A page waits for the others this long.
const TURN_TIMEOUT: Duration = Duration::from_secs(3);

/// The journal's file is read within this time.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// Rows of a table of sums.
const SUMS_SHOWN_MAX: usize = 10;

/// The days that a timeline may show.
const DAYS: [u16; 3] = [1, 7, 90];

/// What the page shows of all devices.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Found {
    pub(super) devices: Vec<Device>,
    pub(super) states: Vec<StateSum>,
    pub(super) provinces: Vec<Sum>,
    pub(super) clients: Vec<Sum>,
    pub(super) cells: Vec<device_query::Cell>,
    /// Where the next page begins.
    pub(super) next: Option<String>,
    /// The name of the history that it comes from.
    pub(super) history: Option<String>,
    /// Why the history says nothing.
    pub(super) failure: Option<String>,
}

/// Which devices a URL wants; those in trouble, where it says nothing.
pub(super) fn filter(asker: &Asker) -> Filter {
    let owned = |key: &str| asker.value(key).map(str::to_owned);
    let (client, province, text) = (owned("client"), owned("province"), owned("q"));
    let uncertain = asker.value("certain") == Some("0");
    let is_narrow = client.is_some() || province.is_some() || text.is_some() || uncertain;
    let state = if is_narrow { "all" } else { "trouble" };
    Filter {
        state: owned("state").unwrap_or_else(|| state.to_owned()),
        uncertain,
        client,
        province,
        text,
        after: asker.value("after").and_then(Key::parse),
    }
}

/// What there is to show.
pub(super) async fn find(view: &View, asker: &Asker) -> Found {
    let filter = filter(asker);
    let setup = view.setup.current();
    let Some(look) = &setup.history else {
        return from_journal(view, asker, &filter, None).await;
    };
    let _turn = match turn().await {
        Ok(turn) => turn,
        Err(busy) => return from_journal(view, asker, &filter, Some(busy)).await,
    };
    let (devices, states, provinces, clients, cells) = join!(
        device_query::devices(look, &filter),
        device_query::states(look),
        device_query::provinces(look),
        device_query::clients(look),
        device_query::cells(look),
    );
    let all = || Ok::<_, String>((devices?, states?, provinces?, clients?, cells?));
    match all() {
        Ok((mut devices, states, provinces, clients, cells)) => {
            let is_more = devices.len() > DEVICES_MAX;
            devices.truncate(DEVICES_MAX);
            let last = devices.last().filter(|_| is_more);
            Found {
                next: last.and_then(Device::key).map(Key::text),
                devices,
                states,
                provinces,
                clients,
                cells,
                history: Some(look.name().to_owned()),
                failure: None,
            }
        }
        Err(error) => {
            let failure = format!("{}: {error}", look.name());
            from_journal(view, asker, &filter, Some(failure)).await
        }
    }
}

/// A turn to look into the history.
async fn turn() -> Result<SemaphorePermit<'static>, String> {
    let turn = timeout(TURN_TIMEOUT, LOOKS.acquire()).await;
    let turn = turn.ok().and_then(Result::ok);
    turn.ok_or_else(|| "others ask the history too: try again".to_owned())
}

/// The journal's last states: no places and no times of changes.
async fn from_journal(
    view: &View,
    asker: &Asker,
    filter: &Filter,
    failure: Option<String>,
) -> Found {
    let counts = states_now(view);
    let wanted = wanted_words(&counts, &filter.state);
    let after: Vec<String> = asker
        .value("after")
        .and_then(|after| serde_json::from_str(after).ok())
        .unwrap_or_default();
    let after: [&str; 3] = [0, 1, 2].map(|at| after.get(at).map_or("", String::as_str));
    let limit = u32::try_from(DEVICES_MAX + 1).unwrap_or(u32::MAX);
    let read = async {
        let mut reader = view.journal.log.reader().await?;
        let known = reader
            .devices_after(after, wanted.as_deref(), limit)
            .await?;
        Ok::<_, journal::Error>(known)
    };
    let (mut known, failure) = match timeout(READ_TIMEOUT, read).await {
        Ok(Ok(known)) => (known, failure),
        Ok(Err(error)) => (Vec::new(), Some(redact(&error.to_string()).into_owned())),
        Err(_) => (
            Vec::new(),
            Some("no answer of the journal within 2 s".to_owned()),
        ),
    };
    let is_more = known.len() > DEVICES_MAX;
    known.truncate(DEVICES_MAX);
    let last = known.last().filter(|_| is_more);
    let next =
        last.map(|it| serde_json::json!([it.stream, it.client_id, it.device_id]).to_string());
    let states = counts.into_iter().map(|(state, _)| StateSum {
        state: state.state,
        word: state.word,
        severity: state.severity,
        devices: state.devices,
        uncertain: 0,
    });
    Found {
        devices: known
            .into_iter()
            .map(|known| known_device(view, known))
            .collect(),
        states: states.collect(),
        next,
        failure,
        ..Found::default()
    }
}

/// The words, as sent, of the states that are wanted; `None`: all.
fn wanted_words(counts: &[(StateNow, Vec<String>)], wanted: &str) -> Option<Vec<String>> {
    let is_wanted = |state: &StateNow| match wanted {
        "trouble" => !matches!(state.severity, Severity::Ok | Severity::Info),
        "unknown" => state.severity == Severity::Unknown,
        name => state.state == name,
    };
    let words = counts.iter().filter(|(state, _)| is_wanted(state));
    (wanted != "all").then(|| words.flat_map(|(_, words)| words.clone()).collect())
}

fn known_device(view: &View, known: journal::KnownDevice) -> Device {
    let state = crate::ops::snapshot::state(view, &known.stream, &known.state, 1);
    Device::known(known, state)
}

#[derive(Template)]
#[template(path = "page/devices.html")]
struct Devices {
    f: Frame,
    l: Lang,
    at: Timestamp,
    asker: Asker,
    filter: Filter,
    found: Found,
    map: Option<Map>,
    all: u64,
    troubled: u64,
}

impl Devices {
    fn age(&self, at: &Timestamp) -> String {
        let text = self.l.between(*at, self.at);
        format!("<time class=\"age\" datetime=\"{at}\">{text}</time>")
    }

    fn count(&self, count: &u64) -> String {
        grouped(*count)
    }

    fn mark(&self, severity: &Severity) -> &'static str {
        mark(*severity)
    }

    fn state<'b>(&self, state: &'b str, word: &'b str) -> &'b str {
        match self.l {
            Lang::Zh if !word.is_empty() => word,
            _ => state,
        }
    }

    fn path(&self, device: &Device) -> String {
        device_path(&device.stream, &device.client_id, &device.device_id)
    }

    fn place(&self, device: &Device) -> String {
        let place: Vec<&str> = device.place.iter().take(2).map(String::as_str).collect();
        place.join(" ")
    }

    fn serial(&self, device: &Device) -> String {
        let serial = device.serial.as_deref().unwrap_or_default();
        crate::excerpt::beginning(serial, 12)
    }

    /// The page with another state.
    fn chip(&self, state: &str) -> String {
        self.asker
            .with(&[("after", None), ("certain", None), ("state", Some(state))])
    }

    fn chip_uncertain(&self) -> String {
        self.asker
            .with(&[("after", None), ("state", None), ("certain", Some("0"))])
    }

    fn of_client(&self, client: &str) -> String {
        self.asker
            .with(&[("after", None), ("client", Some(client))])
    }

    fn of_province(&self, province: &str) -> String {
        self.asker
            .with(&[("after", None), ("province", Some(province))])
    }

    fn without(&self, key: &str) -> String {
        self.asker.with(&[("after", None), (key, None)])
    }

    fn next_page(&self) -> Option<String> {
        let next = self.found.next.as_deref()?;
        Some(self.asker.with(&[("after", Some(next))]))
    }

    fn is_state(&self, state: &str) -> bool {
        self.filter.state == state && !self.filter.uncertain
    }

    fn uncertain(&self) -> u64 {
        self.found.states.iter().map(|state| state.uncertain).sum()
    }

    /// Bars are as long as the one with most trouble.
    fn bar(&self, sum: &Sum, sums: &[Sum]) -> String {
        let most = sums
            .iter()
            .map(|sum| sum.critical + sum.warning)
            .max()
            .unwrap_or(0);
        let critical = shapes::share(sum.critical, most);
        let warning = shapes::share(sum.warning, most);
        format!(
            "<rect class=\"f-sunk\" width=\"100%\" height=\"12\"/><rect class=\"f-crit\" \
             width=\"{critical:.1}%\" height=\"12\"/><rect class=\"f-warn\" x=\"{critical:.1}%\" \
             width=\"{warning:.1}%\" height=\"12\"/>"
        )
    }

    fn shown<'b>(&self, sums: &'b [Sum]) -> &'b [Sum] {
        &sums[..sums.len().min(SUMS_SHOWN_MAX)]
    }

    fn unplaced(&self) -> u64 {
        self.map
            .as_ref()
            .map_or(0, |map| self.all.saturating_sub(map.devices))
    }
}

/// The page.
pub(super) async fn devices(State(view): State<View>, asker: Asker) -> Response {
    let found = find(&view, &asker).await;
    let mut f = Frame::new(&view, &asker, "devices");
    let all: u64 = found.states.iter().map(|state| state.devices).sum();
    let is_well = |state: &&StateSum| matches!(state.severity, Severity::Ok | Severity::Info);
    let well: u64 = found
        .states
        .iter()
        .filter(is_well)
        .map(|state| state.devices)
        .sum();
    let troubled = all - well;
    let (some, of) = (grouped(troubled), grouped(all));
    let en = format!("{some} of {of} devices in trouble");
    f.subject = asker
        .lang
        .t(&en, &format!("{some} / {of} 台设备异常"))
        .to_owned();
    let page = Devices {
        l: asker.lang,
        at: Timestamp::now(),
        filter: filter(&asker),
        map: Map::of(&found.cells, &found.provinces),
        f,
        asker,
        found,
        all,
        troubled,
    };
    page.f.answer(&page)
}

/// What there is of one device.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct OneDevice {
    pub(super) device: Option<Device>,
    pub(super) profile: Option<Profile>,
    pub(super) pieces: Vec<Piece>,
    pub(super) events: Vec<DeviceEvent>,
    pub(super) failure: Option<String>,
}

/// Looks for a device: in the history, else in the journal.
pub(super) async fn find_one(view: &View, key: [&str; 3], since: Timestamp) -> OneDevice {
    let setup = view.setup.current();
    let mut found = OneDevice::default();
    if let Some(look) = &setup.history {
        match in_history(look, key, since).await {
            Ok(Some(found)) => return found,
            Ok(None) => {}
            Err(error) => found.failure = Some(format!("{}: {error}", look.name())),
        }
    }
    let read = async {
        let mut reader = view.journal.log.reader().await?;
        reader.device(key).await
    };
    match timeout(READ_TIMEOUT, read).await {
        Ok(Ok(known)) => found.device = known.map(|known| known_device(view, known)),
        Ok(Err(error)) => found.failure = Some(redact(&error.to_string()).into_owned()),
        Err(_) => found.failure = Some("no answer of the journal within 2 s".to_owned()),
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
    key: [&str; 3],
    since: Timestamp,
) -> Result<Option<OneDevice>, String> {
    let _turn = turn().await?;
    let (one, pieces, events) = join!(
        device_query::one(look, key),
        device_query::timeline(look, key, since),
        device_query::events(look, key),
    );
    let (one, pieces, events) = (one?, pieces?, events?);
    Ok(one.map(|(device, profile)| OneDevice {
        device: Some(device),
        profile: Some(profile),
        pieces,
        events,
        failure: None,
    }))
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
    found: OneDevice,
}

impl DevicePage {
    fn age(&self, at: &Timestamp) -> String {
        let text = self.l.between(*at, self.at);
        format!("<time class=\"age\" datetime=\"{at}\">{text}</time>")
    }

    fn date(&self, at: &Timestamp) -> String {
        date(*at, &self.zone)
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
        let mut drawn = String::new();
        let mut hatched = String::new();
        for piece in self.found.pieces.iter().rev() {
            let until = piece.until.unwrap_or(self.at);
            let at = shapes::piece(piece.since, until, bar);
            let (y, height, class) = match piece.severity {
                Severity::Critical => (0, 34, "f-crit"),
                Severity::Warning => (11, 23, "f-warn"),
                Severity::Unknown => (16, 18, "f-keep"),
                Severity::Ok | Severity::Info => (22, 12, "f-ok"),
            };
            drawn.push_str(&format!(
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
        drawn + &hatched
    }

    /// Where the days of the timeline begin: the place, and the day of the month.
    fn day_marks(&self) -> Vec<(String, String)> {
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
            if at.x < 97.0 {
                marks.push((format!("{:.1}%", at.x), date.strftime("%m-%d").to_string()));
            }
        }
        marks
    }
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

/// The page of one device.
pub(super) async fn device(
    State(view): State<View>,
    asker: Asker,
    Path((stream, client, device)): Path<(String, String, String)>,
) -> Response {
    let key = [&*stream, &*client, &*device].map(named);
    let days = days(&asker);
    let (at, begin) = (Timestamp::now(), begin(days));
    let found = find_one(&view, key, begin).await;
    let mut f = Frame::new(&view, &asker, "devices");
    let name = match key[1].is_empty() {
        true => key[2].to_owned(),
        false => format!("{}/{}", key[1], key[2]),
    };
    let name = redact(&name).into_owned();
    f.subject = name.clone();
    let setup = view.setup.current();
    let page = DevicePage {
        l: asker.lang,
        at,
        zone: setup.zone.clone(),
        choices: DAYS.map(|choice| Choice {
            days: choice,
            path: asker.with(&[("d", Some(&choice.to_string()))]),
            is_current: choice == days,
        }),
        client: key[1].to_owned(),
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
