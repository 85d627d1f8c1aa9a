//! How both histories make their tables: by sqlx's migrations.

use sqlx::migrate::MigrateError;

/// Both histories keep their migrations apart from those of other programs in the same database.
pub(super) const MIGRATIONS_TABLE: &str = "bridge_migration";

/// The error if sqlx's migrations do not fit the tables. Until 1.0 no history is carried over;
/// sqlx's own words speak of migrations, which say nothing to a user.
pub(super) const ANOTHER_LAYOUT: &str =
    "this history has another layout, that of stomp-bridge 0.1 or of a newer version";

/// The database's own error if a migration failed by one, so that its code can be read. Any other
/// error is about tables that another version made.
pub(super) fn migration_failure(error: MigrateError) -> sqlx::Error {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error,
        error => sqlx::Error::from(error),
    }
}
