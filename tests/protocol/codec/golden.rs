//! What real servers were seen to send, and what it means.

use bytes::Bytes;
use stomp_bridge::stomp::{Command, Frame, Headers, Version};

/// A frame of any headers and body.
pub(crate) fn frame(command: Command, headers: &[(&str, &str)], body: &[u8]) -> Frame {
    let headers: Headers = headers.iter().copied().collect();
    Frame {
        command,
        headers,
        body: Bytes::copy_from_slice(body),
        missing_bytes: 0,
        mistake: None,
    }
}

/// A name, the version that is agreed by then, the stream and its frames.
type Golden = (&'static str, Option<Version>, &'static [u8], Vec<Frame>);

/// One stream and more of each server that we know.
pub(crate) fn golden() -> Vec<Golden> {
    use Command::{Connected, Error, Message, Receipt};
    vec![
        (
            "Spring: no server, no LF after NUL, escapes, no ack",
            Some(Version::V1_2),
            b"MESSAGE\ndestination:/topic/a\nreceipt:r2\ncontent-type:text/plain\nx-h:a\\cb\\nc\nsubscription:1\n\
              message-id:3-0\ncontent-length:3\n\nh\xc3\xa9\0ERROR\nmessage:Session closed.\ncontent-length:0\n\n\0\
              RECEIPT\nreceipt-id:bye\n\n\0",
            vec![
                frame(
                    Message,
                    &[
                        ("destination", "/topic/a"),
                        ("receipt", "r2"),
                        ("content-type", "text/plain"),
                        ("x-h", "a:b\nc"),
                        ("subscription", "1"),
                        ("message-id", "3-0"),
                        ("content-length", "3"),
                    ],
                    "hé".as_bytes(),
                ),
                frame(Error, &[("message", "Session closed."), ("content-length", "0")], b""),
                frame(Receipt, &[("receipt-id", "bye")], b""),
            ],
        ),
        (
            "Spring: CONNECTED",
            None,
            b"CONNECTED\nversion:1.2\nheart-beat:1000,1000\n\n\0",
            vec![frame(Connected, &[("version", "1.2"), ("heart-beat", "1000,1000")], b"")],
        ),
        (
            "RabbitMQ: LF after NUL, unescaped colons elsewhere",
            Some(Version::V1_2),
            b"MESSAGE\nsubscription:0\ndestination:/queue/q1\nmessage-id:T_0@@session-x@@1\nredelivered:false\n\
              ack:T_0:y@@session-x@@1\nx-custom:a\\cb\\\\c\\nd\ncontent-length:2\n\nm0\0\n\n\n",
            vec![frame(
                Message,
                &[
                    ("subscription", "0"),
                    ("destination", "/queue/q1"),
                    ("message-id", "T_0@@session-x@@1"),
                    ("redelivered", "false"),
                    ("ack", "T_0:y@@session-x@@1"),
                    ("x-custom", "a:b\\c\nd"),
                    ("content-length", "2"),
                ],
                b"m0",
            )],
        ),
        (
            "RabbitMQ: CONNECTED and ERROR before a version is agreed",
            None,
            b"CONNECTED\nserver:RabbitMQ/3.10.8\nsession:session-AqLbz\nheart-beat:0,0\nversion:1.2\n\n\0\n\
              ERROR\nmessage:Bad CONNECT\ncontent-type:text/plain\nversion:1.0,1.1,1.2\ncontent-length:30\n\n\
              Access refused for user 'lab'\n\0\n",
            vec![
                frame(
                    Connected,
                    &[
                        ("server", "RabbitMQ/3.10.8"),
                        ("session", "session-AqLbz"),
                        ("heart-beat", "0,0"),
                        ("version", "1.2"),
                    ],
                    b"",
                ),
                frame(
                    Error,
                    &[
                        ("message", "Bad CONNECT"),
                        ("content-type", "text/plain"),
                        ("version", "1.0,1.1,1.2"),
                        ("content-length", "30"),
                    ],
                    b"Access refused for user 'lab'\n",
                ),
            ],
        ),
        (
            "ActiveMQ: CONNECTED is not escaped",
            None,
            b"CONNECTED\nserver:ActiveMQ/5.17.2\nheart-beat:0,0\nsession:ID:vm-39257-x-3:2\nversion:1.2\n\n\0\n",
            vec![frame(
                Connected,
                &[
                    ("server", "ActiveMQ/5.17.2"),
                    ("heart-beat", "0,0"),
                    ("session", "ID:vm-39257-x-3:2"),
                    ("version", "1.2"),
                ],
                b"",
            )],
        ),
        (
            "ActiveMQ: text without content-length, escaped ids, an empty line in the body",
            Some(Version::V1_2),
            b"MESSAGE\nexpires:0\nack:ID\\cvm-x-4\\c1\nmessage-id:ID\\cvm-x\\c1\n\nm0\n\n\r\n0m\0\n",
            vec![frame(
                Message,
                &[("expires", "0"), ("ack", "ID:vm-x-4:1"), ("message-id", "ID:vm-x:1")],
                b"m0\n\n\r\n0m",
            )],
        ),
        (
            "ActiveMQ: ERROR before CONNECTED is written as 1.0",
            None,
            b"ERROR\nmessage:no user C:\\temp\\x\n\ntrace\0\n",
            vec![frame(Error, &[("message", "no user C:\\temp\\x")], b"trace")],
        ),
        (
            "CRLF line ends, heart-beats and stray NULs between frames, NUL and LF in a counted body",
            Some(Version::V1_2),
            b"\n\r\n\0\nMESSAGE\r\na:1\r\na:2\r\ncontent-length:6\r\ncontent-length:1\r\n\r\n\0\n\n\r\0\n\0\r\n\n\0\0\nMESSAGE\n\n\0",
            vec![
                frame(
                    Message,
                    &[("a", "1"), ("a", "2"), ("content-length", "6"), ("content-length", "1")],
                    b"\0\n\n\r\0\n",
                ),
                frame(Message, &[], b""),
            ],
        ),
        (
            "a CRLF blank line before a body without content-length",
            Some(Version::V1_2),
            b"MESSAGE\r\na:b\\r\r\n\r\n\nbody\r\n\0",
            vec![frame(Message, &[("a", "b\r")], b"\nbody\r\n")],
        ),
        (
            "1.0: padding, no escapes",
            Some(Version::V1_0),
            b"MESSAGE\nmessage-id: a\\cb:c \ncontent-length : 2 \n\na\0\0",
            vec![frame(Message, &[("message-id", "a\\cb:c"), ("content-length", "2")], b"a\0")],
        ),
    ]
}
