//! Writes a file that may hold a secret, and overwrites none by mistake.

use std::fs::{OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, bail};

/// What becomes of a file that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    Kept,
    Overwritten,
}

impl Existing {
    /// Whether the file may be written.
    ///
    /// # Errors
    /// It is there and to be kept, or its folder is not there.
    pub(super) fn allows(self, file: &Path) -> anyhow::Result<()> {
        if self == Existing::Kept && file.symlink_metadata().is_ok() {
            bail!(
                "{} is there already: --force overwrites it, --config names another file",
                file.display()
            );
        }
        let folder = file
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            bail!("there is no folder {}: make it first", folder.display());
        }
        Ok(())
    }
}

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Privacy {
    /// Its owner: it holds a secret.
    Owner,
    /// As the user's umask has it.
    Usual,
}

/// Writes the text.
///
/// # Errors
/// It cannot be written, or is there although nobody may overwrite it.
pub(super) fn write(
    file: &Path,
    text: &str,
    privacy: Privacy,
    existing: Existing,
) -> anyhow::Result<()> {
    let mode = match privacy {
        Privacy::Owner => 0o600,
        Privacy::Usual => 0o666,
    };
    let mut options = OpenOptions::new();
    options.write(true).mode(mode);
    match existing {
        Existing::Kept => options.create_new(true),
        Existing::Overwritten => options.create(true).truncate(true),
    };
    let written = options.open(file).and_then(|mut file| {
        if privacy == Privacy::Owner {
            // One that is overwritten keeps the mode that it had.
            file.set_permissions(Permissions::from_mode(mode))?;
        }
        file.write_all(text.as_bytes())
    });
    written.with_context(|| format!("write {}", file.display()))
}
