//! Which device is meant: by its ids where there is such a device, else by a name. The devices of a
//! name that `[names]` gives to serial numbers are those that a history knows; else the newest
//! status in the journal that has the number says so.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::bail;
use jiff::Timestamp;

use super::device::Device;
use super::find::{Readings, Search};
use super::stored;
use crate::cli::meaning::{Ids, Meaning, is_whole, meaning};
use crate::cli::print::{harmless, one_line, tell};
use crate::cli::target::Target;
use crate::journal::Reader;

impl Device {
    /// The device that a text means: ids where there is such a device, else a name of `[names]`.
    ///
    /// # Errors
    /// It is the name of a serial number that no device has, or the name of a device and the id of
    /// another; or the journal cannot be read, or not in time.
    pub(in crate::cli) async fn meant(
        text: &str,
        stream: Option<&str>,
        (target, readings): (&Target, &Readings),
        reader: &mut Reader,
    ) -> anyhow::Result<Device> {
        let names = target.names();
        let device = Device::written(text, stream, names.as_ref());
        // An id alone that is no name is that of whichever client.
        if !device.is_name() && !text.contains('/') {
            return Ok(device);
        }
        let there = there(&device, (target, readings), reader).await?;
        // No serial number need be looked up for what goes before a name.
        let whole: Ids = (there.iter().filter(|ids| is_whole(text, ids)).cloned()).collect();
        if !whole.is_empty() {
            return Ok(device.of(whole));
        }
        let devices = of_serials(&device, (target, readings), reader).await?;
        let device = device.with(devices);
        if let Meaning::Ids(ids) = meaning(text, there, device.named())? {
            return Ok(device.of(ids));
        }
        if let ([serial, ..], true) = (device.serials(), device.is_nobody()) {
            bail!(
                "[names] gives the name {} to the serial number {}, which no device has: neither a \
                 history nor the journal knows it",
                harmless(device.text()),
                harmless(serial)
            );
        }
        Ok(device)
    }
}

/// The devices that have a text as their ids, or as the id alone.
async fn there(
    device: &Device,
    (target, readings): (&Target, &Readings),
    reader: &mut Reader,
) -> anyhow::Result<Ids> {
    let (text, stream) = (device.text(), device.stream.as_deref());
    let known = reader.devices_named(text).await?.into_iter();
    let known = known.filter(|it| stream.is_none_or(|stream| it.stream == stream));
    let mut there: BTreeSet<_> = known.map(|it| (it.client_id, it.device_id)).collect();
    if there.iter().any(|ids| is_whole(text, ids)) {
        return Ok(there.into_iter().collect());
    }
    for history in target.histories() {
        match stored::of_ids(&history, text, stream).await {
            Ok(found) => there.extend(found),
            // Without a name it is asked again, and then said.
            Err(why) if device.is_name() => not_asked(&history.name, &why),
            Err(_) => {}
        }
    }
    // Last states are saved now and then, and a history may be behind: a name is to hide no device.
    let is_whole_there = there.iter().any(|ids| is_whole(text, ids));
    if device.is_name() && text.contains('/') && !is_whole_there {
        let by_ids = Device::written(text, stream, None);
        if let Search::Found(found) = readings.find(reader, &by_ids, Timestamp::MAX).await? {
            there.extend(readings.key_of(&found.entry, &by_ids));
        }
    }
    Ok(there.into_iter().collect())
}

/// The devices of the serial numbers of a name: all of them are looked up at once.
async fn of_serials(
    device: &Device,
    (target, readings): (&Target, &Readings),
    reader: &mut Reader,
) -> anyhow::Result<Ids> {
    if device.serials().is_empty() {
        return Ok(Vec::new());
    }
    let stream = device.stream.as_deref();
    let mut devices = Vec::new();
    let mut lacking: BTreeSet<Arc<str>> = device.serials().iter().cloned().collect();
    for history in target.histories() {
        match stored::of_serials(&history, device.serials(), stream).await {
            Ok(found) => {
                for (serial, ids) in found {
                    lacking.remove(&*serial);
                    devices.push(ids);
                }
            }
            Err(why) => not_asked(&history.name, &why),
        }
    }
    devices.extend(readings.of_serials(reader, lacking, stream).await?);
    Ok(devices)
}

fn not_asked(sink: &str, why: &str) {
    tell!("sink {sink} was not asked: {}", one_line(why));
}
