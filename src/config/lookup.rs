//! Single values of a configuration, whatever else is wrong with it: for commands that look.

use std::fs;
use std::path::Path;

use toml::de::DeTable;

use super::environment::Environment;
use super::load::unreadable;
use super::problem::Problems;

/// The text of a file, as far as it is UTF-8.
///
/// # Errors
/// The file cannot be read.
pub(super) fn text_of(file: &Path) -> Result<String, Problems> {
    let bytes = fs::read(file).map_err(|error| unreadable(file, &error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The tables of such a text, as far as they are TOML.
pub(super) fn tables_of(text: &str) -> DeTable<'_> {
    let (table, _) = DeTable::parse_recoverable(text);
    table.into_inner()
}

/// The text at a path: that of its variable, else of the file.
pub(super) fn value(
    table: &DeTable<'_>,
    environment: &Environment,
    path: &[&str],
) -> Option<String> {
    let as_variable: Vec<String> = path
        .iter()
        .map(|name| name.to_lowercase().replace('-', "_"))
        .collect();
    let mut overrides = environment.overrides();
    let variable = overrides.find(|(_, path, _)| *path == as_variable);
    if let Some((_, _, text)) = variable {
        return Some(text.to_owned());
    }
    let (key, tables) = path.split_last()?;
    let mut table = table;
    for name in tables {
        table = table.get(*name)?.get_ref().as_table()?;
    }
    table.get(*key)?.get_ref().as_str().map(str::to_owned)
}
