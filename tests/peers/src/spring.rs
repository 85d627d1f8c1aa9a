//! The Spring Boot application of `tests/spring`: a simple broker with a SockJS and a raw endpoint,
//! the server that most users have. A test commands it over HTTP.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::folder::Folder;
use super::http::exchange;
use super::java::java;
use super::process::Process;
use super::{PASSWORD, port};

/// As much as Spring needs for a few sessions.
const HEAP_MEBIBYTES: usize = 192;

/// What the application is built with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boot {
    /// The last of Spring Boot 2 (Spring 5, Tomcat 9), as old platforms have it.
    Two,
    /// Spring Boot 3.
    Three,
}

/// A running application.
pub struct Spring {
    process: Process,
    folder: Folder,
    port: u16,
    boot: Boot,
    switches: Vec<String>,
}

/// Where clients find the simple broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// SockJS with all of its transports.
    SockJs,
    /// SockJS without websocket.
    Streaming,
    /// SockJS with xhr polling alone.
    Polling,
    /// A plain WebSocket.
    Raw,
}

/// What signing in gives.
pub struct SignedIn {
    /// For `Authorization: Bearer`, and the value of the cookie `token`.
    pub token: String,
    /// Part of a destination; the same for a user as long as the application lives.
    pub socket_code: String,
}

impl Spring {
    /// Starts one with switches such as `lab.heartbeat=1000` (see the Java sources). `None` where
    /// it was not built, since Maven Central was out of reach when the tests were prepared; the
    /// test's output says so.
    pub async fn start(switches: &[&str]) -> Option<Spring> {
        Spring::start_built_with(Boot::Three, switches).await
    }

    /// The same, built with another Spring Boot.
    pub async fn start_built_with(boot: Boot, switches: &[&str]) -> Option<Spring> {
        if !jar(boot).is_file() {
            // Past the capture of what passing tests print.
            let line = "not run: the Spring Boot application is not built; Maven Central must be within reach of tests/prepare\n";
            std::io::stderr()
                .write_all(line.as_bytes())
                .expect("write to stderr");
            return None;
        }
        let (folder, port) = (Folder::new("spring"), port::free());
        let switches: Vec<String> = switches
            .iter()
            .map(|switch| format!("--{switch}"))
            .collect();
        let process = launch(&folder, port, boot, &switches).await;
        Some(Spring {
            process,
            folder,
            port,
            boot,
            switches,
        })
    }

    /// Where its HTTP listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Of an endpoint, as in a configuration.
    pub fn url(&self, endpoint: Endpoint) -> String {
        let (scheme, path) = match endpoint {
            Endpoint::SockJs => ("http", "webSocketServer"),
            Endpoint::Streaming => ("http", "streaming"),
            Endpoint::Polling => ("http", "polling"),
            Endpoint::Raw => ("ws", "wxServer"),
        };
        format!("{scheme}://127.0.0.1:{}/{path}", self.port)
    }

    /// Where the platform's pages sign in.
    pub fn sign_in_url(&self) -> String {
        format!("http://127.0.0.1:{}/api/login", self.port)
    }

    /// Signs in as somebody.
    pub async fn sign_in(&self, username: &str) -> SignedIn {
        let credentials = json!({ "username": username, "password": PASSWORD });
        let answer: Value =
            serde_json::from_str(&self.post("/api/login", &credentials.to_string()).await)
                .expect("the answer to a sign-in is JSON");
        let text = |name: &str| {
            answer["data"][name]
                .as_str()
                .unwrap_or_else(|| panic!("{answer}"))
                .to_owned()
        };
        SignedIn {
            token: text("token"),
            socket_code: text("socketCode"),
        }
    }

    /// Ends what everybody has signed in to; living sessions stay.
    pub async fn expire_tokens(&self) {
        self.post("/api/expire", "").await;
    }

    /// What its REST interface says of all devices from now on, and where it does. Nothing is
    /// published.
    pub async fn devices_are(&self, states: &[(u32, &str)]) {
        let states: serde_json::Map<String, Value> = states
            .iter()
            .map(|(device, state)| (device.to_string(), json!(state)))
            .collect();
        self.post("/api/states", &Value::from(states).to_string())
            .await;
    }

    /// Where it says that.
    pub fn devices_url(&self) -> String {
        format!("http://127.0.0.1:{}/api/devices", self.port)
    }

    /// Publishes messages to a destination.
    pub async fn publish(&self, destination: &str, bodies: impl IntoIterator<Item = String>) {
        let lines: Vec<String> = bodies.into_iter().collect();
        self.post(
            &format!("/publish?destination={destination}"),
            &lines.join("\n"),
        )
        .await;
    }

    /// Ends every session with a close code.
    pub async fn close_all(&self, code: u16, reason: &str) {
        self.post(&format!("/close?code={code}&reason={reason}"), "")
            .await;
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after [`Spring::kill`], on the same port; nobody is signed in.
    pub async fn restart(&mut self) {
        self.process = launch(&self.folder, self.port, self.boot, &self.switches).await;
    }

    /// Stops it in its tracks, until [`Spring::thaw`].
    pub fn freeze(&self) {
        self.process.signal(Signal::STOP);
    }

    /// The end of [`Spring::freeze`].
    pub fn thaw(&self) {
        self.process.signal(Signal::CONT);
    }

    async fn post(&self, path: &str, body: &str) -> String {
        let answer = exchange(self.port, "POST", path, body).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let accepted = head.split(' ').nth(1) == Some("200");
        assert!(
            accepted,
            "POST {path}: {answer}\n{}",
            self.process.log_tail()
        );
        body.to_owned()
    }
}

fn jar(boot: Boot) -> PathBuf {
    let version = match boot {
        Boot::Two => "2",
        Boot::Three => "3",
    };
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../spring/target")
        .join(version)
        .join("spring.jar")
}

async fn launch(folder: &Folder, port: u16, boot: Boot, switches: &[String]) -> Process {
    let mut command = java(HEAP_MEBIBYTES);
    command.arg("-jar").arg(jar(boot)).args([
        "--server.address=127.0.0.1",
        &format!("--server.port={port}"),
    ]);
    command
        .args([
            "--spring.main.banner-mode=off",
            "--server.tomcat.threads.max=16",
        ])
        .args(switches);
    command.current_dir(folder.path());
    let mut process = Process::start("spring", command, &folder.join("spring.log"));
    process
        .logged("\"Started\"", |line| {
            line.contains("Started Application in ")
        })
        .await;
    process
}
