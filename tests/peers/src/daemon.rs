//! The daemon under test: the real binary, in a folder of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::configuration::Configuration;
use super::folder::Folder;
use super::process::{Process, memory_bytes_max, resident_bytes_max, tethered, waits};
use super::wait;

/// A started (or ended) daemon. When it is dropped by a panic its log's tail is printed.
pub struct Daemon {
    process: Process,
    folder: Folder,
    config: PathBuf,
    environment: Vec<(String, PathBuf)>,
    http: String,
}

impl Daemon {
    /// Starts one and waits until its HTTP listens.
    pub async fn start(configuration: &Configuration) -> Daemon {
        Daemon::start_with(configuration, &[]).await
    }

    /// The same with variables of its environment.
    pub async fn start_with(
        configuration: &Configuration,
        environment: &[(&str, &Path)],
    ) -> Daemon {
        let folder = Folder::new("daemon");
        let config = configuration.write(&folder);
        Daemon::start_in(folder, &config, environment).await
    }

    /// The same with a file that stands in a folder already.
    pub async fn start_in(folder: Folder, config: &Path, environment: &[(&str, &Path)]) -> Daemon {
        let config = config.to_path_buf();
        let environment: Vec<(String, PathBuf)> = environment
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_path_buf()))
            .collect();
        let process = launch(folder.path(), &config, &environment);
        let mut daemon = Daemon {
            process,
            folder,
            config,
            environment,
            http: String::new(),
        };
        daemon.listening().await;
        daemon
    }

    /// Starts it again after it has ended, with the same files.
    pub async fn restart(&mut self) {
        assert!(
            !self.process.runs(),
            "the daemon is restarted while it runs"
        );
        self.process = launch(self.folder.path(), &self.config, &self.environment);
        self.listening().await;
    }

    async fn listening(&mut self) {
        let line = self
            .logged("\"http is listening\"", |line| {
                line.contains("\"message\":\"http is listening\"")
            })
            .await;
        let value: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"));
        // Where a formatter puts an event's fields is its own business.
        let listen = value["listen"]
            .as_str()
            .or_else(|| value["fields"]["listen"].as_str());
        self.http = listen
            .unwrap_or_else(|| panic!("no \"listen\" in {line}"))
            .to_owned();
    }

    /// Waits until `/readyz` says 200: connected, subscribed, and every sink up.
    pub async fn ready(&mut self) {
        let ready = wait::within(wait::LONG, async || {
            assert!(
                self.process.runs(),
                "the daemon ended before it was ready\n{}",
                self.process.log_tail()
            );
            (self.get("/readyz").await?.0 == 200).then_some(())
        })
        .await;
        if ready.is_none() {
            panic!(
                "not ready: {:?}\n{}",
                self.get("/readyz").await,
                self.process.log_tail()
            );
        }
    }

    /// The status and body of a GET; `None` where nothing answers.
    pub async fn get(&self, path: &str) -> Option<(u16, String)> {
        self.get_with(path, "").await
    }

    /// The same with more headers, each with its line end.
    pub async fn get_with(&self, path: &str, headers: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(&self.http).await.ok()?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// Waits for a log line (one JSON object) of this start; panics if the daemon ends first.
    pub async fn logged(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.process.logged(what, wanted).await
    }

    /// Waits for a warning or an error that has all of these words, whatever their case; gives its
    /// line.
    pub async fn complains(&mut self, words: &[&str]) -> String {
        let has_all = |line: &str| {
            let line = line.to_lowercase();
            words.iter().all(|word| line.contains(&word.to_lowercase()))
        };
        self.logged(&format!("warning with {words:?}"), |line| {
            is_warning(line) && has_all(line)
        })
        .await
    }

    /// What `/status` says.
    pub async fn status(&self) -> Value {
        let (status, body) = self
            .get("/status")
            .await
            .expect("the daemon's HTTP answers");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap_or_else(|e| panic!("{body}: {e}"))
    }

    /// What this start has logged so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The most memory that was resident at once, in bytes.
    pub fn resident_bytes_max(&self) -> u64 {
        resident_bytes_max(self.process.pid())
    }

    /// The most memory that it held at once, in bytes: without the pages of files, such as the
    /// program's own code, which the kernel takes back where it needs them.
    pub fn memory_bytes_max(&self) -> u64 {
        memory_bytes_max(self.process.pid())
    }

    /// How often each of its threads has waited for something, by name and id.
    pub fn waits(&self) -> BTreeMap<(String, String), u64> {
        waits(self.process.pid())
    }

    /// Where its HTTP listens, as `address:port`.
    pub fn http(&self) -> &str {
        &self.http
    }

    /// Its folder: the configuration, the journal, the SQLite history.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Still running.
    pub fn runs(&mut self) -> bool {
        self.process.runs()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Stops it in its tracks; what it was sent waits in its sockets.
    pub fn freeze(&self) {
        self.process.signal(Signal::STOP);
    }

    /// The end of [`Daemon::freeze`].
    pub fn thaw(&self) {
        self.process.signal(Signal::CONT);
    }

    /// SIGHUP.
    pub fn hang_up(&self) {
        self.process.signal(Signal::HUP);
    }

    /// SIGTERM; the exit status. The daemon ends within 25 seconds, where the machine has them for it.
    pub async fn stop(&mut self) -> ExitStatus {
        self.process.signal(Signal::TERM);
        self.process.ended(wait::LONG).await
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.process.log_tail());
        }
    }
}

fn is_warning(line: &str) -> bool {
    let value: Option<Value> = serde_json::from_str(line).ok();
    value.is_some_and(|value| matches!(value["level"].as_str(), Some("WARN" | "ERROR")))
}

/// Where the daemon's binary is: cargo says it to the tests and benchmarks that it runs. One that
/// is run by hand lies in `deps/` below it.
fn binary() -> PathBuf {
    std::env::var_os("CARGO_BIN_EXE_stomp-bridge").map_or_else(
        || {
            let test = std::env::current_exe().expect("a process knows its own file");
            let profile = test.ancestors().nth(2).expect("cargo builds into deps/");
            profile.join("stomp-bridge")
        },
        PathBuf::from,
    )
}

/// `stomp-bridge run` in a folder, which gets its log, too.
pub fn launch(folder: &Path, config: &Path, environment: &[(String, PathBuf)]) -> Process {
    let mut command = tethered(binary());
    command
        .arg("run")
        .arg("--config")
        .arg(config)
        .current_dir(folder);
    // What the tester's own shell has set is not part of the test.
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("STOMP_BRIDGE_"))
    {
        command.env_remove(name);
    }
    command
        .env_remove("RUST_LOG")
        .env_remove("NOTIFY_SOCKET")
        .env_remove("STATE_DIRECTORY");
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    Process::start("stomp-bridge", command, &folder.join("daemon.log"))
}
