//! A private ActiveMQ Classic: STOMP over TCP and TLS, with a password; what it confirmed survives
//! SIGKILL.

use super::folder::Folder;
use super::java::java;
use super::process::Process;
use super::{PASSWORD, USER, certificates, port, stomp};

/// Enough for some ten thousand messages in flight.
const HEAP_MEBIBYTES: usize = 128;

/// Where Debian's package puts it.
const HOME: &str = "/usr/share/activemq";

/// A running ActiveMQ.
pub struct ActiveMq {
    process: Process,
    folder: Folder,
    ports: Ports,
}

struct Ports {
    stomp: u16,
    tls: u16,
    mutual_tls: u16,
}

impl ActiveMq {
    /// Starts one; 3 to 6 seconds.
    pub async fn start() -> ActiveMq {
        let folder = Folder::new("activemq");
        let ports = Ports {
            stomp: port::free(),
            tls: port::free(),
            mutual_tls: port::free(),
        };
        certificates::for_java(&folder);
        configure(&folder, &ports);
        let process = launch(&folder).await;
        ActiveMq {
            process,
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

    /// STOMP over TLS, as in a configuration; it asks for no certificate.
    pub fn tls_url(&self) -> String {
        format!("stomps://localhost:{}", self.ports.tls)
    }

    /// The same, for clients that must show a certificate.
    pub fn mutual_tls_url(&self) -> String {
        format!("stomps://localhost:{}", self.ports.mutual_tls)
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after [`ActiveMq::kill`]: same ports, same data.
    pub async fn restart(&mut self) {
        self.process = launch(&self.folder).await;
    }

    /// Stops it in its tracks, until [`ActiveMq::thaw`].
    pub fn freeze(&self) {
        self.process.freeze();
    }

    /// The end of [`ActiveMq::freeze`].
    pub fn thaw(&self) {
        self.process.thaw();
    }
}

fn configure(folder: &Folder, ports: &Ports) {
    // Debian's logs by Log4j 1.
    folder.write(
        "log4j.properties",
        "log4j.rootLogger=INFO, console\nlog4j.appender.console=org.apache.log4j.ConsoleAppender\n\
         log4j.appender.console.layout=org.apache.log4j.PatternLayout\n\
         log4j.appender.console.layout.ConversionPattern=%-5p %c{1} %m%n\n",
    );
    let (
        home,
        Ports {
            stomp,
            tls,
            mutual_tls,
        },
    ) = (folder.path().display(), ports);
    let store = |kind: &str, file: &str| {
        format!(r#"{kind}="{home}/{file}" {kind}Type="PKCS12" {kind}Password="{PASSWORD}""#)
    };
    let (keys, trust) = (
        store("keyStore", "key.p12"),
        store("trustStore", "trust.p12"),
    );
    // The schema wants the elements in this order.
    folder.write(
        "activemq.xml",
        &format!(
            r#"<beans xmlns="http://www.springframework.org/schema/beans" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xsi:schemaLocation="http://www.springframework.org/schema/beans http://www.springframework.org/schema/beans/spring-beans-2.0.xsd
 http://activemq.apache.org/schema/core http://activemq.apache.org/schema/core/activemq-core.xsd">
 <broker xmlns="http://activemq.apache.org/schema/core" brokerName="lab" useJmx="false" dataDirectory="{home}/data">
  <persistenceAdapter><kahaDB directory="{home}/data/kahadb" journalMaxFileLength="4mb"/></persistenceAdapter>
  <plugins>
   <simpleAuthenticationPlugin>
    <users><authenticationUser username="{USER}" password="{PASSWORD}" groups="users"/></users>
   </simpleAuthenticationPlugin>
  </plugins>
  <sslContext><sslContext {keys} {trust}/></sslContext>
  <systemUsage>
   <systemUsage>
    <memoryUsage><memoryUsage limit="64 mb"/></memoryUsage>
    <storeUsage><storeUsage limit="256 mb"/></storeUsage>
    <tempUsage><tempUsage limit="64 mb"/></tempUsage>
   </systemUsage>
  </systemUsage>
  <transportConnectors>
   <transportConnector uri="stomp://127.0.0.1:{stomp}"/>
   <transportConnector uri="stomp+ssl://127.0.0.1:{tls}"/>
   <transportConnector uri="stomp+ssl://127.0.0.1:{mutual_tls}?needClientAuth=true"/>
  </transportConnectors>
 </broker>
</beans>
"#
        ),
    );
}

async fn launch(folder: &Folder) -> Process {
    let mut command = java(HEAP_MEBIBYTES);
    let home = folder.path().display();
    command.arg(format!("-Dactivemq.home={HOME}"));
    for what in ["base", "conf", "data"] {
        command.arg(format!("-Dactivemq.{what}={home}"));
    }
    command.arg(format!(
        "-Dlog4j.configuration=file:{home}/log4j.properties"
    ));
    command.arg("-jar").arg(format!("{HOME}/bin/activemq.jar"));
    command
        .arg("start")
        .arg(format!("xbean:file:{home}/activemq.xml"));
    let mut process = Process::start("activemq", command, &folder.join("activemq.log"));
    // The connectors say so earlier, each for itself.
    process
        .logged("\"started\"", |line| {
            line.contains("Apache ActiveMQ") && line.ends_with(") started")
        })
        .await;
    process
}
