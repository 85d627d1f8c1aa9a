//! The questions of docs/sql.md and of the README, asked of both databases over the same story.

use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

use crate::history::Database;
use crate::intervals::{Story, tell};

/// The statements in a document's blocks, as far as they are for this database.
fn statements(document: &str, database: &Database) -> Vec<String> {
    let other = match database {
        Database::Sqlite { .. } => "-- Postgres\n",
        Database::Postgres { .. } => "-- SQLite\n",
    };
    let blocks = document.split("```sql\n").skip(1);
    let blocks = blocks.filter_map(|block| Some(block.split_once("```")?.0));
    blocks
        .filter(|block| !block.starts_with(other))
        .flat_map(|block| block.split(';'))
        .filter(|statement| statement.to_lowercase().contains("select"))
        .map(str::to_owned)
        .collect()
}

async fn rows(database: &Database, statement: &str) -> usize {
    let sql = AssertSqlSafe(statement);
    match database {
        Database::Sqlite { path, .. } => {
            let mut connection = SqliteConnection::connect(&path.display().to_string())
                .await
                .unwrap();
            let rows = sqlx::raw_sql(sql).fetch_all(&mut connection).await;
            rows.unwrap_or_else(|error| panic!("{statement}: {error}"))
                .len()
        }
        Database::Postgres { .. } => {
            let mut connection = PgConnection::connect(&database.url()).await.unwrap();
            let rows = sqlx::raw_sql(sql).fetch_all(&mut connection).await;
            rows.unwrap_or_else(|error| panic!("{statement}: {error}"))
                .len()
        }
    }
}

#[tokio::test]
async fn each_question_has_an_answer_in_both_databases() {
    let steps = Story::told(200);
    let mut counted = Vec::new();
    for database in Database::both().await {
        tell(&database, &steps).await;
        let mut counts = Vec::new();
        for (document, least) in [
            (include_str!("../../docs/sql.md"), 11),
            (include_str!("../../README.md"), 3),
        ] {
            let statements = statements(document, &database);
            assert!(statements.len() >= least, "{statements:?}");
            for statement in statements {
                let count = rows(&database, &statement).await;
                assert!(count > 0, "no row: {statement}");
                counts.push(count);
            }
        }
        counted.push(counts);
    }
    assert_eq!(counted[0], counted[1]);
}

/// `\d+` shows them.
#[tokio::test]
async fn postgres_says_what_every_table_view_and_column_holds() {
    let database = Database::postgres().await;
    tell(&database, &[]).await;
    let silent = database
        .texts(
            "SELECT c.relname || '.' || a.attname FROM pg_class AS c \
             JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 \
             WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') \
             AND c.relname <> 'bridge_migration' \
             AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid, 'pg_class') IS NULL)",
        )
        .await;
    assert!(silent.is_empty(), "{silent:?}");
}
