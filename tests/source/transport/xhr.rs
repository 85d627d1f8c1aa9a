//! SockJS without WebSocket: one receiving request after another, and sending ones beside it.

use stomp_bridge::transport::TransportError;

use super::http::{Answer, Server};
use super::sockjs::INFO_WITHOUT;
use super::*;

fn prelude() -> String {
    "h".repeat(2048) + "\n"
}

/// A session on xhr_streaming whose first answer goes on.
async fn streaming() -> (Server, Answer, Receiver, Sender) {
    let mut server = Server::start().await;
    let target = target(&format!("http://{}/base?token=x", server.address));
    let serve = async {
        let info = server.next("/base/info").await;
        info.answer("200 OK\r\nSet-Cookie: node=7; Path=/base", INFO_WITHOUT)
            .await;
        let request = server.next("/xhr_streaming").await;
        assert!(request.line.starts_with("POST /base/"), "{}", request.line);
        assert!(
            request.head.contains("/xhr_streaming?token=x HTTP/1.1\r\n"),
            "{}",
            request.head
        );
        assert_eq!(
            (request.header("Authorization"), request.header("Origin")),
            (Some("Bearer abc"), None)
        );
        assert_eq!(request.header("Cookie"), Some("node=7"));
        let mut answer = request.begin().await;
        answer.write(&prelude()).await;
        answer.write("o\n").await;
        answer
    };
    let (answer, (receiver, sender)) = tokio::join!(serve, dialled(&target));
    (server, answer, receiver, sender)
}

/// A session on xhr: websocket and xhr_streaming do not work.
async fn polling() -> (Server, Receiver, Sender) {
    let mut server = Server::start().await;
    let target = target(&format!("http://{}/base", server.address));
    let serve = async {
        server
            .next("/base/info")
            .await
            .answer("200 OK", INFO_WITHOUT)
            .await;
        server
            .next("/xhr_streaming")
            .await
            .answer("405 Method Not Allowed", "")
            .await;
        server.next("/xhr").await.answer("200 OK", "o\n").await;
    };
    let ((), (receiver, sender)) = tokio::join!(serve, dialled(&target));
    (server, receiver, sender)
}

#[tokio::test]
async fn streamed_frames_may_be_cut_anywhere() {
    let (_server, mut answer, mut receiver, _sender) = streaming().await;
    for piece in [
        "a[\"MESS",
        "AGE\\n",
        "\\n\\u0000\"]\na[\"\\n\"]",
        "\nh\n",
        "a[\"x\"]\n",
    ] {
        answer.write(piece).await;
    }
    assert_eq!(received(&mut receiver, 12).await, "MESSAGE\n\n\0\nx");
}

#[tokio::test]
async fn streaming_goes_on_in_the_next_answer() {
    let (mut server, mut answer, mut receiver, _sender) = streaming().await;
    answer.write("a[\"one \"]\n").await;
    answer.end().await;
    let serve = async {
        let mut answer = server.next("/xhr_streaming").await.begin().await;
        answer.write(&format!("{}a[\"two\"]\n", prelude())).await;
        answer
    };
    let (_answer, text) = tokio::join!(serve, received(&mut receiver, 7));
    assert_eq!(text, "one two");
}

#[tokio::test]
async fn second_open_means_that_the_session_is_lost() {
    let (mut server, mut answer, mut receiver, _sender) = streaming().await;
    answer.write("a[\"x\"]\n").await;
    answer.end().await;
    let serve = async {
        let mut answer = server.next("/xhr_streaming").await.begin().await;
        answer.write(&format!("{}o\n", prelude())).await;
        answer
    };
    let (_answer, end) = tokio::join!(serve, ended(&mut receiver));
    assert!(end.to_string().contains("began again"), "{end}");
}

#[tokio::test]
async fn closed_session_is_not_asked_again() {
    let (mut server, mut answer, mut receiver, mut sender) = streaming().await;
    answer.write("c[3000,\"Go away!\"]\n").await;
    answer.end().await;
    let end = ended(&mut receiver).await;
    assert!(
        matches!(
            end,
            TransportError::Closed {
                code: Some(3000),
                ..
            }
        ),
        "{end:?}"
    );
    let again = ended(&mut receiver).await;
    assert!(
        matches!(again, TransportError::Closed { code: None, .. }),
        "{again:?}"
    );
    // The next request that comes is another one: no poll was on its way.
    let serve = async {
        server
            .next("/xhr_send")
            .await
            .answer("404 Not Found", "")
            .await
    };
    let ((), sent) = tokio::join!(serve, sender.send(Bytes::from_static(b"\n"), &[1]));
    assert!(
        matches!(sent, Err(TransportError::Closed { .. })),
        "{sent:?}"
    );
}

#[tokio::test]
async fn frames_are_sent_as_one_request_beside_the_receiving_one() {
    let (mut server, mut answer, mut receiver, mut sender) = streaming().await;
    let (came, coming) = tokio::sync::oneshot::channel();
    let serve = async {
        let send = server.next("/xhr_send").await;
        assert_eq!(send.body, r#"["ACK\n\n\u0000","\n"]"#);
        assert_eq!(
            send.header("Content-Type"),
            Some("text/plain;charset=UTF-8")
        );
        assert_eq!(
            (send.header("Authorization"), send.header("Cookie")),
            (Some("Bearer abc"), Some("node=7"))
        );
        answer.write("a[\"before\"]\n").await;
        coming.await.expect("what is sent while the client sends");
        send.answer("204 No Content", "").await;
    };
    let receive = async {
        assert_eq!(received(&mut receiver, 6).await, "before");
        came.send(()).expect("a server");
    };
    let ((), (), sent) = tokio::join!(
        serve,
        receive,
        sender.send(Bytes::from_static(b"ACK\n\n\0\n"), &[6, 7])
    );
    sent.expect("sent");
}

#[tokio::test]
async fn polls_follow_one_another() {
    let (mut server, mut receiver, _sender) = polling().await;
    let serve = async {
        server
            .next("/xhr")
            .await
            .answer("200 OK", "a[\"MESSAGE\"]\n")
            .await;
        server.next("/xhr").await.answer("200 OK", "h\n").await;
        server
            .next("/xhr")
            .await
            .answer("200 OK", "a[\"\\n\\n\\u0000\"]")
            .await;
    };
    let ((), text) = tokio::join!(serve, received(&mut receiver, 10));
    assert_eq!(text, "MESSAGE\n\n\0");
}

#[tokio::test]
async fn heartbeats_are_counted_and_the_prelude_is_none() {
    let (_server, mut answer, mut receiver, _sender) = streaming().await;
    answer.write("a[\"x\"]\n").await;
    assert_eq!(received(&mut receiver, 1).await, "x");
    assert_eq!(receiver.sockjs_heartbeats(), 0);
    answer.write("h\nh\na[\"y\"]\n").await;
    assert_eq!(received(&mut receiver, 1).await, "y");
    assert_eq!(receiver.sockjs_heartbeats(), 2);
}

#[tokio::test]
async fn cancelled_receiving_loses_nothing() {
    let (mut server, mut receiver, _sender) = polling().await;
    tokio::select! {
        biased;
        bytes = receiver.receive() => panic!("nothing was sent: {bytes:?}"),
        request = server.next("/xhr") => request.answer("200 OK", "a[\"kept\"]\n").await,
    }
    assert_eq!(received(&mut receiver, 4).await, "kept");
}

#[tokio::test]
async fn answer_that_does_not_go_on_ends_the_connection() {
    let check = async |status: &str, body: &str, expected: &str| {
        let (mut server, mut receiver, _sender) = polling().await;
        let serve = async { server.next("/xhr").await.answer(status, body).await };
        let ((), end) = tokio::join!(serve, ended(&mut receiver));
        assert!(end.to_string().contains(expected), "{end}");
    };
    check("404 Not Found", "", "the SockJS session is gone").await;
    check(
        "502 Bad Gateway",
        "",
        "SockJS answered 502; the server or a proxy before it is in trouble",
    )
    .await;
    check(
        "504 Gateway Time-out",
        "",
        "SockJS answered 504; a proxy on the way waits less than the 25 s",
    )
    .await;
    check(
        "401 Unauthorized",
        "",
        "SockJS answered 401; the sign-in that began this session has ended",
    )
    .await;
    check("200 OK", "<html>\n", "none of o, h, a, m, c: <html>").await;
    let long = "x".repeat(MESSAGE_BYTES_MAX + 1);
    check("200 OK", &long, "exceeds the limit of 1048576 bytes").await;
}

#[tokio::test]
async fn frame_beyond_the_limit_comes_in_pieces() {
    let whole = "故".repeat(MESSAGE_BYTES_MAX);
    let (_server, mut answer, mut receiver, _sender) = streaming().await;
    let serve = async {
        answer.write(&format!("a[\"{whole}\"]\n")).await;
        answer.write("a[\"behind\"]\n").await;
    };
    let bytes = whole.len() + "behind".len();
    let ((), text) = tokio::join!(serve, received(&mut receiver, bytes));
    assert!(text.ends_with("故behind"));

    // Without a line end.
    let (mut server, mut receiver, _sender) = polling().await;
    let serve = async {
        let frame = format!("a[\"{whole}\"]");
        server.next("/xhr").await.answer("200 OK", &frame).await;
        let behind = server.next("/xhr").await;
        behind.answer("200 OK", "a[\"behind\"]\n").await;
    };
    let ((), text) = tokio::join!(serve, received(&mut receiver, bytes));
    assert!(text.ends_with("故behind"));
}

#[tokio::test]
async fn answer_without_a_frame_is_asked_for_again() {
    let (mut server, mut receiver, _sender) = polling().await;
    let serve = async {
        for _ in 0..3 {
            server.next("/xhr").await.answer("200 OK", "").await;
        }
        server
            .next("/xhr")
            .await
            .answer("200 OK", "a[\"x\"]\n")
            .await;
        for _ in 0..4 {
            server.next("/xhr").await.answer("200 OK", "").await;
        }
    };
    let receive = async {
        assert_eq!(received(&mut receiver, 1).await, "x");
        ended(&mut receiver).await
    };
    let ((), end) = tokio::join!(serve, receive);
    let text = end.to_string();
    assert!(
        text.contains("4 answers in a row without a frame"),
        "{text}"
    );

    let (mut server, mut answer, mut receiver, _sender) = streaming().await;
    answer.write("a[\"x\"]\n").await;
    answer.end().await;
    let serve = async {
        let mut answer = server.next("/xhr_streaming").await.begin().await;
        answer.write(&prelude()).await;
        answer.end().await;
        let mut answer = server.next("/xhr_streaming").await.begin().await;
        answer.write(&prelude()).await;
        answer.write("a[\"y\"]\n").await;
        answer
    };
    let (_answer, text) = tokio::join!(serve, received(&mut receiver, 2));
    assert_eq!(text, "xy");
}

#[tokio::test]
async fn lines_may_end_as_those_of_http_do() {
    let (_server, mut answer, mut receiver, _sender) = streaming().await;
    let prelude = prelude().replace('\n', "\r\n");
    for line in [&*prelude, "h\r\n", "a[\"x\"]\r\n", "\r\n", "a[\"y\"]\r\n"] {
        answer.write(line).await;
    }
    assert_eq!(received(&mut receiver, 2).await, "xy");
}

#[tokio::test]
async fn sending_is_confirmed_by_any_success() {
    for status in ["200 OK", "202 Accepted", "204 No Content"] {
        let (mut server, _receiver, mut sender) = polling().await;
        let serve = async { server.next("/xhr_send").await.answer(status, "").await };
        let ((), sent) = tokio::join!(serve, sender.send(Bytes::from_static(b"\n"), &[1]));
        sent.expect(status);
    }
}

#[tokio::test]
async fn streamed_answer_that_is_cut_in_a_frame_ends_the_connection() {
    let (_server, mut answer, mut receiver, _sender) = streaming().await;
    answer.write("a[\"x\"]\na[\"y").await;
    answer.end().await;
    let end = ended(&mut receiver).await;
    assert!(
        end.to_string().contains("in the middle of a frame"),
        "{end}"
    );

    let (_server, mut answer, mut receiver, _sender) = streaming().await;
    answer.write("a[\"x\"]\n").await;
    drop(answer);
    let end = ended(&mut receiver).await;
    assert!(matches!(end, TransportError::Io(_)), "{end:?}");
}

#[tokio::test]
async fn refused_sending_is_an_error() {
    let check = async |status: &str, expected: &str| {
        let (mut server, _receiver, mut sender) = polling().await;
        let serve = async { server.next("/xhr_send").await.answer(status, "").await };
        let ((), sent) = tokio::join!(serve, sender.send(Bytes::from_static(b"\n"), &[1]));
        let error = sent.expect_err(status).to_string();
        assert!(error.contains(expected), "{error}");
    };
    check("404 Not Found", "the SockJS session is gone").await;
    check(
        "500 Oops",
        "SockJS answered 500; the server or a proxy before it is in trouble",
    )
    .await;
}

/// Whether the end of a session that nobody reads is not seen within a while.
async fn goes_on(receiver: &mut Receiver) -> bool {
    timeout(Duration::from_millis(200), receiver.ended())
        .await
        .is_err()
}

#[tokio::test]
async fn a_close_is_seen_behind_frames_that_nobody_reads() {
    let (_server, mut answer, mut receiver, _sender) = streaming().await;
    answer.write("a[\"one \"]\n").await;
    assert!(goes_on(&mut receiver).await);
    answer.write("a[\"two\"]\nh\nc[3000,\"Go away!\"]\n").await;
    timeout(PATIENCE, receiver.ended()).await.expect("a close");
    assert_eq!(received(&mut receiver, 7).await, "one two");
    let error = ended(&mut receiver).await;
    assert!(
        matches!(
            error,
            TransportError::Closed {
                code: Some(3000),
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_cut_answer_is_seen_behind_frames_that_nobody_reads() {
    let (_server, mut answer, mut receiver, _sender) = streaming().await;
    answer.write("a[\"one\"]\n").await;
    drop(answer);
    timeout(PATIENCE, receiver.ended()).await.expect("an end");
    assert_eq!(received(&mut receiver, 3).await, "one");
    let error = ended(&mut receiver).await;
    assert!(matches!(error, TransportError::Io(_)), "{error:?}");
}

#[tokio::test]
async fn the_next_answer_is_asked_for_though_nobody_reads_and_a_lost_session_is_seen() {
    let (mut server, mut answer, mut receiver, _sender) = streaming().await;
    answer.write("a[\"one \"]\n").await;
    answer.end().await;
    let serve = async {
        let mut answer = server.next("/xhr_streaming").await.begin().await;
        answer.write(&format!("{}a[\"two\"]\n", prelude())).await;
        answer.end().await;
        server
            .next("/xhr_streaming")
            .await
            .answer("404 Not Found", "")
            .await;
    };
    let (_, ended_in_time) = tokio::join!(serve, timeout(PATIENCE, receiver.ended()));
    ended_in_time.expect("a lost session");
    assert_eq!(received(&mut receiver, 7).await, "one two");
    let error = ended(&mut receiver).await;
    assert!(matches!(error, TransportError::Closed { .. }), "{error:?}");
}

#[tokio::test]
async fn polls_go_on_though_nobody_reads_whatever_ends_their_frames() {
    let (mut server, mut receiver, _sender) = polling().await;
    let serve = async {
        // Some servers leave the line end out.
        for frame in ["a[\"one \"]", "a[\"two\"]\n", "c[2010,\"\"]"] {
            server.next("/xhr").await.answer("200 OK", frame).await;
        }
    };
    let (_, ended_in_time) = tokio::join!(serve, timeout(PATIENCE, receiver.ended()));
    ended_in_time.expect("a close");
    assert_eq!(received(&mut receiver, 7).await, "one two");
    let error = ended(&mut receiver).await;
    assert!(matches!(error, TransportError::Closed { .. }), "{error:?}");
}

#[tokio::test]
async fn what_nobody_reads_is_read_ahead_within_a_bound_and_not_lost() {
    let (_server, mut answer, mut receiver, _sender) = streaming().await;
    let frame = format!("a[\"{}\"]\n", "x".repeat(16 << 10));
    let frames = 1000;
    let flood = async {
        for _ in 0..frames {
            answer.write(&frame).await;
        }
        answer
    };
    let mut flood = pin!(flood);
    tokio::select! {
        _ = &mut flood => panic!("16 MiB that nobody reads were taken in"),
        () = receiver.ended() => panic!("it goes on"),
        () = tokio::time::sleep(Duration::from_millis(500)) => {}
    }
    let read = received(&mut receiver, frames * (16 << 10));
    let (answer, text) = tokio::join!(flood, read);
    assert!(text.bytes().all(|byte| byte == b'x'));
    drop(answer);
}
