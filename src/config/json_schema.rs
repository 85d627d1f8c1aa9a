//! The configuration as a JSON Schema (2020-12), for editors: made from the types that read it.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::masking::MARK;
use super::schema::Root;

/// What the schema is called.
const TITLE: &str = "stomp-bridge's configuration";

/// The schema of a whole configuration.
pub fn json_schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Root>().to_value();
    clean(&mut schema);
    schema["title"] = TITLE.into();
    schema
}

/// Takes out what only we understand: what is masked, numbers' sizes in Rust's words, and null, which
/// TOML does not have. A description is one line: its lines were ours.
fn clean(schema: &mut Value) {
    match schema {
        Value::Object(keywords) => {
            keywords.remove(MARK);
            keywords.retain(|name, value| name != "format" || !is_number_format(value));
            keywords.retain(|name, value| name != "default" || !value.is_null());
            if let Some(Value::String(description)) = keywords.get_mut("description") {
                *description = description.replace('\n', " ");
            }
            without_null(keywords);
            keywords.values_mut().for_each(clean);
        }
        Value::Array(schemas) => schemas.iter_mut().for_each(clean),
        _ => {}
    }
}

/// `["string", "null"]` is `"string"`, and one of several types without null is that type.
fn without_null(keywords: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = keywords.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = &types[..] {
            keywords["type"] = only.clone();
        }
    }
    let Some(Value::Array(types)) = keywords.get_mut("anyOf") else {
        return;
    };
    types.retain(|schema| schema["type"] != "null");
    if let [Value::Object(only)] = &types[..] {
        let only = only.clone();
        keywords.remove("anyOf");
        for (name, value) in only {
            keywords.entry(name).or_insert(value);
        }
    }
}

fn is_number_format(value: &Value) -> bool {
    let formats = ["uint32", "uint64", "int64", "double"];
    value.as_str().is_some_and(|text| formats.contains(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_of_sink_has_its_own_keys() {
        let schema = json_schema();
        let sinks = schema["$defs"]["Sink"]["anyOf"].as_array().expect("types");
        let types: Vec<&Value> = sinks
            .iter()
            .map(|sink| &sink["properties"]["type"]["const"])
            .collect();
        assert_eq!(types, ["sqlite", "postgres", "mqtt", "webhook"]);
        for sink in sinks {
            let keys = sink["properties"].as_object().expect("keys");
            assert!(
                keys.contains_key("when") && keys.contains_key("retry"),
                "{sink}"
            );
            assert_eq!(sink["additionalProperties"], false);
        }
        let text = schema.to_string();
        assert!(
            !text.contains(MARK) && !text.contains("int64") && !text.contains("uint"),
            "{text}"
        );
        assert!(!text.contains("null\""), "{text}");
    }
}
