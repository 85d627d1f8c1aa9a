//! An error with its causes as a person reads it: each cause once, and what the system says without
//! its number.

use std::error::Error;
use std::io::{self, ErrorKind};

/// An error and all its causes in one line.
pub(super) fn in_words(error: &anyhow::Error) -> String {
    let mut words = String::new();
    for cause in error.chain() {
        let cause = of_cause(cause);
        // Some libraries' errors say their cause themselves.
        if words.ends_with(&cause) {
            continue;
        }
        if !words.is_empty() {
            words += ": ";
        }
        words += &cause;
    }
    words
}

fn of_cause(cause: &(dyn Error + 'static)) -> String {
    match cause.downcast_ref() {
        Some(error) => of_system(error),
        None => cause.to_string(),
    }
}

/// What the system says.
pub(super) fn of_system(error: &io::Error) -> String {
    let words = match error.kind() {
        // One of our own.
        _ if error.raw_os_error().is_none() => None,
        ErrorKind::NotFound => Some("there is no such file or folder"),
        ErrorKind::PermissionDenied => {
            Some("this user has no right to do that: run this as the file's owner, or as root")
        }
        ErrorKind::AlreadyExists => Some("it is there already"),
        ErrorKind::IsADirectory => Some("it is a folder: name a file"),
        ErrorKind::NotADirectory => Some("what stands before the last / is no folder"),
        ErrorKind::ReadOnlyFilesystem => Some("its file system is read-only"),
        ErrorKind::StorageFull => Some("the disk is full: free some space"),
        _ => None,
    };
    match words {
        Some(words) => words.to_owned(),
        None => {
            let text = error.to_string();
            let number = text.rfind(" (os error ").unwrap_or(text.len());
            text[..number].to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn what_the_system_says_is_a_sentence_without_its_number() {
        for (error, expected) in [
            (Errno::NOENT, "there is no such file or folder"),
            (Errno::ISDIR, "it is a folder: name a file"),
            (Errno::CONNREFUSED, "Connection refused"),
        ] {
            let error = io::Error::from(error);
            let error = Err::<(), _>(error).context("read x").unwrap_err();
            assert_eq!(in_words(&error), format!("read x: {expected}"));
        }
        let own = io::Error::new(ErrorKind::NotFound, "there is no folder x");
        assert_eq!(of_system(&own), "there is no folder x");
    }

    #[test]
    fn a_cause_that_is_said_already_is_not_said_again() {
        #[derive(Debug, thiserror::Error)]
        #[error("the library failed: {0}")]
        struct Library(#[source] io::Error);
        let cause = io::Error::other("no room");
        let error = anyhow::Error::from(Library(cause)).context("store");
        assert_eq!(in_words(&error), "store: the library failed: no room");
    }
}
