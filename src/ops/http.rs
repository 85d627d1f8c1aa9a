//! The HTTP listener: `/healthz`, `/readyz`, `/metrics`, `/status` and the pages answer on what the
//! parts say;
//! `/control` alone changes something, for who has the token. No other body is read but the form of a
//! sign-in.

use std::borrow::Cow;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::Json;
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::StreamExt;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::activity::Patience;
use super::connection::Site;
use super::connections::{Connections, Limits};
use super::control::{Access, AdminCommand, Refusal, Reply};
use super::guard::{self, Guard, Openness};
use super::lang::Lang;
use super::metrics;
use super::page::{self, PageRoutes};
use super::progress::Progress;
use super::retry::carry_out;
use super::sampler::sample;
use super::settings::Settings;
use super::status::Report;
use super::trouble::said;
use super::view::View;
use crate::excerpt::beginning;
use crate::secret::redact;
use crate::tls;

/// The longest command: some 500,000 positions, or the parts of the largest body. A body that is
/// compressed or in another charset may be longer as texts: it is redriven while no daemon runs.
const COMMAND_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Commands whose bodies are in memory at once. One: a body and its parsed form take some 80 MiB at
/// most. The journal has one writer, so two at once would end no sooner.
const COMMANDS_MAX: usize = 1;
/// A command waits this long for the one before it: less than the 30 s that the command line waits
/// for an answer.
const TURN_TIMEOUT: Duration = Duration::from_secs(15);
/// Reports that are made at once, since anybody may ask for one: each opens the journal's file to
/// read, with a thread of its own. Two: a monitor does not wait for an operator.
const REPORTS_MAX: usize = 2;
/// A report is there within this time, its turn included: less than the 10 s that a monitor waits
/// for an answer by default.
const REPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// What answers, and quickly, when every other connection is used up.
const PROBED: &[&str] = &["/healthz", "/readyz", "/metrics"];

/// There is no listener.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The port could not be opened.
    #[error("http.listen = \"{listen}\": {error}; {advice}", advice = advice(error))]
    Port {
        /// What was to be opened.
        listen: SocketAddr,
        /// What the system said; part of the text, so not a source.
        error: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error("http.tls: {0}")]
    Tls(tls::Error),
}

/// What to do about a port that cannot be opened.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::PermissionDenied => {
            "choose a port from 1024 on: one below wants CAP_NET_BIND_SERVICE"
        }
        ErrorKind::AddrNotAvailable => {
            "this machine does not have that address: see by `ip address` which it has"
        }
        _ => {
            "see by `ss -ltnp` whether another program has the port (a second stomp-bridge?), or \
             choose another address"
        }
    }
}

/// A bound port.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    settings: Settings,
    tls: Option<Arc<tls::Server>>,
}

impl Listener {
    /// Opens the port, so that one in use is known before anything starts.
    ///
    /// # Errors
    /// The address is in use or not ours, or the certificate cannot be used.
    pub async fn bind(settings: &Settings) -> Result<Listener, ListenError> {
        let listen = settings.listen;
        let refused = |error| ListenError::Port { listen, error };
        let server = settings.tls.clone().map(tls::Server::new);
        let server = server.transpose().map_err(ListenError::Tls)?;
        let listener = TcpListener::bind(listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Listener {
            listener,
            address,
            settings: settings.clone(),
            tls: server.map(Arc::new),
        })
    }

    /// Where it listens: never port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the operator commands need to reach it.
    pub fn access(&self) -> Access {
        Access {
            cert_file: self.settings.tls.as_ref().map(|tls| tls.cert_file.clone()),
            ..Access::new(self.address)
        }
    }

    /// Answers until stopped.
    pub async fn serve(self, view: View, access: Access, stop: CancellationToken) {
        let access = Arc::new(access);
        let guard = Guard::new(&self.settings, self.address, access.clone());
        let controlled = Controlled {
            view: view.clone(),
            access,
            listen: self.address.ip(),
            turns: Arc::new(Semaphore::new(COMMANDS_MAX)),
        };
        let control = Router::new()
            .route("/control", post(control))
            .with_state(controlled);
        let reported = Reported {
            view: view.clone(),
            turns: Arc::new(Semaphore::new(REPORTS_MAX)),
        };
        let report = Router::new()
            .route("/status", get(status))
            .with_state(reported);
        let alive = Alive {
            view: view.clone(),
            progress: Arc::default(),
        };
        let health = Router::new()
            .route("/healthz", get(healthz))
            .with_state(alive);
        let pages = page::routes(&view, &guard, stop.clone());
        let (samples, changes) = (sample(view.clone()), pages.broadcast());
        let turns = Arc::clone(&view.turns);
        let PageRoutes { router: pages, .. } = pages;
        let router = Router::new()
            .route("/readyz", get(readyz))
            .route("/metrics", get(scrape))
            .with_state(view)
            .merge(health)
            .merge(report)
            .merge(control)
            .merge(pages)
            .layer(middleware::from_fn_with_state(guard, guard::check));
        let site = Site {
            router,
            reserved_paths: PROBED,
            refuse: used_up,
            patience: Patience::default(),
            tls: self.tls,
            stop,
        };
        let connections = Connections::new(site, Limits::default()).run(self.listener);
        tokio::select! {
            () = connections => {}
            // Neither of them ends.
            () = samples => {}
            () = changes => {}
        }
        turns.http.whenever();
    }
}

/// What `/control` needs.
#[derive(Debug, Clone)]
struct Controlled {
    view: View,
    access: Arc<Access>,
    listen: IpAddr,
    turns: Arc<Semaphore>,
}

/// What `/healthz` needs.
#[derive(Debug, Clone)]
struct Alive {
    view: View,
    progress: Arc<Mutex<Progress>>,
}

/// What `/status` needs.
#[derive(Debug, Clone)]
struct Reported {
    view: View,
    turns: Arc<Semaphore>,
}

/// The process runs, and each of its loops turns, as systemd's watchdog has it; whether it delivers
/// is `/readyz`'s.
async fn healthz(
    State(alive): State<Alive>,
    Extension(openness): Extension<Openness>,
) -> impl IntoResponse {
    let mut progress = alive
        .progress
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let hanging = progress.hanging(&alive.view, std::time::Instant::now());
    let healthy = hanging.is_empty();
    let answer = match openness {
        Openness::Full => json!({ "healthy": healthy, "hanging": hanging }),
        Openness::StatusOnly => json!({ "healthy": healthy }),
    };
    (answered(healthy), Json(redacted(answer)))
}

async fn readyz(
    State(view): State<View>,
    Extension(openness): Extension<Openness>,
) -> impl IntoResponse {
    let unready = view.verdict().reasons();
    let answer = match openness {
        Openness::Full => json!({ "ready": unready.is_empty(), "reasons": unready }),
        Openness::StatusOnly => json!({ "ready": unready.is_empty() }),
    };
    (answered(unready.is_empty()), Json(redacted(answer)))
}

/// The status of a probe's answer.
fn answered(is_well: bool) -> StatusCode {
    match is_well {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn scrape(State(view): State<View>, headers: HeaderMap) -> impl IntoResponse {
    let format = metrics::Format::wanted(&headers);
    (
        [(header::CONTENT_TYPE, format.content_type())],
        metrics::encode(&view, format),
    )
}

async fn status(State(reported): State<Reported>) -> Response {
    match in_turn(&reported.turns, Report::of(&reported.view)).await {
        Some(Ok(report)) => match serde_json::to_value(report) {
            Ok(report) => Json(redacted(report)).into_response(),
            Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        },
        Some(Err(error)) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        None => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "the status was not ready in time: others ask for it too, or the disk is slow; try again",
        ),
    }
}

/// Makes a report once it has its turn; `None`: it took too long.
async fn in_turn<T>(turns: &Semaphore, report: impl Future<Output = T>) -> Option<T> {
    let deadline = Instant::now() + REPORT_TIMEOUT;
    let _turn = timeout_at(deadline, turns.acquire()).await.ok()?.ok()?;
    // All those whose time is over have their turn one after the other: none begins a report.
    if Instant::now() >= deadline {
        return None;
    }
    timeout_at(deadline, report).await.ok()
}

/// Who asks is decided by the head alone, before a byte of the body is read.
async fn control(
    State(controlled): State<Controlled>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let authorization = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let peer = peer.ip().to_canonical();
    // Who connects to an address of this machine from that very address is on this machine.
    let is_here = peer.is_loopback() || peer == controlled.listen.to_canonical();
    if !is_here || !controlled.access.allows(authorization) {
        return closing(
            StatusCode::FORBIDDEN,
            "this needs the token beside the journal, and a request from this machine",
        );
    }
    let (_turn, body) = match read(&controlled.turns, request.into_body()).await {
        Ok(read) => read,
        Err(unread) => return closing(unread.status(), &unread.to_string()),
    };
    let command: AdminCommand = match serde_json::from_slice(&body) {
        Ok(command) => command,
        Err(error) => return problem(StatusCode::BAD_REQUEST, &format!("not a command: {error}")),
    };
    drop(body);
    tracing::info!(command = %summary(&command), "admin command");
    // The page shows it as it comes; the command line asks for no language.
    let lang = Lang::of_request(&headers);
    match carry_out(&controlled.view, command).await {
        Ok(reply) => Json(Reply {
            why: reply.why.map(|why| said(&why, lang).into_owned()),
            ..reply
        })
        .into_response(),
        Err(Refusal::Senseless(why)) => problem(StatusCode::CONFLICT, &said(&why, lang)),
        Err(Refusal::Journal(error)) => {
            let error = format!("{:#}", anyhow::Error::from(error));
            problem(StatusCode::INTERNAL_SERVER_ERROR, &said(&error, lang))
        }
    }
}

/// Why a body was not read, or not to its end.
#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error("a command has at most {COMMAND_BYTES_MAX} bytes")]
    TooLong,
    #[error("another command is being carried out: try again")]
    Busy,
    #[error("the body broke off: {0}")]
    Broken(axum::Error),
}

impl Unread {
    fn status(&self) -> StatusCode {
        match self {
            Unread::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Unread::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Unread::Broken(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// A command's body, and its turn: the next body is read when that is dropped. One whose declared
/// length is too long does not wait for it. The connection ends where the body does not come.
async fn read(turns: &Semaphore, body: Body) -> Result<(SemaphorePermit<'_>, Vec<u8>), Unread> {
    // 0 where it comes in chunks.
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if declared > COMMAND_BYTES_MAX {
        return Err(Unread::TooLong);
    }
    let Ok(Ok(turn)) = timeout(TURN_TIMEOUT, turns.acquire()).await else {
        return Err(Unread::Busy);
    };
    let mut collected = Vec::with_capacity(declared);
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(Unread::Broken)?;
        if piece.len() > COMMAND_BYTES_MAX - collected.len() {
            return Err(Unread::TooLong);
        }
        collected.extend_from_slice(&piece);
    }
    Ok((turn, collected))
}

/// For the log: a thousand positions are none of its business, nor what statuses say.
fn summary(command: &AdminCommand) -> String {
    let text = match command {
        AdminCommand::RedriveUndecodable { entries } => serde_json::json!({
            "command": "redrive_undecodable",
            "entries": entries.len(),
            "first": entries.first().map(|entry| entry.position),
        })
        .to_string(),
        other => serde_json::to_string(other).unwrap_or_default(),
    };
    beginning(&redact(&text), 200)
}

/// Members that are names and words of ours: a secret that is one of them by chance hides none.
const OUR_WORDS: [&str; 4] = ["name", "sink", "state", "topic"];

/// An answer without secrets: its texts, not its keys, which are names of ours, its times and the
/// names of [`OUR_WORDS`].
fn redacted(mut answer: Value) -> Value {
    match &mut answer {
        Value::String(text) if text.parse::<Timestamp>().is_ok() => {}
        Value::String(text) => {
            if let Cow::Owned(without) = redact(text) {
                *text = without;
            }
        }
        Value::Array(values) => {
            for value in values {
                *value = redacted(value.take());
            }
        }
        Value::Object(members) => {
            for (key, value) in members.iter_mut() {
                let is_name = OUR_WORDS.contains(&key.as_str()) && value.is_string();
                if !is_name {
                    *value = redacted(value.take());
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    answer
}

fn problem(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({ "error": redact(error) }))).into_response()
}

/// Ends the connection with it: what else comes there is not read.
fn closing(status: StatusCode, error: &str) -> Response {
    ([(header::CONNECTION, "close")], problem(status, error)).into_response()
}

fn used_up() -> Response {
    closing(
        StatusCode::SERVICE_UNAVAILABLE,
        "all connections are in use: only /healthz, /readyz and /metrics are answered",
    )
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::Relaxed;

    use futures_util::future::join_all;
    use futures_util::stream;

    use super::*;
    use crate::model::Position;
    use crate::ops::redecoded::{Part, Redecoded};

    #[test]
    fn names_of_ours_stay_and_all_else_is_without_secrets() {
        crate::secret::protect("answer-secret-9a17", crate::secret::Lifetime::Configured);
        let answer = json!({
            "name": "answer-secret-9a17",
            "sink": { "error": "no answer-secret-9a17", "topic": ["answer-secret-9a17"] },
            "at": "2026-11-23T08:00:00Z",
        });
        let expected = json!({
            "name": "answer-secret-9a17",
            "sink": { "error": "no …", "topic": ["…"] },
            "at": "2026-11-23T08:00:00Z",
        });
        assert_eq!(redacted(answer), expected);
    }

    fn endless(piece: &'static [u8]) -> Body {
        Body::from_stream(stream::repeat(Ok::<_, Infallible>(piece)))
    }

    #[test]
    fn the_log_has_no_status_of_a_redrive() {
        let entry = Redecoded {
            position: Position(7),
            parts: vec![Part::Text("an address".to_owned())],
        };
        let command = AdminCommand::RedriveUndecodable {
            entries: vec![entry],
        };
        let expected = r#"{"command":"redrive_undecodable","entries":1,"first":7}"#;
        assert_eq!(summary(&command), expected);
    }

    /// A command's body is read, or not, after this time.
    async fn check(turns: &Semaphore, body: Body, expected: Result<usize, u16>, after: Duration) {
        let started = Instant::now();
        let read = read(turns, body).await;
        let read = read.map(|(_, body)| body.len());
        assert_eq!(read.map_err(|unread| unread.status().as_u16()), expected);
        assert_eq!(started.elapsed(), after);
    }

    #[tokio::test(start_paused = true)]
    async fn few_reports_are_made_at_once_and_none_waits_without_end() {
        let turns = Semaphore::new(REPORTS_MAX);
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let report = || async {
            most.fetch_max(running.fetch_add(1, Relaxed) + 1, Relaxed);
            tokio::time::sleep(REPORT_TIMEOUT * 2 / 5).await;
            running.fetch_sub(1, Relaxed);
        };
        let asked = (0..240).map(|_| in_turn(&turns, report()));
        let started = Instant::now();
        let answered = join_all(asked).await;
        // Two rounds end in time; the third is given up.
        assert_eq!(answered.iter().flatten().count(), 2 * REPORTS_MAX);
        assert_eq!(most.into_inner(), REPORTS_MAX);
        assert_eq!(started.elapsed(), REPORT_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_waits_for_its_turn_and_not_without_end() {
        let turns = Semaphore::new(COMMANDS_MAX);
        let _turn = turns.acquire().await.unwrap();
        check(&turns, Body::from("{}"), Err(503), TURN_TIMEOUT).await;
        let longer = Body::from(vec![b' '; COMMAND_BYTES_MAX + 1]);
        check(&turns, longer, Err(413), Duration::ZERO).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_read_to_its_limit_whether_it_declares_its_length_or_not() {
        let turns = Semaphore::new(COMMANDS_MAX);
        let longest = Body::from(vec![b' '; COMMAND_BYTES_MAX]);
        check(&turns, longest, Ok(COMMAND_BYTES_MAX), Duration::ZERO).await;
        let chunked = endless(&[b' '; 4096]);
        check(&turns, chunked, Err(413), Duration::ZERO).await;
    }
}
