//! JSON with a line for each value, as people read it. Numbers, texts and the order of keys stay as
//! they came.

use serde::de::IgnoredAny;

/// With a line for each value; `None`: it is no JSON, or takes more bytes than this.
pub(super) fn indented(json: &[u8], bytes_max: usize) -> Option<String> {
    serde_json::from_slice::<IgnoredAny>(json).ok()?;
    let text = std::str::from_utf8(json).ok()?;
    let mut out = String::new();
    let (mut depth, mut in_text, mut is_escaped) = (0, false, false);
    let mut before = ' ';
    for next in text.chars() {
        if in_text {
            in_text = is_escaped || next != '"';
            is_escaped = !is_escaped && next == '\\';
            out.push(next);
        } else if !next.is_ascii_whitespace() {
            let is_end = matches!(next, '}' | ']');
            depth -= usize::from(is_end);
            let begins = matches!(before, '{' | '[');
            if before == ',' || begins != is_end && (begins || is_end) {
                out.push('\n');
                out.extend(std::iter::repeat_n("  ", depth));
            } else if before == ':' {
                out.push(' ');
            }
            out.push(next);
            depth += usize::from(matches!(next, '{' | '['));
            in_text = next == '"';
            before = next;
        }
        if out.len() > bytes_max {
            return None;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_stays_as_it_came() {
        let body = r#"{"b": 1.10,"a":[ 100000000000000000000001, 1.50E+2],"e":{},"f":[],
            "t":"a\"{,:\\","n":{"x":null}}"#;
        let expected = [
            "{",
            r#"  "b": 1.10,"#,
            r#"  "a": ["#,
            "    100000000000000000000001,",
            "    1.50E+2",
            "  ],",
            r#"  "e": {},"#,
            r#"  "f": [],"#,
            r#"  "t": "a\"{,:\\","#,
            r#"  "n": {"#,
            r#"    "x": null"#,
            "  }",
            "}",
        ];
        assert_eq!(
            indented(body.as_bytes(), 1000).unwrap(),
            expected.join("\n")
        );
        assert_eq!(indented(b"7", 1000).as_deref(), Some("7"));
    }

    #[test]
    fn what_is_no_json_or_too_long_has_no_lines() {
        assert_eq!(indented(b"{\"a\":", 1000), None);
        assert_eq!(indented(b"[[[[[[[[1]]]]]]]]", 40), None);
    }
}
