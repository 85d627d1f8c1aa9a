//! The platform's own flow: sign in over HTTP, connect with what that gave, and listen to the
//! channel of the code that it gave. Each connection has a sign-in of its own: a token may have
//! ended, and the code be another one.

use super::spring::shared;
use peers::spring::{Boot, Endpoint};
use peers::{Configuration, Daemon, PASSWORD, Scenario, Spring};

#[tokio::test(flavor = "multi_thread")]
async fn every_connection_signs_in_anew() {
    every_connection_signs_in(Boot::Three, &["lab.auth=token", "lab.heartbeat=1000"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_connection_signs_in_anew_with_spring_boot_2_without_heartbeats() {
    every_connection_signs_in(Boot::Two, &["lab.auth=token"]).await;
}

async fn every_connection_signs_in(boot: Boot, switches: &[&str]) {
    let Some(mut spring) = Spring::start_built_with(boot, switches).await else {
        return;
    };
    let bearer = "headers = { Authorization = \"Bearer {{ signin.token }}\" }";
    let mut runs = Vec::new();
    for (user, endpoint, source) in [
        ("page", Endpoint::SockJs, bearer),
        ("streaming", Endpoint::Streaming, bearer),
        // As the mini-program: only the cookie speaks for it.
        ("mini-program", Endpoint::Raw, ""),
    ] {
        let configuration = configuration(&spring, user, PASSWORD, endpoint).source(source);
        runs.push((user, Scenario::start(user, configuration).await));
    }
    for (round, trouble) in ["expired", "killed", ""].into_iter().enumerate() {
        let (start, middle, end) = (round * 100, round * 100 + 50, round * 100 + 100);
        for (user, run) in &mut runs {
            let code = spring.sign_in(user).await.socket_code;
            spring
                .publish(&format!("/topic/state/{user}"), run.messages(start..middle))
                .await;
            spring
                .publish(
                    &format!("/topic/{code}/deviceStatusChannel"),
                    run.messages(middle..end),
                )
                .await;
            run.complete(end).await;
        }
        match trouble {
            "expired" => {
                spring.expire_tokens().await;
                spring.close_all(4321, "because").await;
                for (_, run) in &mut runs {
                    run.daemon.complains(&["not connected", "code 4321"]).await;
                }
            }
            "killed" => {
                spring.kill();
                spring.restart().await;
            }
            _ => break,
        }
        for (_, run) in &mut runs {
            run.daemon.ready().await;
        }
    }
    for (_, run) in runs {
        assert!(run.connections() >= 3, "{}", run.daemon.log());
        let log = run.daemon.log();
        assert!(
            !log.contains("answered 401") && !log.contains(PASSWORD),
            "{log}"
        );
        run.finish(300, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_comes_in_a_header_or_as_the_whole_answer_lets_us_in() {
    let switches = ["lab.auth=token"];
    let Some(mut spring) = Spring::start_built_with(Boot::Three, &switches).await else {
        return;
    };
    let mut runs = Vec::new();
    for (name, path, extract, header) in [
        (
            "header",
            "/api/login",
            "{ header = \"Authorization\" }",
            "{{ signin.token }}",
        ),
        (
            "text",
            "/api/token",
            "{ text = true }",
            "Bearer {{ signin.token }}",
        ),
    ] {
        let signin = format!(
            "url = \"{}\"\njson = {{ username = \"{name}\", password = \"{PASSWORD}\" }}\n\
             extract = {{ token = {extract} }}\n",
            spring.sign_in_url().replace("/api/login", path)
        );
        // The cookie alone would let the first one in: this endpoint wants the token in CONNECT.
        let configuration = Configuration::new(&spring.url(Endpoint::SockJs))
            .source(&format!("headers = {{ Authorization = \"{header}\" }}"))
            .table("source.signin", &signin)
            .table(
                "topics.map-1",
                &format!("destination = \"/topic/state/{name}\"\n"),
            );
        runs.push((name, Scenario::start(name, configuration).await));
    }
    for round in 0..2 {
        let (start, end) = (round * 50, round * 50 + 50);
        for (name, run) in &mut runs {
            spring
                .publish(&format!("/topic/state/{name}"), run.messages(start..end))
                .await;
            run.complete(end).await;
        }
        if round == 0 {
            // Each connection has a token of its own.
            spring.kill();
            spring.restart().await;
            for (_, run) in &mut runs {
                run.daemon.ready().await;
            }
        }
    }
    for (_, run) in runs {
        assert!(!run.daemon.log().contains(PASSWORD));
        run.finish(100, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_sign_in_is_an_error_of_its_own() {
    let Some(spring) = shared().await else { return };
    let configuration = configuration(spring, "page", "another", Endpoint::SockJs);
    let mut daemon = Daemon::start(&configuration.sqlite()).await;
    let said = daemon.complains(&["not connected", "sign-in", "401"]).await;
    assert!(
        said.contains("wrong user or password") && !said.contains("another"),
        "{said}"
    );
    assert_eq!(
        daemon.get("/readyz").await.map(|(status, _)| status),
        Some(503)
    );
}

fn configuration(spring: &Spring, user: &str, password: &str, endpoint: Endpoint) -> Configuration {
    let signin = format!(
        "url = \"{}\"\njson = {{ username = \"{user}\", password = \"{password}\" }}\n\
         extract = {{ token = \"/data/token\", code = \"/data/socketCode\" }}\n",
        spring.sign_in_url()
    );
    Configuration::new(&spring.url(endpoint))
        .table("source.signin", &signin)
        .table(
            "topics.map-1",
            &format!("destination = \"/topic/state/{user}\"\n"),
        )
        .table(
            "topics.status",
            "destination = \"/topic/{{ signin.code }}/deviceStatusChannel\"\n",
        )
}

/// A first step that takes the form's token, as a browser does.
const CSRF: &str = "[[source.signin.steps]]\nurl = \"LOGIN\"\nmethod = \"GET\"\n\
                    extract = { csrf = { input = \"_csrf\" } }\n";

/// Whether a sign-in sends the form's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Csrf {
    Sent,
    Left,
}

/// Spring Security's own form login, with the steps of docs/guide.md.
fn form_login(spring: &Spring, password: &str, csrf: Csrf, expect: &str) -> Configuration {
    let login = spring.sign_in_url().replace("/api/login", "/login");
    let (first, field) = match csrf {
        Csrf::Sent => (CSRF, ", _csrf = \"{{ signin.csrf }}\""),
        Csrf::Left => ("", ""),
    };
    let steps = format!(
        "timeout = \"10s\"\n{first}[[source.signin.steps]]\nurl = \"LOGIN\"\n\
         form = {{ username = \"bridge\", password = \"{password}\"{field} }}\n{expect}\n"
    );
    Configuration::new(&spring.url(Endpoint::SockJs))
        .table("source.signin", &steps.replace("LOGIN", &login))
        .table("topics.map-1", "destination = \"/topic/state/form\"\n")
}

const FOUND: &str = "expect = { status = 302 }";

#[tokio::test(flavor = "multi_thread")]
async fn spring_securitys_form_login_lets_us_in_by_its_cookie() {
    form_login_lets_us_in(Boot::Three, Csrf::Left).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spring_securitys_form_login_lets_us_in_with_its_csrf_token() {
    form_login_lets_us_in(Boot::Three, Csrf::Sent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spring_boot_2s_form_login_lets_us_in_with_its_csrf_token() {
    form_login_lets_us_in(Boot::Two, Csrf::Sent).await;
}

async fn form_login_lets_us_in(boot: Boot, csrf: Csrf) {
    let switch = format!("lab.csrf={}", csrf == Csrf::Sent);
    let switches = ["lab.auth=form", &switch];
    let Some(spring) = Spring::start_built_with(boot, &switches).await else {
        return;
    };
    let name = format!("form_login_{boot:?}_{csrf:?}").to_lowercase();
    let configuration = form_login(&spring, PASSWORD, csrf, FOUND);
    let mut run = Scenario::start(&name, configuration).await;
    spring
        .publish("/topic/state/form", run.messages(0..50))
        .await;
    run.complete(50).await;
    // Without `expect`, the log says which answer would do.
    for (configuration, words) in [
        (
            form_login(&spring, "wrong", csrf, FOUND),
            ["/login)", "leads back to the sign-in"],
        ),
        (
            form_login(&spring, PASSWORD, csrf, ""),
            [
                "came with the cookie JSESSIONID",
                "expect = { status = 302 }",
            ],
        ),
        (
            Configuration::new(&spring.url(Endpoint::SockJs))
                .table("topics.map-1", "destination = \"/topic/state/form\"\n"),
            [
                "/login); the server wants a sign-in first",
                "[source.signin]",
            ],
        ),
        (
            Configuration::new(&spring.url(Endpoint::Raw))
                .table("topics.map-1", "destination = \"/topic/state/form\"\n"),
            [
                "/login); the server wants a sign-in first",
                "[source.signin]",
            ],
        ),
    ] {
        let mut daemon = Daemon::start(&configuration.sqlite()).await;
        daemon.complains(&words).await;
    }
    if csrf == Csrf::Sent {
        let without = form_login(&spring, PASSWORD, Csrf::Left, FOUND);
        let mut daemon = Daemon::start(&without.sqlite()).await;
        daemon
            .complains(&["not connected", "sign-in refused", "CSRF token"])
            .await;
    }
    run.finish(50, 0).await;
}
