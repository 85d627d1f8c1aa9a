//! The platform's own flow: sign in over HTTP, connect with what that gave, and listen to the
//! channel of the code that it gave. Each connection has a sign-in of its own: a token may have
//! ended, and the code be another one.

use super::spring::shared;
use peers::spring::Endpoint;
use peers::{Configuration, Daemon, PASSWORD, Scenario, Spring};

#[tokio::test(flavor = "multi_thread")]
async fn every_connection_signs_in_anew() {
    let Some(mut spring) = Spring::start(&["lab.auth=token", "lab.heartbeat=1000"]).await else {
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
