//! Where a daemon's journal lies and where it listens: all that a command that looks needs. What
//! else is wrong with the file does not matter to it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::context::Folders;
use super::environment::Environment;
use super::lookup::{tables_of, text_of, value};
use super::problem::Problems;
use super::schema;

/// The journal of a daemon, and its listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The journal's file.
    pub journal: PathBuf,
    /// `http.listen`, where it is an address.
    pub listen: Option<SocketAddr>,
}

/// What a file says of it, under the environment of this process; else the defaults.
///
/// # Errors
/// The file cannot be read.
pub fn place(file: &Path) -> Result<Place, Problems> {
    place_in(file, &Environment::of_process())
}

/// The same under a given environment.
///
/// # Errors
/// As [`place`].
pub fn place_in(file: &Path, environment: &Environment) -> Result<Place, Problems> {
    let text = text_of(file)?;
    let table = tables_of(&text);
    let given = |path: &[&str]| value(&table, environment, path);
    let journal = given(&["journal", "path"]).map(PathBuf::from);
    let journal = journal.unwrap_or_else(|| schema::Journal::default().path);
    let listen = given(&["http", "listen"]).unwrap_or_else(|| schema::Http::default().listen);
    Ok(Place {
        journal: Folders::of(file, environment).state.join(journal),
        listen: listen.parse().ok(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_place_is_found_whatever_else_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        let check = |text: &[u8], variables: &[(&str, &str)], journal: &str, listen: &str| {
            fs::write(&file, text).unwrap();
            let variables = variables.iter().map(|(name, value)| (*name, *value));
            let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let environment = Environment {
                variables: variables.collect(),
            };
            let place = place_in(&file, &environment).unwrap();
            let expected = folder.path().join(journal);
            assert_eq!(
                (place.journal, place.listen),
                (expected, listen.parse().ok()),
                "{}",
                String::from_utf8_lossy(text)
            );
        };
        let default = "127.0.0.1:9610";
        check(b"", &[], "journal.db", default);
        let good = b"[journal]\npath = \"a.db\"\n[http]\nlisten = \"127.0.0.1:1\"\n";
        check(good, &[], "a.db", "127.0.0.1:1");
        let variables = [
            ("STOMP_BRIDGE_JOURNAL__PATH", "/b.db"),
            ("STOMP_BRIDGE_HTTP__LISTEN", "x"),
        ];
        check(good, &variables, "/b.db", "");
        check(
            b"[source]\npasscode = \"{{ secret('absent') }}\"\n[sinc.a]\n[journal]\npath = \"a.db\"\n",
            &[],
            "a.db",
            default,
        );
        // No TOML before and behind it, and no UTF-8.
        check(
            b"[source]\nurl = stomp://h\n[journal]\npath = \"a.db\"\n[states]\n\xd5\xfd = 1\n",
            &[],
            "a.db",
            default,
        );
        fs::remove_file(&file).unwrap();
        assert!(place_in(&file, &Environment::default()).is_err());
    }
}
