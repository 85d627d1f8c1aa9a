//! A private nginx in front of a server, as it stands before most platforms.

use std::fs;

use super::folder::Folder;
use super::process::{Process, tethered};
use super::{certificates, port};

/// Lines of a `location` that pass WebSocket upgrades, as in nginx's own documentation.
pub const UPGRADE: &str = "proxy_http_version 1.1;\nproxy_set_header Upgrade $http_upgrade;\n\
                           proxy_set_header Connection $connection_upgrade;\n";

/// Debian's nginx has streams of bytes in a package of their own.
const STREAM_MODULE: &str = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n";

/// What clients speak to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/1.
    Clear,
    /// HTTP/2, or HTTP/1 for those who ask for nothing better, over TLS by the tests' own authority.
    Http2,
    /// The same to clients who show a certificate of that authority.
    Known,
    /// Any bytes, over TLS by the tests' own authority.
    Bytes,
}

/// A running nginx.
pub struct Nginx {
    process: Process,
    folder: Folder,
    port: u16,
    speaks: Speaks,
}

impl Nginx {
    /// Starts one in front of a port on loopback, with these lines of its `location`.
    pub async fn start(server: u16, speaks: Speaks, location: &str) -> Nginx {
        let port = port::free();
        let listen = match speaks {
            Speaks::Clear => format!("listen 127.0.0.1:{port};"),
            Speaks::Http2 => format!("listen 127.0.0.1:{port} ssl http2;\n{}", certificate()),
            Speaks::Known => format!(
                "listen 127.0.0.1:{port} ssl http2;\n{}\nssl_client_certificate {};\nssl_verify_client on;",
                certificate(),
                certificates::path("ca.pem").display()
            ),
            Speaks::Bytes => panic!("bytes have no location: see `start_before_bytes`"),
        };
        let http = format!(
            "http {{\n\
             log_format requests '$server_protocol $request_method $uri $status';\n\
             access_log requests.log requests;\n\
             client_body_temp_path body;\nproxy_temp_path proxy;\nfastcgi_temp_path fastcgi;\n\
             uwsgi_temp_path uwsgi;\nscgi_temp_path scgi;\n\
             map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}\n\
             server {{\n{listen}\nlocation / {{\nproxy_pass http://127.0.0.1:{server};\n\
             {location}}}\n}}\n}}\n"
        );
        Nginx::start_as(port, speaks, "", &http).await
    }

    /// Starts one in front of a port on loopback whose bytes it carries. Of the protocols that TLS
    /// offers it takes this one, and a client that offers none still has one.
    pub async fn start_before_bytes(server: u16, alpn: &str) -> Nginx {
        let port = port::free();
        let certificate = certificate();
        let stream = format!(
            "stream {{\n\
             log_format sessions '$alpn $status';\naccess_log requests.log sessions;\n\
             map $ssl_alpn_protocol $alpn {{ default $ssl_alpn_protocol; '' -; }}\n\
             server {{\nlisten 127.0.0.1:{port} ssl;\n{certificate}\nssl_alpn {alpn};\n\
             proxy_pass 127.0.0.1:{server};\n}}\n}}\n"
        );
        Nginx::start_as(port, Speaks::Bytes, STREAM_MODULE, &stream).await
    }

    async fn start_as(port: u16, speaks: Speaks, modules: &str, blocks: &str) -> Nginx {
        let folder = Folder::new("nginx");
        // One process, which ends with the test; the package's own folders stay as they are.
        folder.write(
            "nginx.conf",
            &format!(
                "{modules}daemon off;\nmaster_process off;\npid nginx.pid;\nevents {{}}\n{blocks}"
            ),
        );
        let mut command = tethered("/usr/sbin/nginx");
        command
            .arg("-p")
            .arg(folder.path())
            .args(["-c", "nginx.conf", "-e", "stderr"])
            .args(["-g", "error_log stderr notice;"]);
        let mut process = Process::start("nginx", command, &folder.join("nginx.log"));
        // Its sockets listen by then.
        process
            .logged("its first line behind \"bind\"", |line| {
                line.contains("event method")
            })
            .await;
        Nginx {
            process,
            folder,
            port,
            speaks,
        }
    }

    /// The URL of a path behind it, as in a configuration, from the server's own URL.
    pub fn before(&self, url: &str) -> String {
        let (scheme, rest) = url.split_once("://").expect("a URL has a scheme");
        let path = rest.split_once('/').map_or("", |(_, path)| path);
        match self.speaks {
            Speaks::Clear => format!("{scheme}://127.0.0.1:{}/{path}", self.port),
            Speaks::Http2 | Speaks::Known | Speaks::Bytes => {
                format!("{scheme}s://localhost:{}/{path}", self.port)
            }
        }
    }

    /// The requests that are over, such as `HTTP/1.1 GET /wxServer 101`; of bytes, the sessions
    /// with the protocol that TLS has chosen, such as `mqtt 200`, or `- 200` without one.
    pub fn requests(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.join("requests.log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// What it says of itself and of the server behind it.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// Lines of a `server` that has the tests' own certificate.
fn certificate() -> String {
    format!(
        "ssl_certificate {};\nssl_certificate_key {};",
        certificates::path("server.pem").display(),
        certificates::path("server.key").display()
    )
}
