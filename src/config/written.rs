//! What a configuration says, each value with where it was written. What may not be shown is not
//! shown; of a secret that stands elsewhere its name is.

use std::path::Path as File;

use figment::value::{Dict, Value};

use super::defaults::defaults;
use super::document::{Document, Part};
use super::environment::Environment;
use super::load::text_of;
use super::masking::Masking;
use super::path::Path;
use super::problem::Problems;
use super::schema::Root;

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its key, such as `sinks.oncall.url`.
    pub key: String,
    /// As TOML has it; `…` stands for a value that is not shown.
    pub value: String,
    /// The line of the file, the variable, or `default`.
    pub origin: String,
}

/// What becomes of the keys that the configuration leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// They are listed with their defaults, where they have any.
    Listed,
    /// They are not listed.
    Hidden,
}

/// The origin of what the configuration leaves out.
const DEFAULT: &str = "default";

/// In the place of a value that is not shown.
const HIDDEN: &str = "…";

/// Every value of a file, and of the environment of this process over it, by its key.
///
/// # Errors
/// The file cannot be read, or is no TOML.
pub fn written(file: &File, left_out: LeftOut) -> Result<Vec<Written>, Problems> {
    written_in(file, text_of(file)?, &Environment::of_process(), left_out)
}

fn written_in(
    file: &File,
    text: String,
    environment: &Environment,
    left_out: LeftOut,
) -> Result<Vec<Written>, Problems> {
    let masking = Masking::of::<Root>();
    let schema = masking.schema().clone();
    let (document, values) = Document::parse(file.to_owned(), text, environment, masking);
    let values = values?;
    let mut all = Vec::new();
    collect(&document, &Path::default(), &values, &mut all);
    if left_out == LeftOut::Listed {
        let defaults = defaults(&schema, &values).into_iter();
        all.extend(defaults.map(|default| {
            let written = Written {
                key: default.path.to_string(),
                value: default.value,
                origin: DEFAULT.to_owned(),
            };
            (default.path, written)
        }));
        all.sort_by(|(one, _), (other, _)| one.0.cmp(&other.0));
    }
    Ok(all.into_iter().map(|(_, written)| written).collect())
}

fn collect(document: &Document, path: &Path, values: &Dict, all: &mut Vec<(Path, Written)>) {
    for (name, value) in values {
        let path = path.join(name);
        match value {
            Value::Dict(_, inner) => collect(document, &path, inner, all),
            value => {
                let written = Written {
                    key: path.to_string(),
                    value: shown(document, &path, value),
                    origin: document.place(&path, Part::Key).to_string(),
                };
                all.push((path, written));
            }
        }
    }
}

/// A value as TOML has it.
fn shown(document: &Document, path: &Path, value: &Value) -> String {
    match value {
        Value::Array(_, elements) => {
            let elements = elements.iter().enumerate();
            let elements = elements
                .map(|(index, element)| shown(document, &path.join(index.to_string()), element));
            format!("[{}]", elements.collect::<Vec<_>>().join(", "))
        }
        Value::Dict(_, values) => {
            let values = values.iter();
            let values = values.map(|(name, value)| {
                format!("{name} = {}", shown(document, &path.join(name), value))
            });
            format!("{{ {} }}", values.collect::<Vec<_>>().join(", "))
        }
        scalar => {
            let text = scalar.as_str();
            match document.hides(path, text) && !text.is_some_and(is_reference) {
                true => HIDDEN.to_owned(),
                false => written_scalar(scalar),
            }
        }
    }
}

fn written_scalar(value: &Value) -> String {
    match value {
        Value::String(_, text) => serde_json::Value::from(text.as_str()).to_string(),
        Value::Bool(_, switch) => switch.to_string(),
        Value::Num(_, number) => match (number.to_i128(), number.to_f64()) {
            (Some(whole), _) => whole.to_string(),
            (None, Some(number)) => number.to_string(),
            (None, None) => HIDDEN.to_owned(),
        },
        _ => HIDDEN.to_owned(),
    }
}

/// Whether a text is nothing but the name of a secret or of a sign-in's value.
fn is_reference(text: &str) -> bool {
    let inner = text
        .trim()
        .strip_prefix("{{")
        .and_then(|rest| rest.strip_suffix("}}"));
    let inner = inner.map(str::trim).unwrap_or_default();
    let secret = inner
        .strip_prefix("secret('")
        .and_then(|rest| rest.strip_suffix("')"));
    let name = secret.or_else(|| inner.strip_prefix("signin."));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.is_some_and(|name| !name.is_empty() && name.chars().all(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_its_origin_and_secrets_are_not_shown() {
        let text = "[source]\nurl = [\"ws://h/ws\", \"ws://u:hunter2@h/ws\"]\n\
                    passcode = \"{{ secret('rabbit') }}\"\nlogin = \"hunter2\"\n\
                    [states]\n\"故障\" = { name = \"fault\" }\n\
                    [sinks.a]\ntype = \"webhook\"\nbatch = { max = 5 }\nhunter = \"ws://h?hunter2\"\n";
        let variable = ("STOMP_BRIDGE_JOURNAL__PATH", "/b.db");
        let environment = Environment {
            variables: [(variable.0.to_owned(), variable.1.to_owned())].into(),
        };
        let written = |left_out| {
            let all = written_in(File::new("c.toml"), text.to_owned(), &environment, left_out);
            all.expect("TOML")
        };
        let all = written(LeftOut::Hidden);
        let lines: Vec<String> = all
            .iter()
            .map(|one| format!("{} = {} @ {}", one.key, one.value, one.origin))
            .collect();
        for expected in [
            "journal.path = \"/b.db\" @ environment variable STOMP_BRIDGE_JOURNAL__PATH",
            "source.url = [\"ws://h/ws\", …] @ c.toml:2:1",
            "source.passcode = \"{{ secret('rabbit') }}\" @ c.toml:3:1",
            "states.故障.name = \"fault\" @ c.toml:6:",
            "sinks.a.batch.max = 5 @ c.toml:9:",
        ] {
            let is_there = lines.iter().any(|line| line.starts_with(expected));
            assert!(is_there, "{expected}: {lines:#?}");
        }
        assert!(!lines.concat().contains("hunter2"), "{lines:#?}");
        let with_defaults = written(LeftOut::Listed);
        assert!(all.iter().all(|one| with_defaults.contains(one)));
        let default = |key: &str| {
            let of_key = with_defaults.iter().filter(|one| one.key == key);
            let lines = of_key.map(|one| format!("{} @ {}", one.value, one.origin));
            lines.collect::<Vec<_>>()
        };
        assert_eq!(default("journal.keep"), ["\"7d\" @ default"]);
        let variable = "\"/b.db\" @ environment variable STOMP_BRIDGE_JOURNAL__PATH";
        assert_eq!(default("journal.path"), [variable]);
        assert_eq!(default("sinks.a.batch.wait"), ["\"1s\" @ default"]);
    }

    #[test]
    fn only_a_whole_reference_is_shown() {
        for (text, expected) in [
            ("{{ secret('a') }}", true),
            ("{{signin.token}}", true),
            ("Bearer {{ secret('a') }}", false),
            ("{{ secret('a') }}x{{ secret('b') }}", false),
            ("{{ 'hunter2' }}", false),
            ("{{ secret('') }}", false),
        ] {
            assert_eq!(is_reference(text), expected, "{text}");
        }
    }
}
