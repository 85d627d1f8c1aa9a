//! One HTTP exchange, and what becomes of its cookies.

use stomp_bridge::secret::Secret;
use stomp_bridge::transport::{Body, Content, Jar, Method, Request, Stage, exchange};

use super::http::Server;
use super::*;

fn request(url: &str) -> Request {
    let Target {
        headers,
        tls,
        proxies,
        ..
    } = target(url);
    Request {
        url: url.parse().expect("a URL"),
        method: Method::Post(Content::Json(Secret::from("{}"))),
        headers,
        cookies: Jar::default(),
        tls,
        proxies,
        timeout: PATIENCE,
        stage: Stage::Signin,
        body_bytes_max: 8,
    }
}

#[tokio::test]
async fn what_is_answered_over_tls_comes_back_and_its_cookies_go_where_they_are_for() {
    let mut server = Server::start_tls().await;
    let asked = request(&format!("https://{}/api/login?key=x", server.address));
    let serve = async {
        let request = server.next("POST /api/login").await;
        assert_eq!(
            (request.header("Content-Type"), request.body.as_str()),
            (Some("application/json"), "{}")
        );
        assert_eq!(request.header("Authorization"), Some("Bearer abc"));
        let cookies =
            "Set-Cookie: a=1; Path=/base\r\nSet-Cookie: b=2; Path=/; Secure\r\nSet-Cookie: c=3";
        request
            .answer(
                &format!("200 OK\r\nContent-Type: text/x\r\n{cookies}"),
                "12345678",
            )
            .await;
    };
    let ((), answer) = tokio::join!(serve, exchange(&asked));
    let answer = answer.expect("an answer");
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("text/x"))
    );
    assert!(
        matches!(&answer.body, Body::Whole(body) if body == b"12345678"),
        "{:?}",
        answer.body
    );

    // `c` is for /api alone, and `b` for TLS.
    for (tls, scheme, path, expected) in [
        (true, "wss", "/base/ws", Some("a=1; b=2")),
        (true, "wss", "/ws", Some("b=2")),
        (false, "ws", "/base/ws", Some("a=1")),
        (false, "ws", "/ws", None),
    ] {
        let mut server = if tls {
            Server::start_tls().await
        } else {
            Server::start().await
        };
        let cookies = answer.cookies.clone();
        let target = Target {
            cookies,
            ..target(&format!("{scheme}://{}{path}", server.address))
        };
        let serve = async {
            let request = server.next(path).await;
            assert_eq!(request.header("Cookie"), expected, "{scheme} {path}");
            request.upgrade().await
        };
        let _connected = tokio::join!(serve, dialled(&target));
    }
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_cut_and_a_redirect_is_not_followed() {
    let mut server = Server::start().await;
    let asked = request(&format!("http://{}/login", server.address));
    let serve = async {
        server
            .next("/login")
            .await
            .answer("200 OK", "123456789")
            .await;
        server
            .next("/login")
            .await
            .answer("302 Found\r\nLocation: /elsewhere?token=s3cret#x", "")
            .await;
    };
    let client = async {
        let cut = exchange(&asked).await.expect("an answer");
        assert!(
            matches!(&cut.body, Body::Cut(body) if body == b"12345678"),
            "{:?}",
            cut.body
        );
        let redirect = exchange(&asked).await.expect("an answer");
        assert_eq!(
            (redirect.status, redirect.location()),
            (302, Some("/elsewhere"))
        );
    };
    tokio::join!(serve, client);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_told_as_elsewhere() {
    let mut server = Server::start().await;
    let slow = Request {
        timeout: Duration::from_secs(2),
        ..request(&format!("http://{}/login?a=s3cret", server.address))
    };
    let (_swallowed, failed) = tokio::join!(server.next("/login"), exchange(&slow));
    let error = failed.expect_err("no answer").to_string();
    assert!(
        error.starts_with("sign-in with 127.0.0.1:") && error.contains("within 2000 ms"),
        "{error}"
    );
    let (listener, address) = listen().await;
    drop(listener);
    let error = exchange(&request(&format!("http://{address}/login")))
        .await
        .expect_err("nobody listens");
    assert!(matches!(error, DialError::Refused { .. }), "{error}");
    let stranger = Server::start_tls().await;
    let mut asked = request(&format!("https://{}/login", stranger.address));
    asked.tls = tls::Settings::default();
    let error = exchange(&asked)
        .await
        .expect_err("an unknown authority")
        .to_string();
    assert!(
        error.contains("set ca_file") && !error.contains("s3cret"),
        "{error}"
    );
}

#[tokio::test]
async fn cookies_of_one_exchange_go_with_the_next_and_are_known_by_name() {
    let mut server = Server::start().await;
    let asked = request(&format!("http://{}/login", server.address));
    let serve = async {
        let set = "Set-Cookie: JSESSIONID=s3cret; Path=/\r\nSet-Cookie: other=1; Path=/elsewhere";
        let first = server.next("/login").await;
        assert_eq!(first.header("Cookie"), None);
        first
            .answer(&format!("200 OK\r\n{set}\r\nX-Auth: a\r\nX-Auth: b"), "")
            .await;
        let second = server.next("/login").await;
        assert_eq!(second.header("Cookie"), Some("JSESSIONID=s3cret"));
        second
            .answer("200 OK\r\nSet-Cookie: JSESSIONID=changed; Path=/", "")
            .await;
    };
    let client = async {
        let first = exchange(&asked).await.expect("an answer");
        assert_eq!(first.cookies_set, ["JSESSIONID", "other"]);
        assert_eq!(first.header("x-auth"), Some("a"));
        assert!(!format!("{first:?}").contains("s3cret"), "{first:?}");
        let asked = Request {
            cookies: first.cookies,
            ..asked.clone()
        };
        let second = exchange(&asked).await.expect("an answer");
        let value = |name| {
            second
                .cookies
                .value(name)
                .map(|value| value.expose_secret().to_owned())
        };
        assert_eq!(value("JSESSIONID").as_deref(), Some("changed"));
        assert_eq!(value("other").as_deref(), Some("1"));
        assert_eq!(value("absent"), None);
    };
    tokio::join!(serve, client);
}
