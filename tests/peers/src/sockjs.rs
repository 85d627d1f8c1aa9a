//! A real SockJS endpoint (sockjs-node) whose sessions are piped to a STOMP server's TCP port.

use std::path::Path;

use rustix::process::Signal;

use super::folder::Folder;
use super::process::{Process, tethered};
use super::{certificates, port};

/// What of SockJS works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offers {
    /// Everything.
    All,
    /// One transport: `/info` says truly whether websocket works, and the others answer 404.
    Only(&'static str),
}

/// Whether it is https.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// It is http.
    Clear,
    /// It is https, by the tests' own authority.
    Tls,
}

/// A running pipe.
pub struct SockJs {
    process: Process,
    _folder: Folder,
    port: u16,
    security: Security,
}

impl SockJs {
    /// Starts one in front of a STOMP port on loopback, with all that SockJS has.
    pub async fn start(stomp_port: u16) -> SockJs {
        SockJs::offering(Offers::All, Security::Clear, stomp_port).await
    }

    /// Starts one with less.
    pub async fn offering(offers: Offers, security: Security, stomp_port: u16) -> SockJs {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("sockjs");
        assert!(
            sources.join("node_modules/sockjs").is_dir(),
            "sockjs is not installed: tests/run does it, or `npm ci` in tests/peers/sockjs"
        );
        let (folder, port) = (Folder::new("sockjs"), port::free());
        let mut command = tethered("node");
        command
            .arg(sources.join("pipe.js"))
            .args([port.to_string(), stomp_port.to_string()]);
        command.arg(match offers {
            Offers::All => "all",
            Offers::Only(transport) => transport,
        });
        if security == Security::Tls {
            command
                .arg(certificates::path("server.pem"))
                .arg(certificates::path("server.key"));
        }
        let mut process = Process::start("sockjs", command, &folder.join("sockjs.log"));
        process
            .logged("\"listening\"", |line| line == "listening")
            .await;
        SockJs {
            process,
            _folder: folder,
            port,
            security,
        }
    }

    /// The port of HTTP.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// As in a configuration.
    pub fn url(&self) -> String {
        match self.security {
            Security::Clear => format!("http://127.0.0.1:{}/stomp", self.port),
            Security::Tls => format!("https://localhost:{}/stomp", self.port),
        }
    }

    /// Closes every session with code 3456 and "this server moves".
    pub fn close_all(&self) {
        self.process.signal(Signal::USR2);
    }

    /// How many requests to receive by this transport (`xhr`, `xhr_streaming`) there were.
    pub fn requests(&self, transport: &str) -> usize {
        let line = format!("receiving by {transport}");
        self.process
            .log()
            .lines()
            .filter(|logged| *logged == line)
            .count()
    }
}
