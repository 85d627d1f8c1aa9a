//! What the daemon tells systemd.

use std::os::unix::net::UnixDatagram;
use std::path::Path;

use peers::wait;

/// A socket that takes the notifications.
pub(super) struct Notified(UnixDatagram);

impl Notified {
    pub(super) fn at(path: &Path) -> Notified {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Notified(socket)
    }

    /// Waits for a notification that has this line, and gives it. Others before it are passed over.
    pub(super) async fn until(&self, line: &str) -> String {
        wait::until(line, async || {
            let text = self.next()?;
            text.lines().any(|said| said == line).then_some(text)
        })
        .await
    }

    /// A reload is said to begin, then to be over.
    pub(super) async fn reloaded(&self) {
        let begun = self.until("RELOADING=1").await;
        assert!(begun.contains("MONOTONIC_USEC="), "{begun}");
        self.until("READY=1").await;
    }

    /// What has come since the last time; `None`: nothing.
    pub(super) fn next(&self) -> Option<String> {
        let mut buffer = [0; 4096];
        let length = self.0.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }
}
