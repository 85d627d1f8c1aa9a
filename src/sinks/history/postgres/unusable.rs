//! Why there are no tables that our role can use, and what to do about it.

/// Why there are none. Names are as SQL writes them.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("the tables are in the schema {schema}, on which the user {user} has no USAGE")]
    Hidden { schema: String, user: String },
    #[error("the database {database} has no schema {schema}")]
    NoSchema { database: String, schema: String },
    #[error("the database {database} has no schema {schema}, and the user {user} may make none")]
    MayMakeNoSchema {
        database: String,
        schema: String,
        user: String,
    },
    #[error("the schema {schema} has no tables, and the user {user} may make none there")]
    MayMakeNone {
        schema: String,
        user: String,
        lacks: &'static str,
    },
    #[error(
        "the schema {schema} has {tables}, and no bridge_migration: the daemon has not made them"
    )]
    Foreign { schema: String, tables: String },
}

impl Unusable {
    /// What to do about it.
    pub(super) fn advice(&self) -> String {
        match self {
            Unusable::Hidden { schema, user } => {
                format!("as the owner of the schema, run GRANT USAGE ON SCHEMA {schema} TO {user}")
            }
            Unusable::NoSchema { .. } => "correct `schema`".to_owned(),
            Unusable::MayMakeNoSchema { database, user, .. } => {
                format!("correct `schema`, or run GRANT CREATE ON DATABASE {database} TO {user}")
            }
            Unusable::MayMakeNone {
                schema,
                user,
                lacks,
            } => format!(
                "as the owner of the schema, run GRANT {lacks} ON SCHEMA {schema} TO {user}, or \
                 start the daemon once with a user in `url` who may make them"
            ),
            Unusable::Foreign { .. } => "drop them and let the daemon make its own, or name \
                 another `schema`; the migration is not to be run by hand"
                .to_owned(),
        }
    }
}
