//! `stomp-bridge completions` and `stomp-bridge man`: made from the list of verbs, so that they
//! cannot differ from it.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use super::print::tell;

/// The program's name.
const NAME: &str = "stomp-bridge";

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell that reads them.
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Write the page of each verb into this folder; without it, the program's page goes to
    /// standard output.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

/// Prints the completions of a shell.
pub(super) fn completions(
    args: &CompletionsArgs,
    mut command: Command,
) -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, NAME, &mut text);
    if args.shell == Shell::Bash {
        text = bash_finds_its_verbs(&text);
    }
    print(&text)
}

/// clap_complete 4.6 names the branches of a program with a `-` in its name otherwise than it names
/// what leads to them: bash then completes no verb's options and nothing below a verb.
fn bash_finds_its_verbs(text: &[u8]) -> Vec<u8> {
    let led_to = NAME.replace('-', "__");
    let branch = NAME.replace('-', "__subcmd__");
    String::from_utf8_lossy(text)
        .replace(&branch, &led_to)
        .into_bytes()
}

/// Prints the manual's page, or writes all of them.
pub(super) fn man(args: &ManArgs, command: Command) -> anyhow::Result<ExitCode> {
    match &args.dir {
        Some(folder) => {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("make the folder {}", folder.display()))?;
            clap_mangen::generate_to(command, folder)
                .with_context(|| format!("write the pages into {}", folder.display()))?;
            Ok(ExitCode::SUCCESS)
        }
        None => {
            let mut page = Vec::new();
            Man::new(command)
                .render(&mut page)
                .context("make the page")?;
            let printed = print(&page)?;
            if io::stdout().is_terminal() {
                tell!("to read this page: stomp-bridge man | man -l -");
            }
            Ok(printed)
        }
    }
}

/// A reader that has enough is no failure.
fn print(text: &[u8]) -> anyhow::Result<ExitCode> {
    match io::stdout().write_all(text) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("write to standard output")
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
