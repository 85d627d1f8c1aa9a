//! `ignore` expressions over the status object as it was sent.

use std::fmt;
use std::sync::{Arc, LazyLock};

use minijinja::Environment;
use minijinja::value::{Serde, Value};

use super::escapes::portable;
use super::expression::foreign_operator;
use super::scope::{language, mistake, one_line};
use super::types;

/// A compiled `ignore`: true for what is no status, such as `type == 'heartbeat'`.
#[derive(Clone)]
pub struct Ignore {
    source: Arc<str>,
    compiled: Arc<minijinja::Expression<'static, 'static>>,
}

/// The language of all expressions; nothing is ever added to it.
static LANGUAGE: LazyLock<Environment<'static>> = LazyLock::new(language);

/// Compares the written text.
impl PartialEq for Ignore {
    fn eq(&self, other: &Ignore) -> bool {
        self.source == other.source
    }
}

impl fmt::Debug for Ignore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ignore").field(&self.source).finish()
    }
}

impl Ignore {
    /// Compiles an expression over the names that the status object has itself.
    ///
    /// # Errors
    /// A text for the user: where it does not parse, what the language does not have, or that it
    /// uses nothing of the object.
    pub fn parse(source: &str) -> Result<Ignore, String> {
        let compiled = LANGUAGE
            .compile_expression_owned(source.to_owned())
            .map_err(|error| {
                let hint = foreign_operator(source).map(|hint| format!(": {hint}"));
                one_line(&error) + &hint.unwrap_or_default()
            })?;
        let mistakes = types::of_raw_condition(source).mistakes;
        if !mistakes.is_empty() {
            return Err(mistakes.join("; "));
        }
        if compiled.undeclared_variables(false).is_empty() {
            return Err("it uses nothing of the message, as in type == 'heartbeat'".to_owned());
        }
        let empty = Value::from(Serde(serde_json::json!({})));
        let error = compiled.eval(empty).err();
        if let Some(mistake) = error.and_then(|error| mistake(&error)) {
            return Err(mistake);
        }
        Ok(Ignore {
            source: Arc::from(source),
            compiled: Arc::new(compiled),
        })
    }

    /// Whether the object is to be dropped. One that cannot be judged is kept.
    pub fn holds(&self, object: &str) -> bool {
        let parsed =
            serde_json::from_str(object).or_else(|_| serde_json::from_str(&portable(object)));
        let object: serde_json::Value = match parsed {
            Ok(object @ serde_json::Value::Object(_)) => object,
            _ => return false,
        };
        let value = self.compiled.eval(Value::from(Serde(object)));
        value.is_ok_and(|value| value.is_true())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_is_dropped_by_what_it_says_itself() {
        let heartbeat = Ignore::parse("type == 'heartbeat' or state.code|int > 5").unwrap();
        for (object, expected) in [
            (r#"{"type":"heartbeat","ts":1}"#, true),
            (r#"{"type":"status","deviceId":1}"#, false),
            (r#"{"state":{"code":7}}"#, true),
            (r#"{"deviceId":1}"#, false),
            (r#"{"type":"heartbeat","x":"\ud800"}"#, true),
            ("[1]", false),
            ("\"heartbeat\"", false),
            ("{", false),
        ] {
            assert_eq!(heartbeat.holds(object), expected, "{object}");
        }
        // The message's own names, whatever columns are called so.
        assert!(Ignore::parse("topic == 3").unwrap().holds(r#"{"topic":3}"#));
        assert!(
            Ignore::parse("severity > 'b'")
                .unwrap()
                .holds(r#"{"severity":"c"}"#)
        );
    }

    #[test]
    fn a_mistake_is_found_when_it_is_compiled() {
        for (source, expected) in [
            ("type = 'x'", "two values are compared by `==`"),
            ("type|nonsense", "unknown filter"),
            ("type == 'a' or 'b'", "'b' alone is true"),
            ("true", "it uses nothing of the message"),
            ("", "unexpected end"),
        ] {
            let error = Ignore::parse(source).expect_err(source);
            assert!(error.contains(expected), "{source}: {error}");
        }
    }
}
