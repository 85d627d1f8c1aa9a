//! A private mosquitto on a free port of loopback.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Stopped when dropped.
pub(crate) struct Mosquitto {
    child: Child,
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
        let address = free_port();
        let config = folder.join("mosquitto.conf");
        let text = format!(
            "listener {} 127.0.0.1\nsocket_domain ipv4\nallow_anonymous true\nset_tcp_nodelay {}\n",
            address.port(),
            nagle == Nagle::Off
        );
        fs::write(&config, text).expect("a writable folder");
        let log = fs::File::create(folder.join("mosquitto.log")).expect("a writable folder");
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
        let child = Command::new("mosquitto")
            .env("PATH", path)
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("mosquitto is not installed: apt-get install mosquitto");
        let mut mosquitto = Mosquitto { child, address };
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
            let ended = self.child.try_wait().expect("mosquitto is our child");
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "mosquitto did not start: {ended:?}"
            );
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).ok();
        self.child.wait().ok();
    }
}

fn free_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on loopback");
    listener
        .local_addr()
        .expect("a bound listener has an address")
}
