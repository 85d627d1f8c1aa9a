//! SockJS's frames: `o`, `h`, `a["…"]`, `m"…"`, `c[code,"reason"]` (sockjs-protocol 0.3.3). Pure:
//! text in, bytes out.

use bytes::Bytes;

/// What a server sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// `o`: the session has begun.
    Open,
    /// `h`: the link is alive.
    Heartbeat,
    /// `a` and `m`: pieces of the STOMP stream, one after the other. The elements of the array are
    /// no frames.
    Payload(Bytes),
    /// `c`: the session is over.
    Close {
        /// `None` if it is no number.
        code: Option<u16>,
        /// May be empty.
        reason: String,
    },
}

/// Reads one frame. The error names the mistake, for a
/// [`Protocol`](crate::transport::TransportError::Protocol).
pub(super) fn decode(frame: &[u8]) -> Result<Frame, String> {
    let Some((kind, rest)) = frame.split_first() else {
        return Ok(Frame::Heartbeat);
    };
    let rest = rest.trim_ascii();
    match kind {
        b'o' if rest.is_empty() => Ok(Frame::Open),
        b'h' if rest.is_empty() => Ok(Frame::Heartbeat),
        b'a' => Parser { text: rest, at: 0 }.array().map(Frame::Payload),
        b'm' => Parser { text: rest, at: 0 }.message().map(Frame::Payload),
        b'c' => Ok(close(rest)),
        _ => Err(format!(
            "a SockJS frame that is none of o, h, a, m, c: {}",
            shown(frame)
        )),
    }
}

/// What a client sends: the frames as a JSON array of strings, for WebSocket and xhr_send alike.
pub(super) fn encode<'a>(frames: impl IntoIterator<Item = &'a str>) -> String {
    let frames = frames.into_iter().collect::<Vec<_>>();
    serde_json::to_string(&frames).expect("a list of strings is always JSON")
}

/// Spring writes the reason without escaping it, and some servers write none: everything is taken.
fn close(text: &[u8]) -> Frame {
    let text = String::from_utf8_lossy(text);
    let inner = text.strip_prefix('[').unwrap_or(&text);
    let inner = inner.strip_suffix(']').unwrap_or(inner);
    let (code, reason) = inner.split_once(',').unwrap_or((inner, ""));
    let reason = reason.trim();
    let mut parser = Parser {
        text: reason.as_bytes(),
        at: 0,
    };
    let reason = match parser.message() {
        Ok(reason) => String::from_utf8_lossy(&reason).into_owned(),
        Err(_) => {
            let bare = reason.strip_prefix('"').unwrap_or(reason);
            bare.strip_suffix('"').unwrap_or(bare).to_owned()
        }
    };
    Frame::Close {
        code: code.trim().parse().ok(),
        reason,
    }
}

/// JSON strings and arrays of them (RFC 8259), read into bytes in one pass. serde_json would do,
/// but for lone surrogates: JavaScript servers escape them, and it refuses them.
struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn array(&mut self) -> Result<Bytes, String> {
        // Escapes only shrink.
        let mut out = Vec::with_capacity(self.text.len());
        self.expect(b'[')?;
        if self.skip_space() == Some(b']') {
            self.at += 1;
        } else {
            loop {
                self.string(&mut out)?;
                match self.skip_space() {
                    Some(b',') => self.at += 1,
                    _ => break,
                }
            }
            self.expect(b']')?;
        }
        self.end()?;
        Ok(out.into())
    }

    fn message(&mut self) -> Result<Bytes, String> {
        let mut out = Vec::with_capacity(self.text.len());
        self.string(&mut out)?;
        self.end()?;
        Ok(out.into())
    }

    fn string(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        self.expect(b'"')?;
        loop {
            let rest = &self.text[self.at..];
            // A raw control character is no JSON, but it does no harm.
            let Some(length) = memchr::memchr2(b'"', b'\\', rest) else {
                return Err(self.wrong("a string without its end"));
            };
            out.extend_from_slice(&rest[..length]);
            self.at += length + 1;
            if rest[length] == b'"' {
                return Ok(());
            }
            self.escape(out)?;
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        let letter = self
            .text
            .get(self.at)
            .copied()
            .ok_or_else(|| self.wrong("a string without its end"))?;
        self.at += 1;
        out.push(match letter {
            b'"' | b'\\' | b'/' => letter,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let letter = self.unicode()?;
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.wrong("an unknown escape")),
        });
        Ok(())
    }

    /// After `\u`. A pair of surrogates is one character; a lone one becomes U+FFFD.
    fn unicode(&mut self) -> Result<char, String> {
        let unit = self.hex4()?;
        if !(0xd800..0xdc00).contains(&unit) {
            return Ok(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        if !self.text[self.at..].starts_with(b"\\u") {
            return Ok(char::REPLACEMENT_CHARACTER);
        }
        let after_high = self.at;
        self.at += 2;
        let low = self.hex4()?;
        if (0xdc00..0xe000).contains(&low) {
            let pair = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
            return Ok(char::from_u32(pair).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        // The second escape stands for itself: it is read again.
        self.at = after_high;
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex4(&mut self) -> Result<u32, String> {
        let digits = self
            .text
            .get(self.at..self.at + 4)
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let unit = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let unit = unit.ok_or_else(|| self.wrong("\\u without four hexadecimal digits"))?;
        self.at += 4;
        Ok(unit)
    }

    fn expect(&mut self, expected: u8) -> Result<(), String> {
        if self.skip_space() != Some(expected) {
            return Err(self.wrong(&format!("expected {:?}", char::from(expected))));
        }
        self.at += 1;
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        match self.skip_space() {
            None => Ok(()),
            Some(_) => Err(self.wrong("something after its end")),
        }
    }

    fn skip_space(&mut self) -> Option<u8> {
        while self
            .text
            .get(self.at)
            .is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
        {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn wrong(&self, what: &str) -> String {
        format!(
            "a SockJS frame's JSON is wrong at byte {}: {what}",
            self.at + 1
        )
    }
}

fn shown(frame: &[u8]) -> String {
    String::from_utf8_lossy(&frame[..frame.len().min(32)])
        .escape_debug()
        .to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(frame: &str, expected: Frame) {
        assert_eq!(decode(frame.as_bytes()), Ok(expected), "{frame}");
    }

    fn check_payload(frame: &str, expected: &str) {
        check(
            frame,
            Frame::Payload(Bytes::copy_from_slice(expected.as_bytes())),
        );
    }

    fn check_wrong(frame: &str, expected: &str) {
        let error = decode(frame.as_bytes()).expect_err(frame);
        assert!(error.contains(expected), "{frame}: {error}");
    }

    #[test]
    fn open_and_heartbeat_are_one_letter() {
        check("o", Frame::Open);
        check("h", Frame::Heartbeat);
        check("h\r", Frame::Heartbeat);
        check("", Frame::Heartbeat);
    }

    #[test]
    fn elements_are_pieces_of_one_stream() {
        check_payload(r#"a["x"]"#, "x");
        check_payload(r#"a["CONN","ECTED\n\n\u0000","\n"]"#, "CONNECTED\n\n\0\n");
        check_payload(r#"a[]"#, "");
        check_payload(r#"a[""]"#, "");
        check_payload(r#"a [ "a" , "b" ] "#, "ab");
        check_payload(r#"m"one""#, "one");
        check_payload(r#"a["故障 ]\",["]"#, "故障 ]\",[");
    }

    #[test]
    fn every_escape_is_undone() {
        check_payload(r#"a["\"\\\/\b\f\n\r\t"]"#, "\"\\/\x08\x0c\n\r\t");
        check_payload(
            r#"a["\u0000\u001F\u200c\u2028\u2060\ufff0\uFFFF\u00e9"]"#,
            "\0\u{1f}\u{200c}\u{2028}\u{2060}\u{fff0}\u{ffff}é",
        );
        check_payload(r#"a["C:\\new"]"#, "C:\\new");
        check_payload(r#"a["\\u0041"]"#, "\\u0041");
    }

    #[test]
    fn surrogate_pair_is_one_character() {
        check_payload(r#"a["\ud83d\ude00"]"#, "😀");
        check_payload(r#"a["\uDBFF\uDFFF"]"#, "\u{10ffff}");
        check_payload(r#"a["\ud800\udc00"]"#, "\u{10000}");
    }

    #[test]
    fn lone_surrogate_becomes_a_replacement_and_takes_nothing_with_it() {
        check_payload(r#"a["\ud83d"]"#, "\u{fffd}");
        check_payload(r#"a["\ud83d!"]"#, "\u{fffd}!");
        check_payload(r#"a["\ude00\ud83d"]"#, "\u{fffd}\u{fffd}");
        check_payload(r#"a["\ud83d\u0041"]"#, "\u{fffd}A");
        check_payload(r#"a["\ud83d\n"]"#, "\u{fffd}\n");
        check_payload(r#"a["\ud83d\ud83d\ude00"]"#, "\u{fffd}😀");
        check_payload(r#"a["\ud83d","\ude00"]"#, "\u{fffd}\u{fffd}");
    }

    #[test]
    fn close_is_read_however_it_is_written() {
        let check = |frame, code, reason: &str| {
            check(
                frame,
                Frame::Close {
                    code,
                    reason: reason.to_owned(),
                },
            )
        };
        check(r#"c[3000,"Go away!"]"#, Some(3000), "Go away!");
        check(
            r#"c[1002, "a \"quoted\" word"]"#,
            Some(1002),
            "a \"quoted\" word",
        );
        check(
            r#"c[1002,"a "quoted", unescaped\ word"]"#,
            Some(1002),
            "a \"quoted\", unescaped\\ word",
        );
        check(r#"c[1007,"null"]"#, Some(1007), "null");
        check(r#"c[3000]"#, Some(3000), "");
        check(r#"c[3000,]"#, Some(3000), "");
        check(r#"c[]"#, None, "");
        check(r#"c"#, None, "");
        check(r#"c[99999,"x"]"#, None, "x");
    }

    #[test]
    fn what_is_no_frame_is_an_error_that_says_where() {
        check_wrong("x", "none of o, h, a, m, c: x");
        check_wrong("open", "none of o, h, a, m, c: open");
        check_wrong("hello", "none of");
        check_wrong("a", "byte 1: expected '['");
        check_wrong(r#"a["x"#, "without its end");
        check_wrong(r#"a["x\"#, "without its end");
        check_wrong(r#"a["x""#, "expected ']'");
        check_wrong(r#"a["x",]"#, "expected '\"'");
        check_wrong(r#"a["x"]y"#, "byte 6: something after its end");
        check_wrong(r#"a[1]"#, "expected '\"'");
        check_wrong(r#"a["\x"]"#, "unknown escape");
        check_wrong(r#"a["\u12"]"#, "four hexadecimal digits");
        check_wrong(r#"a["\u+123"]"#, "four hexadecimal digits");
        check_wrong(r#"a["\ud83d\u00"]"#, "four hexadecimal digits");
        check_wrong("m", "expected '\"'");
    }

    #[test]
    fn what_is_sent_is_a_json_array_of_strings() {
        assert_eq!(
            encode(["SEND\n\n\"\\é\u{1}\0"]),
            r#"["SEND\n\n\"\\é\u0001\u0000"]"#
        );
        assert_eq!(encode(["a", "\n"]), r#"["a","\n"]"#);
    }

    proptest! {
        /// Whatever is escaped: what JSON demands, or everything, as 16-bit units.
        #[test]
        fn any_text_comes_back(pieces in proptest::collection::vec(".*", 0..4)) {
            let expected = Ok(Frame::Payload(pieces.concat().into()));
            let lean = format!("a{}", encode(pieces.iter().map(String::as_str)));
            prop_assert_eq!(decode(lean.as_bytes()), expected.clone());
            let escaped = |piece: &String| {
                let units = piece.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
                format!("\"{units}\"")
            };
            let full = format!("a[{}]", pieces.iter().map(escaped).collect::<Vec<_>>().join(","));
            prop_assert_eq!(decode(full.as_bytes()), expected);
        }

        #[test]
        fn any_bytes_are_a_frame_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64), kind in "[ohamc]?") {
            let frame = [kind.as_bytes(), &bytes].concat();
            let _ = decode(&frame);
            let json = [b"a[\"", bytes.as_slice()].concat();
            let _ = decode(&json);
        }
    }
}
