//! The configuration as a JSON Schema (2020-12), for editors: made from the types that read it.

use schemars::generate::SchemaSettings;
use serde_json::Value;

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

/// Takes out what only we understand: what is masked, and numbers' sizes in Rust's words.
fn clean(schema: &mut Value) {
    match schema {
        Value::Object(keywords) => {
            keywords.remove(MARK);
            keywords.retain(|name, value| name != "format" || !is_number_format(value));
            keywords.values_mut().for_each(clean);
        }
        Value::Array(schemas) => schemas.iter_mut().for_each(clean),
        _ => {}
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
    }
}
