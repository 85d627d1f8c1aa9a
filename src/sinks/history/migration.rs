//! How both histories make their tables: by sqlx's migrations.

use sqlx::migrate::MigrateError;

/// Both histories keep their migrations apart from those of other programs in the same database.
pub(super) const MIGRATIONS_TABLE: &str = "bridge_migration";

/// The database's own error where a migration ran into one, so that its code can be read; what is
/// left speaks of tables that another version made.
pub(super) fn migration_failure(error: MigrateError) -> sqlx::Error {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error,
        error => sqlx::Error::from(error),
    }
}
