//! SockJS: `/info`, its websocket transport, and when the others are tried.

use futures_util::{SinkExt, StreamExt};
use stomp_bridge::transport::{DialError, SockJsTransport, TransportError};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::http::{Server, Wire};
use super::*;

pub(super) const INFO: &str =
    r#"{"websocket":true,"cookie_needed":true,"origins":["*:*"],"entropy":1}"#;
pub(super) const INFO_WITHOUT: &str =
    r#"{"websocket":false,"cookie_needed":false,"origins":["*:*"],"entropy":1}"#;

async fn connected() -> (WebSocketStream<Box<dyn Wire>>, Receiver, Sender) {
    let mut server = Server::start().await;
    let target = target(&format!("http://{}/base", server.address));
    let serve = async {
        server.next("/base/info").await.answer("200 OK", INFO).await;
        let mut socket = server.next("/websocket").await.upgrade().await;
        socket.send(Message::text("o")).await.expect("open");
        socket
    };
    let (socket, (receiver, sender)) = tokio::join!(serve, dialled(&target));
    (socket, receiver, sender)
}

#[tokio::test]
async fn session_is_asked_for_as_the_protocol_says() {
    let mut server = Server::start().await;
    let target = target(&format!(
        "http://user:pass@{}/base/?token=x",
        server.address
    ));
    let serve = async {
        let info = server.next("GET /base/info").await;
        assert!(
            info.head.starts_with("GET /base/info?token=x HTTP/1.1\r\n"),
            "{}",
            info.head
        );
        assert_eq!(
            (info.header("Authorization"), info.header("Origin")),
            (Some("Bearer abc"), None)
        );
        info.answer(
            "200 OK\r\nSet-Cookie: node=7; Path=/base; HttpOnly\r\nSet-Cookie: other=1; Path=/x",
            INFO,
        )
        .await;

        let upgrade = server.next("/websocket").await;
        let path = upgrade
            .line
            .strip_prefix("GET /base/")
            .expect("below the base")
            .to_owned();
        let (number, rest) = path.split_once('/').expect("a server");
        let session = rest.strip_suffix("/websocket").expect("a session");
        assert!(
            number.len() == 3 && number.bytes().all(|byte| byte.is_ascii_digit()),
            "{path}"
        );
        assert!(
            session.len() >= 16 && session.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "{path}"
        );
        assert!(
            upgrade.head.contains("/websocket?token=x HTTP/1.1\r\n"),
            "{}",
            upgrade.head
        );
        assert_eq!(
            (upgrade.header("Authorization"), upgrade.header("Origin")),
            (Some("Bearer abc"), None)
        );
        assert_eq!(upgrade.header("Cookie"), Some("node=7"));
        assert_eq!(upgrade.header("Sec-WebSocket-Protocol"), None);
        let mut socket = upgrade.upgrade().await;
        socket.send(Message::text("o")).await.expect("open");
        (socket, path)
    };
    let ((_socket, path), _) = tokio::join!(serve, dialled(&target));

    let again = async {
        server.next("/base/info").await.answer("200 OK", INFO).await;
        let upgrade = server.next("/websocket").await;
        assert!(
            !upgrade.line.ends_with(&path),
            "the session id is used again"
        );
        let mut socket = upgrade.upgrade().await;
        socket.send(Message::text("o")).await.expect("open");
        socket
    };
    let _ = tokio::join!(again, dialled(&target));
}

#[tokio::test]
async fn heartbeats_are_sockjs_own_and_pings_are_not() {
    let (mut socket, mut receiver, _sender) = connected().await;
    for message in [
        Message::Ping("p".into()),
        Message::text("h"),
        Message::Pong("".into()),
        Message::text("h"),
        Message::text(r#"a["x"]"#),
    ] {
        socket.send(message).await.expect("sent");
    }
    assert_eq!(received(&mut receiver, 1).await, "x");
    assert_eq!(receiver.sockjs_heartbeats(), 2);
}

#[tokio::test]
async fn frames_cross_both_ways() {
    let (mut socket, mut receiver, mut sender) = connected().await;
    sender
        .send(
            Bytes::from_static("SEND\n\n\"故障\"\0\n".as_bytes()),
            &[15, 16],
        )
        .await
        .expect("sent");
    for expected in [r#"["SEND\n\n\"故障\"\u0000"]"#, r#"["\n"]"#] {
        assert_eq!(
            socket.next().await.expect("a message").expect("a message"),
            Message::text(expected)
        );
    }
    for text in [
        r#"a["MESSAGE\n\nx","y\u0000"]"#,
        r#"a["\n"]"#,
        r#"a["MESS","AGE\n\n\u0000\nMESSAGE\n\n\u0000"]"#,
    ] {
        socket.send(Message::text(text)).await.expect("sent");
    }
    let expected = "MESSAGE\n\nxy\0\nMESSAGE\n\n\0\nMESSAGE\n\n\0";
    assert_eq!(received(&mut receiver, expected.len()).await, expected);
}

#[tokio::test]
async fn a_long_frame_goes_in_pieces_where_it_is_asked_for() {
    let mut server = Server::start().await;
    let target = Target {
        websocket_split: Some(16),
        ..target(&format!("http://{}/base", server.address))
    };
    let serve = async {
        server.next("/base/info").await.answer("200 OK", INFO).await;
        let mut socket = server.next("/websocket").await.upgrade().await;
        socket.send(Message::text("o")).await.expect("sent");
        socket
    };
    let (mut socket, (_receiver, mut sender)) = tokio::join!(serve, dialled(&target));
    sender
        .send(Bytes::from_static(b"SEND\n\n0123456789x\0\n"), &[18, 19])
        .await
        .expect("sent");
    for expected in [r#"["SEND\n\n0123456789"]"#, r#"["x\u0000"]"#, r#"["\n"]"#] {
        assert_eq!(
            socket.next().await.expect("a message").expect("a message"),
            Message::text(expected)
        );
    }
}

#[tokio::test]
async fn heartbeat_is_life_and_no_bytes() {
    let (mut socket, mut receiver, _sender) = connected().await;
    socket.send(Message::text("h")).await.expect("sent");
    assert_eq!(receiver.receive().await.expect("life"), Bytes::new());
}

#[tokio::test]
async fn body_that_is_not_text_is_refused_and_nothing_is_sent() {
    let (mut socket, _receiver, mut sender) = connected().await;
    let error = sender
        .send(Bytes::from_static(b"ACK\n\n\0SEND\n\n\xff\0"), &[6, 14])
        .await
        .expect_err("no text");
    assert!(matches!(error, TransportError::NotText), "{error:?}");
    sender
        .send(Bytes::from_static(b"\n"), &[1])
        .await
        .expect("sent");
    assert_eq!(
        socket.next().await.expect("a message").expect("a message"),
        Message::text(r#"["\n"]"#)
    );
}

#[tokio::test]
async fn end_of_a_session_is_told() {
    let check = async |text: &str, expected: &str| {
        let (mut socket, mut receiver, _sender) = connected().await;
        socket.send(Message::text(text)).await.expect("sent");
        assert_eq!(ended(&mut receiver).await.to_string(), expected);
    };
    check(
        r#"c[3000,"Go away!"]"#,
        "the server closed the connection with code 3000 (go away): Go away!",
    )
    .await;
    check("o", "the server broke the transport's protocol: the SockJS session began again: the old one is lost").await;
    check("{}", "the server broke the transport's protocol: a SockJS frame that is none of o, h, a, m, c: {}").await;
    // Spring's send limit closes without a `c`.
    let (mut socket, mut receiver, _sender) = connected().await;
    let close = tokio_tungstenite::tungstenite::protocol::CloseFrame {
        code: 4500.into(),
        reason: "slow".into(),
    };
    socket
        .send(Message::Close(Some(close)))
        .await
        .expect("sent");
    let end = ended(&mut receiver).await;
    assert!(
        matches!(
            end,
            TransportError::Closed {
                code: Some(4500),
                ..
            }
        ),
        "{end:?}"
    );
}

/// Its STOMP frames are read past where they are too long: the stream goes on behind them.
#[tokio::test]
async fn frame_beyond_the_limit_comes_in_pieces() {
    let (mut socket, mut receiver, _sender) = connected().await;
    let whole = "故".repeat(MESSAGE_BYTES_MAX);
    for pad in 0..3 {
        let frame = format!("a[\"{}{whole}\"]", "x".repeat(pad));
        let send = async {
            socket.send(Message::text(frame)).await.expect("sent");
            socket
                .send(Message::text("a[\"behind\"]"))
                .await
                .expect("sent");
        };
        let bytes = pad + whole.len() + "behind".len();
        let ((), text) = tokio::join!(send, received(&mut receiver, bytes));
        assert!(text.ends_with("故behind"), "{pad}");
    }
    // One whose length is that of a piece is not waited for.
    let exact = format!("a[\"{}\"]", "x".repeat(MESSAGE_BYTES_MAX - 5));
    let send = async {
        socket.send(Message::text(exact)).await.expect("sent");
        socket
            .send(Message::text("a[\"behind\"]"))
            .await
            .expect("sent");
    };
    let bytes = MESSAGE_BYTES_MAX - 5 + "behind".len();
    let ((), text) = tokio::join!(send, received(&mut receiver, bytes));
    assert!(text.ends_with("xbehind"));
}

#[tokio::test]
async fn endpoint_that_is_no_sockjs_says_so() {
    let check = async |status: &str, body: &str, expected: &str| {
        let mut server = Server::start().await;
        let target = target(&format!("http://{}/base?token=secret", server.address));
        let serve = async { server.next("/base/info").await.answer(status, body).await };
        let ((), error) = tokio::join!(serve, refused(&target));
        let text = error.to_string();
        assert!(
            text.contains("/base/info") && text.contains(expected) && !text.contains("secret"),
            "{text}"
        );
    };
    check(
        "200 OK",
        "<html>",
        "a plain WebSocket one is configured as ws://",
    )
    .await;
    check(
        "404 Not Found",
        "nothing",
        "answered 404 (nothing); check the URL's path",
    )
    .await;
    check(
        "401 Unauthorized",
        "",
        "answered 401; the server wants other credentials",
    )
    .await;
    check(
        "302 Found\r\nLocation: https://h/base/info?token=s3cret",
        "",
        "answered 302 (to https://h/base/info)",
    )
    .await;
    check(
        "200 OK\r\nContent-Type: application/json",
        r#"{"base_url":"http://evil/"}"#,
        "leads to http://evil/",
    )
    .await;
}

#[tokio::test]
async fn gateway_that_refuses_in_a_200_is_told_in_its_words_and_asked_once() {
    let mut server = Server::start().await;
    let target = target(&format!("http://{}/base", server.address));
    let body = r#"{"code":401,"msg":"令牌已过期"}"#;
    let serve = async { server.next("/base/info").await.answer("200 OK", body).await };
    let ((), error) = tokio::join!(serve, refused(&target));
    assert!(matches!(error, DialError::Gateway { .. }), "{error:?}");
    let text = error.to_string();
    let expected = "/base/info: the gateway wants a sign-in: code 401, 令牌已过期; check";
    assert!(text.contains(expected), "{text}");
}

#[tokio::test]
async fn every_transport_is_tried_in_order_and_each_failure_told() {
    let mut server = Server::start().await;
    let target = target(&format!("http://{}/base", server.address));
    let serve = async {
        server.next("/base/info").await.answer("200 OK", INFO).await;
        server
            .next("/websocket")
            .await
            .answer("400 Bad Request", "no upgrade")
            .await;
        server
            .next("/xhr_streaming")
            .await
            .answer("200 OK", "c[2010,\"Another connection still open\"]\n")
            .await;
        server.next("/xhr").await.answer("500 Oops", "broken").await;
    };
    let ((), error) = tokio::join!(serve, refused(&target));
    let text = error.to_string();
    assert!(matches!(error, DialError::NoTransport { .. }), "{error:?}");
    for expected in [
        "websocket: ",
        "400 (no upgrade)",
        "xhr_streaming: ",
        "2010",
        "xhr: ",
        "500 (broken)",
    ] {
        assert!(text.contains(expected), "{expected} is not in: {text}");
    }
}

#[tokio::test]
async fn refusal_by_all_transports_is_a_refusal() {
    let mut server = Server::start().await;
    let target = target(&format!("http://{}/base", server.address));
    let serve = async {
        server.next("/base/info").await.answer("200 OK", INFO).await;
        for transport in ["/websocket", "/xhr_streaming", "/xhr"] {
            server
                .next(transport)
                .await
                .answer("403 Forbidden", "")
                .await;
        }
        server.next("/base/info").await.answer("200 OK", INFO).await;
        server
            .next("/websocket")
            .await
            .answer("401 Unauthorized", "")
            .await;
    };
    let client = async {
        let error = refused(&target).await;
        assert!(
            matches!(error, DialError::Http { status: 403, .. }),
            "{error:?}"
        );
        let error = refused(&target).await;
        assert!(
            matches!(error, DialError::Http { status: 401, .. }),
            "{error:?}"
        );
    };
    tokio::join!(serve, client);
}

#[tokio::test]
async fn a_busy_server_is_asked_once() {
    let mut server = Server::start().await;
    let target = target(&format!("http://{}/base", server.address));
    let busy = "503 Service Unavailable\r\nRetry-After: 7";
    let serve = async {
        server.next("/base/info").await.answer(busy, "").await;
        server.next("/base/info").await.answer("200 OK", INFO).await;
        server.next("/websocket").await.answer(busy, "").await;
        server.next("/base/info").await.answer("200 OK", INFO).await;
        server
            .next("/websocket")
            .await
            .answer("401 Unauthorized", "")
            .await;
    };
    let client = async {
        for expected in [Some(7), Some(7), None] {
            let DialError::Http { retry_after, .. } = refused(&target).await else {
                panic!("no HTTP answer")
            };
            assert_eq!(retry_after, expected.map(Duration::from_secs));
        }
    };
    tokio::join!(serve, client);
}

#[tokio::test]
async fn the_transport_that_worked_last_comes_first_and_the_others_after_it() {
    let mut server = Server::start().await;
    let target = Target {
        sockjs_first: Some(SockJsTransport::Xhr),
        ..target(&format!("http://{}/base", server.address))
    };
    let serve = async {
        server.next("/base/info").await.answer("200 OK", INFO).await;
        server.next("/xhr").await.answer("200 OK", "o\n").await;
        server.next("/base/info").await.answer("200 OK", INFO).await;
        server.next("/xhr").await.answer("404 Not Found", "").await;
        let upgrade = server.next("/websocket").await;
        let mut socket = upgrade.upgrade().await;
        socket.send(Message::text("o")).await.expect("open");
        socket
    };
    let client = async {
        for expected in [SockJsTransport::Xhr, SockJsTransport::WebSocket] {
            let (_receiver, sender) = dialled(&target).await;
            assert_eq!(sender.sockjs_transport(), Some(expected));
        }
    };
    let (_socket, ()) = tokio::join!(serve, client);
}

#[tokio::test]
async fn websocket_that_is_swallowed_leaves_time_for_the_next_transport() {
    let mut server = Server::start().await;
    let target = Target {
        timeout: std::time::Duration::from_secs(6),
        ..target(&format!("http://{}/base", server.address))
    };
    let serve = async {
        server.next("/base/info").await.answer("200 OK", INFO).await;
        let _swallowed = server.next("/websocket").await;
        let mut answer = server.next("/xhr_streaming").await.begin().await;
        answer
            .write(&format!("{}\no\na[\"hi\"]\n", "h".repeat(2048)))
            .await;
        answer
    };
    let (_answer, (mut receiver, _sender)) = tokio::join!(serve, dialled(&target));
    assert_eq!(received(&mut receiver, 2).await, "hi");
}

#[tokio::test]
async fn https_encrypts_every_request() {
    let mut server = Server::start_tls().await;
    let target = target(&format!("https://{}/base", server.address));
    let serve = async {
        let cookie = "200 OK\r\nSet-Cookie: node=7; Path=/; Secure";
        server.next("/base/info").await.answer(cookie, INFO).await;
        let upgrade = server.next("/websocket").await;
        assert_eq!(upgrade.header("Cookie"), Some("node=7"));
        let mut socket = upgrade.upgrade().await;
        for text in ["o", "a[\"by websocket\"]"] {
            socket.send(Message::text(text)).await.expect("sent");
        }

        server
            .next("/base/info")
            .await
            .answer("200 OK", INFO_WITHOUT)
            .await;
        let mut answer = server.next("/xhr_streaming").await.begin().await;
        answer.write("hhhh\no\na[\"by xhr\"]\n").await;
        (socket, answer)
    };
    let client = async {
        for expected in ["by websocket", "by xhr"] {
            let (mut receiver, _sender) = dialled(&target).await;
            assert_eq!(received(&mut receiver, expected.len()).await, expected);
        }
    };
    tokio::join!(serve, client);
}

#[tokio::test]
async fn https_to_a_stranger_says_what_to_do() {
    let (listener, address) = listen().await;
    let mut target = target(&format!("https://{address}/base"));
    target.tls.ca_file = Some(fixture("stranger.pem"));
    let server = async {
        let (tcp, _) = listener.accept().await.expect("a client");
        // The client's refusal is an error here.
        let _ = acceptor("server", ClientCertificate::Ignored)
            .accept(tcp)
            .await;
    };
    let ((), error) = tokio::join!(server, refused(&target));
    assert!(
        matches!(error, DialError::Tls { .. }) && error.to_string().contains("set ca_file"),
        "{error:?}"
    );
}
