//! One daemon's many lives: the queue that it reads, the sinks that it writes, and the audit
//! between them.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::Signal;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use crate::audit::{Audit, DEVICES, Ends, HISTORY, POISON, SINKS};
use crate::plan::{End, FLOW, FLOW_PAUSE_MS, Plan};
use crate::queue::Queue;
use crate::warehouse::Warehouse;
use peers::configuration::EventKey;
use peers::process::{Process, tethered};
use peers::{
    Configuration, Folder, Mosquitto, RabbitMq, Receiver, Stomp, Subscriber, platform, wait,
};

/// The binary.
pub(crate) const DAEMON: &str = env!("CARGO_BIN_EXE_stomp-bridge");

/// A life that its abort does not end is killed after this time.
const LIFE_MAX: Duration = Duration::from_millis(700);

/// No more comes in while this many are in flight: the webhook takes a few at a time.
pub(crate) const BACKLOG_MAX: usize = 1500;

/// See [`Rig::slowness`].
const SLOWNESS_MAX: u32 = 8;

/// What the daemon reads from.
pub(crate) enum Server {
    /// The rig's own queue, which knows of each message how often it was sent and whether it was
    /// acknowledged.
    Own,
    /// A queue of RabbitMQ's, filled with confirms; the rig's own only counts.
    RabbitMq(Box<Stomp>),
}

/// What rigs may have configured in their own way.
pub(crate) struct Keys {
    /// `journal.keep`.
    pub(crate) keep: &'static str,
    /// Lines of `[source]`.
    pub(crate) source: &'static str,
}

/// Nothing stays in the journal that need not.
const KEYS: Keys = Keys {
    keep: "0s",
    source: "",
};

/// A queue, a daemon with its configuration, all of its sinks, and their audit.
pub(crate) struct Rig {
    server: Server,
    pub(crate) queue: Queue,
    pub(crate) audit: Audit,
    pub(crate) ends: Ends,
    /// How many times as long a life may last as it is planned: on a busy machine.
    slowness: u32,
    name: String,
    config: PathBuf,
    folder: Folder,
    /// After the subscriber, which would try to connect again.
    _mosquitto: Mosquitto,
}

impl Rig {
    /// Everything but the daemon, whose files are in a folder of the rig's own.
    pub(crate) async fn start(name: &str) -> Rig {
        let folder = Folder::new(name);
        let data = folder.join("data");
        std::fs::create_dir(&data).expect("create a folder in a new one");
        Rig::in_folder(name, folder, data).await
    }

    /// The same, with entries that stay in the journal.
    pub(crate) async fn start_and_keep(name: &str, keep: &'static str) -> Rig {
        let folder = Folder::new(name);
        let data = folder.join("data");
        std::fs::create_dir(&data).expect("create a folder in a new one");
        let queue = Queue::start().await;
        let url = queue.url();
        let keys = Keys { keep, ..KEYS };
        Rig::with(name, folder, data, Server::Own, queue, &url, keys).await
    }

    /// The same, with its files in `data`, which is below `folder`.
    pub(crate) async fn in_folder(name: &str, folder: Folder, data: PathBuf) -> Rig {
        let queue = Queue::start().await;
        let url = queue.url();
        Rig::with(name, folder, data, Server::Own, queue, &url, KEYS).await
    }

    /// The same, but it reads a queue of its name from RabbitMQ.
    pub(crate) async fn with_rabbitmq(name: &str, rabbitmq: &RabbitMq) -> Rig {
        Rig::with_rabbitmq_and(name, rabbitmq, KEYS).await
    }

    /// The same with keys of its own.
    pub(crate) async fn with_rabbitmq_and(name: &str, rabbitmq: &RabbitMq, keys: Keys) -> Rig {
        let folder = Folder::new(name);
        let data = folder.join("data");
        std::fs::create_dir(&data).expect("create a folder in a new one");
        let server = Server::RabbitMq(Box::new(Stomp::connect(rabbitmq.stomp_port()).await));
        Rig::with(
            name,
            folder,
            data,
            server,
            Queue::start().await,
            &rabbitmq.stomp_url(),
            keys,
        )
        .await
    }

    async fn with(
        name: &str,
        folder: Folder,
        data: PathBuf,
        server: Server,
        queue: Queue,
        url: &str,
        keys: Keys,
    ) -> Rig {
        let mosquitto = Mosquitto::start().await;
        let subscriber =
            Subscriber::start(mosquitto.port(), name, &format!("{name}/+/+/status")).await;
        let receiver = Receiver::start().await;
        let warehouse = Warehouse::create(name).await;
        let file = |name: &str| data.join(name).display().to_string();
        let config = Configuration::new(url)
            .source(keys.source)
            .queue("status", name, EventKey::EventId)
            .table(
                "journal",
                &format!(
                    "path = \"{}\"\nkeep = \"{}\"\n",
                    file("journal.db"),
                    keys.keep
                ),
            )
            .table(
                &format!("sinks.{HISTORY}"),
                &format!("type = \"sqlite\"\npath = \"{}\"\n", file("history.db")),
            )
            .postgres(warehouse.url())
            .mqtt(&mosquitto.url(), name)
            .webhook(&receiver.url())
            .write(&folder);
        let rig = Rig {
            server,
            queue,
            audit: Audit::default(),
            ends: Ends {
                data,
                warehouse,
                receiver,
                subscriber,
            },
            slowness: 1,
            name: name.to_owned(),
            config,
            folder,
            _mosquitto: mosquitto,
        };
        rig.poison().await;
        rig
    }

    /// A first life makes the histories' tables, for triggers that refuse some messages.
    async fn poison(&self) {
        let history = self.ends.data.join("history.db");
        let mut process = self.launch("");
        wait::until("the histories' tables", async || {
            (has_tables(&history).await && self.ends.warehouse.has_tables().await).then_some(())
        })
        .await;
        process.signal(Signal::TERM);
        process.ended(wait::LONG).await;
        self.ends.warehouse.poison().await;
        let options = SqliteConnectOptions::new().filename(history);
        let mut history = options.connect().await.expect("open the history");
        sqlx::raw_sql(POISON)
            .execute(&mut history)
            .await
            .expect("create a trigger");
    }

    /// Starts the daemon with these faults.
    pub(crate) fn launch(&self, faults: &str) -> Process {
        self.launch_by(tethered(DAEMON), faults)
    }

    /// Starts the daemon by a command to which its own arguments are still to be added.
    pub(crate) fn launch_by(&self, mut command: Command, faults: &str) -> Process {
        command
            .arg("run")
            .arg("--config")
            .arg(&self.config)
            .current_dir(self.folder.path());
        for (name, _) in std::env::vars_os()
            .filter(|(name, _)| name.to_string_lossy().starts_with("STOMP_BRIDGE_"))
        {
            command.env_remove(name);
        }
        command
            .env_remove("RUST_LOG")
            .env_remove("NOTIFY_SOCKET")
            .env_remove("STATE_DIRECTORY");
        command.env("STOMP_BRIDGE_TEST_FAULTS", faults);
        Process::start("stomp-bridge", command, &self.folder.join("daemon.log"))
    }

    /// What the program says with these arguments, while no daemon runs.
    pub(crate) fn command(&self, arguments: &[&str]) -> String {
        let output = Command::new(DAEMON)
            .args(arguments)
            .arg("--config")
            .arg(&self.config)
            .output();
        let output = output.expect("start the program");
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Adds messages to the queue.
    pub(crate) async fn publish(&mut self, count: usize) {
        let first = self.queue.published();
        self.queue
            .publish(count, |n| platform::message(&self.name, n, DEVICES));
        if let Server::RabbitMq(publisher) = &mut self.server {
            let messages = platform::messages(&self.name, first..first + count, DEVICES);
            publisher
                .publish(&format!("/queue/{}", self.name), messages)
                .await;
        }
    }

    /// Whether the server has nothing left that was not acknowledged, as far as the rig knows.
    fn is_drained(&self) -> bool {
        match self.server {
            Server::Own => self.queue.acknowledged().len() == self.queue.published(),
            Server::RabbitMq(_) => true,
        }
    }

    /// The lives so far were too short for what they are to show: the next ones last longer.
    pub(crate) fn slow_down(&mut self) {
        self.slowness = (self.slowness * 2).min(SLOWNESS_MAX);
    }

    /// One life, and a look at the audit after it. An error names the daemon's fault.
    pub(crate) async fn live(&mut self, plan: &Plan, rng: &mut Rng) -> Result<(), String> {
        let process = self.run(plan, rng, |_| {}).await?;
        drop(process);
        self.check().await
    }

    /// One life; gives the process, which has ended. What comes `just_before` its end is part of
    /// it.
    pub(crate) async fn run(
        &mut self,
        plan: &Plan,
        rng: &mut Rng,
        just_before: impl FnOnce(&Queue),
    ) -> Result<Process, String> {
        self.ends
            .receiver
            .answer(if plan.trouble.is_zero() { 204 } else { 503 });
        self.publish(plan.burst).await;
        let mut process = self.launch(&plan.faults());
        let began = Instant::now();
        let limit = match plan.end {
            End::Kill(after) => after,
            End::Abort(..) => LIFE_MAX,
        } * self.slowness;
        while process.runs() && began.elapsed() < limit {
            if began.elapsed() >= plan.trouble {
                self.ends.receiver.answer(204);
            }
            if plan.flow && self.queue.published() < self.audit.arrived() + BACKLOG_MAX {
                self.publish(rng.usize(FLOW)).await;
            }
            tokio::time::sleep(Duration::from_millis(rng.u64(FLOW_PAUSE_MS))).await;
        }
        let ended_early = !process.runs();
        just_before(&self.queue);
        process.kill();
        let status = process.ended(Duration::ZERO).await;
        match ended_early && ended_by_itself(status) {
            true => Err(format!(
                "the daemon ended by itself ({status})\n{}",
                process.log_tail()
            )),
            false => Ok(process),
        }
    }

    /// Waits until everything has arrived at these sinks.
    pub(crate) async fn arrive(&mut self, process: &mut Process, sinks: &[&str]) {
        let published = self.queue.published();
        let arrived = wait::within(wait::LONG, async || {
            self.audit.read_arrivals(&self.ends).await;
            assert!(
                process.runs(),
                "the daemon ended by itself\n{}",
                process.log_tail()
            );
            (self.audit.arrived_at(sinks) == published).then_some(())
        });
        if arrived.await.is_none() {
            let arrived = self.audit.arrived_at(sinks);
            panic!(
                "{arrived} of {published} have arrived at {sinks:?}\n{}",
                process.log_tail()
            );
        }
    }

    /// A look at the audit while nothing runs.
    pub(crate) async fn check(&mut self) -> Result<(), String> {
        self.audit.check(&self.queue, &self.ends).await
    }

    /// A life without faults, until everything has arrived everywhere, or nothing more anywhere for
    /// `patience`; then an orderly stop, and the whole accounting.
    pub(crate) async fn heal(&mut self, faults: &str, patience: Duration) -> Result<(), String> {
        self.ends.receiver.answer(204);
        let mut process = self.launch(faults);
        let published = self.queue.published();
        let mut arrived = (0, Instant::now());
        while process.runs() && arrived.1.elapsed() < patience {
            self.audit.read_arrivals(&self.ends).await;
            let now = self.audit.arrived();
            if now == published && self.is_drained() {
                break;
            }
            // Deliveries give way to other programs: what one sink gets is progress.
            let some = SINKS.iter().map(|sink| self.audit.arrived_at(&[*sink]));
            let some: usize = some.sum();
            if some > arrived.0 {
                arrived = (some, Instant::now());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if !process.runs() {
            return Err(format!(
                "the daemon ended by itself\n{}",
                process.log_tail()
            ));
        }
        process
            .logged("\"live\"", |line| line.contains("\"message\":\"live\""))
            .await;
        process.signal(Signal::TERM);
        let status = process.ended(wait::LONG).await;
        self.check().await?;
        if process.log().contains("accounting does not balance") {
            return Err(format!(
                "the daemon's own accounting does not balance\n{}",
                process.log_tail()
            ));
        }
        let deliveries = match self.server {
            Server::Own => Some(self.queue.deliveries()),
            Server::RabbitMq(_) => None,
        };
        self.audit
            .check_accounting(published, deliveries, &self.ends)
            .await?;
        match status.code() {
            Some(0) => Ok(()),
            code => Err(format!(
                "the orderly stop ended with {code:?}\n{}",
                process.log_tail()
            )),
        }
    }
}

async fn has_tables(history: &Path) -> bool {
    let options = SqliteConnectOptions::new()
        .filename(history)
        .read_only(true);
    let Ok(mut history) = options.connect().await else {
        return false;
    };
    // The last table of the migration.
    sqlx::query("SELECT 1 FROM bridge_cursor")
        .fetch_optional(&mut history)
        .await
        .is_ok()
}

/// Neither killed nor aborted.
fn ended_by_itself(status: ExitStatus) -> bool {
    status.code().is_some()
}
