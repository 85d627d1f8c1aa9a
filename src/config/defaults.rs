//! What holds for the keys that a configuration leaves out: the defaults of the schema's types, in the
//! tables that are there. A key without a default is not set.

use figment::value::{Dict, Value};
use serde_json::Value as Json;

use super::path::Path;
use super::schema::STATES_DEFAULT;

/// The default of one key, as TOML has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DefaultValue {
    pub(super) path: Path,
    pub(super) value: String,
}

/// Those of a configuration with these values, by a schema without references.
pub(super) fn defaults(schema: &Json, values: &Dict) -> Vec<DefaultValue> {
    let mut all = Vec::new();
    table(schema, &Path::default(), Some(values), &mut all);
    let states = values.get("states").and_then(Value::as_dict);
    for (word, name, severity) in STATES_DEFAULT {
        if states.is_some_and(|states| states.contains_key(word)) {
            continue;
        }
        let path = Path::from("states").join(word);
        for (key, value) in [("name", name), ("severity", severity.as_str())] {
            all.push(DefaultValue {
                path: path.join(key),
                value: written(&Json::from(value)),
            });
        }
    }
    all
}

/// Those of a table; `None`: it is not written.
fn table(schema: &Json, path: &Path, values: Option<&Dict>, all: &mut Vec<DefaultValue>) {
    for (name, key) in schema["properties"].as_object().into_iter().flatten() {
        let path = path.join(name);
        match values.and_then(|values| values.get(name)) {
            Some(Value::Dict(_, inner)) => written_table(key, &path, inner, all),
            Some(_) => {}
            None if is_always_there(key) => table(key, &path, None, all),
            None => {
                let default = key.get("default").filter(|default| !default.is_null());
                all.extend(default.map(|default| DefaultValue {
                    path,
                    value: written(default),
                }));
            }
        }
    }
}

/// Whether a table has its defaults also where it is not written: others are off then.
fn is_always_there(schema: &Json) -> bool {
    schema.get("properties").is_some() && schema["type"] == "object"
}

/// Those of a table that is there, which may be one of several types, or have keys of any name.
fn written_table(schema: &Json, path: &Path, values: &Dict, all: &mut Vec<DefaultValue>) {
    let Some(schema) = fitting(schema, values) else {
        return;
    };
    table(schema, path, Some(values), all);
    let of_any_name = &schema["additionalProperties"];
    if of_any_name.is_object() {
        for (name, value) in values {
            if let Value::Dict(_, inner) = value {
                written_table(of_any_name, &path.join(name), inner, all);
            }
        }
    }
}

/// The alternative of a type that a table is of: where the `type` of a table tells, by that.
fn fitting<'s>(schema: &'s Json, values: &Dict) -> Option<&'s Json> {
    let is_table = schema.get("properties").is_some() || schema["additionalProperties"].is_object();
    if is_table {
        let wanted = schema["properties"]["type"]["const"].as_str();
        let found = values.get("type").and_then(Value::as_str);
        return (wanted.is_none() || wanted == found).then_some(schema);
    }
    let alternatives = ["anyOf", "oneOf"].into_iter();
    let alternatives = alternatives.filter_map(|keyword| schema.get(keyword)?.as_array());
    alternatives
        .flatten()
        .find_map(|alternative| fitting(alternative, values))
}

/// JSON's texts, numbers and switches are TOML's, too.
fn written(value: &Json) -> String {
    match value {
        Json::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(written).collect();
            format!("[{}]", elements.join(", "))
        }
        Json::Object(keys) => {
            let keys = keys.iter();
            let keys: Vec<String> = keys
                .map(|(name, value)| format!("{name} = {}", written(value)))
                .collect();
            match keys.is_empty() {
                true => "{}".to_owned(),
                false => format!("{{ {} }}", keys.join(", ")),
            }
        }
        scalar => scalar.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::document::Document;
    use super::super::environment::Environment;
    use super::super::load::parse;
    use super::super::masking::Masking;
    use super::super::schema::Root;
    use super::*;

    fn of(text: &str) -> Vec<String> {
        let masking = Masking::of::<Root>();
        let schema = masking.schema().clone();
        let (_, values) = Document::parse(
            PathBuf::from("c.toml"),
            text.to_owned(),
            &Environment::default(),
            masking,
        );
        let values = values.expect("TOML");
        let all = defaults(&schema, &values).into_iter();
        all.map(|it| format!("{} = {}", it.path, it.value))
            .collect()
    }

    const CONFIGURATION: &str = "[source]\nurl = \"ws://h\"\n[topics.a]\ndestination = \"/topic/a\"\n\
         [states]\n\"正常\" = { name = \"well\" }\n\
         [sinks.site]\ntype = \"mqtt\"\nqos = 0\nretry = { max = \"1m\" }\n\
         [sinks.hook]\ntype = \"webhook\"\nurl = \"http://h\"\nbatch = { max = 5 }\n";

    #[test]
    fn each_key_that_is_left_out_has_its_default() {
        let all = of(CONFIGURATION);
        for expected in [
            "source.heartbeat = \"10s\"",
            "source.max_body = \"16MiB\"",
            "source.reconnect.initial = \"1s\"",
            "topics.a.ack = \"auto\"",
            "topics.a.timezone = \"Asia/Shanghai\"",
            "states.故障.severity = \"critical\"",
            "states.正常.severity = \"unknown\"",
            "journal.max_bytes = \"1GiB\"",
            "journal.when_full = \"pause\"",
            "journal.devices_max = 1000000",
            "sinks.site.url = \"mqtt://127.0.0.1:1883\"",
            "sinks.site.retain = true",
            "sinks.site.retry.give_up = \"1d\"",
            "sinks.hook.batch.wait = \"1s\"",
            "sinks.hook.method = \"POST\"",
            "http.listen = \"127.0.0.1:9610\"",
            "http.hosts = []",
            "watch = false",
            "ready_timeout = \"30s\"",
        ] {
            assert!(
                all.iter().any(|line| line == expected),
                "{expected}: {all:#?}"
            );
        }
        for left_out in [
            // Written.
            "source.url",
            "states.正常.name",
            "sinks.site.qos",
            "sinks.site.retry.max",
            "sinks.hook.batch.max",
            // Not set.
            "source.login",
            "source.signin",
            "sinks.site.password",
            "sinks.hook.rate",
            "topics.a.resync",
        ] {
            let begins = |line: &&String| {
                let rest = line.strip_prefix(left_out);
                rest.is_some_and(|rest| rest.starts_with([' ', '.']))
            };
            let found = all.iter().find(begins);
            assert_eq!(found, None);
        }
    }

    /// What is shown as a default holds: written out, it changes nothing.
    #[test]
    fn a_configuration_with_its_defaults_written_out_is_the_same() {
        let plan = |text: &str| {
            let plan = parse("c.toml".as_ref(), text.to_owned(), &Environment::default());
            plan.unwrap_or_else(|problems| panic!("{text}\n{problems}"))
        };
        let mut text = CONFIGURATION.to_owned();
        let mut top = String::new();
        for line in of(CONFIGURATION) {
            let (path, value) = line.split_once(" = ").expect("a key and a value");
            match path.rsplit_once('.') {
                None => top.push_str(&format!("{line}\n")),
                Some((table, key)) => {
                    let table: Vec<String> =
                        table.split('.').map(|name| format!("\"{name}\"")).collect();
                    let table = table.join(".");
                    // Dotted keys, since the table may stand above.
                    top.push_str(&format!("{table}.\"{key}\" = {value}\n"));
                }
            }
        }
        // A table that was written with a head cannot be added to above it.
        text = text
            .replace("[source]\n", "")
            .replace("url = \"ws://h\"", "source.url = \"ws://h\"")
            .replace("[topics.a]\ndestination", "topics.a.destination")
            .replace(
                "[states]\n\"正常\" = { name = \"well\" }",
                "states.\"正常\".name = \"well\"",
            )
            .replace("[sinks.site]\ntype", "sinks.site.type")
            .replace("qos", "sinks.site.qos")
            .replace("retry = { max = \"1m\" }", "sinks.site.retry.max = \"1m\"")
            .replace("[sinks.hook]\ntype", "sinks.hook.type")
            .replace("url = \"http://h\"", "sinks.hook.url = \"http://h\"")
            .replace("batch = { max = 5 }", "sinks.hook.batch.max = 5");
        let (before, after) = (plan(CONFIGURATION), plan(&format!("{text}{top}")));
        assert_eq!(
            format!("{:?}", before.source),
            format!("{:?}", after.source)
        );
        assert_eq!(before.journal, after.journal);
        assert_eq!(before.sinks, after.sinks);
        assert_eq!(format!("{:?}", before.http), format!("{:?}", after.http));
        assert_eq!(before.watch, after.watch);
        assert_eq!(before.ready_timeout, after.ready_timeout);
    }
}
