//! The JSON Schema for editors, held against every configuration that loads, and against some that
//! do not.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;
use stomp_bridge::config::json_schema;

use super::{SINK, SOURCE, TOPIC, uncommented_example};

/// Where the schema lies for those who edit `config.toml`.
const FILE: &str = "docs/config.schema.json";

fn compiled() -> &'static (Schemas, SchemaIndex) {
    static COMPILED: OnceLock<(Schemas, SchemaIndex)> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        let name = "config.schema.json";
        compiler
            .add_resource(name, json_schema())
            .expect("a schema");
        let index = compiler
            .compile(name, &mut schemas)
            .expect("a valid schema");
        (schemas, index)
    })
}

/// What the schema says against a text that is TOML.
fn problem(text: &str) -> Option<String> {
    let value: Value = toml::from_str(text).expect("TOML");
    let (schemas, index) = compiled();
    let error = schemas.validate(&value, *index).err()?;
    Some(format!("{error:#}"))
}

/// What loads fits the schema.
pub(super) fn accepts(text: &str) {
    if let Some(problem) = problem(text) {
        panic!("it loads, and the schema does not accept it: {problem}\n{text}");
    }
}

#[test]
fn the_schema_accepts_the_example_with_every_key() {
    accepts(&uncommented_example());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut examples = 0;
    for file in fs::read_dir(root.join("examples")).expect("examples") {
        let file = file.expect("an example").path();
        if file
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            accepts(&fs::read_to_string(file).expect("an example"));
            examples += 1;
        }
    }
    assert!(examples > 3, "only {examples} examples");
}

#[test]
fn the_schema_refuses_what_check_would() {
    for wrong in [
        "[sorce]\n",
        "[source]\nulr = \"ws://h\"\n",
        "[source]\nheartbeat = 10\n",
        "[topics.a]\nack = \"never\"\n",
        "[topics]\na = \"/topic/a\"\n",
        "[states]\n\"x\" = { severity = \"terrible\" }\n",
        "[sinks.a]\npath = \"history.db\"\n",
        "[sinks.a]\ntype = \"kafka\"\n",
        "[sinks.a]\ntype = \"sqlite\"\ntopic = \"a\"\n",
        "[sinks.a]\ntype = \"mqtt\"\nretry = { first = \"1s\" }\n",
    ] {
        assert!(problem(wrong).is_some(), "{wrong}");
    }
    accepts(&format!("{SOURCE}{TOPIC}{SINK}"));
}

#[test]
fn the_file_beside_the_documents_is_the_schema() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let written = fs::read_to_string(&file).unwrap_or_default();
    let expected = serde_json::to_string_pretty(&json_schema()).expect("JSON") + "\n";
    assert!(
        written == expected,
        "{FILE} is not what `stomp-bridge config schema` prints: write that into it"
    );
}

#[test]
fn the_example_names_its_schema() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.toml");
    let text = fs::read_to_string(file).expect("read config.toml");
    assert!(text.starts_with(&format!("#:schema ./{FILE}\n")), "{text}");
}
