//! The devices: fifty a page, the worst first, with their counts and the map. They come from the first
//! history; without one the page has what the journal knows.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::asker::Asker;
use super::frame::Frame;
use super::map::Map;
use super::regions::mark;
use super::{failure, history, shapes};
use crate::journal;
use crate::model::Severity;
use crate::ops::device_query::{self, DEVICES_MAX, Device, Filter, Key, StateSum, Sum};
use crate::ops::lang::{Lang, grouped};
use crate::ops::links::device_path;
use crate::ops::snapshot::{self, StateNow, states_now};
use crate::ops::view::{Behind, View};
use crate::sinks::Look;
use crate::sinks::history::reader::ReadError;

/// Rows of a table of sums.
const SUMS_SHOWN_MAX: usize = 10;

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
    /// What the history has yet to take: newer states are not in it.
    pub(super) behind: Option<Behind>,
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
    let mut found = unnamed(view, asker).await;
    found
        .devices
        .iter_mut()
        .for_each(|device| name(view, device));
    found
}

/// A device gets the name that it has now: a history has none.
pub(super) fn name(view: &View, device: &mut Device) {
    let key = [&*device.stream, &*device.client_id, &*device.device_id];
    device.name = snapshot::name_of(view, key, device.serial.as_deref());
}

async fn unnamed(view: &View, asker: &Asker) -> Found {
    let filter = filter(asker);
    let setup = view.setup.current();
    let Some(look) = &setup.history else {
        return from_journal(view, asker, &filter, None).await;
    };
    match history::asked(look, asker.lang, in_list(look, &filter)).await {
        Ok(found) => Found {
            behind: view.behind(look.name()),
            ..found
        },
        Err(failure) => from_journal(view, asker, &filter, Some(failure)).await,
    }
}

async fn in_list(look: &Look, filter: &Filter) -> Result<Found, ReadError> {
    let mut reader = look.open().await?;
    let mut devices = device_query::devices(&mut reader, filter).await?;
    let is_more = devices.len() > DEVICES_MAX;
    devices.truncate(DEVICES_MAX);
    let last = devices.last().filter(|_| is_more);
    let found = Found {
        next: last.and_then(Device::key).as_ref().map(Key::text),
        devices,
        states: device_query::states(&mut reader).await?,
        provinces: device_query::provinces(&mut reader).await?,
        clients: device_query::clients(&mut reader).await?,
        cells: device_query::cells(&mut reader).await?,
        history: Some(look.name().to_owned()),
        behind: None,
        failure: None,
    };
    reader.close().await;
    Ok(found)
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
        reader.devices_after(after, wanted.as_deref(), limit).await
    };
    let (mut known, failure) = match failure::read(asker.lang, read).await {
        Ok(known) => (known, failure),
        Err(error) => (Vec::new(), Some(error)),
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

pub(super) fn known_device(view: &View, known: journal::KnownDevice) -> Device {
    let state = snapshot::state(view, &known.stream, &known.state, 1);
    Device::known(known, state)
}

/// What a history that lags does not have.
pub(super) fn lags(behind: &Behind, at: Timestamp, lang: Lang) -> String {
    let (pending, age) = (grouped(behind.pending), lang.between(behind.since, at));
    let waits = lang.plural(behind.pending, "entry waits", "entries wait");
    let en = format!(
        "The history is behind: {pending} {waits}, the oldest for {age}. Newer statuses are not on \
         this page yet."
    );
    let zh = format!("历史库落后：{pending} 条在等待，最早的已等 {age}。本页尚不含更新的状态。");
    lang.t(&en, &zh).to_owned()
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
    fn behind(&self, behind: &Behind) -> String {
        lags(behind, self.at, self.l)
    }

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

    /// The same devices, all of them, for a spreadsheet.
    fn csv(&self) -> String {
        let list = self.asker.with(&[("after", None)]);
        list.replacen("/devices", "/devices.csv", 1)
    }

    fn is_province(&self, sum: &Sum) -> bool {
        self.filter.province.as_ref() == Some(&sum.name)
    }

    /// How many of those that match are on the first page, where that is known.
    fn part(&self) -> Option<String> {
        let filter = &self.filter;
        let is_counted =
            filter.client.is_none() && filter.province.is_none() && filter.text.is_none();
        let states = self.found.states.iter();
        let all: u64 = match filter.state.as_str() {
            _ if filter.uncertain => self.uncertain(),
            "all" => self.all,
            "trouble" => self.troubled,
            state => states
                .filter(|sum| sum.state == state)
                .map(|sum| sum.devices)
                .sum(),
        };
        let shown = self.found.devices.len() as u64;
        let is_first = self.asker.value("after").is_none() && is_counted && all >= shown;
        if shown == 0 {
            return None;
        }
        is_first.then(|| {
            let (shown, all) = (grouped(shown), grouped(all));
            let en = format!("1–{shown} of {all}");
            self.l
                .t(&en, &format!("第 1–{shown} 台，共 {all} 台"))
                .to_owned()
        })
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

    fn uncertain_count(&self) -> String {
        grouped(self.uncertain())
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
