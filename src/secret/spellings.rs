//! How a secret may stand in a text: as it is, or as a URL, a JSON text, HTML, a STOMP header,
//! base64 or hexadecimal digits have it. What is escaped more than once is read level by level.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use super::unescaped::Unescaped;

/// RFC 3986, section 2.3: what never needs encoding.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What JavaScript's encodeURIComponent leaves as it is.
const COMPONENT: &AsciiSet = &UNRESERVED
    .remove(b'!')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// What a form has: `*` stays, and a blank is `+`.
const FORM: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'*')
    .remove(b' ');

/// What a browser encodes in a query.
const QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>');

/// What a browser encodes in a user or a password.
const USERINFO: &AsciiSet = &QUERY
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'/')
    .add(b':')
    .add(b';')
    .add(b'=')
    .add(b'@')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'|');

/// Characters of base64 that are as random as the secret: fewer stand in a text by chance.
const BASE64_CHARS_MIN: usize = 8;

/// A secret that looks escaped itself is also known as it is then read: fewer characters of that
/// stand in a text by chance.
const READ_CHARS_MIN: usize = 8;

/// The secret in each spelling, but for base64 and hexadecimal digits.
pub(super) fn spellings(secret: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::from([secret.to_owned()]);
    for set in [NON_ALPHANUMERIC, UNRESERVED, COMPONENT, QUERY, USERINFO] {
        let encoded = utf8_percent_encode(secret, set).to_string();
        all.insert(lower_hex(&encoded));
        all.insert(encoded);
    }
    let form = utf8_percent_encode(secret, FORM).to_string();
    let form = form.replace(' ', "+");
    all.insert(lower_hex(&form));
    all.insert(form);
    all.extend(json(secret));
    all.extend(html(secret));
    all.insert(stomp(secret));
    all.extend(read(secret));
    // A form within another text is read but for its blanks.
    let of_form = all.iter().filter(|it| it.contains(' '));
    let of_form: Vec<String> = of_form.map(|it| it.replace(' ', "+")).collect();
    all.extend(of_form);
    all
}

/// The secret without what in it looks like an escape: once a text is read level by level, that is
/// left of it.
fn read(secret: &str) -> Option<String> {
    let read = String::from_utf8(Unescaped::levels(secret).last()?.bytes).ok()?;
    (read.chars().count() >= READ_CHARS_MIN).then_some(read)
}

/// The secret's part of a base64 text, wherever the secret begins in it.
pub(super) fn base64_spellings(secret: &str) -> BTreeSet<String> {
    (0..3).flat_map(|offset| base64(secret, offset)).collect()
}

/// The secret's bytes as hexadecimal digits.
pub(super) fn hex_spellings(secret: &str) -> [String; 2] {
    let lower: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    [lower.to_ascii_uppercase(), lower]
}

/// `%2B` as some write it.
fn lower_hex(encoded: &str) -> String {
    let mut left = 0;
    let lower = encoded.chars().map(|character| {
        left = match character {
            '%' => 2,
            _ if left > 0 => left - 1,
            _ => return character,
        };
        character.to_ascii_lowercase()
    });
    lower.collect()
}

/// What Gson escapes in JSON, so that it may stand in HTML.
const GSON: [char; 5] = ['<', '>', '&', '=', '\''];

/// What Go escapes for the same reason.
const GO: [char; 3] = ['<', '>', '&'];

/// What .NET escapes, in upper case.
const DOTNET: [char; 7] = ['<', '>', '&', '\'', '+', '`', '"'];

/// As JSON has it between the quotes; some also escape slashes, all that is not ASCII, or what means
/// something in HTML.
fn json(secret: &str) -> Vec<String> {
    let quoted = serde_json::to_string(secret).unwrap_or_default();
    let plain = quoted
        .get(1..quoted.len() - 1)
        .unwrap_or_default()
        .to_owned();
    let ascii: String = plain.chars().map(escaped_beyond_ascii).collect();
    let slashes = plain.replace('/', "\\/");
    let both = ascii.replace('/', "\\/");
    let lower = |chars: &'static [char]| {
        let escape = move |c: char| match chars.contains(&c) {
            true => escaped(c),
            false => c.to_string(),
        };
        plain.chars().map(escape).collect::<String>()
    };
    let dotnet = secret.chars().map(|c| match c {
        '\\' => "\\\\".to_owned(),
        c if c.is_ascii() && !c.is_control() && !DOTNET.contains(&c) => c.to_string(),
        c => escaped(c).to_uppercase().replace("\\U", "\\u"),
    });
    let of_html = [lower(&GSON), lower(&GO), dotnet.collect()];
    [plain, ascii, slashes, both]
        .into_iter()
        .chain(of_html)
        .collect()
}

fn escaped_beyond_ascii(character: char) -> String {
    match character.is_ascii() {
        true => character.to_string(),
        false => escaped(character),
    }
}

fn escaped(character: char) -> String {
    let mut units = [0; 2];
    let units = character.encode_utf16(&mut units);
    units.iter().map(|unit| format!("\\u{unit:04x}")).collect()
}

fn html(secret: &str) -> [String; 4] {
    let named = secret
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let quoted = named.replace('"', "&quot;");
    let by_number = named.replace('"', "&#34;").replace('\'', "&#39;");
    [
        quoted.replace('\'', "&#39;"),
        quoted.replace('\'', "&#x27;"),
        by_number.replace('+', "&#43;"),
        by_number,
    ]
}

/// STOMP 1.2, "Value Encoding".
fn stomp(secret: &str) -> String {
    secret
        .replace('\\', "\\\\")
        .replace('\r', "\\r")
        .replace('\n', "\\n")
        .replace(':', "\\c")
}

/// The characters of a longer text's base64 that are the secret's alone, where it begins this many
/// bytes behind a group of three: so it is found in `login:passcode` too.
fn base64(secret: &str, offset: usize) -> Vec<String> {
    let mut text = vec![0; offset];
    text.extend_from_slice(secret.as_bytes());
    let begin = (offset * 8).div_ceil(6);
    // The last character may hold bits of what follows.
    let end = text.len() * 8 / 6;
    let own = |encoded: String| {
        let own = encoded.get(begin..end)?;
        (own.len() >= BASE64_CHARS_MIN).then(|| own.to_owned())
    };
    [STANDARD.encode(&text), URL_SAFE.encode(&text)]
        .into_iter()
        .filter_map(own)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_in_every_spelling() {
        let all = spellings("p/w+ü:1\"&'x=\\");
        for spelling in [
            "p/w+ü:1\"&'x=\\",
            "p%2Fw%2B%C3%BC%3A1%22%26%27x%3D%5C",
            "p%2fw%2b%c3%bc%3a1%22%26%27x%3d%5c",
            "p%2Fw%2B%C3%BC%3A1%22%26'x%3D%5C",
            "p/w+%C3%BC:1%22&'x=\\",
            "p/w+ü:1\\\"&'x=\\\\",
            "p\\/w+\\u00fc:1\\\"&'x=\\\\",
            "p/w+ü:1&quot;&amp;&#39;x=\\",
            "p/w+ü\\c1\"&'x=\\\\",
            // Gson, Go, .NET; and Go's HTML.
            "p/w+ü:1\\\"\\u0026\\u0027x\\u003d\\\\",
            "p/w+ü:1\\\"\\u0026'x=\\\\",
            "p/w\\u002B\\u00FC:1\\u0022\\u0026\\u0027x=\\\\",
            "p/w&#43;ü:1&#34;&amp;&#39;x=\\",
        ] {
            assert!(all.contains(spelling), "{spelling} not in {all:#?}");
        }
    }

    #[test]
    fn a_secret_is_found_in_base64_wherever_it_begins() {
        let all = base64_spellings("hunter2hunter2");
        for before in ["", "a", "ab", "login:"] {
            for behind in ["", "!", "!!"] {
                let text = STANDARD.encode(format!("{before}hunter2hunter2{behind}"));
                assert!(all.iter().any(|spelling| text.contains(spelling)), "{text}");
            }
        }
    }
}
