//! A private coilmq, a small broker with its own habits. It claims STOMP 1.2, and sends no `ack`.
//! It accepts one virtual host alone, and wants a destination to unsubscribe. It keeps nothing when
//! it dies.

use std::path::Path;

use super::folder::Folder;
use super::process::{Process, tethered};
use super::{port, stomp};

/// A running coilmq.
pub struct CoilMq {
    process: Process,
    folder: Folder,
    port: u16,
    host: String,
}

impl CoilMq {
    /// Starts one.
    pub async fn start() -> CoilMq {
        let (folder, port) = (Folder::new("coilmq"), port::free());
        let (process, host) = launch(&folder, port).await;
        CoilMq {
            process,
            folder,
            port,
            host,
        }
    }

    /// Where STOMP over TCP listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// As in a configuration.
    pub fn url(&self) -> String {
        stomp::url(self.port)
    }

    /// The virtual host that it takes: what it thinks that this machine is called.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after [`CoilMq::kill`], with nothing in it.
    pub async fn restart(&mut self) {
        (self.process, self.host) = launch(&self.folder, self.port).await;
    }
}

async fn launch(folder: &Folder, port: u16) -> (Process, String) {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("coilmq");
    assert!(
        sources.join("lib/coilmq").is_dir(),
        "coilmq is not installed: tests/run does it, or tests/prepare by itself"
    );
    let mut command = tethered("python3");
    command
        .arg(sources.join("serve.py"))
        .arg(port.to_string())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let mut process = Process::start("coilmq", command, &folder.join("coilmq.log"));
    let host = process
        .logged("its virtual host", |line| line.starts_with("host "))
        .await;
    process
        .logged("\"listening\"", |line| {
            line.contains("Stomp server listening")
        })
        .await;
    (process, host.trim_start_matches("host ").to_owned())
}
