//! Snapshots: when they are asked for, what of them is journaled, and that the live stream never
//! waits for one.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use stomp_bridge::model::{EntryKind, Label, Named, Names};
use stomp_bridge::pipeline::{Constants, Mapping};
use stomp_bridge::source::{
    AnswerPart, BodyTemplate, Extract, Resync, ResyncReport, Signin, SigninTemplate, Step,
    StepMethod,
};
use tokio::net::TcpListener;

use super::coverage::coverage;
use super::*;

/// What the platform's REST interface says of device 7 and another one.
const FAULT: &str = r#"{"data":[{"clientId":1,"deviceId":7,"newState":"故障"}]}"#;
const NORMAL: &str = r#"{"data":[{"clientId":1,"deviceId":7,"newState":"正常"}]}"#;
const OK: &str = "200 OK";

/// The platform's REST interface.
struct Rest(TcpListener);

/// A request that waits for its answer.
struct Asked {
    stream: TcpStream,
    text: String,
}

impl Rest {
    async fn bind() -> Rest {
        Rest(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.0.local_addr().unwrap())
    }

    fn resync(&self) -> Resync {
        Resync {
            url: self.url("/devices?key=hunter2").parse().unwrap(),
            method: StepMethod::Get,
            headers: Vec::new(),
            expect: None,
            tls: None,
            timeout: Duration::from_secs(20),
            every: None,
            body_bytes_max: 1 << 20,
            redacted: vec!["hunter2".into()],
        }
    }

    async fn asked(&self) -> Asked {
        let (mut stream, _) = within(self.0.accept()).await.unwrap();
        let mut text = Vec::new();
        while !text.windows(4).any(|end| end == b"\r\n\r\n") {
            within(stream.read_buf(&mut text)).await.unwrap();
        }
        let text = String::from_utf8(text).unwrap();
        Asked { stream, text }
    }

    async fn answers(&self, status: &str, body: &str) -> String {
        let asked = self.asked().await;
        let text = asked.text.clone();
        asked.answer(status, body).await;
        text
    }

    async fn is_not_asked(&self) {
        let asked = tokio::time::timeout(Duration::from_millis(300), self.0.accept()).await;
        assert!(asked.is_err(), "a snapshot was asked for");
    }
}

impl Asked {
    async fn answer(mut self, head: &str, body: &str) {
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        self.stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

impl Lab {
    /// Tells the source of a snapshot of its one topic.
    fn resyncs_by(&self, resync: Option<Resync>) {
        self.wants(self.with_resync(resync));
    }

    fn with_resync(&self, resync: Option<Resync>) -> Settings {
        let resyncs = resync.map(|resync| ("map-1".into(), resync));
        Settings {
            resyncs: BTreeMap::from_iter(resyncs),
            ..self.settings.clone()
        }
    }

    fn wants(&self, settings: Settings) {
        self.wants_with(settings, None, "/data");
    }

    fn wants_with(&self, settings: Settings, names: Option<Arc<Names>>, items: &str) {
        let mut mapping = Mapping::default();
        mapping.items = Some(items.parse().unwrap());
        let decoders = decoders(&settings.topics);
        let with_snapshots = decoders.iter().map(|(name, decoder)| {
            let decoder = decoder.clone().with_names(names.clone());
            let decoder = decoder.with_snapshot(mapping.clone(), Constants::default());
            (name.clone(), decoder)
        });
        let decoders = Arc::new(with_snapshots.collect());
        self.handle.reload(settings, decoders);
    }

    fn report(&self) -> ResyncReport {
        self.status.resyncs()["map-1"].clone()
    }

    async fn resynced(&self, times: u64) {
        self.until(|status| {
            let report = status.resyncs().remove("map-1");
            report.is_some_and(|report| report.successes_total >= times)
        })
        .await;
    }

    /// Waits until the log says so, without the coverage: `live`, or what a snapshot is.
    async fn says(&self, expected: &[&str]) {
        let mut said = Vec::new();
        let says = async {
            while said != expected {
                tokio::time::sleep(Duration::from_millis(5)).await;
                said = self.said().await;
            }
        };
        let says = tokio::time::timeout(PATIENCE, says).await;
        assert!(says.is_ok(), "{said:?}, not {expected:?}");
    }

    async fn said(&self) -> Vec<String> {
        let word = |entry: &Entry| match &entry.content {
            EntryContent::Resync { confirms: true, .. } => "confirmed".to_owned(),
            EntryContent::Resync { previous, .. } => {
                format!("resync after {}", previous.as_deref().unwrap_or("nothing"))
            }
            EntryContent::Status { repeat: true, .. } => "repeat".to_owned(),
            EntryContent::Status { .. } => "live".to_owned(),
            other => format!("{other:?}"),
        };
        let log = self.log().await;
        let entries = log.iter();
        let received = entries.filter(|entry| entry.content != EntryContent::Coverage);
        received.map(word).collect()
    }
}

#[tokio::test]
async fn after_a_gap_a_snapshot_confirms_what_we_knew_and_what_differs_is_an_event() {
    let (lab, rest) = (
        Lab::new(AckMode::ClientIndividual).await,
        Rest::bind().await,
    );
    lab.resyncs_by(Some(rest.resync()));
    let mut server = lab.accept_session("0,0").await;
    let began = Timestamp::now();
    let request = rest.answers(OK, r#"{"data":[]}"#).await;
    assert!(
        request.starts_with("GET /devices?key=hunter2 HTTP/1.1"),
        "{request}"
    );
    lab.resynced(1).await;
    server.message(0, BODY).await;
    server.frame().await;
    drop(server);

    let _server = lab.accept_session("0,0").await;
    let body = r#"{"data":[{"clientId":1,"deviceId":7,"newState":"故障"},
        {"clientId":1,"deviceId":8,"newState":"正常"},7]}"#;
    rest.answers(OK, body).await;
    lab.resynced(2).await;
    lab.says(&["live", "confirmed", "resync after nothing"])
        .await;
    let log = lab.log().await;
    let resynced: Vec<&Entry> = log
        .iter()
        .filter(|entry| entry.content.kind() == EntryKind::Resync)
        .collect();
    let heard = log
        .iter()
        .rfind(|entry| entry.content == EntryContent::Coverage);
    for entry in &resynced {
        assert!(entry.received_at >= coverage(heard.unwrap()).at);
        assert_eq!(entry.received_at, resynced[0].received_at);
        assert!(entry.received_at > began);
        assert_eq!(&*entry.topic, "map-1");
    }
    assert_eq!(
        resynced[1].body,
        r#"{"clientId":1,"deviceId":8,"newState":"正常"}"#
    );
    let report = lab.report();
    assert_eq!(
        (report.devices, report.unreadable, report.failures_total),
        (2, 1, 0)
    );
    assert_eq!(
        lab.journal.log.status().accepted,
        1,
        "no message brought them"
    );
    // Without another gap nobody asks again.
    rest.is_not_asked().await;
}

#[tokio::test]
async fn a_device_that_says_something_meanwhile_is_newer_than_the_snapshot() {
    let (lab, rest) = (
        Lab::new(AckMode::ClientIndividual).await,
        Rest::bind().await,
    );
    lab.resyncs_by(Some(rest.resync()));
    let mut server = lab.accept_session("0,0").await;
    let asked = rest.asked().await;
    server.message(0, BODY).await;
    server.frame().await;
    asked.answer(OK, NORMAL).await;
    lab.resynced(1).await;
    // Whatever the snapshot brought is journaled before this.
    server.message(1, BODY).await;
    server.frame().await;
    lab.says(&["live", "live"]).await;
    assert_eq!(lab.report().skipped, 1);
}

#[tokio::test]
async fn the_message_that_a_snapshot_has_anticipated_is_a_repeat() {
    let (lab, rest) = (
        Lab::new(AckMode::ClientIndividual).await,
        Rest::bind().await,
    );
    lab.resyncs_by(Some(rest.resync()));
    let mut server = lab.accept_session("0,0").await;
    rest.answers(OK, NORMAL).await;
    lab.resynced(1).await;
    drop(server);
    server = lab.accept_session("0,0").await;
    rest.answers(OK, FAULT).await;
    lab.resynced(2).await;
    for id in 0..2 {
        server.message(id, BODY).await;
        server.frame().await;
    }
    let said = [
        "resync after nothing",
        "resync after 正常",
        "repeat",
        "live",
    ];
    lab.says(&said).await;
    assert_eq!(
        lab.journal.log.status().missed_transitions,
        1,
        "the second one says 正常"
    );
}

#[tokio::test]
async fn a_failure_is_named_and_tried_again_and_the_live_stream_does_not_wait() {
    let (lab, rest) = (
        Lab::new(AckMode::ClientIndividual).await,
        Rest::bind().await,
    );
    lab.resyncs_by(Some(rest.resync()));
    let mut server = lab.accept_session("0,0").await;
    let asked = rest.asked().await;
    // There is no answer yet.
    server.message(0, BODY).await;
    assert_eq!(server.frame().await, "ACK\nid:a0\n\n");
    asked.answer("500 Oops", r#"{"msg":"no hunter2"}"#).await;
    lab.until(|status| status.resyncs()["map-1"].failures == 1)
        .await;
    let trouble = lab.report().trouble.unwrap();
    assert!(
        trouble.contains(r#"/devices answered 500 ({"msg": "no …"})"#),
        "{trouble}"
    );
    assert!(
        lab.status.link().state.is_ready(),
        "it says nothing of readiness"
    );
    server.message(1, BODY).await;
    assert_eq!(server.frame().await, "ACK\nid:a1\n\n");
    for (status, body, expected) in [
        (
            "302 Found\r\nLocation: /elsewhere?a",
            "",
            "answered 302 (to /elsewhere); redirects are not followed",
        ),
        (
            OK,
            r#"{"code":500,"msg":"busy","data":null}"#,
            r#""code": 500 looks like a refusal"#,
        ),
        (
            OK,
            r#"{"data":[{"id":1}]}"#,
            "no status in the answer can be read: expected device",
        ),
    ] {
        let failures = lab.report().failures_total;
        rest.answers(status, body).await;
        lab.until(|status| status.resyncs()["map-1"].failures_total > failures)
            .await;
        let trouble = lab.report().trouble.unwrap();
        assert!(trouble.contains(expected), "{trouble}");
    }
    rest.answers(OK, NORMAL).await;
    lab.resynced(1).await;
    let report = lab.report();
    assert_eq!(
        (report.trouble, report.failures, report.failures_total),
        (None, 0, 4)
    );
    lab.says(&["live", "live", "resync after 故障"]).await;
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_not_read_to_its_end() {
    let (lab, rest) = (Lab::new(AckMode::Auto).await, Rest::bind().await);
    let resync = Resync {
        body_bytes_max: 20,
        ..rest.resync()
    };
    lab.resyncs_by(Some(resync));
    let _server = lab.accept_session("0,0").await;
    rest.answers(OK, FAULT).await;
    lab.until(|status| status.resyncs()["map-1"].failures == 1)
        .await;
    let trouble = lab.report().trouble.unwrap();
    assert!(
        trouble.contains("more than 20 bytes; raise source.max_body"),
        "{trouble}"
    );
}

#[tokio::test]
async fn where_the_sign_in_has_expired_it_signs_in_again_and_asks_again() {
    let (lab, rest) = (Lab::new(AckMode::Auto).await, Rest::bind().await);
    let step = Step {
        url: rest.url("/login").parse().unwrap(),
        method: StepMethod::Post(BodyTemplate::Empty),
        headers: Vec::new(),
        expect: None,
        extract: vec![Extract {
            name: "token".into(),
            part: AnswerPart::Text,
        }],
    };
    let token = vec![stomp_bridge::source::Part::Signin("token".into())];
    let resync = Resync {
        headers: vec![("X-Token".to_owned(), SigninTemplate::new(token))],
        ..rest.resync()
    };
    lab.wants(Settings {
        signin: Some(Signin {
            steps: vec![step],
            timeout: Duration::from_secs(10),
            redacted: Vec::new(),
        }),
        ..lab.with_resync(Some(resync))
    });
    let signs_in = async {
        let request = rest.answers(OK, "first-token").await;
        assert!(request.starts_with("POST /login"), "{request}");
    };
    // The first attempt may have begun before the reload.
    let (_server, ()) = tokio::join!(
        async {
            loop {
                let mut server = lab.accept().await;
                let mut frame = [0; 7];
                if server.stream.read_exact(&mut frame).await.is_err() {
                    continue;
                }
                server.frame().await;
                server
                    .send("CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0\n")
                    .await;
                let subscribe = server.frame().await;
                server.receipt(&subscribe).await;
                return server;
            }
        },
        signs_in
    );
    for (refused, expected) in [("401 Unauthorized", "first-token"), (OK, "second-token")] {
        let answer = match refused {
            OK => r#"{"code":401,"msg":"expired first-token","data":null}"#,
            _ => "",
        };
        let request = rest.answers(refused, answer).await;
        assert!(
            request
                .to_lowercase()
                .contains(&format!("x-token: {expected}")),
            "{request}"
        );
        let request = rest.answers(OK, "second-token").await;
        assert!(request.starts_with("POST /login"), "{request}");
        let request = rest.answers("503 Later", "").await;
        assert!(
            request.to_lowercase().contains("x-token: second-token"),
            "{request}"
        );
    }
    rest.answers(OK, FAULT).await;
    lab.resynced(1).await;
}

#[tokio::test]
async fn a_request_that_uses_nothing_of_the_sign_in_does_not_sign_in_again() {
    let (lab, rest) = (Lab::new(AckMode::Auto).await, Rest::bind().await);
    let _server = lab.accept_session("0,0").await;
    lab.until(|status| status.link().state.is_ready()).await;
    let step = Step {
        url: rest.url("/login").parse().unwrap(),
        method: StepMethod::Post(BodyTemplate::Empty),
        headers: Vec::new(),
        expect: None,
        extract: Vec::new(),
    };
    let (signs_in, signed_in) = (lab.accept_session("0,0"), rest.answers(OK, ""));
    lab.wants(Settings {
        signin: Some(Signin {
            steps: vec![step],
            timeout: Duration::from_secs(10),
            redacted: Vec::new(),
        }),
        ..lab.with_resync(Some(rest.resync()))
    });
    let (_server, signed_in) = tokio::join!(signs_in, signed_in);
    assert!(signed_in.starts_with("POST /login"), "{signed_in}");
    rest.answers("401 Unauthorized", "").await;
    lab.until(|status| status.resyncs()["map-1"].failures == 1)
        .await;
    let trouble = lab.report().trouble.unwrap();
    assert!(
        trouble.contains("nothing in the request comes from"),
        "{trouble}"
    );
    // The next request is for the snapshot again.
    let request = rest.answers(OK, FAULT).await;
    assert!(request.starts_with("GET /devices"), "{request}");
}

#[tokio::test]
async fn other_names_ask_for_no_snapshot() {
    let (lab, rest) = (Lab::new(AckMode::Auto).await, Rest::bind().await);
    let _server = lab.accept_session("0,0").await;
    lab.until(|status| status.link().state.is_ready()).await;
    lab.resyncs_by(Some(rest.resync()));
    rest.answers(OK, NORMAL).await;
    lab.resynced(1).await;
    let mut names = Names::default();
    names.add(Named::Device("1/7"), Label::default());
    lab.wants_with(
        lab.with_resync(Some(rest.resync())),
        Some(Arc::new(names)),
        "/data",
    );
    rest.is_not_asked().await;
    // Another mapping may read something else.
    lab.wants_with(lab.with_resync(Some(rest.resync())), None, "/rows");
    rest.answers(OK, r#"{"rows":[]}"#).await;
    lab.resynced(2).await;
}

#[tokio::test]
async fn between_gaps_only_what_differs_is_an_event() {
    let (lab, rest) = (Lab::new(AckMode::Auto).await, Rest::bind().await);
    lab.resyncs_by(Some(Resync {
        every: Some(Duration::from_millis(10)),
        ..rest.resync()
    }));
    let _server = lab.accept_session("0,0").await;
    for body in [NORMAL, NORMAL, FAULT, FAULT, NORMAL] {
        rest.answers(OK, body).await;
    }
    lab.resynced(5).await;
    let said = [
        "resync after nothing",
        "resync after 正常",
        "resync after 故障",
    ];
    lab.says(&said).await;
}

#[tokio::test]
async fn on_a_quiet_link_each_snapshot_is_of_its_own_request_and_a_gap_begins_no_earlier() {
    let (lab, rest) = (Lab::new(AckMode::Auto).await, Rest::bind().await);
    lab.resyncs_by(Some(Resync {
        every: Some(Duration::from_millis(10)),
        ..rest.resync()
    }));
    let server = lab.accept_session("0,0").await;
    let mut bounds = Vec::new();
    for (number, body) in [NORMAL, FAULT, NORMAL].into_iter().enumerate() {
        // The next request begins once the answer before is taken in.
        let not_before = Timestamp::now();
        lab.resynced(number as u64).await;
        let asked = rest.asked().await;
        bounds.push((not_before, Timestamp::now()));
        asked.answer(OK, body).await;
    }
    lab.resynced(3).await;
    let resynced = |log: &[Entry]| -> Vec<Timestamp> {
        let resynced = log
            .iter()
            .filter(|entry| entry.content.kind() == EntryKind::Resync);
        resynced.map(|entry| entry.received_at).collect()
    };
    let journaled = async {
        while resynced(&lab.log().await).len() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(journaled).await;
    let times = resynced(&lab.log().await);
    let whole = |at: Timestamp| Timestamp::from_microsecond(at.as_microsecond()).unwrap();
    for (at, (not_before, not_after)) in times.iter().zip(&bounds).skip(1) {
        assert!(
            (whole(*not_before)..=*not_after).contains(at),
            "{at} of {times:?}, not within {bounds:?}"
        );
    }
    // A crash now would be a gap from then on.
    let left = lab.journal.log.heard().await.unwrap();
    assert!(left.proven_at >= Some(times[2]), "{left:?}");
    drop(server);
    let lost = async {
        loop {
            let log = lab.log().await;
            let newest = log.iter().filter(|it| it.content == EntryContent::Coverage);
            match newest.last().map(coverage) {
                Some(last) if !last.heard => break last,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let lost = within(lost).await;
    assert!(lost.at >= times[2], "{lost:?} begins before {times:?}");
}

#[tokio::test]
async fn a_reload_brings_changes_and_ends_snapshots_on_the_living_connection() {
    let (lab, rest) = (
        Lab::new(AckMode::ClientIndividual).await,
        Rest::bind().await,
    );
    let mut server = lab.accept_session("0,0").await;
    lab.until(|status| status.link().state.is_ready()).await;
    lab.resyncs_by(Some(rest.resync()));
    rest.answers(OK, NORMAL).await;
    lab.resynced(1).await;
    let posted = Resync {
        method: StepMethod::Post(BodyTemplate::Empty),
        every: Some(Duration::from_millis(10)),
        ..rest.resync()
    };
    lab.resyncs_by(Some(posted));
    let request = rest.answers(OK, FAULT).await;
    assert!(request.starts_with("POST"), "{request}");
    // One that is in flight is dropped with the rest.
    let asked = rest.asked().await;
    lab.resyncs_by(None);
    lab.until(|status| status.resyncs().is_empty()).await;
    asked.answer(OK, NORMAL).await;
    rest.is_not_asked().await;
    server.message(0, BODY).await;
    assert_eq!(
        server.frame().await,
        "ACK\nid:a0\n\n",
        "the connection is the same"
    );
    assert_eq!(lab.status.counters.connections.load(Relaxed), 1);
    let said = lab.said().await;
    assert_eq!(said[..2], ["resync after nothing", "resync after 正常"]);
}

#[tokio::test]
async fn a_server_that_confirms_nothing_is_taken_for_subscribed_first() {
    let (lab, rest) = (Lab::new(AckMode::Auto).await, Rest::bind().await);
    lab.resyncs_by(Some(rest.resync()));
    let mut server = lab.accept_connection("0,0").await;
    server.frame().await;
    rest.is_not_asked().await;
    server.message(0, BODY).await;
    rest.answers(OK, FAULT).await;
    lab.resynced(1).await;
    drop(server);
    let mut server = lab.accept_connection("0,0").await;
    server.frame().await;
    // Nor a message comes.
    rest.answers(OK, FAULT).await;
    lab.resynced(2).await;
}

#[tokio::test]
async fn a_snapshot_of_many_devices_lets_messages_through() {
    const COUNT: usize = 5_000;
    let (lab, rest) = (
        Lab::new(AckMode::ClientIndividual).await,
        Rest::bind().await,
    );
    lab.resyncs_by(Some(rest.resync()));
    let mut server = lab.accept_session("0,0").await;
    let device = |id: usize| format!(r#"{{"clientId":2,"deviceId":{id},"newState":"正常"}}"#);
    let devices: Vec<String> = (0..COUNT).map(device).collect();
    let body = format!(r#"{{"data":[{}]}}"#, devices.join(","));
    rest.answers(OK, &body).await;
    for id in 0..20 {
        server.message(id, BODY).await;
        assert_eq!(server.frame().await, format!("ACK\nid:a{id}\n\n"));
    }
    lab.resynced(1).await;
    let journaled = async {
        while lab.journal.log.status().resynced < COUNT as u64 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(journaled).await;
    assert_eq!(lab.journal.log.status().accepted, 20);
}
