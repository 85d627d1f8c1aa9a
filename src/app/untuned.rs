//! Whether the program was built with the settings in `.cargo/config.toml`: `cargo install --git`
//! does not read that file.

use tracing::warn;

use crate::journal::{Error, Writer};

/// What the allocator was built with, if it was told anything.
const ALLOCATOR: Option<&str> = option_env!("JEMALLOC_SYS_WITH_MALLOC_CONF");

/// One line for all that differs; none where the build is as the repository has it.
///
/// # Errors
/// SQLite does not answer.
pub(super) async fn warn_of_untuned_build(writer: &mut Writer) -> Result<(), Error> {
    let sqlite = writer.sqlite_differences().await?;
    let mut differences: Vec<String> = sqlite.iter().map(|it| format!("SQLite {it}")).collect();
    if ALLOCATOR.is_none() {
        differences.push("jemalloc without its settings".to_owned());
    }
    if !differences.is_empty() {
        warn!(
            build = differences.join(", "),
            "build not tuned: messages cost more CPU; build again in the repository's folder, where \
             cargo reads .cargo/config.toml"
        );
    }
    Ok(())
}
