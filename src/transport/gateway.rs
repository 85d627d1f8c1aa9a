//! An answer of 200 that refuses: gateways put their own code into a JSON body.

use serde_json::Value;

use crate::excerpt::beginning;
use crate::secret::redact_echo;

/// Where a gateway says what it means.
const WORDS: [&str; 5] = ["msg", "message", "error", "errmsg", "detail"];

/// More of its words are not shown.
const WORDS_CHARS_MAX: usize = 200;

/// What a gateway says that wants a sign-in, in its own words; `None`: the body says something else.
pub(super) fn wants_sign_in(body: &Value) -> Option<String> {
    let code = match body.get("code").or_else(|| body.get("status"))? {
        Value::Number(code) => code.as_u64()?,
        Value::String(code) => code.trim().parse().ok()?,
        _ => return None,
    };
    if !matches!(code, 401 | 403) {
        return None;
    }
    let words = WORDS.iter().find_map(|name| body.get(name)?.as_str());
    let words = redact_echo(words.unwrap_or_default()).replace(char::is_control, " ");
    let words = beginning(words.trim(), WORDS_CHARS_MAX);
    Some(match words.as_str() {
        "" => format!("code {code}"),
        words => format!("code {code}, {words}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_of_401_or_403_is_a_refusal_in_the_gateways_words() {
        let check = |body: &str, expected: Option<&str>| {
            let body = serde_json::from_str(body).expect("JSON");
            assert_eq!(wants_sign_in(&body).as_deref(), expected, "{body}");
        };
        check(
            r#"{"code":401,"msg":"令牌已过期"}"#,
            Some("code 401, 令牌已过期"),
        );
        check(r#"{"code":"403","message":" no "}"#, Some("code 403, no"));
        check(r#"{"status":401}"#, Some("code 401"));
        check(
            r#"{"code":401,"msg":"one\nline"}"#,
            Some("code 401, one line"),
        );
        check(r#"{"code":500,"msg":"x"}"#, None);
        check(r#"{"websocket":true}"#, None);
        check("[]", None);
        check("7", None);
    }
}
