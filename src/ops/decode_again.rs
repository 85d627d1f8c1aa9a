//! Decodes undecodable entries again, with the configuration that the daemon runs with, and has what
//! can be decoded by now delivered. An entry that still cannot be stays where it is.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::control::{Refusal, Reply};
use super::redecoded::{self, Batch, Part, Redecoded};
use super::view::View;
use crate::journal::{Entry, Reader, Which};
use crate::model::Position;
use crate::pipeline::{Decoder, Element};
use crate::secret::redact;

/// Positions that are looked up at once.
const POSITIONS_MAX: u32 = 256;

/// No entry is begun after this time: the answer is there before anybody gives up waiting for it.
const TIME_MAX: Duration = Duration::from_secs(10);

/// The statuses of a body; all of them must be decodable.
///
/// # Errors
/// Why they are not.
pub fn parts(decoder: &Decoder, body: &[u8]) -> Result<Vec<Part>, String> {
    let part = |element: Element<'_>| {
        element
            .outcome
            .map_err(|undecodable| undecodable.to_string())?;
        Ok(match element.raw {
            Cow::Borrowed(raw) => {
                let start = raw.as_ptr() as usize - body.as_ptr() as usize;
                Part::Range(start..start + raw.len())
            }
            Cow::Owned(raw) => Part::Text(String::from_utf8_lossy(&raw).into_owned()),
        })
    };
    let elements = decoder.split(body, Timestamp::now()).into_iter();
    let parts: Vec<_> = elements
        .filter(|element| !element.ignored)
        .map(part)
        .collect::<Result<_, String>>()?;
    if parts.is_empty() {
        let reason = "no status is left of it, by the topic's `ignore` or since it is an empty \
                      array: run `stomp-bridge dlq drop`";
        return Err(reason.to_owned());
    }
    Ok(parts)
}

/// What became of the entries that were looked at.
#[derive(Debug, Default)]
struct Tally {
    entries: u64,
    left: u64,
    /// Why the first of those stays.
    why: Option<String>,
}

impl Tally {
    fn stays(&mut self, position: Position, why: &str) {
        self.left += 1;
        self.why
            .get_or_insert_with(|| format!("entry {position}: {why}"));
    }

    async fn redrive(&mut self, view: &View, batch: Vec<Redecoded>) -> Result<(), Refusal> {
        let outcome = redecoded::redrive(&view.journal, batch).await?;
        self.entries += outcome.entries;
        for (position, why) in outcome.refused {
            self.stays(position, &why);
        }
        Ok(())
    }
}

/// Decodes these entries.
///
/// # Errors
/// None of them can be decoded, or the journal has failed.
pub(super) async fn decode_again(view: &View, which: Which) -> Result<Reply, Refusal> {
    let mut reader = view.journal.log.reader().await?;
    // The parts of an entry are appended: they are not asked for.
    let head = view.journal.log.status().head;
    let (mut tally, mut batch) = (Tally::default(), Batch::default());
    let until = Instant::now() + TIME_MAX;
    let mut after = Position::START;
    'pages: loop {
        let page = reader.undecodable_page(after, POSITIONS_MAX, 0).await?;
        let Some(last) = page.last().map(|letter| letter.position) else {
            break;
        };
        after = last;
        let positions = page.into_iter().map(|letter| letter.position);
        for position in positions.take_while(|position| *position <= head) {
            let is_wanted = match &which {
                Which::All => true,
                Which::Positions(wanted) => wanted.contains(&position),
            };
            if !is_wanted {
                continue;
            }
            if Instant::now() >= until {
                tally.left += 1;
                let why = || "there was no time for more: try again".to_owned();
                tally.why.get_or_insert_with(why);
                break 'pages;
            }
            match decoded(view, &mut reader, position).await? {
                Ok(entry) => {
                    if let Some(full) = batch.add(entry) {
                        tally.redrive(view, full).await?;
                    }
                }
                Err(why) => tally.stays(position, &why),
            }
            tokio::task::yield_now().await;
        }
        if after >= head {
            break;
        }
    }
    if let Some(rest) = batch.take() {
        tally.redrive(view, rest).await?;
    }
    let Tally { entries, left, why } = tally;
    let why = why.map(|why| redact(&why).into_owned());
    match (entries, why) {
        (0, Some(why)) => Err(Refusal::Senseless(why)),
        (0, None) => Err(Refusal::Senseless(
            "there is no such undecodable entry: it was decoded or dropped meanwhile".to_owned(),
        )),
        (entries, why) => Ok(Reply {
            left,
            why,
            ..Reply::of(entries)
        }),
    }
}

/// An entry as it can be decoded by now; the inner error: why it cannot.
async fn decoded(
    view: &View,
    reader: &mut Reader,
    position: Position,
) -> Result<Result<Redecoded, String>, Refusal> {
    let Some(Entry { topic, body, .. }) = reader.entry(position).await? else {
        return Ok(Err("it is no longer there".to_owned()));
    };
    let decoders = view.decoders.current();
    let Some(decoder) = decoders.get(&topic) else {
        return Ok(Err(format!(
            "topic {topic} is no longer in the configuration: add it to decode this"
        )));
    };
    Ok(parts(decoder, &body).map(|parts| Redecoded { position, parts }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::pipeline::{Mapping, States};

    fn text<'a>(part: &'a Part, body: &'a str) -> &'a str {
        match part {
            Part::Range(range) => &body[range.clone()],
            Part::Text(text) => text,
        }
    }

    #[test]
    fn parts_are_the_statuses_of_a_body() {
        let decoder = Decoder::new(
            "map-1".into(),
            Mapping::default(),
            Arc::new(States::default()),
        );
        let status = |id| format!(r#"{{"deviceId":{id},"newState":"a"}}"#);
        let body = format!("[{}, {}]", status(1), status(2));
        let found = parts(&decoder, body.as_bytes()).unwrap();
        let found: Vec<&str> = found.iter().map(|part| text(part, &body)).collect();
        assert_eq!(found, [status(1), status(2)]);
        let [whole] = parts(&decoder, status(1).as_bytes())
            .unwrap()
            .try_into()
            .unwrap();
        assert_eq!(whole, Part::Range(0..status(1).len()));
        assert!(parts(&decoder, format!("[{}, 7]", status(1)).as_bytes()).is_err());
        let within_a_text = serde_json::to_string(&status(1)).unwrap();
        let found = parts(&decoder, within_a_text.as_bytes());
        assert_eq!(found, Ok(vec![Part::Text(status(1))]));
        assert!(parts(&decoder, b"[]").is_err());
    }
}
