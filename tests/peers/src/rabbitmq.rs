//! A private RabbitMQ: STOMP over TCP and TLS, Web-STOMP in clear text and over TLS, MQTT 3.1.1 over
//! TCP and WebSocket, nothing else; what it confirmed survives a restart.

use std::time::Duration;

use rustix::process::Signal;

use super::folder::Folder;
use super::process::{Process, tethered};
use super::{PASSWORD, USER, certificates, port, stomp};

/// RabbitMQ 3.10 confirms the declaration of a durable queue before it has written it. A server
/// killed within a second or two may forget the queue with all of its confirmed messages
/// ("Recovering 0 queues" in its log).
const DECLARED: Duration = Duration::from_secs(3);

/// A policy drops a message of a quorum queue whose name begins with `limited` after this number of
/// redeliveries: RabbitMQ 4 has such a limit by default.
pub const DELIVERY_LIMIT: usize = 4;

/// A running RabbitMQ and the port mapper that it needs.
pub struct RabbitMq {
    /// Before `_mapper`, to be dropped first.
    process: Process,
    _mapper: Process,
    folder: Folder,
    ports: Ports,
}

struct Ports {
    stomp: u16,
    stomp_tls: u16,
    web_stomp: u16,
    web_stomp_tls: u16,
    mqtt: u16,
    web_mqtt: u16,
    distribution: u16,
    mapper: u16,
}

impl RabbitMq {
    /// Starts one; 8 to 20 seconds.
    pub async fn start() -> RabbitMq {
        RabbitMq::start_with(&format!(
            r#","policies":[{{"name":"limit","vhost":"/","pattern":"^limited","apply-to":"queues",
            "definition":{{"delivery-limit":{DELIVERY_LIMIT}}}}}]"#
        ))
        .await
    }

    /// The same with a quorum queue, of which a message is dropped that was sent more often than
    /// `delivery_limit` and once.
    pub async fn start_with_quorum_queue(queue: &str, delivery_limit: u32) -> RabbitMq {
        RabbitMq::start_with(&format!(
            r#","queues":[{{"name":"{queue}","vhost":"/","durable":true,"auto_delete":false,
            "arguments":{{"x-queue-type":"quorum"}}}}],
            "policies":[{{"name":"limit","vhost":"/","pattern":"^{queue}$","apply-to":"queues",
            "definition":{{"delivery-limit":{delivery_limit}}}}}]"#
        ))
        .await
    }

    /// With these further definitions, which begin with a comma.
    async fn start_with(definitions: &str) -> RabbitMq {
        let folder = Folder::new("rabbitmq");
        let ports = Ports {
            stomp: port::free(),
            stomp_tls: port::free(),
            web_stomp: port::free(),
            web_stomp_tls: port::free(),
            mqtt: port::free(),
            web_mqtt: port::free(),
            distribution: port::free(),
            mapper: port::free(),
        };
        configure(&folder, &ports, definitions);
        // Our own in the foreground: the one that RabbitMQ starts becomes a daemon and outlives the
        // tests.
        let mut epmd = tethered("epmd");
        epmd.args(["-port", &ports.mapper.to_string(), "-address", "127.0.0.1"]);
        let mapper = Process::start("epmd", epmd, &folder.join("epmd.log"));
        let process = launch(&folder, &ports).await;
        RabbitMq {
            process,
            _mapper: mapper,
            folder,
            ports,
        }
    }

    /// Where STOMP over TCP listens.
    pub fn stomp_port(&self) -> u16 {
        self.ports.stomp
    }

    /// STOMP over TCP, as in a configuration.
    pub fn stomp_url(&self) -> String {
        stomp::url(self.ports.stomp)
    }

    /// STOMP over TLS, as in a configuration: a client must show a certificate.
    pub fn stomps_url(&self) -> String {
        format!("stomps://localhost:{}", self.ports.stomp_tls)
    }

    /// Where Web-STOMP listens.
    pub fn web_stomp_port(&self) -> u16 {
        self.ports.web_stomp
    }

    /// Web-STOMP, as in a configuration.
    pub fn web_stomp_url(&self) -> String {
        format!("ws://127.0.0.1:{}/ws", self.ports.web_stomp)
    }

    /// Web-STOMP over TLS, as in a configuration: it asks for no certificate.
    pub fn web_stomps_url(&self) -> String {
        format!("wss://localhost:{}/ws", self.ports.web_stomp_tls)
    }

    /// Where MQTT over TCP listens.
    pub fn mqtt_port(&self) -> u16 {
        self.ports.mqtt
    }

    /// Where MQTT over WebSocket listens.
    pub fn web_mqtt_port(&self) -> u16 {
        self.ports.web_mqtt
    }

    /// MQTT over WebSocket, as in a configuration.
    pub fn web_mqtt_url(&self) -> String {
        format!("mqtt+ws://127.0.0.1:{}/ws", self.ports.web_mqtt)
    }

    /// SIGKILL, once it knows on disk which queues it has.
    pub async fn kill(&mut self) {
        tokio::time::sleep(DECLARED).await;
        self.process.kill();
    }

    /// SIGTERM, and waits until it has ended in order.
    pub async fn stop(&mut self) {
        self.process.signal(Signal::TERM);
        self.process.ended(Duration::from_secs(60)).await;
    }

    /// It answers nobody, and its sockets stay open.
    pub fn freeze(&self) {
        self.process.freeze();
    }

    /// The end of [`RabbitMq::freeze`].
    pub fn thaw(&self) {
        self.process.thaw();
    }

    /// Starts it again after [`RabbitMq::kill`] or [`RabbitMq::stop`]: same ports, same data.
    pub async fn restart(&mut self) {
        self.process = launch(&self.folder, &self.ports).await;
    }
}

fn configure(folder: &Folder, ports: &Ports, more: &str) {
    folder.write(
        "enabled_plugins",
        "[rabbitmq_stomp,rabbitmq_web_stomp,rabbitmq_mqtt,rabbitmq_web_mqtt].\n",
    );
    // Definitions are read before a listener opens, and there is no guest then.
    let definitions = folder.write(
        "definitions.json",
        &format!(
            r#"{{"users":[{{"name":"{USER}","password":"{PASSWORD}","tags":""}}],"vhosts":[{{"name":"/"}}],
            "permissions":[{{"user":"{USER}","vhost":"/","configure":"^(?!refused)","write":".*","read":".*"}}]{more}}}"#
        ),
    );
    let files = |prefix: &str| {
        let line = |key: &str, file: &str| {
            format!("{prefix}.{key} = {}\n", certificates::path(file).display())
        };
        line("cacertfile", "ca.pem")
            + &line("certfile", "server.pem")
            + &line("keyfile", "server.key")
    };
    folder.write(
        "rabbitmq.conf",
        &format!(
            "listeners.tcp = none\nstomp.listeners.tcp.1 = 127.0.0.1:{}\nstomp.listeners.ssl.1 = 127.0.0.1:{}\n\
             {}ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n\
             web_stomp.tcp.ip = 127.0.0.1\nweb_stomp.tcp.port = {}\n\
             web_stomp.ssl.ip = 127.0.0.1\nweb_stomp.ssl.port = {}\n{}\
             mqtt.listeners.tcp.1 = 127.0.0.1:{}\nmqtt.allow_anonymous = false\n\
             web_mqtt.tcp.ip = 127.0.0.1\nweb_mqtt.tcp.port = {}\n\
             load_definitions = {}\nlog.console = true\nlog.console.level = info\n\
             log.file = false\nvm_memory_high_watermark.absolute = 512MB\ndisk_free_limit.absolute = 10MB\n",
            ports.stomp,
            ports.stomp_tls,
            files("ssl_options"),
            ports.web_stomp,
            ports.web_stomp_tls,
            files("web_stomp.ssl"),
            ports.mqtt,
            ports.web_mqtt,
            definitions.display(),
        ),
    );
}

async fn launch(folder: &Folder, ports: &Ports) -> Process {
    // Not the one in /usr/sbin: that changes user and folder.
    let mut command = tethered("/usr/lib/rabbitmq/bin/rabbitmq-server");
    command
        .env("HOME", folder.path())
        // With it the script replaces itself with the server, so the pid is the server's.
        .env("RUNNING_UNDER_SYSTEMD", "true")
        .env("RABBITMQ_NODENAME", format!("lab{}@localhost", ports.stomp))
        .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq.conf"))
        .env(
            "RABBITMQ_ENABLED_PLUGINS_FILE",
            folder.join("enabled_plugins"),
        )
        .env("RABBITMQ_MNESIA_BASE", folder.join("mnesia"))
        .env("RABBITMQ_LOG_BASE", folder.path())
        .env("RABBITMQ_PID_FILE", folder.join("pid"))
        .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
        .env("RABBITMQ_DIST_PORT", ports.distribution.to_string())
        .env("ERL_EPMD_PORT", ports.mapper.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env_remove("NOTIFY_SOCKET");
    let mut process = Process::start("rabbitmq", command, &folder.join("rabbitmq.log"));
    // STOMP opens earlier than this.
    process
        .logged("\"startup complete\"", |line| {
            line.contains("Server startup complete")
        })
        .await;
    process
}
