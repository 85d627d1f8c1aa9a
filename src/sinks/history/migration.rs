//! How both histories make their tables: by sqlx's migrations.

use std::collections::BTreeMap;

use sqlx::migrate::{MigrateError, Migrator};

/// Both histories keep their migrations apart from those of other programs in the same database.
pub(super) const MIGRATIONS_TABLE: &str = "bridge_migration";

/// The error if sqlx's migrations do not fit the tables. Until 1.0 no history is carried over;
/// sqlx's own words speak of migrations, which say nothing to a user.
pub(super) const ANOTHER_LAYOUT: &str =
    "this history has another layout, that of another stomp-bridge, such as 0.1";

/// The same where only later migrations are not ours.
pub(super) const NEWER_LAYOUT: &str =
    "a newer stomp-bridge has made this history, and nothing was changed: run that version again";

/// The version and checksum of each migration that was made.
pub(super) type Applied = BTreeMap<i64, Vec<u8>>;

/// Whose the tables are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// This version's, as far as they are made.
    Ours,
    /// This version's, with what a later one has added.
    Newer,
    /// Those of another version, which has numbered its migrations otherwise.
    Another,
}

/// By the migrations that were made, and those that this version knows.
pub(super) fn layout(applied: &Applied, known: &Migrator) -> Layout {
    let ours: BTreeMap<i64, &[u8]> = known
        .iter()
        .map(|migration| (migration.version, &*migration.checksum))
        .collect();
    let newest = ours.keys().next_back().copied().unwrap_or_default();
    let mut layout = Layout::Ours;
    for (version, checksum) in applied {
        match ours.get(version) {
            Some(known) if *known == checksum.as_slice() => {}
            None if *version > newest => layout = Layout::Newer,
            _ => return Layout::Another,
        }
    }
    layout
}

/// sqlx's error for tables that are not ours; [`NEWER_LAYOUT`] where its variant says so.
pub(super) fn assert_ours(applied: &Applied, known: &Migrator) -> Result<(), sqlx::Error> {
    let last = applied.keys().next_back().copied().unwrap_or_default();
    match layout(applied, known) {
        Layout::Ours => Ok(()),
        Layout::Newer => Err(MigrateError::VersionMissing(last).into()),
        Layout::Another => Err(MigrateError::VersionMismatch(last).into()),
    }
}

/// The database's own error if a migration failed by one, so that its code can be read. Any other
/// error is about tables that another version made.
pub(super) fn migration_failure(error: MigrateError) -> sqlx::Error {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error,
        error => sqlx::Error::from(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_migration_is_a_newer_versions_and_another_first_one_is_none_of_ours() {
        let known = sqlx::migrate!("migrations/history_sqlite");
        let made = |version: i64| -> (i64, Vec<u8>) {
            let ours = known.iter().find(|it| it.version == version);
            (version, ours.map_or(vec![7], |it| it.checksum.to_vec()))
        };
        let newest = known.iter().map(|it| it.version).max().expect("one");
        let all: Applied = known.iter().map(|it| made(it.version)).collect();
        assert_eq!(layout(&Applied::new(), &known), Layout::Ours);
        assert_eq!(layout(&all, &known), Layout::Ours);
        let mut newer = all.clone();
        newer.extend([made(newest + 1), made(newest + 2)]);
        assert_eq!(layout(&newer, &known), Layout::Newer);
        // 0.1 had more migrations, and all of them were others.
        let mut another = newer;
        another.insert(1, vec![0]);
        assert_eq!(layout(&another, &known), Layout::Another);
    }
}
