//! TCP and TLS.

use std::time::Duration;

use stomp_bridge::transport::{DialError, Stage, TransportError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::*;

const SENT: &str = "SEND\n\na\0SEND\n\nb\0\n";
const ENDS: [usize; 3] = [8, 16, 17];
const ANSWER: &str = "CONNECTED\n\n\0\n";

/// Reads what the client sends, answers in two pieces, and hangs up.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> String {
    let mut read = vec![0; SENT.len()];
    stream
        .read_exact(&mut read)
        .await
        .expect("what the client sends");
    stream
        .write_all(&ANSWER.as_bytes()[..4])
        .await
        .expect("a piece");
    stream.flush().await.expect("a piece");
    stream
        .write_all(&ANSWER.as_bytes()[4..])
        .await
        .expect("a piece");
    stream.shutdown().await.expect("an end");
    String::from_utf8(read).expect("text")
}

async fn talk(target: &Target) {
    let (mut receiver, mut sender) = dialled(target).await;
    sender
        .send(Bytes::from_static(SENT.as_bytes()), &ENDS)
        .await
        .expect("sent");
    assert_eq!(received(&mut receiver, ANSWER.len()).await, ANSWER);
    let end = ended(&mut receiver).await;
    assert!(
        matches!(end, TransportError::Closed { code: None, .. }),
        "{end}"
    );
    sender.close().await;
}

#[tokio::test]
async fn bytes_cross_tcp_both_ways() {
    let (listener, address) = listen().await;
    let server = async { serve(listener.accept().await.expect("a client").0).await };
    let target = target(&format!("stomp://{address}"));
    let (seen, ()) = tokio::join!(server, talk(&target));
    assert_eq!(seen, SENT);
}

#[tokio::test]
async fn bytes_cross_tls_by_address_and_by_name() {
    for host in ["127.0.0.1", "localhost"] {
        let (listener, address) = listen().await;
        let server = async {
            let (tcp, _) = listener.accept().await.expect("a client");
            let tls = acceptor("server", ClientCertificate::Ignored)
                .accept(tcp)
                .await
                .expect("TLS");
            let name = tls.get_ref().1.server_name().map(str::to_owned);
            (serve(tls).await, name)
        };
        let target = target(&format!("stomps://{}", address.replace("127.0.0.1", host)));
        let ((seen, name), ()) = tokio::join!(server, talk(&target));
        assert_eq!(seen, SENT);
        // An address is never sent as a name (RFC 6066, section 3).
        assert_eq!(
            name.as_deref(),
            (host == "localhost").then_some("localhost")
        );
    }
}

#[tokio::test]
async fn client_certificate_is_shown_and_its_absence_explained() {
    let (listener, address) = listen().await;
    let acceptor = acceptor("server", ClientCertificate::Demanded);
    let plain = target(&format!("stomps://{address}"));
    let server = async {
        let (tcp, _) = listener.accept().await.expect("a client");
        assert!(acceptor.accept(tcp).await.is_err());
        let (tcp, _) = listener.accept().await.expect("a client");
        serve(
            acceptor
                .accept(tcp)
                .await
                .expect("TLS with a client certificate"),
        )
        .await
    };
    let client = async {
        // TLS 1.3 refuses after the handshake, TLS 1.2 within it.
        let text = match dial(&plain).await {
            Ok((mut receiver, _)) => ended(&mut receiver).await.to_string(),
            Err(error) => error.to_string(),
        };
        assert!(
            text.contains("certificate") && text.contains("cert_file, key_file"),
            "{text}"
        );
        let mut with = plain.clone();
        with.tls.cert_file = Some(fixture("client.pem"));
        with.tls.key_file = Some(fixture("client.key"));
        talk(&with).await;
    };
    tokio::join!(server, client);
}

#[tokio::test]
async fn port_where_nobody_listens_is_refused() {
    let (listener, address) = listen().await;
    drop(listener);
    for scheme in ["stomp", "stomps", "ws", "wss", "http", "https"] {
        let error = refused(&target(&format!("{scheme}://{address}/x"))).await;
        assert!(
            matches!(&error, DialError::Refused { peer } if *peer == address),
            "{scheme}: {error:?}"
        );
    }
}

#[tokio::test]
async fn name_without_an_address_says_so() {
    for scheme in ["stomp", "wss", "http"] {
        let error = refused(&target(&format!("{scheme}://absent.invalid/x"))).await;
        assert!(
            matches!(&error, DialError::Resolve { host, .. } if host == "absent.invalid"),
            "{scheme}: {error:?}"
        );
    }
}

#[tokio::test]
async fn clear_text_on_a_tls_url_says_so() {
    for scheme in ["stomps", "wss", "https"] {
        let (listener, address) = listen().await;
        let server = async {
            let (mut tcp, _) = listener.accept().await.expect("a client");
            tcp.write_all(b"ERROR\nmessage:what is that\n\n\0")
                .await
                .expect("an answer");
            let _ = tcp.read_to_end(&mut Vec::new()).await;
        };
        let target = target(&format!("{scheme}://{address}/x"));
        let ((), error) = tokio::join!(server, refused(&target));
        let text = error.to_string();
        assert!(
            matches!(error, DialError::Tls { .. }) && text.contains("TLS port"),
            "{scheme}: {error:?} {text}"
        );
    }
}

#[tokio::test]
async fn attempt_ends_with_its_time() {
    let check = async |scheme: &str, expected: Stage| {
        let (_listener, address) = listen().await;
        let target = Target {
            timeout: Duration::from_secs(1),
            ..target(&format!("{scheme}://{address}/x"))
        };
        let error = refused(&target).await;
        assert!(
            matches!(error, DialError::Timeout { stage, .. } if stage == expected),
            "{scheme}: {error:?}"
        );
    };
    check("stomps", Stage::Tls).await;
    check("ws", Stage::Upgrade).await;
    check("http", Stage::Info).await;
}

#[tokio::test]
async fn server_that_does_not_read_stops_neither_receiving_nor_closing() {
    for scheme in ["stomp", "stomps"] {
        let (listener, address) = listen().await;
        let (heard, mut hear) = tokio::sync::oneshot::channel::<()>();
        tokio::spawn(async move {
            let (mut tcp, _) = listener.accept().await.expect("a client");
            let answer = vec![b'y'; FLOOD_BYTES];
            if scheme == "stomps" {
                let mut tls = acceptor("server", ClientCertificate::Ignored)
                    .accept(tcp)
                    .await
                    .expect("TLS");
                tls.write_all(&answer).await.expect("an answer");
                let _ = heard.send(());
                std::future::pending::<()>().await;
            } else {
                tcp.write_all(&answer).await.expect("an answer");
                let _ = heard.send(());
                std::future::pending::<()>().await;
            }
        });
        let (mut receiver, mut sender) = dialled(&target(&format!("{scheme}://{address}"))).await;
        receive_under_a_stuck_send(&mut receiver, &mut sender, FLOOD_BYTES).await;
        (&mut hear).await.expect("the server wrote everything");
        close_towards_a_deaf_server(&mut sender).await;
        tokio::time::resume();
    }
}

#[tokio::test]
async fn what_was_received_stays_while_more_is_read() {
    let (listener, address) = listen().await;
    let sent = (0..1024 * 1024_u32)
        .map(|index| (index / 1000) as u8)
        .collect::<Vec<_>>();
    let server = async {
        let (mut tcp, _) = listener.accept().await.expect("a client");
        tcp.write_all(&sent).await.expect("a mebibyte");
    };
    let client = async {
        let (mut receiver, _sender) = dialled(&target(&format!("stomp://{address}"))).await;
        let mut kept = Vec::new();
        while let Ok(bytes) = receiver.receive().await {
            kept.push(bytes);
        }
        assert!(kept.concat() == sent, "some bytes have changed");
    };
    tokio::join!(server, client);
}

#[tokio::test]
async fn floods_cross_each_other() {
    async fn flood(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        stream
            .write_all(&vec![b'y'; FLOOD_BYTES])
            .await
            .expect("a flood");
        stream.flush().await.expect("a flood");
        stream
            .read_exact(&mut vec![0; FLOOD_BYTES])
            .await
            .expect("the client's flood");
    }
    for scheme in ["stomp", "stomps"] {
        let (listener, address) = listen().await;
        let server = async {
            let (tcp, _) = listener.accept().await.expect("a client");
            match scheme {
                "stomp" => flood(tcp).await,
                _ => {
                    flood(
                        acceptor("server", ClientCertificate::Ignored)
                            .accept(tcp)
                            .await
                            .expect("TLS"),
                    )
                    .await
                }
            }
        };
        let target = target(&format!("{scheme}://{address}"));
        let client = async {
            let (mut receiver, mut sender) = dialled(&target).await;
            cross_floods(&mut receiver, &mut sender, FLOOD_BYTES).await;
        };
        timeout(PATIENCE, async { tokio::join!(server, client) })
            .await
            .expect("in time");
    }
}
