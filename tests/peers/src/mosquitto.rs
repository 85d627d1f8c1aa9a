//! A private mosquitto: MQTT over TCP, with a password, and everything that it acknowledged
//! survives SIGKILL.

use super::folder::Folder;
use super::process::{Process, run, tethered};
use super::{PASSWORD, USER, port};

/// A running mosquitto.
pub struct Mosquitto {
    process: Process,
    folder: Folder,
    port: u16,
}

impl Mosquitto {
    /// Starts one.
    pub async fn start() -> Mosquitto {
        Mosquitto::start_on(port::free()).await
    }

    /// The same on a given port.
    pub async fn start_on(port: u16) -> Mosquitto {
        // Without these three lines an acknowledged message does not survive SIGKILL.
        Mosquitto::start_with(
            port,
            "persistence true\nautosave_on_changes true\nautosave_interval 1\n",
        )
        .await
    }

    /// The same, but it forgets everything when it ends, and is a hundred times as fast.
    pub async fn start_forgetful_on(port: u16) -> Mosquitto {
        Mosquitto::start_with(port, "").await
    }

    /// The same with further lines of its configuration.
    pub async fn start_with(port: u16, lines: &str) -> Mosquitto {
        let folder = Folder::new("mosquitto");
        let passwords = folder.join("passwords");
        let mut passwd = std::process::Command::new("mosquitto_passwd");
        passwd
            .arg("-b")
            .arg("-c")
            .arg(&passwords)
            .args([USER, PASSWORD]);
        run(passwd);
        // Long queues: the default drops what a subscriber is more than 1000 messages behind. Without
        // a limit, mosquitto 2.0.11 ends a connection of MQTT 5 at a message that it rejects.
        folder.write(
            "mosquitto.conf",
            &format!(
                "listener {port} 127.0.0.1\nuser root\nallow_anonymous false\npassword_file {}\n\
                 max_queued_messages 100000000\nmax_inflight_messages 0\n\
                 persistence_location {}/\n{lines}",
                passwords.display(),
                folder.path().display(),
            ),
        );
        let process = launch(&folder).await;
        Mosquitto {
            process,
            folder,
            port,
        }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// As in the configuration of an MQTT sink.
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// It answers nobody, and its sockets stay open.
    pub fn freeze(&self) {
        self.process.freeze();
    }

    /// The end of [`Mosquitto::freeze`].
    pub fn thaw(&self) {
        self.process.thaw();
    }

    /// Starts it again after [`Mosquitto::kill`]: same port, same data.
    pub async fn restart(&mut self) {
        self.process = launch(&self.folder).await;
    }
}

async fn launch(folder: &Folder) -> Process {
    let mut command = tethered("/usr/sbin/mosquitto");
    command.arg("-c").arg(folder.join("mosquitto.conf"));
    let mut process = Process::start("mosquitto", command, &folder.join("mosquitto.log"));
    process
        .logged("\"running\"", |line| {
            line.contains("mosquitto version") && line.ends_with("running")
        })
        .await;
    process
}
