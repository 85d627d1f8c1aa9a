//! How the SQLite in this program was compiled. The settings stand in `.cargo/config.toml`, which
//! cargo reads in the repository's folder alone: `cargo install --git` builds without them. Nothing
//! here changes anything: every SQLite gives the same answers, at another cost.

use std::fmt;

use super::error::failed;
use super::{Error, Writer};

/// `SQLITE_DEFAULT_MEMSTATUS=0`: SQLite does not count its memory, for which all connections would
/// wait for one lock.
const WANTED: &str = "DEFAULT_MEMSTATUS=0";

/// `SQLITE_ENABLE_MEMORY_MANAGEMENT` gives all connections one page cache, with one lock;
/// `SQLITE_ENABLE_API_ARMOR` checks arguments that sqlx never gives.
const UNWANTED: [&str; 2] = ["ENABLE_MEMORY_MANAGEMENT", "ENABLE_API_ARMOR"];

/// What differs from the settings in `.cargo/config.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqliteDifference {
    /// This option is not set.
    Lacks(&'static str),
    /// This option is set.
    Has(&'static str),
}

impl fmt::Display for SqliteDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SqliteDifference::Lacks(option) => write!(f, "without {option}"),
            SqliteDifference::Has(option) => write!(f, "with {option}"),
        }
    }
}

impl Writer {
    /// How SQLite was compiled otherwise than the repository has it; nothing where it is as wanted.
    ///
    /// # Errors
    /// SQLite does not answer.
    pub async fn sqlite_differences(&mut self) -> Result<Vec<SqliteDifference>, Error> {
        let options: Vec<String> = sqlx::query_scalar("PRAGMA compile_options")
            .fetch_all(&mut self.connection)
            .await
            .map_err(failed("ask how SQLite was compiled"))?;
        Ok(differences(&options))
    }
}

fn differences(options: &[String]) -> Vec<SqliteDifference> {
    let is_set = |option: &str| options.iter().any(|set| set == option);
    let lacks = (!is_set(WANTED)).then_some(SqliteDifference::Lacks(WANTED));
    let has = UNWANTED.into_iter().filter(|option| is_set(option));
    lacks
        .into_iter()
        .chain(has.map(SqliteDifference::Has))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Journal, Settings};
    use super::*;

    fn check(options: &[&str], expected: &[SqliteDifference]) {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        assert_eq!(differences(&options), expected, "{options:?}");
    }

    #[test]
    fn each_setting_that_differs_is_named() {
        let [management, armor] = UNWANTED;
        // What libsqlite3-sys sets by itself, as far as it matters here.
        check(
            &["COMPILER=gcc", armor, management, "THREADSAFE=1"],
            &[
                SqliteDifference::Lacks(WANTED),
                SqliteDifference::Has(management),
                SqliteDifference::Has(armor),
            ],
        );
        check(
            &["DEFAULT_MEMSTATUS=1", "THREADSAFE=1"],
            &[SqliteDifference::Lacks(WANTED)],
        );
        check(&[WANTED, armor], &[SqliteDifference::Has(armor)]);
        check(&["COMPILER=gcc", WANTED, "THREADSAFE=1"], &[]);
    }

    /// SQLite itself would ignore a setting that it does not know.
    #[tokio::test]
    async fn this_build_has_the_settings_of_the_repository() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::new(folder.path().join("journal.db"));
        let (_journal, mut writer) = Journal::open(&settings).await.unwrap();
        assert_eq!(writer.sqlite_differences().await.unwrap(), []);
    }
}
