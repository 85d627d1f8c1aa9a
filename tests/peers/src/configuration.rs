//! Configuration files for the daemon under test; the only place that knows the names of their
//! keys.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::folder::Folder;
use super::{PASSWORD, USER};

/// A config.toml in the making.
#[derive(Debug, Clone)]
pub struct Configuration {
    url: String,
    password: String,
    vhost: String,
    watch: bool,
    source: String,
    reconnect: String,
    tables: String,
}

impl Configuration {
    /// Reads from `url` as the lab's user, with short waits between attempts.
    pub fn new(url: &str) -> Configuration {
        let (password, vhost) = (PASSWORD.to_owned(), "/".to_owned());
        Configuration {
            url: url.to_owned(),
            password,
            vhost,
            watch: false,
            source: String::new(),
            reconnect: "initial = \"50ms\"\nmax = \"500ms\"\n".to_owned(),
            tables: String::new(),
        }
    }

    /// Signs in with another password.
    pub fn password(mut self, password: &str) -> Configuration {
        self.password = password.to_owned();
        self
    }

    /// Signs in to another vhost.
    pub fn vhost(mut self, vhost: &str) -> Configuration {
        self.vhost = vhost.to_owned();
        self
    }

    /// Applies its changes by itself.
    pub fn watched(mut self) -> Configuration {
        self.watch = true;
        self
    }

    /// Any other lines of `[source]`.
    pub fn source(mut self, lines: &str) -> Configuration {
        writeln!(self.source, "{lines}").expect("writing to a String cannot fail");
        self
    }

    /// Waits as long between attempts as the daemon does by default.
    pub fn default_waits(mut self) -> Configuration {
        self.reconnect.clear();
        self
    }

    /// Waits so between attempts: lines of `[source.reconnect]`.
    pub fn waits(mut self, lines: &str) -> Configuration {
        self.reconnect = format!("{lines}\n");
        self
    }

    /// A queue, acknowledged message by message, at most `PREFETCH` on their way.
    pub fn queue(self, name: &str, queue: &str, key: EventKey) -> Configuration {
        let key = match key {
            EventKey::EventId => "event_key = \"/eventId\"\n",
            EventKey::None => "",
        };
        self.table(
            &format!("topics.{name}"),
            &format!(
                "destination = \"/queue/{queue}\"\nack = \"client-individual\"\n\
                 headers = {{ \"prefetch-count\" = \"{PREFETCH}\" }}\n{key}"
            ),
        )
    }

    /// History in `history.db` beside the configuration.
    pub fn sqlite(self) -> Configuration {
        self.table(
            "sinks.history",
            "type = \"sqlite\"\npath = \"history.db\"\n",
        )
    }

    /// The same without what the daemon itself observes, where a test counts what it has sent.
    pub fn sqlite_of_statuses(self) -> Configuration {
        self.table(
            "sinks.history",
            "type = \"sqlite\"\npath = \"history.db\"\nkinds = [\"status\"]\n",
        )
    }

    /// History in a PostgreSQL database.
    pub fn postgres(self, url: &str) -> Configuration {
        self.table(
            "sinks.warehouse",
            &format!("type = \"postgres\"\nurl = \"{url}\"\n"),
        )
    }

    /// Publishes to `<root>/<client>/<device>/status`.
    pub fn mqtt(self, url: &str, root: &str) -> Configuration {
        self.table(
            "sinks.site",
            &format!(
                "type = \"mqtt\"\nurl = \"{url}\"\nusername = \"{USER}\"\npassword = \"{PASSWORD}\"\n\
                 topic = \"{root}/{{{{ client_id }}}}/{{{{ device_id }}}}/status\"\nqos = 1\nretain = true\n"
            ),
        )
    }

    /// Posts to a URL; tried again every 100 ms.
    pub fn webhook(self, url: &str) -> Configuration {
        self.webhook_with(url, "")
    }

    /// The same with more lines.
    pub fn webhook_with(self, url: &str, lines: &str) -> Configuration {
        let retry = "retry = { initial = \"100ms\", max = \"100ms\" }\n";
        self.table(
            "sinks.oncall",
            &format!("type = \"webhook\"\nurl = \"{url}\"\n{retry}{lines}"),
        )
    }

    /// Any other table.
    pub fn table(mut self, name: &str, lines: &str) -> Configuration {
        write!(self.tables, "\n[{name}]\n{lines}").expect("writing to a String cannot fail");
        self
    }

    /// Writes it and gives its path.
    pub fn write(&self, folder: &Folder) -> PathBuf {
        folder.write("passcode", &self.password);
        folder.write("config.toml", &self.text())
    }

    /// The file; its passcode stands beside it.
    pub fn text(&self) -> String {
        let Configuration {
            url,
            vhost,
            watch,
            source,
            reconnect,
            tables,
            ..
        } = self;
        format!(
            "watch = {watch}\n[source]\nurl = \"{url}\"\nlogin = \"{USER}\"\npasscode_file = \"passcode\"\nhost = \"{vhost}\"\n\
             {source}[source.reconnect]\n{reconnect}[http]\nlisten = \"127.0.0.1:0\"\n{STATES}{tables}"
        )
    }
}

/// Whether a topic's messages carry a key of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKey {
    /// `/eventId`.
    EventId,
    /// None: what the broker delivers again is stored again.
    None,
}

/// Messages that RabbitMQ may have on their way to the daemon without an ACK.
pub const PREFETCH: usize = 256;

const STATES: &str = r#"
[states]
"正常" = { name = "normal", severity = "ok" }
"故障" = { name = "fault", severity = "critical" }
"离线" = { name = "offline", severity = "warning" }
"#;
