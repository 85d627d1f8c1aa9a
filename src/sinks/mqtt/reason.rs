//! What a broker of MQTT 5 says of a packet or of its end: a code, and sometimes a text (MQTT 5,
//! section 2.4).

use std::fmt;

use crate::secret::beginning;

/// Longest text of a broker that is shown.
const TEXT_CHARS_MAX: usize = 200;

/// A reason code with the broker's own text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reason {
    pub(super) code: u8,
    /// Fit for one line of a log.
    pub(super) text: Option<Box<str>>,
}

/// What a PUBACK means for its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The broker has it.
    Accepted,
    /// The broker will never accept it.
    Never,
    /// The broker may accept it later.
    Later,
    /// The code does not say which.
    Unclear,
}

impl Reason {
    pub(super) fn new(code: u8, text: Option<&[u8]>) -> Reason {
        let shown = |bytes: &[u8]| -> String {
            let text = beginning(bytes, TEXT_CHARS_MAX).text;
            text.replace(char::is_control, " ")
        };
        let text = text.map(shown).filter(|text| !text.trim().is_empty());
        Reason {
            code,
            text: text.map(String::into_boxed_str),
        }
    }

    /// Of a PUBACK (section 3.4.2.1). Brokers also send codes there that the section does not list,
    /// such as 0x95.
    pub(super) fn verdict(&self) -> Verdict {
        match self.code {
            // 0x10: nobody subscribes to the topic, which is no trouble.
            0x00..=0x7F => Verdict::Accepted,
            0x87 | 0x90 | 0x95 | 0x99 => Verdict::Never,
            0x89 | 0x91 | 0x93 | 0x96 | 0x97 => Verdict::Later,
            _ => Verdict::Unclear,
        }
    }

    /// Of a PUBACK: the broker accepts the publish, and nobody subscribes to its topic.
    pub(super) fn is_unheard(&self) -> bool {
        self.code == 0x10
    }

    /// Of a DISCONNECT (section 3.14.2.1): it may be for the publish that came last.
    pub(super) fn may_blame_a_publish(&self) -> bool {
        matches!(
            self.code,
            0x80..=0x83 | 0x87 | 0x90 | 0x95 | 0x99 | 0x9A | 0x9B
        )
    }

    /// Of a DISCONNECT: it can only be for the publish that came last.
    pub(super) fn blames_a_publish(&self) -> bool {
        matches!(self.code, 0x90 | 0x95 | 0x99)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reason { code, text } = self;
        match words(*code) {
            Some(words) => write!(f, "{words} ({code:#04x})")?,
            None => write!(f, "reason {code:#04x}")?,
        }
        match text {
            Some(text) => write!(f, ": the broker says \"{text}\""),
            None => Ok(()),
        }
    }
}

/// Section 2.4, in plain words.
fn words(code: u8) -> Option<&'static str> {
    Some(match code {
        0x80 => "unspecified error",
        0x81 => "malformed packet",
        0x82 => "protocol error",
        0x83 => "implementation specific error",
        0x84 => "protocol version not supported",
        0x85 => "client id not allowed",
        0x86 => "bad user name or password",
        0x87 => "not authorized",
        0x88 => "server unavailable",
        0x89 => "server busy",
        0x8A => "banned",
        0x8B => "server shutting down",
        0x8C => "bad authentication method",
        0x8D => "keep-alive timeout",
        0x8E => "session taken over",
        0x90 => "topic name invalid",
        0x91 => "packet identifier in use",
        0x93 => "receive maximum exceeded",
        0x94 => "topic alias invalid",
        0x95 => "packet too large",
        0x96 => "message rate too high",
        0x97 => "quota exceeded",
        0x98 => "administrative action",
        0x99 => "payload format invalid",
        0x9A => "retain not supported",
        0x9B => "QoS not supported",
        0x9C => "use another server",
        0x9D => "server moved",
        0x9F => "connection rate exceeded",
        0xA0 => "maximum connect time",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_words_code_and_the_text_on_one_line() {
        for (code, text, expected) in [
            (0x87, None, "not authorized (0x87)"),
            (0xF0, None, "reason 0xf0"),
            (0x97, Some(&b"  "[..]), "quota exceeded (0x97)"),
            (
                0x95,
                Some(b"100 KiB\nat most \xff"),
                "packet too large (0x95): the broker says \"100 KiB at most \u{fffd}\"",
            ),
        ] {
            assert_eq!(Reason::new(code, text).to_string(), expected);
        }
        crate::secret::protect("reason-secret-28fa", crate::secret::Lifetime::Configured);
        let echo = format!("{} reason-secret-28fa", "x".repeat(TEXT_CHARS_MAX - 7));
        let shown = Reason::new(0x86, Some(echo.as_bytes())).to_string();
        assert!(shown.contains('…') && !shown.contains("reason-"), "{shown}");
        let long = Reason::new(0x80, Some(&[b'x'; 5000]));
        assert!(long.to_string().len() < 300);
    }

    #[test]
    fn a_code_decides_what_becomes_of_the_event() {
        for (codes, verdict) in [
            (&[0x00, 0x10][..], Verdict::Accepted),
            (&[0x87, 0x90, 0x95, 0x99], Verdict::Never),
            (&[0x91, 0x97], Verdict::Later),
            (&[0x80, 0x83, 0xFE], Verdict::Unclear),
        ] {
            for &code in codes {
                assert_eq!(Reason::new(code, None).verdict(), verdict, "{code:#x}");
            }
        }
    }
}
