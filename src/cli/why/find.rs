//! A device's event in the journal: searched from the newest entry back, for a bounded time.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::device::Device;
use crate::cli::meaning::Ids;
use crate::cli::print::harmless;
use crate::cli::target::Target;
use crate::config::Reading;
use crate::delivery::decoder_of;
use crate::journal::{Entry, EntryContent, Reader};
use crate::model::{Label, Position, StatusEvent};
use crate::pipeline::{Decoder, Mapping, States};

/// What is read at once.
const POSITIONS_MAX: u32 = 2000;
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long is searched: a journal of some millions of entries.
const SEARCH_MAX: Duration = Duration::from_secs(20);

/// How long is looked among the undecodable entries, and what is read of them at once: of a larger
/// one the device is not read.
const UNDECODABLE_SEARCH_MAX: Duration = Duration::from_secs(5);
const UNDECODABLE_AT_ONCE: u32 = 64;
const UNDECODABLE_BYTES_MAX: u32 = 64 * 1024;

/// How entries are read: by the configuration, else as the platform's own messages.
#[derive(Debug)]
pub(in crate::cli) struct Readings {
    /// Where there is a configuration that can be read.
    pub(in crate::cli) reading: Option<Reading>,
    decoders: Arc<HashMap<Arc<str>, Decoder>>,
    /// Why the configuration is not what they are read by.
    pub(in crate::cli) problem: Option<String>,
}

/// An event, and what was passed on the way to it.
#[derive(Debug)]
pub(in crate::cli) struct Found {
    pub(in crate::cli) entry: Entry,
    /// Repeats of the device's statuses behind it, which no sink gets.
    pub(in crate::cli) repeats: u64,
}

/// The statuses of a device that the journal has.
#[derive(Debug, Default)]
pub(in crate::cli) struct Kept {
    pub(in crate::cli) statuses: u64,
    pub(in crate::cli) newest: Option<Position>,
    /// The time was over before all of the journal was looked at.
    pub(in crate::cli) is_cut: bool,
}

/// The undecodable entries of the journal that nobody has dealt with and that may be a device's.
#[derive(Debug, Default, Serialize)]
pub(super) struct Undecodable {
    /// Statuses that name the device.
    pub(super) statuses: u64,
    /// The newest of them.
    pub(super) newest: Option<Position>,
    /// Entries whose device cannot be read.
    #[serde(skip)]
    pub(super) nameless: u64,
    /// The time was over before all of them were looked at.
    #[serde(skip)]
    pub(super) is_cut: bool,
}

/// A search through the journal.
#[derive(Debug)]
pub(in crate::cli) enum Search {
    Found(Box<Found>),
    /// All of the journal was looked at; it begins there, where it has any status.
    Nowhere(Option<Position>),
    /// The time was over; everything from this entry on was looked at.
    Stopped(Position, Option<Timestamp>),
}

impl Readings {
    /// By the configuration of a target, as far as that goes.
    pub(in crate::cli) fn of(target: &Target) -> Readings {
        let (reading, problem) = match target.reading() {
            Ok(reading) => (Some(reading), None),
            Err(error) => (None, Some(error)),
        };
        let decoders = reading.as_ref().map(|reading| reading.decoders().cloned());
        let (decoders, problem) = match decoders {
            Some(Ok(decoders)) => (decoders, problem),
            Some(Err(problems)) => (Arc::default(), Some(anyhow::anyhow!("{problems}"))),
            None => (Arc::default(), problem),
        };
        Readings {
            reading,
            decoders,
            problem: problem.map(|problem| problem.to_string()),
        }
    }

    /// How a topic's entries are read.
    pub(in crate::cli) fn decoder(&self, topic: &Arc<str>) -> Decoder {
        let known = self.decoders.get(topic).cloned();
        known.unwrap_or_else(|| {
            let states = Arc::new(States::default());
            Decoder::new(Arc::clone(topic), Mapping::default(), states)
        })
    }

    /// Whether the configuration has the topic.
    pub(in crate::cli) fn has(&self, topic: &str) -> bool {
        self.decoders.contains_key(topic)
    }

    /// The zone in which times are said and written: that of the first history of a target, as the
    /// command `history` has it; without one that of the platform's times, as the first topic has it.
    pub(in crate::cli) fn zone(&self, target: &Target) -> TimeZone {
        if let Some(history) = target.histories().into_iter().next() {
            return history.zone;
        }
        let first = self.decoders.iter().min_by_key(|(topic, _)| *topic);
        let zone = first.map(|(_, decoder)| decoder.zone().clone());
        zone.unwrap_or_else(|| Mapping::default().zone)
    }

    /// What people call the device of a status that was not decoded again.
    pub(super) fn label(&self, status: &StatusEvent) -> Option<Label> {
        // Every topic has the same names.
        let decoder = self.decoders.get(&status.topic);
        let decoder = decoder.or_else(|| self.decoders.values().next())?;
        let serial = status.serial.as_deref();
        decoder.label_of(&status.client_id, &status.device_id, serial)
    }

    /// The undecodable entries that were received at or before a time: all of them, or those behind
    /// an event. That one's position is one of this journal, else its time says what is behind it.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub(super) async fn undecodable(
        &self,
        reader: &mut Reader,
        device: &Device,
        behind: Option<(Option<Position>, Timestamp)>,
        until: Timestamp,
    ) -> anyhow::Result<Undecodable> {
        let began = Instant::now();
        let (mut after, since) = match behind {
            None => (Position::START, None),
            Some((Some(position), _)) => (position, None),
            Some((None, received_at)) => (Position::START, Some(received_at)),
        };
        let mut found = Undecodable::default();
        loop {
            let page = reader.undecodable_page(after, UNDECODABLE_AT_ONCE, UNDECODABLE_BYTES_MAX);
            let page = page.await?;
            let Some(last) = page.last() else {
                return Ok(found);
            };
            after = last.position;
            for letter in page {
                let is_behind = since.is_none_or(|since| letter.received_at > since);
                if !is_behind || letter.received_at > until {
                    continue;
                }
                let decoder = self.decoder(&letter.topic);
                match decoder.device(&letter.body) {
                    None => found.nameless += 1,
                    Some((client, id)) if device.is(decoder.stream(), &client, &id) => {
                        found.statuses += 1;
                        found.newest = Some(letter.position);
                    }
                    Some(_) => {}
                }
            }
            if began.elapsed() > UNDECODABLE_SEARCH_MAX {
                found.is_cut = true;
                return Ok(found);
            }
        }
    }

    /// Whether an entry is a status of a device.
    pub(in crate::cli) fn is_of(&self, entry: &Entry, device: &Device) -> bool {
        self.key_of(entry, device).is_some()
    }

    /// Client and device of an entry that is a status of a device.
    pub(in crate::cli) fn key_of(
        &self,
        entry: &Entry,
        device: &Device,
    ) -> Option<(String, String)> {
        let unknown;
        let decoder = match self.decoders.get(&entry.topic) {
            Some(decoder) => decoder,
            None => {
                unknown = self.decoder(&entry.topic);
                &unknown
            }
        };
        let key = decoder_of(decoder, &entry.content).status_key(&entry.body);
        let key = key.ok()?;
        let is_it = device.is(decoder.stream(), &key.client_id, &key.device_id);
        is_it.then_some((key.client_id, key.device_id))
    }

    /// Client and device of the newest status of each of these serial numbers, in one search.
    ///
    /// # Errors
    /// The journal cannot be read, or the time was over before all of it was looked at.
    pub(super) async fn of_serials(
        &self,
        reader: &mut Reader,
        mut lacking: BTreeSet<Arc<str>>,
        stream: Option<&str>,
    ) -> anyhow::Result<Ids> {
        let mut found = Vec::new();
        let began = Instant::now();
        let ids = reader.ids().await?;
        let mut before = Position(reader.newest().await?.0.saturating_add(1));
        let oldest = reader.read_after(Position::START, 1, 1).await?;
        let oldest = oldest.first().map(|entry| entry.position);
        while let Some(serial) = lacking.first()
            && oldest.is_some_and(|oldest| before > oldest)
        {
            if began.elapsed() > SEARCH_MAX {
                bail!(
                    "no device of the serial number {} from position {before} on: the search ended \
                     there after {} s; name the device by its client and its id",
                    harmless(serial),
                    SEARCH_MAX.as_secs()
                );
            }
            let page = reader.statuses_before(before, Timestamp::MAX, POSITIONS_MAX, BYTES_MAX);
            let page = page.await?;
            for entry in page.entries {
                let decoder = self.decoder(&entry.topic);
                let decoder = decoder_of(&decoder, &entry.content);
                let origin = ids.origin(entry.position);
                let status = decoder.event(&entry.body, origin, entry.received_at, None);
                if let Ok(status) = status
                    && stream.is_none_or(|stream| *status.stream == *stream)
                    && status
                        .serial
                        .as_deref()
                        .is_some_and(|serial| lacking.remove(serial))
                {
                    found.push((status.client_id, status.device_id));
                }
            }
            before = page.reached;
        }
        Ok(found)
    }

    /// The newest status of a device that was received at or before a time and is no repeat.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub(in crate::cli) async fn find(
        &self,
        reader: &mut Reader,
        device: &Device,
        until: Timestamp,
    ) -> anyhow::Result<Search> {
        let began = Instant::now();
        let mut before = Position(reader.newest().await?.0.saturating_add(1));
        let oldest = reader.read_after(Position::START, 1, 1).await?;
        let oldest = oldest.first().map(|entry| entry.position);
        let (mut repeats, mut last) = (0, None);
        while oldest.is_some_and(|oldest| before > oldest) {
            let page = reader.statuses_before(before, until, POSITIONS_MAX, BYTES_MAX);
            let page = page.await?;
            for entry in page.entries {
                last = Some(entry.received_at);
                if !self.is_of(&entry, device) {
                    continue;
                }
                if matches!(entry.content, EntryContent::Status { repeat: true, .. }) {
                    repeats += 1;
                    continue;
                }
                return Ok(Search::Found(Box::new(Found { entry, repeats })));
            }
            before = page.reached;
            if began.elapsed() > SEARCH_MAX {
                return Ok(Search::Stopped(before, last));
            }
        }
        Ok(Search::Nowhere(oldest))
    }

    /// Counts a device's statuses, repeats included.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub(in crate::cli) async fn kept(
        &self,
        reader: &mut Reader,
        device: &Device,
    ) -> anyhow::Result<Kept> {
        let began = Instant::now();
        let mut kept = Kept::default();
        let mut before = Position(reader.newest().await?.0.saturating_add(1));
        let oldest = reader.read_after(Position::START, 1, 1).await?;
        let oldest = oldest.first().map(|entry| entry.position);
        while oldest.is_some_and(|oldest| before > oldest) && !kept.is_cut {
            let page = reader.statuses_before(before, Timestamp::MAX, POSITIONS_MAX, BYTES_MAX);
            let page = page.await?;
            for entry in page
                .entries
                .iter()
                .filter(|entry| self.is_of(entry, device))
            {
                kept.statuses += 1;
                kept.newest.get_or_insert(entry.position);
            }
            before = page.reached;
            kept.is_cut = began.elapsed() > SEARCH_MAX;
        }
        Ok(kept)
    }
}
