//! The demo broker over real sockets, against a client that knows no more of STOMP than what it
//! says byte by byte.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use stomp_bridge::demo::{Broker, Devices, Message, Publisher};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, protocol::CloseFrame};
use tokio_tungstenite::{WebSocketStream, client_async};
use tokio_util::sync::CancellationToken;

/// Whatever is awaited comes within this time or not at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// Long enough for a busy machine to miss none.
const BEAT: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    Tcp,
    WebSocket,
    SockJsRaw,
    SockJs,
}

const EVERY: [Over; 4] = [Over::Tcp, Over::WebSocket, Over::SockJsRaw, Over::SockJs];

struct Served {
    address: SocketAddr,
    publisher: Publisher,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

async fn serve() -> Served {
    let broker = Broker::bind((Ipv4Addr::LOCALHOST, 0).into())
        .await
        .unwrap()
        .with_heartbeat(BEAT);
    let address = broker.url_stomp().socket_addrs(|| None).unwrap()[0];
    assert_eq!(broker.url_ws().as_str(), format!("ws://{address}/wxServer"));
    assert_eq!(
        broker.url_sockjs().as_str(),
        format!("http://{address}/webSocketServer")
    );
    let (publisher, stop) = (broker.publisher(), CancellationToken::new());
    let running = tokio::spawn(broker.run(stop.clone()));
    Served {
        address,
        publisher,
        stop,
        running,
    }
}

enum Socket {
    Tcp(TcpStream),
    WebSocket(Box<WebSocketStream<TcpStream>>),
}

/// Reads and writes the STOMP stream as text.
struct Client {
    socket: Socket,
    over: Over,
    /// What has come and was not asked for yet.
    text: String,
    /// SockJS's frames that are not STOMP's, and a WebSocket's close code.
    marks: Vec<String>,
}

impl Client {
    async fn open(address: SocketAddr, over: Over) -> Client {
        let stream = TcpStream::connect(address).await.unwrap();
        let path = match over {
            Over::Tcp => {
                return Client {
                    socket: Socket::Tcp(stream),
                    over,
                    text: String::new(),
                    marks: Vec::new(),
                };
            }
            Over::WebSocket => "/wxServer",
            Over::SockJsRaw => "/webSocketServer/websocket",
            Over::SockJs => "/webSocketServer/042/s3ss10n/websocket",
        };
        let mut request = format!("ws://{address}{path}")
            .into_client_request()
            .unwrap();
        if over != Over::SockJs {
            let protocols = "v10.stomp, v11.stomp, v12.stomp";
            request
                .headers_mut()
                .insert("sec-websocket-protocol", protocols.parse().unwrap());
        }
        let (socket, response) = client_async(request, stream).await.unwrap();
        let protocol = response
            .headers()
            .get("sec-websocket-protocol")
            .map(|value| value.to_str().unwrap());
        assert_eq!(protocol, (over != Over::SockJs).then_some("v12.stomp"));
        Client {
            socket: Socket::WebSocket(Box::new(socket)),
            over,
            text: String::new(),
            marks: Vec::new(),
        }
    }

    /// Open, and CONNECTED with 1.2.
    async fn connected(address: SocketAddr, over: Over, heart_beat: &str) -> Client {
        let mut client = Client::open(address, over).await;
        client
            .send(&format!(
                "CONNECT\naccept-version:1.2,1.1,1.0\nhost:/\nheart-beat:{heart_beat}\n\n\0"
            ))
            .await;
        let connected = client.frame().await;
        assert!(
            connected.starts_with("CONNECTED\nversion:1.2\nheart-beat:1000,1000\n"),
            "{over:?} {connected}"
        );
        client
    }

    async fn send(&mut self, text: &str) {
        match &mut self.socket {
            Socket::Tcp(stream) => stream.write_all(text.as_bytes()).await.unwrap(),
            Socket::WebSocket(socket) => {
                let text = match self.over {
                    Over::SockJs => serde_json::to_string(&[text]).unwrap(),
                    _ => text.to_owned(),
                };
                socket.send(tungstenite::Message::text(text)).await.unwrap();
            }
        }
    }

    /// More of the stream; false at its end.
    async fn read(&mut self) -> bool {
        match &mut self.socket {
            Socket::Tcp(stream) => {
                let mut chunk = vec![0; 64 * 1024];
                let length = timeout(PATIENCE, stream.read(&mut chunk))
                    .await
                    .unwrap()
                    .unwrap();
                self.text
                    .push_str(std::str::from_utf8(&chunk[..length]).unwrap());
                length > 0
            }
            Socket::WebSocket(socket) => match timeout(PATIENCE, socket.next()).await.unwrap() {
                Some(Ok(tungstenite::Message::Text(text))) => {
                    match (self.over, text.strip_prefix('a')) {
                        (Over::SockJs, Some(array)) => {
                            self.text.push_str(
                                &serde_json::from_str::<Vec<String>>(array).unwrap().concat(),
                            );
                        }
                        (Over::SockJs, None) => self.marks.push(text.to_string()),
                        _ => self.text.push_str(&text),
                    }
                    true
                }
                Some(Ok(tungstenite::Message::Close(Some(CloseFrame { code, .. })))) => {
                    self.marks.push(u16::from(code).to_string());
                    true
                }
                Some(Ok(other)) => panic!("unexpected {other:?}"),
                Some(Err(error)) => panic!("{error}"),
                None => false,
            },
        }
    }

    /// The next frame, without its NUL and the heart-beats before it.
    async fn frame(&mut self) -> String {
        loop {
            if let Some((frame, rest)) = self.text.split_once('\0') {
                let frame = frame.trim_start_matches('\n').to_owned();
                self.text = rest.to_owned();
                return frame;
            }
            assert!(
                self.read().await,
                "the stream ended; it held {:?}",
                self.text
            );
        }
    }

    /// Until a heart-beat stands where a frame would begin.
    async fn beat(&mut self) {
        while !self.text.starts_with('\n') {
            assert!(self.text.is_empty(), "not a heart-beat: {:?}", self.text);
            assert!(self.read().await, "the stream ended");
        }
        self.text.remove(0);
    }

    /// The stream ends without another frame.
    async fn ended(mut self) -> Vec<String> {
        while self.read().await {}
        assert_eq!(self.text.trim_matches('\n'), "");
        self.marks
    }
}

fn hello(destination: &str) -> Message {
    Message::json(destination, r#"{"state":"故障"}"#)
}

#[tokio::test]
async fn every_transport_carries_a_whole_conversation() {
    let served = serve().await;
    for over in EVERY {
        let mut client = Client::connected(served.address, over, "0,0").await;
        client
            .send("SUBSCRIBE\nid:map-1\ndestination:/topic/a\nreceipt:r1\n\n\0")
            .await;
        assert_eq!(
            client.frame().await,
            "RECEIPT\nreceipt-id:r1\n\n",
            "{over:?}"
        );

        assert_eq!(served.publisher.publish(hello("/topic/a")), 1);
        let message = client.frame().await;
        assert!(
            message.starts_with("MESSAGE\ndestination:/topic/a\nsubscription:map-1\nmessage-id:"),
            "{message}"
        );
        assert!(
            message.ends_with(
                "content-type:application/json\ncontent-length:18\n\n{\"state\":\"故障\"}"
            ),
            "{over:?} {message}"
        );
        assert!(!message.contains("\nack:"), "{message}");

        client
            .send("SEND\ndestination:/topic/a\nx:a\\cb\nreceipt:r2\n\nown\0")
            .await;
        let message = client.frame().await;
        assert!(
            message.ends_with("\nx:a\\cb\ncontent-length:3\n\nown"),
            "{over:?} {message}"
        );
        assert_eq!(client.frame().await, "RECEIPT\nreceipt-id:r2\n\n");

        client.send("UNSUBSCRIBE\nid:map-1\nreceipt:r3\n\n\0").await;
        assert_eq!(client.frame().await, "RECEIPT\nreceipt-id:r3\n\n");
        assert_eq!(served.publisher.publish(hello("/topic/a")), 0);

        client.send("DISCONNECT\nreceipt:bye\n\n\0").await;
        assert_eq!(client.frame().await, "RECEIPT\nreceipt-id:bye\n\n");
        let marks = client.ended().await;
        let expected: &[&str] = match over {
            Over::Tcp => &[],
            Over::WebSocket | Over::SockJsRaw => &["1000"],
            Over::SockJs => &["o", r#"c[3000,"Go away!"]"#, "1000"],
        };
        assert_eq!(marks, expected, "{over:?}");
    }
}

#[tokio::test]
async fn messages_to_be_acknowledged_say_how_in_the_clients_version() {
    let served = serve().await;
    // (version, the acknowledgement of a message-id)
    for (version, ack) in [
        ("1.2", "ACK\nid:{}\nreceipt:a\n\n\0"),
        ("1.1", "ACK\nmessage-id:{}\nsubscription:s\nreceipt:a\n\n\0"),
        ("1.0", "ACK\nmessage-id:{}\nreceipt:a\n\n\0"),
    ] {
        let mut client = Client::open(served.address, Over::Tcp).await;
        client
            .send(&format!("CONNECT\naccept-version:{version}\n\n\0"))
            .await;
        assert!(
            client
                .frame()
                .await
                .contains(&format!("\nversion:{version}\n"))
        );
        client
            .send("SUBSCRIBE\nid:s\ndestination:/topic/a\nack:client-individual\nreceipt:r\n\n\0")
            .await;
        client.frame().await;
        served.publisher.publish(hello("/topic/a"));
        let message = client.frame().await;
        let header = |name: &str| {
            message
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        };
        let id = header("message-id").unwrap();
        assert_eq!(header("ack"), (version == "1.2").then_some(id), "{message}");
        client.send(&ack.replace("{}", id)).await;
        assert_eq!(client.frame().await, "RECEIPT\nreceipt-id:a\n\n");
        client.send("DISCONNECT\n\n\0").await;
        client.ended().await;
    }
}

#[tokio::test]
async fn heart_beats_come_over_every_transport() {
    let served = serve().await;
    let beats = EVERY.map(async |over| {
        let mut client = Client::connected(served.address, over, "0,200").await;
        let (start, mut shortest) = (Instant::now(), Duration::MAX);
        for _ in 0..5 {
            let before = Instant::now();
            client.beat().await;
            shortest = shortest.min(before.elapsed());
        }
        // Not all at once. None is too late by itself: a client takes a connection for dead after two
        // intervals.
        assert!(start.elapsed() >= BEAT, "{over:?}: {:?}", start.elapsed());
        assert!(shortest < BEAT * 2, "{over:?}: none before {shortest:?}");
    });
    join_all(beats).await;
}

#[tokio::test]
async fn a_client_that_breaks_its_promise_to_beat_is_cut_and_one_that_keeps_it_stays() {
    let served = serve().await;
    let clients = EVERY.map(async |over| {
        let mut faithful = Client::connected(served.address, over, "1000,1000").await;
        let start = Instant::now();
        let mut silent = Client::connected(served.address, over, "1000,0").await;
        // The server beats faster than we must, so that answering each of its beats is enough.
        let beating = async {
            while start.elapsed() < BEAT * 5 {
                faithful.beat().await;
                faithful.send("\n").await;
            }
            faithful.send("DISCONNECT\nreceipt:still-here\n\n\0").await;
            assert_eq!(
                faithful.frame().await,
                "RECEIPT\nreceipt-id:still-here\n\n",
                "{over:?}"
            );
        };
        let cut = async {
            let error = silent.frame().await;
            assert!(
                start.elapsed() >= BEAT,
                "{over:?}: cut after {:?}",
                start.elapsed()
            );
            assert!(
                error.starts_with("ERROR\nmessage:nothing was heard for 2s\n"),
                "{error}"
            );
            silent.ended().await;
        };
        tokio::join!(beating, cut);
    });
    join_all(clients).await;
}

#[tokio::test]
async fn what_is_wrong_is_answered_with_an_error_and_the_end() {
    let served = serve().await;
    let check = async |connected: &str, wrong: &str, expected: &str| {
        for over in EVERY {
            let mut client = Client::open(served.address, over).await;
            client.send(connected).await;
            if !connected.is_empty() {
                assert!(client.frame().await.starts_with("CONNECTED\n"));
            }
            client.send(wrong).await;
            let error = client.frame().await;
            assert!(
                error.starts_with("ERROR\n") && error.contains(expected),
                "{over:?} {wrong:?}: {error}"
            );
            let marks = client.ended().await;
            let expected: &[&str] = match over {
                Over::Tcp => &[],
                Over::WebSocket | Over::SockJsRaw => &["1002"],
                Over::SockJs => &["o", r#"c[1002,"Connection interrupted"]"#, "1002"],
            };
            assert_eq!(marks, expected, "{over:?} {wrong:?}");
        }
    };
    let connect = "CONNECT\naccept-version:1.2\n\n\0";
    check(
        "",
        "CONNECT\naccept-version:9.9\n\n\0",
        "message:supported protocol versions are 1.0 1.1 1.2",
    )
    .await;
    check(
        "",
        "CONNECT\naccept-version:1.2\nheart-beat:soon\n\n\0",
        "message:heart-beat must be",
    )
    .await;
    check(
        "",
        "SUBSCRIBE\nid:a\n\n\0",
        "message:the first frame must be CONNECT",
    )
    .await;
    check("", "CONVERSE\n\n\0", "message:expected a STOMP command").await;
    check(
        connect,
        "SUBSCRIBE\nid:a\ndestination:/topic/a\nreceipt\n\n\0",
        "message:expected a header",
    )
    .await;
    check(
        connect,
        "SUBSCRIBE\nid:a\ndestination:/nowhere\nreceipt:r\n\n\0",
        "\nreceipt-id:r\n",
    )
    .await;
    check(
        connect,
        "SEND\ndestination:/topic/a\ncontent-length:-1\n\n\0",
        "content-length",
    )
    .await;
    check(
        connect,
        "SEND\ndestination:/topic/a\ncontent-length:1\n\ntwo\0",
        "content-length 1",
    )
    .await;
    check(
        connect,
        "SEND\ndestination:/topic/a\ncontent-length:999999999\n\n",
        "limit",
    )
    .await;
    check(connect, "SEND\ndestination:/topic/a\nx:\\q\n\n\0", "escape").await;
    check(connect, "MESSAGE\n\n\0", "a frame that only servers send").await;
}

#[tokio::test]
async fn broken_sockjs_framing_is_an_error_too() {
    let served = serve().await;
    let mut client = Client::connected(served.address, Over::SockJs, "0,0").await;
    let Socket::WebSocket(socket) = &mut client.socket else {
        panic!("SockJS is over WebSocket")
    };
    socket
        .send(tungstenite::Message::text("[\"unfinished"))
        .await
        .unwrap();
    assert!(
        client
            .frame()
            .await
            .starts_with("ERROR\nmessage:broken SockJS framing\n")
    );
    client.ended().await;
}

#[tokio::test]
async fn frames_may_be_cut_anywhere_and_come_together() {
    let served = serve().await;
    for over in EVERY {
        let mut client = Client::connected(served.address, over, "0,0").await;
        let subscribe = "SUBSCRIBE\nid:a\ndestination:/topic/a\nreceipt:r1\n\n\0";
        for byte in subscribe.chars() {
            client.send(byte.encode_utf8(&mut [0; 4])).await;
        }
        assert_eq!(client.frame().await, "RECEIPT\nreceipt-id:r1\n\n");
        client
            .send("UNSUBSCRIBE\nid:a\nreceipt:r2\n\n\0\n\nDISCONNECT\nreceipt:r3\n\n\0")
            .await;
        assert_eq!(client.frame().await, "RECEIPT\nreceipt-id:r2\n\n");
        assert_eq!(client.frame().await, "RECEIPT\nreceipt-id:r3\n\n");
    }
}

#[tokio::test]
async fn a_slow_client_is_told_and_cut_and_the_others_miss_nothing() {
    let served = serve().await;
    let mut slow = Client::connected(served.address, Over::Tcp, "0,0").await;
    slow.send("SUBSCRIBE\nid:a\ndestination:/topic/slow\nreceipt:r\n\n\0")
        .await;
    slow.frame().await;
    let mut other = Client::connected(served.address, Over::Tcp, "0,0").await;
    other
        .send("SUBSCRIBE\nid:a\ndestination:/topic/quick\nreceipt:r\n\n\0")
        .await;
    other.frame().await;

    // Nothing is awaited in between, so the broker cannot write any of it before the queue is full.
    let published = (0..2_000)
        .map(|_| served.publisher.publish(hello("/topic/slow")))
        .sum::<usize>();
    assert_eq!(published, 2_000);
    served.publisher.publish(hello("/topic/quick"));

    let error = loop {
        let frame = slow.frame().await;
        if frame.starts_with("ERROR\n") {
            break frame;
        }
    };
    assert!(error.contains("message:too slow"), "{error}");
    slow.ended().await;
    assert!(
        other
            .frame()
            .await
            .starts_with("MESSAGE\ndestination:/topic/quick\n")
    );
}

#[tokio::test]
async fn a_client_that_reads_nothing_at_all_is_cut_within_the_grace() {
    let served = serve().await;
    let mut stuck = Client::connected(served.address, Over::Tcp, "0,0").await;
    stuck
        .send("SUBSCRIBE\nid:a\ndestination:/topic/a\nreceipt:r\n\n\0")
        .await;
    stuck.frame().await;
    // More than any socket's buffers hold.
    let large = Message::json("/topic/a", vec![b'x'; 64 * 1024]);
    let gone = async {
        while served.publisher.publish(large.clone()) > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, gone)
        .await
        .expect("the client is given up");
}

#[tokio::test]
async fn a_closed_connection_takes_its_subscriptions_along() {
    let served = serve().await;
    for over in EVERY {
        let mut client = Client::connected(served.address, over, "0,0").await;
        client
            .send("SUBSCRIBE\nid:a\ndestination:/topic/a\nreceipt:r\n\n\0")
            .await;
        client.frame().await;
        assert_eq!(served.publisher.subscriptions("/topic/a"), 1);
        drop(client);
        let left = async {
            while served.publisher.subscriptions("/topic/a") > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, left)
            .await
            .expect("the subscription ends");
    }
}

#[tokio::test]
async fn http_requests_are_answered_as_sockjs_clients_expect() {
    let served = serve().await;
    let get = async |request: &str| {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        let head = format!("{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer))
            .await
            .unwrap()
            .unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_ascii_lowercase(), body.to_owned())
    };
    let (head, body) = get("GET /webSocketServer/info?t=1").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(
        head.contains("access-control-allow-origin: *") && head.contains("cache-control: no-store"),
        "{head}"
    );
    let info: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(info["websocket"], true);
    assert_eq!(info["cookie_needed"], false);
    assert!(info["entropy"].is_u64() && info["origins"].is_array());

    for (request, status) in [
        ("GET /", "200"),
        ("GET /webSocketServer", "200"),
        ("GET /webSocketServer/", "200"),
        ("OPTIONS /webSocketServer/info", "204"),
        ("GET /webSocketServer/000/abc/websocket", "400"),
        ("GET /wxServer", "400"),
        ("GET /webSocketServer/0.0/abc/websocket", "404"),
        ("POST /webSocketServer/000/abc/xhr_streaming", "404"),
        ("GET /nowhere", "404"),
    ] {
        let (head, body) = get(request).await;
        assert!(
            head.starts_with(&format!("http/1.1 {status}")),
            "{request}: {head}\n{body}"
        );
    }
}

#[tokio::test]
async fn stopping_ends_the_broker_and_every_connection() {
    let served = serve().await;
    let mut clients = Vec::new();
    for over in EVERY {
        clients.push(Client::connected(served.address, over, "0,0").await);
    }
    served.stop.cancel();
    timeout(PATIENCE, served.running)
        .await
        .expect("the broker ends")
        .unwrap();
    for client in clients {
        match client.socket {
            Socket::Tcp(mut stream) => assert_eq!(stream.read(&mut [0]).await.unwrap(), 0),
            Socket::WebSocket(mut socket) => {
                let ended = async { while let Some(Ok(_)) = socket.next().await {} };
                timeout(PATIENCE, ended).await.expect("the socket ends");
            }
        }
    }
}

#[tokio::test]
async fn simulated_devices_are_heard_on_their_clients_topics() {
    let served = serve().await;
    let mut client = Client::connected(served.address, Over::SockJs, "0,0").await;
    for id in Devices::CLIENTS {
        client
            .send(&format!(
                "SUBSCRIBE\nid:{id}\ndestination:/topic/state/{id}\nreceipt:r{id}\n\n\0"
            ))
            .await;
        client.frame().await;
    }
    let devices = tokio::spawn(Devices::new(1).run(served.publisher.clone(), served.stop.clone()));
    let mut missing: Vec<String> = Devices::CLIENTS.map(|id| id.to_string()).into();
    while !missing.is_empty() {
        let message = client.frame().await;
        let (head, body) = message.split_once("\n\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        let id = body["clientId"].to_string();
        assert!(
            head.contains(&format!("\nsubscription:{id}\n")),
            "{message}"
        );
        missing.retain(|other| *other != id);
    }
    served.stop.cancel();
    timeout(PATIENCE, devices)
        .await
        .expect("the devices stop")
        .unwrap();
}
