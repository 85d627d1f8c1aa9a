//! The tables of histories.

use std::borrow::Cow;
use std::path::PathBuf;

use figment::value::{Dict, Value};
use url::Url;

use super::Named;
use crate::config::context::Context;
use crate::config::path::Path;
use crate::config::schema;
use crate::config::secret::Within;
use crate::config::units::Retention;
use crate::secret::Secret;
use crate::sinks::Settings;
use crate::sinks::history::{postgres, sqlite};

/// Postgres cuts a longer name (NAMEDATALEN).
const POSTGRES_NAME_BYTES_MAX: usize = 63;

/// Who is neither the owner nor of the group may write.
const OTHERS_WRITE: u32 = 0o002;

/// The table of a history; its `retention` is a table too. A single text, the form before 0.2, is a
/// problem that says what to write.
pub(super) fn with_retention(check: &mut Context<'_>, path: &Path, mut table: Dict) -> Dict {
    let name = "retention";
    if let Some(text) = table.get(name).and_then(Value::as_str) {
        let is_retention = text.parse::<Retention>().is_ok();
        let statuses = if is_retention { text } else { "365d" };
        let help = format!("write retention = {{ statuses = \"{statuses}\" }}");
        let message =
            "expected a table, found a text: each kind of rows has a retention of its own";
        check.report.error_with(&path.join(name), message, help);
        table.remove(name);
    }
    table
}

pub(super) fn sqlite(
    check: &mut Context<'_>,
    named: &Named<'_>,
    written: schema::Sqlite,
    files: &mut Vec<(PathBuf, String)>,
) -> Settings {
    let path = check.state_file(&written.path);
    let same = |other: &std::path::Path| same_file(other, &path);
    if let Some((_, owner)) = files.iter().find(|(file, _)| same(file)) {
        let message = format!("{} is the file of {owner} already", path.display());
        check
            .report
            .key_error(&named.path.join("path"), message, "give each its own file");
    }
    files.push((path.clone(), format!("the sink `{}`", named.name)));
    check.database(&named.path.join("path"), &path);
    if written.mode.0 & OTHERS_WRITE != 0 {
        let message = format!(
            "everybody on this machine may change this history: mode = \"{:04o}\" lets the same \
             people read it",
            written.mode.0 & !OTHERS_WRITE
        );
        check.report.warning(&named.path.join("mode"), message);
    }
    // Of the days of `state_daily`.
    let zone = check.zone(&named.path.join("timezone"), &written.timezone);
    Settings::Sqlite(sqlite::Settings {
        name: named.name.to_string(),
        path,
        retention: written.retention.statuses.0,
        intervals: written.retention.intervals.0,
        zone,
        mode: written.mode.0,
    })
}

/// Whether two paths mean one file, as far as that can be known before there is one.
fn same_file(a: &std::path::Path, b: &std::path::Path) -> bool {
    let real = |path: &std::path::Path| {
        let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
        let name = path.file_name().map(PathBuf::from).unwrap_or_default();
        path.canonicalize()
            .ok()
            .or_else(|| folder.map(|folder| folder.join(name)))
            .unwrap_or_else(|| path.to_owned())
    };
    real(a) == real(b)
}

pub(super) fn postgres(
    check: &mut Context<'_>,
    named: &Named<'_>,
    written: schema::Postgres,
) -> Option<Settings> {
    let path = named.path.join("url");
    let url = check.secret(&path, written.url.expose_secret(), Within::Url)?;
    let urls = match postgres::urls(url.expose_secret()) {
        Ok(urls) => urls,
        Err(problem) => {
            check.report.error(&path, problem);
            return None;
        }
    };
    let schemes = ["postgres", "postgresql"];
    let urls = urls
        .iter()
        .map(|url| check.checked_url(&path, url, &schemes));
    let urls = urls.collect::<Option<Vec<Url>>>()?;
    let (first, others) = urls.split_first()?;
    if first.path().trim_matches('/').is_empty() {
        check.report.error_with(
            &path,
            "the URL names no database",
            "such as postgres://bridge@db/devices",
        );
    }
    if let Some(schema) = &written.schema {
        postgres_schema(check, &named.path.join("schema"), schema, first);
    }
    let settings = postgres::Settings {
        name: named.name.to_string(),
        url: match others {
            [] => Secret::from(first.as_str()),
            [..] => url,
        },
        schema: written.schema,
        folder: check.folders.config.clone(),
        retention: written.retention.statuses.0,
        intervals: written.retention.intervals.0,
        event_keys: named.event_keys,
        zone: check.zone(&named.path.join("timezone"), &written.timezone),
    };
    match postgres::exposure(&settings) {
        Ok(exposure) => exposure
            .into_iter()
            .for_each(|exposure| check.report.warning(&path, exposure.to_string())),
        Err(problem) => check.report.error(&path, problem),
    }
    Some(Settings::Postgres(settings))
}

/// The name of the schema of a history's tables.
fn postgres_schema(check: &mut Context<'_>, path: &Path, schema: &str, url: &Url) {
    let is_reserved = schema.starts_with("pg_");
    let is_name = (1..=POSTGRES_NAME_BYTES_MAX).contains(&schema.len());
    if is_reserved || !is_name || schema.contains(char::is_control) {
        check.report.key_error(
            path,
            "it cannot name a schema",
            format!("1 to {POSTGRES_NAME_BYTES_MAX} bytes that do not begin with pg_"),
        );
    }
    let is_path = |(name, value): (Cow<'_, str>, Cow<'_, str>)| {
        name.starts_with("options")
            && (name.contains("search_path") || value.contains("search_path"))
    };
    if url.query_pairs().any(is_path) {
        let message = "the URL's options name a search_path, which would have no effect";
        check
            .report
            .error_with(path, message, "remove it from `url`, or this key");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_is_one_file_however_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        assert!(same_file(
            &folder.path().join("a.db"),
            &folder.path().join("./a.db")
        ));
        assert!(!same_file(
            &folder.path().join("a.db"),
            &folder.path().join("b.db")
        ));
    }
}
