//! The HTTP sign-in, in the real binary against a platform's portal. The tests hold its request,
//! the use of its values, the report of a refusal, and that no secret is shown.

use std::process::Command;
use std::time::Duration;

use peers::portal::{Answer, Portal, Session, code, cookie, token};
use peers::process::{Process, tethered};
use peers::{Folder, wait};
use rustix::process::Signal;

const PASSWORD: &str = "hunter2&co";
const PATIENCE: Duration = Duration::from_secs(60);

/// The flow of the platform's mini-program: sign in, take the code out of the answer, listen to its
/// channel.
const CHANNEL: &str =
    "[topics.status]\ndestination = \"/topic/{{ signin.code }}/deviceStatusChannel\"\n";

/// A configuration with that URL and these lines of `[source]`, these of `[source.signin]`, and one
/// topic.
fn configured(portal: &Portal, url: &str, source: &str, signin: &str) -> Folder {
    let folder = Folder::new("signin");
    let address = portal.address();
    let text = format!(
        "[source]\nurl = \"{url}\"\n{source}\n[source.reconnect]\ninitial = \"50ms\"\nmax = \"100ms\"\n\
         [source.signin]\nurl = \"http://{address}/api/login?key={{{{ secret('platform') }}}}\"\n{signin}\n\
         extract = {{ token = \"/data/token\", code = \"/data/socketCode\", number = \"/data/number\" }}\n{CHANNEL}\
         [http]\nlisten = \"127.0.0.1:0\"\n[sinks.history]\ntype = \"sqlite\"\n"
    );
    folder.write("config.toml", &text);
    folder
}

const JSON: &str = "json = { username = \"bridge\", password = \"{{ secret('platform') }}\" }";
const BEARER: &str = "headers = { Authorization = \"Bearer {{ signin.token }}\", X-Number = \"{{ signin.number }}\" }";

fn command(folder: &Folder, args: &[&str]) -> Command {
    let mut command = tethered(env!("CARGO_BIN_EXE_stomp-bridge"));
    command
        .args(args)
        .args(["--config", folder.join("config.toml").to_str().unwrap()]);
    command
        .env_remove("RUST_LOG")
        .env_remove("STATE_DIRECTORY")
        .env("STOMP_BRIDGE_SECRET_PLATFORM", PASSWORD);
    command
}

fn start(folder: &Folder, args: &[&str]) -> Process {
    Process::start(args[0], command(folder, args), &folder.join("output"))
}

/// What nobody but the portal may ever see.
fn assert_discreet(text: &str) {
    for secret in ["t0ken", "c0de-", "c00kie", "hunter2"] {
        assert!(!text.contains(secret), "{secret} stands in\n{text}");
    }
}

/// One connection over SockJS: everything that the portal is asked for it.
async fn connects_with(portal: &mut Portal, number: usize) {
    let login = portal.next("POST /api/login").await.text;
    assert!(
        login.contains("?key=hunter2%26co\n") && login.contains("content-type: application/json\n"),
        "{login}"
    );
    assert!(
        login.ends_with("\n\n{\"password\":\"hunter2&co\",\"username\":\"bridge\"}"),
        "{login}"
    );
    assert!(
        !login.contains("cookie:") && !login.contains("authorization:"),
        "nothing of the last time: {login}"
    );
    for path in ["GET /ws/info", "GET /ws/"] {
        let request = portal.next(path).await.text.to_lowercase();
        assert!(
            request.contains(&format!("authorization: bearer {}\n", token(number))),
            "{path}: {request}"
        );
        assert!(
            request.contains(&format!("cookie: {}\n", cookie(number).to_lowercase())),
            "{path}: {request}"
        );
    }
    let connect = portal.next("CONNECT").await.text;
    assert!(
        connect.contains(&format!(
            "Authorization:Bearer {}\nX-Number:{number}\n",
            token(number)
        )),
        "{connect}"
    );
    let subscribe = portal.next("SUBSCRIBE").await.text;
    let destination = format!(
        "id:status\ndestination:/topic/{}/deviceStatusChannel\n",
        code(number)
    );
    assert!(subscribe.starts_with(&destination), "{subscribe}");
}

#[tokio::test]
async fn every_connection_signs_in_anew_and_nothing_of_it_is_logged() {
    let mut portal = Portal::start(
        Vec::new(),
        vec![Session::Dropped, Session::Dropped, Session::Stays],
    )
    .await;
    let folder = configured(
        &portal,
        &format!("http://{}/ws", portal.address()),
        BEARER,
        JSON,
    );
    let mut daemon = start(&folder, &["run", "--log", "debug"]);
    for number in 1..=3 {
        connects_with(&mut portal, number).await;
    }
    daemon
        .logged("the third message", |line| {
            line.contains("live") && line.contains("subscriptions")
        })
        .await;
    wait::until("three rows in the history", async || {
        (rows(&folder).await == 3).then_some(())
    })
    .await;
    let log = daemon.log();
    assert!(
        log.contains("signed in") && log.contains("/topic/{{ signin.code }}/deviceStatusChannel"),
        "{log}"
    );
    assert_discreet(&log);
}

async fn rows(folder: &Folder) -> i64 {
    use sqlx::ConnectOptions;
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(folder.join("history.db"))
        .read_only(true);
    let Ok(mut history) = options.connect().await else {
        return 0;
    };
    sqlx::query_scalar("select count(*) from status_event where topic = 'status'")
        .fetch_one(&mut history)
        .await
        .unwrap_or(0)
}

#[tokio::test]
async fn a_form_a_get_and_a_token_in_the_query_work_too() {
    let form = "form = { username = \"bridge\", password = \"{{ secret('platform') }}\" }";
    for (signin, what, sent) in [
        (
            form,
            "POST /api/login",
            "\n\npassword=hunter2%26co&username=bridge",
        ),
        (
            "method = \"GET\"\nheaders = { X-Key = \"{{ secret('platform') }}\" }",
            "GET /api/login",
            "x-key: hunter2&co\n",
        ),
    ] {
        let mut portal = Portal::start(Vec::new(), vec![Session::Stays]).await;
        let url = format!(
            "ws://{}/raw?v=1&token={{{{ signin.token }}}}",
            portal.address()
        );
        let source = "login = \"{{ signin.code }}\"\npasscode = \"{{ signin.token }}\"";
        let folder = configured(&portal, &url, source, signin);
        let mut daemon = start(&folder, &["run"]);
        let login = portal.next(what).await.text;
        assert!(login.contains(sent), "{login}");
        assert_eq!(
            login.contains("application/x-www-form-urlencoded"),
            signin == form,
            "{login}"
        );
        let upgrade = portal.next("GET /raw").await.text;
        assert!(
            upgrade.starts_with("/raw?v=1&token=t0ken%2F1%2B%3D\n"),
            "{upgrade}"
        );
        assert!(
            upgrade.contains(&format!("Cookie: {}\n", cookie(1))),
            "{upgrade}"
        );
        let connect = portal.next("CONNECT").await.text;
        assert!(
            connect.contains(&format!("\nlogin:{}\npasscode:{}\n", code(1), token(1))),
            "{connect}"
        );
        portal.next("SUBSCRIBE").await;
        daemon
            .logged("it is live", |line| line.contains("live"))
            .await;
        assert_discreet(&daemon.log());
    }
}

fn answer(status: &'static str, body: &str) -> Answer {
    Answer {
        status,
        headers: String::new(),
        body: body.to_owned(),
    }
}

/// What the daemon says of its next attempt: the error, and after how many milliseconds.
async fn not_connected(daemon: &mut Process, error: &str) -> (String, u64) {
    let line = daemon
        .logged(error, |line| {
            line.contains("not connected") && line.contains(error)
        })
        .await;
    let wait = line
        .split("retry_in_ms")
        .nth(1)
        .unwrap_or_else(|| panic!("{line}"));
    let wait: String = wait
        .chars()
        .skip_while(|c| !c.is_ascii_digit())
        .take_while(char::is_ascii_digit)
        .collect();
    (line, wait.parse().unwrap())
}

#[tokio::test]
async fn a_refused_sign_in_is_told_by_name_and_tried_again_slowly() {
    for (answer, error) in [
        (
            answer(
                "401 Unauthorized",
                r#"{"message":"no hunter2&co","token":"t0ken"}"#,
            ),
            "answered 401 (",
        ),
        (answer("403 Forbidden", "hunter2%26co"), "answered 403 (…)"),
        (answer("422 Unprocessable Content", ""), "answered 422;"),
        (
            Answer {
                headers: "Location: /portal\r\n".to_owned(),
                ..answer("302 Found", "")
            },
            "redirects are not followed: set",
        ),
        (
            Answer {
                headers: "Location: /\r\nSet-Cookie: SID=t0ken\r\n".to_owned(),
                ..answer("302 Found", "")
            },
            "came with the cookie SID: if that is the sign-in, as of a form login, write expect",
        ),
        (
            Answer {
                headers: "Location: /api/login?error\r\nSet-Cookie: SID=t0ken\r\n".to_owned(),
                ..answer("302 Found", "")
            },
            "leads back to the sign-in; check the user and password",
        ),
        (
            answer(
                "200 OK",
                r#"{"code":500,"msg":"locked","data":{"token":"t0ken"}}"#,
            ),
            "at \\\"/data/socketCode\\\"",
        ),
        (
            answer("200 OK", r#"{"data":{"token":"t0ken","socketCode":null}}"#),
            "there is null",
        ),
    ] {
        let mut portal = Portal::start(vec![answer.clone(); 9], vec![Session::Stays]).await;
        let folder = configured(
            &portal,
            &format!("http://{}/ws", portal.address()),
            BEARER,
            JSON,
        );
        let mut daemon = start(&folder, &["run"]);
        portal.next("POST /api/login").await;
        let (line, wait_ms) = not_connected(&mut daemon, error).await;
        assert!(
            line.contains("sign-in refused: http://127.0.0.1:"),
            "{line}"
        );
        assert!(wait_ms >= 30_000, "{line}");
        assert_discreet(&daemon.log());
        let http = listening(&mut daemon).await;
        let status = get(&http, "/status").await;
        assert!(
            status.contains("\"last_error\":\"sign-in refused: "),
            "{status}"
        );
        // It is no start that goes on.
        assert!(status.contains(": the sign-in is refused"), "{status}");
        assert_discreet(&status);
        assert!(get(&http, "/readyz").await.starts_with("HTTP/1.1 503"));
        assert!(portal.unread().is_none(), "nothing else was asked");
    }
}

#[tokio::test]
async fn a_server_in_trouble_is_asked_again_soon() {
    let trouble = answer("503 Service Unavailable", "");
    let mut portal = Portal::start(vec![trouble; 2], vec![Session::Stays]).await;
    let folder = configured(
        &portal,
        &format!("http://{}/ws", portal.address()),
        BEARER,
        JSON,
    );
    let mut daemon = start(&folder, &["run"]);
    for _ in 0..2 {
        portal.next("POST /api/login").await;
    }
    let (line, wait_ms) = not_connected(&mut daemon, "sign-in failed: http://127.0.0.1:").await;
    assert!(line.contains("answered 503") && wait_ms <= 100, "{line}");
    connects_with(&mut portal, 3).await;
}

#[tokio::test]
async fn what_a_server_repeats_of_the_sign_in_is_not_logged() {
    let mut portal = Portal::start(Vec::new(), vec![Session::Refused]).await;
    let folder = configured(
        &portal,
        &format!("http://{}/ws", portal.address()),
        BEARER,
        JSON,
    );
    let mut daemon = start(&folder, &["run"]);
    connects_with(&mut portal, 1).await;
    let (line, _) = not_connected(&mut daemon, "denied").await;
    assert!(
        line.contains("no access to /topic/{{ signin.code }}/deviceStatusChannel"),
        "{line}"
    );
    assert_discreet(&daemon.log());
    // tap does not say it either.
    let mut tap = start(&folder, &["tap", "--own-connection", "--count", "1"]);
    assert_eq!(tap.ended(PATIENCE).await.code(), Some(1), "{}", tap.log());
    assert!(
        tap.log().contains("no access to /topic/{{ signin.code }}/"),
        "{}",
        tap.log()
    );
    assert_discreet(&tap.log());
}

#[tokio::test]
async fn tap_and_send_sign_in_as_the_daemon_does() {
    let mut portal = Portal::start(Vec::new(), vec![Session::Stays]).await;
    let folder = configured(
        &portal,
        &format!("http://{}/ws", portal.address()),
        BEARER,
        JSON,
    );
    let mut tap = start(&folder, &["tap", "--frames", "--count", "1"]);
    assert_eq!(tap.ended(PATIENCE).await.code(), Some(0), "{}", tap.log());
    let text = tap.log();
    for expected in [
        "note: this signs in as the daemon does",
        "give such tools a configuration with another account",
        "Authorization:…\n",
        "destination:/topic/{{ signin.code }}/deviceStatusChannel\n",
        "<<< MESSAGE\n",
        "\"deviceId\":7",
    ] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
    assert_discreet(&text);
    let login = portal.next("POST /api/login").await.text;
    assert!(login.contains("hunter2&co"), "{login}");
    while portal.unread().is_some() {}
    let mut send = start(&folder, &["send", "/topic/x", "hello", "--receipt"]);
    assert_eq!(send.ended(PATIENCE).await.code(), Some(0), "{}", send.log());
    portal.next("POST /api/login").await;
    for what in ["GET /ws/info", "GET /ws/"] {
        assert!(
            portal
                .next(what)
                .await
                .text
                .to_lowercase()
                .contains(&format!("bearer {}\n", token(2)))
        );
    }
    portal.next("CONNECT").await;
    assert!(
        portal
            .next("SEND")
            .await
            .text
            .contains("destination:/topic/x\n")
    );

    let portal = Portal::start(
        vec![answer("401 Unauthorized", "hunter2&co")],
        vec![Session::Stays],
    )
    .await;
    let folder = configured(
        &portal,
        &format!("http://{}/ws", portal.address()),
        BEARER,
        JSON,
    );
    let mut send = start(&folder, &["send", "/topic/x", "hello"]);
    assert_eq!(send.ended(PATIENCE).await.code(), Some(1));
    let said = send.log();
    let mut lines = said.lines();
    for expected in [
        "stomp-bridge: note: this signs in as the daemon does, for a connection of its own; where \
         the platform allows an account one session, that ends the daemon's",
        "stomp-bridge: connect to the source: sign-in refused: http://",
    ] {
        assert!(
            lines.next().unwrap_or_default().starts_with(expected),
            "{said}"
        );
    }
    assert_discreet(&said);
}

#[tokio::test]
async fn a_tap_whose_session_ends_says_what_may_have_ended_it() {
    let portal = Portal::start(Vec::new(), vec![Session::Dropped]).await;
    let url = format!("http://{}/ws", portal.address());
    let folder = configured(&portal, &url, BEARER, JSON);
    let mut tap = start(&folder, &["tap"]);
    assert_eq!(tap.ended(PATIENCE).await.code(), Some(1), "{}", tap.log());
    let said = tap.log();
    let words = "the connection ended; where the platform allows an account one session, another \
                 sign-in of it, such as the daemon's, ends this one";
    assert!(said.contains(words), "{said}");
    assert_discreet(&said);
}

#[tokio::test]
async fn a_refused_sign_in_is_not_tried_again_for_the_next_url() {
    let refused = answer("401 Unauthorized", "");
    let mut portal = Portal::start(vec![refused; 9], vec![Session::Stays]).await;
    let address = portal.address();
    let urls = format!("http://{address}/ws,ws://{address}/raw,http://{address}/ws");
    let folder = configured(&portal, &urls, BEARER, JSON);
    let mut send = start(&folder, &["send", "/topic/x", "hello"]);
    assert_eq!(send.ended(PATIENCE).await.code(), Some(1));
    portal.next("POST /api/login").await;
    assert!(portal.unread().is_none(), "one refusal is enough");
}

#[tokio::test]
async fn secrets_of_url_header_and_body_are_shown_nowhere() {
    let said = "invalid key ur1/s3cret, ur1%2Fs3cret, h3ader-s3cret, h3ader-s3cret+b0dy, l1teral";
    let refused = answer("401 Unauthorized", said);
    let mut portal = Portal::start(vec![refused; 9], vec![Session::Stays]).await;
    let address = portal.address();
    let folder = Folder::new("secrets");
    let text = format!(
        r#"[source]
url = "ws://{address}/raw"
[source.signin]
url = "http://{address}/api/login?key={{{{ secret('in-url') }}}}"
headers = {{ Authorization = "Bearer {{{{ secret('in-header') }}}}", X-Key = "Basic l1teral" }}
json = {{ code = "{{{{ secret('in-body') }}}}" }}
[topics.status]
destination = "/topic/status"
[http]
listen = "127.0.0.1:0"
[sinks.history]
type = "sqlite"
"#
    );
    folder.write("config.toml", &text);
    let mut run = command(&folder, &["run"]);
    run.env("STOMP_BRIDGE_SECRET_IN_URL", "ur1/s3cret")
        .env("STOMP_BRIDGE_SECRET_IN_HEADER", "h3ader-s3cret")
        .env("STOMP_BRIDGE_SECRET_IN_BODY", "h3ader-s3cret+b0dy");
    let mut daemon = Process::start("run", run, &folder.join("output"));
    let asked = portal.next("POST /api/login").await.text;
    assert!(asked.contains("?key=ur1%2Fs3cret\n"), "{asked}");
    assert!(
        asked.contains("authorization: Bearer h3ader-s3cret\n"),
        "{asked}"
    );
    not_connected(&mut daemon, "invalid key …, …, …, …, …").await;
    let http = listening(&mut daemon).await;
    let status = get(&http, "/status").await;
    assert!(status.contains("invalid key …"), "{status}");
    for shown in [status, get(&http, "/readyz").await, daemon.log()] {
        for secret in ["ur1", "s3cret", "b0dy", "l1teral"] {
            assert!(!shown.contains(secret), "{secret} stands in\n{shown}");
        }
    }
}

fn page(status: &'static str, headers: &str, body: &str) -> Answer {
    Answer {
        headers: headers.to_owned(),
        ..answer(status, body)
    }
}

/// A sign-in of these tables, before a raw endpoint with these lines of `[source]`.
fn stepwise(portal: &Portal, source: &str, steps: &str) -> Folder {
    let folder = Folder::new("steps");
    let address = portal.address();
    let steps = steps.replace("PORTAL", &format!("http://{address}"));
    let text = format!(
        "[source]\nurl = \"ws://{address}/raw\"\n{source}\n{steps}\n\
         [topics.status]\ndestination = \"/topic/{{{{ signin.code }}}}\"\n\
         [http]\nlisten = \"127.0.0.1:0\"\n[sinks.history]\ntype = \"sqlite\"\n"
    );
    folder.write("config.toml", &text);
    folder
}

#[tokio::test]
async fn each_request_of_a_sign_in_is_filled_with_what_the_ones_before_gave() {
    let form = "<form><input type=\"hidden\" name=\"_csrf\" value=\"t0ken&amp;1\"></form>";
    let places = vec![
        (
            "GET /login",
            page(
                "200 OK",
                "Set-Cookie: XSRF-TOKEN=c00kie-x; Path=/\r\n",
                form,
            ),
        ),
        (
            "POST /login",
            page(
                "302 Found",
                "Location: /home\r\nSet-Cookie: SID=c00kie-s; Path=/\r\nAuthorization: Bearer t0ken2\r\n",
                "",
            ),
        ),
        ("GET /api/code", page("200 OK", "", "c0de-9\n")),
        (
            "POST /api/socket",
            page("200 OK", "", r#"{"code":0,"data":{"channel":"c0de-10"}}"#),
        ),
    ];
    let mut portal = Portal::start_with(Vec::new(), vec![Session::Stays], places).await;
    let source = "headers = { Authorization = \"{{ signin.bearer }}\" }";
    let steps = r#"
[[source.signin.steps]]
url = "PORTAL/login"
method = "GET"
extract = { csrf = { input = "_csrf" }, xsrf = { cookie = "XSRF-TOKEN" } }
[[source.signin.steps]]
url = "PORTAL/login"
form = { username = "bridge", password = "{{ secret('platform') }}", _csrf = "{{ signin.csrf }}" }
headers = { X-XSRF-TOKEN = "{{ signin.xsrf }}" }
expect = { status = 302 }
extract = { bearer = { header = "Authorization" } }
[[source.signin.steps]]
url = "PORTAL/api/code?x={{ signin.xsrf }}"
method = "GET"
headers = { Authorization = "{{ signin.bearer }}" }
extract = { first = { text = true } }
[[source.signin.steps]]
url = "PORTAL/api/socket"
json = { first = ["{{ signin.first }}", 1] }
expect = { "/code" = [0, 200] }
extract = { code = "/data/channel" }
"#;
    let folder = stepwise(&portal, source, steps);
    let mut daemon = start(&folder, &["run", "--log", "debug"]);
    let text = portal.next("GET /login").await.text.to_lowercase();
    assert!(text.contains("accept: text/html"), "{text}");
    assert!(!text.contains("cookie:"), "{text}");
    let text = portal.next("POST /login").await.text;
    assert!(text.contains("cookie: XSRF-TOKEN=c00kie-x\n"), "{text}");
    assert!(text.contains("x-xsrf-token: c00kie-x\n"), "{text}");
    let body = "\n\n_csrf=t0ken%261&password=hunter2%26co&username=bridge";
    assert!(text.ends_with(body), "{text}");
    let text = portal.next("GET /api/code").await.text;
    assert!(text.starts_with("/api/code?x=c00kie-x\n"), "{text}");
    assert!(text.contains("authorization: Bearer t0ken2\n"), "{text}");
    let text = portal.next("POST /api/socket").await.text;
    assert!(text.ends_with("\n\n{\"first\":[\"c0de-9\",1]}"), "{text}");
    let text = portal.next("GET /raw").await.text;
    for cookie in ["XSRF-TOKEN=c00kie-x", "SID=c00kie-s"] {
        assert!(text.contains(cookie), "{text}");
    }
    let text = portal.next("CONNECT").await.text;
    assert!(text.contains("Authorization:Bearer t0ken2\n"), "{text}");
    let text = portal.next("SUBSCRIBE").await.text;
    assert!(text.contains("destination:/topic/c0de-10\n"), "{text}");
    let live = |line: &str| line.contains("live") && line.contains("subscriptions");
    daemon.logged("it is live", live).await;
    assert!(daemon.log().contains("signed in"), "{}", daemon.log());
    assert_discreet(&daemon.log());
}

#[tokio::test]
async fn an_answer_that_is_not_the_expected_one_is_told_in_its_words_and_locks_no_account() {
    let wrong = r#"{"code":500,"msg":"用户不存在/密码错误","token":"t0ken"}"#;
    let mut portal = Portal::start(vec![answer("200 OK", wrong); 9], vec![Session::Stays]).await;
    let url = format!("http://{}/ws", portal.address());
    let signin = format!("{JSON}\nexpect = {{ \"/code\" = 200 }}");
    let folder = configured(&portal, &url, "", &signin);
    let mut daemon = start(&folder, &["run"]);
    let expected = "but expect wants";
    let (line, _) = not_connected(&mut daemon, expected).await;
    assert!(line.contains("用户不存在/密码错误"), "{line}");
    portal.next("POST /api/login").await;
    let http = listening(&mut daemon).await;
    // A reload tries at once, as long as it is the third time at most …
    for refused in 2..=3 {
        rewrite(&folder, "max = \"1");
        daemon.signal(Signal::HUP);
        portal.next("POST /api/login").await;
        wait::until("the refusal is shown", async || {
            (daemon.log().matches(expected).count() >= refused).then_some(())
        })
        .await;
    }
    let (line, wait_ms) = not_connected(&mut daemon, "so that the platform does not lock").await;
    assert!(
        line.contains("3 sign-ins were refused within 10m") && wait_ms > 500_000,
        "{line}"
    );
    let status = get(&http, "/status").await;
    assert!(
        status.contains("so that the platform does not lock the account"),
        "{status}"
    );
    // … and then no reload that leaves the sign-in as it is brings a fourth.
    rewrite(&folder, "max = \"1");
    daemon.signal(Signal::HUP);
    daemon
        .logged("it waits", |line| line.contains("sign-in waits"))
        .await;
    assert!(portal.unread().is_none(), "a fourth sign-in");
    let config = std::fs::read_to_string(folder.join("config.toml")).unwrap();
    folder.write("config.toml", &config.replace("\"bridge\"", "\"another\""));
    daemon.signal(Signal::HUP);
    // What is corrected is tried at once.
    let text = portal.next("POST /api/login").await.text;
    assert!(text.contains("another"), "{text}");
    assert_discreet(&daemon.log());
}

/// Changes something in the configuration that is none of the sign-in's: the value that begins so
/// grows by a digit.
fn rewrite(folder: &Folder, start: &str) {
    let config = std::fs::read_to_string(folder.join("config.toml")).unwrap();
    let changed = config.replacen(start, &format!("{start}0"), 1);
    assert_ne!(config, changed);
    folder.write("config.toml", &changed);
}

/// Where its HTTP listens.
async fn listening(daemon: &mut Process) -> String {
    let line = daemon
        .logged("http is listening", |line| {
            line.contains("http is listening")
        })
        .await;
    let address = line
        .split("127.0.0.1:")
        .nth(1)
        .unwrap_or_else(|| panic!("{line}"));
    format!(
        "127.0.0.1:{}",
        address
            .chars()
            .take_while(char::is_ascii_digit)
            .collect::<String>()
    )
}

async fn get(http: &str, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(http).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
