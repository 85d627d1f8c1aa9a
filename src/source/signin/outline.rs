//! A server's answer as it may stand in a log: its shape, and what it says to people. Tokens travel
//! in such answers, so every other value is left out.

use serde_json::{Map, Value};

use crate::excerpt::clean_line;
use crate::pipeline::Pointer;
use crate::secret::beginning;

/// Names whose texts are for people, as frameworks have them.
const WORDS: [&str; 10] = [
    "message",
    "msg",
    "errmsg",
    "error",
    "error_description",
    "errorMessage",
    "reason",
    "detail",
    "title",
    "description",
];

/// Names whose numbers are an outcome.
const NUMBERS: [&str; 7] = [
    "code",
    "status",
    "errcode",
    "errno",
    "error",
    "ret",
    "statusCode",
];

/// A larger number than this is no outcome.
const NUMBER_MAX: u64 = 99_999;

/// As much is shown of a text, and of the whole.
const CHARS_MAX: usize = 120;
const OUTLINE_CHARS_MAX: usize = 400;

/// The shape of a JSON text. What stands at `secret` is not shown, whatever its name and its shape.
pub(super) fn outline<'a>(json: &str, secret: impl Iterator<Item = &'a Pointer>) -> String {
    let secret: Vec<&str> = secret.map(Pointer::as_str).collect();
    match serde_json::from_str::<Value>(json) {
        Ok(value) => {
            let mut shown = String::new();
            Outline {
                secret,
                path: String::new(),
            }
            .write(&value, "", &mut shown);
            cut(&shown, OUTLINE_CHARS_MAX)
        }
        Err(_) => format!("{} bytes that are no JSON", json.len()),
    }
}

/// A body in one line: JSON by its outline, else the beginning of its text.
pub(in crate::source) fn excerpt<'a>(
    body: &[u8],
    secret: impl Iterator<Item = &'a Pointer>,
) -> String {
    let text = String::from_utf8_lossy(body);
    if text.trim_start().starts_with(['{', '[', '"']) {
        return outline(&text, secret);
    }
    cut(&clean_line(&text), CHARS_MAX)
}

struct Outline<'a> {
    secret: Vec<&'a str>,
    /// The pointer to the value being written.
    path: String,
}

impl Outline<'_> {
    /// The depth is bounded by serde_json's own.
    fn write(&mut self, value: &Value, name: &str, shown: &mut String) {
        let open = !self.secret.contains(&self.path.as_str());
        match value {
            Value::Null => shown.push_str("null"),
            Value::Object(fields) if open => self.write_object(fields, shown),
            Value::Array(elements) if open => {
                shown.push_str(if elements.is_empty() { "[]" } else { "[…]" })
            }
            Value::Bool(truth) if open => shown.push_str(if *truth { "true" } else { "false" }),
            Value::Number(number) if open && NUMBERS.contains(&name) && is_outcome(number) => {
                shown.push_str(&number.to_string());
            }
            Value::String(words) if open && WORDS.contains(&name) => {
                shown.push_str(&Value::from(cut(words, CHARS_MAX)).to_string());
            }
            _ => shown.push('…'),
        }
    }

    fn write_object(&mut self, fields: &Map<String, Value>, shown: &mut String) {
        shown.push('{');
        for (index, (name, value)) in fields.iter().enumerate() {
            if index > 0 {
                shown.push_str(", ");
            }
            shown.push_str(&format!("{}: ", Value::from(cut(name, CHARS_MAX))));
            let parent = self.path.len();
            self.path
                .push_str(&format!("/{}", name.replace('~', "~0").replace('/', "~1")));
            self.write(value, name, shown);
            self.path.truncate(parent);
        }
        shown.push('}');
    }
}

fn is_outcome(number: &serde_json::Number) -> bool {
    number
        .as_i64()
        .is_some_and(|number| number.unsigned_abs() <= NUMBER_MAX)
}

fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().nth(chars_max).is_none() {
        return text.to_owned();
    }
    beginning(text.as_bytes(), chars_max).marked()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, secret: &str, expected: &str) {
        let secret: Pointer = secret.parse().unwrap();
        assert_eq!(
            excerpt(body.as_bytes(), [&secret].into_iter()),
            expected,
            "{body}"
        );
    }

    #[test]
    fn the_shape_and_what_is_for_people_is_shown_and_no_other_value() {
        check(
            r#"{"code":20001,"message":"no such user","ok":false,"data":{"jwt":"e.y.J","list":[1]},"at":1606300000}"#,
            "/x",
            r#"{"at": …, "code": 20001, "data": {"jwt": …, "list": […]}, "message": "no such user", "ok": false}"#,
        );
        check(
            r#"{"code":7,"a/b":{"code":8}}"#,
            "/a~1b/code",
            r#"{"a/b": {"code": …}, "code": 7}"#,
        );
        check(r#"{"a":{"key":1}}"#, "/a", r#"{"a": …}"#);
        check(
            r#"{"code":1234567,"msg":5}"#,
            "/x",
            r#"{"code": …, "msg": …}"#,
        );
        check(r#""token""#, "", "…");
        check("[[1],2]", "/x", "[…]");
    }

    #[test]
    fn a_text_becomes_one_short_line() {
        check(
            "<html>\r\n  no\x1b[0m </html>\n",
            "/x",
            "<html> no [0m </html>",
        );
        check(
            &"x".repeat(1000),
            "/x",
            &format!("{}…", "x".repeat(CHARS_MAX)),
        );
        check("{ no json", "/x", "9 bytes that are no JSON");
        let long = format!(r#"{{"{}":1}}"#, "名".repeat(1000));
        assert!(
            excerpt(long.as_bytes(), std::iter::empty()).chars().count() <= OUTLINE_CHARS_MAX + 1
        );
    }
}
