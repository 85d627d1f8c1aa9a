//! Every secret of a configuration is planted, every peer repeats what it is sent, in every
//! spelling, and nothing that leaves the process holds one.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use peers::{Daemon, Folder};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::bridge;

const LOGIN: &str = "canary-login-01";
const PASSCODE: &str = "canary/pass:code+02";
const HEADER: &str = "canary-header-03";
const SIGNIN: &str = "canary=sign&in\"04";
const TOKEN: &str = "canary+token/05==";
const COOKIE: &str = "canary-cookie-06";
const CODE: &str = "canary-code-07";
const HOOK: &str = "canary-hook/08";
const HOOK_QUERY: &str = "canary-query-09";
const HOOK_PASSWORD: &str = "canary-url-10";
const DATABASE: &str = "canary-database-11";
const MQTT: &str = "canary-mqtt-12";
/// What its file says later.
const ROTATED: &str = "canary-rotated-18";
const HTTP: &str = "canary-http-token-13";
/// Of a header whose name says nothing: peers' texts alone are searched for it.
const SITE: &str = "canary-site-14";

/// Written beside what is made of an event.
const CHAT_PATH: &str = "canary-chat-path-15";
const CHAT_QUERY: &str = "canary-chat-query-16";
const CHAT: &str = "canary-chat-17";

/// In each spelling.
fn echo(text: &str) -> String {
    let percent = utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let lower = percent.to_ascii_lowercase();
    let json = serde_json::to_string(text).unwrap();
    let basic = STANDARD.encode(text);
    format!("{text} {percent} {lower} {json} {basic}")
}

/// The sign-in's server and the webhook's: it answers with what it was asked.
async fn http_peer() -> String {
    let signed_in = Arc::new(AtomicUsize::new(0));
    let answer = async move |request: Request<Body>| -> Response {
        let (head, body) = request.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        let body = String::from_utf8_lossy(&body);
        let said = format!("{} {:?} {body}", head.uri, head.headers);
        let headers = head
            .headers
            .values()
            .map(|value| echo(value.to_str().unwrap()));
        let said = format!("{} {}", echo(&said), headers.collect::<String>());
        if head.uri.path() != "/login" {
            return (StatusCode::UNPROCESSABLE_ENTITY, said).into_response();
        }
        match signed_in.fetch_add(1, Ordering::Relaxed) {
            // One refusal: then the daemon waits, and `tap` signs in.
            0 | 2.. => {
                let cookie = format!("sid={COOKIE}");
                let given = format!("{{\"token\":\"{TOKEN}\",\"code\":\"{CODE}\"}}");
                ([("set-cookie", cookie)], given).into_response()
            }
            1 => (StatusCode::FORBIDDEN, said).into_response(),
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let router = Router::new().fallback(answer);
    tokio::spawn(async { axum::serve(listener, router).await });
    address
}

async fn frame(stream: &mut BufReader<TcpStream>) -> String {
    let mut frame = Vec::new();
    stream.read_until(0, &mut frame).await.unwrap();
    String::from_utf8_lossy(&frame)
        .trim_matches(['\0', '\n'])
        .to_owned()
}

/// Accepts the first connection and sends a message; it refuses the others, and repeats CONNECT.
async fn stomp_peer() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut first = true;
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let connect = frame(&mut stream).await;
            if std::mem::take(&mut first) {
                let connected = "CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0";
                stream
                    .get_mut()
                    .write_all(connected.as_bytes())
                    .await
                    .unwrap();
                frame(&mut stream).await;
                let message = "MESSAGE\nsubscription:map-1\ndestination:/x\nmessage-id:1\n\n\
                               {\"clientId\":1,\"deviceId\":1,\"newState\":\"故障\"}\0";
                stream
                    .get_mut()
                    .write_all(message.as_bytes())
                    .await
                    .unwrap();
            }
            let values = connect.lines().filter_map(|line| line.split_once(':'));
            let values = values.map(|(_, value)| echo(&value.replace("\\c", ":")));
            let pair = echo(&format!("{LOGIN}:{PASSCODE}"));
            let body = format!("{} {} {pair}", echo(&connect), values.collect::<String>());
            let error = format!("ERROR\nmessage:no {PASSCODE} of {LOGIN}\n\n{body}\0");
            let error = error.replacen(PASSCODE, &PASSCODE.replace(':', "\\c"), 1);
            // The client may be gone.
            let _ = stream.get_mut().write_all(error.as_bytes()).await;
        }
    });
    address
}

/// A Postgres that wants a password in clear text, and refuses it by repeating it.
async fn postgres_peer() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = [0; 4096];
            let _ = stream.read(&mut bytes).await;
            // AuthenticationCleartextPassword.
            let _ = stream.write_all(&[b'R', 0, 0, 0, 8, 0, 0, 0, 3]).await;
            let read = stream.read(&mut bytes).await.unwrap_or(0);
            let said = String::from_utf8_lossy(&bytes[5.min(read)..read]);
            let said = said.trim_end_matches('\0');
            let fields = format!("SFATAL\0VFATAL\0C28P01\0Mno {}\0\0", echo(said));
            let length = u32::try_from(fields.len() + 4).unwrap();
            let _ = stream.write_all(b"E").await;
            let _ = stream.write_all(&length.to_be_bytes()).await;
            let _ = stream.write_all(fields.as_bytes()).await;
        }
    });
    address
}

/// Accepts nobody, and repeats what it was sent in MQTT 5's reason string.
async fn mqtt_peer() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = [0; 4096];
            let read = stream.read(&mut bytes).await.unwrap_or(0);
            let said = String::from_utf8_lossy(&bytes[..read]);
            let said = said.rsplit(char::is_control).next().unwrap_or_default();
            let reason = format!("no {}", echo(said));
            let length = u16::try_from(reason.len()).unwrap();
            // Refused (0x86), with one property: section 3.2.2 of MQTT 5.
            let properties = usize::from(length) + 3;
            let mut connack = vec![0x20];
            connack.extend(variable(properties + variable(properties).len() + 2));
            connack.extend([0, 0x86]);
            connack.extend(variable(properties));
            connack.push(0x1F);
            connack.extend(length.to_be_bytes());
            connack.extend(reason.as_bytes());
            let _ = stream.write_all(&connack).await;
        }
    });
    address
}

/// A variable byte integer: section 1.5.5 of MQTT 5.
fn variable(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let more = if number > 127 { 0x80 } else { 0 };
        bytes.push(u8::try_from(number % 128).unwrap() | more);
        number /= 128;
        if number == 0 {
            return bytes;
        }
    }
}

fn assert_discreet(what: &str, text: &str) {
    let secrets = [
        LOGIN,
        PASSCODE,
        HEADER,
        SIGNIN,
        TOKEN,
        COOKIE,
        CODE,
        HOOK,
        HOOK_QUERY,
        HOOK_PASSWORD,
        DATABASE,
        MQTT,
        ROTATED,
        HTTP,
        SITE,
        CHAT_PATH,
        CHAT_QUERY,
        CHAT,
    ];
    let pair = STANDARD.encode(format!("{LOGIN}:{PASSCODE}"));
    assert!(!text.contains(&pair), "{what} has base64 of both");
    for secret in secrets {
        let spellings = echo(secret);
        for spelling in spellings.split(' ') {
            let spelling = spelling.trim_matches('"');
            if let Some(at) = text.find(spelling) {
                let from = text.floor_char_boundary(at.saturating_sub(300));
                let around = &text[from..at];
                panic!("{what} has {secret} as {spelling} behind: {around}");
            }
        }
    }
}

/// What goes to the one who helps: also where a log holds what it should not, such as another
/// program's.
fn assert_bundle_is_discreet(config: &Path, folder: &Path) {
    // Those that servers gave are known to the daemon alone, which logs none; of `broker` the one of
    // now.
    let configured = [
        PASSCODE,
        HEADER,
        SIGNIN,
        HOOK,
        HOOK_QUERY,
        HOOK_PASSWORD,
        DATABASE,
        ROTATED,
        HTTP,
        CHAT_PATH,
        CHAT_QUERY,
        CHAT,
    ];
    let lines = configured.map(|secret| format!("bridge[1]: {}\n", echo(secret)));
    let tools = folder.join("tools");
    std::fs::create_dir(&tools).unwrap();
    std::fs::write(tools.join("lines"), lines.concat() + "the newest line\n").unwrap();
    let journalctl = tools.join("journalctl");
    let script = "#!/bin/sh\necho \"asked: $*\"\ncat \"$(dirname \"$0\")/lines\"\n";
    std::fs::write(&journalctl, script).unwrap();
    std::fs::set_permissions(&journalctl, Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let bundle = folder.join("support.tar.gz");
    let make = |more: &[&str]| {
        let mut command = peers::process::tethered(env!("CARGO_BIN_EXE_stomp-bridge"));
        command.arg("support-bundle").arg(&bundle).args(more);
        command.arg("--config").arg(config).env_remove("RUST_LOG");
        command.env("PATH", format!("{}:{path}", tools.display()));
        let output = command.output().unwrap();
        for said in [&output.stdout, &output.stderr] {
            assert_discreet("support-bundle", &String::from_utf8_lossy(said));
        }
        let said = String::from_utf8(output.stdout).unwrap();
        (output.status.success(), said)
    };
    // Nobody is there to be asked.
    let (is_written, said) = make(&[]);
    assert!(!is_written && !bundle.exists(), "{said}");
    let is_shown = said.contains("source.passcode_file") && said.contains("nothing was written");
    assert!(is_shown, "{said}");
    let (is_printed, printed) = make(&["--print"]);
    assert!(is_printed && !bundle.exists(), "{printed}");
    let (is_written, said) = make(&["--yes"]);
    assert!(is_written, "{said}");
    let mode = std::fs::metadata(&bundle).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut unpack = std::process::Command::new("tar");
    let unpacked = unpack.arg("-xzOf").arg(&bundle).output().unwrap();
    let unpacked = String::from_utf8(unpacked.stdout).unwrap();
    assert_discreet("the bundle", &unpacked);
    for expected in [
        env!("CARGO_PKG_VERSION"),
        "sinks.hook.url",
        "=  …",
        "\"dead_lettered\"",
        "stomp_bridge_build_info",
        "asked: --unit stomp-bridge.service --lines 2000",
        "the newest line",
    ] {
        assert!(
            unpacked.contains(expected),
            "{expected} is not in {unpacked}"
        );
        assert!(printed.contains(expected), "{expected} is not printed");
    }
    let masked = unpacked.matches("bridge[1]: …").count();
    assert_eq!(masked, configured.len(), "{unpacked}");
    let (is_written, _) = make(&["--yes"]);
    assert!(!is_written, "nothing is written over");
}

/// What is a number is one in JSON, too.
fn assert_numbers(log: &str) {
    let lines = log.lines().map(serde_json::from_str::<serde_json::Value>);
    let mut found = 0;
    for line in lines {
        let line = line.expect("a line of JSON");
        let fields = ["head", "position", "retry_in_ms", "took_ms"];
        for value in fields.iter().filter_map(|field| line.get(field)) {
            assert!(value.is_number(), "{line}");
            found += 1;
        }
    }
    assert!(found > 0, "{log}");
}

/// Rust's own words, and the lines of its files and of PostgreSQL's, help no operator.
fn assert_plain(log: &str) {
    let speaks = |line: &&str| {
        ["INFO", "WARN", "ERROR"]
            .iter()
            .any(|level| line.contains(level))
    };
    for line in log.lines().filter(speaks) {
        for word in ["Some(", "None", "Err(", "Ok(", ".rs:", ".c:"] {
            assert!(!line.contains(word), "{word} in {line}");
        }
    }
}

// The peers answer while a verb is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_leaves_in_any_spelling() {
    let (http, stomp) = (http_peer().await, stomp_peer().await);
    let (postgres, mqtt) = (postgres_peer().await, mqtt_peer().await);
    let folder = Folder::new("canaries");
    let text = format!(
        r#"
[source]
url = "stomp://{stomp}"
login = "{LOGIN}"
passcode_file = "passcode"
headers = {{ X-Token = "{HEADER}", X-Given = "{{{{ signin.token }}}}", X-Site = "{SITE}" }}
[source.reconnect]
initial = "50ms"
max = "100ms"
[source.signin]
url = "http://{http}/login"
json = {{ password = '{SIGNIN}' }}
extract = {{ token = "/token", code = "/code" }}
[secrets]
broker = {{ file = "broker" }}
[topics.map-1]
destination = "/topic/{{{{ signin.code }}}}"
[http]
listen = "127.0.0.1:0"
token = "{HTTP}"
[sinks.hook]
type = "webhook"
url = "http://u:{HOOK_PASSWORD}@{http}/hook?key={HOOK_QUERY}"
headers = {{ Authorization = "Bearer {HOOK}", X-Site = "{SITE}" }}
retry = {{ initial = "100ms", max = "100ms" }}
[sinks.chat]
type = "webhook"
url = "http://{http}/{CHAT_PATH}?key={CHAT_QUERY}{{{{ device_id }}}}"
headers = {{ Authorization = "Bearer {CHAT}{{{{ device_id }}}}" }}
retry = {{ initial = "100ms", max = "100ms" }}
[sinks.warehouse]
type = "postgres"
url = "postgres://bridge:{DATABASE}@{postgres}/devices?sslmode=disable"
[sinks.site]
type = "mqtt"
url = "mqtt://{mqtt}"
username = "bridge"
password = "{{{{ secret('broker') }}}}"
topic = "devices/{{{{ device_id }}}}"
"#
    );
    let config = folder.write("config.toml", &text);
    folder.write("passcode", PASSCODE);
    folder.write("broker", MQTT);
    let beside = folder.path().to_path_buf();
    let trace = [("RUST_LOG", Path::new("trace"))];
    let mut daemon = Daemon::start_in(folder, &config, &trace).await;
    // Each peer has repeated what it was sent.
    daemon.complains(&["the server ended the session"]).await;
    daemon.complains(&["not connected", "answered 403"]).await;
    for sink in ["\"sink\":\"hook\"", "\"sink\":\"chat\""] {
        daemon
            .complains(&["dead-lettered", "answered 422", sink])
            .await;
    }
    daemon
        .complains(&["no … …", "check user and password in `url`"])
        .await;
    daemon.complains(&["\"sink\":\"site\"", "no …"]).await;
    std::fs::write(beside.join("broker"), ROTATED).unwrap();
    let applied = |line: &str| line.contains("configuration applied");
    daemon.logged("the rotated secret", applied).await;
    let authorized = format!("Authorization: Bearer {HTTP}\r\n");
    let (_, status) = daemon.get_with("/status", &authorized).await.unwrap();
    assert!(status.contains("/devices: no …"), "{status}");
    assert_discreet("/status", &status);
    for path in [
        "/readyz",
        "/metrics",
        "/healthz",
        "/",
        "/regions",
        "/topics",
        "/devices?state=all",
        "/devices.csv?state=all",
        "/dead-letters",
        "/api/v1/now",
        "/api/v1/state",
        "/api/v1/devices?state=all",
        "/api/v1/dead-letters",
    ] {
        let (_, body) = daemon.get_with(path, &authorized).await.unwrap();
        assert_discreet(path, &body);
    }
    let path = config.to_str().unwrap();
    let message = beside.join("message.json");
    let said = r#"{"clientId":1,"deviceId":1,"newState":"故障"}"#;
    std::fs::write(&message, said).unwrap();
    let message = message.to_str().unwrap();
    for verb in [
        &["status", "--config", path][..],
        &["check", "--config", path],
        &["dlq", "list", "hook", "--config", path],
        &["dlq", "show", "hook", "--all", "--config", path],
        &["sinks", "retry", "site", "--config", path],
        &["config", "route", "--message", message, "--config", path],
        &["tap", "--frames", "--config", path],
    ] {
        let output = bridge(verb);
        if verb[0] == "tap" {
            let shown = String::from_utf8_lossy(&output.stdout);
            assert!(shown.contains("<<< ERROR"), "{shown}");
        }
        if ["dlq", "config"].contains(&verb[0]) {
            assert!(output.status.success(), "{verb:?}: {output:?}");
        }
        assert_discreet(verb[0], &String::from_utf8_lossy(&output.stdout));
        assert_discreet(verb[0], &String::from_utf8_lossy(&output.stderr));
    }
    assert_bundle_is_discreet(&config, &beside);
    let log = daemon.log();
    assert!(log.contains("\"level\":\"TRACE\"") || log.contains("\"level\":\"DEBUG\""));
    assert_discreet("the log", &log);
    assert_numbers(&log);
    assert_plain(&log);
    daemon.stop().await;
    for file in ["journal.db", "journal.db-wal"] {
        let bytes = std::fs::read(daemon.folder().path().join(file)).unwrap_or_default();
        assert_discreet(file, &String::from_utf8_lossy(&bytes));
    }
}
