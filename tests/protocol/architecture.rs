//! Which module may know which, held against the `use` lines and paths of `src/`.
//!
//! The order is the list of modules in `src/lib.rs`; this file adds the absences.

mod circles;
mod named;
mod servers;
mod text;

pub(crate) use text::{Literals, code, production};

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Imports within one group of `lib.rs`, where all others are strangers to each other.
const WITHIN_A_GROUP: &[(&str, &str)] =
    &[("cli", "app"), ("app", "supervise"), ("cli", "supervise")];

/// `module` must not know `path`, although the order would allow it.
const ABSENCES: &[(&str, &str)] = &[
    // STOMP is frames and a state machine that is given the time.
    ("stomp", "crate::model"),
    ("stomp", "tokio::"),
    ("stomp", "std::net"),
    ("stomp", "std::fs"),
    ("stomp", "Instant::now"),
    ("stomp", "SystemTime::now"),
    ("stomp", "Timestamp::now"),
    ("stomp", "async fn"),
    // The pipeline is pure functions.
    ("pipeline", "tokio::"),
    ("pipeline", "std::net"),
    ("pipeline", "std::fs"),
    ("pipeline", "Timestamp::now"),
    ("pipeline", "async fn"),
    ("model", "tokio::"),
    ("model", "std::net"),
    ("model", "std::fs"),
    ("model", "Timestamp::now"),
    ("model", "async fn"),
    // A transport carries bytes, whatever they mean.
    ("transport", "crate::stomp"),
    ("transport", "crate::pipeline"),
    // What comes in and what goes out meet in the journal alone.
    ("source", "crate::sinks"),
    ("sinks", "crate::transport"),
    ("sinks", "crate::stomp"),
    ("journal", "crate::stomp"),
    ("delivery", "crate::transport"),
    ("delivery", "crate::stomp"),
];

/// A crate stays in the folders that wrap it.
const WRAPPED: &[(&str, &[&str])] = &[
    ("figment::", &["config"]),
    ("schemars::", &["config"]),
    // Every secret is our `Secret`, which has Eq and prints nothing.
    ("SecretString", &["secret"]),
    ("ExposeSecret", &["secret"]),
    ("rumqttc::", &["sinks/mqtt"]),
    // The demo is a server: the other side of the same wire.
    ("tokio_tungstenite::", &["transport", "sinks/mqtt", "demo"]),
    ("axum::", &["ops", "demo"]),
    ("askama::", &["ops/page"]),
    ("utoipa::", &["ops"]),
    ("sqlx::", &["journal", "sinks/history"]),
    // A pooler may stand before Postgres: statements have no names there.
    (
        "sqlx::query",
        &[
            "journal",
            "sinks/history/sqlite",
            "sinks/history/postgres/session",
        ],
    ),
    ("clap::", &["cli"]),
    ("clap_complete::", &["cli/generated"]),
    ("clap_mangen::", &["cli/generated"]),
    ("minijinja::", &["pipeline"]),
    ("sd_notify::", &["ops"]),
    ("notify::", &["app/watch"]),
    ("tokio::spawn", &["supervise"]),
    ("thread::spawn", &["supervise"]),
];

#[test]
fn modules_know_only_what_stands_below_them() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let ranks = ranks(&fs::read_to_string(src.join("lib.rs")).expect("read src/lib.rs"));
    let mut files = Vec::new();
    collect(&src, &mut files);
    assert!(files.len() > 20, "only {} files in src/", files.len());
    let violations: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let name = file
                .strip_prefix(&src)
                .expect("files of src/ are in src/")
                .to_string_lossy()
                .into_owned();
            let text = fs::read_to_string(file).expect("read a source file");
            violations(&name, &text, &ranks)
        })
        .collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn forbidden_imports_are_found() {
    let ranks = ranks(
        "pub mod model;\n\npub mod stomp;\n\npub mod journal;\npub mod sinks;\n\npub mod config;\n",
    );
    for (name, text, found) in [
        ("stomp/frame.rs", "use crate::model::Event;", 1),
        ("journal/log.rs", "use crate::config::Schema;", 1),
        ("journal/log.rs", "use crate::sinks::Sink;", 1),
        ("sinks/mod.rs", "use crate::{journal, model};", 1),
        ("sinks/webhook.rs", "let x = sqlx::raw_sql(\"\");", 1),
        ("sinks/history/postgres/store.rs", "sqlx::query_as(sql)", 1),
        ("sinks/history/postgres/store.rs", "query_as(sql)", 0),
        (
            "config/load.rs",
            "use {\n    crate::sinks,\n    figment::Figment,\n};",
            0,
        ),
        (
            "sinks/history/sqlite.rs",
            "use sqlx::Row;\nuse crate::model::Event;",
            0,
        ),
        (
            "sinks/mqtt.rs",
            "// as crate::config has it\nuse tokio_tungstenite::WebSocketStream;",
            0,
        ),
        ("sinks/webhook/sink.rs", "use rumqttc::Event;", 1),
        (
            "stomp/frame.rs",
            "fn f() {}\n#[cfg(test)]\nmod tests { use crate::config; }",
            0,
        ),
    ] {
        assert_eq!(
            violations(name, text, &ranks).len(),
            found,
            "{name}: {text}"
        );
    }
}

/// Each module's group in `lib.rs`, 0 for the first: groups are set apart by blank lines.
fn ranks(lib: &str) -> BTreeMap<String, usize> {
    let mut ranks = BTreeMap::new();
    for (rank, group) in lib
        .split("\n\n")
        .filter(|group| group.contains("pub mod "))
        .enumerate()
    {
        for module in group
            .lines()
            .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        {
            ranks.insert(module.to_owned(), rank);
        }
    }
    assert!(!ranks.is_empty(), "no modules in lib.rs");
    ranks
}

/// Every Rust file below a folder.
pub(crate) fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("list a folder of src/") {
        let path = entry.expect("list a folder of src/").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn violations(name: &str, text: &str, ranks: &BTreeMap<String, usize>) -> Vec<String> {
    let module = name.split(['/', '.']).next().unwrap_or_default();
    let code = text::production(text);
    if name.ends_with("/tests.rs") || name.contains("/tests/") {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut check = |line: usize, path: &str| {
        for (_, forbidden) in ABSENCES
            .iter()
            .filter(|(r, f)| *r == module && path.contains(f))
        {
            found.push(format!(
                "src/{name}:{line}: {module} must not know {forbidden}"
            ));
        }
        for (wrapped, folders) in WRAPPED.iter().filter(|(w, _)| is_path(path, w)) {
            if !folders.iter().any(|r| name.starts_with(r)) {
                found.push(format!(
                    "src/{name}:{line}: {wrapped} belongs in {}",
                    folders.join(", ")
                ));
            }
        }
        for other in modules_named(path) {
            let (Some(own), Some(theirs)) = (ranks.get(module), ranks.get(other)) else {
                continue;
            };
            let neighbours = WITHIN_A_GROUP.contains(&(module, other));
            if other != module && theirs >= own && !neighbours {
                found.push(format!(
                    "src/{name}:{line}: {module} must not know crate::{other}"
                ));
            }
        }
    };
    for (line, statement) in statements(&code) {
        check(line, &statement);
    }
    found
}

/// Code lines without comments, with their numbers; a `use` over several lines is one.
fn statements(code: &str) -> Vec<(usize, String)> {
    let mut statements: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (number, line) in code.lines().enumerate() {
        let line = line.trim();
        if line.starts_with("//") {
            continue;
        }
        match statements.last_mut() {
            Some((_, use_line)) if open => use_line.push_str(line),
            _ => {
                open = line.starts_with("use ") || line.starts_with("pub use ");
                statements.push((number + 1, line.to_owned()));
            }
        }
        open = open && !line.ends_with(';');
    }
    statements
}

/// Whether `wanted` stands in `text` as the beginning of a path, not as the end of a longer name.
fn is_path(text: &str, wanted: &str) -> bool {
    text.match_indices(wanted).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && c != '_')
    })
}

/// The modules behind each `crate::` of a line, those of a list in braces included.
fn modules_named(text: &str) -> Vec<&str> {
    let name = |path: &'_ str| {
        path.find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(path.len())
    };
    let mut modules = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => {
                let mut depth = 0;
                let mut start = true;
                for (i, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if start && (c.is_alphanumeric() || c == '_') => {
                            modules.push(&list[i..i + name(&list[i..])]);
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
            None => modules.push(&rest[..name(rest)]),
        }
    }
    modules
}
