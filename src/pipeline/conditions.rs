//! Conditions on the answer of an HTTP server: its status, and what stands in its JSON. Platforms
//! answer 200 and say in the body what they mean.

use std::fmt;

use serde_json::{Map, Value};

use super::pointer::Pointer;

/// Conditions, all of which must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Conditions(Vec<Condition>);

/// One of them: one of these values stands there.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    subject: Subject,
    accepted: Vec<Value>,
}

#[derive(Debug, Clone, PartialEq)]
enum Subject {
    Status,
    At(Pointer),
}

/// A key of the table that is no condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The key.
    pub key: String,
    /// What is wrong with it, for the user.
    pub message: String,
}

/// The key that stands for the HTTP status.
const STATUS: &str = "status";

impl Conditions {
    /// Of a table: `status` or a JSON pointer, and a value or a list of values.
    ///
    /// # Errors
    /// The first key that is wrong.
    pub fn read(table: &Map<String, Value>) -> Result<Conditions, Mistake> {
        let condition = |(key, value): (&String, &Value)| {
            Condition::read(key, value).map_err(|message| Mistake {
                key: key.clone(),
                message,
            })
        };
        table
            .iter()
            .map(condition)
            .collect::<Result<_, _>>()
            .map(Conditions)
    }

    /// The first condition that does not hold.
    pub fn unmet(&self, status: u16, body: &str) -> Option<&Condition> {
        self.0
            .iter()
            .find(|condition| !condition.holds(status, body))
    }

    /// Whether one of them is on the status.
    pub fn are_on_status(&self) -> bool {
        let mut all = self.0.iter();
        all.any(|condition| condition.subject == Subject::Status)
    }

    /// Whether one of them is on the body.
    pub fn are_on_body(&self) -> bool {
        let mut all = self.0.iter();
        all.any(|condition| condition.subject != Subject::Status)
    }

    /// Whether a JSON pointer finds another value than it should: the answer is the service's own,
    /// and says no.
    pub fn is_denied(&self, body: &str) -> bool {
        self.0.iter().any(|condition| condition.is_denied(body))
    }
}

impl Condition {
    fn read(key: &str, value: &Value) -> Result<Condition, String> {
        let subject = match key {
            STATUS => Subject::Status,
            pointer => Subject::At(
                pointer
                    .parse()
                    .map_err(|error| format!("{error}; or `{STATUS}` for the HTTP status"))?,
            ),
        };
        let accepted = match value {
            Value::Array(values) => values.clone(),
            value => vec![value.clone()],
        };
        if accepted.is_empty() {
            return Err("expected a value or a list of values, found an empty list".to_owned());
        }
        for value in &accepted {
            let good = match (&subject, value) {
                (Subject::Status, value) => value
                    .as_u64()
                    .is_some_and(|status| (100..600).contains(&status)),
                (Subject::At(_), value) => !value.is_array() && !value.is_object(),
            };
            if !good {
                return Err(match subject {
                    Subject::Status => "expected an HTTP status such as 200 or 302".to_owned(),
                    Subject::At(_) => "expected a number, a text, true or false".to_owned(),
                });
            }
        }
        Ok(Condition { subject, accepted })
    }

    fn holds(&self, status: u16, body: &str) -> bool {
        let found = match &self.subject {
            Subject::Status => Some(Value::from(status)),
            Subject::At(pointer) => value_at(pointer, body),
        };
        found.is_some_and(|found| self.accepts(&found))
    }

    fn is_denied(&self, body: &str) -> bool {
        match &self.subject {
            Subject::Status => false,
            Subject::At(pointer) => {
                value_at(pointer, body).is_some_and(|found| !self.accepts(&found))
            }
        }
    }

    fn accepts(&self, found: &Value) -> bool {
        self.accepted.iter().any(|value| is_same(value, found))
    }
}

fn value_at(pointer: &Pointer, body: &str) -> Option<Value> {
    let json = pointer.find(body).ok()??;
    serde_json::from_str(json).ok()
}

/// `200` and `"200"` are the same: platforms are not of one mind. `"00"` is no `0`.
fn is_same(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Number(wanted), Value::Number(found)) => {
            wanted == found || wanted.as_f64() == found.as_f64()
        }
        (Value::String(text), json @ (Value::Number(_) | Value::Bool(_)))
        | (json @ (Value::Number(_) | Value::Bool(_)), Value::String(text)) => {
            let written = json.to_string();
            *text == written
        }
        (wanted, found) => wanted == found,
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Status => f.write_str("status")?,
            Subject::At(pointer) => write!(f, "\"{pointer}\"")?,
        }
        f.write_str(" = ")?;
        match &self.accepted[..] {
            [value] => write!(f, "{value}"),
            values => {
                let values: Vec<String> = values.iter().map(Value::to_string).collect();
                write!(f, "[{}]", values.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(table: Value) -> Result<Conditions, Mistake> {
        Conditions::read(table.as_object().expect("a table"))
    }

    #[test]
    fn every_condition_must_hold() {
        let check = |table: Value, status: u16, body: &str, unmet: Option<&str>| {
            let conditions = read(table).expect("conditions");
            let found = conditions.unmet(status, body).map(Condition::to_string);
            assert_eq!(found.as_deref(), unmet, "{status} {body}");
        };
        let code = json!({ "/code": 200 });
        check(code.clone(), 200, r#"{"code":200}"#, None);
        check(code.clone(), 200, r#"{"code":"200"}"#, None);
        check(code.clone(), 500, r#"{"code":200.0}"#, None);
        check(
            code.clone(),
            200,
            r#"{"code":401}"#,
            Some("\"/code\" = 200"),
        );
        check(code.clone(), 200, r#"{}"#, Some("\"/code\" = 200"));
        check(code.clone(), 200, "no json", Some("\"/code\" = 200"));
        check(code, 200, "", Some("\"/code\" = 200"));
        let several = json!({ "/code": [0, "00000"], "/ok": true });
        check(several.clone(), 200, r#"{"code":"00000","ok":true}"#, None);
        check(several.clone(), 200, r#"{"code":0,"ok":"true"}"#, None);
        check(
            several.clone(),
            200,
            r#"{"code":"00","ok":true}"#,
            Some("\"/code\" = [0, \"00000\"]"),
        );
        check(
            several,
            200,
            r#"{"code":0,"ok":null}"#,
            Some("\"/ok\" = true"),
        );
        check(json!({ "status": 302 }), 302, "", None);
        check(json!({ "status": [200, 204] }), 204, "", None);
        check(json!({ "status": 302 }), 200, "", Some("status = 302"));
        check(json!({ "/a": null }), 200, r#"{"a":null}"#, None);
    }

    #[test]
    fn another_value_denies_and_a_missing_one_does_not() {
        let conditions = read(json!({ "/code": 200, "status": 200 })).expect("conditions");
        for (body, denied) in [
            (r#"{"code":500,"msg":"no"}"#, true),
            (r#"{"code":null}"#, true),
            (r#"{"code":"200"}"#, false),
            (r#"{"status":500}"#, false),
            ("<html>", false),
            ("", false),
        ] {
            assert_eq!(conditions.is_denied(body), denied, "{body}");
        }
    }

    #[test]
    fn a_table_that_is_no_condition_names_its_key() {
        let check = |table: Value, key: &str, expected: &str| {
            let mistake = read(table).expect_err(key);
            assert_eq!(mistake.key, key);
            assert!(mistake.message.contains(expected), "{}", mistake.message);
        };
        check(
            json!({ "code": 200 }),
            "code",
            "such as \"/code\"; or `status`",
        );
        check(json!({ "status": "ok" }), "status", "such as 200 or 302");
        check(json!({ "status": 1000 }), "status", "such as 200 or 302");
        check(json!({ "/a": [] }), "/a", "found an empty list");
        check(
            json!({ "/a": { "b": 1 } }),
            "/a",
            "expected a number, a text",
        );
    }
}
