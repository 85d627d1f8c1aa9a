//! What happens to databases: somebody else locks them, they are restarted, become read-only, end
//! our session or stop answering. The trouble is named in `/status`, no other sink waits, nothing
//! is lost, and each event is stored once.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use super::lab::lab;
use super::run::{Ends, Run, assert_drained};
use peers::configuration::EventKey;
use peers::{Configuration, Daemon, Postgres, Stomp, accounts, platform, wait};

/// Messages published before, during and after the trouble.
const PART: usize = 200;
/// Events that a database cannot hold.
const BAD: usize = 60;

/// The daemon's own sessions in the database of the session that asks.
const OURS: &str = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'stomp-bridge'";

async fn start(name: &str) -> Run {
    let run = Run::start(name, &lab().await.rabbitmq.stomp_url(), EventKey::EventId).await;
    run.publish(0..PART).await;
    run
}

async fn finish(run: Run, name: &str, count: usize) {
    run.finish(count, 0).await;
    assert_drained(&lab().await.rabbitmq, name).await;
}

async fn execute(connection: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await
        .expect("a statement of the test's own");
}

/// Ends the daemon's sessions; gives how many.
async fn terminate(connection: &mut PgConnection, which: &str) -> i64 {
    let sql = format!("SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) {OURS} {which}");
    sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(connection)
        .await
        .expect("end sessions")
}

/// The daemon's session, as a process of this machine.
async fn backend(connection: &mut PgConnection) -> Pid {
    let pid: i32 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT pid {OURS}")))
        .fetch_one(connection)
        .await
        .expect("the daemon has one session");
    Pid::from_raw(pid).expect("a process has a pid")
}

#[tokio::test(flavor = "multi_thread")]
async fn locked_sqlite_history_is_named_and_waited_for() {
    let name = "locked_sqlite";
    let mut run = start(name).await;
    run.complete(PART).await;
    let options = SqliteConnectOptions::new().filename(run.daemon.folder().join("history.db"));
    let mut other = options.connect().await.expect("open the history");
    for round in 1..=2 {
        if round == 2 {
            // At the start it needs the file even more.
            assert_eq!(run.daemon.stop().await.code(), Some(0));
        }
        sqlx::raw_sql("BEGIN EXCLUSIVE")
            .execute(&mut other)
            .await
            .expect("nobody else writes for longer than 5 s");
        if round == 2 {
            run.daemon.restart().await;
        }
        run.publish(round * PART..(round + 1) * PART).await;
        run.complete_without("history", (round + 1) * PART).await;
        run.trouble("history", "another program holds the file")
            .await;
        sqlx::raw_sql("COMMIT")
            .execute(&mut other)
            .await
            .expect("end a transaction");
        run.complete((round + 1) * PART).await;
        run.daemon.ready().await;
    }
    other.close().await.expect("close the history");
    finish(run, name, 3 * PART).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crashed_and_restarted_postgres_misses_nothing() {
    let mut postgres = Postgres::start().await;
    let name = "postgres_killed";
    let ends = Ends::of(&lab().await.mosquitto, &postgres).await;
    let configuration = Configuration::new(&lab().await.rabbitmq.stomp_url());
    let mut run = Run::among(
        name,
        configuration.queue("status", name, EventKey::EventId),
        ends,
    )
    .await;
    run.publish(0..PART).await;
    run.complete(PART).await;

    // SIGKILL of one session makes the server end all of them and recover.
    let ours = backend(run.warehouse().await).await;
    run.publish(PART..2 * PART).await;
    kill_process(ours, Signal::KILL).expect("kill a session");
    run.forget_postgres();
    run.publish(2 * PART..3 * PART).await;
    run.complete_without("warehouse", 3 * PART).await;
    run.complete(3 * PART).await;

    postgres.kill();
    run.forget_postgres();
    run.publish(3 * PART..4 * PART).await;
    run.complete_without("warehouse", 4 * PART).await;
    run.trouble("warehouse", "refused").await;
    postgres.restart().await;
    run.publish(4 * PART..5 * PART).await;
    run.complete(5 * PART).await;
    run.daemon.ready().await;
    finish(run, name, 5 * PART).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only_postgres_is_named_and_waited_for() {
    let name = "postgres_read_only";
    let mut run = start(name).await;
    run.complete(PART).await;
    // As after a failover: the sessions end, and those that follow may only read.
    let database = run.warehouse().await;
    execute(
        database,
        format!("ALTER DATABASE {name} SET default_transaction_read_only = on"),
    )
    .await;
    assert_eq!(terminate(database, "").await, 1);
    run.publish(PART..2 * PART).await;
    run.complete_without("warehouse", 2 * PART).await;
    let error = run.trouble("warehouse", "read-only").await;
    assert!(error.contains("name the primary"), "{error}");
    execute(
        run.warehouse().await,
        format!("ALTER DATABASE {name} RESET default_transaction_read_only"),
    )
    .await;
    run.complete(2 * PART).await;
    run.daemon.ready().await;
    finish(run, name, 2 * PART).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deadlock_is_named_and_the_batch_is_tried_again() {
    let name = "postgres_deadlock";
    let mut run = start(name).await;
    run.complete(PART).await;
    // Time enough for the other to come before it is looked for; who waits longest is then the one
    // to give up.
    let database = run.warehouse().await;
    execute(
        database,
        format!("ALTER DATABASE {name} SET deadlock_timeout = '3s'"),
    )
    .await;
    assert_eq!(terminate(database, "").await, 1);
    run.publish(PART..2 * PART).await;
    run.complete(2 * PART).await;

    let mut other = lab().await.postgres.connect(name).await;
    execute(
        &mut other,
        "SET deadlock_timeout = '60s'; BEGIN; SELECT 1 FROM bridge_cursor FOR UPDATE".to_owned(),
    )
    .await;
    run.publish(2 * PART..3 * PART).await;
    let waiting = format!("SELECT count(*) {OURS} AND wait_event_type = 'Lock'");
    while sqlx::query_scalar::<_, i64>(AssertSqlSafe(waiting.as_str()))
        .fetch_one(run.warehouse().await)
        .await
        .expect("look at the sessions")
        == 0
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    execute(
        &mut other,
        "UPDATE device_row SET stream = stream; ROLLBACK".to_owned(),
    )
    .await;
    run.complete(3 * PART).await;
    run.daemon.ready().await;
    let log = run.daemon.log();
    assert!(
        log.contains("deadlock detected") && log.contains("in another order"),
        "{log}"
    );
    finish(run, name, 3 * PART).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lock_on_a_table_is_named_and_waited_for() {
    let name = "postgres_locked";
    let mut run = start(name).await;
    run.complete(PART).await;
    let mut other = lab().await.postgres.connect(name).await;
    execute(
        &mut other,
        "BEGIN; LOCK TABLE device_row IN ACCESS EXCLUSIVE MODE".to_owned(),
    )
    .await;
    run.publish(PART..2 * PART).await;
    run.complete_without("warehouse", 2 * PART).await;
    run.trouble("warehouse", "another session holds a lock")
        .await;
    execute(&mut other, "ROLLBACK".to_owned()).await;
    run.complete(2 * PART).await;
    run.daemon.ready().await;
    finish(run, name, 2 * PART).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_are_ended_again_and_again_store_each_event_once() {
    const KILLS: i64 = 7;
    let name = "postgres_terminated";
    let mut run = start(name).await;
    let mut killer = lab().await.postgres.connect(name).await;
    let (mut killed, mut published) = (0, PART);
    while killed < KILLS {
        run.publish(published..published + PART / 4).await;
        published += PART / 4;
        // In the middle of a transaction, wherever that is; or between two.
        let moment = if killed % 3 == 0 {
            ""
        } else {
            "AND state IN ('active', 'idle in transaction')"
        };
        let hit = wait::within(Duration::from_secs(5), async || {
            Some(terminate(&mut killer, moment).await).filter(|count| *count > 0)
        });
        killed += hit.await.unwrap_or(0);
    }
    run.complete(published).await;
    run.daemon.ready().await;
    finish(run, name, published).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn session_that_ends_in_its_commit_stores_each_event_once() {
    const DEATH: &str = "CREATE SEQUENCE death; \
        CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
            IF nextval('death') % 2 = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; \
            RETURN NULL; END $$; \
        CREATE CONSTRAINT TRIGGER die AFTER UPDATE ON bridge_cursor DEFERRABLE INITIALLY DEFERRED \
            FOR EACH ROW EXECUTE FUNCTION die()";
    let name = "postgres_commit";
    let mut run = start(name).await;
    run.complete(PART).await;
    execute(run.warehouse().await, DEATH.to_owned()).await;
    for round in 1..=4 {
        run.publish(round * PART..(round + 1) * PART).await;
        run.complete((round + 1) * PART).await;
    }
    let deaths: i64 = sqlx::query_scalar("SELECT last_value FROM death")
        .fetch_one(run.warehouse().await)
        .await
        .expect("a sequence");
    assert!(deaths >= 8, "only {deaths} commits were tried");
    run.daemon.ready().await;
    finish(run, name, 5 * PART).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn session_that_stops_answering_is_given_up() {
    /// Goes on however the test ends: a stopped process would stay.
    struct Frozen(Pid);
    impl Drop for Frozen {
        fn drop(&mut self) {
            let _ = kill_process(self.0, Signal::CONT);
        }
    }
    let name = "postgres_session_frozen";
    let mut run = start(name).await;
    run.complete(PART).await;
    let frozen = Frozen(backend(run.warehouse().await).await);
    kill_process(frozen.0, Signal::STOP).expect("stop a session");
    run.publish(PART..2 * PART).await;
    run.complete_without("warehouse", 2 * PART).await;
    run.trouble("warehouse", "no answer within").await;
    // A session of its own does not need the other.
    run.complete(2 * PART).await;
    run.daemon.ready().await;
    drop(frozen);
    finish(run, name, 2 * PART).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_postgres_cannot_hold_has_another_character_and_reaches_every_sink() {
    let name = "postgres_nul";
    let run = start(name).await;
    let text = platform::message(name, PART, 50);
    let (before, _) = text
        .rsplit_once("\"newState\":")
        .expect("a message has a new state");
    let odd = format!("{before}\"newState\":\"a\\u0000b\"}}");
    let mut publisher = Stomp::connect(lab().await.rabbitmq.stomp_port()).await;
    publisher.publish(&format!("/queue/{name}"), [odd]).await;
    run.publish(PART + 1..2 * PART).await;
    finish(run, name, 2 * PART).await;
}

/// They opened the circuit breaker before, which held up every device.
#[tokio::test(flavor = "multi_thread")]
async fn events_that_a_database_cannot_hold_are_dead_lettered_and_hold_up_no_other() {
    let name = "postgres_euc";
    let lab = lab().await;
    let mut admin = lab.postgres.connect("postgres").await;
    let create = "CREATE DATABASE postgres_euc ENCODING 'EUC_CN' LOCALE 'C' TEMPLATE template0";
    execute(&mut admin, create.to_owned()).await;
    let configuration = Configuration::new(&lab.rabbitmq.stomp_url())
        .queue(name, name, EventKey::EventId)
        .postgres(&lab.postgres.url(name));
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    daemon
        .complains(&["encoding lacks characters", "EUC_CN"])
        .await;

    let odd = |n: usize| platform::message(name, n, 50).replace("人民政府", "人民政府😀");
    let mut publisher = Stomp::connect(lab.rabbitmq.stomp_port()).await;
    let queue = format!("/queue/{name}");
    publisher.publish(&queue, (0..BAD).map(odd)).await;
    publisher
        .publish(&queue, platform::messages(name, BAD..BAD + PART, 50))
        .await;
    let mut last = Value::Null;
    let done = wait::within(wait::LONG, async || {
        last = accounts::report(&daemon).await?;
        let sink = &last["sinks"][0];
        let delivered = sink["delivered"].as_u64()?;
        // One more says that the topic is heard.
        (delivered == PART as u64 + 1 && sink["dead_lettered"] == BAD).then_some(())
    })
    .await;
    assert!(done.is_some(), "{last:#}");
    let log = daemon.log();
    assert!(!log.contains("circuit breaker"), "{log}");
    daemon.ready().await;
    accounts::balance(&daemon).await;
}
