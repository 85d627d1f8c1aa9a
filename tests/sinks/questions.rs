//! The questions of docs/sql.md and of the README, asked of both databases over the same story.

use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

use crate::history::Database;
use crate::intervals::{Story, tell};

/// A document's blocks of statements, as far as they are for this database.
fn blocks<'d>(document: &'d str, database: &Database) -> Vec<&'d str> {
    let other = match database {
        Database::Sqlite { .. } => "In Postgres:\n\n",
        Database::Postgres { .. } => "In SQLite:\n\n",
    };
    let pieces: Vec<&str> = document.split("```sql\n").collect();
    let pairs = pieces.windows(2).filter(|pair| !pair[0].ends_with(other));
    pairs
        .filter_map(|pair| Some(pair[1].split_once("```")?.0))
        .collect()
}

/// The statements in them.
fn statements(document: &str, database: &Database) -> Vec<String> {
    let blocks = blocks(document, database).into_iter();
    blocks
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

/// A block that begins with a comment would be an option to it.
#[tokio::test]
async fn each_block_can_be_pasted_to_sqlite3() {
    let database = Database::sqlite();
    tell(&database, &Story::told(200)).await;
    let Database::Sqlite { path, .. } = &database else {
        panic!("SQLite")
    };
    let mut pasted = 0;
    for document in [
        include_str!("../../docs/sql.md"),
        include_str!("../../README.md"),
    ] {
        for block in blocks(document, &database) {
            let output = std::process::Command::new("sqlite3")
                .arg(path)
                .arg(block)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            let is_answered = output.status.success() && !output.stdout.is_empty();
            assert!(is_answered, "{block}: {said}");
            pasted += 1;
        }
    }
    assert!(pasted >= 12, "{pasted}");
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
             WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v') \
             AND c.relname <> 'bridge_migration' \
             AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid, 'pg_class') IS NULL)",
        )
        .await;
    assert!(silent.is_empty(), "{silent:?}");
}
