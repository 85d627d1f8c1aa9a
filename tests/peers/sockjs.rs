//! A real SockJS endpoint (sockjs-node) whose sessions are piped to a STOMP server's TCP port.

use std::path::Path;

use super::folder::Folder;
use super::process::{Process, tethered};

/// A running pipe.
pub struct SockJs {
    process: Process,
    folder: Folder,
    port: u16,
}

impl SockJs {
    /// Starts one in front of a STOMP port on loopback.
    pub async fn start(stomp_port: u16) -> SockJs {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/sockjs");
        assert!(
            sources.join("node_modules/sockjs").is_dir(),
            "sockjs is not installed: tests/run does it, or `npm ci` in tests/peers/sockjs"
        );
        let folder = Folder::new("sockjs");
        let mut command = tethered("node");
        command.arg(sources.join("pipe.js")).arg(stomp_port.to_string());
        let mut process = Process::start("sockjs", command, &folder.join("sockjs.log"));
        let line = process.logged("\"listening\"", |line| line.starts_with("listening on ")).await;
        let port = line.rsplit(' ').next().and_then(|p| p.parse().ok()).expect("the line ends with the port");
        SockJs { process, folder, port }
    }

    /// The port of HTTP.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// As in a configuration.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/stomp", self.port)
    }
}
