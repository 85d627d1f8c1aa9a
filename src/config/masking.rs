//! Which values of a configuration are never shown. The schema's types say it: a key of type
//! [`Secret`](crate::secret::Secret) is hidden, whatever its name is and whatever is wrong with
//! its value. There is no list of names to forget.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use super::path::Path;

/// The keyword that marks a type in a schema, and what it says.
pub(super) const MARK: &str = "x-mask";
const ALWAYS: &str = "always";
const CREDENTIALS: &str = "credentials";

/// What of a value may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mask {
    /// All of it.
    Never,
    /// A URL: nothing, where it may hold a password or a token.
    Credentials,
    /// Nothing.
    Always,
}

/// The types of a configuration, as far as they say what may be shown.
pub(super) struct Masking {
    schema: Value,
}

impl Masking {
    /// That of a configuration of this type.
    pub(super) fn of<T: JsonSchema>() -> Masking {
        // Without references, so that a path leads from one table into the next.
        let settings =
            SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
        Masking {
            schema: settings
                .into_generator()
                .into_root_schema_for::<T>()
                .to_value(),
        }
    }

    /// The schema itself, without references.
    pub(super) fn schema(&self) -> &Value {
        &self.schema
    }

    /// Whether the value at a path must not be shown; `text` is `None` if it is no text.
    pub(super) fn hides(&self, path: &Path, text: Option<&str>) -> bool {
        match self.mask(path) {
            Mask::Never => false,
            Mask::Credentials => text.is_none_or(may_hold_credentials),
            Mask::Always => true,
        }
    }

    /// Whether what stands at a path may be, or hold, something that must not be shown.
    pub(super) fn is_masked(&self, path: &Path) -> bool {
        self.mask(path) != Mask::Never
    }

    /// The mask of what stands at a path. A value within a secret is secret, and what stands where
    /// a table with a secret should may be that secret. So may a key that the schema lacks: it may
    /// be mistyped.
    fn mask(&self, path: &Path) -> Mask {
        let mut types = alternatives(&self.schema);
        for name in &path.0 {
            if let Some(mask) = types.iter().filter_map(|schema| marked(schema)).max() {
                return mask;
            }
            types = types
                .iter()
                .filter_map(|schema| inner(schema, name))
                .flat_map(alternatives)
                .collect();
        }
        types
            .into_iter()
            .map(strongest)
            .max()
            .unwrap_or(Mask::Always)
    }
}

/// Whether a URL has a user, a password or a query.
pub(super) fn may_hold_credentials(url: &str) -> bool {
    url.contains(['@', '?'])
}

/// A type, and what it may be in its place.
fn alternatives(schema: &Value) -> Vec<&Value> {
    let others = ["anyOf", "oneOf", "allOf"]
        .into_iter()
        .filter_map(|keyword| schema.get(keyword)?.as_array())
        .flatten()
        .flat_map(alternatives);
    std::iter::once(schema).chain(others).collect()
}

/// The type of what has that name in a table, or that index in a list.
fn inner<'s>(schema: &'s Value, name: &str) -> Option<&'s Value> {
    let key = schema.get("properties").and_then(|keys| keys.get(name));
    let any_key = || {
        schema
            .get("additionalProperties")
            .filter(|schema| **schema != Value::Bool(false))
    };
    let element = || {
        schema
            .get("items")
            .filter(|_| name.parse::<usize>().is_ok())
    };
    key.or_else(any_key).or_else(element)
}

fn marked(schema: &Value) -> Option<Mask> {
    match schema.get(MARK)?.as_str() {
        Some(CREDENTIALS) => Some(Mask::Credentials),
        _ => Some(Mask::Always),
    }
}

/// The strongest mask of a type and of all that is within it.
fn strongest(schema: &Value) -> Mask {
    let within: Vec<&Value> = match schema {
        Value::Object(keywords) => keywords.values().collect(),
        Value::Array(schemas) => schemas.iter().collect(),
        _ => Vec::new(),
    };
    let within = within.into_iter().map(strongest).max();
    marked(schema).max(within).unwrap_or(Mask::Never)
}

/// A type of this schema that is always hidden.
pub(super) fn always(mut schema: Schema) -> Schema {
    schema.insert(MARK.to_owned(), ALWAYS.into());
    schema
}

/// A type of this schema that is hidden where it may hold a user, a password or a token.
pub(super) fn credentials(mut schema: Schema) -> Schema {
    schema.insert(MARK.to_owned(), CREDENTIALS.into());
    schema
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::PathBuf;

    use serde::Deserialize;

    use super::super::document::Document;
    use super::super::environment::Environment;
    use super::super::load::parse;
    use super::super::report::Report;
    use super::super::schema::{Root, sink_types};
    use super::super::units::List;
    use super::*;
    use crate::secret::Secret;

    #[derive(Deserialize, JsonSchema, Default)]
    #[serde(deny_unknown_fields, default)]
    struct Configuration {
        brand_new: Option<Secret>,
        sites: BTreeMap<String, Site>,
        plain: Option<String>,
    }

    #[derive(Deserialize, JsonSchema, Default)]
    #[serde(deny_unknown_fields, default)]
    struct Site {
        pins: List<Secret>,
        doors: BTreeMap<String, Secret>,
        port: Option<u16>,
    }

    /// The error for a text that is no such configuration.
    fn told(text: &str) -> String {
        let (document, values) = Document::parse(
            PathBuf::from("c.toml"),
            text.to_owned(),
            &Environment::default(),
            Masking::of::<Configuration>(),
        );
        let mut report = Report::new(&document);
        report.extract::<Configuration>(&Path::default(), values.expect("TOML"));
        report.finish(Some(())).expect_err(text).to_string()
    }

    #[test]
    fn a_new_key_is_masked_by_its_type_alone() {
        for (text, shown) in [
            ("brand_new = 7355608", "brand_new = …"),
            ("brand_new = [\"hunter2\"]", "brand_new = […"),
            ("brand_neww = \"hunter2\"", "brand_neww = …"),
            ("sites.a.pins = [\"hunter2\", 7355608]", "sites.a.pins = […"),
            ("sites.a.pins = [\n\"hunter2=\", 7355608]", "…"),
            (
                "sites.a.pins = { x = \"hunter2\" }",
                "sites.a.pins = { x = …",
            ),
            ("sites.a.doors = \"hunter2\"", "sites.a.doors = …"),
            ("sites.a.doors.front = 7355608", "sites.a.doors.front = …"),
            ("sites.a = \"hunter2\"", "sites.a = …"),
            ("sites = \"hunter2\"", "sites = …"),
            // What stands in the line beside the mistake is masked, too, and nothing else.
            (
                "sites.a = { port = \"x\", pins = [\"hunter2\"] }",
                "sites.a = { port = \"x\", pins = […",
            ),
            ("plain = 5", "plain = 5"),
            ("sites.a.port = \"x\"", "sites.a.port = \"x\""),
        ] {
            let told = told(text);
            let line = told
                .lines()
                .find_map(|line| line.strip_prefix(['1', '2'])?.strip_prefix(" | "));
            assert_eq!(line, Some(shown), "{text}\n{told}");
            for secret in ["hunter2", "7355608"] {
                assert!(!told.contains(secret), "{text}\n{told}");
            }
        }
    }

    /// The paths of the masked values; a key of any name is `x`.
    fn masked_paths(schema: &Value, path: &Path, found: &mut BTreeSet<String>) {
        for schema in alternatives(schema) {
            if marked(schema).is_some() {
                found.insert(path.to_string());
            }
            for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
                masked_paths(inner, &path.join(name), found);
            }
            for (keyword, name) in [("additionalProperties", "x"), ("items", "0")] {
                if let Some(inner) = schema.get(keyword) {
                    masked_paths(inner, &path.join(name), found);
                }
            }
        }
    }

    /// Values that no masked key takes, each with a secret in it.
    const WRONG: [&str; 18] = [
        "7355608",
        "{ a = \"u:hunter2@h\" }",
        "[\"u:hunter2@h\", 7355608]",
        "[\n  \"u:hunter2@h=\",\n  7355608\n]",
        "\"u:hunter2@h {{ nope }}\"",
        "\"u:hunter2@h {{\"",
        "\"u:hunter2@h {{ secret('gone') }}\"",
        "\"u:hunter2@h\\u0007\"",
        "\"ftp://u:hunter2@h?hunter2\"",
        "\"\"\"\n{{ nope }}\nu:hunter2@h\"\"\"",
        // No TOML.
        "\"u:hunter2@h\" hunter2",
        "u:hunter2@h",
        "\"u:hunter2@h",
        "'''\nhunter2 = 7355608\n''' hunter2",
        "\"\"\"\nhunter2 \\q\n\"\"\"",
        "\"\"\"\nhunter2 = \\q\n\"\"\"",
        "[\n  \"hunter2=\" 7355608,\n]",
        "{ a = \"u:hunter2@h\" hunter2",
    ];

    /// A configuration with this value at a masked path, and the path that is shown.
    fn with(path: &str, kind: &str, value: &str) -> (String, String) {
        let (table, key) = path.rsplit_once('.').expect("a key in a table");
        let (table, key, value) = match (key, table.rsplit_once('.')) {
            ("0", Some((table, key))) => (table, key, format!("[{value}]")),
            _ => (table, key, value.to_owned()),
        };
        let sink = table.starts_with("sinks.x");
        let kind = if sink {
            format!("[sinks.x]\ntype = \"{kind}\"\n")
        } else {
            String::new()
        };
        let header = match table.split_once(".0") {
            _ if table == "sinks.x" => String::new(),
            // A list of tables.
            Some((list, "")) => format!("[[{list}]]\n"),
            Some((list, inner)) => format!("[[{list}]]\n[{list}{inner}]\n"),
            None => format!("[{table}]\n"),
        };
        (
            format!("{kind}{header}{key} = {value}\n"),
            format!("{table}.{key}"),
        )
    }

    #[test]
    fn no_wrong_value_of_a_masked_key_is_ever_shown() {
        let mut paths = BTreeSet::new();
        masked_paths(&Masking::of::<Root>().schema, &Path::default(), &mut paths);
        for known in [
            "source.url",
            "source.url.0",
            "source.login",
            "source.passcode",
            "source.headers.x",
            "source.signin.url",
            "source.signin.json",
            "source.signin.form",
            "source.signin.headers.x",
            "source.signin.steps.0.url",
            "source.signin.steps.0.form",
            "source.signin.steps.0.headers.x",
            "topics.x.headers.x",
            "sinks.x.url",
            "sinks.x.password",
            "sinks.x.headers.x",
            "sinks.x.secret",
            "sinks.x.secret.0",
        ] {
            assert!(paths.contains(known), "{known} is not masked: {paths:?}");
        }
        let said = |text: &str, variables: &[(String, &str)]| {
            let variables = variables
                .iter()
                .map(|(name, value)| (name.to_uppercase(), (*value).to_owned()))
                .collect();
            let problems = parse(
                "c.toml".as_ref(),
                text.to_owned(),
                &Environment { variables },
            );
            let told = problems.expect_err(text).to_string();
            for secret in ["hunter2", "7355608"] {
                assert!(!told.contains(secret), "{text}\n{told}");
            }
            told
        };
        for path in &paths {
            let mut by_variable = false;
            for kind in sink_types() {
                for value in WRONG {
                    let (text, path) = with(path, kind, value);
                    let told = said(&text, &[]);
                    // A sink of another type may not have the key's table.
                    let noticed =
                        told.contains(&format!("({path}")) || told.contains("unknown key");
                    assert!(value != "7355608" || noticed, "{text}\n{told}");
                }
                let key = path.strip_suffix(".0").unwrap_or(path).replace('.', "__");
                let value = "ftp://u:hunter2@h?{{ nope }}";
                let told = said(
                    "",
                    &[
                        ("STOMP_BRIDGE_SINKS__X__TYPE".to_owned(), kind),
                        (format!("STOMP_BRIDGE_{key}"), value),
                    ],
                );
                by_variable |= told.contains("environment variable");
            }
            // No variable reaches into a list of tables.
            assert!(by_variable || path.contains(".0."), "{path}");
        }
    }
}
