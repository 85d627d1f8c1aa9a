//! Which transport of SockJS has worked last at each address, so that a reconnection does not pay
//! again for those that a proxy swallows. Knows no clock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::transport::SockJsTransport;

/// After this time the best is tried first again: the proxy may have been mended.
const SEARCH_AGAIN: Duration = Duration::from_secs(3600);

/// By the address, as it may be shown.
#[derive(Debug, Default)]
pub(super) struct LastTransports {
    found: BTreeMap<String, Found>,
}

#[derive(Debug)]
struct Found {
    transport: SockJsTransport,
    /// By a search that began with the best.
    at: Instant,
}

impl LastTransports {
    /// The transport to begin with; `None`: the best.
    pub(super) fn first(&self, address: &str, now: Instant) -> Option<SockJsTransport> {
        let found = self.found.get(address)?;
        (now.saturating_duration_since(found.at) < SEARCH_AGAIN).then_some(found.transport)
    }

    /// The server has answered CONNECTED over it.
    pub(super) fn worked(&mut self, address: &str, transport: SockJsTransport, now: Instant) {
        if self.first(address, now) != Some(transport) {
            self.found
                .insert(address.to_owned(), Found { transport, at: now });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_worked_is_first_at_its_address_until_it_is_time_to_look_again() {
        let (mut last, start) = (LastTransports::default(), Instant::now());
        let (a, b) = ("http://a/ws", "http://b/ws");
        assert_eq!(last.first(a, start), None);
        last.worked(a, SockJsTransport::Xhr, start);
        assert_eq!(last.first(a, start), Some(SockJsTransport::Xhr));
        assert_eq!(last.first(b, start), None);
        // That it works again makes the search no later.
        let late = start + SEARCH_AGAIN;
        last.worked(a, SockJsTransport::Xhr, late - Duration::from_secs(1));
        assert_eq!(last.first(a, late), None);
        last.worked(a, SockJsTransport::WebSocket, late);
        assert_eq!(last.first(a, late), Some(SockJsTransport::WebSocket));
    }
}
