//! `docs/configuration.md`: its tables are the schema's keys in the order of `config.toml`, and its
//! examples load. So all three say one thing.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value};
use stomp_bridge::config::json_schema;

use super::{SINK, SOURCE, TOPIC};
use crate::pages::{self, Block};

const PAGE: &str = "docs/configuration.md";

/// A part of the page: its heading, the table of the schema, and the tables of `config.toml` that
/// show its keys.
struct Section {
    heading: &'static str,
    path: &'static str,
    shown_in: &'static [&'static str],
}

const fn section(
    heading: &'static str,
    path: &'static str,
    shown_in: &'static [&'static str],
) -> Section {
    Section {
        heading,
        path,
        shown_in,
    }
}

/// In the order of the page. `*` is any name; behind `sinks` stands a type.
const SECTIONS: &[Section] = &[
    section("## Before the tables", "", &[""]),
    section("## `[source]`", "source", &["source"]),
    section("### `[source.signin]`", "source.signin", &["source.signin"]),
    section("### `[source.tls]`", "source.tls", &["source.tls"]),
    section(
        "### `[source.reconnect]`",
        "source.reconnect",
        &["source.reconnect"],
    ),
    section(
        "## `[topics.NAME]`",
        "topics.*",
        &["topics.map-1", "topics.client"],
    ),
    section(
        "### `[topics.NAME.fields]`",
        "topics.*.fields",
        &["topics.map-1.fields"],
    ),
    section(
        "### `[topics.NAME.resync]`",
        "topics.*.resync",
        &["topics.map-1.resync"],
    ),
    section("## `[states]`", "states.*", &["states"]),
    section("## `[secrets]`", "secrets.*", &["secrets"]),
    section("## `[journal]`", "journal", &["journal"]),
    section(
        "## `[sinks.NAME]`: the keys of every sink",
        "sinks",
        &["sinks.history"],
    ),
    section(
        "### `type = \"sqlite\"`",
        "sinks.sqlite",
        &["sinks.history"],
    ),
    section(
        "### `type = \"postgres\"`",
        "sinks.postgres",
        &["sinks.warehouse"],
    ),
    section("### `type = \"mqtt\"`", "sinks.mqtt", &["sinks.site"]),
    section(
        "### `type = \"webhook\"`",
        "sinks.webhook",
        &["sinks.oncall", "sinks.feed"],
    ),
    section("## `[names]`", "names", &["names"]),
    section("## `[http]`", "http", &["http"]),
    section("## `[[tests]]`", "tests", &["tests"]),
];

/// Tables whose keys another section has: the rows say so.
const AS_ELSEWHERE: &[&str] = &["topics.*.resync.tls", "topics.*.resync.fields"];

/// The head of each table.
const HEAD: &str = "| key | type | default | meaning |\n| --- | --- | --- | --- |\n";

/// A key as a row shows it.
struct Key {
    name: String,
    schema: Value,
}

#[test]
fn the_page_has_every_key_as_the_schema_and_the_example_have_it() {
    let schema = json_schema();
    let example = pages::read("config.toml");
    let mut page = pages::read(PAGE);
    for section in SECTIONS {
        let table = table(&schema, &example, section);
        let heading = format!("\n{}\n", section.heading);
        let at = page
            .find(&heading)
            .unwrap_or_else(|| panic!("{PAGE} lacks a heading:{heading}with this table:\n{table}"));
        let head = page[at..]
            .find(HEAD)
            .unwrap_or_else(|| panic!("{PAGE} lacks a table below {}:\n{table}", section.heading));
        let begin = at + head;
        let end = page[begin..]
            .find("\n\n")
            .map_or(page.len(), |length| begin + length + 1);
        page.replace_range(begin..end, &table);
    }
    if pages::read(PAGE) != page {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("configuration.md");
        fs::write(&file, &page).expect("write the page");
        panic!(
            "{PAGE} should be as follows; it stands in {}, too\n{page}",
            file.display()
        );
    }
}

/// A request of several has the keys of a request that is alone.
#[test]
fn a_step_has_the_keys_of_the_sign_in() {
    let schema = json_schema();
    let keys = |name: &str| keys(&schema, &schema["$defs"][name]);
    let alone = keys("Signin");
    let others: Vec<&String> = alone
        .keys()
        .filter(|key| !keys("SigninStep").contains_key(*key))
        .collect();
    assert_eq!(others, ["steps", "timeout"]);
    assert_eq!(keys("SigninStep").len(), alone.len() - 2);
}

/// Each example of the page, with what a whole configuration needs besides.
#[test]
fn the_examples_of_the_page_load() {
    let blocks = pages::blocks(PAGE, "toml");
    assert!(blocks.len() > 10, "{} examples", blocks.len());
    for Block { line, text } in blocks {
        let mut whole = text.clone();
        for (table, part) in [("source", SOURCE), ("topics.", TOPIC), ("sinks.", SINK)] {
            let begins = |line: &str| {
                let name = line.trim_start_matches('[');
                line.starts_with('[') && name.starts_with(table)
            };
            if !text.lines().any(begins) {
                whole += part;
            }
        }
        // A table below [source] stands without it.
        if !whole.contains("[source]") {
            whole += SOURCE;
        }
        if let Err(problems) = pages::loads(Path::new(PAGE), &whole) {
            panic!("{PAGE}, the example in line {line}: {problems}\n{whole}");
        }
    }
}

/// The table of a section.
fn table(schema: &Value, example: &str, section: &Section) -> String {
    let mut rows = flat(schema, section);
    rows.sort_by_key(|key| place(example, &key.name, section));
    let mut table = HEAD.to_owned();
    for Key { name, schema: key } in rows {
        let (kind, default) = (kind(schema, &key), default(&key));
        let meaning = key["description"].as_str().unwrap_or_default();
        assert!(
            !meaning.is_empty(),
            "{}: `{name}` has no doc comment in src/config/schema",
            section.heading
        );
        let meaning = meaning.replace('|', "\\|");
        writeln!(table, "| `{name}` | {kind} | {default} | {meaning} |").expect("write");
    }
    table
}

/// What `config.toml` says in some of its tables.
fn shown(example: &str, tables: &[&str]) -> String {
    let mut shown = String::new();
    let mut open = "";
    for line in example.lines() {
        let code = line.strip_prefix("# ").unwrap_or(line);
        if let Some(name) = code
            .strip_prefix('[')
            .and_then(|code| code.split(']').next())
        {
            open = name.trim_start_matches('[');
        } else if tables.contains(&open) {
            shown += line;
            shown.push('\n');
        }
    }
    assert!(!shown.is_empty(), "config.toml has none of {tables:?}");
    shown
}

/// Where `config.toml` shows a key: in its table, as a table of its own, or within a text as
/// `[[source.signin.steps]]`. One of an inline table stands behind that table's name.
fn place(example: &str, name: &str, section: &Section) -> usize {
    let shown = shown(example, section.shown_in);
    if let Some(at) = example.find(&format!("\n# [{}.{name}]", section.shown_in[0])) {
        return shown.len() + at;
    }
    let mut at = 0;
    for part in name.split('.') {
        let found = shown[at..].match_indices(part).find(|(found, _)| {
            let (before, after) = (&shown[..at + found], &shown[at + found + part.len()..]);
            let begins = before.is_empty() || before.ends_with(['\n', ' ']);
            begins && after.starts_with(" = ") || before.ends_with('.') && after.starts_with("]]")
        });
        let Some((found, _)) = found else {
            panic!(
                "config.toml shows no `{name}` where {} should have it",
                section.heading
            );
        };
        at += found;
    }
    at
}

/// The keys of a section; those of a table within it as `retry.initial`.
fn flat(schema: &Value, section: &Section) -> Vec<Key> {
    let mut flat = Vec::new();
    let mut open: Vec<(String, String, Value)> = own_keys(schema, section.path)
        .into_iter()
        .map(|(name, key)| (path(section.path, &name), name, key))
        .collect();
    while let Some((path_, name, key)) = open.pop() {
        if SECTIONS.iter().any(|other| other.path == path_)
            || SECTIONS
                .iter()
                .any(|other| other.path == format!("{path_}.*"))
        {
            continue;
        }
        if !AS_ELSEWHERE.contains(&&*path_) {
            for (inner, key) in keys(schema, &key) {
                open.push((path(&path_, &inner), format!("{name}.{inner}"), key));
            }
        }
        flat.push(Key { name, schema: key });
    }
    flat
}

fn path(outer: &str, name: &str) -> String {
    match outer {
        "" => name.to_owned(),
        outer => format!("{outer}.{name}"),
    }
}

/// The keys of the table at a path. Those of every sink are not among those of its type.
fn own_keys(schema: &Value, path: &str) -> Map<String, Value> {
    let sinks = schema["$defs"]["Sink"]["anyOf"].as_array().expect("types");
    let of_type = |name: &str| {
        let sink = sinks
            .iter()
            .find(|sink| sink["properties"]["type"]["const"] == name);
        keys(schema, sink.expect("a type of sink"))
    };
    let of_every: Map<String, Value> = of_type("sqlite")
        .into_iter()
        .filter(|(name, _)| {
            sinks
                .iter()
                .all(|sink| sink["properties"].get(name).is_some())
        })
        .collect();
    match path.split_once("sinks") {
        Some(("", "")) => {
            let mut keys = of_every;
            let names: Vec<&Value> = sinks
                .iter()
                .map(|sink| &sink["properties"]["type"]["const"])
                .collect();
            keys["type"]["enum"] = serde_json::json!(names);
            return keys;
        }
        Some(("", name)) => {
            let mut keys = of_type(&name[1..]);
            keys.retain(|name, _| !of_every.contains_key(name));
            return keys;
        }
        _ => {}
    }
    let mut at = schema.clone();
    for part in path.split('.').filter(|part| !part.is_empty()) {
        at = match part {
            "*" => resolved(schema, &at)["additionalProperties"].clone(),
            part => resolved(schema, &at)["properties"][part].clone(),
        };
        if at["type"] == "array" {
            at = at["items"].clone();
        }
    }
    match keys(schema, &at) {
        keys if keys.is_empty() => alternative(schema, &at),
        keys => keys,
    }
}

/// The keys of a table.
fn keys(schema: &Value, table: &Value) -> Map<String, Value> {
    let keys = resolved(schema, table).get("properties").cloned();
    match keys {
        Some(Value::Object(keys)) => keys,
        _ => Map::new(),
    }
}

/// The keys of a table that may be something else in its place.
fn alternative(schema: &Value, at: &Value) -> Map<String, Value> {
    let types = resolved(schema, at)["anyOf"].as_array().cloned();
    let mut tables = types.unwrap_or_default().into_iter();
    tables
        .find_map(|one| Some(keys(schema, &one)).filter(|keys| !keys.is_empty()))
        .expect("a table")
}

/// What a reference stands for.
fn resolved<'s>(schema: &'s Value, value: &'s Value) -> &'s Value {
    match reference(value) {
        Some(name) => &schema["$defs"][name],
        None => value,
    }
}

fn reference(value: &Value) -> Option<&str> {
    value.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

/// What a value may be, in words.
fn kind(schema: &Value, key: &Value) -> String {
    match reference(key) {
        Some("Span") => return "duration".to_owned(),
        Some("Size") => return "size".to_owned(),
        Some("Retention") => return "duration or `\"forever\"`".to_owned(),
        Some("Mode") => return "mode".to_owned(),
        Some("Rate") => return "rate".to_owned(),
        Some("MqttProtocol") => return "`\"auto\"`, `\"5\"` or `\"3.1.1\"`".to_owned(),
        Some(name) if name.starts_with("ListOf") => return "text, or list of texts".to_owned(),
        Some("FieldValue") => return "pointer or constant".to_owned(),
        _ => {}
    }
    let key = resolved(schema, key);
    if let Some(values) = key["enum"].as_array() {
        let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
        let (last, others) = values.split_last().expect("values");
        return match others {
            [] => last.clone(),
            others => format!("{} or {last}", others.join(", ")),
        };
    }
    match key["type"].as_str() {
        Some("string") => "text".to_owned(),
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("integer") => "whole number".to_owned(),
        Some("array") => "list of tables".to_owned(),
        Some("object") => match key["additionalProperties"]["type"].as_str() {
            Some("string") => "table of texts".to_owned(),
            _ => "table".to_owned(),
        },
        found => panic!("what is {key}? ({found:?})"),
    }
}

/// The default, as one would write it.
fn default(key: &Value) -> String {
    match &key["default"] {
        Value::Null => "—".to_owned(),
        Value::Array(elements) if elements.is_empty() => "—".to_owned(),
        Value::Object(keys) if keys.is_empty() => "—".to_owned(),
        default => format!("`{default}`"),
    }
}
