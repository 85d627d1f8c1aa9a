//! WebSocket: the handshake as servers really do it, and what a message is.

use futures_util::{SinkExt, StreamExt};
use stomp_bridge::transport::{DialError, TransportError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::protocol::{Message, Role};

use super::*;

/// What a server answers; `{accept}` is the right key.
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Accept: {accept}\r\n\r\n";

/// Answers the upgrade of the next client in these very words; gives its request's head back.
async fn answer(listener: &TcpListener, words: &str) -> (TcpStream, String) {
    answer_and_go_on(listener, words, b"").await
}

/// The same, with the first bytes of the WebSocket in the same packet.
async fn answer_and_go_on(
    listener: &TcpListener,
    words: &str,
    first: &[u8],
) -> (TcpStream, String) {
    let (mut tcp, _) = listener.accept().await.expect("a client");
    let head = read_head(&mut tcp).await;
    let accept = derive_accept_key(
        header(&head, "Sec-WebSocket-Key")
            .unwrap_or_default()
            .as_bytes(),
    );
    let words = words.replace("{accept}", &accept);
    tcp.write_all(&[words.as_bytes(), first].concat())
        .await
        .expect("an answer");
    (tcp, head)
}

pub(super) async fn upgraded(listener: &TcpListener) -> (WebSocketStream<TcpStream>, String) {
    let (tcp, head) = answer(listener, SWITCHING).await;
    (
        WebSocketStream::from_raw_socket(tcp, Role::Server, None).await,
        head,
    )
}

async fn connected() -> (WebSocketStream<TcpStream>, Receiver, Sender) {
    let (listener, address) = listen().await;
    let target = target(&format!("ws://{address}/ws"));
    let ((server, _), (receiver, sender)) = tokio::join!(upgraded(&listener), dialled(&target));
    (server, receiver, sender)
}

#[tokio::test]
async fn request_carries_path_headers_and_subprotocols_and_no_origin() {
    let (listener, address) = listen().await;
    let target = target(&format!("ws://user:pass@{address}/a/ws?token=x"));
    let ((_server, head), _) = tokio::join!(upgraded(&listener), dialled(&target));
    assert!(head.starts_with("GET /a/ws?token=x HTTP/1.1\r\n"), "{head}");
    assert_eq!(header(&head, "Host"), Some(address.as_str()));
    assert_eq!(header(&head, "Authorization"), Some("Bearer abc"));
    assert_eq!(
        header(&head, "Sec-WebSocket-Protocol"),
        Some("v12.stomp, v11.stomp, v10.stomp")
    );
    assert_eq!(header(&head, "Origin"), None);
}

#[tokio::test]
async fn every_answer_that_real_servers_give_is_taken() {
    let check = async |name: &str, words: &str| {
        let (listener, address) = listen().await;
        let target = target(&format!("ws://{address}/ws"));
        // A text message of two bytes, unmasked (RFC 6455, section 5.2).
        let server = answer_and_go_on(&listener, words, b"\x81\x02hi");
        let (_tcp, dialled) = tokio::join!(server, dial(&target));
        let (mut receiver, _sender) = dialled.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(received(&mut receiver, 2).await, "hi", "{name}");
    };
    let with = |line: &str| SWITCHING.replace("\r\n\r\n", &format!("\r\n{line}\r\n\r\n"));
    check("no subprotocol", SWITCHING).await;
    check("one of ours", &with("Sec-WebSocket-Protocol: v12.stomp")).await;
    check(
        "one that was not asked for (ActiveMQ)",
        &with("Sec-WebSocket-Protocol: stomp"),
    )
    .await;
    check(
        "all of ours",
        &with("Sec-WebSocket-Protocol: v12.stomp, v11.stomp, v10.stomp"),
    )
    .await;
    check(
        "keep-alive, Upgrade",
        &SWITCHING.replace("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
    )
    .await;
    check(
        "two Connection lines",
        &SWITCHING.replace("Connection: ", "Connection: keep-alive\r\nConnection: "),
    )
    .await;
    check(
        "other case",
        &SWITCHING.replace("Upgrade: websocket", "upgrade: WebSocket"),
    )
    .await;
    check("no extension", &with("Sec-WebSocket-Extensions: ")).await;
    check(
        "early hints first",
        &format!("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n{SWITCHING}"),
    )
    .await;
}

#[tokio::test]
async fn answer_that_is_no_websocket_says_what_is_wrong() {
    let check = async |words: &str, expected: &str| {
        let (listener, address) = listen().await;
        let target = target(&format!("ws://{address}/ws?token=secret"));
        let server = async { drop(answer(&listener, words).await) };
        let ((), error) = tokio::join!(server, refused(&target));
        let text = error.to_string();
        assert!(matches!(error, DialError::Handshake { .. }), "{error:?}");
        assert!(
            text.contains(&format!("ws://{address}/ws: ")) && text.contains(expected),
            "{text}"
        );
    };
    check(
        &SWITCHING.replace("{accept}", "AAAA"),
        "wrong Sec-WebSocket-Accept",
    )
    .await;
    check(
        &SWITCHING.replace("Upgrade: websocket\r\n", ""),
        "without \"Upgrade: websocket\"",
    )
    .await;
    check(
        &SWITCHING.replace("Connection: Upgrade\r\n", ""),
        "without \"Connection: Upgrade\"",
    )
    .await;
    check(
        &SWITCHING.replace(
            "\r\n\r\n",
            "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        ),
        "the extension permessage-deflate that was not offered",
    )
    .await;
    check("ERROR\nmessage:what is that\n\n\0", "is no HTTP").await;
    check("", "hung up without an answer").await;
    check(
        &format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(40_000)),
        "longer than",
    )
    .await;
}

#[tokio::test]
async fn a_busy_server_says_how_long_to_leave_it_alone() {
    let check = async |words: &str, expected: Option<u64>| {
        let (listener, address) = listen().await;
        let target = target(&format!("ws://{address}/ws"));
        let server = async { answer(&listener, words).await };
        let (_open, error) = tokio::join!(server, refused(&target));
        let DialError::Http { retry_after, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!(retry_after, expected.map(Duration::from_secs), "{words}");
    };
    let rest = "Retry-After: 20\r\nContent-Length: 0\r\n\r\n";
    check(&format!("HTTP/1.1 503 Busy\r\n{rest}"), Some(20)).await;
    check(&format!("HTTP/1.1 429 Many\r\n{rest}"), Some(20)).await;
    check(&format!("HTTP/1.1 403 Forbidden\r\n{rest}"), None).await;
    check("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", None).await;
}

#[tokio::test]
async fn other_status_is_told_with_its_text() {
    let check = async |words: &str, status: u16, expected: &str| {
        let (listener, address) = listen().await;
        let target = target(&format!("ws://{address}/ws"));
        let server = async { answer(&listener, words).await };
        // The server keeps the connection open: a body is not waited for.
        let (_open, error) = tokio::join!(server, refused(&target));
        assert!(
            matches!(error, DialError::Http { status: found, .. } if found == status),
            "{error:?}"
        );
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nbad\r\ntoken",
        403,
        "answered 403 (bad toke); the server wants",
    )
    .await;
    check(
        "HTTP/1.1 302 Found\r\nLocation: https://h/ws/?token=s3cret\r\n\r\n",
        302,
        "answered 302 (to https://h/ws/); redirects",
    )
    .await;
    check(
        "HTTP/1.1 302 Found\r\nLocation: https://h/login\r\n\r\n",
        302,
        "answered 302 (to https://h/login); the server wants a sign-in first",
    )
    .await;
    check(
        "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\nWelcome to SockJS!\n",
        200,
        "this is a SockJS endpoint: write http:// in place of ws://",
    )
    .await;
    check(
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        400,
        "answered 400; this may be a SockJS endpoint: then write http://",
    )
    .await;
    check(
        "HTTP/1.1 200 OK\r\n\r\n<html>",
        200,
        "answered 200 (<html>); this path is no WebSocket",
    )
    .await;
    check(
        "HTTP/1.1 503 Unavailable\r\n\r\n",
        503,
        "answered 503; the server or a proxy",
    )
    .await;
}

#[tokio::test]
async fn gateway_that_refuses_in_a_200_is_told_in_its_words() {
    let (listener, address) = listen().await;
    let target = target(&format!("ws://{address}/ws"));
    let body = r#"{"code":"403","message":"no token"}"#;
    let words = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let server = async { answer(&listener, &words).await };
    let (_open, error) = tokio::join!(server, refused(&target));
    let text = error.to_string();
    let expected = "/ws: the gateway wants a sign-in: code 403, no token; check";
    assert!(text.contains(expected), "{text}");
}

#[tokio::test]
async fn frame_is_one_message_and_only_text_is_text() {
    let (mut server, _receiver, mut sender) = connected().await;
    sender
        .send(Bytes::from_static(b"A\n\n\0B\n\n\xff\0\n"), &[4, 9, 10])
        .await
        .expect("sent");
    let expected = [
        Message::text("A\n\n\0"),
        Message::binary(&b"B\n\n\xff\0"[..]),
        Message::text("\n"),
    ];
    for message in expected {
        assert_eq!(
            server.next().await.expect("a message").expect("a message"),
            message
        );
    }
}

#[tokio::test]
async fn a_long_frame_goes_in_pieces_only_where_it_is_asked_for() {
    // Spring's buffer (legacy stompjs cuts at 16 KiB); ActiveMQ takes no pieces, so that it is an
    // option.
    let (listener, address) = listen().await;
    let target = Target {
        websocket_split: Some(16),
        ..target(&format!("ws://{address}/ws"))
    };
    let ((mut server, _), (_receiver, mut sender)) =
        tokio::join!(upgraded(&listener), dialled(&target));
    let (send, ack) = ("SEND\n\n0123456789故障故障\0", "ACK\n\n\0");
    let all = Bytes::from([send, ack, "\n"].concat());
    sender
        .send(
            all.clone(),
            &[send.len(), send.len() + ack.len(), all.len()],
        )
        .await
        .expect("sent");
    // Each piece is a text: no character is cut.
    for expected in ["SEND\n\n0123456789", "故障故障\0", ack, "\n"] {
        assert_eq!(
            server.next().await.expect("a message").expect("a message"),
            Message::text(expected)
        );
    }
}

#[tokio::test]
async fn messages_of_any_kind_are_pieces_of_one_stream() {
    let (mut server, mut receiver, _sender) = connected().await;
    let fragment = |text: &'static str, kind, last| {
        Message::Frame(Frame::message(text, OpCode::Data(kind), last))
    };
    let pieces = [
        Message::text("MESS"),
        Message::binary(&b"AGE\n\nbo"[..]),
        Message::text(""),
        fragment("d", Data::Text, false),
        fragment("y\0", Data::Continue, true),
        Message::text("MESSAGE\n\n\0\nMESSAGE\n\n\0"),
    ];
    for piece in pieces {
        server.send(piece).await.expect("sent");
    }
    let expected = "MESSAGE\n\nbody\0MESSAGE\n\n\0\nMESSAGE\n\n\0";
    assert_eq!(received(&mut receiver, expected.len()).await, expected);
}

#[tokio::test]
async fn ping_is_answered_and_shown_as_life() {
    let (mut server, mut receiver, _sender) = connected().await;
    server
        .send(Message::Ping(Bytes::from_static(b"7")))
        .await
        .expect("a ping");
    assert_eq!(receiver.receive().await.expect("life"), Bytes::new());
    let answer = tokio::select! {
        answer = server.next() => answer.expect("an answer").expect("an answer"),
        bytes = receiver.receive() => panic!("nothing was sent: {bytes:?}"),
    };
    assert_eq!(answer, Message::Pong(Bytes::from_static(b"7")));
}

#[tokio::test]
async fn probe_brings_a_sign_of_life() {
    let (mut server, mut receiver, mut sender) = connected().await;
    sender.probe().await.expect("a ping");
    let server = async {
        let ping = server.next().await.expect("a ping").expect("a ping");
        assert!(matches!(ping, Message::Ping(_)), "{ping:?}");
        // tungstenite answers when it is polled again.
        server.next().await
    };
    let alive = tokio::select! {
        message = server => panic!("nothing else was sent: {message:?}"),
        bytes = receiver.receive() => bytes.expect("life"),
    };
    assert_eq!(alive, Bytes::new());
}

#[tokio::test]
async fn close_is_told_with_code_and_reason_and_is_answered() {
    let (mut server, mut receiver, _sender) = connected().await;
    let close = CloseFrame {
        code: 1002.into(),
        reason: "Session closed.".into(),
    };
    server
        .send(Message::Close(Some(close)))
        .await
        .expect("a close");
    let end = ended(&mut receiver).await;
    assert!(
        matches!(&end, TransportError::Closed { code: Some(1002), reason } if reason == "Session closed."),
        "{end:?}"
    );
    let answer = server.next().await.expect("an answer").expect("an answer");
    assert!(
        matches!(&answer, Message::Close(Some(close)) if u16::from(close.code) == 1002),
        "{answer:?}"
    );
    let again = ended(&mut receiver).await;
    assert!(
        matches!(again, TransportError::Closed { code: None, .. }),
        "{again:?}"
    );
}

#[tokio::test]
async fn connection_cut_without_a_close_is_closed_without_a_code() {
    let (server, mut receiver, _sender) = connected().await;
    drop(server);
    let end = ended(&mut receiver).await;
    assert!(
        matches!(end, TransportError::Closed { code: None, .. }),
        "{end:?}"
    );
}

#[tokio::test]
async fn our_close_reaches_the_server() {
    let (mut server, _receiver, mut sender) = connected().await;
    sender.close().await;
    let message = server.next().await.expect("a close").expect("a close");
    assert!(matches!(message, Message::Close(_)), "{message:?}");
}

#[tokio::test]
async fn message_of_any_length_comes_in_pieces() {
    let (mut server, mut receiver, _sender) = connected().await;
    let length = 3 * MESSAGE_BYTES_MAX + 7;
    let send = async {
        server
            .send(Message::text("x".repeat(length)))
            .await
            .expect("sent");
        server.send(Message::text("behind")).await.expect("sent");
    };
    let receive = async {
        let mut bytes = 0;
        while bytes < length {
            let piece = receiver.receive().await.expect("a piece");
            assert!(piece.len() <= MESSAGE_BYTES_MAX && piece.iter().all(|byte| *byte == b'x'));
            bytes += piece.len();
        }
        assert_eq!(bytes, length);
        assert_eq!(received(&mut receiver, 6).await, "behind");
    };
    tokio::join!(send, receive);
}

#[tokio::test]
async fn text_is_bytes_whatever_its_encoding() {
    let (mut server, mut receiver, _sender) = connected().await;
    let fragments = b"\x81\x02\xb9\xca\x01\x01\xd5\x89\x00\x80\x01\xcf";
    server
        .get_mut()
        .write_all(fragments)
        .await
        .expect("messages");
    let mut bytes = Vec::new();
    while bytes.len() < 4 {
        bytes.extend_from_slice(&receiver.receive().await.expect("bytes"));
    }
    assert_eq!(bytes, b"\xb9\xca\xd5\xcf");
}

#[tokio::test]
async fn close_is_told_as_it_is_also_where_it_is_not_allowed() {
    let check = async |payload: &[u8], code: Option<u16>, reason: &str| {
        let (mut server, mut receiver, _sender) = connected().await;
        let length = u8::try_from(payload.len()).expect("a short close");
        let close = [&[0x88, length][..], payload].concat();
        server.get_mut().write_all(&close).await.expect("a close");
        match ended(&mut receiver).await {
            TransportError::Closed {
                code: told,
                reason: said,
            } => assert_eq!((told, said.as_str()), (code, reason)),
            other => panic!("{payload:?}: {other:?}"),
        }
    };
    for code in [999_u16, 1000, 1005, 1006, 1015, 4500, 5000] {
        let payload = [&code.to_be_bytes()[..], b"why"].concat();
        check(&payload, Some(code), "why").await;
    }
    check(b"", None, "").await;
    check(b"\x03", None, "").await;
    check(b"\x03\xe8\xb9\xca", Some(1000), "\u{fffd}\u{fffd}").await;
}

#[tokio::test]
async fn server_that_does_not_read_stops_neither_receiving_nor_closing() {
    let (mut server, mut receiver, mut sender) = connected().await;
    let length = 64 * 1024;
    let (written, done) = tokio::sync::oneshot::channel::<()>();
    tokio::spawn(async move {
        for _ in 0..64 {
            server
                .get_mut()
                .write_all(&binary_message(length))
                .await
                .expect("a message");
        }
        let _ = written.send(());
        std::future::pending::<()>().await;
    });
    receive_under_a_stuck_send(&mut receiver, &mut sender, 64 * length).await;
    done.await.expect("the server wrote everything");
    close_towards_a_deaf_server(&mut sender).await;
}

/// A message as bytes, for a server that does not go through tungstenite, which would read.
fn binary_message(length: usize) -> Vec<u8> {
    let mut message = vec![0x82, 127];
    message.extend_from_slice(&(length as u64).to_be_bytes());
    message.resize(message.len() + length, b'y');
    message
}

#[tokio::test]
async fn floods_cross_each_other() {
    let (mut server, mut receiver, mut sender) = connected().await;
    let serve = async {
        for _ in 0..64 {
            server
                .get_mut()
                .write_all(&binary_message(64 * 1024))
                .await
                .expect("a message");
        }
        // The client's header has a mask (RFC 6455, section 5.2).
        server
            .get_mut()
            .read_exact(&mut vec![0; 14 + FLOOD_BYTES])
            .await
            .expect("the client's flood");
    };
    let crossed = async {
        tokio::join!(
            serve,
            cross_floods(&mut receiver, &mut sender, 64 * 64 * 1024)
        )
    };
    timeout(PATIENCE, crossed).await.expect("in time");
}

#[tokio::test]
async fn bytes_cross_wss_both_ways() {
    let (listener, address) = listen().await;
    let server = async {
        let (tcp, _) = listener.accept().await.expect("a client");
        let mut tls = acceptor("server", ClientCertificate::Ignored)
            .accept(tcp)
            .await
            .expect("TLS");
        let head = read_head(&mut tls).await;
        let accept = derive_accept_key(
            header(&head, "Sec-WebSocket-Key")
                .expect("a key")
                .as_bytes(),
        );
        tls.write_all(SWITCHING.replace("{accept}", &accept).as_bytes())
            .await
            .expect("an answer");
        let mut server = WebSocketStream::from_raw_socket(tls, Role::Server, None).await;
        let message = server.next().await.expect("a message").expect("a message");
        server.send(message).await.expect("an echo");
        let _ = server.get_mut().read_to_end(&mut Vec::new()).await;
    };
    let target = target(&format!("wss://{address}/ws"));
    let client = async {
        let (mut receiver, mut sender) = dialled(&target).await;
        sender
            .send(Bytes::from_static("SEND\n\n故障\0".as_bytes()), &[13])
            .await
            .expect("sent");
        assert_eq!(received(&mut receiver, 13).await, "SEND\n\n故障\0");
    };
    tokio::join!(server, client);
}
