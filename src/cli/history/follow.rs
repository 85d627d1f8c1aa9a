//! `stomp-bridge history events --follow`: statuses as they come. It goes on where the history is
//! away for a time, and where another file takes its place.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;

use super::answer::{OutputArgs, Shape, View, heading, look, say_left_out, table};
use super::below::Below;
use super::format::{Format, Printer};
use super::place::History;
use super::unknown::Wanted;
use crate::cli::print::{say, tell};
use crate::sinks::history::question::{Field, Filter, Order, Question, Value};
use crate::sinks::history::reader::{ReadError, Reader, Store};
use crate::sinks::history::row::Row;
use crate::sqlite_file::beside;

/// How often a history is asked whether something has come.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Statuses of one question, so that a busy history fills no memory.
const PAGE: i64 = 10_000;
/// Rows that are shown before those that come.
const BEFORE: usize = 10;
/// What keeps a history from being opened again is said after this number of attempts: a file that
/// is copied back is not whole before.
const TOLD_AT: u32 = 10;

/// Polls by sequence: what is stored later has a higher one.
pub(super) async fn follow(
    history: &mut History,
    (filter, wanted): (Filter, Wanted<'_>),
    output: &OutputArgs,
    shape: fn() -> Shape,
) -> anyhow::Result<()> {
    let before = output.limit.map_or(BEFORE, |limit| limit.get());
    let last = newest(&mut history.reader).await?;
    let question = Question::Events(Order::Newest);
    let mut rows = history
        .reader
        .rows(&question, &filter, Some(before))
        .await?;
    if rows.is_empty()
        && let Some(unknown) = wanted.unknown(history).await?
    {
        tell!("{unknown}; --follow waits for it");
    }
    rows.reverse();
    // Those that were stored between the two questions come now.
    rows.retain(|values| Row::new(question.fields(), values).integer("sequence") <= Some(last));
    let History {
        reader,
        labels,
        store,
        ..
    } = history;
    let view = View {
        labels,
        zone: reader.zone(),
        look: look(),
    };
    let mut printer = match output.format() {
        Format::Table => {
            heading(reader.name(), &reader.zone_name(), &filter, &view);
            None
        }
        format => Some(Printer::begin(format, question.fields(), labels)),
    };
    let store: &Store = store;
    let mut followed = Followed {
        store,
        has_writer: matches!(store, Store::Sqlite(path) if beside(path, "-shm").exists()),
        reader,
        filter,
        last,
        shown: Shown::before(&rows),
    };
    followed.shown.take(&mut rows);
    let mut below = Below::default();
    loop {
        match &mut printer {
            Some(printer) => {
                rows.iter()
                    .for_each(|values| printer.row(&Row::new(question.fields(), values)));
                printer.flush();
            }
            None if rows.is_empty() => {}
            None => {
                let table = table(&rows, &question, shape(), &view);
                let next = below.next(table, &view.look);
                next.lines.iter().for_each(|line| say!("{line}"));
                say_left_out(&next.left_out);
            }
        }
        rows = followed.next().await?;
    }
}

/// A history that is asked again and again.
struct Followed<'a> {
    /// Where it is, known since it was opened first: who opens and closes the file of a connection
    /// drops the connection's locks.
    store: &'a Store,
    /// A daemon writes it, and not only what copies a file to this place each night.
    has_writer: bool,
    reader: &'a mut Reader,
    filter: Filter,
    /// The statuses up to this sequence were asked for.
    last: i64,
    shown: Shown,
}

impl Followed<'_> {
    /// The next statuses.
    ///
    /// # Errors
    /// The question takes too long: it would again.
    async fn next(&mut self) -> Result<Vec<Vec<Value>>, ReadError> {
        loop {
            match self.page().await {
                Ok(Some(rows)) => return Ok(rows),
                Ok(None) => tokio::time::sleep(POLL_INTERVAL).await,
                Err(error @ ReadError::Slow(..)) => return Err(error),
                Err(error) => self.open_again(error).await,
            }
        }
    }

    /// A page of what has come; `None`: nothing has.
    async fn page(&mut self) -> Result<Option<Vec<Vec<Value>>>, ReadError> {
        let newest = newest(self.reader).await?;
        if newest <= self.last {
            return Ok(None);
        }
        let through = newest.min(self.last.saturating_add(PAGE));
        let question = Question::EventsBetween(self.last, through);
        let mut rows = self.reader.rows(&question, &self.filter, None).await?;
        self.last = through;
        self.shown.take(&mut rows);
        Ok(Some(rows))
    }

    /// Until it can be read again. In another file, it goes on behind what was shown.
    async fn open_again(&mut self, error: ReadError) {
        let name = self.reader.name().to_owned();
        let is_replaced = matches!(error, ReadError::Replaced(_));
        match is_replaced {
            true => tell!(
                "{name} was removed or replaced: --follow goes on once a daemon writes the file of \
                 that name"
            ),
            false => tell!("{error}; --follow asks again every second"),
        }
        tokio::time::sleep(POLL_INTERVAL).await;
        let mut attempt = 0;
        while let Err(error) = self.opened(is_replaced).await {
            attempt += 1;
            if attempt == TOLD_AT && !matches!(error, ReadError::Missing(_)) {
                tell!("{error}");
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        tell!("{name} is read again, behind the last status that was shown");
    }

    async fn opened(&mut self, is_replaced: bool) -> Result<(), ReadError> {
        // The first to open a file makes its -wal and its -shm. That must be the daemon, whose user
        // may get the file only now.
        if let Store::Sqlite(path) = self.store
            && is_replaced
            && self.has_writer
            && !beside(path, "-shm").exists()
        {
            return Err(ReadError::Missing(path.clone()));
        }
        let mut reader = Reader::open(self.store).await?;
        let newest = newest(&mut reader).await?;
        // Also a server's database may have been restored.
        if is_replaced || newest < self.last {
            let behind = Filter {
                since: Some(self.shown.received_at),
                ..Filter::default()
            };
            let ends = reader.rows(&Question::Sequences, &behind, None).await?;
            self.last = end_of(&ends, "first").map_or(newest, |first| first - 1);
            self.shown.comes_again = true;
        }
        *self.reader = reader;
        Ok(())
    }
}

/// Which statuses were shown.
struct Shown {
    /// When the last of them was received, or since when they are shown.
    received_at: Timestamp,
    /// The ids of those that were received then.
    ids: HashSet<String>,
    /// The journal fills another file with what was shown before.
    comes_again: bool,
}

impl Shown {
    /// Up to the newest of these, which are still to be taken; where there are none, up to now.
    fn before(rows: &[Vec<Value>]) -> Shown {
        let received_at = |values: &Vec<Value>| Row::new(status(), values).time("received_at");
        let newest = rows.iter().filter_map(received_at).max();
        Shown {
            received_at: newest.unwrap_or_else(Timestamp::now),
            ids: HashSet::new(),
            comes_again: false,
        }
    }

    /// Takes note of statuses that are shown now, without those that were before.
    fn take(&mut self, rows: &mut Vec<Vec<Value>>) {
        rows.retain(|values| {
            let row = Row::new(status(), values);
            let (Some(at), id) = (row.time("received_at"), row.text("event_id")) else {
                return true;
            };
            let is_shown = at < self.received_at || self.ids.contains(id);
            if self.comes_again && is_shown {
                return false;
            }
            if at > self.received_at {
                (self.received_at, self.comes_again) = (at, false);
                self.ids.clear();
            }
            if at == self.received_at {
                self.ids.insert(id.to_owned());
            }
            true
        });
    }
}

/// The columns of a status.
fn status() -> &'static [Field] {
    Question::Events(Order::Newest).fields()
}

/// The last sequence; 0 where there is none.
async fn newest(reader: &mut Reader) -> Result<i64, ReadError> {
    let all = Filter::default();
    let ends = reader.rows(&Question::Sequences, &all, None).await?;
    Ok(end_of(&ends, "last").unwrap_or(0))
}

fn end_of(rows: &[Vec<Value>], end: &str) -> Option<i64> {
    let row = Row::new(Question::Sequences.fields(), rows.first()?);
    row.integer(end)
}
