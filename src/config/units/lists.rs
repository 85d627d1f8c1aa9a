//! Several values in one: a list of texts, and the values of a variable.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

/// A list, or one text: its only element, or several between commas.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::config) struct List<T = String>(pub(in crate::config) Vec<T>);

impl<'de, T: Deserialize<'de> + From<String>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<List<T>, D::Error> {
        struct ListVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de> + From<String>> Visitor<'de> for ListVisitor<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }
            fn visit_str<E>(self, text: &str) -> Result<List<T>, E> {
                Ok(List(
                    text.split(',')
                        .map(str::trim)
                        .filter(|part| !part.is_empty())
                        .map(|part| T::from(part.to_owned()))
                        .collect(),
                ))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(element) = seq.next_element()? {
                    list.push(element);
                }
                Ok(List(list))
            }
        }

        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

impl<T: Serialize> Serialize for List<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for List<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("ListOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [generator.subschema_for::<T>(), generator.subschema_for::<Vec<T>>()] })
    }
}

/// The values of a topic's variable: a list of numbers and texts, such as `[1, 2, "x"]`, or a range
/// such as `"1..500"`, both ends included.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
pub(in crate::config) struct Each(
    #[schemars(with = "Value")] pub(in crate::config) Result<Vec<String>, String>,
);

/// A longer range is a slip; a shorter one with too many topics is reported later.
const RANGE_MAX: u64 = 1_000_000;

impl<'de> Deserialize<'de> for Each {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Each, D::Error> {
        let text = |element: &Value| match element {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
            other => Err(format!("expected numbers and texts, found {other}")),
        };
        Ok(Each(match Value::deserialize(deserializer)? {
            Value::Array(elements) => elements.iter().map(text).collect(),
            Value::String(range) => values(&range),
            other => Err(format!(
                "expected a list such as [1, 2, 3], or a range such as \"1..500\", found {other}"
            )),
        }))
    }
}

/// Of a range, or of a list as an environment variable has it.
fn values(source: &str) -> Result<Vec<String>, String> {
    let Some((first, last)) = source.split_once("..") else {
        return Ok(source
            .split(',')
            .map(|part| part.trim().to_owned())
            .filter(|part| !part.is_empty())
            .collect());
    };
    let wrong =
        |problem: &str| format!("expected a range such as \"1..500\", found \"{source}\"{problem}");
    let end = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong(""));
    let (from, to) = (end(first)?, end(last)?);
    if [first, last]
        .iter()
        .any(|text| text.trim().starts_with(['0', '+']) && text.trim() != "0")
    {
        return Err(wrong(
            ": leading zeros would be lost, write a list of texts",
        ));
    }
    if from > to {
        return Err(wrong(", which has nothing in it"));
    }
    if to - from >= RANGE_MAX {
        return Err(wrong(&format!(", which has more than {RANGE_MAX} values")));
    }
    Ok((from..=to).map(|number| number.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_both_its_ends() {
        for (source, expected) in [
            ("1..3", Ok(vec!["1", "2", "3"])),
            (" 7 .. 7 ", Ok(vec!["7"])),
            ("a, b", Ok(vec!["a", "b"])),
            ("0..1", Ok(vec!["0", "1"])),
            ("3..1", Err("has nothing in it")),
            ("1..x", Err("expected a range")),
            ("1...3", Err("expected a range")),
            ("01..10", Err("leading zeros")),
            ("0..18446744073709551615", Err("more than 1000000 values")),
        ] {
            match (values(source), expected) {
                (Ok(values), Ok(expected)) => assert_eq!(values, expected, "{source}"),
                (Err(error), Err(expected)) => {
                    assert!(error.contains(expected), "{source}: {error}")
                }
                (found, _) => panic!("{source}: {found:?}"),
            }
        }
    }
}
