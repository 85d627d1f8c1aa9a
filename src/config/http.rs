//! `[http]`: where to listen, and who may ask there.

use std::net::SocketAddr;

use super::context::Context;
use super::path::Path;
use super::schema;
use super::secret::Within;
use crate::ops;
use crate::secret::{Lifetime, Secret, protect};
use crate::tls::{self, ServerSettings};

/// The shortest token: nobody guesses it from afar.
const TOKEN_CHARS_MIN: usize = 16;

impl Context<'_> {
    /// The settings of the HTTP listener.
    pub(super) fn http(&mut self, written: schema::Http) -> Option<ops::Settings> {
        let listen = written.listen.parse::<SocketAddr>().map_err(|_| {
            format!(
                "expected an address and port such as \"127.0.0.1:9610\" or \"[::1]:0\", found \"{}\"",
                written.listen
            )
        });
        let listen = self.report.take(&Path::from("http.listen"), listen);
        let has_tls = written.tls.cert_file.is_some() || written.tls.key_file.is_some();
        let has_token = written.token.is_some();
        let tls = self.http_tls(written.tls);
        let token = written.token.and_then(|token| self.http_token(&token));
        let hosts = self.hosts(written.hosts.0);
        let listen = listen?;
        if !listen.ip().to_canonical().is_loopback() && !written.insecure.0 {
            self.reachable_by_others(has_token, has_tls);
        }
        Some(ops::Settings {
            listen,
            hosts,
            token,
            tls,
        })
    }

    /// Another address than loopback: others read what the listener says.
    fn reachable_by_others(&mut self, has_token: bool, has_tls: bool) {
        let missing = match (has_token, has_tls) {
            (true, true) => return,
            (false, false) => "`http.token` and `http.tls` are",
            (false, true) => "`http.token` is",
            (true, false) => "`http.tls` is",
        };
        self.report.error_with(
            &Path::from("http.listen"),
            format!("others than this machine can reach this address, and {missing} not set"),
            "set http.token and http.tls = { cert_file, key_file }; or http.insecure = true, where \
             everybody who reaches the address may read it, or a proxy with TLS and a sign-in \
             stands before it",
        );
    }

    fn http_tls(&mut self, written: schema::HttpTls) -> Option<ServerSettings> {
        let path = Path::from("http.tls");
        let (cert_file, key_file) = match (written.cert_file, written.key_file) {
            (None, None) => return None,
            (Some(cert_file), Some(key_file)) => (cert_file, key_file),
            (Some(_), None) => {
                self.lacks(&path, "cert_file", "key_file");
                return None;
            }
            (None, Some(_)) => {
                self.lacks(&path, "key_file", "cert_file");
                return None;
            }
        };
        let settings = ServerSettings {
            cert_file: self.folders.config.join(cert_file),
            key_file: self.folders.config.join(key_file),
        };
        let usable = tls::Server::new(settings.clone()).map_err(|error| error.to_string());
        self.report.take(&path, usable).map(|_| settings)
    }

    fn lacks(&mut self, path: &Path, present: &str, missing: &str) {
        self.report.key_error(
            &path.join(missing),
            format!("{present} without {missing}"),
            "a certificate and its key are needed, both",
        );
    }

    fn http_token(&mut self, written: &Secret) -> Option<Secret> {
        let path = Path::from("http.token");
        let token = self.secret(&path, written.expose_secret(), Within::Text)?;
        let text = token.expose_secret();
        let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.len() < TOKEN_CHARS_MIN || !is_visible {
            self.report.error_with(
                &path,
                format!("expected at least {TOKEN_CHARS_MIN} ASCII characters without blanks"),
                "for instance by `openssl rand -hex 32`",
            );
            return None;
        }
        protect(text, Lifetime::Configured);
        Some(token)
    }

    fn hosts(&mut self, written: Vec<String>) -> Vec<String> {
        let is_name = |host: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            !host.is_empty() && host.chars().all(plain)
        };
        for host in written.iter().filter(|host| !is_name(host)) {
            self.report.error(
                &Path::from("http.hosts"),
                format!(
                    "expected names such as \"bridge.example.com\", without a port, found \"{host}\""
                ),
            );
        }
        written
    }
}
