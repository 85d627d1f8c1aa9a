//! Who is measured: a command line, a configuration and an end condition. Nothing here knows more
//! of a contestant than that.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, bail};
use rustix::process::Signal;

use crate::rabbitmq::floor;
use peers::process::{Process, tethered};
use peers::{PASSWORD, USER, port};

/// The contestant that the others are compared with.
pub(super) const SCRIPT: &str = "script";

/// A command line in which the words in @ are filled in for each run.
#[derive(Debug, Clone)]
pub(super) struct Contestant {
    pub(super) name: String,
    command: Vec<String>,
    /// Of RabbitMQ to mosquitto, and of a flood.
    configs: Option<Configs>,
    pub(super) end: End,
    needs: Needs,
}

#[derive(Debug, Clone)]
struct Configs {
    bridge: String,
    flood: String,
}

/// When a run is over.
#[derive(Debug, Clone)]
pub(super) enum End {
    /// Every message has come to the MQTT subscriber.
    Subscriber,
    /// Every message stands in this file of the run's folder.
    File(String),
}

/// Which of its templates a contestant runs with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Role {
    /// From a queue to mosquitto.
    Bridge,
    /// Journals and acknowledges.
    Flood,
}

/// What must be there before its first run.
#[derive(Debug, Clone, Copy)]
enum Needs {
    Nothing,
    /// benches/scripts/prepare has been run.
    Scripts,
    /// Maven has built benches/camel.
    Camel,
}

/// Where a run finds its peers.
pub(super) struct Surroundings<'a> {
    pub(super) folder: &'a Path,
    pub(super) stomp_port: u16,
    pub(super) queue: &'a str,
    /// HOST:PORT
    pub(super) mqtt: String,
}

impl Contestant {
    /// The release build that `cargo bench` has made.
    pub(super) fn ours() -> Contestant {
        Contestant::binary("ours", env!("CARGO_BIN_EXE_stomp-bridge"))
    }

    /// JavaScript: @stomp/stompjs and mqtt.js.
    pub(super) fn script() -> Contestant {
        let script = benches("scripts/bridge.mjs");
        Contestant {
            name: SCRIPT.to_owned(),
            command: strings(&[&["node", script.as_str()], SCRIPT_ARGUMENTS].concat()),
            configs: None,
            end: End::Subscriber,
            needs: Needs::Scripts,
        }
    }

    /// Python: stomp.py and paho-mqtt.
    pub(super) fn python() -> Contestant {
        let path = format!("PYTHONPATH={}", benches("scripts/lib"));
        let script = benches("scripts/bridge.py");
        Contestant {
            name: "python".to_owned(),
            command: strings(
                &[
                    &["env", path.as_str(), "python3", script.as_str()],
                    SCRIPT_ARGUMENTS,
                ]
                .concat(),
            ),
            ..Contestant::script()
        }
    }

    /// An Apache Camel application. It takes messages without acknowledging them.
    pub(super) fn camel() -> Contestant {
        let jar = benches("camel/target/bridge.jar");
        Contestant {
            name: "camel".to_owned(),
            command: strings(&[
                "java",
                "-jar",
                &jar,
                "@STOMP_HOST@",
                "@STOMP_PORT@",
                "@QUEUE@",
                "@LOGIN@",
                "@PASSCODE@",
                "tcp://@MQTT_ADDRESS@",
            ]),
            configs: None,
            end: End::Subscriber,
            needs: Needs::Camel,
        }
    }

    /// This benchmark as a process of its own (see [`floor`]).
    pub(super) fn floor() -> Contestant {
        const FILE: &str = "floor.log";
        let own = std::env::current_exe().expect("this benchmark is a file");
        Contestant {
            name: "floor".to_owned(),
            command: strings(&[
                &own.display().to_string(),
                floor::ARGUMENT,
                "@STOMP_PORT@",
                "@QUEUE@",
                &format!("@FOLDER@/{FILE}"),
            ]),
            configs: None,
            end: End::File(FILE.to_owned()),
            needs: Needs::Nothing,
        }
    }

    /// `NAME=PATH[,config=FILE][,flood-config=FILE][,end=...][,args=...]`
    pub(super) fn given(text: &str) -> anyhow::Result<Contestant> {
        let mut parts = text.split(',');
        let named = parts.next().and_then(|part| part.split_once('='));
        let (name, path) = named.context("NAME=PATH")?;
        let path = fs::canonicalize(path).with_context(|| path.to_owned())?;
        let mut given = Contestant::binary(name, &path.display().to_string());
        for part in parts {
            let read = |path: &str| fs::read_to_string(path).with_context(|| path.to_owned());
            let configs = given.configs.as_mut().expect("a binary has them");
            match part.split_once('=') {
                Some(("config", path)) => configs.bridge = read(path)?,
                Some(("flood-config", path)) => configs.flood = read(path)?,
                Some(("end", "subscriber")) => given.end = End::Subscriber,
                Some(("end", end)) => {
                    let file = end
                        .strip_prefix("file:")
                        .context("subscriber or file:NAME")?;
                    given.end = End::File(file.to_owned());
                }
                Some(("args", arguments)) => {
                    given.command.truncate(1);
                    let arguments = arguments.split_whitespace().map(str::to_owned);
                    given.command.extend(arguments);
                }
                _ => bail!("{part}: config=, flood-config=, end= and args= are known"),
            }
        }
        Ok(given)
    }

    fn binary(name: &str, path: &str) -> Contestant {
        Contestant {
            name: name.to_owned(),
            command: strings(&[path, "run", "--config", "@CONFIG@"]),
            configs: Some(Configs {
                bridge: include_str!("ours.toml").to_owned(),
                flood: include_str!("ours-flood.toml").to_owned(),
            }),
            end: End::Subscriber,
            needs: Needs::Nothing,
        }
    }

    /// Builds or installs what it needs; fails with why that cannot be had.
    pub(super) fn prepare(&self) -> anyhow::Result<()> {
        match self.needs {
            Needs::Nothing => Ok(()),
            Needs::Scripts => {
                let scripts = PathBuf::from(benches("scripts"));
                let installed = [
                    ("package-lock.json", "node_modules/.package-lock.json"),
                    ("requirements.txt", "lib"),
                ];
                let is_newer =
                    |(lock, made)| Some(modified(&scripts, made)? > modified(&scripts, lock)?);
                if installed
                    .into_iter()
                    .all(|pair| is_newer(pair) == Some(true))
                {
                    return Ok(());
                }
                succeed(&scripts, "./prepare", &[])
            }
            // Maven builds what has changed, and nothing else.
            Needs::Camel => succeed(
                &PathBuf::from(benches("camel")),
                "mvn",
                &[
                    "--quiet",
                    "--batch-mode",
                    "--no-transfer-progress",
                    "package",
                ],
            ),
        }
    }

    /// Starts it; its process ends by SIGTERM when it is dropped, and has time for that.
    pub(super) fn start(&self, role: Role, around: &Surroundings) -> anyhow::Result<Process> {
        let fill = |text: &str| around.fill_in(text);
        if let Some(configs) = &self.configs {
            let template = match role {
                Role::Bridge => &configs.bridge,
                Role::Flood => &configs.flood,
            };
            fs::write(around.config(), fill(template)).context("write the configuration")?;
        }
        let (program, arguments) = self.command.split_first().context("an empty command")?;
        let mut command = tethered(program);
        command
            .args(arguments.iter().map(|argument| fill(argument)))
            .current_dir(around.folder);
        let log = around.folder.join("contestant.log");
        Ok(Process::start(&self.name, command, &log).ending_with(Signal::TERM))
    }
}

const SCRIPT_ARGUMENTS: &[&str] = &[
    "@STOMP_HOST@",
    "@STOMP_PORT@",
    "mqtt",
    "@MQTT_URL@",
    "@QUEUE@",
    "@LOGIN@",
    "@PASSCODE@",
    "/",
];

impl Surroundings<'_> {
    fn config(&self) -> PathBuf {
        self.folder.join("config.toml")
    }

    fn fill_in(&self, text: &str) -> String {
        let port = self.stomp_port.to_string();
        let words = [
            ("@STOMP_URL@", format!("stomp://127.0.0.1:{port}")),
            ("@STOMP_HOST@", "127.0.0.1".to_owned()),
            ("@STOMP_PORT@", port),
            ("@QUEUE@", self.queue.to_owned()),
            ("@LOGIN@", USER.to_owned()),
            ("@PASSCODE@", PASSWORD.to_owned()),
            ("@MQTT_URL@", format!("mqtt://{}", self.mqtt)),
            ("@MQTT_ADDRESS@", self.mqtt.clone()),
            ("@FOLDER@", self.folder.display().to_string()),
            ("@CONFIG@", self.config().display().to_string()),
        ];
        let mut text = words.iter().fold(text.to_owned(), |text, (word, value)| {
            text.replace(word, value)
        });
        while text.contains("@FREE_PORT@") {
            text = text.replacen("@FREE_PORT@", &port::free().to_string(), 1);
        }
        text
    }
}

/// A path below `benches`.
fn benches(path: &str) -> String {
    format!("{}/benches/{path}", env!("CARGO_MANIFEST_DIR"))
}

/// When a file was last written; `None`: it is not there.
fn modified(folder: &Path, file: &str) -> Option<SystemTime> {
    fs::metadata(folder.join(file)).ok()?.modified().ok()
}

/// Runs a command to its end; fails with what it says.
fn succeed(folder: &Path, program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output()
        .with_context(|| format!("start {program}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    bail!(
        "{program}: {}",
        telling_line(&String::from_utf8_lossy(&said))
    )
}

/// The first line that speaks of an error, or else the last one.
pub(super) fn telling_line(said: &str) -> &str {
    let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = lines.clone().find(|line| {
        let line = line.to_lowercase();
        line.contains("error") || line.contains("exception")
    });
    error.or(lines.next_back()).unwrap_or("it has said nothing")
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}
