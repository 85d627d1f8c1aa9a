//! A private mosquitto on a free port of loopback.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use peers::port;
use peers::process::{Process, tethered};
use rustix::process::Signal;

const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Stopped when dropped.
pub(crate) struct Mosquitto {
    process: Process,
    address: SocketAddr,
}

/// Whether the broker holds a small packet back until the one before was acknowledged by TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nagle {
    /// mosquitto's default.
    On,
    /// `set_tcp_nodelay true`.
    Off,
}

impl Mosquitto {
    /// With its files in `folder`. Debian keeps it in /usr/sbin, which is not in everybody's PATH.
    pub(crate) fn start(folder: &Path, nagle: Nagle) -> Mosquitto {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()));
        let config = folder.join("mosquitto.conf");
        let text = format!(
            "listener {} 127.0.0.1\nsocket_domain ipv4\nallow_anonymous true\nset_tcp_nodelay {}\n",
            address.port(),
            nagle == Nagle::Off
        );
        fs::write(&config, text).expect("a writable folder");
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
        let mut command = tethered("mosquitto");
        command.env("PATH", path).arg("-c").arg(&config);
        let process = Process::start("mosquitto", command, &folder.join("mosquitto.log"))
            .ending_with(Signal::TERM);
        let mut mosquitto = Mosquitto { process, address };
        mosquitto.wait();
        mosquitto
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The settings of a sink that publishes to it.
    pub(crate) fn sink(&self) -> String {
        format!(
            "type = \"mqtt\"\nurl = \"mqtt://{}\"\ntopic = \"devices/{{{{ client_id }}}}/{{{{ device_id }}}}/status\"\n\
             qos = 1\nretain = true\nstatus_topic = \"\"\n",
            self.address
        )
    }

    /// The port was free, so that it is mosquitto that answers, unless it has ended.
    fn wait(&mut self) {
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(self.address).is_err() {
            assert!(
                self.process.runs() && Instant::now() < deadline,
                "mosquitto did not start (apt-get install mosquitto): {}",
                self.process.log_tail()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }
}
