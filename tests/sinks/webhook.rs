//! Webhooks against a receiver of our own.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, Response, Uri};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use stomp_bridge::model::{CoverageCause, Event, EventKind, StatusEvent};
use stomp_bridge::pipeline::{Conditions, ListTemplate};
use stomp_bridge::secret::Secret;
use stomp_bridge::sinks::webhook::{
    Address, Algorithm, Answers, Digits, HeaderSignature, HeaderText, Method, Posting, Settings,
};
use stomp_bridge::sinks::{By, Rate, Sink, Trouble, Undelivered};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::time::timeout;
use url::Url;

use crate::events::{JOURNAL, batch, coverage, event, events, start, template};

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    method: String,
    path: String,
    headers: HeaderMap,
    body: Bytes,
    peer: SocketAddr,
}

impl Request {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// Answers by a script, then always 204.
#[derive(Clone, Default)]
pub(crate) struct Receiver {
    script: Arc<Mutex<VecDeque<Response<Body>>>>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Receiver {
    pub(crate) async fn start(&self) -> Settings {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(receive).with_state(self.clone());
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        settings(address)
    }

    pub(crate) fn answers(&self, status: u16, headers: &[(&str, &str)], body: impl Into<Body>) {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        self.script
            .lock()
            .unwrap()
            .push_back(response.body(body.into()).unwrap());
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

async fn receive(
    State(receiver): State<Receiver>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    method: axum::http::Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    receiver.requests.lock().unwrap().push(Request {
        method: method.to_string(),
        path: uri.to_string(),
        headers,
        body,
        peer,
    });
    let no_content = || Response::builder().status(204).body(Body::empty()).unwrap();
    receiver
        .script
        .lock()
        .unwrap()
        .pop_front()
        .unwrap_or_else(no_content)
}

pub(crate) fn settings(address: SocketAddr) -> Settings {
    let url = format!("http://{address}/hook?access_token=t0ken");
    Settings {
        name: "oncall".to_owned(),
        url: Address::from(Url::parse(&url).unwrap()),
        method: Method::Post,
        headers: Vec::new(),
        posting: Posting::Single { body: None },
        concurrency: 8,
        secrets: Vec::new(),
        hmac: None,
        rate: None,
        answers: Answers::default(),
        tls: stomp_bridge::tls::Settings::default(),
        timeout: Duration::from_secs(20),
    }
}

pub(crate) async fn webhook(settings: Settings) -> Box<dyn Sink> {
    let mut sink = start(stomp_bridge::sinks::Settings::Webhook(settings));
    assert_eq!(sink.open(JOURNAL).await, Ok(None));
    sink
}

/// One attempt at these events, as a delivery makes it beside others.
pub(crate) async fn attempt<E: Clone + Into<Event>>(
    sink: &dyn Sink,
    events: &[E],
) -> Result<(), Trouble> {
    let mut sink = sink.another().unwrap();
    let attempted = sink.attempt(batch(events)).await;
    attempted.map_err(|undelivered| undelivered.trouble)
}

pub(crate) fn trouble(outcome: Result<(), Undelivered>) -> Trouble {
    let Undelivered { confirmed, trouble } = outcome.unwrap_err();
    assert_eq!(confirmed, 0);
    trouble
}

#[tokio::test]
async fn events_are_posted_in_order_over_one_connection() {
    let receiver = Receiver::default();
    let mut sink = webhook(receiver.start().await).await;
    let fifty = events(1..=50);
    sink.attempt(batch(&fifty)).await.unwrap();
    let requests = receiver.requests();
    assert_eq!(requests.len(), 50);
    for (request, event) in requests.iter().zip(&fifty) {
        assert_eq!(request.path, "/hook?access_token=t0ken");
        assert_eq!(request.body, Event::from(event.clone()).to_json());
        assert_eq!(request.header("webhook-id"), event.event_id);
        assert_eq!(request.header("content-type"), "application/json");
        assert!(request.header("webhook-timestamp").parse::<i64>().unwrap() > 1_700_000_000);
        assert_eq!(request.header("webhook-signature"), "");
    }
    let peers: HashSet<SocketAddr> = requests.iter().map(|request| request.peer).collect();
    assert_eq!(peers.len(), 1, "{peers:?}");
    assert_eq!(sink.answer().as_deref(), Some("HTTP 204"));
    assert_eq!(sink.answer(), None, "it is of the last attempt");
}

#[tokio::test]
async fn coverage_is_posted_under_its_own_id() {
    let receiver = Receiver::default();
    let sink = webhook(receiver.start().await).await;
    let at = "2026-01-02T03:04:05Z";
    let lost = coverage(JOURNAL, 1, "map-1", at, Some(CoverageCause::Refused));
    attempt(&*sink, std::slice::from_ref(&lost)).await.unwrap();
    let requests = receiver.requests();
    assert_eq!(requests[0].header("webhook-id"), lost.origin);
    let id = &lost.origin;
    let expected = format!(
        r#"{{"kind":"coverage","event_id":"{id}","topic":"map-1","heard":false,"cause":"refused","at":"{at}","received_at":"2026-01-02T03:04:05.007Z","origin":"{id}"}}"#
    );
    assert_eq!(requests[0].body, expected);
}

#[tokio::test]
async fn a_secret_signs_what_was_sent_and_the_id_is_the_same_on_every_attempt() {
    let receiver = Receiver::default();
    let key = b"0123456789abcdef0123456789abcdef";
    let secrets = vec![Secret::from(format!("whsec_{}", STANDARD.encode(key)))];
    let headers = vec![
        (
            "Authorization".to_owned(),
            HeaderText::Fixed("Bearer x".into()),
        ),
        (
            "content-type".to_owned(),
            HeaderText::Fixed("text/plain".into()),
        ),
    ];
    let posting = Posting::Single {
        body: Some(template("{{ device_id }} is {{ state }}")),
    };
    let mut sink = webhook(Settings {
        secrets,
        headers,
        posting,
        ..receiver.start().await
    })
    .await;
    receiver.answers(500, &[], "later");
    let one = [event(7)];
    trouble(sink.attempt(batch(&one)).await);
    // The timestamp is the attempt's own.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    sink.attempt(batch(&one)).await.unwrap();
    let requests = receiver.requests();
    assert_eq!(requests.len(), 2);
    assert_ne!(
        requests[0].header("webhook-timestamp"),
        requests[1].header("webhook-timestamp")
    );
    for request in requests {
        assert_eq!(request.body, "7 is fault");
        assert_eq!(request.header("authorization"), "Bearer x");
        assert_eq!(request.header("content-type"), "text/plain");
        assert_eq!(request.header("webhook-id"), one[0].event_id);
        let signed = format!(
            "{}.{}.7 is fault",
            one[0].event_id,
            request.header("webhook-timestamp")
        );
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
        mac.update(signed.as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        assert_eq!(request.header("webhook-signature"), signature);
    }
}

#[tokio::test]
async fn a_batch_ends_at_the_first_event_that_does_not_arrive() {
    let receiver = Receiver::default();
    let mut sink = webhook(receiver.start().await).await;
    receiver.answers(200, &[], "");
    receiver.answers(201, &[], "");
    receiver.answers(422, &[], "no such\r\ndevice");
    let failed = sink.attempt(batch(&events(1..=9))).await.unwrap_err();
    assert_eq!((failed.confirmed, receiver.requests().len()), (2, 3));
    let Trouble::Refused {
        by: By::Them,
        error,
        ..
    } = failed.trouble
    else {
        panic!("{:?}", failed.trouble)
    };
    assert!(
        error.contains("answered 422: no such  device") && !error.contains("t0ken"),
        "{error}"
    );
}

#[tokio::test]
async fn each_class_of_answer_does_its_own() {
    let receiver = Receiver::default();
    let sink = webhook(receiver.start().await).await;
    let mut position = 0;
    let mut answered = async |status: u16, headers: &[(&str, &str)]| {
        position += 1;
        receiver.answers(status, headers, "");
        attempt(&*sink, &[event(position)]).await.err()
    };
    for status in [200, 202, 204] {
        assert_eq!(answered(status, &[]).await, None, "{status}");
    }
    for status in [400, 413, 422] {
        assert!(
            matches!(
                answered(status, &[]).await,
                Some(Trouble::Refused { by: By::Them, .. })
            ),
            "{status}"
        );
    }
    for status in [301, 307, 401, 403, 404, 429, 502, 503, 504, 520, 527] {
        assert!(
            matches!(
                answered(status, &[]).await,
                Some(Trouble::Retry { after: None, .. })
            ),
            "{status}"
        );
    }
    for status in [408, 409, 500, 501, 528] {
        assert!(
            matches!(answered(status, &[]).await, Some(Trouble::Unclear { .. })),
            "{status}"
        );
    }
    let in_ten_minutes =
        httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(600));
    for status in [429, 503] {
        for (text, seconds) in [
            ("120", 120..=120),
            ("999999", 3600..=3600),
            (in_ten_minutes.as_str(), 590..=600),
        ] {
            let Some(Trouble::Retry {
                after: Some(after), ..
            }) = answered(status, &[("retry-after", text)]).await
            else {
                panic!("{status} {text}")
            };
            assert!(
                seconds.contains(&after.as_secs()),
                "{status} {text}: {after:?}"
            );
        }
    }
    assert!(matches!(
        answered(410, &[]).await,
        Some(Trouble::Disabled { .. })
    ));
}

#[tokio::test]
async fn request_that_is_not_answered_holds_no_other() {
    let (receiver, silent) = (Receiver::default(), Receiver::default());
    let settings = receiver.start().await;
    // Bodies that never come: the header is there, the answer is not.
    silent.answers(
        200,
        &[],
        Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>()),
    );
    let url = silent.start().await.url;
    let stuck = webhook(Settings {
        url,
        timeout: Duration::from_secs(60),
        ..settings.clone()
    })
    .await;
    let sink = webhook(settings).await;
    let (late, events) = ([event(99)], events(1..=8));
    let mut hanging = std::pin::pin!(attempt(&*stuck, &late));
    let first = futures_util::future::poll_immediate(&mut hanging).await;
    assert_eq!(first, None);
    let all = futures_util::future::join_all(
        events
            .iter()
            .map(|event| attempt(&*sink, std::slice::from_ref(event))),
    );
    assert!(all.await.into_iter().all(|outcome| outcome.is_ok()));
    let peers: HashSet<SocketAddr> = receiver
        .requests()
        .iter()
        .map(|request| request.peer)
        .collect();
    assert!(peers.len() > 1, "they went side by side: {peers:?}");
}

#[tokio::test]
async fn batch_is_an_array_whose_id_and_signature_are_its_own() {
    let receiver = Receiver::default();
    let posting = |body: Option<ListTemplate>| Posting::Batch {
        body,
        max: 100,
        wait: Duration::from_secs(1),
    };
    let key = b"0123456789abcdef0123456789abcdef";
    let secrets = vec![Secret::from(format!("whsec_{}", STANDARD.encode(key)))];
    let settings = Settings {
        posting: posting(None),
        secrets,
        ..receiver.start().await
    };
    let sink = webhook(settings.clone()).await;
    let three = events(1..=3);
    receiver.answers(500, &[], "later");
    attempt(&*sink, &three).await.unwrap_err();
    attempt(&*sink, &three).await.unwrap();
    // Another process, after a crash.
    let template = ListTemplate::parse(
        "{% for e in events %}{{ e.device_id }};{% endfor %}",
        &[EventKind::Status].into(),
    )
    .unwrap();
    let other = webhook(Settings {
        posting: posting(Some(template)),
        ..settings
    })
    .await;
    attempt(&*other, &three).await.unwrap();
    attempt(&*other, &three[..2]).await.unwrap();
    attempt(&*other, &three[..1]).await.unwrap();
    let requests = receiver.requests();
    let ids: Vec<&str> = requests
        .iter()
        .map(|request| request.header("webhook-id"))
        .collect();
    assert!(
        ids[0].starts_with("batch-") && ids[0].len() == 38,
        "{ids:?}"
    );
    assert!(ids[1] == ids[0] && ids[2] == ids[0], "{ids:?}");
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 3, "{ids:?}");
    let array: Vec<serde_json::Value> = serde_json::from_slice(&requests[1].body).unwrap();
    let expected: Vec<serde_json::Value> = three
        .iter()
        .map(|event| serde_json::from_slice(&Event::from(event.clone()).to_json()).unwrap())
        .collect();
    assert_eq!(array, expected);
    assert_eq!(
        [&requests[2].body, &requests[3].body, &requests[4].body],
        ["1;2;3;", "1;2;", "1;"]
    );
    for request in requests {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
        mac.update(
            format!(
                "{}.{}.",
                request.header("webhook-id"),
                request.header("webhook-timestamp")
            )
            .as_bytes(),
        );
        mac.update(&request.body);
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        assert_eq!(request.header("webhook-signature"), signature);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let receiver = Receiver::default();
    let mut sink = webhook(receiver.start().await).await;
    // Where 302 is followed, a client asks with GET.
    for (before, status) in [302, 307].into_iter().enumerate() {
        receiver.answers(status, &[("location", "/elsewhere")], "");
        let Trouble::Retry { error, .. } = trouble(sink.attempt(batch(&[event(1)])).await) else {
            panic!("followed")
        };
        assert!(error.contains("redirects are not followed"), "{error}");
        let requests = receiver.requests();
        assert_eq!(requests.len(), before + 1, "{status}");
        assert_eq!(requests[before].method, "POST", "{status}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    let receiver = Receiver::default();
    let mut sink = webhook(receiver.start().await).await;
    let endless = futures_util::stream::repeat_with(|| {
        Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 4096]))
    });
    receiver.answers(200, &[], Body::from_stream(endless));
    sink.attempt(batch(&events(1..=2))).await.unwrap();
    assert_eq!(receiver.requests().len(), 2);
}

#[tokio::test]
async fn a_server_that_never_answers_times_out() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let mut sink = webhook(Settings {
        timeout: Duration::from_secs(1),
        ..settings(address)
    })
    .await;
    let Trouble::Unclear { error } = trouble(sink.attempt(batch(&[event(1)])).await) else {
        panic!("answered")
    };
    assert!(
        error.contains(&address.to_string()) && error.contains("timed out"),
        "{error}"
    );
    assert!(!error.contains("t0ken"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_retried() {
    let address = SocketAddr::from(([127, 0, 0, 1], crate::servers::free_port()));
    let mut sink = webhook(settings(address)).await;
    let Trouble::Retry { error, .. } = trouble(sink.attempt(batch(&[event(1)])).await) else {
        panic!("answered")
    };
    assert!(
        error.contains("refused") && !error.contains("t0ken"),
        "{error}"
    );
}

#[tokio::test]
async fn an_id_that_no_header_can_hold_is_refused() {
    let receiver = Receiver::default();
    let mut sink = webhook(receiver.start().await).await;
    let odd = StatusEvent {
        event_id: "a\nb".to_owned(),
        ..event(1)
    };
    assert!(matches!(
        trouble(sink.attempt(batch(&[odd])).await),
        Trouble::Refused { by: By::Us, .. }
    ));
    assert_eq!(receiver.requests().len(), 0);
}

fn conditions(table: &serde_json::Value) -> Option<Conditions> {
    Some(Conditions::read(table.as_object().unwrap()).unwrap())
}

/// What a robot of a chat group answers: DingTalk's codes.
pub(crate) fn robot() -> Answers {
    Answers {
        success: conditions(&serde_json::json!({ "/errcode": 0 })),
        retry_when: conditions(&serde_json::json!({ "/errcode": [130_101, 45_009] })),
        reject_when: conditions(&serde_json::json!({ "/errcode": 310_000 })),
    }
}

#[tokio::test]
async fn a_refusal_in_a_200_is_none_of_a_delivery() {
    let receiver = Receiver::default();
    let sink = webhook(Settings {
        answers: robot(),
        ..receiver.start().await
    })
    .await;
    let answered = async |body: &str, headers: &[(&str, &str)]| {
        receiver.answers(200, headers, body.to_owned());
        attempt(&*sink, &[event(1)]).await.err()
    };
    let ok = r#"{"errcode":0,"errmsg":"ok"}"#;
    assert_eq!(answered(ok, &[]).await, None);
    let bom = format!("\u{FEFF}{ok}");
    assert_eq!(answered(&bom, &[]).await, None);
    let fast = r#"{"errcode":130101,"errmsg":"send too fast, exceed 20 times per minute"}"#;
    let retried = answered(fast, &[("retry-after", "7.5")]).await;
    let Some(Trouble::Retry { error, after }) = retried else {
        panic!("{retried:?}")
    };
    assert_eq!(after, Some(Duration::from_millis(7_500)));
    assert!(
        error.contains("answered 200, which `retry_when` retries"),
        "{error}"
    );
    assert!(error.contains("exceed 20 times"), "{error}");
    let keywords = r#"{"errcode":310000,"errmsg":"keywords not in content"}"#;
    let refused = answered(keywords, &[]).await;
    assert!(
        matches!(&refused, Some(Trouble::Refused { by: By::Them, error, .. }) if error.contains("keywords")),
        "{refused:?}"
    );
    for (body, headers) in [
        (
            r#"{"errcode":300001,"errmsg":"token is not exist"}"#,
            vec![],
        ),
        ("<html>sign in</html>", vec![]),
        ("\u{1f}\u{8b}", vec![("content-encoding", "gzip")]),
    ] {
        let unclear = answered(body, &headers).await;
        assert!(
            matches!(&unclear, Some(Trouble::Unclear { error }) if error.contains("`success` wants \"/errcode\" = 0")),
            "{body}: {unclear:?}"
        );
    }
    assert!(
        receiver
            .requests()
            .iter()
            .all(|request| request.header("accept-encoding") == "identity"),
        "a text that decides comes as it is"
    );
}

#[tokio::test]
async fn a_refusal_in_a_200_that_nobody_looks_at_is_named_with_what_to_write() {
    let receiver = Receiver::default();
    let settings = receiver.start().await;
    let keywords = r#"{"errcode":310000,"errmsg":"keywords not in content"}"#;
    let sink = webhook(settings.clone()).await;
    receiver.answers(200, &[], r#"{"errcode":0,"errmsg":"ok"}"#);
    attempt(&*sink, &[event(1)]).await.unwrap();
    assert_eq!(sink.warning(), None);
    receiver.answers(200, &[], keywords);
    attempt(&*sink, &[event(2)]).await.unwrap();
    let warning = sink.warning().unwrap();
    assert!(
        warning.contains(r#"answers 200 with "errcode": 310000 inside"#)
            && warning.contains(r#"set success = { "/errcode" = 0 }, and reject_when"#),
        "{warning}"
    );

    let looks = webhook(Settings {
        answers: Answers {
            success: conditions(&serde_json::json!({ "/errcode": 0 })),
            ..Answers::default()
        },
        ..settings
    })
    .await;
    receiver.answers(200, &[], keywords);
    let unclear = attempt(&*looks, &[event(3)]).await;
    assert!(
        matches!(&unclear, Err(Trouble::Unclear { error }) if error.contains("set `reject_when`")),
        "{unclear:?}"
    );
    assert_eq!(looks.warning(), None);
}

#[tokio::test]
async fn an_answer_that_does_not_end_is_not_waited_for() {
    let pending = || futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
    let begins = |text: &'static str| {
        use futures_util::StreamExt;
        let first = futures_util::stream::once(async move { Ok(Bytes::from(text)) });
        Body::from_stream(first.chain(pending()))
    };
    let receiver = Receiver::default();
    let settings = Settings {
        timeout: Duration::from_secs(3600),
        ..receiver.start().await
    };
    let plain = webhook(settings.clone()).await;
    let robot = webhook(Settings {
        answers: robot(),
        ..settings
    })
    .await;
    for (sink, body) in [
        (&plain, Body::from_stream(pending())),
        (&plain, begins("ok")),
        (&robot, begins(r#"{"errcode":0}"#)),
    ] {
        receiver.answers(200, &[], body);
        let event = [event(1)];
        let attempted = timeout(Duration::from_secs(60), attempt(&**sink, &event));
        attempted.await.expect("it is a second").unwrap();
    }
}

/// A server by hand. A request is answered by the next line of its script, or its connection is
/// closed where that is `None`. Gives the address, and the connection of each request.
async fn by_hand(script: Vec<Option<&'static str>>) -> (SocketAddr, Arc<Mutex<Vec<usize>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let (script, seen) = (
        Arc::new(Mutex::new(VecDeque::from(script))),
        Arc::clone(&requests),
    );
    tokio::spawn(async move {
        for connection in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                while read_request(&mut stream).await {
                    seen.lock().unwrap().push(connection);
                    let Some(Some(answer)) = script.lock().unwrap().pop_front() else {
                        return;
                    };
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    (address, requests)
}

/// Reads a request to its end; `false`: there is none.
pub(crate) async fn read_request(stream: &mut BufReader<tokio::net::TcpStream>) -> bool {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return false;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            let mut body = vec![0; length];
            return stream.read_exact(&mut body).await.is_ok();
        }
    }
}

#[tokio::test]
async fn a_kept_connection_that_closes_without_an_answer_is_no_failure() {
    const OK: Option<&str> = Some("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let (address, requests) = by_hand(vec![OK, None, OK, OK]).await;
    let mut sink = webhook(settings(address)).await;
    sink.attempt(batch(&events(1..=3))).await.unwrap();
    assert_eq!(
        *requests.lock().unwrap(),
        [0, 0, 1, 2],
        "the fresh one is not kept"
    );
    // Where the fresh one does the same, it is the receiver's doing.
    let (address, requests) = by_hand(vec![OK, None, None, OK]).await;
    let mut sink = webhook(settings(address)).await;
    let failed = sink.attempt(batch(&events(1..=3))).await.unwrap_err();
    assert_eq!((failed.confirmed, requests.lock().unwrap().len()), (1, 3));
    // With a rate each request is sent once, and the next attempt has a token of its own.
    let (address, requests) = by_hand(vec![OK, None, OK, OK]).await;
    let rate = Some(Rate {
        attempts: 20,
        per: Duration::from_secs(60),
    });
    let mut sink = webhook(Settings {
        rate,
        ..settings(address)
    })
    .await;
    sink.attempt(batch(&events(1..=1))).await.unwrap();
    let failed = sink.attempt(batch(&events(2..=2))).await;
    assert!(failed.is_err());
    assert_eq!(*requests.lock().unwrap(), [0, 1], "none is kept");
    // Nothing was kept: once is enough.
    let (address, requests) = by_hand(vec![None, OK]).await;
    let mut sink = webhook(settings(address)).await;
    let closed = trouble(sink.attempt(batch(&[event(1)])).await);
    assert!(matches!(closed, Trouble::Unclear { .. }), "{closed:?}");
    assert_eq!(requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn path_query_headers_and_method_are_made_of_the_event() {
    let receiver = Receiver::default();
    let plain = receiver.start().await;
    let mut server = plain.url.of(&event(1).into()).unwrap();
    server.set_path("");
    server.set_query(None);
    server.set_username("bridge").unwrap();
    server.set_password(Some("s3cret")).unwrap();
    let behind = template("/devices/{{ device_id }}?state={{ new_state }}&s={{ state|urlencode }}");
    let text = |source| HeaderText::Template(template(source));
    let headers = vec![
        (
            "Title".to_owned(),
            text("{{ device_id }} is {{ new_state }}"),
        ),
        ("Content-Type".to_owned(), text("text/{{ severity }}")),
    ];
    let settings = Settings {
        url: Address::new(server, behind),
        headers,
        ..plain
    };
    let odd = StatusEvent {
        device_id: "a/../b?\r\nX-Evil: 1".to_owned(),
        ..event(1)
    };
    for (method, sent) in [
        (Method::Get, "GET"),
        (Method::Post, "POST"),
        (Method::Put, "PUT"),
        (Method::Patch, "PATCH"),
    ] {
        let settings = settings.clone();
        let mut sink = webhook(Settings { method, ..settings }).await;
        sink.attempt(batch(std::slice::from_ref(&odd)))
            .await
            .unwrap();
        let request = receiver.requests().pop().unwrap();
        assert_eq!(request.method, sent);
        assert_eq!(
            request.path,
            "/devices/a%2F..%2Fb%3F%0D%0AX-Evil%3A%201?state=%E6%95%85%E9%9A%9C&s=fault"
        );
        let title = request.headers["title"].as_bytes();
        assert_eq!(title, "a/../b?  X-Evil: 1 is 故障".as_bytes());
        assert_eq!(request.header("x-evil"), "");
        assert_eq!(request.headers.get_all("content-type").iter().count(), 1);
        assert_eq!(request.header("content-type"), "text/critical");
        let user = format!("Basic {}", STANDARD.encode("bridge:s3cret"));
        assert_eq!(request.header("authorization"), user);
        assert_eq!(request.body.is_empty(), method == Method::Get);
    }
    // No device has a path of its own.
    let mut sink = webhook(settings).await;
    let up = StatusEvent {
        device_id: "..".to_owned(),
        ..event(1)
    };
    let refused = trouble(sink.attempt(batch(&[up])).await);
    assert!(
        matches!(refused, Trouble::Refused { by: By::Us, .. }),
        "{refused:?}"
    );
    assert_eq!(receiver.requests().len(), 4);
}

#[tokio::test]
async fn a_header_of_any_name_signs_the_body() {
    let receiver = Receiver::default();
    let key = "It's a Secret to Everybody";
    let hmac = HeaderSignature {
        header: "X-Hub-Signature-256".to_owned(),
        secret: Secret::from(key),
        prefix: "sha256=".to_owned(),
        algorithm: Algorithm::Sha256,
        digits: Digits::Hex,
    };
    let mut sink = webhook(Settings {
        hmac: Some(hmac),
        ..receiver.start().await
    })
    .await;
    sink.attempt(batch(&events(1..=2))).await.unwrap();
    for request in receiver.requests() {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap();
        mac.update(&request.body);
        let digits = mac.finalize().into_bytes();
        let digits: String = digits.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            request.header("x-hub-signature-256"),
            format!("sha256={digits}")
        );
        assert_eq!(request.header("webhook-signature"), "");
    }
}
