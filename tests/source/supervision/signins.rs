//! How often a refused sign-in is tried.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use stomp_bridge::source::{BodyTemplate, Settings, Signin, Step, StepMethod};
use tokio::time::Instant;

use super::lab::{Lab, pass_in_steps, settings};
use super::server::Server;

const SECOND: Duration = Duration::from_secs(1);
const WINDOW: Duration = Duration::from_secs(600);

fn signing_in_at(url: &str) -> Settings {
    let form = vec![("password".to_owned(), "wrong".into())];
    signing_in_by(url, BodyTemplate::Form(form))
}

fn signing_in_by(url: &str, body: BodyTemplate) -> Settings {
    let step = Step {
        url: url.parse().unwrap(),
        method: StepMethod::Post(body),
        headers: Vec::new(),
        expect: None,
        extract: Vec::new(),
    };
    Settings {
        signin: Some(Signin {
            steps: vec![step],
            timeout: 10 * SECOND,
            redacted: Vec::new(),
        }),
        ..settings(&["stomp://127.0.0.1:1"])
    }
}

/// Answers each sign-in by what the script says of its number, from 0, and notes the time.
fn answering(server: Server, script: fn(usize) -> &'static str) -> Arc<Mutex<Vec<Instant>>> {
    let times = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&times);
    server.serve(move |number, mut peer| {
        let noted = Arc::clone(&noted);
        async move {
            let asked = |text: &[u8]| text.ends_with(b"\r\n\r\n") || text.ends_with(b"=wrong");
            while !asked(peer.read_some().await) {}
            let status = script(number);
            if status.starts_with('4') {
                noted.lock().unwrap().push(Instant::now());
            }
            let answer =
                format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            peer.send(&answer).await;
            peer.gone().await
        }
    });
    times
}

/// An hour of it: no ten minutes have more than three refusals, and there is more than one such
/// time.
async fn check(script: fn(usize) -> &'static str) {
    let server = Server::bind().await;
    let url = server.url("http");
    let times = answering(server, script);
    let lab = Lab::start(signing_in_at(&url)).await;
    pass_in_steps(SECOND, 6 * WINDOW, || false).await;
    let times = times.lock().unwrap();
    assert!(times.len() >= 5, "{} refusals in an hour", times.len());
    for four in times.windows(4) {
        assert!(four[3] - four[0] >= WINDOW, "{:?}", four[3] - four[0]);
    }
    let said = lab.status.link().last_error.unwrap();
    assert!(
        said.contains("answered 401") || said.contains("connection refused"),
        "{said}"
    );
}

#[tokio::test]
async fn no_ten_minutes_have_more_than_three_refused_sign_ins() {
    check(|_| "401 Unauthorized").await;
}

#[tokio::test]
async fn nor_have_they_with_connections_that_fail_in_between() {
    // The STOMP server is not there: each accepted sign-in is followed by a short wait.
    check(|number| {
        if number % 2 == 0 {
            "401 Unauthorized"
        } else {
            "200 OK"
        }
    })
    .await;
}

#[tokio::test]
async fn a_refusal_of_nothing_is_not_counted() {
    let server = Server::bind().await;
    let settings = signing_in_by(&server.url("http"), BodyTemplate::Empty);
    let times = answering(server, |_| "401 Unauthorized");
    let lab = Lab::start(settings).await;
    pass_in_steps(SECOND, WINDOW, || times.lock().unwrap().len() == 4).await;
    let times = times.lock().unwrap();
    assert_eq!(times.len(), 4, "refusals in ten minutes");
    assert!(times[3] - times[0] < WINDOW, "{:?}", times[3] - times[0]);
    let said = lab.status.link().last_error.unwrap();
    assert!(!said.contains("sign-ins were refused"), "{said}");
}

#[tokio::test]
async fn the_status_says_why_the_next_sign_in_comes_late() {
    let server = Server::bind().await;
    let url = server.url("http");
    let times = answering(server, |_| "401 Unauthorized");
    let lab = Lab::start(signing_in_at(&url)).await;
    pass_in_steps(SECOND, WINDOW, || times.lock().unwrap().len() == 3).await;
    pass_in_steps(SECOND, 2 * SECOND, || false).await;
    let said = lab.status.link().last_error.unwrap();
    for part in [
        "sign-in refused: http://127.0.0.1",
        "answered 401",
        "3 sign-ins were refused within 10m: the next one comes in ",
        "so that the platform does not lock the account; correct source.signin and reload",
    ] {
        assert!(said.contains(part), "{part} is missing in {said}");
    }
}

/// It does not matter who asks for the next attempt: the limit protects the account.
#[tokio::test]
async fn a_retry_ends_no_wait_for_a_sign_in_and_the_status_says_so() {
    let server = Server::bind().await;
    let url = server.url("http");
    let times = answering(server, |_| "401 Unauthorized");
    let lab = Lab::start(signing_in_at(&url)).await;
    pass_in_steps(SECOND, WINDOW, || times.lock().unwrap().len() == 3).await;
    lab.until(|status| status.link().next_attempt.is_some())
        .await;
    let limit = lab.status.link().no_sign_in_before;
    assert!(limit.is_some());
    for _ in 0..2 {
        lab.handle.retry();
        lab.until(|status| {
            let link = status.link();
            let (next, limit) = (link.next_attempt, link.no_sign_in_before);
            next.is_some() && next == limit
        })
        .await;
        pass_in_steps(SECOND, 5 * SECOND, || false).await;
        assert_eq!(times.lock().unwrap().len(), 3);
    }
    pass_in_steps(SECOND, WINDOW, || times.lock().unwrap().len() == 4).await;
    assert_eq!(times.lock().unwrap().len(), 4, "then it is tried");
}
