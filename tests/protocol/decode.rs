//! Bodies as servers send them, and their decoded events. `tests/golden/NAME.json` is a body.
//! `NAME.expected.json` has one event or reason for each status in it. `NAME.mapping.json` has a
//! mapping, if the body is not the platform's own message, and the `headers` of its message.
//! `GOLDEN=write` writes the decoded
//! events, to be read before they are committed.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;
use serde_json::{Value, json};
use stomp_bridge::model::{Origin, Payload, Position, Severity};
use stomp_bridge::pipeline::{
    Body, Charset, Constants, Decoder, Field, Ignore, Mapping, Pointer, Remedy, State, States,
};
use uuid::Uuid;

#[test]
fn golden_bodies_decode_to_what_stands_beside_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut bodies = 0;
    for file in fs::read_dir(&folder).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let Some(case) = name
            .strip_suffix(".json")
            .filter(|case| !case.contains('.'))
        else {
            continue;
        };
        bodies += 1;
        let body = fs::read(folder.join(&name)).unwrap();
        let mapping = fs::read_to_string(folder.join(format!("{case}.mapping.json")));
        let mapping = mapping.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
        let body = with_headers(&body, &mapping["headers"]);
        let decoded = Value::Array(decode(&decoder(&mapping), &body));
        let decoded = format!("{decoded:#}\n");
        let expected = folder.join(format!("{case}.expected.json"));
        if std::env::var_os("GOLDEN").is_some_and(|what| what == "write") {
            fs::write(&expected, &decoded).unwrap();
        }
        let text = fs::read_to_string(&expected).unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(decoded, text, "{case}");
    }
    assert!(bodies >= 70, "only {bodies} bodies in {}", folder.display());
}

#[test]
fn a_status_is_a_change_and_may_follow_a_missed_one() {
    let decoder = platform();
    for (old, new, previous, changed, missed) in [
        (Some("正常"), "故障", None, true, false),
        (Some("故障"), "故障", None, false, false),
        // It began while nobody listened.
        (Some("故障"), "故障", Some("正常"), true, true),
        (Some("正常"), "故障", Some("离线"), true, true),
        (Some("正常"), "故障", Some("故障"), false, true),
        (None, "故障", Some("正常"), true, false),
        (None, "故障", Some("故障"), false, false),
        (None, "故障", None, false, false),
        // Blanks around a word are no other word.
        (Some("故障 "), " 故障", None, false, false),
        (Some("正常"), "故障", Some(" 正常"), true, false),
        (None, "故障", Some("故障 "), false, false),
        // The words as sent, not what the vocabulary calls them.
        (Some("fault"), "故障", None, true, false),
    ] {
        let body = json!({"deviceId": 1, "oldState": old, "newState": new}).to_string();
        let event = decoder
            .event(body.as_bytes(), origin(1), received_at(), previous)
            .unwrap();
        let case = format!("{old:?} {new} after {previous:?}");
        assert_eq!(
            (event.changed, event.missed_transition),
            (changed, missed),
            "{case}"
        );
    }
}

#[test]
fn names_have_512_bytes_at_most_and_a_serial_is_cut() {
    let long = |bytes: usize| "é".repeat(bytes / 2);
    for (field, place) in [
        ("deviceId", "device at /deviceId"),
        ("clientId", "client at /clientId"),
        ("oldState", "old_state at /oldState"),
        ("newState", "new_state at /newState"),
    ] {
        let mut status = json!({"deviceId": 1, "newState": "x"});
        status[field] = long(512).into();
        assert!(outcome(&status).is_ok(), "{field}");
        status[field] = long(514).into();
        let expected = format!("expected at most 512 bytes as {place}, found 514");
        assert_eq!(outcome(&status), Err(expected), "{field}");
    }
    let serial = format!("a{}", long(600));
    let status = json!({"deviceId": 1, "newState": "x", "sn": serial});
    assert_eq!(outcome(&status), Ok(Some(serial[..511].to_owned())));
    // It names the device where nothing else does.
    let nameless = json!({"newState": "x", "sn": serial});
    let expected = "expected at most 512 bytes as serial at /sn, found 601";
    assert_eq!(outcome(&nameless), Err(expected.to_owned()));
}

#[test]
fn what_is_no_status_is_ignored_by_what_it_says_itself() {
    let mut mapping = Mapping::default();
    mapping.ignore = Some(Ignore::parse("type == 'heartbeat'").unwrap());
    mapping.items = Some("/data".parse().unwrap());
    let decoder = Decoder::new(Arc::from("t"), mapping, states());
    let body = r#"{"data":[{"type":"heartbeat"},{"deviceId":1,"newState":"故障"},
        {"type":"heartbeat","deviceId":2,"newState":"x"},7]}"#;
    let elements = decoder.split(body.as_bytes(), received_at());
    let told = elements.iter().map(|it| (it.ignored, it.outcome.is_ok()));
    let expected = [(true, false), (false, true), (true, true), (false, false)];
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

/// The serial number of a status, or why it is undecodable, by intake and by delivery alike.
fn outcome(status: &Value) -> Result<Option<String>, String> {
    let (decoder, body) = (platform(), status.to_string());
    let mut elements = decoder.split(body.as_bytes(), received_at());
    let taken_in = elements.remove(0).outcome.map_err(|reason| reason.reason);
    let event = decoder.event(body.as_bytes(), origin(1), received_at(), None);
    let event = event.map_err(|reason| reason.reason);
    assert_eq!(taken_in.err(), event.as_ref().err().cloned());
    event.map(|event| event.serial)
}

#[test]
fn event_ids_are_equal_where_all_key_values_are_and_only_there() {
    let mut mapping = Mapping::default();
    mapping.event_key = ["/a", "/b"]
        .map(|pointer| pointer.parse().unwrap())
        .to_vec();
    let decoder = Decoder::new(Arc::from("t"), mapping, Arc::default());
    let id = |position, a: &str, b: &str| {
        let body = format!(r#"{{"deviceId":1,"newState":"x","a":{a},"b":{b}}}"#);
        decoder
            .event(body.as_bytes(), origin(position), received_at(), None)
            .unwrap()
            .event_id
    };
    assert_eq!(
        id(1, "1", r#""x/y""#),
        id(2, "1", r#""x\/y""#),
        "another position, another escape"
    );
    assert_eq!(id(1, "1", "2").len(), "t-".len() + 32);
    let different = [
        ("1", "23"),
        ("12", "3"),
        (r#""1""#, "23"),
        (r#""""#, r#""123""#),
        (r#""123""#, r#""""#),
        ("true", "23"),
    ];
    for (i, (a, b)) in different.iter().enumerate() {
        for (c, d) in &different[i + 1..] {
            assert_ne!(id(1, a, b), id(1, c, d), "{a},{b} {c},{d}");
        }
    }
    assert_eq!(
        id(7, "1", "null"),
        origin(7).to_string(),
        "a missing value: the origin"
    );
}

#[test]
fn no_body_makes_the_decoder_panic_and_each_raw_is_part_of_it() {
    let sample =
        fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/array.json")).unwrap();
    let decoder = platform();
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..20_000 {
        let mut body = sample.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(0..body.len());
            match random.u8(0..4) {
                0 => body[at] = random.u8(..),
                1 => body.truncate(at.max(1)),
                2 => body[at] = *random.choice(b"{}[]\",:\\0e.-").unwrap(),
                _ => body.insert(at, random.u8(..)),
            }
        }
        let range = body.as_ptr_range();
        for element in decoder.split(&body, received_at()) {
            // UTF-16, of which chance makes one now and then, is a copy.
            if let Cow::Borrowed(raw) = element.raw {
                assert!(range.contains(&raw.as_ptr()), "round {round}");
            }
            let event = decoder.event(&element.raw, origin(1), received_at(), None);
            assert_eq!(
                event.is_ok(),
                element.outcome.is_ok(),
                "round {round}: {}",
                String::from_utf8_lossy(&element.raw)
            );
        }
    }
}

/// What a test makes of a text before it is a body.
#[derive(Debug, Clone, Copy)]
enum Coding {
    Plain,
    Gzip,
    Zlib,
    Deflate,
}

impl Coding {
    fn of(self, text: &[u8]) -> Vec<u8> {
        let best = Compression::best();
        let out = Vec::new();
        match self {
            Coding::Plain => text.to_vec(),
            Coding::Gzip => written(GzEncoder::new(out, best), text, GzEncoder::finish),
            Coding::Zlib => written(ZlibEncoder::new(out, best), text, ZlibEncoder::finish),
            Coding::Deflate => {
                written(DeflateEncoder::new(out, best), text, DeflateEncoder::finish)
            }
        }
    }
}

fn written<W: Write>(
    mut encoder: W,
    text: &[u8],
    finish: impl Fn(W) -> std::io::Result<Vec<u8>>,
) -> Vec<u8> {
    encoder.write_all(text).unwrap();
    finish(encoder).unwrap()
}

#[test]
fn what_comes_out_of_a_compressed_body_is_bounded() {
    let limit = 1 << 20;
    let mut mapping = Mapping::default();
    mapping.text_bytes_max = limit;
    let decoder = Decoder::new(Arc::from("t"), mapping, states());
    let body = |bytes: usize| {
        let status = r#"{"deviceId":1,"newState":"x"}"#;
        let blanks = " ".repeat(bytes - status.len());
        Coding::Gzip.of(format!("{status}{blanks}").as_bytes())
    };
    let fits = body(limit);
    assert!(fits.len() < 2_000, "{} bytes", fits.len());
    let elements = decoder.split(&fits, received_at());
    assert!(elements[0].outcome.is_ok());
    let bomb = body(limit + 1);
    let elements = decoder.split(&bomb, received_at());
    let [only] = &elements[..] else {
        panic!("{} elements", elements.len())
    };
    assert_eq!(&*only.raw, &bomb[..], "it is kept as it came");
    let reason = only.outcome.as_ref().unwrap_err().to_string();
    let expected = "more than 1048576 bytes come out of gzip, and that exceeds source.max_body";
    assert!(reason.starts_with(expected), "{reason}");
    // Each member alone fits.
    let many = body(1 << 10).repeat(100);
    let reason = decoder.split(&many, received_at()).remove(0).outcome;
    let expected = "expected gzip of at most 64 members, found more";
    assert_eq!(reason.unwrap_err().to_string(), expected);
}

#[test]
fn more_lines_than_a_body_may_have_statuses_are_kept_as_one() {
    let elements = |lines: usize| {
        let body = vec!["7"; lines].join("\n");
        platform().split(body.as_bytes(), received_at()).len()
    };
    assert_eq!((elements(65_536), elements(65_537)), (65_536, 1));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..<_>::default() })]
    #[test]
    fn no_body_of_any_kind_makes_the_decoder_panic(
        text in prop::sample::select(vec![
            "[{\"deviceId\":1,\"newState\":\"故障\"},7,[]]",
            "\"{\\\"deviceId\\\":1,\\\"newState\\\":\\\"x\\\"}\"",
            "{\"deviceId\":1,\"newState\":\"é\"}\n{\"deviceId\":2}\r\n\n[1,2]",
            "\u{feff}{\"a\":{\"b\":[]}}\0\0",
        ]),
        charset in prop::sample::select(vec!["utf-8", "gbk", "gb18030", "utf-16le", "latin1", ""]),
        coding in prop::sample::select(
            vec![Coding::Plain, Coding::Gzip, Coding::Zlib, Coding::Deflate]
        ),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        content_type in prop::sample::select(
            vec!["", "a/b;charset=GBK", "a/b; charset=\"utf-16\"", "charset=", "x;charset=\u{fffd}"]
        ),
        content_encoding in prop::sample::select(
            vec!["", "gzip", "deflate", "gzip, deflate", "br", "utf-8", ",,identity"]
        ),
    ) {
        let bytes = match charset {
            "utf-16le" => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            other => match encoding_rs::Encoding::for_label(other.as_bytes()) {
                Some(encoding) => encoding.encode(text).0.into_owned(),
                None => text.as_bytes().to_vec(),
            },
        };
        let mut bytes = coding.of(&bytes);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut mapping = Mapping::default();
        mapping.charset = Charset::named(charset);
        mapping.text_bytes_max = 512;
        let decoder = Decoder::new(Arc::from("t"), mapping, states());
        let body = Body {
            bytes: &bytes,
            content_type: content_type.into(),
            content_encoding: content_encoding.into(),
        };
        let range = bytes.as_ptr_range();
        for element in decoder.split_message(&body, received_at()) {
            match &element.raw {
                Cow::Borrowed(raw) => prop_assert!(range.contains(&raw.as_ptr())),
                Cow::Owned(raw) => prop_assert!(raw.len() <= 512),
            }
            prop_assert!(!element.is_utf8 || std::str::from_utf8(&element.raw).is_ok());
            // As delivery reads it, which knows no headers and no charset.
            if element.outcome.is_ok() {
                let event = decoder.event(&element.raw, origin(1), received_at(), None);
                prop_assert!(event.is_ok(), "{:?}", event);
            }
        }
    }
}

#[test]
fn what_cannot_be_decoded_says_what_mends_it() {
    let headers = |encoding: &str| json!({"content-encoding": encoding});
    let mut cut = Coding::Gzip.of(b"{}");
    cut.truncate(12);
    let much = Coding::Gzip.of(&[b' '; 600]);
    let mut mapping = Mapping::default();
    mapping.text_bytes_max = 512;
    let decoder = Decoder::new(Arc::from("t"), mapping, states());
    for (bytes, encoding, expected) in [
        (&b"{}"[..], "", Remedy::Topic),
        (b"7", "", Remedy::Topic),
        (b"{\"a\":\"\xb9\xca\"}", "", Remedy::Topic),
        (&cut, "gzip", Remedy::Sender),
        // Its beginning is missing.
        (&cut[1..], "gzip", Remedy::Sender),
        (b"\x1b\x02\x80", "br", Remedy::Sender),
        (b"", "", Remedy::Sender),
        (&much, "", Remedy::Limit),
    ] {
        let headers = headers(encoding);
        let [element] = decoder
            .split_message(&with_headers(bytes, &headers), received_at())
            .try_into()
            .unwrap();
        let undecodable = element.outcome.unwrap_err();
        assert_eq!(undecodable.remedy, expected, "{undecodable}");
        let names_options = undecodable.remedy.advice().contains("`encoding`");
        assert_eq!(names_options, expected == Remedy::Topic, "{undecodable}");
    }
}

#[test]
fn a_body_in_utf_8_that_the_topics_charset_fits_too_is_said_to_be() {
    let status = "{\"deviceId\":1,\"newState\":\"故障\"}";
    let (gbk, _, _) = encoding_rs::GBK.encode(status);
    let gzip = Coding::Gzip.of(status.as_bytes());
    let gbk_said = "application/json;charset=gbk";
    for (bytes, content_type, topics, expected) in [
        (status.as_bytes(), "", "gbk", true),
        (status.as_bytes(), "", "latin1", true),
        (&gzip, "", "gbk", true),
        (&gbk, "", "gbk", false),
        (b"{\"deviceId\":1,\"newState\":\"a\"}", "", "gbk", false),
        (
            status.as_bytes(),
            "application/json;charset=utf-8",
            "gbk",
            false,
        ),
        (status.as_bytes(), gbk_said, "gbk", false),
        (status.as_bytes(), "", "", false),
    ] {
        let mut mapping = Mapping::default();
        mapping.charset = Charset::named(topics);
        let decoder = Decoder::new(Arc::from("t"), mapping, states());
        let headers = json!({"content-type": content_type});
        let [element] = decoder
            .split_message(&with_headers(bytes, &headers), received_at())
            .try_into()
            .unwrap();
        assert!(element.outcome.is_ok());
        assert_eq!(
            element.doubts.is_utf8_too, expected,
            "{topics} {content_type}"
        );
    }
}

#[test]
fn an_undecodable_part_says_whether_it_was_read_as_utf_8() {
    let (gbk, _, _) = encoding_rs::GBK.encode("[\"故障\"]");
    let (cut, _, _) = encoding_rs::GBK.encode("[\"故障\"");
    let gzip = Coding::Gzip.of("[\"故障\"".as_bytes());
    for (bytes, topics, expected) in [
        ("[\"故障\"]".as_bytes(), "", true),
        ("\"故障\"".as_bytes(), "", true),
        ("{\"a\":\"故障\"".as_bytes(), "", true),
        ("[\"故障\"".as_bytes(), "", true),
        (&gbk, "", false),
        (&gbk, "gbk", true),
        // These are kept as they came.
        (&cut, "gbk", false),
        (&gzip, "", false),
    ] {
        let mut mapping = Mapping::default();
        mapping.charset = Charset::named(topics);
        let decoder = Decoder::new(Arc::from("t"), mapping, states());
        let [element] = decoder.split(bytes, received_at()).try_into().unwrap();
        assert!(element.outcome.is_err());
        assert_eq!(element.is_utf8, expected, "{:?}", element.raw);
    }
}

fn with_headers<'a>(bytes: &'a [u8], headers: &'a Value) -> Body<'a> {
    let header = |name: &str| headers[name].as_str().unwrap_or_default().into();
    Body {
        bytes,
        content_type: header("content-type"),
        content_encoding: header("content-encoding"),
    }
}

fn decode(decoder: &Decoder, body: &Body<'_>) -> Vec<Value> {
    let statuses = decoder.split_message(body, received_at());
    let statuses = statuses.into_iter().zip(1..);
    statuses
        .map(|(element, position)| {
            let event = decoder.event(&element.raw, origin(position), received_at(), None);
            match (element.outcome, event) {
                (Ok(key), Ok(mut event)) => {
                    assert_eq!(key.device_id, event.device_id);
                    assert_eq!(key.new_state, event.new_state);
                    // The payload's own text: a Value would round its numbers, or have no place for
                    // them.
                    let payload = std::mem::replace(&mut event.payload, Payload::null());
                    let mut value = serde_json::to_value(&event).expect("an event has a JSON form");
                    value["payload"] = payload.get().into();
                    let fields = element.doubts.fields().map(Field::name);
                    let fields = fields.chain(element.doubts.unmapped.then_some("[states]"));
                    value["unreadable"] = fields.collect::<Vec<_>>().into();
                    value
                }
                (Err(undecodable), Err(_)) => json!({"undecodable": undecodable.to_string()}),
                (split, event) => panic!("intake and delivery differ: {split:?}, {event:?}"),
            }
        })
        .collect()
}

fn decoder(written: &Value) -> Decoder {
    if written.is_null() {
        return platform();
    }
    let pointer = |value: &Value| -> Pointer {
        value
            .as_str()
            .unwrap_or("none")
            .parse()
            .expect("a JSON pointer")
    };
    let mut mapping = Mapping::default();
    mapping.items = written.get("items").map(pointer);
    mapping.event_key = written["event_key"]
        .as_array()
        .into_iter()
        .flatten()
        .map(pointer)
        .collect();
    for field in Field::ALL {
        if let Some(value) = written["fields"].get(field.name()) {
            mapping.set(field, Some(pointer(value)));
        }
    }
    let charset = written.get("encoding").and_then(Value::as_str);
    mapping.charset = charset.map(|name| Charset::named(name).expect("an encoding"));
    let mut constants = Constants::default();
    for field in Field::ALL {
        if let Some(constant) = written["constants"][field.name()].as_str() {
            constants.set_text(field, constant);
        }
    }
    Decoder::new(Arc::from("mapped"), mapping, states()).with_constants(constants)
}

fn platform() -> Decoder {
    Decoder::new(Arc::from("map-1"), Mapping::default(), states())
}

fn states() -> Arc<States> {
    let state = |word: &str, name: &str, severity| {
        (
            word.to_owned(),
            State {
                name: name.to_owned(),
                severity,
            },
        )
    };
    let words = HashMap::from([
        state("正常", "normal", Severity::Ok),
        state("故障", "fault", Severity::Critical),
        state("离线", "offline", Severity::Warning),
    ]);
    Arc::new(States { words })
}

fn origin(position: i64) -> Origin {
    Origin {
        journal: Uuid::from_u128(1),
        position: Position(position),
    }
}

fn received_at() -> jiff::Timestamp {
    "2026-01-02T03:04:05.678901Z".parse().expect("an instant")
}
