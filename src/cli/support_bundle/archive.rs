//! The bundle's file: a tar archive, compressed by gzip, of texts in one folder.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use tar::{Builder, Header};

use super::parts::Part;
use crate::new_file::NewFile;

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
    let new = NewFile::begin(to, MODE).map_err(io::Error::from);
    let new = new.with_context(failed)?;
    new.file().write_all(&bytes).with_context(failed)?;
    new.take(to).with_context(failed)
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
