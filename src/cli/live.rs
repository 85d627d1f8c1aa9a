//! The live line of one status, as `demo` and `tap` print it:
//! `12:03:04 map-1 device 1/1 5223…  normal -> fault`, with the device's name where it has one.

use std::io::Write;

use super::print::is_harmful;
use super::terminal::{PLAIN, colour, has_colours};
use crate::excerpt::beginning;
use crate::model::{StatusEvent, device_name};
use crate::pipeline::Decoder;

/// Characters of a serial number that are shown.
const SERIAL_CHARS: usize = 4;

/// Prints the line; in the severity's colour where the state has changed and somebody looks.
pub(super) fn print(event: &StatusEvent, decoder: &Decoder) -> std::io::Result<()> {
    let text = line(event, decoder);
    let mut out = std::io::stdout();
    if event.changed && has_colours() {
        writeln!(out, "{}{text}{PLAIN}", colour(event.severity))
    } else {
        writeln!(out, "{text}")
    }
}

/// Both states in the vocabulary's words, where it has them.
pub(super) fn line(event: &StatusEvent, decoder: &Decoder) -> String {
    let time = event
        .received_at
        .to_zoned(jiff::tz::TimeZone::system())
        .strftime("%H:%M:%S");
    let serial = beginning(event.serial.as_deref().unwrap_or("-"), SERIAL_CHARS);
    let old = event
        .old_state
        .as_deref()
        .map_or("-", |old| decoder.state_name(old));
    let mark = if event.changed { "->" } else { " =" };
    let (topic, device) = (
        &event.topic,
        device_name(&event.client_id, &event.device_id),
    );
    let name = event.label.as_ref().and_then(|label| label.name.as_deref());
    let name = name.map(|name| format!(" {name}")).unwrap_or_default();
    printable(&format!(
        "{time} {topic} device {device}{name} {serial}  {old} {mark} {}",
        event.state
    ))
}

/// What a peer wrote must not move the cursor or paint the terminal.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_harmful(letter) {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use super::*;
    use crate::model::{Origin, Position, Severity};
    use crate::pipeline::{Mapping, State, States};

    fn check(body: &str, expected: &str) {
        let fault = State {
            name: "fault".to_owned(),
            severity: Severity::Critical,
        };
        let states = Arc::new(States {
            words: HashMap::from([("故障".to_owned(), fault)]),
        });
        let decoder = Decoder::new("map-1".into(), Mapping::default(), states);
        let origin = Origin {
            journal: uuid::Uuid::nil(),
            position: Position(1),
        };
        let event = decoder
            .event(body.as_bytes(), origin, jiff::Timestamp::UNIX_EPOCH, None)
            .unwrap();
        let line = line(&event, &decoder);
        let (time, rest) = line.split_once(' ').unwrap();
        assert_eq!((time.len(), rest), (8, expected));
    }

    #[test]
    fn states_are_named_by_the_vocabulary_where_it_has_them() {
        let body = |old: &str, new: &str| {
            format!(
                r#"{{"clientId":1,"deviceId":2,"sn":"522398","oldState":"{old}","newState":"{new}"}}"#
            )
        };
        check(
            &body("故障", "故障"),
            "map-1 device 1/2 5223…  fault  = fault",
        );
        check(
            &body("着火", "故障"),
            "map-1 device 1/2 5223…  着火 -> fault",
        );
        check(
            &body("故障", "\\u001b[2J\\u202e"),
            "map-1 device 1/2 5223…  fault -> \\u{1b}[2J\\u{202e}",
        );
        check(
            r#"{"clientId":1,"deviceId":2,"newState":"故障"}"#,
            "map-1 device 1/2 -  -  = fault",
        );
        check(
            r#"{"clientId":1,"deviceId":2,"sn":"SN8","newState":"故障"}"#,
            "map-1 device 1/2 SN8  -  = fault",
        );
    }
}
