//! The same work by an afternoon's script, from STOMP to one destination: in JavaScript with
//! @stomp/stompjs, in Python with stomp.py. The scripts are in `benches/scripts`; its `prepare`
//! installs their packages. They keep no journal: a message is acknowledged once its one
//! destination has it. The daemon journals and syncs it on top.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Pid;

use crate::Row;
use crate::daemon::{Usage, usage_of};
use crate::mosquitto::{Mosquitto, Nagle};
use crate::runtime;
use crate::sustained::{self, Sustained};
use peers::Postgres;
use peers::source::Source;

/// Then no more is sent, and the last ACK is waited for.
const DURATION: Duration = Duration::from_secs(8);

const LANGUAGES: [(&str, &str, &str); 2] = [
    ("JavaScript", "node", "bridge.mjs"),
    ("Python", "python3", "bridge.py"),
];

/// A destination for one run, and how each side gets to know it.
struct Destination {
    sink: String,
    kind: &'static str,
    place: String,
    /// Ends with it.
    _server: Option<Server>,
}

enum Server {
    Mosquitto(#[expect(dead_code, reason = "kept until the end")] Mosquitto),
    Postgres(#[expect(dead_code, reason = "kept until the end")] Postgres),
}

/// Each destination three times, each time a fresh one: the daemon, and the scripts with their
/// ratios to it.
pub(crate) fn run() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, destination) in [
        ("MQTT", mqtt as fn(&Path) -> Destination),
        ("SQLite", sqlite),
        ("Postgres", postgres),
    ] {
        let folder =
            tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder under target/");
        let daemon = sustained::through(&destination(folder.path()).sink);
        rows.push(Row::new(
            format!("{name}: stomp-bridge"),
            described(&daemon),
        ));
        for (language, interpreter, script) in LANGUAGES {
            let folder =
                tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder under target/");
            let measured = measure(
                folder.path(),
                interpreter,
                script,
                &destination(folder.path()),
            );
            let (rate, cpu) = (
                daemon.rate() / measured.rate(),
                measured.cpu_per_million() / daemon.cpu_per_million(),
            );
            rows.push(Row::new(
                format!("{name}: {language}"),
                described(&measured),
            ));
            rows.push(Row::new(
                format!("{name}: stomp-bridge to {language}"),
                format!("{rate:.1} times the speed, 1/{cpu:.0} of the CPU"),
            ));
        }
    }
    rows
}

fn described(measured: &Sustained) -> String {
    format!(
        "{:.0}/s, {:.0} CPU s per million, {:.0} MiB",
        measured.rate(),
        measured.cpu_per_million(),
        measured.usage.resident_bytes_max as f64 / f64::from(1 << 20)
    )
}

fn mqtt(folder: &Path) -> Destination {
    let mosquitto = Mosquitto::start(folder, Nagle::Off);
    let place = format!("mqtt://{}", mosquitto.address());
    Destination {
        sink: mosquitto.sink(),
        kind: "mqtt",
        place,
        _server: Some(Server::Mosquitto(mosquitto)),
    }
}

fn sqlite(folder: &Path) -> Destination {
    let place = folder.join("script.db").display().to_string();
    Destination {
        sink: "type = \"sqlite\"\npath = \"history.db\"".to_owned(),
        kind: "sqlite",
        place,
        _server: None,
    }
}

fn postgres(_folder: &Path) -> Destination {
    let runtime = runtime();
    let server = runtime.block_on(Postgres::start());
    let place = runtime.block_on(server.create("bench"));
    let sink = format!("type = \"postgres\"\nurl = \"{place}\"");
    Destination {
        sink,
        kind: "postgres",
        place,
        _server: Some(Server::Postgres(server)),
    }
}

fn measure(folder: &Path, interpreter: &str, script: &str, destination: &Destination) -> Sustained {
    let source = Source::bind();
    let script = Script::start(folder, interpreter, script, &source, destination);
    let mut client = source
        .accept()
        .unwrap_or_else(|error| panic!("no subscription: {error}\n{}", script.said()));
    let before = script.usage();
    let (count, elapsed) = client
        .flood(DURATION, usize::MAX)
        .unwrap_or_else(|error| panic!("the flood failed: {error}\n{}", script.said()));
    client
        .check_acknowledged()
        .unwrap_or_else(|error| panic!("{error}\n{}", script.said()));
    let after = script.usage();
    Sustained {
        count,
        elapsed,
        usage: Usage {
            cpu: after.cpu - before.cpu,
            ..after
        },
    }
}

/// A running script; dropping it kills it.
struct Script {
    child: Child,
    output: PathBuf,
}

impl Script {
    fn start(
        folder: &Path,
        interpreter: &str,
        script: &str,
        source: &Source,
        to: &Destination,
    ) -> Script {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/scripts");
        let installed = scripts.join("node_modules").exists() && scripts.join("lib").exists();
        assert!(installed, "run benches/scripts/prepare first");
        let output = folder.join("script.log");
        let file = File::create(&output).expect("a writable folder");
        let address = source.address();
        let child = Command::new(interpreter)
            .arg(scripts.join(script))
            .args([address.ip().to_string(), address.port().to_string()])
            .args([to.kind, &to.place])
            .env("PYTHONPATH", scripts.join("lib"))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("start {interpreter}: {error}"));
        Script { child, output }
    }

    fn usage(&self) -> Usage {
        usage_of(Pid::from_child(&self.child))
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap_or_default()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
