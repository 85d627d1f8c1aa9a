//! A value out of a page of HTML: that of a hidden field, such as a CSRF token. No parser of HTML:
//! it looks at the tags `input` and `meta`, wherever they stand.

/// The value of `<input name="NAME" value="…">`, else the content of `<meta name="NAME"
/// content="…">`, where frameworks put tokens for scripts.
pub(super) fn field(page: &str, name: &str) -> Option<String> {
    [("input", "value"), ("meta", "content")]
        .into_iter()
        .find_map(|(tag, holder)| {
            tags(page, tag)
                .map(attributes)
                .find(|attributes| value(attributes, "name") == Some(name))
                .and_then(|attributes| value(&attributes, holder).map(str::to_owned))
        })
}

fn value<'a>(attributes: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

/// What follows the name of each tag of this name.
fn tags<'a>(page: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    page.split('<')
        .enumerate()
        .filter_map(move |(index, text)| {
            let (start, rest) = text.split_at_checked(name.len())?;
            let ends = rest.starts_with(|c: char| c.is_ascii_whitespace() || c == '/');
            // What stands before the first `<` is no tag.
            (index > 0 && start.eq_ignore_ascii_case(name) && ends).then_some(rest)
        })
}

/// Their names in small letters, and their values without entities.
fn attributes(tag: &str) -> Vec<(String, String)> {
    let mut attributes = Vec::new();
    let mut rest = tag;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if rest.is_empty() || rest.starts_with('>') {
            return attributes;
        }
        let end = rest
            .find(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/'))
            .unwrap_or(rest.len());
        let name = rest[..end].to_ascii_lowercase();
        let after = rest[end..].trim_start();
        let Some(after) = after.strip_prefix('=') else {
            // A name without a value.
            rest = after;
            attributes.push((name, String::new()));
            continue;
        };
        let after = after.trim_start();
        let (value, behind) = match after.chars().next() {
            Some(quote @ ('"' | '\'')) => after[1..].split_once(quote).unwrap_or((&after[1..], "")),
            _ => {
                let end = after
                    .find(|c: char| c.is_ascii_whitespace() || c == '>')
                    .unwrap_or(after.len());
                after.split_at(end)
            }
        };
        attributes.push((name, plain(value)));
        rest = behind;
    }
}

/// Without the entities that a template engine writes in an attribute.
fn plain(value: &str) -> String {
    let mut text = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('&') {
        text.push_str(before);
        match after
            .split_once(';')
            .and_then(|(entity, behind)| Some((letter(entity)?, behind)))
        {
            Some((letter, behind)) => {
                text.push(letter);
                rest = behind;
            }
            None => {
                text.push('&');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text
}

fn letter(entity: &str) -> Option<char> {
    match entity {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        number => {
            let number = number.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(page: &str, expected: Option<&str>) {
        assert_eq!(field(page, "_csrf").as_deref(), expected, "{page}");
    }

    #[test]
    fn the_value_of_a_field_is_found_however_the_page_writes_it() {
        check(
            "<form><input name=\"_csrf\" type=\"hidden\" value=\"abc-1\" />",
            Some("abc-1"),
        );
        check("<INPUT type=hidden value='a b' NAME=_csrf>", Some("a b"));
        check("<input value=abc name=_csrf disabled>", Some("abc"));
        check(
            "<input name=\"other\" value=\"1\"><input\n name='_csrf'\n value='2'>",
            Some("2"),
        );
        check(
            "<input name=\"_csrf\" value=\"a&amp;b&#43;&#x3D;&quot;&nope;&\">",
            Some("a&b+=\"&nope;&"),
        );
        check("<meta name=\"_csrf\" content=\"m\"/>", Some("m"));
        check(
            "<meta name=\"_csrf\" content=\"m\"><input name=_csrf value=i>",
            Some("i"),
        );
        check("<input name=\"_csrf\" data-x value=\"名\">", Some("名"));
    }

    #[test]
    fn a_page_without_the_field_has_none() {
        for page in [
            "",
            "<",
            "<input",
            "<input ",
            "<inputs name=_csrf value=1>",
            "<input name=\"_csrf2\" value=1>",
            "<input name=\"_csrf\">",
            "input name=_csrf value=1",
            "<input =_csrf = >",
            "<input name=\"_csrf value=1",
        ] {
            check(page, None);
        }
    }
}
