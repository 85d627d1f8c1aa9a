//! Frames that break rules, at random, for the tests of the codec and of the source.

use proptest::prelude::*;

/// How far a content-length may be from the body's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lengths {
    /// Anything.
    Any,
    /// So little that what comes behind shows at once that it is wrong.
    Near,
}

/// A frame that ends with its only NUL. Where it is good enough, it is a message of this
/// subscription.
pub(crate) fn odd_frame(
    subscription: &'static str,
    destination: &'static str,
    lengths: Lengths,
) -> impl Strategy<Value = Vec<u8>> {
    let command = prop::sample::select(vec![
        "MESSAGE",
        "MESSAGE\r",
        "message ",
        "RECEIPT",
        "CONNECTED",
        "PING",
        "SEND",
        "\u{feff}MESSAGE",
        "=",
        "a command that is too long to be one",
    ]);
    let lines = prop::collection::vec(line(subscription, destination, lengths), 0..14);
    let body = prop_oneof![
        prop::collection::vec(1..=255_u8, 0..40),
        (200..400_usize).prop_map(|length| vec![b'b'; length]),
    ];
    let length = match lengths {
        Lengths::Any => prop_oneof![
            (-4..5_i64).prop_map(Ok),
            (6..6000_i64).prop_map(Ok),
            any::<u64>().prop_map(Err),
        ]
        .boxed(),
        Lengths::Near => (-4..5_i64).prop_map(Ok).boxed(),
    };
    let parts = (command, lines, prop::option::of(length), body);
    parts.prop_map(|(command, lines, length, body)| {
        let mut frame = format!("{command}\n").into_bytes();
        if let Some(length) = length {
            let length = match length {
                Ok(more) => (body.len() as i64 + more).to_string(),
                Err(any) => any.to_string(),
            };
            frame.extend_from_slice(format!("content-length:{length}\n").as_bytes());
        }
        for line in &lines {
            frame.extend_from_slice(line);
            frame.push(b'\n');
        }
        [&frame[..], b"\n", &body, b"\0"].concat()
    })
}

fn line(
    subscription: &str,
    destination: &str,
    lengths: Lengths,
) -> impl Strategy<Value = Vec<u8>> + use<> {
    let mut known: Vec<String> = [
        "subscription:who",
        "ack:1",
        "ack:",
        "message-id:a:b",
        "no colon",
        "a:b",
        "a:\\t\\",
        "\\c:\\n",
        ":",
        "",
        "\r",
        " ",
        "x\r",
        "MESSAGE",
        "content-length:3",
        "content-length:-1",
        "content-length: 4",
    ]
    .map(str::to_owned)
    .to_vec();
    known.extend([
        format!("subscription:{subscription}"),
        format!("subscription : {subscription}"),
        format!("destination:{destination}"),
    ]);
    if lengths == Lengths::Any {
        known.push("content-length:5000".to_owned());
    }
    prop_oneof![
        8 => prop::sample::select(known).prop_map(String::into_bytes),
        1 => (0..200_usize).prop_map(|length| [b"long:", &vec![b'x'; length][..]].concat()),
        2 => prop::collection::vec(1..=255_u8, 0..12),
    ]
}
