//! One rig's history in Postgres: a database of its own on a server that all rigs of this process
//! share. It notes what arrives, row by row, since a table there has no order of its own.

use sqlx::{AssertSqlSafe, PgConnection};
use tokio::sync::{Mutex, OnceCell};

use peers::Postgres;

/// As [`POISON`](crate::audit::POISON), and each row that is stored is noted in the order of the
/// inserts.
const TRIGGERS: &str = "\
    CREATE FUNCTION number(event) RETURNS bigint LANGUAGE sql AS $$ \
        SELECT (coalesce($1.payload, (SELECT body FROM payload WHERE payload_key = $1.payload_key)) \
            ->> 'n')::bigint $$; \
    CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        IF number(NEW) % 97 = 13 THEN RAISE EXCEPTION 'poison' USING ERRCODE = '23514'; END IF; \
        RETURN NEW; END $$; \
    CREATE TRIGGER poison BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION poison(); \
    CREATE TABLE arrival (number bigserial PRIMARY KEY, origin text NOT NULL, n bigint NOT NULL); \
    CREATE FUNCTION arrive() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        INSERT INTO arrival (origin, n) SELECT journal || '-' || NEW.position, number(NEW) \
            FROM journal WHERE journal_key = NEW.journal_key; RETURN NULL; END $$; \
    CREATE TRIGGER arrive AFTER INSERT ON event FOR EACH ROW EXECUTE FUNCTION arrive()";

static SERVER: OnceCell<Postgres> = OnceCell::const_new();

/// One rig's Postgres history: its URL, and a connection that reads the arrivals.
pub(crate) struct Warehouse {
    url: String,
    connection: Mutex<PgConnection>,
}

impl Warehouse {
    /// Creates the database of the rig of this name; the daemon makes its tables.
    pub(crate) async fn create(rig: &str) -> Warehouse {
        let server = SERVER.get_or_init(Postgres::start).await;
        let name = rig.replace('-', "_");
        let url = server.create(&name).await;
        Warehouse {
            url,
            connection: Mutex::new(server.connect(&name).await),
        }
    }

    /// With user and password.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Whether the daemon has made its last table.
    pub(crate) async fn has_tables(&self) -> bool {
        let mut connection = self.connection.lock().await;
        sqlx::query("SELECT 1 FROM bridge_cursor")
            .fetch_optional(&mut *connection)
            .await
            .is_ok()
    }

    /// From now on some messages are refused, and the others noted.
    pub(crate) async fn poison(&self) {
        let mut connection = self.connection.lock().await;
        sqlx::raw_sql(TRIGGERS)
            .execute(&mut *connection)
            .await
            .expect("create triggers");
    }

    /// The rows stored after the arrival of this number: each one's number, origin and message.
    pub(crate) async fn arrivals_after(&self, number: i64) -> Vec<(i64, String, i64)> {
        let mut connection = self.connection.lock().await;
        let rows = sqlx::query_as(
            "SELECT number, origin, n FROM arrival WHERE number > $1 ORDER BY number",
        );
        rows.bind(number)
            .fetch_all(&mut *connection)
            .await
            .expect("read what has arrived in Postgres")
    }

    /// How many rows there are, and of how many messages.
    pub(crate) async fn counts(&self) -> (i64, i64) {
        let mut connection = self.connection.lock().await;
        let counts = "SELECT count(*), count(DISTINCT payload->>'n') FROM status_event";
        sqlx::query_as(AssertSqlSafe(counts))
            .fetch_one(&mut *connection)
            .await
            .expect("count in Postgres")
    }
}
