//! The certificates of `tests/fixtures/tls`, by what peers and configurations do with them.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::PASSWORD;
use super::folder::Folder;
use super::process::run;

/// What the daemon shows to a server that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    /// Nothing.
    Nothing,
    /// A certificate that servers of the tests accept.
    Known,
    /// One that has expired.
    Expired,
}

/// One of the files.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures/tls")
        .join(name)
}

/// A line of `[source]`: the servers of the tests are known, and this is shown to them.
pub fn tls(shows: Shows) -> String {
    let own = match shows {
        Shows::Nothing => String::new(),
        Shows::Known => pair("client"),
        Shows::Expired => pair("expired"),
    };
    format!(
        "tls = {{ ca_file = \"{}\"{own} }}",
        path("ca.pem").display()
    )
}

fn pair(name: &str) -> String {
    let (certificate, key) = (path(&format!("{name}.pem")), path(&format!("{name}.key")));
    format!(
        ", cert_file = \"{}\", key_file = \"{}\"",
        certificate.display(),
        key.display()
    )
}

/// The server's key and certificate, and the authority that it believes, as Java reads them:
/// `key.p12` and `trust.p12` in a folder, both opened by [`PASSWORD`].
pub fn for_java(folder: &Folder) {
    let mut export = Command::new("openssl");
    export.args([
        "pkcs12",
        "-export",
        "-name",
        "server",
        "-passout",
        &format!("pass:{PASSWORD}"),
    ]);
    export
        .arg("-in")
        .arg(path("server.pem"))
        .arg("-inkey")
        .arg(path("server.key"));
    export.arg("-out").arg(folder.join("key.p12"));
    run(export);
    // openssl writes certificates that Java does not take for trusted ones.
    let mut import = Command::new("keytool");
    import.args([
        "-importcert",
        "-noprompt",
        "-alias",
        "ca",
        "-storetype",
        "PKCS12",
        "-storepass",
        PASSWORD,
    ]);
    import
        .arg("-file")
        .arg(path("ca.pem"))
        .arg("-keystore")
        .arg(folder.join("trust.p12"));
    run(import);
}
