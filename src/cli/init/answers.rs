//! What a person or a script says: from the command line, or asked for on a terminal.

use std::fs::{self, Permissions};
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::InitArgs;
use super::write::{Existing, Privacy, write};
use crate::secret::{Lifetime, Secret, protect};

/// The file beside the configuration that holds a passcode that was typed.
const PASSCODE_FILE: &str = "passcode";

/// All that is needed to connect.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) url: String,
    pub(super) destinations: Vec<String>,
    pub(super) login: Option<String>,
    pub(super) passcode: Option<Passcode>,
    pub(super) host: Option<String>,
}

/// Where CONNECT's passcode is.
#[derive(Debug)]
pub(super) enum Passcode {
    /// In a file that is there.
    File(PathBuf),
    /// It was typed, and goes to a file of ours.
    Typed(Secret),
}

impl Answers {
    /// From the command line; the rest is asked for where somebody sits at a terminal.
    ///
    /// # Errors
    /// Something is missing, and there is nobody to ask.
    pub(super) fn of(args: &InitArgs) -> anyhow::Result<Answers> {
        let is_asked = io::stdin().is_terminal() && io::stderr().is_terminal();
        let is_complete = args.url.is_some() && !args.topics.is_empty();
        if !is_asked && !is_complete {
            bail!(
                "there is no terminal to ask on: give --url and --topic, such as `stomp-bridge \
                 init --url http://platform.example.com/webSocketServer --topic /topic/state/1`"
            );
        }
        // Who has named both wants no questions.
        let mut asked = (is_asked && !is_complete).then_some(Questions);
        let mut ask = |question: &str| -> anyhow::Result<Option<String>> {
            asked.as_mut().map_or(Ok(None), |asked| asked.ask(question))
        };
        let url = match &args.url {
            Some(url) => url.clone(),
            None => ask("The server's URL (http: SockJS, ws: WebSocket, stomp: TCP)")?
                .context("no URL was given")?,
        };
        let mut destinations = args.topics.clone();
        if destinations.is_empty() {
            let first = ask("A destination to subscribe, such as /topic/state/1")?;
            destinations.push(first.context("no destination was given")?);
            while let Some(more) = ask("Another destination (nothing: no more)")? {
                destinations.push(more);
            }
        }
        let login = match &args.login {
            Some(login) => Some(login.clone()),
            None => ask("login (nothing: none)")?,
        };
        let passcode = match (&args.passcode_file, &login) {
            (Some(file), _) => Some(Passcode::File(
                std::path::absolute(file).context("--passcode-file")?,
            )),
            (None, Some(_)) if asked.is_some() => hidden("passcode (it is not shown)")?,
            (None, _) => None,
        };
        Ok(Answers {
            url: url.trim().to_owned(),
            destinations,
            login,
            passcode,
            host: args.host.clone(),
        })
    }

    /// What `passcode_file` of the configuration is.
    pub(super) fn passcode_file(&self) -> Option<&Path> {
        match &self.passcode {
            Some(Passcode::File(file)) => Some(file),
            Some(Passcode::Typed(_)) => Some(Path::new(PASSCODE_FILE)),
            None => None,
        }
    }

    /// Writes a passcode that was typed, readable for its owner alone.
    ///
    /// # Errors
    /// The file is there, or cannot be written.
    pub(super) fn write_passcode(&self, config: &Path, existing: Existing) -> anyhow::Result<Made> {
        let Some(Passcode::Typed(passcode)) = &self.passcode else {
            return Ok(Made(None));
        };
        let file = config.with_file_name(PASSCODE_FILE);
        existing.allows(&file)?;
        let before = Before::of(&file);
        write(&file, passcode.expose_secret(), Privacy::Owner, existing)?;
        Ok(Made(Some((file, before))))
    }
}

/// A file that was written for a configuration: where there will be none, it is as it was.
pub(super) struct Made(Option<(PathBuf, Option<Before>)>);

/// What a file held before it was overwritten.
struct Before {
    bytes: Vec<u8>,
    permissions: Permissions,
}

impl Before {
    /// `None`: there was none, or nobody could read it.
    fn of(file: &Path) -> Option<Before> {
        Some(Before {
            bytes: fs::read(file).ok()?,
            permissions: fs::metadata(file).ok()?.permissions(),
        })
    }
}

impl Made {
    /// The configuration that names it is there.
    pub(super) fn keep(&mut self) {
        self.0 = None;
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let Some((file, before)) = &self.0 else {
            return;
        };
        // It was written a moment ago: that it cannot be undone says nothing.
        let _ = match before {
            None => fs::remove_file(file),
            Some(Before { bytes, permissions }) => {
                fs::write(file, bytes).and_then(|()| fs::set_permissions(file, permissions.clone()))
            }
        };
    }
}

/// Questions on the terminal. Standard output is for what a program reads.
struct Questions;

impl Questions {
    /// The answer; `None`: nothing but the Enter key.
    fn ask(&mut self, question: &str) -> anyhow::Result<Option<String>> {
        let mut error = io::stderr();
        write!(error, "{question}: ").context("write to the terminal")?;
        error.flush().context("write to the terminal")?;
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        if read.context("read from the terminal")? == 0 {
            bail!("the terminal has ended: nothing was written");
        }
        let answer = line.trim();
        Ok((!answer.is_empty()).then(|| answer.to_owned()))
    }
}

/// An answer that the terminal does not show.
fn hidden(question: &str) -> anyhow::Result<Option<Passcode>> {
    let shown = tcgetattr(io::stdin()).context("read the terminal's settings")?;
    let mut silent = shown.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(io::stdin(), OptionalActions::Now, &silent).context("set the terminal")?;
    let restored = Restored(shown);
    let answer = Questions.ask(question);
    drop(restored);
    // The Enter key was not shown either.
    let _ = writeln!(io::stderr());
    let answer = answer?.map(|text| {
        protect(&text, Lifetime::Configured);
        Passcode::Typed(text.as_str().into())
    });
    Ok(answer)
}

/// Gives the terminal its settings back.
struct Restored(Termios);

impl Drop for Restored {
    fn drop(&mut self) {
        // The terminal is gone, then.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_typed_passcode_is_its_owners_alone_and_leaves_no_trace_without_a_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let (config, file) = (
            folder.path().join("config.toml"),
            folder.path().join(PASSCODE_FILE),
        );
        let answers = Answers {
            url: "stomp://127.0.0.1".to_owned(),
            destinations: Vec::new(),
            login: None,
            passcode: Some(Passcode::Typed("passcode-that-is-new".into())),
            host: None,
        };
        let found = || {
            let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
            (fs::read_to_string(&file).unwrap(), mode)
        };
        drop(answers.write_passcode(&config, Existing::Kept).unwrap());
        assert!(!file.exists());

        fs::write(&file, "the one before").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        assert!(answers.write_passcode(&config, Existing::Kept).is_err());
        let made = answers.write_passcode(&config, Existing::Overwritten);
        assert_eq!(found(), ("passcode-that-is-new".to_owned(), 0o600));
        drop(made);
        assert_eq!(found(), ("the one before".to_owned(), 0o644));

        let mut made = answers
            .write_passcode(&config, Existing::Overwritten)
            .unwrap();
        made.keep();
        drop(made);
        assert_eq!(found(), ("passcode-that-is-new".to_owned(), 0o600));
    }
}
