//! Topic names: values of an event as single levels, and what a broker takes as a name (MQTT 3.1.1,
//! section 4.7).

use std::fmt::Write;

/// Longest topic name: its length is sent in two bytes (section 1.5.3).
pub const TOPIC_BYTES_MAX: usize = 65_535;

/// A value as exactly one topic level: never empty, no wildcard, no separator, nothing that a
/// broker may refuse. A character that cannot stand there is written as `%` and two hex digits for
/// each byte of its UTF-8. `%` itself is `%25`, and the empty value is a single `%`. So two
/// different values never share a topic.
pub fn encode_level(value: &str) -> String {
    if value.is_empty() {
        return "%".to_owned();
    }
    let mut level = String::with_capacity(value.len());
    for (index, c) in value.char_indices() {
        // A topic that begins with $ is the broker's own (section 4.7.2).
        if must_not_stand(c) || (index == 0 && c == '$') {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                write!(level, "%{byte:02X}").expect("writing to a String cannot fail");
            }
        } else {
            level.push(c);
        }
    }
    level
}

/// Separator, wildcards, our own escape; NUL, control characters and non-characters (section
/// 1.5.3), for which mosquitto closes the connection.
fn must_not_stand(c: char) -> bool {
    matches!(c, '/' | '+' | '#' | '%' | '\u{FDD0}'..='\u{FDEF}')
        || c.is_control()
        || u32::from(c) & 0xFFFE == 0xFFFE
}

/// Whether a whole topic name can be published to.
///
/// # Errors
/// The topic's mistake.
pub fn check_topic(topic: &str) -> Result<(), String> {
    if topic.is_empty() {
        return Err("the topic is empty".to_owned());
    }
    if topic.len() > TOPIC_BYTES_MAX {
        return Err(format!(
            "the topic has {} bytes; at most {TOPIC_BYTES_MAX} can be sent",
            topic.len()
        ));
    }
    match topic
        .chars()
        .find(|&c| !matches!(c, '/' | '%') && must_not_stand(c))
    {
        Some(c) => Err(format!(
            "the topic has a {c:?}, which only a subscription may have"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_become_levels() {
        let cases = [
            ("", "%"),
            ("map-1", "map-1"),
            ("射阳县", "射阳县"),
            ("a b.c", "a b.c"),
            ("a/b", "a%2Fb"),
            ("+", "%2B"),
            ("#", "%23"),
            ("%", "%25"),
            ("%2F", "%252F"),
            ("$SYS", "%24SYS"),
            ("US$", "US$"),
            ("\0", "%00"),
            ("a\nb", "a%0Ab"),
            ("\u{7f}", "%7F"),
            ("\u{85}", "%C2%85"),
            ("\u{FFFF}", "%EF%BF%BF"),
            ("\u{1FFFE}", "%F0%9F%BF%BE"),
            ("\u{FDD0}", "%EF%B7%90"),
            ("\u{FFFD}", "\u{FFFD}"),
        ];
        for (value, level) in cases {
            assert_eq!(encode_level(value), level, "{value:?}");
        }
    }

    #[test]
    fn a_topic_that_no_broker_takes_is_refused() {
        for topic in ["", "a/+/b", "#", "a\0b", "a\u{1}"] {
            assert!(check_topic(topic).is_err(), "{topic:?}");
        }
        assert!(check_topic(&"a".repeat(TOPIC_BYTES_MAX + 1)).is_err());
        for topic in [
            "a",
            "/",
            "devices/1/%/status",
            "$share",
            &"a".repeat(TOPIC_BYTES_MAX),
        ] {
            assert_eq!(check_topic(topic), Ok(()));
        }
    }

    /// The only way back: what has no inverse cannot be injective.
    fn decode_level(level: &str) -> String {
        if level == "%" {
            return String::new();
        }
        let mut bytes = Vec::new();
        let mut rest = level.bytes();
        while let Some(byte) = rest.next() {
            if byte == b'%' {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            } else {
                bytes.push(byte);
            }
        }
        String::from_utf8(bytes).unwrap()
    }

    fn any_value() -> impl Strategy<Value = String> {
        let awkward = prop::sample::select(vec![
            '/', '+', '#', '%', '$', '\0', '2', 'F', '\u{FFFE}', '\u{9f}',
        ]);
        prop::collection::vec(prop_oneof![any::<char>(), awkward], 0..12)
            .prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn every_value_is_one_level_and_can_be_read_back(value in any_value()) {
            let level = encode_level(&value);
            prop_assert!(!level.contains('/'));
            prop_assert!(!level.starts_with('$'));
            prop_assert_eq!(check_topic(&level), Ok(()));
            prop_assert_eq!(decode_level(&level), value);
        }
    }
}
