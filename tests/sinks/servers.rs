//! Private servers on free ports in temporary folders, stopped by their pid.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::Duration;

use tempfile::TempDir;

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// What a server writes to its standard error.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    news: Condvar,
}

impl Log {
    /// How many lines have this text.
    fn count(&self, text: &str) -> usize {
        count(&self.lines.lock().unwrap(), text)
    }

    fn wait_for(&self, text: &str, times: usize) {
        let lines = self.lines.lock().unwrap();
        let absent = |lines: &mut Vec<String>| count(lines, text) < times;
        let (lines, waited) = self
            .news
            .wait_timeout_while(lines, Duration::from_secs(60), absent)
            .unwrap();
        assert!(!waited.timed_out(), "{text:?} is not in {lines:?}");
    }
}

fn count(lines: &[String], text: &str) -> usize {
    lines.iter().filter(|line| line.contains(text)).count()
}

/// Starts a server and waits until its log has `ready`.
fn start(command: &mut Command, ready: &str) -> (Child, Arc<Log>) {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let log = Arc::new(Log::default());
    let kept = log.clone();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            kept.lines.lock().unwrap().push(line);
            kept.news.notify_all();
        }
    });
    log.wait_for(ready, 1);
    (child, log)
}

fn stop(child: &mut Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    // It may have ended by itself.
    let _ = rustix::process::kill_process(pid, signal);
    child.wait().unwrap();
}

/// mosquitto. What it confirmed survives a stop, since it writes its retained messages when it
/// ends.
pub(crate) struct Mosquitto {
    pub(crate) port: u16,
    folder: TempDir,
    child: Child,
    log: Arc<Log>,
}

impl Mosquitto {
    /// Its log has every packet, which subscribers here are waited for by.
    pub(crate) fn start() -> Mosquitto {
        Mosquitto::start_with("allow_anonymous true\nlog_type all")
    }

    /// The same for anybody, with an access list.
    pub(crate) fn start_with_access(list: &str) -> Mosquitto {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("access");
        fs::write(&file, list).unwrap();
        let lines = format!(
            "allow_anonymous true\nlog_type all\nacl_file {}",
            file.display()
        );
        Mosquitto::start_in(folder, &lines)
    }

    /// With further lines of its configuration.
    pub(crate) fn start_with(lines: &str) -> Mosquitto {
        Mosquitto::start_in(tempfile::tempdir().unwrap(), lines)
    }

    fn start_in(folder: TempDir, lines: &str) -> Mosquitto {
        let port = free_port();
        let store = folder.path().display();
        let user = if rustix::process::geteuid().is_root() {
            "user root"
        } else {
            ""
        };
        // Without a limit of its queues, mosquitto 2.0.11 ends a connection at what it rejects.
        let configuration = format!(
            "listener {port} 127.0.0.1\n{lines}\n{user}\npersistence true\npersistence_location {store}/\n\
             max_queued_messages 1000000\n"
        );
        fs::write(folder.path().join("mosquitto.conf"), configuration).unwrap();
        let (child, log) = Mosquitto::run(folder.path());
        Mosquitto {
            port,
            folder,
            child,
            log,
        }
    }

    fn run(folder: &Path) -> (Child, Arc<Log>) {
        start(
            Command::new("mosquitto")
                .arg("-c")
                .arg(folder.join("mosquitto.conf")),
            "running",
        )
    }

    pub(crate) fn stop(&mut self) {
        stop(&mut self.child, rustix::process::Signal::TERM);
    }

    /// Again, on the same port, after a stop.
    pub(crate) fn restart(&mut self) {
        (self.child, self.log) = Mosquitto::run(self.folder.path());
    }

    pub(crate) fn has_logged(&self, text: &str) -> bool {
        self.log.count(text) > 0
    }

    /// How many connections it has had.
    pub(crate) fn connections(&self) -> usize {
        self.log.count("New connection from")
    }

    /// Waits for so many.
    pub(crate) fn wait_for_connections(&self, count: usize) {
        self.log.wait_for("New connection from", count);
    }

    /// A subscriber to everything, as `topic body`, which ends after a number of messages. It is
    /// subscribed when this returns.
    pub(crate) fn subscriber(&self, messages: usize) -> Subscriber {
        self.subscribe(&["-C", &messages.to_string()])
    }

    /// All retained messages, as `topic body`.
    pub(crate) async fn retained(&self) -> HashSet<String> {
        let subscriber = self.subscribe(&["--retained-only"]);
        // It ends with the first message that is not retained; those that are stand in the queue
        // before it.
        self.publish(&["-t", "end", "-m", "end"]);
        subscriber.messages().await.into_iter().collect()
    }

    /// Publishes with QoS 1.
    pub(crate) fn publish(&self, arguments: &[&str]) {
        let server = ["-h", "127.0.0.1", "-p", &self.port.to_string(), "-q", "1"];
        let status = Command::new("mosquitto_pub")
            .args(server)
            .args(arguments)
            .status()
            .unwrap();
        assert!(status.success(), "{arguments:?}");
    }

    fn subscribe(&self, until: &[&str]) -> Subscriber {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let id = format!("subscriber-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut child = Command::new("mosquitto_sub")
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &self.port.to_string(),
                "-i",
                &id,
                "-q",
                "1",
                "-t",
                "#",
                "-W",
                "60",
            ])
            .args(["-F", "%t %p"])
            .args(until)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reader = std::thread::spawn(move || lines.map_while(Result::ok).collect());
        // Its own output comes only at its end, when that is a pipe.
        self.log.wait_for(&format!("Sending SUBACK to {id}"), 1);
        Subscriber { child, reader }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.stop();
    }
}

/// See [`Mosquitto::subscriber`].
pub(crate) struct Subscriber {
    child: Child,
    reader: std::thread::JoinHandle<Vec<String>>,
}

impl Subscriber {
    /// All messages, in the order of their arrival.
    pub(crate) async fn messages(mut self) -> Vec<String> {
        tokio::task::spawn_blocking(move || {
            let messages = self.reader.join().unwrap();
            self.child.wait().unwrap();
            messages
        })
        .await
        .unwrap()
    }
}

/// PostgreSQL, shared by the tests that run at the same time; each has its own database.
pub(crate) struct Postgres {
    port: u16,
    folder: TempDir,
    child: Child,
}

pub(crate) const PASSWORD: &str = "s3cret-word";

/// A file of `tests/fixtures/tls`.
pub(crate) fn fixture_path(name: &str) -> String {
    format!("{}/tests/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

static RUNNING: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());

impl Postgres {
    pub(crate) async fn shared() -> Arc<Postgres> {
        tokio::task::spawn_blocking(|| {
            let mut running = RUNNING
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            running.upgrade().unwrap_or_else(|| {
                let started = Arc::new(Postgres::start(None));
                *running = Arc::downgrade(&started);
                started
            })
        })
        .await
        .unwrap()
    }

    /// One of a test's own.
    pub(crate) async fn alone() -> Postgres {
        tokio::task::spawn_blocking(|| Postgres::start(None))
            .await
            .unwrap()
    }

    /// One of a test's own, with TLS for those who want it and this certificate of
    /// `tests/fixtures/tls`. Its database `known` is for those alone who show one of `ca.pem`.
    pub(crate) async fn over_tls(certificate: &'static str) -> Postgres {
        tokio::task::spawn_blocking(move || Postgres::start(Some(certificate)))
            .await
            .unwrap()
    }

    /// A standby of this one, with what it has.
    pub(crate) fn standby(&self) -> Postgres {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        fs::set_permissions(home, fs::Permissions::from_mode(0o777)).unwrap();
        let data = format!("{home}/data");
        let copied = Postgres::command("pg_basebackup")
            .args(["-D", &data, "-R", "--checkpoint=fast", "--no-sync"])
            .args(["-d", &self.url("postgres")])
            .current_dir(home)
            .output()
            .unwrap();
        assert!(
            copied.status.success(),
            "{}",
            String::from_utf8_lossy(&copied.stderr)
        );
        Postgres::run(
            folder,
            &["listen_addresses=127.0.0.1"],
            "ready to accept read-only connections",
        )
    }

    /// Another certificate, for those who connect once it has noticed.
    pub(crate) fn shows(&self, certificate: &str) {
        Postgres::install_certificate(&self.folder.path().join("data"), certificate);
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    }

    fn install_certificate(data: &Path, certificate: &str) {
        Postgres::install(data, &format!("{certificate}.pem"), "server.pem");
        Postgres::install(data, &format!("{certificate}.key"), "server.key");
    }

    /// Gives the server a file of the fixtures, as only its user can read it.
    fn install(data: &Path, fixture: &str, name: &str) {
        let mut command = Command::new("install");
        if rustix::process::geteuid().is_root() {
            command.args(["-o", "postgres", "-g", "postgres"]);
        }
        command.args(["-m", "600"]).arg(fixture_path(fixture));
        assert!(command.arg(data.join(name)).status().unwrap().success());
    }

    fn start(certificate: Option<&str>) -> Postgres {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        // The server runs as another user, who must be able to write here.
        fs::set_permissions(home, fs::Permissions::from_mode(0o777)).unwrap();
        let password_file = format!("{home}/password");
        fs::write(&password_file, PASSWORD).unwrap();
        let data = format!("{home}/data");
        let initdb = Postgres::command("initdb")
            .args([
                "-D",
                &data,
                "-U",
                "bridge",
                "--pwfile",
                &password_file,
                "-A",
                "scram-sha-256",
            ])
            .args(["-E", "UTF8", "--locale=C.UTF-8", "--no-sync"])
            .current_dir(home)
            .output()
            .unwrap();
        assert!(
            initdb.status.success(),
            "{}",
            String::from_utf8_lossy(&initdb.stderr)
        );
        let mut settings = vec!["listen_addresses=127.0.0.1"];
        if let Some(certificate) = certificate {
            let data = Path::new(&data);
            Postgres::install_certificate(data, certificate);
            Postgres::install(data, "ca.pem", "ca.pem");
            settings.extend([
                "ssl=on",
                "ssl_cert_file=server.pem",
                "ssl_key_file=server.key",
                "ssl_ca_file=ca.pem",
            ]);
            let rules = "hostnossl known all 127.0.0.1/32 reject\n\
                         hostssl known all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n\
                         host all all 127.0.0.1/32 scram-sha-256\n";
            fs::write(data.join("pg_hba.conf"), rules).unwrap();
        }
        Postgres::run(
            folder,
            &settings,
            "database system is ready to accept connections",
        )
    }

    /// Starts the server whose data are in this folder.
    fn run(folder: TempDir, settings: &[&str], ready: &str) -> Postgres {
        let home = folder.path().to_str().unwrap();
        let port = free_port();
        let (child, _) = start(
            Postgres::command("postgres")
                .args(settings.iter().flat_map(|setting| ["-c", setting]))
                .args(["-D", &format!("{home}/data")])
                .args(["-p", &port.to_string(), "-k", home])
                .current_dir(home),
            ready,
        );
        Postgres {
            port,
            folder,
            child,
        }
    }

    /// PostgreSQL's programs refuse to run as root.
    fn command(program: &str) -> Command {
        Postgres::as_its_user(&Postgres::programs().join(program))
    }

    /// Those of Debian's newest version, where the environment names no others.
    fn programs() -> PathBuf {
        if let Some(named) = std::env::var_os("STOMP_BRIDGE_TEST_POSTGRES") {
            return named.into();
        }
        let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
        let newest = versions.map(|entry| entry.unwrap().path()).max().unwrap();
        newest.join("bin")
    }

    fn as_its_user(path: &Path) -> Command {
        if !rustix::process::geteuid().is_root() {
            return Command::new(path);
        }
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
            .arg(path);
        command
    }

    pub(crate) fn url(&self, database: &str) -> String {
        Postgres::url_at(self.port, database)
    }

    /// The same through another port, such as a proxy's.
    pub(crate) fn url_at(port: u16, database: &str) -> String {
        format!("postgres://bridge:{PASSWORD}@127.0.0.1:{port}/{database}?sslmode=disable")
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // "Fast shutdown": does not wait for clients.
        stop(&mut self.child, rustix::process::Signal::INT);
    }
}

/// pgbouncer: a pooler of connections, here in front of a server's databases.
pub(crate) struct Pgbouncer {
    port: u16,
    child: Child,
    _folder: TempDir,
}

impl Pgbouncer {
    /// In this `pool_mode`, with that many connections for each database.
    pub(crate) fn start(server: &Postgres, mode: &str, connections: u32) -> Pgbouncer {
        Pgbouncer::of("bridge", server, mode, connections)
    }

    /// The same for this role, which has the same password.
    pub(crate) fn of(role: &str, server: &Postgres, mode: &str, connections: u32) -> Pgbouncer {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let users = folder.path().join("users");
        fs::write(&users, format!("\"{role}\" \"{PASSWORD}\"\n")).unwrap();
        let port = free_port();
        let (behind, users) = (server.port(), users.display());
        let configuration = format!(
            "[databases]\n* = host=127.0.0.1 port={behind}\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = plain\nauth_file = {users}\npool_mode = {mode}\n\
             default_pool_size = {connections}\nserver_tls_sslmode = disable\n"
        );
        let file = folder.path().join("pgbouncer.ini");
        fs::write(&file, configuration).unwrap();
        let mut command = Postgres::as_its_user(Path::new("/usr/sbin/pgbouncer"));
        let (child, _) = start(command.arg(file), "process up");
        Pgbouncer {
            port,
            child,
            _folder: folder,
        }
    }

    pub(crate) fn url(&self, database: &str) -> String {
        Postgres::url_at(self.port, database)
    }
}

impl Drop for Pgbouncer {
    fn drop(&mut self) {
        stop(&mut self.child, rustix::process::Signal::TERM);
    }
}
