//! `stomp-bridge dlq list`: a page of the dead letters and of the undecodable entries, and how many
//! there are of each.

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::number::whole;
use super::print::{bytes, fitted, json, local_time, one_line, say, tell, zone_name};
use super::target::{Target, account};
use super::terminal::{columns, hanging};
use super::why::Readings;
use crate::journal::{DeadLetter, DlqTotal, Reader};
use crate::model::Position;

/// What a screen and a person take in; --limit says otherwise.
const LIMIT: u64 = 100;

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    target: Target,
    /// Only the dead letters of this sink.
    sink: Option<String>,
    /// Only undecodable entries, which belong to no sink.
    #[arg(long, conflicts_with = "sink")]
    undecodable: bool,
    /// List at most this number of entries.
    #[arg(long, value_name = "N", default_value_t = LIMIT, allow_negative_numbers = true, value_parser = whole::<u64>(1, u64::MAX))]
    limit: u64,
    /// Leave out the first entries: the next page of a list.
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true, value_parser = whole::<u64>(0, u64::MAX))]
    offset: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A dead letter, or an undecodable entry: one line of the list.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    /// `None`: undecodable at intake.
    pub(super) sink: Option<String>,
    pub(super) position: Position,
    pub(super) at: Timestamp,
    pub(super) error: String,
}

/// How many entries there are of one kind, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
struct Total {
    entries: u64,
    bytes: u64,
}

/// A page of the list, and what there is of what was asked for.
#[derive(Debug, Serialize)]
struct Page {
    entries: Vec<Listed>,
    offset: u64,
    /// Of the sink that was asked for, or of all; `None`: nobody has asked.
    dead_letters: Option<Total>,
    /// Those that the journal has, asked for or not.
    undecodable: Total,
    #[serde(skip)]
    sink: Option<String>,
    #[serde(skip)]
    is_undecodable_listed: bool,
    /// Of the times that people read: as `why` has them.
    #[serde(skip)]
    zone: TimeZone,
}

pub(super) async fn list(args: &ListArgs) -> anyhow::Result<()> {
    let mut reader = args.target.reader().await?;
    if let Some(sink) = &args.sink {
        account(&mut reader, sink).await?;
    }
    let zone = Readings::of(&args.target).zone(&args.target);
    let page = args.page(&mut reader, zone).await?;
    if args.json {
        return json(&page);
    }
    page.lines(columns()).iter().for_each(|line| say!("{line}"));
    if let Some(line) = page.left_out() {
        tell!("{line}");
    }
    Ok(())
}

impl ListArgs {
    async fn page(&self, reader: &mut Reader, zone: TimeZone) -> anyhow::Result<Page> {
        let sink = self.sink.as_deref();
        let (entries, bytes) = reader.undecodable_total().await?;
        let mut page = Page {
            entries: Vec::new(),
            offset: self.offset,
            dead_letters: None,
            undecodable: Total { entries, bytes },
            sink: self.sink.clone(),
            is_undecodable_listed: sink.is_none(),
            zone,
        };
        // The undecodable entries stand behind all dead letters.
        let mut offset = self.offset;
        if !self.undecodable {
            let totals = reader.dead_letter_totals().await?;
            let total = Total::of(&totals, sink);
            page.dead_letters = Some(total);
            let letters = reader.dead_letters_part(sink, self.offset, self.limit);
            page.entries = letters.await?.into_iter().map(Listed::from).collect();
            offset = offset.saturating_sub(total.entries);
        }
        let left = self.limit.saturating_sub(page.entries.len() as u64);
        if page.is_undecodable_listed && left > 0 {
            let undecodable = reader.undecodable_part(offset, left).await?;
            let undecodable = undecodable.into_iter().map(Listed::from);
            page.entries.extend(undecodable);
        }
        Ok(page)
    }
}

impl From<DeadLetter> for Listed {
    fn from(letter: DeadLetter) -> Listed {
        Listed {
            sink: Some(letter.sink),
            position: letter.position,
            at: letter.at,
            error: letter.error,
        }
    }
}

impl From<(Position, Timestamp, String)> for Listed {
    fn from((position, at, error): (Position, Timestamp, String)) -> Listed {
        Listed {
            sink: None,
            position,
            at,
            error,
        }
    }
}

impl Total {
    /// Of a sink; `None`: of all of them.
    fn of(totals: &[DlqTotal], sink: Option<&str>) -> Total {
        let wanted = totals
            .iter()
            .filter(|total| sink.is_none_or(|sink| total.sink == sink));
        wanted.fold(Total::default(), |sum, total| Total {
            entries: sum.entries + total.entries,
            bytes: sum.bytes + total.bytes,
        })
    }

    fn in_words(self, one: &str, several: &str) -> String {
        let name = if self.entries == 1 { one } else { several };
        format!("{} {name}, {}", self.entries, bytes(self.bytes))
    }
}

impl Page {
    /// All that was asked for, whatever stands on this page.
    fn wanted(&self) -> u64 {
        let dead_letters = self.dead_letters.unwrap_or_default().entries;
        match self.is_undecodable_listed {
            true => dead_letters + self.undecodable.entries,
            false => dead_letters,
        }
    }

    fn lines(&self, columns: Option<usize>) -> Vec<String> {
        if self.wanted() == 0 {
            let nothing = match (&self.sink, self.dead_letters) {
                (Some(sink), _) => format!("no dead letters of {sink}"),
                (None, None) => "nothing undecodable".to_owned(),
                (None, Some(_)) => "no dead letters, and nothing undecodable".to_owned(),
            };
            return hanging(&nothing, 2, columns);
        }
        let mut lines = match self.entries.is_empty() {
            true => Vec::new(),
            false => rows(&self.entries, &self.zone, columns),
        };
        lines.push(String::new());
        lines.extend(hanging(&self.totals(), 2, columns));
        lines
    }

    /// The last line: how many there are, and how to see the others.
    fn totals(&self) -> String {
        let dead_letters = self
            .dead_letters
            .map(|total| total.in_words("dead letter", "dead letters"));
        let undecodable = self
            .is_undecodable_listed
            .then(|| self.undecodable.in_words("undecodable", "undecodable"));
        let totals: Vec<String> = dead_letters.into_iter().chain(undecodable).collect();
        let totals = totals.join("; ");
        let shown = self.entries.len() as u64;
        let next = self.offset.saturating_add(shown);
        match (shown, self.wanted()) {
            (0, wanted) => format!("{totals}: --offset {} is behind all {wanted}", self.offset),
            (shown, wanted) if shown == wanted => totals,
            (_, wanted) => {
                let first = self.offset + 1;
                let more = match next < wanted {
                    true => format!("; the next: --offset {next}"),
                    false => String::new(),
                };
                format!("{first} to {next} of {wanted}: {totals}{more}")
            }
        }
    }

    /// What a list of one sink's dead letters does not show.
    fn left_out(&self) -> Option<String> {
        let entries = match (self.is_undecodable_listed, self.undecodable.entries) {
            (true, _) | (_, 0) => return None,
            (false, 1) => "1 undecodable entry belongs",
            (false, entries) => &format!("{entries} undecodable entries belong"),
        };
        Some(format!(
            "{entries} to no sink: see `stomp-bridge dlq list --undecodable`"
        ))
    }
}

fn rows(listed: &[Listed], zone: &TimeZone, columns: Option<usize>) -> Vec<String> {
    let since = format!("SINCE ({})", zone_name(zone));
    let head = ["SINK", "POSITION", &since, "WHY"].map(str::to_owned);
    let row = |listed: &Listed| {
        let sink = listed
            .sink
            .clone()
            .unwrap_or_else(|| "(undecodable)".to_owned());
        [
            sink,
            listed.position.to_string(),
            local_time(listed.at, zone),
            one_line(&listed.error),
        ]
    };
    fitted(columns, std::iter::once(head).chain(listed.iter().map(row)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(sink: Option<&str>, dead_letters: Option<u64>, undecodable: u64) -> Page {
        let total = |entries| Total {
            entries,
            bytes: entries * 1024,
        };
        Page {
            entries: Vec::new(),
            offset: 0,
            dead_letters: dead_letters.map(total),
            undecodable: total(undecodable),
            sink: sink.map(str::to_owned),
            is_undecodable_listed: sink.is_none(),
            zone: TimeZone::get("Asia/Shanghai").unwrap(),
        }
    }

    fn with(page: Page, offset: u64, shown: usize) -> Page {
        let entry = |position| Listed {
            sink: Some("oncall".to_owned()),
            position: Position(position),
            at: Timestamp::UNIX_EPOCH,
            error: "no".to_owned(),
        };
        Page {
            entries: (1..).map(entry).take(shown).collect(),
            offset,
            ..page
        }
    }

    #[test]
    fn a_list_of_one_sink_names_what_it_leaves_out() {
        let told =
            "1 undecodable entry belongs to no sink: see `stomp-bridge dlq list --undecodable`";
        let of_sink = |undecodable| page(Some("oncall"), Some(0), undecodable);
        assert_eq!(of_sink(1).left_out().as_deref(), Some(told));
        assert_eq!(of_sink(1).lines(None), ["no dead letters of oncall"]);
        let several = of_sink(13).left_out().expect("13 entries");
        assert!(several.starts_with("13 undecodable entries belong to no sink"));
        assert_eq!(of_sink(0).left_out(), None);
        assert_eq!(page(None, Some(0), 1).left_out(), None);
        assert_eq!(page(None, None, 0).lines(None), ["nothing undecodable"]);
        let none = page(None, Some(0), 0).lines(None);
        assert_eq!(none, ["no dead letters, and nothing undecodable"]);
    }

    #[test]
    fn a_page_says_how_many_there_are_and_which_is_the_next() {
        let check = |page: Page, expected: &str| {
            let lines = page.lines(None);
            if !page.entries.is_empty() {
                assert!(lines[0].contains("SINCE (Asia/Shanghai)"), "{lines:?}");
                assert!(lines[1].contains("1970-01-01 08:00:00"), "{lines:?}");
            }
            assert_eq!(lines.last().map(String::as_str), Some(expected));
        };
        let all = || page(None, Some(3), 2);
        let totals = "3 dead letters, 3 KiB; 2 undecodable, 2 KiB";
        check(with(all(), 0, 5), totals);
        check(
            with(all(), 0, 2),
            &format!("1 to 2 of 5: {totals}; the next: --offset 2"),
        );
        check(with(all(), 2, 3), &format!("3 to 5 of 5: {totals}"));
        check(
            with(all(), 9, 0),
            &format!("{totals}: --offset 9 is behind all 5"),
        );
        check(
            with(page(Some("oncall"), Some(1), 7), 0, 1),
            "1 dead letter, 1 KiB",
        );
        check(with(page(None, None, 7), 0, 7), "7 undecodable, 7 KiB");
    }
}
