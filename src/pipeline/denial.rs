//! What in an answer of 2xx looks like a refusal, where the configuration looks for none: robots of
//! chat groups and many platforms answer 200 to everything. It decides nothing by itself.

use std::fmt;

use serde_json::{Map, Value};

/// Numbers that are 0 where all is well: DingTalk's and WeCom's, and those of many others.
const ZERO_IF_WELL: [&str; 7] = [
    "errcode",
    "errCode",
    "errno",
    "err_code",
    "error_code",
    "retcode",
    "StatusCode",
];

/// What is true where all is well: Telegram's and Slack's, and those of many others.
const TRUE_IF_WELL: [&str; 2] = ["ok", "success"];

/// Feishu's. With others it is 0, 1, 20000 or the HTTP status where all is well.
const CODE: &str = "code";

/// A value that looks like a refusal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Denial {
    /// Where it stands.
    pub(crate) key: &'static str,
    /// What stands there.
    pub(crate) found: Value,
}

impl Denial {
    /// Of the text of an answer.
    pub(crate) fn in_body(body: &str) -> Option<Denial> {
        let answer: Map<String, Value> = serde_json::from_str(body).ok()?;
        let is_bad = |key: &str, found: &Value| match found {
            Value::Bool(found) => TRUE_IF_WELL.contains(&key) && !found,
            Value::Number(found) if key == CODE => {
                let well = |code| matches!(code, 0 | 1 | 200..=299 | 20_000);
                !found.as_i64().is_some_and(well)
            }
            Value::Number(found) => ZERO_IF_WELL.contains(&key) && found.as_i64() != Some(0),
            _ => false,
        };
        let keys = ZERO_IF_WELL.into_iter().chain(TRUE_IF_WELL).chain([CODE]);
        let mut bad = keys.filter_map(|key| {
            let found = answer.get(key)?;
            is_bad(key, found).then(|| Denial {
                key,
                found: found.clone(),
            })
        });
        bad.next()
    }
}

/// As JSON has it.
impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\": {}", self.key, self.found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_robots_say_is_known_and_what_is_well_is_not_denied() {
        for (body, key) in [
            (
                r#"{"errcode":310000,"errmsg":"keywords not in content"}"#,
                "errcode",
            ),
            (r#"{"errcode":0,"errmsg":"ok"}"#, ""),
            (
                r#"{"code":19024,"msg":"Key Words Not Found","data":{}}"#,
                "code",
            ),
            (r#"{"StatusCode":0,"StatusMessage":"success","code":0}"#, ""),
            (
                r#"{"ok":false,"error_code":400,"description":"x"}"#,
                "error_code",
            ),
            (r#"{"ok":false,"error":"channel_not_found"}"#, "ok"),
            (r#"{"ok":true,"result":{"code":7}}"#, ""),
            (r#"{"code":200,"success":true}"#, ""),
            (r#"{"code":20000,"message":"ok"}"#, ""),
            (r#"{"code":"E17"}"#, ""),
            (r#"{"code":-1}"#, "code"),
            ("[{\"errcode\":1}]", ""),
            ("ok", ""),
            ("", ""),
        ] {
            let found = Denial::in_body(body).map_or("", |denial| denial.key);
            assert_eq!(found, key, "{body}");
        }
    }

    #[test]
    fn it_is_shown_as_it_was_written() {
        let shown = |body| Denial::in_body(body).unwrap().to_string();
        assert_eq!(shown(r#"{"errcode": 7}"#), r#""errcode": 7"#);
    }
}
