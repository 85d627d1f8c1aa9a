//! Which configuration a verb reads where nobody names one.

use std::path::{Path, PathBuf};

use clap::Args;

/// Of the folder at hand, and of the machine.
const PLACES: [&str; 2] = ["config.toml", "/etc/stomp-bridge/config.toml"];

/// The arguments of a verb that needs nothing but the configuration.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    /// The configuration file; by default config.toml, else /etc/stomp-bridge/config.toml.
    #[arg(short = 'c', long = "config", value_name = "FILE", default_value_os_t = config_file(), hide_default_value = true)]
    pub(super) file: PathBuf,
}

/// The configuration file of a verb without `--config`.
pub(super) fn config_file() -> PathBuf {
    first_of(PLACES.map(Path::new)).to_owned()
}

/// The first one that is there; the first one where none is: an error names it.
fn first_of(places: [&Path; 2]) -> &Path {
    let [first, _] = places;
    places
        .into_iter()
        .find(|place| place.exists())
        .unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_goes_before_the_machine_and_is_named_where_neither_has_one() {
        let folder = tempfile::tempdir().unwrap();
        let [near, far] = ["near.toml", "far.toml"].map(|name| folder.path().join(name));
        assert_eq!(first_of([&near, &far]), near);
        std::fs::write(&far, "").unwrap();
        assert_eq!(first_of([&near, &far]), far);
        std::fs::write(&near, "").unwrap();
        assert_eq!(first_of([&near, &far]), near);
    }
}
