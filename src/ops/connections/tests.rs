//! Clients that mean no good, on loopback, against limits of milliseconds where one must pass.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Barrier, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::super::activity::Patience;
use super::*;

/// Nothing here takes this long, unless it hangs.
const HANGS: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_millis(100);
/// Requests that follow each other come sooner, on a busy machine too.
const LATER: Duration = Duration::from_secs(3);
/// A deadline that no test reaches.
const NEVER: Duration = Duration::from_secs(3600);
const SMALL: Limits = Limits {
    connections_max: 4,
    reserved: 1,
    stop: NEVER,
};
const PATIENT: Patience = Patience {
    head: NEVER,
    body: NEVER,
    idle: NEVER,
    answer: NEVER,
    close: NEVER,
};

struct Served {
    address: SocketAddr,
    stop: CancellationToken,
    running: JoinHandle<()>,
    /// Requests of /hang are answered as permits come.
    hanging: Arc<Semaphore>,
    /// Two wait here: a request of /hang, and the test.
    arrived: Arc<Barrier>,
}

/// `/ok` and `/probe` answer at once, `/hang` when it may, `/read` when it has the body, `/long` with
/// more than sockets hold.
async fn serve(limits: Limits, patience: Patience) -> Served {
    let (hanging, arrived) = (Arc::new(Semaphore::new(0)), Arc::new(Barrier::new(2)));
    let hang = {
        let (hanging, arrived) = (hanging.clone(), arrived.clone());
        move || async move {
            arrived.wait().await;
            hanging.acquire().await.unwrap().forget();
            "at last"
        }
    };
    let router = Router::new()
        .route("/ok", get(async || "ok"))
        .route("/probe", get(async || "well"))
        .route("/long", get(async || vec![b'x'; 64 * 1024 * 1024]))
        .route("/hang", get(hang))
        .route("/read", post(async |body: Bytes| body));
    let stop = CancellationToken::new();
    let site = Site {
        router,
        reserved_paths: &["/probe"],
        refuse: || StatusCode::SERVICE_UNAVAILABLE.into_response(),
        patience,
        tls: None,
        stop: stop.clone(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Served {
        address: listener.local_addr().unwrap(),
        stop,
        running: tokio::spawn(Connections::new(site, limits).run(listener)),
        hanging,
        arrived,
    }
}

impl Served {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A connection whose request is being handled.
    async fn hang(&self) -> TcpStream {
        let mut stream = self.connect().await;
        send(&mut stream, "/hang").await;
        timeout(HANGS, self.arrived.wait()).await.unwrap();
        stream
    }

    async fn end(self) {
        self.stop.cancel();
        timeout(HANGS, self.running).await.unwrap().unwrap();
    }
}

async fn send(stream: &mut TcpStream, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
}

/// The head of an answer; its body too, where that came with it.
async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|four| four == b"\r\n\r\n") {
        let read = timeout(HANGS, stream.read_buf(&mut bytes)).await;
        assert_ne!(read.unwrap().unwrap(), 0, "closed without an answer");
    }
    String::from_utf8(bytes).unwrap()
}

async fn ask(stream: &mut TcpStream, path: &str) -> String {
    send(stream, path).await;
    answer(stream).await
}

/// Waits for the server to close, in order or not.
async fn closed(stream: &mut TcpStream) {
    let read = timeout(HANGS, stream.read(&mut [0; 64])).await.unwrap();
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

#[tokio::test]
async fn kept_connection_is_answered_several_times_and_ends_when_idle() {
    let idle = Patience {
        idle: LATER,
        ..PATIENT
    };
    let served = serve(SMALL, idle).await;
    let mut stream = served.connect().await;
    for _ in 0..3 {
        assert!(ask(&mut stream, "/ok").await.ends_with("\r\n\r\nok"));
    }
    closed(&mut stream).await;
    served.end().await;
}

#[tokio::test]
async fn head_that_comes_byte_by_byte_is_cut() {
    let hasty = Patience {
        head: SOON,
        ..PATIENT
    };
    let served = serve(SMALL, hasty).await;
    closed(&mut served.connect().await).await;
    let (mut reader, mut writer) = served.connect().await.into_split();
    let trickle = async {
        let mut pace = tokio::time::interval(SOON / 20);
        while writer.write_all(b"G").await.is_ok() {
            pace.tick().await;
        }
    };
    let end = async {
        let read = reader.read(&mut [0; 64]).await;
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    };
    timeout(HANGS, async { tokio::join!(trickle, end) })
        .await
        .unwrap();
    served.end().await;
}

#[tokio::test]
async fn head_that_is_too_long_is_refused() {
    let served = serve(SMALL, PATIENT).await;
    let line = format!("X-Cookie: {}\r\n", "x".repeat(1000));
    for many in [line.repeat(40), "X: y\r\n".repeat(100)] {
        let mut stream = served.connect().await;
        let head = format!("GET /ok HTTP/1.1\r\n{many}\r\n");
        // It may be refused before all of it is written.
        let _ = stream.write_all(head.as_bytes()).await;
        let answer = answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    served.end().await;
}

#[tokio::test]
async fn client_that_does_not_read_its_answer_is_cut() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (stream, peer) = listener.accept().await.unwrap();
    let site = Site {
        router: Router::new().route("/long", get(async || vec![b'x'; 64 * 1024 * 1024])),
        reserved_paths: &[],
        refuse: || StatusCode::SERVICE_UNAVAILABLE.into_response(),
        patience: Patience {
            answer: SOON,
            ..PATIENT
        },
        tls: None,
        stop: CancellationToken::new(),
    };
    send(&mut client, "/long").await;
    let connection = Connection::new(stream, peer, Admission::Full);
    timeout(HANGS, connection.serve(site)).await.unwrap();
    let mut came = Vec::new();
    let _ = client.read_to_end(&mut came).await;
    assert!(
        came.len() < 64 * 1024 * 1024,
        "the sockets held the whole answer"
    );
}

#[tokio::test]
async fn clients_that_only_hold_connections_make_room_for_others() {
    let served = serve(SMALL, PATIENT).await;
    let mut idle = Vec::new();
    for half in ["", "GET /ok HT", "", "GET", "", "", "G", ""] {
        let mut stream = served.connect().await;
        stream.write_all(half.as_bytes()).await.unwrap();
        idle.push(stream);
        assert!(
            ask(&mut served.connect().await, "/ok")
                .await
                .contains(" 200 ")
        );
    }
    closed(&mut idle[0]).await;
    served.end().await;
}

/// Posts so many bytes of a body of ten.
async fn post_part(stream: &mut TcpStream, bytes: usize) {
    let head = "POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n";
    let part = "0123456789".split_at(bytes).0;
    let request = format!("{head}{part}");
    stream.write_all(request.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn clients_that_owe_a_body_make_room_for_others_too() {
    let served = serve(SMALL, PATIENT).await;
    let mut owing = Vec::new();
    for bytes in [0, 1, 9, 0, 5, 1, 0, 9] {
        let mut stream = served.connect().await;
        post_part(&mut stream, bytes).await;
        owing.push(stream);
        let mut other = served.connect().await;
        post_part(&mut other, 10).await;
        assert!(answer(&mut other).await.ends_with("0123456789"));
        assert!(ask(&mut other, "/ok").await.contains(" 200 "));
    }
    closed(&mut owing[0]).await;
    drop(owing);
    served.end().await;
}

#[tokio::test]
async fn body_that_comes_byte_by_byte_is_cut() {
    let hasty = Patience {
        body: SOON,
        ..PATIENT
    };
    let served = serve(SMALL, hasty).await;
    let mut silent = served.connect().await;
    post_part(&mut silent, 0).await;
    closed(&mut silent).await;
    let mut slow = served.connect().await;
    let head = "POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n";
    slow.write_all(head.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = slow.into_split();
    let trickle = async {
        let mut pace = tokio::time::interval(SOON / 20);
        while writer.write_all(b"x").await.is_ok() {
            pace.tick().await;
        }
    };
    let end = async {
        let read = reader.read(&mut [0; 64]).await;
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    };
    timeout(HANGS, async { tokio::join!(trickle, end) })
        .await
        .unwrap();
    served.end().await;
}

#[tokio::test]
async fn the_last_connections_answer_probes_alone() {
    let served = serve(SMALL, PATIENT).await;
    let mut busy = Vec::new();
    for _ in 0..3 {
        busy.push(served.hang().await);
    }
    for _ in 0..2 {
        let mut probe = served.connect().await;
        let answer = ask(&mut probe, "/probe").await;
        assert!(
            answer.contains(" 200 ") && answer.contains("connection: close"),
            "{answer}"
        );
        drop(probe);
        let mut other = served.connect().await;
        let answer = ask(&mut other, "/ok").await;
        assert!(answer.contains(" 503 "), "{answer}");
        closed(&mut other).await;
    }
    served.hanging.add_permits(3);
    for stream in &mut busy {
        assert!(answer(stream).await.ends_with("at last"));
    }
    let mut stream = served.connect().await;
    assert!(ask(&mut stream, "/ok").await.contains(" 200 "));
    served.end().await;
}

#[tokio::test]
async fn probes_do_not_cut_each_other_while_reserved_places_are_free() {
    let limits = Limits {
        connections_max: 6,
        reserved: 3,
        ..SMALL
    };
    let served = serve(limits, PATIENT).await;
    let mut handled = Vec::new();
    for _ in 0..3 {
        handled.push(served.hang().await);
    }
    // The first has sent half of its request when the second one comes.
    let mut first = served.connect().await;
    first.write_all(b"GET /probe HTTP/1.1\r\n").await.unwrap();
    let mut second = served.connect().await;
    assert!(ask(&mut second, "/probe").await.starts_with("HTTP/1.1 200"));
    first.write_all(b"Host: localhost\r\n\r\n").await.unwrap();
    assert!(answer(&mut first).await.starts_with("HTTP/1.1 200"));
    drop((first, second));
    served.hanging.add_permits(handled.len());
    for stream in &mut handled {
        assert!(answer(stream).await.ends_with("at last"));
    }
    drop(handled);
    served.end().await;
}

#[tokio::test]
async fn client_that_has_said_all_it_wants_still_gets_its_answer() {
    let served = serve(SMALL, PATIENT).await;
    for _ in 0..20 {
        let mut stream = served.connect().await;
        send(&mut stream, "/ok").await;
        stream.shutdown().await.unwrap();
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200"));
    }
    served.end().await;
}

#[tokio::test]
async fn stop_ends_idle_connections_at_once_and_waits_for_requests() {
    let served = serve(SMALL, PATIENT).await;
    let mut silent = served.connect().await;
    let mut idle = served.connect().await;
    ask(&mut idle, "/ok").await;
    let mut busy = served.hang().await;
    served.stop.cancel();
    closed(&mut silent).await;
    closed(&mut idle).await;
    assert!(!served.running.is_finished(), "a request is being answered");
    served.hanging.add_permits(1);
    assert!(answer(&mut busy).await.ends_with("at last"));
    closed(&mut busy).await;
    drop(busy);
    served.end().await;
}

#[tokio::test]
async fn stop_does_not_wait_long_for_a_request() {
    let served = serve(
        Limits {
            stop: SOON,
            ..SMALL
        },
        PATIENT,
    )
    .await;
    let mut busy = served.hang().await;
    served.stop.cancel();
    closed(&mut busy).await;
    served.end().await;
}

#[tokio::test(start_paused = true)]
async fn trouble_with_accept_is_waited_out_and_logged_now_and_then() {
    let site = Site {
        router: Router::new(),
        reserved_paths: &[],
        refuse: || StatusCode::SERVICE_UNAVAILABLE.into_response(),
        patience: PATIENT,
        tls: None,
        stop: CancellationToken::new(),
    };
    let mut connections = Connections::new(site, SMALL);
    let start = Instant::now();
    connections.accepted(Err(io::ErrorKind::ConnectionAborted.into()));
    assert!(connections.accept_from <= start, "that one client is gone");
    let too_many_files = || io::Error::from_raw_os_error(24);
    connections.accepted(Err(too_many_files()));
    assert_eq!(connections.accept_from, start + ACCEPT_PAUSE);
}
