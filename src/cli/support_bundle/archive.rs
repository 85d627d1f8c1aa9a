//! The bundle's file: a tar archive, compressed by gzip, of texts in one folder.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use tar::{Builder, Header};

use super::parts::Part;

/// What its files lie in when it is unpacked.
const FOLDER: &str = "stomp-bridge-support";

/// Its owner alone reads it, and what is unpacked from it.
const MODE: u32 = 0o600;

/// Writes it, and gives its size.
///
/// # Errors
/// There is such a file, or it cannot be written.
pub(super) fn write(to: &Path, parts: &[Part]) -> anyhow::Result<u64> {
    let bytes = packed(parts).context("pack it")?;
    let failed = || format!("write {}", to.display());
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(to)
        .with_context(failed)?;
    let written = file.write_all(&bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half of it is of no use, and would be in the way of the next one.
        let _ = fs::remove_file(to);
    }
    written.with_context(failed)?;
    Ok(bytes.len() as u64)
}

fn packed(parts: &[Part]) -> std::io::Result<Vec<u8>> {
    let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for part in parts {
        let mut header = Header::new_gnu();
        header.set_mode(MODE);
        header.set_size(part.text.len() as u64);
        header.set_mtime(Timestamp::now().as_second().max(0).unsigned_abs());
        let name = format!("{FOLDER}/{}", part.name);
        archive.append_data(&mut header, name, part.text.as_bytes())?;
    }
    archive.into_inner()?.finish()
}
