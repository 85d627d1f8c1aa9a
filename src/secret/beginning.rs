//! The beginning of a peer's text. Once a text is cut, the first half of a secret is not known as
//! one: so it is redacted before it is cut.

use super::redaction::{MASK, redact_echo};

/// A secret that begins in what is shown is read to its end, if it is no longer.
const SECRET_BYTES_MAX: usize = 4096;

/// The beginning of a text without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beginning {
    /// At most as many characters as were asked for, as they stand there.
    pub text: String,
    /// More follows.
    pub is_cut: bool,
}

impl Beginning {
    /// With `…` where more follows.
    pub fn marked(self) -> String {
        match self.is_cut {
            true => self.text + "…",
            false => self.text,
        }
    }
}

/// So many bytes of a text are read for its beginning. A character takes at most four.
pub const fn beginning_bytes(chars_max: usize) -> usize {
    chars_max.saturating_mul(4).saturating_add(SECRET_BYTES_MAX)
}

/// The beginning of what a peer has written, without secrets and without all else that it was sent.
/// However long the text is, little more than what is shown is looked at.
pub fn beginning(bytes: &[u8], chars_max: usize) -> Beginning {
    let head_bytes = beginning_bytes(chars_max);
    let goes_on = bytes.len() >= head_bytes;
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(head_bytes)]);
    let head = redact_echo(&head);
    let head = if goes_on { certain(&head) } else { &*head };
    let mut chars = head.chars();
    let text = chars.by_ref().take(chars_max).collect();
    Beginning {
        text,
        is_cut: goes_on || chars.next().is_some(),
    }
}

/// What of a text that goes on is no beginning of a secret.
fn certain(head: &str) -> &str {
    let masked = head.rfind(MASK).map_or(0, |at| at + MASK.len());
    let before = head.len().saturating_sub(SECRET_BYTES_MAX);
    &head[..masked.max(head.floor_char_boundary(before))]
}

#[cfg(test)]
mod tests {
    use super::super::{Lifetime, protect};
    use super::*;

    fn check(text: &str, chars_max: usize, expected: &str, is_cut: bool) {
        let found = beginning(text.as_bytes(), chars_max);
        assert_eq!((&*found.text, found.is_cut), (expected, is_cut), "{text}");
    }

    #[test]
    fn a_text_is_cut_at_a_character() {
        check("", 4, "", false);
        check("abcd", 4, "abcd", false);
        check("abcde", 4, "abcd", true);
        check("故障故障故", 4, "故障故障", true);
        check(&"x".repeat(1 << 20), 4, "xxxx", true);
        check(&"故".repeat(1 << 20), 4, "故故故故", true);
    }

    #[test]
    fn half_a_secret_is_never_shown() {
        protect("beginning-secret-0c44", Lifetime::Configured);
        check("no beginning-secret-0c44", 10, "no …", false);
        let long = format!("beginning-secret-0c44-{}", "s".repeat(300));
        protect(&long, Lifetime::Configured);
        // As many as fit in what is looked at, and half of another behind them.
        let found = beginning(long.repeat(100).as_bytes(), 80);
        assert!(found.is_cut && !found.text.contains("beg"), "{found:?}");
    }
}
