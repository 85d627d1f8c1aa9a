//! The beginning of a text that is too long to be shown. What was cut has a mark.

/// At most so many characters of a text, and `…` where there are more.
pub fn beginning(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_cut_has_a_mark() {
        for (text, expected) in [
            ("", ""),
            ("故障", "故障"),
            ("故障机", "故障…"),
            ("abc", "ab…"),
        ] {
            assert_eq!(beginning(text, 2), expected);
        }
    }
}
