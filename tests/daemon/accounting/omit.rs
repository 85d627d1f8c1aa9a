//! `omit`: what a sink is not to have reaches none of them, by no way.

use sqlx::AssertSqlSafe;

use super::bridge::{Source, done, passed, stop};
use peers::{Daemon, Folder, Mosquitto, Postgres, Receiver, Subscriber, USER, wait};

/// What every message of the platform has as its `detail`, and in its payload alone.
const OMITTED: [&str; 2] = ["人民政府", "createTime"];
/// Beside it, and not omitted.
const KEPT: &str = "射阳县";

const MESSAGES: usize = 6;

/// What a sink has got.
struct Got(Vec<u8>);

impl Got {
    /// As it is, or in hexadecimal digits, as Postgres shows bytes.
    fn has(&self, text: &str) -> bool {
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        let finds = |text: &str| memchr::memmem::find(&self.0, text.as_bytes()).is_some();
        finds(text) || finds(&hex)
    }

    #[track_caller]
    fn is_without(&self, sink: &str) {
        assert!(self.has(KEPT), "{sink} has not even {KEPT}");
        for omitted in OMITTED {
            assert!(!self.has(omitted), "{sink} has {omitted}");
        }
    }
}

/// The bytes of a SQLite history, once nobody writes it.
fn of_sqlite(folder: &Folder, file: &str) -> Got {
    let mut bytes = std::fs::read(folder.join(file)).unwrap();
    bytes.extend(std::fs::read(folder.join(&format!("{file}-wal"))).unwrap_or_default());
    Got(bytes)
}

/// Every row of every table of a Postgres history.
async fn of_postgres(postgres: &Postgres, database: &str) -> Got {
    let mut connection = postgres.connect(database).await;
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    let mut all = String::new();
    for table in &tables {
        let rows = format!("SELECT row_to_json(it)::text FROM \"{table}\" AS it");
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(rows))
            .fetch_all(&mut connection)
            .await
            .unwrap();
        all.extend(rows);
    }
    Got(all.into_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_omitted_reaches_no_sink_by_no_way() {
    let (source, receiver) = (Source::start().await, Receiver::start().await);
    let (mosquitto, postgres) = (Mosquitto::start().await, Postgres::start().await);
    let url = postgres.create("omitted").await;
    // As other clients spell it.
    let broker = mosquitto.url().replace("mqtt://", "tcp://");
    let password = peers::PASSWORD;
    let mut configuration = source.configuration();
    for (sink, lines) in [
        ("history", "type = \"sqlite\"\npath = \"history.db\"\n"),
        (
            "warehouse",
            &*format!("type = \"postgres\"\nurl = \"{url}\"\n"),
        ),
        (
            "site",
            &*format!(
                "type = \"mqtt\"\nurl = \"{broker}\"\nusername = \"{USER}\"\n\
                 password = \"{password}\"\ntopic = \"site/{{{{ device_id }}}}\"\n"
            ),
        ),
        (
            "oncall",
            &*format!("type = \"webhook\"\nurl = \"{}\"\n", receiver.url()),
        ),
    ] {
        let lines = format!("{lines}omit = [\"payload\", \"detail\"]\n");
        configuration = configuration.table(&format!("sinks.{sink}"), &lines);
    }
    // The same search finds it where it is.
    let configuration =
        configuration.table("sinks.whole", "type = \"sqlite\"\npath = \"whole.db\"\n");
    let live = Subscriber::start(mosquitto.port(), "reader", "site/#").await;
    let mut daemon = Daemon::start(&configuration).await;
    daemon.ready().await;
    source.messages(0..MESSAGES);
    for sink in ["history", "warehouse", "site", "oncall", "whole"] {
        passed(&daemon, sink, MESSAGES as i64, 0).await;
    }
    for sink in ["history", "warehouse", "site", "oncall"] {
        done(&daemon, &["replay", sink]).await;
        passed(&daemon, sink, MESSAGES as i64, 0).await;
    }
    wait::until("the replayed ones, too", async || {
        let there = (live.publishes().len(), receiver.count());
        (there.0 >= 2 * MESSAGES && there.1 >= 2 * MESSAGES).then_some(())
    })
    .await;
    for sink in ["site", "oncall"] {
        done(&daemon, &["sinks", "test", sink]).await;
    }
    let publishes = live.publishes();
    let bodies: Vec<&[u8]> = publishes.iter().map(|it| &*it.payload).collect();
    Got(bodies.concat()).is_without("site");
    Got(receiver.bodies().concat()).is_without("oncall");
    of_postgres(&postgres, "omitted")
        .await
        .is_without("warehouse");
    stop(&mut daemon).await;
    of_sqlite(daemon.folder(), "history.db").is_without("history");
    let whole = of_sqlite(daemon.folder(), "whole.db");
    for omitted in OMITTED {
        assert!(whole.has(omitted), "the search does not find {omitted}");
    }
}
