//! Webhooks and what stands at the other end: nginx with its answers and certificates, and receivers
//! whose answers do not end, are cut, come in pieces or compressed.

use std::collections::VecDeque;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use peers::certificates;
use peers::nginx::{Nginx, Speaks};
use stomp_bridge::sinks::webhook::Settings;
use stomp_bridge::sinks::{By, Trouble};
use stomp_bridge::tls;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use crate::events::{batch, event, events};
use crate::webhook::{Receiver, attempt, read_request, robot, settings, trouble, webhook};

/// What a server by hand does behind an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// Reads the next request.
    Reads,
    /// Keeps the connection, and does nothing.
    Hangs,
    /// Closes the connection.
    Closes,
    /// The same by RST.
    Resets,
}

/// The bytes of an answer, and what is done behind it.
type Answer = (Vec<u8>, Then);

/// Answers by a script. Gives its address, and how many requests it has read.
async fn by_hand(script: Vec<Answer>) -> (SocketAddr, Arc<Mutex<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let script = Arc::new(Mutex::new(VecDeque::from(script)));
    let requests = Arc::new(Mutex::new(0));
    let read = Arc::clone(&requests);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, Arc::clone(&script), Arc::clone(&read)));
        }
    });
    (address, requests)
}

async fn serve(
    stream: TcpStream,
    script: Arc<Mutex<VecDeque<Answer>>>,
    requests: Arc<Mutex<usize>>,
) {
    let mut stream = BufReader::new(stream);
    while read_request(&mut stream).await {
        *requests.lock().unwrap() += 1;
        let next = script.lock().unwrap().pop_front();
        let (answer, then) = next.expect("no request more than the script has");
        stream.write_all(&answer).await.unwrap();
        stream.flush().await.unwrap();
        match then {
            Then::Reads => {}
            Then::Hangs => std::future::pending().await,
            Then::Closes => return,
            Then::Resets => return stream.get_ref().set_zero_linger().unwrap(),
        }
    }
}

fn gzip(text: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

/// An answer whose body is compressed, whatever was asked for.
fn gzipped(text: &str) -> Vec<u8> {
    let body = gzip(text);
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    );
    [head.into_bytes(), body].concat()
}

/// Heads of 2xx, with bodies that end, do not end, and are cut.
fn confirming() -> Vec<Answer> {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let long = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nok";
    let text = |answer: &str, then| (answer.as_bytes().to_vec(), then);
    vec![
        text(
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            Then::Reads,
        ),
        text(
            "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n",
            Then::Reads,
        ),
        text("HTTP/1.1 204 No Content\r\n\r\n", Then::Reads),
        text("HTTP/1.1 204\r\n\r\n", Then::Reads),
        text("HTTP/1.1 200 OK\ncontent-length: 2\n\nok", Then::Reads),
        text(
            &format!("{chunked}2\r\nok\r\n1;x=y\r\n!\r\n0\r\nx: y\r\n\r\n"),
            Then::Reads,
        ),
        text(&format!("{chunked}2\r\nok\r\n"), Then::Hangs),
        text(&format!("{chunked}2\r\nok\r\n"), Then::Closes),
        text(&format!("{chunked}zz\r\n"), Then::Hangs),
        text(chunked, Then::Resets),
        text(long, Then::Hangs),
        text(long, Then::Closes),
        text(long, Then::Resets),
        text("HTTP/1.0 200 OK\r\n\r\nok", Then::Closes),
        text("HTTP/1.0 200 OK\r\n\r\nok", Then::Hangs),
        text(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n\
             HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            Then::Reads,
        ),
        (gzipped("ok"), Then::Reads),
        (
            gzipped("ok").split_last_chunk::<5>().unwrap().0.to_vec(),
            Then::Hangs,
        ),
    ]
}

#[tokio::test]
async fn the_head_confirms_whatever_becomes_of_the_body() {
    let script = confirming();
    let count = script.len();
    let (address, requests) = by_hand(script.clone()).await;
    let sink = webhook(settings(address)).await;
    for (position, (answer, then)) in (1..).zip(&script) {
        let attempted = attempt(&*sink, &[event(position)]).await;
        let answer = String::from_utf8_lossy(answer);
        assert_eq!(attempted, Ok(()), "{answer:?}, then it {then:?}");
    }
    assert_eq!(*requests.lock().unwrap(), count, "each event once");
}

#[tokio::test]
async fn what_is_no_2xx_says_when_it_is_tried_again() {
    let text = |answer: &str| (answer.as_bytes().to_vec(), Then::Reads);
    let (address, requests) = by_hand(vec![
        text("HTTP/1.1 429 Too Many Requests\r\nretry-after: 1.234\r\ncontent-length: 0\r\n\r\n"),
        text("HTTP/1.1 302 Found\r\nlocation: /x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    ])
    .await;
    let sink = webhook(settings(address)).await;
    let answered = async || attempt(&*sink, &[event(1)]).await.unwrap_err();
    let Trouble::Retry { after, .. } = answered().await else {
        panic!("429 is the receiver's trouble")
    };
    assert_eq!(after, Some(Duration::from_millis(1234)));
    let moved = answered().await;
    assert!(
        matches!(&moved, Trouble::Retry { error, after: None } if error.contains("set `url` to")),
        "{moved:?}"
    );
    assert_eq!(*requests.lock().unwrap(), 2);
}

/// A receiver may compress its answers though it is asked not to.
#[tokio::test]
async fn a_compressed_answer_is_judged_by_what_it_says() {
    let refused = r#"{"errcode":310000,"errmsg":"keywords not in content"}"#;
    let cut = gzipped(r#"{"errcode":0,"errmsg":"ok"}"#);
    let bomb = gzipped(&" ".repeat(8 << 20));
    let (address, requests) = by_hand(vec![
        (gzipped(r#"{"errcode":0,"errmsg":"ok"}"#), Then::Reads),
        (gzipped(refused), Then::Reads),
        (cut[..cut.len() - 20].to_vec(), Then::Closes),
        (bomb, Then::Closes),
    ])
    .await;
    let sink = webhook(Settings {
        answers: robot(),
        ..settings(address)
    })
    .await;
    let answered = async || attempt(&*sink, &[event(1)]).await;
    assert_eq!(answered().await, Ok(()));
    let rejected = answered().await;
    assert!(
        matches!(&rejected, Err(Trouble::Refused { by: By::Them, error, .. })
            if error.contains("keywords not in content")),
        "{rejected:?}"
    );
    for _ in 0..2 {
        let unreadable = answered().await;
        assert!(
            matches!(&unreadable, Err(Trouble::Unclear { error })
                if error.ends_with("wants \"/errcode\" = 0: a text in gzip")),
            "{unreadable:?}"
        );
    }
    assert_eq!(*requests.lock().unwrap(), 4);
}

#[tokio::test]
async fn nginx_before_a_receiver_that_is_away_is_waited_for() {
    let away = crate::servers::free_port();
    let nginx = Nginx::start(away, Speaks::Clear, "").await;
    let url = nginx.before(&format!("http://127.0.0.1:{away}/hook"));
    let mut sink = webhook(Settings {
        url: Url::parse(&url).unwrap().into(),
        ..settings(SocketAddr::from(([127, 0, 0, 1], away)))
    })
    .await;
    let Trouble::Retry { error, .. } = trouble(sink.attempt(batch(&[event(1)])).await) else {
        panic!("nginx's own answer is the event's")
    };
    assert!(error.contains("answered 502"), "{error}");
}

#[tokio::test]
async fn a_receiver_with_a_certificate_of_its_own_is_believed_by_ca_file_alone() {
    let receiver = Receiver::default();
    let plain = receiver.start().await;
    let url = plain.url.of(&event(1).into()).unwrap();
    let nginx = Nginx::start(url.port().unwrap(), Speaks::Http2, "").await;
    let url = Url::parse(&nginx.before(url.as_str())).unwrap().into();
    let settings = Settings { url, ..plain };
    let mut stranger = webhook(settings.clone()).await;
    let attempted = trouble(stranger.attempt(batch(&[event(1)])).await);
    for trouble in [attempted, stranger.idle().await.unwrap_err()] {
        assert!(
            matches!(&trouble, Trouble::Retry { error, .. } if error.contains("set ca_file")),
            "{trouble:?}"
        );
    }
    assert_eq!(receiver.requests().len(), 0);
    let tls = stomp_bridge::tls::Settings {
        ca_file: Some(peers::certificates::path("ca.pem")),
        ..stomp_bridge::tls::Settings::default()
    };
    let mut known = webhook(Settings { tls, ..settings }).await;
    known.attempt(batch(&events(1..=3))).await.unwrap();
    assert_eq!(known.idle().await, Ok(()));
    assert_eq!(receiver.requests().len(), 3);
}

fn believing(own: Option<&str>) -> tls::Settings {
    let file = |end: &str| own.map(|name| certificates::path(&format!("{name}.{end}")));
    tls::Settings {
        ca_file: Some(certificates::path("ca.pem")),
        cert_file: file("pem"),
        key_file: file("key"),
    }
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_gets_ours_and_without_one_no_event_is_lost() {
    let receiver = Receiver::default();
    let plain = receiver.start().await;
    let url = plain.url.of(&event(1).into()).unwrap();
    let nginx = Nginx::start(url.port().unwrap(), Speaks::Known, "").await;
    let url = Url::parse(&nginx.before(url.as_str())).unwrap();
    let to = |url: &Url, own| Settings {
        url: url.clone().into(),
        tls: believing(own),
        ..plain.clone()
    };
    let mut clear = url.clone();
    clear.set_scheme("http").unwrap();
    // nginx says each with 400, as a receiver says that an event is bad.
    for (url, own, expected) in [
        (&url, None, "set tls.cert_file and tls.key_file"),
        (&url, Some("expired"), "set tls.cert_file and tls.key_file"),
        (&clear, None, "write https:// in `url`"),
    ] {
        let mut sink = webhook(to(url, own)).await;
        let attempted = trouble(sink.attempt(batch(&[event(1)])).await);
        assert!(
            matches!(&attempted, Trouble::Retry { error, .. }
                if error.contains("answered 400") && error.contains(expected)),
            "{own:?}: {attempted:?}"
        );
    }
    assert_eq!(receiver.requests().len(), 0);
    let mut sink = webhook(to(&url, Some("client"))).await;
    sink.attempt(batch(&events(1..=3))).await.unwrap();
    assert_eq!(receiver.requests().len(), 3);
    // What nginx passes on is the receiver's own.
    receiver.answers(400, &[], "no such device");
    let refused = trouble(sink.attempt(batch(&[event(4)])).await);
    assert!(
        matches!(refused, Trouble::Refused { by: By::Them, .. }),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_is_too_large_for_nginx_is_that_event_alone() {
    let receiver = Receiver::default();
    let plain = receiver.start().await;
    let url = plain.url.of(&event(1).into()).unwrap();
    let lines = "client_max_body_size 4k;\n";
    let nginx = Nginx::start(url.port().unwrap(), Speaks::Clear, lines).await;
    let mut sink = webhook(Settings {
        url: Url::parse(&nginx.before(url.as_str())).unwrap().into(),
        ..plain
    })
    .await;
    let mut three = events(1..=3);
    three[1].place.detail = Some("x".repeat(5000));
    let failed = sink.attempt(batch(&three)).await.unwrap_err();
    assert_eq!(failed.confirmed, 1);
    let Trouble::Refused {
        by: By::Them,
        error,
        ..
    } = failed.trouble
    else {
        panic!("{:?}", failed.trouble)
    };
    assert!(error.contains("answered 413"), "{error}");
    sink.attempt(batch(&three[2..])).await.unwrap();
    assert_eq!(receiver.requests().len(), 2);
}
