//! `tap --frames`: what crosses the wire, as a browser's STOMP client writes it to its console,
//! without the secrets.

use std::borrow::Cow;
use std::io::{self, Write};

use bytes::Bytes;
use serde::Serialize;

use super::live::printable;
use crate::secret::is_secret_name;
use crate::source::{Credentials, Observer, WireTrace};
use crate::stomp::{Command, Decoder, Frame, HEARTBEAT, Limits, Version};

/// How it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The time and `>>> SUBSCRIBE`, headers, an empty line, the body, an empty line.
    Console,
    /// One JSON object a line.
    Json,
}

/// Prints frames to `out`; values of the sign-in stand in their headers by name. The
/// session reads the stream, too: it reports bytes that are no STOMP.
pub(super) fn watch(
    form: Form,
    limits: Limits,
    credentials: &Credentials,
    out: impl Write + Send + 'static,
) -> Observer {
    let (sent, received, credentials) = (
        Decoder::new(limits),
        Decoder::new(limits),
        credentials.clone(),
    );
    let mut frames = Frames {
        form,
        sent,
        received,
        credentials,
        out,
    };
    Box::new(move |trace| frames.show(trace))
}

struct Frames<W> {
    form: Form,
    sent: Decoder,
    received: Decoder,
    credentials: Credentials,
    out: W,
}

#[derive(Debug, Clone, Copy)]
enum Direction {
    Sent,
    Received,
}

impl<W: Write> Frames<W> {
    fn show(&mut self, trace: WireTrace<'_>) -> io::Result<()> {
        let (direction, bytes) = match trace {
            WireTrace::Sent(bytes) => (Direction::Sent, bytes),
            WireTrace::Received(bytes) => (Direction::Received, bytes),
        };
        // Alone, it is a heart-beat; else it ends a frame, as RabbitMQ's do.
        if **bytes == [HEARTBEAT] && self.decoder(direction).unfinished_bytes() == 0 {
            return self.heartbeat(direction);
        }
        self.decoder(direction).feed(Bytes::clone(bytes));
        while let Ok(Some(frame)) = self.decoder(direction).next() {
            if frame.command == Command::Connected {
                let version = frame
                    .headers
                    .get("version")
                    .and_then(|version| Version::from_wire(version.trim()));
                self.sent.set_version(version.unwrap_or(Version::V1_0));
                self.received.set_version(version.unwrap_or(Version::V1_0));
            }
            self.frame(direction, &frame)?;
        }
        Ok(())
    }

    fn decoder(&mut self, direction: Direction) -> &mut Decoder {
        match direction {
            Direction::Sent => &mut self.sent,
            Direction::Received => &mut self.received,
        }
    }

    fn heartbeat(&mut self, direction: Direction) -> io::Result<()> {
        let at = time();
        match (self.form, direction) {
            (Form::Console, Direction::Sent) => writeln!(self.out, "{at} >>> PING\n"),
            (Form::Console, Direction::Received) => writeln!(self.out, "{at} <<< PONG\n"),
            (Form::Json, _) => self.json(direction, "HEARTBEAT", Vec::new(), "", 0),
        }
    }

    fn frame(&mut self, direction: Direction, frame: &Frame) -> io::Result<()> {
        let headers = frame.headers.iter();
        let headers: Vec<(Cow<'_, str>, Cow<'_, str>)> = headers
            .map(|(name, value)| match is_secret(frame.command, &name) {
                true => (name, "…".into()),
                false => (name, self.credentials.redact(&value).into()),
            })
            .collect();
        let mut body = String::from_utf8_lossy(&frame.body);
        if frame.command == Command::Error {
            // It may say again what it does not like.
            body = self.credentials.redact(&body).into();
        }
        if self.form == Form::Json {
            return self.json(
                direction,
                frame.command.as_str(),
                headers,
                &body,
                frame.missing_bytes,
            );
        }
        let arrow = match direction {
            Direction::Sent => ">>>",
            Direction::Received => "<<<",
        };
        writeln!(self.out, "{} {arrow} {}", time(), frame.command)?;
        for (name, value) in headers {
            writeln!(self.out, "{}:{}", printable(&name), printable(&value))?;
        }
        if !body.is_empty() {
            writeln!(self.out)?;
            for line in body.lines() {
                writeln!(self.out, "{}", printable(&line.replace('\t', "    ")))?;
            }
        }
        if frame.missing_bytes > 0 {
            writeln!(self.out, "… and {} bytes more", frame.missing_bytes)?;
        }
        writeln!(self.out)
    }

    fn json(
        &mut self,
        direction: Direction,
        command: &str,
        headers: Vec<(Cow<'_, str>, Cow<'_, str>)>,
        body: &str,
        missing_bytes: usize,
    ) -> io::Result<()> {
        #[derive(Serialize)]
        struct Line<'a> {
            at: jiff::Timestamp,
            direction: &'static str,
            command: &'a str,
            headers: Vec<(Cow<'a, str>, Cow<'a, str>)>,
            body: &'a str,
            #[serde(skip_serializing_if = "is_zero")]
            missing_bytes: usize,
        }
        let direction = match direction {
            Direction::Sent => "sent",
            Direction::Received => "received",
        };
        let line = Line {
            at: jiff::Timestamp::now(),
            direction,
            command,
            headers,
            body,
            missing_bytes,
        };
        serde_json::to_writer(&mut self.out, &line)?;
        writeln!(self.out)
    }
}

/// The local time of day, with its milliseconds: what belongs together is seen by it.
fn time() -> String {
    let now = jiff::Zoned::now();
    now.strftime("%H:%M:%S%.3f").to_string()
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants it so.
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Headers of CONNECT that anybody may see; what else is configured for it is taken for a
/// credential.
const OPEN: [&str; 5] = ["accept-version", "host", "heart-beat", "login", "client-id"];

fn is_secret(command: Command, name: &str) -> bool {
    match command {
        Command::Connect | Command::Stomp => {
            !OPEN.iter().any(|open| name.eq_ignore_ascii_case(open))
        }
        _ => is_secret_name(name),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn shown(form: Form, frames: &[(Direction, &str)]) -> String {
        let paper = Paper::default();
        let mut watch = watch(
            form,
            Limits {
                oversize_bytes_max: 1 << 20,
                ..Limits::with_body_bytes_max(32)
            },
            &credentials(),
            paper.clone(),
        );
        for (direction, text) in frames {
            let bytes = Bytes::copy_from_slice(text.as_bytes());
            match direction {
                Direction::Sent => watch(WireTrace::Sent(&bytes)).unwrap(),
                Direction::Received => watch(WireTrace::Received(&bytes)).unwrap(),
            }
        }
        let text = paper.0.lock().unwrap().clone();
        without_times(&String::from_utf8(text).unwrap())
    }

    /// Each arrow has a time before it.
    fn without_times(text: &str) -> String {
        let line = |line: &str| {
            let time = line.split_once(' ').filter(|(time, rest)| {
                let is_arrow = rest.starts_with(">>>") || rest.starts_with("<<<");
                is_arrow && jiff::civil::Time::strptime("%H:%M:%S%.f", time).is_ok()
            });
            assert!(time.is_some() || !line.starts_with(['>', '<']), "{line}");
            time.map_or(line, |(_, rest)| rest).to_owned()
        };
        text.split('\n').map(line).collect::<Vec<_>>().join("\n")
    }

    fn credentials() -> Credentials {
        Credentials::new([("code".into(), "c0de".into())], Default::default())
    }

    use Direction::{Received, Sent};

    #[test]
    fn frames_look_as_in_the_browsers_console() {
        let text = shown(
            Form::Console,
            &[
                (
                    Sent,
                    "CONNECT\naccept-version:1.1,1.0\nheart-beat:10000,10000\n\n\0",
                ),
                (Received, "CONNECTED\nversion:1.1\nheart-beat:0,0\n\n\0"),
                (Received, "\n"),
                (Sent, "\n"),
                (
                    Sent,
                    "SUBSCRIBE\nid:map-1\ndestination:/topic/state/1\n\n\0",
                ),
                (Received, "MESSAGE\ndestination:/topic/st"),
                (Received, "ate/1\ncontent-length:8\n\n{\"a\": 1}\0\n"),
            ],
        );
        let expected = ">>> CONNECT\naccept-version:1.1,1.0\nheart-beat:10000,10000\n\n\
                        <<< CONNECTED\nversion:1.1\nheart-beat:0,0\n\n<<< PONG\n\n>>> PING\n\n\
                        >>> SUBSCRIBE\nid:map-1\ndestination:/topic/state/1\n\n\
                        <<< MESSAGE\ndestination:/topic/state/1\ncontent-length:8\n\n{\"a\": 1}\n\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn secrets_are_masked_in_either_form() {
        let connect = "CONNECT\nhost:/\nlogin:lab\npasscode:s3cret\nAuthorization:Bearer s3cret\nX-Any:s3cret\n\n\0";
        let message = "MESSAGE\nx-auth-token:s3cret\nCookie:s3cret\nUser-Credentials:s3cret\nx-kind:plain\n\n\0";
        for form in [Form::Console, Form::Json] {
            let text = shown(form, &[(Sent, connect), (Received, message)]);
            assert!(!text.contains("s3cret"), "{text}");
            assert!(
                text.contains("lab") && text.contains("plain") && text.contains("passcode"),
                "{text}"
            );
        }
    }

    #[test]
    fn what_the_sign_in_has_given_is_shown_by_name_and_bodies_are_left_alone() {
        let text = shown(
            Form::Console,
            &[
                (Sent, "SUBSCRIBE\nid:a\ndestination:/topic/c0de/x\n\n\0"),
                (
                    Received,
                    "MESSAGE\ndestination:/topic/c0de/x\n\n{\"c0de\":1}\0",
                ),
                (Received, "ERROR\nmessage:no c0de\n\nno c0de\0"),
            ],
        );
        assert_eq!(
            text.matches("/topic/{{ signin.code }}/x").count(),
            2,
            "{text}"
        );
        assert_eq!(text.matches("c0de").count(), 1, "{text}");
        assert!(text.contains("{\"c0de\":1}"), "{text}");
    }

    #[test]
    fn a_body_cannot_write_to_the_terminal_and_a_long_one_is_cut() {
        let body = format!("a\n\x1b[2J{}", "x".repeat(60));
        let text = shown(
            Form::Console,
            &[(Received, &format!("ERROR\nmessage:\x07\n\n{body}\0"))],
        );
        assert!(
            text.starts_with("<<< ERROR\nmessage:\\u{7}\n\na\n\\u{1b}[2Jx"),
            "{text:?}"
        );
        assert!(text.ends_with("\n… and 34 bytes more\n\n"), "{text:?}");
    }

    #[test]
    fn json_is_one_object_a_line() {
        let text = shown(
            Form::Json,
            &[(Sent, "\n"), (Received, "MESSAGE\na:b\na:c\n\n{\n}\0")],
        );
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines[0]["command"], "HEARTBEAT");
        assert_eq!(lines[1]["direction"], "received");
        assert_eq!(
            lines[1]["headers"],
            serde_json::json!([["a", "b"], ["a", "c"]])
        );
        assert_eq!(lines[1]["body"], "{\n}");
    }
}
