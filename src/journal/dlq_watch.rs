//! Warns when a sink's dead letters reach 80 and 95 percent of their bound, before the sink stops.

use std::collections::HashMap;

use tracing::warn;

use super::Settings;
use super::dead_letters::DlqTotal;

/// Shares of the bound, in percent, at which it warns.
const WATERMARKS: [u8; 2] = [80, 95];

/// The watermark that each sink has reached.
#[derive(Debug)]
pub(super) struct DlqWatch {
    bytes_max: u64,
    said: HashMap<String, u8>,
}

impl DlqWatch {
    pub(super) fn new(settings: &Settings) -> DlqWatch {
        DlqWatch {
            bytes_max: settings.dlq_bytes_max,
            said: HashMap::new(),
        }
    }

    /// Warns of each watermark that was reached since the last look.
    pub(super) fn look(&mut self, totals: &[DlqTotal]) {
        for total in totals {
            if let Some(percent) = self.reached(total) {
                warn!(
                    sink = total.sink,
                    percent,
                    dead_letters = total.entries,
                    bytes = total.bytes,
                    "dead letters fill up: see why by `stomp-bridge dlq list`, then `dlq redrive` \
                     or `dlq drop`, or raise journal.dlq_max_bytes"
                );
            }
        }
    }

    fn reached(&mut self, total: &DlqTotal) -> Option<u8> {
        let percent = u128::from(total.bytes) * 100 / u128::from(self.bytes_max.max(1));
        let mark = WATERMARKS
            .into_iter()
            .rfind(|mark| u128::from(*mark) <= percent)
            .unwrap_or(0);
        let said = self.said.insert(total.sink.clone(), mark).unwrap_or(0);
        (mark > said).then_some(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_watermark_is_said_once_until_there_is_room_again() {
        let settings = Settings {
            dlq_bytes_max: 1000,
            ..Settings::new("/nowhere".into())
        };
        let mut watch = DlqWatch::new(&settings);
        for (bytes, expected) in [
            (799, None),
            (800, Some(80)),
            (949, None),
            (1200, Some(95)),
            (960, None),
            (10, None),
            (810, Some(80)),
        ] {
            let total = DlqTotal {
                sink: "oncall".to_owned(),
                entries: 1,
                bytes,
            };
            assert_eq!(watch.reached(&total), expected, "{bytes}");
        }
    }
}
