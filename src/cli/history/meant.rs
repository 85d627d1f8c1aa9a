//! Which devices of a history a text means: by its ids where the history has such a device, else by a
//! name.

use super::place::History;
use crate::cli::meaning::{Ambiguous, Ids, Meaning, meaning, splits};
use crate::sinks::history::question::{Devices, Filter, Question};
use crate::sinks::history::reader::{ReadError, Reader};
use crate::sinks::history::row::Row;

/// Devices of one id, whichever their clients: where there are more, the first ones say enough.
const THERE_MAX: usize = 100;

/// The devices that a text means, in a stream or in each: those that have it as their ids, else
/// those of its name.
///
/// # Errors
/// The history can no longer be read. The inner error: the text is the name of a device and the id
/// of another.
pub(super) async fn meant(
    device: &str,
    stream: Option<&str>,
    History { reader, labels, .. }: &mut History,
) -> Result<Result<Devices, Ambiguous>, ReadError> {
    let chosen = labels.named(device);
    let whole = splits(device);
    let alone = Devices::One {
        client_id: None,
        device_id: device.to_owned(),
    };
    if !chosen.is_known && whole.is_empty() {
        return Ok(Ok(alone));
    }
    if !whole.is_empty() {
        let whole = Devices::listed(whole.clone());
        if !stored(reader, whole.clone(), stream, 1).await?.is_empty() {
            return Ok(Ok(whole));
        }
    }
    let there = stored(reader, alone.clone(), stream, THERE_MAX).await?;
    Ok(match meaning(device, there, &chosen.devices) {
        Err(ambiguous) => Err(ambiguous),
        Ok(Meaning::Ids(_)) => Ok(alone),
        Ok(Meaning::Name) if chosen.is_known => Ok(Devices::listed(chosen.devices)),
        Ok(Meaning::Name) => Ok(Devices::listed(whole)),
    })
}

/// Client and device of those that a history has.
async fn stored(
    reader: &mut Reader,
    devices: Devices,
    stream: Option<&str>,
    limit: usize,
) -> Result<Ids, ReadError> {
    let question = Question::Devices;
    let filter = Filter {
        devices,
        stream: stream.map(str::to_owned),
        ..Filter::default()
    };
    match reader.rows(&question, &filter, Some(limit)).await {
        Ok(rows) => {
            let key = |values: &Vec<_>| Row::new(question.fields(), values).device();
            let keys = rows.iter().map(key);
            Ok(keys.map(|key| (key.client_id, key.device_id)).collect())
        }
        Err(error @ (ReadError::Slow(..) | ReadError::Changed(_) | ReadError::Replaced(_))) => {
            Err(error)
        }
        // Who may read another view alone asks that one, by ids or by a name as before.
        Err(_) => Ok(Vec::new()),
    }
}
