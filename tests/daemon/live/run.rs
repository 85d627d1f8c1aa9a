//! One scenario: a daemon with all four sinks, the messages published to it, and the expected
//! deliveries at the end.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use sqlx::{Connection, PgConnection};

use super::lab::lab;
use peers::configuration::EventKey;
use peers::platform::{self, assert_complete, assert_ordered};
use peers::{
    Configuration, Daemon, Delivered, Mosquitto, Postgres, RabbitMq, Receiver, Stomp, Subscriber,
    accounts, history, stomp, wait,
};

/// What a whole scenario publishes.
pub(crate) const MESSAGES: usize = 3000;

const DEVICES: usize = 50;

/// The sinks' names in the configuration.
pub(crate) const SINKS: [&str; 4] = ["history", "warehouse", "site", "oncall"];

/// Who is at the other end of each sink, and by which port the daemon gets there.
pub(crate) struct Ends<'a> {
    pub(crate) mosquitto: &'a Mosquitto,
    pub(crate) mqtt_port: u16,
    pub(crate) postgres: &'a Postgres,
    pub(crate) postgres_port: u16,
    pub(crate) receiver: Receiver,
    pub(crate) webhook_port: u16,
}

impl<'a> Ends<'a> {
    /// Without a detour.
    pub(crate) async fn of(mosquitto: &'a Mosquitto, postgres: &'a Postgres) -> Ends<'a> {
        let receiver = Receiver::start().await;
        Ends {
            mosquitto,
            mqtt_port: mosquitto.port(),
            postgres,
            postgres_port: postgres.port(),
            webhook_port: receiver.port(),
            receiver,
        }
    }
}

/// A webhook's receiver that says nothing for this long has failed.
const WEBHOOK_TIMEOUT: &str = "timeout = \"2s\"\n";

/// A database that does not answer within this time has nothing to say for now.
const COUNT_TIMEOUT: Duration = Duration::from_secs(5);

/// A running scenario.
pub(crate) struct Run {
    pub(crate) daemon: Daemon,
    pub(crate) receiver: Receiver,
    pub(crate) subscriber: Subscriber,
    name: String,
    database: String,
    /// Made again where the server was restarted.
    postgres: Option<PgConnection>,
}

impl Run {
    /// Starts a daemon on the lab's servers that reads the queue `name` by `url`, and waits until
    /// it is ready.
    pub(crate) async fn start(name: &str, url: &str, key: EventKey) -> Run {
        Run::with(
            name,
            Configuration::new(url).queue("status", name, key),
            &lab().await.mosquitto,
        )
        .await
    }

    /// Adds all four sinks to a configuration and starts a daemon with it.
    pub(crate) async fn with(
        name: &str,
        configuration: Configuration,
        mosquitto: &Mosquitto,
    ) -> Run {
        Run::among(
            name,
            configuration,
            Ends::of(mosquitto, &lab().await.postgres).await,
        )
        .await
    }

    /// The same with servers of its own.
    pub(crate) async fn among(name: &str, configuration: Configuration, ends: Ends<'_>) -> Run {
        let Ends {
            mosquitto,
            mqtt_port,
            postgres,
            postgres_port,
            receiver,
            webhook_port,
        } = ends;
        let database = postgres.create(name).await;
        let by = |url: &str, port: u16, detour: u16| {
            url.replace(&format!(":{port}"), &format!(":{detour}"))
        };
        let subscriber = Subscriber::start(mosquitto.port(), name, &format!("{name}/#")).await;
        let configuration = configuration
            .sqlite()
            .postgres(&by(&database, postgres.port(), postgres_port))
            .mqtt(&by(&mosquitto.url(), mosquitto.port(), mqtt_port), name)
            .webhook_with(
                &by(&receiver.url(), receiver.port(), webhook_port),
                WEBHOOK_TIMEOUT,
            );
        let mut daemon = Daemon::start(&configuration).await;
        daemon.ready().await;
        Run {
            daemon,
            receiver,
            subscriber,
            name: name.to_owned(),
            database,
            postgres: None,
        }
    }

    /// Publishes the messages of these numbers to the scenario's queue on the lab's RabbitMQ; all
    /// are confirmed when it returns.
    pub(crate) async fn publish(&self, numbers: Range<usize>) {
        self.publish_to(&lab().await.rabbitmq, numbers).await;
    }

    /// The same on another RabbitMQ.
    pub(crate) async fn publish_to(&self, rabbitmq: &RabbitMq, numbers: Range<usize>) {
        let mut publisher = Stomp::connect(rabbitmq.stomp_port()).await;
        let messages = platform::messages(&self.name, numbers, DEVICES);
        publisher
            .publish(&format!("/queue/{}", self.name), messages)
            .await;
    }

    /// Waits until every one of `count` messages has reached every sink.
    pub(crate) async fn complete(&mut self, count: usize) {
        let mut have = [0; 4];
        let all = wait::reached(have.len() * count, async || {
            assert!(self.daemon.runs(), "the daemon ended by itself");
            have = self.arrived().await;
            have.iter().map(|n| (*n).min(count)).sum()
        })
        .await;
        if !all {
            eprintln!(
                "{have:?} of {count} have arrived; {:#}",
                accounts::report(&self.daemon).await.unwrap_or_default()
            );
            for (sink, delivered) in self.delivered().await {
                // Says which are missing.
                assert_complete(sink, &delivered, count);
            }
            panic!("of {count} messages, the sinks have {have:?} without one missing");
        }
    }

    /// How many different messages each sink of [`SINKS`] has, at least: asked again and again, so
    /// the histories count.
    pub(crate) async fn arrived(&mut self) -> [usize; 4] {
        let sqlite = history::count(self.daemon.folder()).await;
        let postgres = self.count_postgres().await.unwrap_or(0);
        let outside = [self.subscriber.delivered(), self.receiver.delivered()];
        let [mqtt, webhook] = outside.map(|delivered| platform::numbers(&delivered).len());
        [sqlite, postgres, mqtt, webhook]
    }

    /// Waits until every sink but this one has `count` messages: none of them waits for it.
    pub(crate) async fn complete_without(&mut self, sink: &str, count: usize) {
        let mut have = [0; 4];
        let others = wait::reached((SINKS.len() - 1) * count, async || {
            have = self.arrived().await;
            let others = SINKS.iter().zip(have).filter(|(name, _)| **name != sink);
            others.map(|(_, have)| have.min(count)).sum()
        });
        let others = others.await;
        assert!(
            others,
            "while {sink} is in trouble, {SINKS:?} have {have:?} of {count}"
        );
    }

    /// Waits until `/status` says that a sink is in trouble, and in these words. The first attempt
    /// may fail in another way, such as by a session that was cut. Gives all that it says.
    pub(crate) async fn trouble(&self, sink: &str, words: &str) -> String {
        let said = std::sync::Mutex::new(None);
        let error = wait::within(wait::LONG, async || {
            let report = accounts::report(&self.daemon).await?;
            let found = report["sinks"]
                .as_array()?
                .iter()
                .find(|found| found["name"] == sink)?
                .clone();
            let error = (found["up"] == false)
                .then(|| found["last_error"].as_str().map(str::to_owned))??;
            let told = error.contains(words);
            *said.lock().expect("no panic") = Some(error.clone());
            told.then_some(error)
        });
        let error = error.await;
        error.unwrap_or_else(|| {
            panic!(
                "{sink} does not say {words:?}: {said:?}\n{:?}",
                self.daemon.log().lines().last()
            )
        })
    }

    /// How often the daemon has connected to its source: 1 where the heart-beats of both sides went
    /// on.
    pub(crate) async fn connections(&self) -> u64 {
        let metrics = self
            .daemon
            .get("/metrics")
            .await
            .expect("the daemon answers")
            .1;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("stomp_bridge_connections_total "));
        line.and_then(|count| count.parse().ok())
            .unwrap_or_else(|| panic!("no count of connections in {metrics}"))
    }

    /// The scenario's database, on a new connection if the last one is gone.
    pub(crate) async fn warehouse(&mut self) -> &mut PgConnection {
        if self.postgres.is_none() {
            let connected = wait::until("a connection to Postgres", async || {
                PgConnection::connect(&self.database).await.ok()
            });
            self.postgres = Some(connected.await);
        }
        self.postgres.as_mut().expect("it was made just above")
    }

    /// Its server goes, and the connection with it.
    pub(crate) fn forget_postgres(&mut self) {
        self.postgres = None;
    }

    async fn count_postgres(&mut self) -> Option<usize> {
        let count = tokio::time::timeout(COUNT_TIMEOUT, async {
            let mut connection = match self.postgres.take() {
                Some(connection) => connection,
                None => PgConnection::connect(&self.database).await?,
            };
            let count =
                sqlx::query_scalar("select count(distinct payload->>'n') from status_event");
            let count: i64 = count.fetch_one(&mut connection).await?;
            self.postgres = Some(connection);
            Ok::<_, sqlx::Error>(count as usize)
        });
        count.await.ok()?.ok()
    }

    async fn delivered(&mut self) -> [(&'static str, Vec<Delivered>); 4] {
        [
            ("sqlite", self.sqlite().await),
            ("postgres", self.postgres().await),
            ("mqtt", self.subscriber.delivered()),
            ("webhook", self.receiver.delivered()),
        ]
    }

    /// Waits for all of `count` messages, stops the daemon in order and checks everything. Each
    /// message is there at least once, in order per device. In the histories at most `again`
    /// messages are there more than once.
    pub(crate) async fn finish(self, count: usize, again: usize) {
        for (sink, delivered) in self.finish_in_any_order(count, again).await {
            assert_ordered(sink, &delivered);
        }
    }

    /// The same, and at MQTT and the webhook at most `repeats` of them more than once.
    pub(crate) async fn finish_with_repeats(self, count: usize, repeats: usize) {
        for (sink, delivered) in self.finish_in_any_order(count, 0).await {
            assert_ordered(sink, &delivered);
            let again = delivered.len() - count;
            assert!(
                again <= repeats,
                "{sink} has {again} of {count} messages again; {repeats} may have been in flight"
            );
        }
    }

    /// The same where the server itself has sent some of them later than those that follow.
    pub(crate) async fn finish_in_any_order(
        mut self,
        count: usize,
        again: usize,
    ) -> [(&'static str, Vec<Delivered>); 4] {
        self.complete(count).await;
        accounts::balance(&self.daemon).await;
        let status = self.daemon.stop().await;
        assert_eq!(status.code(), Some(0), "the exit code after SIGTERM");
        assert!(
            !self.daemon.log().contains("accounting does not balance"),
            "{}",
            self.daemon.log()
        );
        let all = self.delivered().await;
        for (sink, delivered) in &all {
            assert_complete(sink, delivered, count);
        }
        for (history, rows) in [
            ("sqlite", self.sqlite().await),
            ("postgres", self.postgres().await),
        ] {
            let keys: BTreeSet<&str> = rows.iter().map(|row| row.event_id.as_str()).collect();
            assert_eq!(keys.len(), rows.len(), "{history} has an event_id twice");
            assert!(
                rows.len() <= count + again,
                "{history} has {} rows of {count} messages; {again} may be there twice",
                rows.len()
            );
        }
        all
    }

    /// In the journal's order.
    pub(crate) async fn sqlite(&self) -> Vec<Delivered> {
        history::rows(self.daemon.folder()).await
    }

    /// In the journal's order.
    pub(crate) async fn postgres(&mut self) -> Vec<Delivered> {
        let select =
            sqlx::query_as("select event_id, device_id, origin, payload::text from status_event");
        history::delivered(
            select
                .fetch_all(self.warehouse().await)
                .await
                .expect("select from the Postgres history"),
        )
    }
}

/// Panics unless a queue holds nothing, sent or unsent: then the next message published to it comes
/// out first.
pub(crate) async fn assert_drained(rabbitmq: &RabbitMq, queue: &str) {
    stomp::assert_drained(rabbitmq.stomp_port(), queue).await;
}
