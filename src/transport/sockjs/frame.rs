//! SockJS's frames: `o`, `h`, `a["…"]`, `m"…"`, `c[code,"reason"]` (sockjs-protocol 0.3.3). Pure:
//! text in, bytes out.

use bytes::Bytes;

/// As much is kept of a frame that is none: who shows it cuts it, once it is without secrets.
const FRAME_TOLD_BYTES: usize = 4096;

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
        b'a' | b'm' => Parser::of_kind(*kind).whole(rest).map(Frame::Payload),
        b'c' => Ok(close(rest)),
        _ => Err(format!(
            "a SockJS frame that is none of o, h, a, m, c: {}",
            shown(frame)
        )),
    }
}

/// A frame that is too long to be held: it is read in pieces, as they come.
#[derive(Debug)]
pub(super) struct LongFrame {
    parser: Parser,
    /// The beginning of an escape whose end has not come.
    cut: Vec<u8>,
}

impl LongFrame {
    /// Such a frame, by its beginning. `None`: only payloads are read so.
    pub(super) fn begin(piece: &[u8]) -> Option<Result<(LongFrame, Bytes), String>> {
        let (kind, rest) = piece.split_first()?;
        let mut frame = match kind {
            b'a' | b'm' => LongFrame {
                parser: Parser::of_kind(*kind),
                cut: Vec::new(),
            },
            _ => return None,
        };
        Some(frame.read(rest).map(|payload| (frame, payload)))
    }

    /// The payload of the next piece.
    pub(super) fn read(&mut self, piece: &[u8]) -> Result<Bytes, String> {
        let joined;
        let text = match self.cut.is_empty() {
            true => piece,
            false => {
                joined = [&self.cut, piece].concat();
                &joined
            }
        };
        let mut out = Vec::with_capacity(text.len());
        let read = self.parser.read(text, More::Comes, &mut out)?;
        self.cut = text[read..].to_vec();
        Ok(out.into())
    }

    /// Whether nothing is missing.
    pub(super) fn is_whole(&self) -> bool {
        self.parser.place == Place::End
    }

    /// The payload of the last piece.
    pub(super) fn end(mut self, piece: &[u8]) -> Result<Bytes, String> {
        let text = [&self.cut, piece].concat();
        self.parser.whole(&text)
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
    let reason = match Parser::of_kind(b'm').whole(reason.as_bytes()) {
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
/// but for lone surrogates, which JavaScript servers escape and it refuses; and for frames that come
/// in pieces.
#[derive(Debug)]
struct Parser {
    /// An array of strings; else one string.
    array: bool,
    place: Place,
    /// Bytes of the pieces before this one.
    before: usize,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// `[`.
    Array,
    /// `"`, or `]` of an empty array.
    First,
    /// `"`.
    Element,
    /// More of a string, or its end.
    Text,
    /// `,` or `]`.
    Separator,
    /// Nothing.
    End,
}

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum More {
    /// Another one follows.
    Comes,
    /// It is the last one.
    Ends,
}

impl Parser {
    fn of_kind(kind: u8) -> Parser {
        let array = kind == b'a';
        Parser {
            array,
            place: if array { Place::Array } else { Place::Element },
            before: 0,
        }
    }

    /// Reads all that there is, up to the end of the frame.
    fn whole(&mut self, text: &[u8]) -> Result<Bytes, String> {
        // Escapes only shrink.
        let mut out = Vec::with_capacity(text.len());
        self.read(text, More::Ends, &mut out)?;
        Ok(out.into())
    }

    /// Reads a piece, and gives how many bytes of it: an escape may be cut.
    fn read(&mut self, text: &[u8], more: More, out: &mut Vec<u8>) -> Result<usize, String> {
        let mut reader = Reader { text, at: 0 };
        let outcome = self.steps(&mut reader, more, out);
        let read = outcome.map_err(|what| {
            let at = self.before + reader.at + 1;
            format!("a SockJS frame's JSON is wrong at byte {at}: {what}")
        })?;
        self.before += read;
        Ok(read)
    }

    fn steps(
        &mut self,
        reader: &mut Reader<'_>,
        more: More,
        out: &mut Vec<u8>,
    ) -> Result<usize, String> {
        loop {
            if self.place == Place::Text {
                match reader.text(out)? {
                    Text::Ended => {
                        self.place = if self.array {
                            Place::Separator
                        } else {
                            Place::End
                        }
                    }
                    Text::Cut if more == More::Comes => return Ok(reader.at),
                    Text::Cut => return Err("a string without its end".to_owned()),
                }
                continue;
            }
            let next = reader.skip_space();
            let next_place = match (self.place, next) {
                (Place::End, None) => return Ok(reader.at),
                (Place::End, Some(_)) => return Err("something after its end".to_owned()),
                (_, None) if more == More::Comes => return Ok(reader.at),
                (Place::Array, Some(b'[')) => Place::First,
                (Place::First, Some(b']')) | (Place::Separator, Some(b']')) => Place::End,
                (Place::First | Place::Element, Some(b'"')) => Place::Text,
                (Place::Separator, Some(b',')) => Place::Element,
                (Place::Array, _) => return Err(expected(b'[')),
                (Place::Separator, _) => return Err(expected(b']')),
                _ => return Err(expected(b'"')),
            };
            reader.at += 1;
            self.place = next_place;
        }
    }
}

fn expected(letter: u8) -> String {
    format!("expected {:?}", char::from(letter))
}

/// How the text of a string goes on behind a piece.
enum Text {
    Ended,
    /// There is more of it; what was read is read.
    Cut,
}

/// One piece, and how far it is read.
struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn text(&mut self, out: &mut Vec<u8>) -> Result<Text, String> {
        loop {
            let rest = &self.text[self.at..];
            // A raw control character is no JSON, but it does no harm.
            let Some(length) = memchr::memchr2(b'"', b'\\', rest) else {
                out.extend_from_slice(rest);
                self.at = self.text.len();
                return Ok(Text::Cut);
            };
            out.extend_from_slice(&rest[..length]);
            self.at += length;
            if rest[length] == b'"' {
                self.at += 1;
                return Ok(Text::Ended);
            }
            if self.is_cut() {
                return Ok(Text::Cut);
            }
            self.at += 1;
            self.escape(out)?;
        }
    }

    /// Whether the escape here may go on behind the piece: `\ud83d\ude00` is one.
    fn is_cut(&self) -> bool {
        let rest = &self.text[self.at..];
        let length = match rest {
            [_] => return true,
            [
                _,
                b'u',
                b'd' | b'D',
                b'8' | b'9' | b'a' | b'b' | b'A' | b'B',
                ..,
            ] => 12,
            [_, b'u', ..] => 6,
            _ => 2,
        };
        // What cannot go on is not cut.
        let ends = |byte: &u8| *byte == b'"';
        rest.len() < length && !rest[1..].iter().skip(1).any(ends)
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        let letter = self
            .text
            .get(self.at)
            .copied()
            .ok_or("a string without its end")?;
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
            _ => return Err("an unknown escape".to_owned()),
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
        let unit = unit.ok_or("\\u without four hexadecimal digits")?;
        self.at += 4;
        Ok(unit)
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
}

fn shown(frame: &[u8]) -> String {
    String::from_utf8_lossy(&frame[..frame.len().min(FRAME_TOLD_BYTES)])
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
        /// A long frame that is cut anywhere, also within an escape or a pair of surrogates.
        #[test]
        fn pieces_are_as_good_as_the_whole(text in "[a😀\u{0}\"\\\\é]{0,12}", cuts in proptest::collection::vec(0_usize..80, 0..6)) {
            let units = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
            let frame = format!("a[ \"{units}\" , {} ]", serde_json::to_string(&text).unwrap());
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| 1 + cut % (frame.len() - 1)).collect();
            cuts.sort_unstable();
            let first = cuts.first().copied().unwrap_or(1);
            let (mut long, begun) = LongFrame::begin(&frame.as_bytes()[..first]).unwrap().unwrap();
            let mut payload = begun.to_vec();
            for pair in cuts.windows(2) {
                payload.extend_from_slice(&long.read(&frame.as_bytes()[pair[0]..pair[1]]).unwrap());
            }
            let last = cuts.last().copied().unwrap_or(1);
            payload.extend_from_slice(&long.end(&frame.as_bytes()[last..]).unwrap());
            prop_assert_eq!(String::from_utf8(payload).unwrap(), text.repeat(2));
        }

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
