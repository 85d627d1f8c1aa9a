//! What a peer wrote, made fit for a log line: short, on one line, without control characters.

use crate::secret::{Beginning, beginning, beginning_bytes};

/// Longest excerpt of a header or a command, in characters.
pub(super) const WORD_CHARS_MAX: usize = 80;

/// Longest excerpt of a text that is meant to be read, in characters.
pub(super) const TEXT_CHARS_MAX: usize = 300;

/// Lines of an ERROR's body that are worth a log line; ActiveMQ sends a whole stack trace.
const LINES_MAX: usize = 2;

/// The beginning of `bytes`, at most `chars_max` characters of it, with `…` where it was cut.
pub(super) fn excerpt(bytes: &[u8], chars_max: usize) -> String {
    let head = &bytes[..bytes.len().min(beginning_bytes(chars_max))];
    let Beginning { text, is_cut } = match String::from_utf8_lossy(head) {
        // The code that shows a whole text masks by name what the sign-in gave.
        whole if whole.chars().nth(chars_max).is_none() => Beginning {
            text: whole.into_owned(),
            is_cut: false,
        },
        _ => beginning(bytes, chars_max),
    };
    let mut shown = String::new();
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    if is_cut {
        shown.push('…');
    }
    shown
}

/// The first lines of a text that hold anything, as one line.
pub(super) fn first_lines(bytes: &[u8]) -> String {
    let lines = bytes
        .split(|&byte| byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty());
    let lines: Vec<String> = lines
        .take(LINES_MAX)
        .map(|line| excerpt(line, TEXT_CHARS_MAX / LINES_MAX))
        .collect();
    lines.join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_at_the_end_of_an_excerpt_is_not_shown_in_part() {
        crate::secret::protect("excerpt-secret-4c1e", crate::secret::Lifetime::Configured);
        let text = excerpt(b"no excerpt-secret-4c1e for you", 10);
        assert_eq!(text, "no … for y…");
    }

    #[test]
    fn excerpts_are_short_printable_and_whole_characters() {
        let check = |bytes: &[u8], expected: &str| assert_eq!(excerpt(bytes, 4), expected);
        check(b"", "");
        check(b"abcd", "abcd");
        check(b"abcde", "abcd…");
        check("故障故障故".as_bytes(), "故障故障…");
        check(b"a\n\x1b[", "a\\n\\u{1b}[");
        check(b"\xff\xfe", "\u{fffd}\u{fffd}");
        check(&[b'x'; 1 << 20], "xxxx…");
    }

    #[test]
    fn a_stack_trace_gives_its_first_lines() {
        let trace = b"\norg.x.Refused: no such user\n\tat a.b(C.java:1)\n\tat d.e(F.java:2)\n";
        assert_eq!(
            first_lines(trace),
            "org.x.Refused: no such user | at a.b(C.java:1)"
        );
    }
}
