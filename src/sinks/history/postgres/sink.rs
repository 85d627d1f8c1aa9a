//! The sink of a Postgres history: one connection, whose server may be silent at any time.
//!
//! - `tending`: what is done between two batches

mod tending;

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use url::Url;
use uuid::Uuid;

use super::connect::{CONNECT_TIMEOUT, Repertoire, connect, repertoire};
use super::failure::{Failure, Fault, bounded, fault};
use super::hosts::urls;
use super::migrations::migrate;
use super::partitions::Partitions;
use super::place::explained;
use super::server::Server;
use super::session::{Purpose, Session};
use super::statements::{Way, Writing};
use super::store::store;
use super::{MIGRATE_TIMEOUT, Settings, TURN};
use crate::model::{Event, Position};
use crate::secret::{Lifetime, protect_url};
use crate::sinks::history::capabilities::CAPABILITIES;
use crate::sinks::history::recorder::Recorder;
use crate::sinks::history::retention::Retention;
use crate::sinks::history::standing::{Standing, Zone, set_zone};
use crate::sinks::history::statements::Statements;
use crate::sinks::history::too_old::TooOld;
use crate::sinks::history::upkeep::Upkeep;
use crate::sinks::{
    Batch, BuildError, Built, By, Capabilities, Newest, Sink, Trouble, Undelivered,
};

/// A batch, from BEGIN to COMMIT; longer than the server's own limit for one statement, so that its
/// error is seen.
const STORE_TIMEOUT: Duration = Duration::from_secs(45);
/// A question, whether the server answers.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// Saying goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// See [`crate::sinks::build`].
pub(in crate::sinks) fn build(settings: Settings) -> Result<Built, BuildError> {
    let text = settings.url.expose_secret();
    let server = Server::parse(text, &settings.folder).map_err(|problem| BuildError::Settings {
        name: settings.name.clone(),
        problem,
    })?;
    for url in urls(text).into_iter().flatten() {
        if let Ok(url) = Url::parse(&url) {
            protect_url(&url, Lifetime::Configured);
        }
    }
    let retention = Retention::new(&settings.name, settings.retention);
    let sink = PostgresHistory {
        name: settings.name,
        server,
        session: Session::new(settings.schema.as_deref()),
        schema: settings.schema,
        warned_of: None,
        connection: None,
        lost: None,
        newest: None,
        way: Way::Copy,
        partitions: Partitions::new(settings.retention),
        retention,
        intervals: settings.intervals,
        event_keys: settings.event_keys,
        recorder: Recorder::new(settings.zone),
        upkeep: Upkeep::default(),
        next_step: None,
        goes_on: false,
        next_making: None,
        next_forgetting: None,
        blocked: 0,
        unmade: None,
        undeleted: None,
        untended: None,
        problem_told: None,
        too_old: TooOld::default(),
        answer: None,
    };
    Ok(Built {
        sink: Box::new(sink),
        driver: None,
        ending: CancellationToken::new(),
    })
}

struct PostgresHistory {
    name: String,
    server: Server,
    session: Session,
    schema: Option<String>,
    /// An encoding of the database that lacks characters.
    warned_of: Option<String>,
    /// Taken out while it is in use, so that one that failed or was abandoned in the middle is
    /// never used again.
    connection: Option<PgConnection>,
    /// Why there is none, where that came up beside a batch.
    lost: Option<String>,
    newest: Option<Newest>,
    /// For the next batch.
    way: Way,
    partitions: Partitions,
    retention: Retention,
    intervals: Option<Duration>,
    event_keys: Duration,
    recorder: Recorder,
    upkeep: Upkeep,
    next_step: Option<Instant>,
    /// The next step is not to wait.
    goes_on: bool,
    next_making: Option<Instant>,
    next_forgetting: Option<Instant>,
    /// Attempts to drop a partition that found it locked.
    blocked: u32,
    /// Why no partition is made ahead.
    unmade: Option<String>,
    /// Why rows past the retention are still there.
    undeleted: Option<String>,
    /// Why the upkeep does not go on.
    untended: Option<String>,
    /// What the log has said of the partitions.
    problem_told: Option<String>,
    too_old: TooOld,
    /// What the last attempt has stored.
    answer: Option<String>,
}

impl Sink for PostgresHistory {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn open(&mut self, journal: Uuid) -> BoxFuture<'_, Result<Option<Position>, Trouble>> {
        async move {
            (self.connection, self.lost) = (None, None);
            match self.connect(journal).await {
                Ok((connection, cursor)) => {
                    self.connection = Some(connection);
                    Ok(cursor)
                }
                Err(failure) => Err(self.pause(&failure)),
            }
        }
        .boxed()
    }

    fn attempt<'a>(&'a mut self, batch: Batch<'a>) -> BoxFuture<'a, Result<(), Undelivered>> {
        async move {
            let Some(mut connection) = self.connection.take() else {
                return Err(Undelivered {
                    confirmed: 0,
                    trouble: self.not_connected(),
                });
            };
            // Where the answer to COMMIT is lost, nobody knows: `open` reads the cursor again, and
            // a batch that was stored is not stored twice.
            let memory = (&mut self.recorder, &mut self.partitions);
            let stored = store(
                &mut connection,
                &self.session,
                memory,
                (&self.name, batch),
                self.way,
            );
            match bounded(STORE_TIMEOUT, stored).await {
                Ok((next, stored)) => {
                    self.way = next;
                    self.answer = Some(stored.text());
                    self.too_old.add(stored.too_old, Instant::now());
                    self.warn_of_too_old();
                    let newest = batch.events.last().map(Event::received_at);
                    match self.tend(&mut connection, newest).await {
                        Ok(()) => self.connection = Some(connection),
                        // The batch is stored; the next one has to connect first.
                        Err(failure) => self.lost = Some(self.text(&failure)),
                    }
                    Ok(())
                }
                Err(failure) => {
                    let failure = self.explained(&mut connection, failure).await;
                    let trouble = match fault(&failure) {
                        Some(fault) => {
                            self.connection = Some(connection);
                            self.refused(&failure, fault)
                        }
                        None => self.pause(&failure),
                    };
                    Err(Undelivered {
                        confirmed: 0,
                        trouble,
                    })
                }
            }
        }
        .boxed()
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        async move {
            if let Some(connection) = self.connection.take() {
                // Where the goodbye fails, the server notices the closed socket: nothing is open in
                // it.
                let _ = timeout(CLOSE_TIMEOUT, connection.close()).await;
            }
        }
        .boxed()
    }

    fn newest(&self) -> Option<Newest> {
        self.newest
    }

    fn answer(&mut self) -> Option<String> {
        self.answer.take()
    }

    fn warning(&self) -> Option<String> {
        let warnings = [&self.undeleted, &self.unmade, &self.untended];
        let warnings = warnings.into_iter().flatten().map(String::as_str);
        let too_old = self.too_old.warning(Instant::now());
        let warnings: Vec<&str> = warnings
            .chain(self.partitions.problem())
            .chain(too_old.as_deref())
            .collect();
        (!warnings.is_empty()).then(|| warnings.join("; "))
    }

    fn goes_on(&self) -> bool {
        self.goes_on
    }

    fn idle(&mut self) -> BoxFuture<'_, Result<(), Trouble>> {
        async move {
            let Some(mut connection) = self.connection.take() else {
                return Err(self.not_connected());
            };
            let probe = sqlx::raw_sql("SELECT 1").execute(&mut connection);
            let probed = bounded(PROBE_TIMEOUT, probe).await;
            probed.map_err(|failure| self.pause(&failure))?;
            self.warn_of_too_old();
            let tended = self.tend_idle(&mut connection).await;
            tended.map_err(|failure| self.pause(&failure))?;
            self.connection = Some(connection);
            Ok(())
        }
        .boxed()
    }
}

impl PostgresHistory {
    async fn connect(
        &mut self,
        journal: Uuid,
    ) -> Result<(PgConnection, Option<Position>), Failure> {
        let (mut connection, encoding) = connect(&self.server).await?;
        self.warn_of(encoding);
        let migration = migrate(&mut connection, &self.session, self.schema.as_deref());
        bounded(MIGRATE_TIMEOUT, migration).await?;
        let (session, name, zone) = (&self.session, &self.name, self.recorder.zone());
        let partitions = &mut self.partitions;
        let (standing, set) = bounded(CONNECT_TIMEOUT, async {
            let mut transaction = session.begin(&mut connection, Purpose::Store).await?;
            let mut on = Writing::few(&mut transaction);
            let standing = Standing::read(&mut on, name, journal).await?;
            let set = set_zone(&mut on, &zone).await?;
            if set != Zone::AsItWas {
                // Another daemon begins with the rows that are there.
                on.run(TURN, vec![]).await?;
            }
            partitions.set_unit(&mut transaction).await?;
            partitions.forget();
            partitions.load(&mut transaction).await?;
            transaction.commit().await?;
            Ok::<_, sqlx::Error>((standing, set))
        })
        .await?;
        set.tell(name, &zone);
        self.retention
            .set_reference(Instant::now(), standing.believed_at, standing.received_at);
        self.newest = standing.newest;
        self.recorder.forget();
        self.upkeep = Upkeep::default();
        self.goes_on = true;
        self.warn_of_problem();
        Ok((connection, standing.cursor))
    }

    /// Once for each problem.
    fn warn_of_problem(&mut self) {
        let problem = self.partitions.problem();
        if let Some(problem) = problem.filter(|it| self.problem_told.as_deref() != Some(it)) {
            warn!(sink = self.name, "{problem}");
        }
        self.problem_told = problem.map(str::to_owned);
    }

    /// Once for each encoding.
    fn warn_of(&mut self, encoding: String) {
        let is_new = self.warned_of.as_ref() != Some(&encoding);
        if repertoire(&encoding) == Repertoire::Language && is_new {
            warn!(
                sink = self.name,
                encoding,
                "the database's encoding lacks characters, and a status with one of them will be \
                 dead-lettered; a database with ENCODING 'UTF8' holds all"
            );
            self.warned_of = Some(encoding);
        }
    }

    /// Once a minute.
    fn warn_of_too_old(&mut self) {
        if let Some(statuses) = self.too_old.take_unlogged(Instant::now()) {
            warn!(
                sink = self.name,
                statuses, "statuses older than the retention have got no row"
            );
        }
    }

    /// The failure; or that the tables are no longer seen, where it comes of that.
    async fn explained(&self, connection: &mut PgConnection, failure: Failure) -> Failure {
        let schema = self.schema.as_deref();
        explained(connection, &self.session, schema, failure).await
    }

    fn not_connected(&self) -> Trouble {
        let error = match &self.lost {
            Some(error) => error.clone(),
            None => format!("{}: not connected", self.server),
        };
        Trouble::Retry { error, after: None }
    }

    fn text(&self, failure: &Failure) -> String {
        format!("{}: {}", self.server, failure.with_advice())
    }

    fn pause(&self, failure: &Failure) -> Trouble {
        let error = self.text(failure);
        Trouble::Retry { error, after: None }
    }

    fn refused(&self, failure: &Failure, fault: Fault) -> Trouble {
        Trouble::Refused {
            index: None,
            by: match fault {
                // However many there are, the others go on.
                Fault::Event => By::Us,
                Fault::Tables => By::Them,
            },
            error: format!("{}: {failure}", self.server),
        }
    }
}
