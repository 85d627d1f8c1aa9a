//! The rights that storing and tending need. This list is what `docs/sql.md` grants, right by right;
//! the probe asks for each of them, and names those that are missing.

use std::fmt;

use sqlx::postgres::PgConnection;

use super::super::migration::MIGRATIONS_TABLE;
use super::session::query_as;

/// What a right is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    /// Without it nothing is stored.
    Storing,
    /// Without it nothing is stored once a new partition is needed.
    Partitions,
    /// Without it nothing that is stored goes.
    Tending,
}

/// A view that is read as a table is.
const NEWEST: &str = "device_current";

/// A use, a right, and the tables or functions.
const RIGHTS: [(Use, &str, &[&str]); 7] = [
    (
        Use::Storing,
        "SELECT",
        &[
            MIGRATIONS_TABLE,
            NEWEST,
            "bridge_clock",
            "bridge_cursor",
            "bridge_writer",
            "coverage",
            "device_row",
            "event",
            "event_key_seen",
            "history_setting",
            "journal",
            "payload",
            "profile",
            "state",
            "state_daily_row",
            "state_interval_row",
            "topic",
        ],
    ),
    (
        Use::Storing,
        "INSERT",
        &[
            "bridge_clock",
            "bridge_cursor",
            "coverage",
            "device_row",
            "event",
            "event_key_seen",
            "history_setting",
            "journal",
            "payload",
            "profile",
            "state",
            "state_daily_row",
            "state_interval_row",
            "topic",
        ],
    ),
    (
        Use::Storing,
        "UPDATE",
        &[
            "bridge_clock",
            "bridge_cursor",
            "bridge_writer",
            "coverage",
            "device_row",
            "history_setting",
            "state_daily_row",
        ],
    ),
    (Use::Storing, EXECUTE, &["bridge_partitions"]),
    (Use::Partitions, EXECUTE, &["bridge_make_partition"]),
    (
        Use::Tending,
        "DELETE",
        &[
            "coverage",
            "event_key_seen",
            "history_setting",
            "profile",
            "state_daily_row",
            "state_interval_row",
        ],
    ),
    (
        Use::Tending,
        EXECUTE,
        &["bridge_drop_before", "bridge_month"],
    ),
];

/// The right on a function.
const EXECUTE: &str = "EXECUTE";

/// Which of the rights `$2` on what is called `$1` our role has, as the server finds it by its
/// search path; a name is NULL where there is nothing of the kind.
const HELD: &str = "SELECT quote_ident(current_user), \
         quote_ident(s.nspname) || '.' || quote_ident(w.name), w.number, \
         CASE WHEN w.privilege = 'EXECUTE' THEN has_function_privilege(o.oid, 'EXECUTE') \
             ELSE has_table_privilege(o.oid, w.privilege) END \
     FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (name, privilege, number) \
     LEFT JOIN ( \
         SELECT oid, relname::text AS name, relnamespace AS namespace, false AS is_function \
         FROM pg_class WHERE relname = ANY($1) AND relkind IN ('r', 'p', 'v') \
             AND pg_table_is_visible(oid) \
         UNION ALL \
         SELECT oid, proname::text, pronamespace, true FROM pg_proc \
         WHERE proname = ANY($1) AND pg_function_is_visible(oid) \
     ) AS o ON o.name = w.name AND o.is_function = (w.privilege = 'EXECUTE') \
     LEFT JOIN pg_namespace AS s ON s.oid = o.namespace \
     ORDER BY w.number";

/// The rights that are missing.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// As SQL writes it.
    user: String,
    /// With the schema, as SQL writes both.
    rights: Vec<(Use, &'static str, String)>,
    /// Tables and functions that are not there.
    pub(super) gone: Vec<&'static str>,
}

impl Missing {
    /// Asks for each right. It changes nothing.
    pub(super) async fn read(connection: &mut PgConnection) -> Result<Missing, sqlx::Error> {
        let wanted: Vec<(Use, &str, &str)> = RIGHTS
            .iter()
            .flat_map(|(of, right, names)| names.iter().map(|name| (*of, *right, *name)))
            .collect();
        let names: Vec<&str> = wanted.iter().map(|(.., name)| *name).collect();
        let rights: Vec<&str> = wanted.iter().map(|(_, right, _)| *right).collect();
        let rows: Vec<(String, Option<String>, i64, Option<bool>)> = query_as(HELD)
            .bind(names)
            .bind(rights)
            .fetch_all(connection)
            .await?;
        let mut missing = Missing::default();
        for (user, on, number, is_held) in rows {
            missing.user = user;
            let index = usize::try_from(number - 1).unwrap_or_default();
            let Some((of, right, name)) = wanted.get(index) else {
                continue;
            };
            match (on, is_held) {
                (_, Some(true)) => {}
                (Some(on), Some(false)) => missing.rights.push((*of, right, on)),
                _ if missing.gone.contains(name) => {}
                _ => missing.gone.push(name),
            }
        }
        Ok(missing)
    }

    /// Whether none is missing.
    pub(super) fn is_empty(&self) -> bool {
        self.rights.is_empty() && self.gone.is_empty()
    }

    /// Whether rows can be stored; `has_partition`: those of now have one.
    pub(super) fn lets_store(&self, has_partition: bool) -> bool {
        let is_fatal = |of: Use| of == Use::Storing || of == Use::Partitions && !has_partition;
        self.gone.is_empty() && !self.rights.iter().any(|(of, ..)| is_fatal(*of))
    }

    /// What the user cannot do.
    fn consequences(&self) -> String {
        let mut uses: Vec<Use> = self.rights.iter().map(|(of, ..)| *of).collect();
        uses.sort_unstable();
        uses.dedup();
        let texts = uses.into_iter().map(|of| match of {
            Use::Storing => "nothing is stored",
            Use::Partitions => "no partition is made, and a status without one is not stored",
            Use::Tending => "rows past their retention stay, and a late status waits",
        });
        texts.collect::<Vec<_>>().join("; ")
    }

    /// What to do about it.
    pub(super) fn advice(&self) -> String {
        format!("as the owner of the tables, run {}", self.grants())
    }

    /// A GRANT for all tables that lack the same rights.
    fn grants(&self) -> String {
        let mut objects: Vec<(&str, Vec<&str>)> = Vec::new();
        for (_, right, on) in &self.rights {
            match objects.iter_mut().find(|(known, _)| *known == on.as_str()) {
                Some((_, rights)) => rights.push(right),
                None => objects.push((on, vec![right])),
            }
        }
        let mut grants: Vec<(Vec<&str>, Vec<&str>)> = Vec::new();
        for (on, rights) in objects {
            match grants.iter_mut().find(|(known, _)| *known == rights) {
                Some((_, objects)) => objects.push(on),
                None => grants.push((rights, vec![on])),
            }
        }
        let grants = grants.into_iter().map(|(rights, objects)| {
            let kind = match rights.contains(&EXECUTE) {
                true => "FUNCTION ",
                false => "",
            };
            let (rights, objects) = (rights.join(", "), objects.join(", "));
            format!("GRANT {rights} ON {kind}{objects} TO {}", self.user)
        });
        grants.collect::<Vec<_>>().join("; ")
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.gone.is_empty() {
            true => write!(
                f,
                "the user {} lacks rights: {}",
                self.user,
                self.consequences()
            ),
            false => write!(f, "the history has no {}", self.gone.join(", no ")),
        }
    }
}

/// The tables that the migrations make, but the one that says which were made.
pub(super) fn made_tables() -> Vec<&'static str> {
    let [(.., tables), ..] = RIGHTS;
    let others = [MIGRATIONS_TABLE, NEWEST];
    let made = tables.iter().filter(|table| !others.contains(table));
    made.copied().collect()
}
