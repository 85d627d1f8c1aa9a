//! What of a text is shown where it is too long, with a mark where it was cut; and what of it is
//! compared, to tell whether an error is new.

/// Numbers behind these words say what has failed, such as an HTTP status; the others count, measure
/// or are a port of ours, and are others each time.
const SAY_WHAT_FAILED: [&str; 2] = ["answered ", "code "];

/// At most so many characters of a text, and `…` where there are more.
pub fn beginning(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// On one line, without control characters.
pub fn clean_line(text: &str) -> String {
    let clean = text.replace(char::is_control, " ");
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// An error without the numbers that make each of its kind another text.
pub fn without_numbers(error: &str) -> String {
    let mut kept = String::with_capacity(error.len());
    let mut keeps = false;
    for character in error.chars() {
        if !character.is_ascii_digit() {
            kept.push(character);
            keeps = SAY_WHAT_FAILED.iter().any(|words| kept.ends_with(words));
        } else if keeps {
            kept.push(character);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_no_news_but_for_those_that_say_what_has_failed() {
        for (error, expected) in [
            ("", ""),
            ("10 failures in 3 ms: 故障 7", " failures in  ms: 故障 "),
            (
                "http://h:80 answered 502 in 7 ms",
                "http://h: answered 502 in  ms",
            ),
            (
                "closed with code 1006 after 31 s",
                "closed with code 1006 after  s",
            ),
        ] {
            assert_eq!(without_numbers(error), expected);
        }
    }

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
