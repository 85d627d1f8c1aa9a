//! Through an HTTP proxy.

use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

use super::http::Server;
use super::websocket::upgraded;
use super::*;

/// A host that no DNS knows: only the proxy can reach it.
const NOWHERE: &str = "elsewhere.test";

/// All URLs but those of this machine through the proxy at that address.
fn behind(address: &str, url: &str) -> Target {
    let proxy = format!("http://user:s3cret@{address}");
    Target {
        proxies: Proxies::of(|name| (name == "ALL_PROXY").then(|| proxy.clone())),
        ..target(url)
    }
}

/// Takes one CONNECT, leads it to the server, whatever it names, and gives its head.
async fn tunnel(proxy: TcpListener, server: String) -> String {
    let (mut client, _) = proxy.accept().await.expect("a client");
    let head = read_head(&mut client).await;
    let mut server = TcpStream::connect(server).await.expect("the server");
    client
        .write_all(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n")
        .await
        .expect("an answer");
    tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
    head
}

fn check_connect(head: &str, authority: &str) {
    assert!(
        head.starts_with(&format!(
            "CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n"
        )),
        "{head}"
    );
    assert_eq!(
        header(head, "Proxy-Authorization"),
        Some("Basic dXNlcjpzM2NyZXQ="),
        "{head}"
    );
    assert_eq!(
        header(head, "Authorization"),
        None,
        "our credentials are the server's: {head}"
    );
}

#[tokio::test]
async fn websocket_goes_through_a_tunnel_to_a_name_that_only_the_proxy_knows() {
    let ((proxy, proxy_address), (server, server_address)) = (listen().await, listen().await);
    let target = behind(&proxy_address, &format!("ws://{NOWHERE}:15674/ws"));
    let ((_receiver, mut sender), (mut socket, request), head) = tokio::join!(
        dialled(&target),
        upgraded(&server),
        tunnel(proxy, server_address)
    );
    check_connect(&head, "elsewhere.test:15674");
    assert_eq!(header(&request, "Host"), Some("elsewhere.test:15674"));
    assert_eq!(header(&request, "Proxy-Authorization"), None);
    sender
        .send(Bytes::from_static(b"\n"), &[1])
        .await
        .expect("sent");
    let message = futures_util::StreamExt::next(&mut socket)
        .await
        .expect("a message")
        .expect("a message");
    assert_eq!(message.into_text().expect("text").as_str(), "\n");
}

#[tokio::test]
async fn tls_is_with_the_server_behind_the_proxy() {
    let ((proxy, proxy_address), (server, server_address)) = (listen().await, listen().await);
    let target = behind(&proxy_address, &format!("stomps://{NOWHERE}"));
    let serve = async {
        let (tcp, _) = server.accept().await.expect("a client");
        let mut tls = acceptor("elsewhere", ClientCertificate::Ignored)
            .accept(tcp)
            .await
            .expect("TLS");
        tls.write_all(b"CONNECTED\n").await.expect("written");
        tls.flush().await.expect("written");
        tls
    };
    let ((mut receiver, _sender), _tls, head) =
        tokio::join!(dialled(&target), serve, tunnel(proxy, server_address));
    check_connect(&head, "elsewhere.test:61614");
    assert_eq!(received(&mut receiver, 10).await, "CONNECTED\n");
}

#[tokio::test]
async fn sockjs_asks_the_proxy_for_info_and_for_a_tunnel() {
    let mut proxy = Server::start().await;
    let target = behind(&proxy.address, &format!("http://{NOWHERE}/base"));
    let serve = async {
        let info = proxy.next("GET http://elsewhere.test/base/info").await;
        assert_eq!(
            info.header("Proxy-Authorization"),
            Some("Basic dXNlcjpzM2NyZXQ=")
        );
        assert_eq!(info.header("Authorization"), Some("Bearer abc"));
        info.answer("200 OK", r#"{"websocket":true}"#).await;
        // Many proxies tunnel to port 443 alone; the other transports need no tunnel.
        proxy
            .next("CONNECT elsewhere.test:80")
            .await
            .answer("403 Forbidden", "")
            .await;
        let poll = proxy.next("/xhr_streaming").await;
        assert!(
            poll.line.starts_with("POST http://elsewhere.test/base/"),
            "{}",
            poll.line
        );
        let mut answer = poll.begin().await;
        answer.write(&format!("{}\no\n", "h".repeat(2048))).await;
        answer
    };
    let ((_receiver, _sender), _answer) = tokio::join!(dialled(&target), serve);
}

#[tokio::test]
async fn proxy_that_lets_nobody_through_says_why_and_what_to_do() {
    for (status, expected) in [
        (
            "407 Proxy Authentication Required",
            "it answered 407 to CONNECT elsewhere.test:80; write the user and password",
        ),
        ("403 Forbidden", "its rules do not allow"),
        ("502 Bad Gateway", "see the proxy's log"),
    ] {
        let mut proxy = Server::start().await;
        let target = behind(&proxy.address, &format!("ws://{NOWHERE}/"));
        let serve = async {
            proxy
                .next("CONNECT elsewhere.test:80")
                .await
                .answer(status, "no")
                .await
        };
        let (error, ()) = tokio::join!(refused(&target), serve);
        let text = error.to_string();
        assert!(
            text.starts_with("proxy 127.0.0.1:") && text.contains("(from ALL_PROXY)"),
            "{text}"
        );
        assert!(
            text.contains(expected) && !text.contains("s3cret"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn proxy_that_is_not_there_is_named_as_one() {
    let (listener, address) = listen().await;
    drop(listener);
    let text = refused(&behind(&address, &format!("ws://{NOWHERE}/")))
        .await
        .to_string();
    assert!(
        text.starts_with(&format!(
            "proxy {address} (from ALL_PROXY): connect to {address}: connection refused"
        )),
        "{text}"
    );
}

#[tokio::test]
async fn proxy_that_is_none_and_one_that_is_silent_are_told_apart() {
    let (listener, address) = listen().await;
    let answer = async {
        let (mut tcp, _) = listener.accept().await.expect("a client");
        read_head(&mut tcp).await;
        tcp.write_all(b"220 mail ESMTP\r\n\r\n")
            .await
            .expect("written");
        tcp
    };
    let target = behind(&address, &format!("ws://{NOWHERE}/"));
    let (error, _tcp) = tokio::join!(refused(&target), answer);
    assert!(
        error.to_string().contains("the answer is no HTTP"),
        "{error}"
    );

    let (_listener, address) = listen().await;
    let target = Target {
        timeout: Duration::from_secs(1),
        ..behind(&address, &format!("ws://{NOWHERE}/"))
    };
    let error = refused(&target).await.to_string();
    assert!(
        error.starts_with(&format!("proxy tunnel with {address}: no answer within")),
        "{error}"
    );
}
