//! A private PostgreSQL: a fresh cluster that listens on loopback alone, a database for each test.

use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use sqlx::{Connection, PgConnection};

use super::folder::Folder;
use super::process::{Process, run};
use super::{PASSWORD, USER, port};

/// A running PostgreSQL.
pub struct Postgres {
    process: Process,
    folder: Folder,
    port: u16,
}

impl Postgres {
    /// Makes a cluster and starts it.
    pub async fn start() -> Postgres {
        let folder = Folder::new("postgres");
        let home = folder.join("home");
        let mut own = Command::new("install");
        own.args(["-d", "-o", "postgres", "-g", "postgres", "-m", "700"])
            .arg(&home);
        run(own);
        let password = folder.write("password", PASSWORD);
        let mut initdb = as_postgres("initdb");
        initdb
            .arg("-D")
            .arg(home.join("data"))
            .args(["-U", USER, "-A", "scram-sha-256"]);
        initdb
            .arg("--pwfile")
            .arg(&password)
            .args(["-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]);
        initdb.env("HOME", &home).current_dir(&home);
        run(initdb);
        let port = port::free();
        let process = launch(&folder, port).await;
        Postgres {
            process,
            folder,
            port,
        }
    }

    /// The URL of a database, with user and password.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Creates an empty database and gives its URL.
    pub async fn create(&self, database: &str) -> String {
        let mut connection = self.connect("postgres").await;
        let create = format!("create database {database}");
        sqlx::query(sqlx::AssertSqlSafe(create))
            .execute(&mut connection)
            .await
            .expect("create a database");
        connection.close().await.expect("close a connection");
        self.url(database)
    }

    /// A connection to a database.
    pub async fn connect(&self, database: &str) -> PgConnection {
        let connected = PgConnection::connect(&self.url(database)).await;
        connected
            .unwrap_or_else(|e| panic!("connect to {database}: {e}\n{}", self.process.log_tail()))
    }

    /// Ends it as a crash does: no checkpoint, no goodbye to its clients.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// It answers nobody, and its sockets stay open.
    pub fn freeze(&self) {
        self.process.freeze();
    }

    /// The end of [`Postgres::freeze`].
    pub fn thaw(&self) {
        self.process.thaw();
    }

    /// Starts it again after [`Postgres::kill`]: same port, same data.
    pub async fn restart(&mut self) {
        self.process = launch(&self.folder, self.port).await;
    }
}

async fn launch(folder: &Folder, port: u16) -> Process {
    let home = folder.join("home");
    let mut command = as_postgres("postgres");
    command
        .arg("-D")
        .arg(home.join("data"))
        .arg("-p")
        .arg(port.to_string());
    command.args([
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "unix_socket_directories=",
    ]);
    command.args([
        "-c",
        "max_connections=100",
        "-c",
        "log_min_messages=warning",
    ]);
    command.env("HOME", &home).current_dir(&home);
    let mut process =
        Process::start("postgres", command, &folder.join("postgres.log")).ending_with(Signal::QUIT);
    process
        .logged("\"ready\"", |line| {
            line.contains("database system is ready to accept connections")
        })
        .await;
    process
}

/// A program of the server, tethered. It refuses to run as root: the package's own user runs it.
/// SIGQUIT is its immediate shutdown; SIGKILL would leave its backends and its shared memory
/// behind.
fn as_postgres(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=postgres",
        "--regid=postgres",
        "--clear-groups",
        "--pdeathsig",
        "QUIT",
        "--",
    ]);
    command.arg(programs().join(program));
    command
}

/// Where Debian's package keeps the server's programs: the newest version that is installed.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL is installed (tests/run does it)");
    let newest = versions
        .flatten()
        .max_by_key(|v| v.file_name().to_string_lossy().parse::<u32>().unwrap_or(0));
    newest
        .expect("a version of PostgreSQL is installed")
        .path()
        .join("bin")
}
