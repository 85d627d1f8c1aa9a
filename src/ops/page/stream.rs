//! What changes on the pages, twice a second: one broadcast for all browsers, and of the regions only
//! those that are others than before. The first message of each connection is the whole state.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::asker::Asker;
use super::frame;
use super::regions::{Ages, Regions};
use crate::ops::connection::Endless;
use crate::ops::lang::Lang;
use crate::ops::snapshot::Snapshot;
use crate::ops::view::View;

/// Streams at once; a page that gets none asks every few seconds.
const STREAMS_MAX: usize = 64;

/// Between two messages.
const TICK: Duration = Duration::from_millis(500);

/// Messages that a slow browser may be behind: then it gets the whole state.
const BEHIND_MAX: usize = 4;

/// One message of the broadcast: of each language, where somebody listens in it.
#[derive(Debug, Clone, Default)]
struct Tick([Option<Bytes>; 2]);

/// The one broadcast. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    view: View,
    ticks: broadcast::Sender<Arc<Tick>>,
    room: Arc<Semaphore>,
    /// Who listens in each language.
    listeners: Arc<[AtomicUsize; 2]>,
    /// Somebody begins to listen.
    begins: Arc<Notify>,
    stop: CancellationToken,
}

/// The whole state, or what of it has changed.
#[derive(Debug, Serialize)]
pub(super) struct Whole<'a> {
    state: frame::State,
    regions: BTreeMap<&'static str, &'a str>,
}

impl Streams {
    pub(super) fn new(view: View, stop: CancellationToken) -> Streams {
        Streams {
            view,
            ticks: broadcast::Sender::new(BEHIND_MAX),
            room: Arc::new(Semaphore::new(STREAMS_MAX)),
            listeners: Arc::default(),
            begins: Arc::default(),
            stop,
        }
    }

    /// Broadcasts without end. Where nobody listens it sleeps.
    pub(super) async fn broadcast(self) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before: [Option<Regions>; 2] = [None, None];
        loop {
            ticks.tick().await;
            let listeners = [0, 1].map(|lang| self.listeners[lang].load(Relaxed) > 0);
            if listeners == [false, false] {
                before = [None, None];
                self.begins.notified().await;
                continue;
            }
            let snapshot = Snapshot::of(&self.view);
            let mut tick = Tick::default();
            for (index, lang) in Lang::ALL.into_iter().enumerate() {
                if !listeners[index] {
                    before[index] = None;
                    continue;
                }
                let (message, now) = self.message(&snapshot, lang, before[index].as_ref());
                before[index] = Some(now);
                tick.0[index] = Some(message);
            }
            // Nobody listens any longer: that is no failure.
            let _ = self.ticks.send(Arc::new(tick));
        }
    }

    /// The message of now, and what it is made of.
    fn message(
        &self,
        snapshot: &Snapshot,
        lang: Lang,
        before: Option<&Regions>,
    ) -> (Bytes, Regions) {
        let said = self.view.verdict().said(lang);
        let state = frame::State::of(&self.view, &said);
        let ages = (lang, Ages::Ticking);
        let setup = self.view.setup.current();
        // A template fails only for want of memory.
        let now = Regions::render(snapshot, &said, &setup, ages).unwrap_or_default();
        let is_new = |(name, html): &(&&'static str, &String)| {
            before.is_none_or(|before| before.get(name) != html.as_str())
        };
        let regions = now.html.iter().filter(is_new);
        let mut regions: BTreeMap<&str, &str> =
            regions.map(|(name, html)| (*name, html.as_str())).collect();
        let mut message = event("state", &state);
        let cells = before.and_then(|before| now.changed_cells(before));
        if let Some(cells) = cells.filter(|_| regions.remove("matrix").is_some()) {
            message.push_str(&event("cells", &cells));
        }
        if !regions.is_empty() {
            message.push_str(&event("regions", &regions));
        }
        (message.into(), now)
    }
}

/// A server-sent event; JSON has no line ends.
fn event(name: &str, data: &impl Serialize) -> String {
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("event: {name}\ndata: {data}\n\n")
}

/// One browser's stream.
struct Listener {
    streams: Streams,
    lang: Lang,
    ticks: broadcast::Receiver<Arc<Tick>>,
    /// The next message is the whole state.
    whole: bool,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    fn new(streams: Streams, lang: Lang, place: OwnedSemaphorePermit) -> Listener {
        streams.listeners[lang as usize].fetch_add(1, Relaxed);
        streams.begins.notify_one();
        Listener {
            ticks: streams.ticks.subscribe(),
            streams,
            lang,
            whole: true,
            _place: place,
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if std::mem::take(&mut self.whole) {
                let snapshot = Snapshot::of(&self.streams.view);
                return Some(self.streams.message(&snapshot, self.lang, None).0);
            }
            let tick = self.streams.stop.run_until_cancelled(self.ticks.recv());
            match tick.await? {
                Ok(tick) => match &tick.0[self.lang as usize] {
                    Some(message) => return Some(message.clone()),
                    None => self.whole = true,
                },
                Err(broadcast::error::RecvError::Lagged(_)) => self.whole = true,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.streams.listeners[self.lang as usize].fetch_sub(1, Relaxed);
    }
}

/// `/events`: the stream.
pub(super) async fn events(State(streams): State<Streams>, asker: Asker) -> Response {
    let Ok(place) = Arc::clone(&streams.room).try_acquire_owned() else {
        let words = "all streams are in use: ask /regions every few seconds";
        return (StatusCode::SERVICE_UNAVAILABLE, words).into_response();
    };
    let listener = Listener::new(streams, asker.lang, place);
    let messages = stream::unfold(listener, async |mut listener| {
        let message = listener.next().await?;
        Some((Ok::<_, Infallible>(message), listener))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CONNECTION, "close"),
    ];
    let mut answer = (headers, Body::from_stream(messages)).into_response();
    answer.extensions_mut().insert(Endless);
    answer
}

/// `/regions`: the whole state, for who gets no stream.
pub(super) async fn regions(State(streams): State<Streams>, asker: Asker) -> Response {
    let view = &streams.view;
    let said = view.verdict().said(asker.lang);
    let regions = match Regions::of(view, asker.lang, Ages::Ticking) {
        Ok(regions) => regions,
        Err(error) => return super::failure::failure(&error.to_string()),
    };
    let whole = Whole {
        state: frame::State::of(view, &said),
        regions: regions
            .html
            .iter()
            .map(|(name, html)| (*name, html.as_str()))
            .collect(),
    };
    Json(whole).into_response()
}
